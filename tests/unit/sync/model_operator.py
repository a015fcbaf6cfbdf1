"""One process of the operator under the model: the real ledger, plan and engine, without loop and network.

The engine's coroutines are driven by hand: a call to Security Hub is a `Call` that the machine answers when it likes,
or never. What the process could know of Security Hub is kept beside it, so that a repetition can be told from a need.
"""

import random
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from typing import Any

from policyhub.findings import asff
from policyhub.hub import inventory
from policyhub.hub.client import ImportResult
from policyhub.hub.errors import Failure, HubError, Unavailable
from policyhub.metrics import Metrics
from policyhub.sync.engine import Engine, Feed, held_as
from policyhub.sync.entry import Held
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import DAY_MS, Rules
from tests.unit.sync.model_cluster import IDS, Cluster
from tests.unit.sync.model_hub import UID, Finding, Hub, Stored, content, milliseconds
from tests.unit.sync.model_sight import Sight

DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
PREFIX = "policyhub/alpha/"
DIGITS = "0123456789abcdef"
SHORTLY_MS, OWN_LOOK_MS = 300_000, 5_000
"""The window of a second look, as the data plane's."""
REFRESHED_MS = 25 * DAY_MS
"""An unchanged finding that is older may be sent again."""

RETRY = Failure(code="InternalFailure", message="once more", kind="retry")


class Clocks:
    """Time that passes, and a clock on the wall that may jump."""

    def __init__(self) -> None:
        self.passed = 0
        self.offset = 1_790_000_000_000

    def wall(self) -> int:
        return self.passed + self.offset


class Call:
    """A call to Security Hub under way: what was asked, and the coroutine that waits for the answer."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self.request: list[Any] = work.send(None)

    def answer(self, result: object) -> None:
        self._end(lambda: self._work.send(result))

    def fail(self, error: HubError) -> None:
        self._end(lambda: self._work.throw(error))

    def forget(self) -> None:
        """The process died."""
        self._work.close()

    @staticmethod
    def _end(step: Callable[[], object]) -> None:
        try:
            step()
        except (StopIteration, HubError):
            return
        raise AssertionError("one call, and it asked twice")


class _Question:
    """Suspends the caller until the machine answers."""

    def __init__(self, request: list[Any]) -> None:
        self._request = request

    def __await__(self) -> Generator[list[Any], Any, Any]:
        return (yield self._request)


class _Client:
    async def ready(self) -> None:
        """The machine says when a call leaves."""

    def spare(self) -> None:
        """As `ready`."""

    async def import_findings(self, findings: Sequence[Mapping[str, Any]]) -> ImportResult:
        result: ImportResult = await _Question(list(findings))
        return result

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = await _Question(list(ids))
        return found


class Operator:
    """A process."""

    def __init__(self, cluster: Cluster, hub: Hub, *, clocks: Clocks, metrics: Metrics) -> None:
        self._hub, self._clocks = hub, clocks
        self._offset = clocks.offset  # its own clock never jumps
        self._started = clocks.wall()
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
        self.sight = Sight(
            cluster, self.ledger, metrics=metrics, now=self.now, wall=clocks.wall, delay=RULES.archive_delay_ms
        )
        self.engine = Engine(
            hub=_Client(),
            hub_name="hub",
            metrics=metrics,
            now=self.now,
            clock=lambda: clocks.passed / 1000,
            rng=random.Random(0),  # noqa: S311  (jitter)
            wall=clocks.wall,
        )
        described = asff.Cluster(
            id="alpha",
            name="alpha",
            arn=None,
            uid="u",
            account="111122223333",
            region="eu-west-1",
            partition="aws",
            product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
        )
        self._feed = Feed(name="alpha", ledger=self.ledger, cluster=described, rules=RULES, sends=True)
        self.engine.attach(self._feed)
        self.imports: list[Call] = []
        self.asking: Call | None = None
        self._asked: dict[str, Stored] = {}
        self.left = list(DIGITS)
        """The parts of the inventory that are still to be read."""
        self._page: dict[str, Stored] | None = None
        self.knows: dict[str, int] = {}
        """The newest version of each finding that it has read or written."""
        self._unread: set[str] = set()
        """Findings that it sent without knowing what was there: their first time may have been another."""
        self._unsure: dict[str, int] = {}
        """Findings of which an import got no answer, since when."""

    def now(self) -> int:
        return self._clocks.passed + self._offset

    # -- sending --------------------------------------------------------------------------------------------------

    def compose(self, size: int) -> list[Call]:
        """Decide all that is dirty, and send what is to be sent, in calls of this size."""
        self.sight.tick()
        self._feed.sends = not self.ledger.observed.quarantine.conflict
        self.ledger.weigh(now=self.now())
        calls = []
        for _ in range(2):  # what is to be archived is counted by the guard first
            self.ledger.wake(self.now())
            while shipments := self.engine._compose():
                parts = (shipments[start : start + size] for start in range(0, len(shipments), size))
                calls += [Call(self.engine._round(part)) for part in parts]
        for call in calls:
            for body in call.request:
                self._check(body)
        self.imports += calls
        return calls

    def _check(self, body: Finding) -> None:
        """What must not be sent."""
        id_, label = body["Id"], IDS[body["Id"]]
        if body["RecordState"] == "ARCHIVED":
            wrong = self.sight.could_know(label)
            assert not wrong, f"{label} is archived although {wrong} call for it"
        version, stored = self._hub.stored.get(id_, Stored(0, None))
        if stored is None or id_ in self._unsure or self.knows.get(id_, -1) < version:
            self._unread.add(id_)
            return
        assert stored["ProductFields"][UID] == "u", f"{label} is another cluster's"
        assert body["CreatedAt"] == stored["CreatedAt"] or id_ in self._unread, "the first time moves"
        assert milliseconds(body["UpdatedAt"]) > milliseconds(stored["UpdatedAt"]), "Security Hub would ignore it"
        if content(body) == content(stored):
            old = milliseconds(body["UpdatedAt"]) - milliseconds(stored["UpdatedAt"]) >= REFRESHED_MS
            assert old, f"{label} is sent although nothing has changed"
            assert body["RecordState"] == "ACTIVE", f"{label} is archived once more"

    def accept(self, call: Call, *, failing: bool = False) -> None:
        """Security Hub takes it; where `failing`, it fails the first finding of it, this time."""
        self.imports.remove(call)
        sent = call.request[1:] if failing else call.request
        result = self._hub.take(sent, now=self._clocks.passed)
        if failing:
            result.fail(call.request[0]["Id"], RETRY)
            self._unsure[call.request[0]["Id"]] = self.now()
        for id_ in result.accepted:
            self._unsure.pop(id_, None)
            self.knows[id_] = self._hub.version(id_)
        call.answer(result)

    def fail(self, call: Call, error: HubError) -> None:
        """It gets no answer, or a refusal."""
        self.imports.remove(call)
        if isinstance(error, Unavailable):
            self._unsure.update((body["Id"], self.now()) for body in call.request)
        call.fail(error)

    # -- reading --------------------------------------------------------------------------------------------------

    def ask(self) -> bool:
        """Ask for findings by id, one call at a time; what readers see at this moment is the answer."""
        if self.asking is not None:
            return False
        work = self.engine._look_up() or self.engine._read_bodies()
        if work is None:
            return False
        self.asking = Call(work)
        self._asked = {id_: self._hub.seen(id_) for id_ in self.asking.request}
        return True

    def answer(self, error: HubError | None = None) -> None:
        call, self.asking = self.asking, None
        if call is None:
            return
        if error is not None:
            call.fail(error)
            return
        self._learn(self._asked)
        call.answer({id_: stored.finding for id_, stored in self._asked.items() if stored.finding is not None})

    def begin_part(self) -> None:
        """A part of the inventory begins to be read: what readers see at this moment."""
        self.left = self.left or list(DIGITS)
        self._page = {id_: self._hub.seen(id_) for id_ in IDS if id_.startswith(PREFIX + self.left[0])}

    def end_part(self) -> None:
        """It was read to the end."""
        page, self._page = self._page, None
        if page is None:
            return
        self._learn(page)
        self.ledger.observed.take_part(self.left.pop(0), _held(page), now=self.now())
        if not self.left:
            self.ledger.finish_inventory()
            self.sight.grade = self.ledger.unclaimed()

    def drop_part(self) -> None:
        self._page = None

    def read_inventory(self) -> None:
        """The rest of it, or all anew."""
        self.begin_part()
        while self._page is not None:
            self.end_part()
            if self.left:
                self.begin_part()

    def look_again(self) -> None:
        """What was updated around the start is read once more."""
        window = range(self._started - SHORTLY_MS, self._started + OWN_LOOK_MS)
        seen = {id_: self._hub.seen(id_) for id_ in IDS}
        found = {i: s for i, s in seen.items() if s.finding and milliseconds(s.finding["UpdatedAt"]) in window}
        self._learn(found)
        self.ledger.observed.take_found(_held(found), now=self.now())

    def _learn(self, read: dict[str, Stored]) -> None:
        for id_, (version, _) in read.items():
            self.knows[id_] = max(version, self.knows.get(id_, -1))
            if self.now() - self._unsure.get(id_, self.now()) > ACK_OVERRULES_MS:
                del self._unsure[id_]

    def refresh(self) -> None:
        self.ledger.refresh(wall=self.now(), now=self.now())

    def die(self) -> list[list[Finding]]:
        """Returns the imports that were under way: they may still arrive."""
        for call in (*self.imports, *([self.asking] if self.asking is not None else ())):
            call.forget()
        return [call.request for call in self.imports]


def _held(read: dict[str, Stored]) -> list[Held]:
    return [held_as(inventory.held(stored.finding)) for stored in read.values() if stored.finding is not None]
