"""Leader election: the leader is the holder of one coordination.k8s.io/v1 Lease in the home cluster.

| the Lease               | a standby replica                                       | the holder       |
|-------------------------|---------------------------------------------------------|------------------|
| does not exist          | creates it (*)                                          | creates it again |
| has no holder           | acquires it                                             | acquires it      |
| names this replica      | acquires it: its Pod restarted                          | renews it        |
| names another replica   | acquires it once it is unchanged for the lease duration | has lost it      |

(*) If the replica has seen the Lease before, it waits as if the Lease still existed: the holder may not know yet that
it was deleted.

Invariants
* Each replica uses only its own clock. The holder counts from before it sent a renewal, a standby replica from after it
  saw the renewal, so the holder always stops first. `acquireTime` and `renewTime` are for people. A new holder also
  learns from them when the lease was last held (`policyhub.sync.predecessor`).
* Every write names the resourceVersion that it replaces: if two replicas write, one is refused and reads again.
* `remaining` is 0 once the lease is lost or released, and never rises again.
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
    """Seconds. A killed replica is replaced after at most `duration + poll`, 20 s. The successor must work within 30 s,
    so it has 10 s to connect and read. The numbers depend on each other: after one failed renewal the holder must still
    be able to make calls, which need `securityhub.credentials.CALL_SECONDS` = 10.
    """

    duration: int = 18
    """`leaseDurationSeconds` of the Lease."""
    margin: float = 1.0
    """The holder stops this long before another replica may start: clocks run at different speeds (at most 0.05 %), and
    the operating system needs time to end the process."""
    renew: float = 3.0
    """From one renewal to the next. Normally 14 to 17 s remain, and 11 s after one failed renewal: calls go on. After
    two failed renewals calls stop, after five the process ends."""
    retry: float = 1.0
    """After a failed renewal."""
    request: float = 2.0
    """Time-out of a request. A renewal takes milliseconds, and a stalled connection must not cost a second attempt."""
    poll: float = 2.0
    """From one attempt of a standby replica to the next."""


class Api(Protocol):
    """The methods of Connection that are used. Each raises Refused, Unreachable."""

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
    """The members of a Lease that are read."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)

    @property
    def holder(self) -> str:
        """Empty: it has no holder."""
        return self.spec.holder_identity or ""


class Lease:
    """One replica's view of the Lease: `acquire`, then `keep_renewed` and `call_when_lost` during the work, `release`
    at the end.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespaced_name: str,
        identity: str,
        clock: Callable[[], float],
        wall_clock: Callable[[], datetime],
        timing: Timing | None = None,
    ) -> None:
        """`namespaced_name`: as `namespace/name`. `clock` returns seconds, never jumps, and runs while the machine
        sleeps.
        """
        self.namespaced_name = namespaced_name
        self.identity = identity
        self.holder = ""
        """Identity of the holder, as last read."""
        self.observed = False
        """Whether the Lease was read successfully at least once."""
        self.lost = ""
        """Why it was lost."""
        self.last_renewed: datetime | None = None
        """When the previous holder last renewed or released it, by the clock of that holder."""
        self._namespace, _, self._name = namespaced_name.partition("/")
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"
        self._api = api
        self._clock = clock
        self._wall_clock = wall_clock
        self._timing = timing or Timing()
        self._expires_at = NEVER
        self._version = ""
        self._other_expires_at = NEVER
        self._ended = threading.Event()
        self._last_error = ""

    # -- for any thread -------------------------------------------------------------------------------------------

    def remaining(self) -> float:
        """Seconds for which this replica certainly holds the lease; 0 if it does not."""
        return max(0.0, self._expires_at - self._clock())

    def permits(self, seconds: float) -> bool:
        """Whether a call that takes at most this long would end while this replica holds the lease."""
        return self.remaining() > seconds

    def call_when_lost(self, lost: Callable[[], None]) -> None:
        """Call `lost` as soon as the lease is lost, from a separate thread: a blocked event loop would not notice."""

        def work() -> None:
            while (left := self.remaining()) > 0 and not self._ended.is_set():
                self._ended.wait(min(left, 1.0))  # the wait's clock may stand still while the machine sleeps
            if not self._ended.is_set() or self.lost:
                self.lost = self.lost or f"not renewed in time: {self._last_error or 'the event loop was busy'}"
                lost()

        threading.Thread(target=work, name="lease", daemon=True).start()

    # -- standby --------------------------------------------------------------------------------------------------

    async def acquire(self) -> None:
        """Wait until this replica holds the lease. Errors of the API server are logged once and retried."""
        while True:
            try:
                wait = await self._try_acquire()
            except (Refused, Unreachable) as error:
                if not (isinstance(error, Refused) and error.status == 409):  # 409: another replica was faster
                    self._log_error(error)
                wait = self._timing.poll
            else:
                self._last_error = ""
            if wait <= 0:
                log.info("lease_acquired", lease=self.namespaced_name, identity=self.identity)
                return
            await asyncio.sleep(wait)

    async def _try_acquire(self) -> float:
        """Acquire the lease if possible, and return 0; else the seconds until the next attempt."""
        record = await self._read()
        version = record.metadata.resource_version if record is not None else self._version
        holder = record.holder if record is not None else self.holder
        if version != self._version:
            others = holder not in {"", self.identity}
            lasts = (record and record.spec.lease_duration_seconds) or self._timing.duration
            self._version = version
            self._other_expires_at = self._clock() + lasts if others else NEVER
        wait = self._other_expires_at - self._clock()
        if wait > 0 and holder != self.holder:
            log.info("waiting_for_lease", lease=self.namespaced_name, holder=holder, identity=self.identity)
        self.holder, self.observed = holder, True
        if wait > 0:
            return min(wait, self._timing.poll)
        if record is not None:
            self.last_renewed = _moment(record.spec.renew_time)
        await self._write(record)
        return 0

    # -- holding --------------------------------------------------------------------------------------------------

    async def keep_renewed(self) -> None:
        """Renew the lease; returns when it is lost."""
        pause = self._timing.renew
        while True:
            await asyncio.sleep(min(pause, self.remaining()))
            if self.remaining() <= 0:
                self._lose("")
                return
            try:
                await self._renew()
            except _TakenByAnother as error:
                self._lose(str(error))
                return
            except (Refused, Unreachable) as error:
                self._log_error(error)
                pause = self._timing.retry
            else:
                self._last_error = ""
                pause = self._timing.renew

    async def _renew(self) -> None:
        try:
            await self._write(self._version)
        except Refused as error:
            if error.status not in {404, 409}:
                raise
            record = await self._read()
            if record is not None and record.holder not in {"", self.identity}:
                raise _TakenByAnother(f"{record.holder} has it") from error
            await self._write(record)

    async def release(self) -> None:
        """Release the lease, so that another replica starts at once. From now on `permits` is False.

        Also call it if `acquire` was cancelled: the lease may have been acquired.
        """
        self._ended.set()
        self._expires_at = NEVER
        try:
            try:
                released = await self._give_up()
            except Refused as error:
                if error.status != 409:
                    raise
                released = await self._give_up()  # 409: our own cancelled renewal came in between
        except (Refused, Unreachable) as error:
            log.warning("lease_not_released", lease=self.namespaced_name, message=str(error))
            return
        if released:
            log.info("lease_released", lease=self.namespaced_name)

    async def _give_up(self) -> bool:
        record = await self._read()
        if record is None or record.holder != self.identity:
            return False
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._moment()}
        await self._patch(record.metadata.resource_version, spec)
        return True

    def _lose(self, reason: str) -> None:
        self.lost = reason or f"not renewed in time: {self._last_error}"
        self._expires_at = NEVER
        self._ended.set()

    # -- the API server -------------------------------------------------------------------------------------------

    async def _read(self) -> Record | None:
        try:
            return _decoded(await self._answer(self._api.get(f"{self._leases}/{self._name}")))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _write(self, previous: Record | str | None) -> None:
        """Acquire or renew the lease. `previous` is what the write replaces: the Lease as read, or the resourceVersion
        that was last written; None if there is no Lease.
        """
        sent_at = self._clock()
        moment = self._moment()
        spec: dict[str, object] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._timing.duration,
            "renewTime": moment,
        }
        if isinstance(previous, str):
            written = await self._patch(previous, spec)
        elif previous is not None:
            if previous.holder != self.identity:
                spec |= {"acquireTime": moment, "leaseTransitions": (previous.spec.lease_transitions or 0) + 1}
            written = await self._patch(previous.metadata.resource_version, spec)
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
        self.holder, self.observed = self.identity, True
        ran_out = self._expires_at != NEVER and self.remaining() <= 0
        if not self._ended.is_set() and not ran_out:
            self._expires_at = sent_at + self._timing.duration - self._timing.margin

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
        return self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _log_error(self, error: Refused | Unreachable) -> None:
        """Log the error, unless it is the same as the last one."""
        denied = isinstance(error, Refused) and error.status in {401, 403}
        message = f"{error}; {PERMISSIONS} in namespace {self._namespace}" if denied else str(error)
        if message == self._last_error:
            return
        self._last_error = message
        if denied:
            log.error("lease_forbidden", lease=self.namespaced_name, message=message)
        else:
            log.warning("lease_error", lease=self.namespaced_name, message=message)

    @property
    def last_error(self) -> str:
        """Why the Lease cannot be read or written at the moment; empty if it can."""
        return self._last_error


class _TakenByAnother(Exception):
    """Another replica holds the lease."""


_record = msgspec.json.Decoder(Record)


def _moment(text: str | None) -> datetime | None:
    """None if the text is not an RFC 3339 time with an offset: other clients may write anything into the Lease."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _decoded(body: bytes) -> Record:
    return decoded(_record, body, lambda why: Unreachable(f"no Lease was answered: {why}"))


def name_of(environ: Mapping[str, str], *, host: str, unique: str) -> str:
    """Identity of a replica: the Pod's name, which a restarted container keeps; without one, host and `unique`."""
    return environ.get("POD_NAME") or f"{host}_{unique}"
