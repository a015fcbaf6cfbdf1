"""Which replica is at work: the holder of one coordination.k8s.io/v1 Lease in the home cluster.

| the Lease as read           | without it, a replica           | the holder            |
|-----------------------------|---------------------------------|-----------------------|
| is not there                | creates it (*)                  | creates it again      |
| is nobody's                 | takes it                        | takes it again        |
| names this replica          | takes it: its Pod restarted     | renews it             |
| names another               | waits until it is unchanged for | has lost it           |
|                             | as long as it says, takes it    |                       |

(*) Where it was seen before, as if it were still there: who holds it may not know yet that it was deleted.

Invariants
* Times are compared on one clock only. A holder counts from before it sent a renewal, another replica from after it saw
  the renewal, so the first always ends before the second begins. `acquireTime` and `renewTime` are for people, and for
  whoever takes it, to know when it was last held (`policyhub.sync.predecessor`).
* Every write names the resourceVersion that it follows: of two that want it, one is refused and reads again.
* `remaining` is 0 from the moment at which the lease is lost or given up, and never rises again.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Refused, Unreachable

log = structlog.get_logger(__name__)

PERMISSIONS = "the operator needs get, patch and create on leases of coordination.k8s.io"
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A replica that is killed is followed after at most `duration + poll`, 20 s: of the 30 s in which its
    successor must be at work, 10 are left for connecting and reading. No number may be changed without the others: the
    holder must be able to lose a renewal, and still make calls, which need `hub.credentials.CALL_SECONDS` = 10.
    """

    duration: int = 18
    """As the Lease says it."""
    margin: float = 1.0
    """The holder ends this long before others may begin: for clocks that run at different speeds (at most 0.05 %), and
    for the scheduler to get round to ending it."""
    renew: float = 3.0
    """From one renewal to the next. 14 to 17 s remain as a rule, 11 when one renewal was lost: calls go on. When two
    were lost they stop, when five were the process ends."""
    retry: float = 1.0
    """After a renewal that failed."""
    request: float = 2.0
    """The longest wait for an answer: a renewal takes milliseconds, and a stalled connection must cost one try only."""
    poll: float = 2.0
    """From one look of a replica that stands by to the next."""


class Api(Protocol):
    """What of a Connection is used. Each raises Refused, Unreachable."""

    async def get(self, path: str) -> bytes: ...

    async def post(self, path: str, body: object) -> bytes: ...

    async def patch(self, path: str, body: object) -> bytes: ...


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    renew_time: str | None = None


class Record(msgspec.Struct):
    """A Lease, as far as it is read."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)

    @property
    def holder(self) -> str:
        """Empty: nobody."""
        return self.spec.holder_identity or ""


class Lease:
    """One replica's side of it: `acquire`, `keep` beside the work and `watch` beside both, `release` at the end."""

    def __init__(
        self,
        api: Api,
        *,
        place: str,
        identity: str,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        timing: Timing | None = None,
    ) -> None:
        """`place` is namespace/name. `clock` gives seconds, never jumps, and goes on while the machine sleeps."""
        self.place = place
        self.identity = identity
        self.holder = ""
        """Who has it, as last seen."""
        self.seen = False
        """Whether the API server has told who has it."""
        self.lost = ""
        """Why it was lost."""
        self.renewed: datetime | None = None
        """When it was last renewed or given up before this replica took it, by the clock of whoever did."""
        self._namespace, _, self._name = place.partition("/")
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"
        self._api = api
        self._clock = clock
        self._wall = wall
        self._timing = timing or Timing()
        self._until = NEVER
        self._version = ""
        self._others_until = NEVER
        self._over = threading.Event()
        self._trouble = ""

    # -- asking, from any thread ----------------------------------------------------------------------------------

    def remaining(self) -> float:
        """Seconds for which it is certainly ours; 0 when it is not."""
        return max(0.0, self._until - self._clock())

    def permits(self, seconds: float) -> bool:
        """Whether what takes at most this long ends while it is ours."""
        return self.remaining() > seconds

    def watch(self, lost: Callable[[], None]) -> None:
        """Call `lost` as soon as it is lost, in a thread of its own: an event loop that hangs does not know it."""

        def work() -> None:
            while (left := self.remaining()) > 0 and not self._over.is_set():
                self._over.wait(min(left, 1.0))  # the wait's clock may stand still while the machine sleeps
            if not self._over.is_set() or self.lost:
                self.lost = self.lost or f"not renewed in time: {self._trouble or 'the event loop was busy'}"
                lost()

        threading.Thread(target=work, name="lease", daemon=True).start()

    # -- standing by ----------------------------------------------------------------------------------------------

    async def acquire(self) -> None:
        """Stand by until it is ours. Whatever the API server refuses is told once and tried again."""
        while True:
            try:
                wait = await self._try()
            except (Refused, Unreachable) as error:
                if not (isinstance(error, Refused) and error.status == 409):  # another was faster: look again
                    self._log_trouble(error)
                wait = self._timing.poll
            else:
                self._trouble = ""
            if wait <= 0:
                log.info("lease_acquired", lease=self.place, identity=self.identity)
                return
            await asyncio.sleep(wait)

    async def _try(self) -> float:
        """Take it where it is to be had: 0; else the seconds until another look is due."""
        record = await self._read()
        version = record.metadata.resource_version if record is not None else self._version
        holder = record.holder if record is not None else self.holder
        if version != self._version:
            others = holder not in {"", self.identity}
            lasts = (record and record.spec.lease_duration_seconds) or self._timing.duration
            self._version = version
            self._others_until = self._clock() + lasts if others else NEVER
        wait = self._others_until - self._clock()
        if wait > 0 and holder != self.holder:
            log.info("waiting_for_lease", lease=self.place, holder=holder, identity=self.identity)
        self.holder, self.seen = holder, True
        if wait > 0:
            return min(wait, self._timing.poll)
        if record is not None:
            self.renewed = _moment(record.spec.renew_time)
        await self._write(record)
        return 0

    # -- holding --------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Renew it until it is lost: then it returns."""
        pause = self._timing.renew
        while True:
            await asyncio.sleep(min(pause, self.remaining()))
            if self.remaining() <= 0:
                self._lose("")
                return
            try:
                await self._renew()
            except _Taken as error:
                self._lose(str(error))
                return
            except (Refused, Unreachable) as error:
                self._log_trouble(error)
                pause = self._timing.retry
            else:
                self._trouble = ""
                pause = self._timing.renew

    async def _renew(self) -> None:
        try:
            await self._write(self._version)
        except Refused as error:
            if error.status not in {404, 409}:
                raise
            record = await self._read()
            if record is not None and record.holder not in {"", self.identity}:
                raise _Taken(f"{record.holder} has it") from error
            await self._write(record)

    async def release(self) -> None:
        """Give it up, so that another replica starts at once. From here on nothing is permitted.

        Also where it is not known whether it was taken, since `acquire` was cancelled.
        """
        self._over.set()
        self._until = NEVER
        try:
            try:
                released = await self._give_up()
            except Refused as error:
                if error.status != 409:
                    raise
                released = await self._give_up()  # a renewal of ours that was cancelled came in between
        except (Refused, Unreachable) as error:
            log.warning("lease_not_released", lease=self.place, message=str(error))
            return
        if released:
            log.info("lease_released", lease=self.place)

    async def _give_up(self) -> bool:
        record = await self._read()
        if record is None or record.holder != self.identity:
            return False
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._moment()}
        await self._patch(record.metadata.resource_version, spec)
        return True

    def _lose(self, reason: str) -> None:
        self.lost = reason or f"not renewed in time: {self._trouble}"
        self._until = NEVER
        self._over.set()

    # -- the API server -------------------------------------------------------------------------------------------

    async def _read(self) -> Record | None:
        try:
            return _decoded(await self._answer(self._api.get(f"{self._leases}/{self._name}")))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _write(self, over: Record | str | None) -> None:
        """Take or renew it; `over` is what it follows: what was read, the version last written, or nothing at all."""
        sent = self._clock()
        moment = self._moment()
        spec: dict[str, object] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._timing.duration,
            "renewTime": moment,
        }
        if isinstance(over, str):
            written = await self._patch(over, spec)
        elif over is not None:
            if over.holder != self.identity:
                spec |= {"acquireTime": moment, "leaseTransitions": (over.spec.lease_transitions or 0) + 1}
            written = await self._patch(over.metadata.resource_version, spec)
        else:
            spec |= {"acquireTime": moment, "leaseTransitions": 0}
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"namespace": self._namespace, "name": self._name},
                "spec": spec,
            }
            written = _decoded(await self._answer(self._api.post(self._leases, body)))
        self._version = written.metadata.resource_version
        self.holder, self.seen = self.identity, True
        ran_out = self._until != NEVER and self.remaining() <= 0
        if not self._over.is_set() and not ran_out:
            self._until = sent + self._timing.duration - self._timing.margin

    async def _patch(self, version: str, spec: Mapping[str, object]) -> Record:
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        return _decoded(await self._answer(self._api.patch(f"{self._leases}/{self._name}", body)))

    async def _answer(self, request: Awaitable[bytes]) -> bytes:
        try:
            async with asyncio.timeout(self._timing.request):
                return await request
        except TimeoutError as error:
            raise Unreachable(f"no answer within {self._timing.request:g} s") from error

    def _moment(self) -> str:
        return self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _log_trouble(self, error: Refused | Unreachable) -> None:
        """Log what is new."""
        denied = isinstance(error, Refused) and error.status in {401, 403}
        said = f"{error}; {PERMISSIONS} in namespace {self._namespace}" if denied else str(error)
        if said == self._trouble:
            return
        self._trouble = said
        if denied:
            log.error("lease_forbidden", lease=self.place, message=said)
        else:
            log.warning("lease_error", lease=self.place, message=said)

    @property
    def trouble(self) -> str:
        """Why it can be neither read nor written now."""
        return self._trouble


class _Taken(Exception):  # noqa: N818  (says what happened)
    """Another replica has it."""


_record = msgspec.json.Decoder(Record)


def _moment(text: str | None) -> datetime | None:
    """None where it is no time of Kubernetes: a Lease may be written by anybody who may write it."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _decoded(body: bytes) -> Record:
    return decoded(_record, body, lambda why: Unreachable(f"no Lease was answered: {why}"))


def name_of(environ: Mapping[str, str], *, host: str, unique: str) -> str:
    """What a replica calls itself: its Pod's name, which a container that restarts keeps; else host and `unique`."""
    return environ.get("POD_NAME") or f"{host}_{unique}"
