"""The engine's rounds against a hub in memory: what is sent, when, and what the answers do."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.reason import Reason
from policyhub.clock import SteadyMs, WallMs
from policyhub.findings import asff
from policyhub.findings.asff import Cluster
from policyhub.findings.identity import finding_id
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Identity, SourceKey, Subject, Violation
from policyhub.securityhub.batch import measure
from policyhub.securityhub.client import ImportResult
from policyhub.securityhub.errors import AccessLost, Failure, HubError, Throttled, Unavailable
from policyhub.sync import engine, figures
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.engine import Engine
from policyhub.sync.entry import ListingState, Observation, ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import Rules
from policyhub.sync.quarantine import CONFLICT_ABOVE
from tests.unit.sync.test_acknowledged import Sender

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
SOURCE_API = "policyreports.wgpolicyk8s.io"
KEY = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r")
CLUSTER = Cluster(
    id="alpha",
    name="alpha",
    arn=None,
    uid="uid-1",
    account="111122223333",
    region="eu-west-1",
    partition="aws",
    product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
)


class MemoryHub:
    """Accepts every import by default; each call uses one of `answers`."""

    def __init__(self) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self.answers: list[HubError | dict[str, Failure]] = []
        self.held: dict[str, dict[str, Any]] = {}
        self.held_ids: set[str] = set()
        """The accepted findings."""
        self.looked_up: list[list[str]] = []
        self.lookup_errors: list[HubError] = []
        self.seconds = 0.0
        """How long an import takes."""
        self.turns = 1_000_000
        """How many imports may be sent."""

    async def ready(self) -> None:
        self.turns -= 1
        while self.turns < 0:  # noqa: ASYNC110  (a test sets it)
            await asyncio.sleep(0)

    def release_token(self) -> None:
        self.turns += 1

    async def import_findings(self, findings: Sequence[Any], *, sizes: Sequence[int]) -> ImportResult:
        assert [*sizes] == [*map(measure, findings)]  # measured when the call was composed
        self.calls.append([dict(finding) for finding in findings])
        await asyncio.sleep(self.seconds)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, HubError):
            raise answer
        ids = {finding["Id"] for finding in findings}
        self.held_ids |= ids - answer.keys()
        return ImportResult(accepted=ids - answer.keys(), failures={i: f for i, f in answer.items() if i in ids})

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        asked = list(ids)
        self.looked_up.append(asked)
        if self.lookup_errors:
            raise self.lookup_errors.pop(0)
        return {id_: self.held[id_] for id_ in asked if id_ in self.held}

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [finding for call in self.calls for finding in call]


class World:
    """One cluster, one engine."""

    def __init__(self, *, read: bool = True) -> None:
        self.hub = MemoryHub()
        self.now = self.wall_clock = NOW
        self.metrics = Metrics(CollectorRegistry())
        self.engine = Engine(
            hub=self.hub,
            hub_name="hub",
            metrics=self.metrics,
            now=lambda: self.now,
            wall_clock=lambda: WallMs(int(self.wall_clock)),
            clock=asyncio.get_running_loop().time,
            rng=random.Random(1),  # noqa: S311  (jitter)
        )
        self.ledger = Ledger(
            cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=self.engine.wake
        )
        self.queue = ClusterQueue(
            name="alpha", ledger=self.ledger, cluster=CLUSTER, rules=Rules(archive_delay_ms=0), sends=True
        )
        self.engine.attach(self.queue)
        if read:
            self.ledger.observed.take_part("", [], now=SteadyMs(0))
            self.ledger.finish_inventory()
        self.ledger.sources.set_reports_listed(listed=True)
        self.ledger.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=SteadyMs(1)))
        self.ledger.sources.confirmed[SOURCE_API] = NOW + 10**12

    def claim(
        self, numbers: Iterable[int], message: str = "m", passed: Iterable[int] = (), *, backlog: bool = False
    ) -> None:
        identities = frozenset(violation(n).identity for n in passed)

        def passing() -> frozenset[Identity]:
            return identities

        calls: list[tuple[Violation, WallMs | None]] = [(violation(n, message), None) for n in numbers]
        self.ledger.read(KEY, calls, complete=True, passed=passing, now=self.now, backlog=backlog)

    def pending(self) -> int:
        return figures.pending(self.ledger)


@asynccontextmanager
async def working(*, read: bool = True) -> AsyncIterator[World]:
    world = World(read=read)
    task = asyncio.create_task(world.engine.run())
    yield world
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    """Within what the slowest back-off of these tests allows."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  (a predicate over plain state)
            await asyncio.sleep(0.01)


def violation(number: int, message: str = "m") -> Violation:
    return Violation(
        source="kyverno",
        policy="p",
        rule=f"r{number}",
        subject=Subject("apps", "Deployment", "shop", "web"),
        discriminator="",
        result="fail",
        severity="HIGH",
        category="",
        message=message,
    )


def id_of(number: int) -> str:
    return finding_id("alpha", violation(number).identity)


async def test_batches_are_full() -> None:
    """Findings that arrive together need as few calls as possible, with 100 findings each."""
    async with working() as world:
        world.claim(range(250))
        await until(lambda: not world.pending())
        assert sorted(len(call) for call in world.hub.calls) == [50, 100, 100]
        assert len({f["Id"] for f in world.hub.sent}) == 250


async def test_acknowledged_findings_are_not_pending() -> None:
    """Also while other backlog waits."""
    async with working() as world:
        world.hub.turns = 2
        world.claim(range(250), backlog=True)
        await until(lambda: len(world.hub.held_ids) == 200 and not world.ledger.agenda.in_flight)
        assert world.pending() == 50
        world.hub.turns = 10
        await until(lambda: not world.pending())


async def test_later_findings_join_the_batch() -> None:
    """A batch that is not full waits a moment: findings that trickle in share a call."""
    async with working() as world:
        for number in range(5):
            world.claim(range(number + 1))
            await asyncio.sleep(0.02)
        await until(lambda: not world.pending())
        assert len(world.hub.calls) == 1


async def _listings_in_turn(world: World, *, urgent: bool) -> None:
    """Half of a first listing, a pause that ends any other batch, and its second half."""
    world.ledger.started = world.now
    world.ledger.sources.set_reports_listed(listed=False)
    world.claim(range(30), backlog=True)
    if urgent:
        world.claim(range(31), backlog=False)
    await asyncio.sleep(3 * engine.IDLE_SECONDS)
    before = len(world.hub.calls)
    world.claim(range(60), backlog=True)
    world.ledger.sources.set_reports_listed(listed=True)
    await until(lambda: not world.pending())
    assert len(world.hub.calls) - before == 1


async def test_first_listings_share_a_call() -> None:
    """While clusters of the hub are still listing, the backlog of others waits for them: calls are full."""
    async with working() as world:
        await _listings_in_turn(world, urgent=False)
        assert [len(call) for call in world.hub.calls] == [60]


async def test_a_fresh_violation_does_not_wait_for_listings() -> None:
    """It is sent at once, together with the waiting backlog."""
    async with working() as world:
        await _listings_in_turn(world, urgent=True)
        assert [len(call) for call in world.hub.calls] == [31, 29]


async def test_a_listing_that_never_ends_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not answer delays the others' backlog for a moment only."""
    monkeypatch.setattr(engine, "LISTING_SECONDS", 2 * engine.IDLE_SECONDS)
    async with working() as world:
        world.ledger.sources.set_reports_listed(listed=False)
        world.claim(range(30), backlog=True)
        await until(lambda: not world.pending())
        assert [len(call) for call in world.hub.calls] == [30]


async def test_due_findings_do_not_wait_for_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are decided when they are due, and the waiting backlog is sent with them."""
    monkeypatch.setattr(engine, "LISTING_SECONDS", 1e6)
    async with working() as world:
        world.queue.rules = Rules(archive_delay_ms=1_000)
        world.ledger.started = SteadyMs(int(NOW) + 1_000)
        world.claim([100])
        await until(lambda: not world.pending())
        world.claim([])
        await until(lambda: not world.ledger.agenda.dirty)
        world.ledger.sources.set_reports_listed(listed=False)  # all that is held is decided again
        await asyncio.sleep(2 * engine.IDLE_SECONDS)
        other = SourceKey(KEY.group, KEY.resource, KEY.namespace, "other")
        calls: list[tuple[Violation, WallMs | None]] = [(violation(7), None)]
        world.ledger.read(other, calls, complete=True, passed=frozenset, now=world.now, backlog=True)
        await asyncio.sleep(2 * engine.IDLE_SECONDS)
        assert world.pending()
        world.now = SteadyMs(int(NOW) + 2_000)
        await until(lambda: not world.pending())
        assert [f["Id"] for f in world.hub.calls[-1]] == [id_of(7)]


async def test_a_cluster_that_never_lists_delays_nothing() -> None:
    """Nor while nothing of a first listing waits."""
    async with working() as world:
        world.ledger.started = world.now
        world.ledger.sources.set_reports_listed(listed=False)
        assert not world.engine._backlog_is_growing()
        world.claim(range(3), backlog=True)
        assert world.engine._backlog_is_growing()
        world.now = SteadyMs(int(world.now) + engine.FIRST_LISTING_MS)
        assert not world.engine._backlog_is_growing()


async def test_a_change_during_the_call_is_sent_after_it() -> None:
    """A finding is in one call at a time; what changes meanwhile follows with a later UpdatedAt."""
    async with working() as world:
        world.claim([1])
        await until(lambda: bool(world.hub.calls))
        world.claim([1], message="changed")
        await until(lambda: not world.pending())
        first, second = world.hub.sent
        assert "changed" in second["Description"]
        assert second["UpdatedAt"] > first["UpdatedAt"]
        assert second["CreatedAt"] == first["CreatedAt"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Throttled("slow down", code="TooManyRequestsException"), id="throttled"),
        pytest.param(AccessLost(Reason.ACCESS_DENIED, "no", code="AccessDenied"), id="access lost"),
    ],
)
async def test_findings_of_a_failed_call_are_sent_again(error: HubError) -> None:
    """A failed call loses nothing; lost access shows as trouble until a call succeeds."""
    async with working() as world:
        world.hub.answers = [error]
        world.claim([1, 2])
        await until(lambda: len(world.hub.calls) == 1 and not world.ledger.agenda.in_flight)
        assert (world.engine.problem is not None) == isinstance(error, AccessLost)
        await until(lambda: not world.pending())
        assert [len(call) for call in world.hub.calls] == [2, 2]
        assert world.engine.problem is None


async def test_a_call_without_an_answer_is_repeated_unchanged() -> None:
    """After a time-out the same body is sent: Security Hub ignores it if the first was written."""
    async with working() as world:
        world.hub.answers = [Unavailable("time-out", code="ReadTimeoutError")]
        world.claim([1])
        await until(lambda: len(world.hub.calls) == 1 and not world.ledger.agenda.in_flight)
        world.now += 5000
        await until(lambda: not world.pending())
        assert world.hub.calls[0] == world.hub.calls[1]


async def test_a_rejected_finding_blocks_no_other() -> None:
    """A permanently rejected finding is counted and waits for other content; the others are acknowledged."""
    async with working() as world:
        world.hub.answers = [{id_of(1): Failure("InvalidInput", "data.Title …", "permanent")}]
        world.claim([1, 2])
        await until(lambda: not world.pending())
        assert figures.rejected(world.ledger) == 1
        assert world.ledger.entries[id_of(2)].observed is not None
        assert len(world.hub.calls) == 1
        world.claim([1, 2], message="better")
        await until(lambda: not world.pending())
        assert figures.rejected(world.ledger) == 0


async def test_access_lost_for_many_is_one_failure() -> None:
    """A call of which all findings are refused access is repeated as soon as one of which one is."""
    async with working() as world:
        failed = Failure("InvalidAccess", "not now", "configuration")
        world.hub.answers = [{id_of(n): failed for n in range(100)}]
        world.claim(range(100))
        await until(lambda: len(world.hub.calls) == 2 and not world.pending())
    assert len(world.hub.calls[1]) == 100
    assert world.engine.problem is None


async def test_findings_that_fail_together_are_retried_together() -> None:
    """Findings that fail within a call are pending, and sent again in one call a little later."""
    async with working() as world:
        world.hub.answers = [{id_of(n): FAILED for n in range(100)}]
        world.claim(range(100))
        await until(lambda: figures.waiting(world.ledger)["failed"] == 100)
        assert world.pending() == 100
        world.now += 1_000
        world.engine.wake()
        await until(lambda: not world.pending())
    assert [len(call) for call in world.hub.calls] == [100, 100]


FAILED = Failure("InternalFailure", "not now", "retry")


async def test_a_finding_that_always_fails_does_not_affect_others() -> None:
    """A finding that fails each time is tried ever less often, however much else is sent, and what it says meanwhile
    is not lost.
    """
    async with working() as world:
        world.hub.answers = [{id_of(0): FAILED} for _ in range(40)]
        world.claim([0])
        await until(lambda: len(world.hub.calls) == 1)
        for n in range(1, 31):  # thirty seconds
            world.now += 1_000
            world.claim([0, *range(1, n + 1)])
            await until(lambda n=n: not figures.waiting(world.ledger)["urgent"] and len(world.hub.held_ids) == n)  # type: ignore[misc]
        tried = sum(1 for finding in world.hub.sent if finding["Id"] == id_of(0))
        assert 4 <= tried <= 6
        assert len(world.hub.sent) == 30 + tried
        world.hub.answers = []
        world.claim([*range(31)], message="other")
        world.now += 60_000
        world.engine.wake()
        await until(lambda: not world.pending())
        assert any(f["Id"] == id_of(0) and "other" in f["Description"] for f in world.hub.sent)


@pytest.mark.parametrize("passed", [[], [1]], ids=["gone", "passes"])
async def test_a_failed_finding_was_not_written(passed: list[int]) -> None:
    """A finding that Security Hub failed by name is not there: when its violation ends before it is sent again, nothing
    is sent, and nothing is asked for.
    """
    async with working() as world:
        world.hub.answers = [{id_of(1): FAILED}]
        world.claim([1, 2])
        await until(lambda: figures.waiting(world.ledger)["failed"] == 1)
        world.claim([2], passed=passed)
        world.now += 3_600_000
        world.claim([2, 3])
        await until(lambda: id_of(3) in world.hub.held_ids and not world.pending())
        assert [finding["Id"] for finding in world.hub.sent if finding["RecordState"] == "ARCHIVED"] == []
        assert [finding["Id"] for finding in world.hub.sent].count(id_of(1)) == 1
        assert not world.hub.looked_up
        assert id_of(1) not in world.ledger.entries


async def test_unsent_findings_are_not_treated_as_written() -> None:
    """Findings of a call that was never sent are sent as if for the first time, and not counted as rejected."""
    async with working() as world:
        world.hub.answers = [{id_of(1): Failure("NotLeader", "not now", "unsent")}]
        world.claim([1, 2])
        await until(lambda: not world.pending() and len(world.hub.calls) == 2)
    assert [finding["Id"] for finding in world.hub.calls[1]] == [id_of(1)]
    assert world.metrics.registry.get_sample_value(
        "policyhub_findings_sent_total", {"hub": "hub", "change": "new"}
    ) == pytest.approx(2)
    assert world.metrics.registry.get_sample_value("policyhub_findings_rejected_total", {"hub": "hub"}) is None


async def test_nothing_is_decided_before_it_may_be_sent() -> None:
    """A violation that is reported again while no call may be sent is not archived afterwards."""
    async with working() as world:
        world.claim([1])
        await until(lambda: not world.pending())
        world.hub.turns = 0
        world.claim([], passed=[1])
        await until(lambda: world.hub.turns == -1)
        world.claim([1])
        world.hub.turns = 10
        await until(lambda: not world.pending())
        assert [finding["RecordState"] for finding in world.hub.sent] == ["ACTIVE"]
        assert world.hub.turns == 11  # given back


async def test_archived_and_back() -> None:
    """A pass archives at once with the complete content; a reactivation keeps `CreatedAt`."""
    async with working() as world:
        world.claim([1])
        await until(lambda: not world.pending())
        world.claim([], passed=[1])
        await until(lambda: not world.pending())
        world.now += 1000
        world.claim([1])
        await until(lambda: not world.pending())
        new, gone, back = world.hub.sent
        assert [f["RecordState"] for f in (new, gone, back)] == ["ACTIVE", "ARCHIVED", "ACTIVE"]
        assert {f["CreatedAt"] for f in (new, gone, back)} == {new["CreatedAt"]}
        assert new["Title"] == gone["Title"]


def stored(number: int, *, uid: str = "uid-1", state: str = "ACTIVE") -> dict[str, Any]:
    """A finding as GetFindings shows it."""
    return {
        "Id": id_of(number),
        "Title": "as the hub has it",
        "Severity": {"Label": "LOW"},
        "Workflow": {"Status": "SUPPRESSED"},
        "RecordState": state,
        "UpdatedAt": "2026-01-01T00:00:00.000Z",
        "CreatedAt": "2026-01-01T00:00:00.000Z",
        "ProductFields": {"policyhub/cluster-uid": uid, "aws/securityhub/FindingId": "x"},
        "FindingProviderFields": {"Severity": {"Label": "HIGH"}},
        "Resources": [],
    }


def in_hub(world: World, number: int, *, uid: str = "uid-1", state: str = "ACTIVE") -> None:
    """A finding that only Security Hub knows, as the inventory and GetFindings show it."""
    id_ = id_of(number)
    world.hub.held[id_] = stored(number, uid=uid, state=state)
    known = ObservedFinding("d", WallMs(1_767_225_600_000), WallMs(1_767_225_600_000), archived=False)
    world.ledger.observed.take_part("", [Observation(id_, known, "uid-1", SOURCE_API, "r")], now=world.now)
    world.ledger.finish_inventory()


def in_hub_as_wanted(world: World, number: int) -> None:
    """A finding that Security Hub holds as desired."""
    digest = world.ledger.entries[id_of(number)].digest
    fields: dict[str, str] = {
        "policyhub/cluster-uid": "uid-1",
        "policyhub/digest": digest,
        "policyhub/renderer": str(asff.RENDERER),
    }
    world.hub.held[id_of(number)] = {
        **stored(number),
        "ProductFields": fields,
        "UpdatedAt": asff.timestamp(NOW),
    }


async def test_findings_that_only_the_hub_knows_are_read_before_archiving() -> None:
    """The body is that of the hub, without fields of analysts and of the service."""
    async with working() as world:
        in_hub(world, 1)
        await until(lambda: bool(world.hub.calls) and not world.pending())
        assert world.hub.looked_up == [[id_of(1)]]
        (sent,) = world.hub.sent
        assert sent["RecordState"] == "ARCHIVED"
        assert sent["Title"] == "as the hub has it"
        assert sent["CreatedAt"] == "2026-01-01T00:00:00.000Z"
        assert not {"Severity", "Workflow"} & sent.keys()
        assert sent["ProductFields"] == {"policyhub/cluster-uid": "uid-1"}


async def test_archived_findings_are_left_alone() -> None:
    """Read by id and found to be archived: nothing is sent."""
    async with working() as world:
        in_hub(world, 1, state="ARCHIVED")
        await until(lambda: bool(world.hub.looked_up) and not world.pending())
        assert not world.hub.calls


async def test_a_finding_taken_over_by_another_cluster_is_left_alone() -> None:
    """Read by id before it is archived and found to be another cluster's: it is neither archived nor, when the
    violation comes here, imported over; all else goes out.
    """
    async with working() as world:
        in_hub(world, 1, uid="uid-2")
        await until(lambda: bool(world.ledger.observed.quarantine.ids))
        world.claim([1, 2])
        await until(lambda: bool(world.hub.calls) and not world.pending())
        assert [f["Id"] for f in world.hub.sent] == [id_of(2)]
        assert world.queue.sends
        assert figures.quarantined(world.ledger) == 1


async def test_many_findings_taken_over_by_another_cluster_stop_sending() -> None:
    """More than ten of one uid are another active cluster: nothing is sent any more."""
    numbers = range(1, CONFLICT_ABOVE + 2)
    async with working() as world:
        for number in numbers:
            in_hub(world, number, uid="uid-2")
        await until(lambda: world.ledger.observed.quarantine.conflict)
        world.claim([CONFLICT_ABOVE + 2])
        await asyncio.sleep(0.3)  # longer than a batch takes to fill
        assert not world.hub.calls
        assert not world.queue.sends


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param({"state": "ARCHIVED"}, id="archived"),
        pytest.param({"uid": "uid-1"}, id="taken over"),
        pytest.param(None, id="deleted"),
    ],
)
async def test_a_finding_released_by_its_owner_is_ours_again(owner: dict[str, str] | None) -> None:
    """A quarantined id is read again from time to time; once archived, adopted or deleted it is sent."""
    async with working() as world:
        in_hub(world, 1, uid="uid-2")
        await until(lambda: bool(world.ledger.observed.quarantine.ids))
        world.claim([1])
        await until(lambda: not world.pending())
        held = world.hub.held[id_of(1)]
        match owner:
            case None:
                del world.hub.held[id_of(1)]
            case {"state": state}:
                held["RecordState"] = state
            case {"uid": uid}:
                held["ProductFields"]["policyhub/cluster-uid"] = uid
        assert not world.hub.calls
        world.now += ACK_OVERRULES_MS + 2
        world.engine.wake()
        await until(lambda: bool(world.hub.calls) and not world.pending())
        assert [f["Id"] for f in world.hub.sent] == [id_of(1)]
        assert not world.ledger.observed.quarantine.ids


async def test_a_finding_that_cannot_be_rendered_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours with one finding counts as a rejection; the others are sent."""
    real = asff.render

    def render(reported: Violation, **about: Any) -> dict[str, Any]:
        if reported.rule == "r1":
            raise RuntimeError("a mistake")
        return real(reported, **about)

    monkeypatch.setattr(asff, "render", render)
    async with working() as world:
        world.claim([1, 2])
        await until(lambda: not world.pending())
        assert [f["Id"] for f in world.hub.sent] == [id_of(2)]
        assert figures.rejected(world.ledger) == 1


async def test_an_unusable_answer_leaves_nothing_in_flight() -> None:
    """An invalid body read by id ends the round; the finding is decided again."""
    world = World()
    in_hub(world, 1)
    del world.hub.held[id_of(1)]["Resources"]
    task = asyncio.create_task(world.engine.run())
    await asyncio.wait([task], timeout=20)
    assert task.done()
    assert task.exception() is not None
    assert not world.ledger.agenda.in_flight
    assert id_of(1) in world.ledger.agenda.dirty


async def test_a_stopped_cluster_sends_nothing_more() -> None:
    """A batch that was composed before the mode changed is not sent after it."""
    async with working() as world:
        world.claim([1])
        await until(lambda: bool(world.ledger.agenda.dirty) or bool(world.hub.calls))
        world.engine.detach(world.queue)
        await asyncio.sleep(0.5)  # longer than a batch takes to fill
        assert not world.hub.calls


async def test_nothing_is_sent_for_a_queue_that_must_not_send() -> None:
    """DryRun, a conflict or another account's credentials: decisions wait, other queues are sent."""
    async with working() as world:
        world.queue.sends = False
        world.claim([1, 2])
        await asyncio.sleep(0.3)  # longer than a batch takes to fill
        assert not world.hub.calls
        assert world.pending() == 2
        world.queue.sends = True
        world.engine.wake()
        await until(lambda: not world.pending())


async def test_findings_of_a_cancelled_call_are_dirty_again() -> None:
    """A cancelled call has an unknown outcome: its findings do not stay in flight."""
    world = World()
    task = asyncio.create_task(world.engine.run())
    held = asyncio.Event()

    async def never(findings: Sequence[Any], *, sizes: Sequence[int]) -> ImportResult:
        del sizes
        await held.wait()
        return ImportResult(accepted={f["Id"] for f in findings})

    world.hub.import_findings = never  # type: ignore[method-assign]  # a hub that does not answer
    world.claim([1])
    await until(lambda: len(world.ledger.agenda.in_flight) == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not world.ledger.agenda.in_flight
    assert id_of(1) in world.ledger.agenda.dirty


async def test_new_findings_overtake_the_backlog() -> None:
    """Findings of the first listing wait behind later ones."""
    async with working() as world:
        world.hub.seconds = 0.1
        world.claim(range(1000), backlog=True)
        await until(lambda: len(world.hub.calls) >= 1)
        world.claim(range(1001))
        await until(lambda: not world.pending())
        ahead = next(number for number, call in enumerate(world.hub.calls) if id_of(1000) in {f["Id"] for f in call})
        assert ahead <= 5, ahead  # behind those that were composed already
        assert len(world.hub.sent) == 1001


async def test_a_new_violation_is_looked_up_during_the_inventory() -> None:
    """One that Security Hub lacks is sent, one that it holds as desired is not; backlog waits for its part."""
    async with working(read=False) as world:
        world.claim([1], backlog=True)
        world.claim([1, 2, 3])
        in_hub_as_wanted(world, 3)
        await until(lambda: bool(world.hub.sent))
        await asyncio.sleep(0.5)  # longer than a batch takes to fill
        assert sorted(id_ for asked in world.hub.looked_up for id_ in asked) == sorted([id_of(2), id_of(3)])
        assert [f["Id"] for f in world.hub.sent] == [id_of(2)]
        assert world.ledger.observed.progress.unread == {id_of(1)}
        world.ledger.observed.take_part("", [], now=world.now)
        world.ledger.finish_inventory()
        await until(lambda: not world.pending())
        assert [f["Id"] for f in world.hub.sent] == [id_of(2), id_of(1)]


async def test_a_failed_lookup_is_repeated() -> None:
    """While GetFindings is refused, imports continue and the trouble is shown."""
    async with working(read=False) as world:
        world.hub.lookup_errors = [AccessLost(Reason.ACCESS_DENIED, "no GetFindings", code="AccessDenied")]
        world.claim([1])
        await until(lambda: world.engine.read_problem is not None)
        await until(lambda: bool(world.hub.sent))
        assert world.engine.read_problem is None


async def test_without_an_inventory_findings_are_finally_sent() -> None:
    """Desired findings are sent unread; findings that only Security Hub knows are not archived."""
    async with working(read=False) as world:
        world.claim([1, 2], backlog=True)
        await asyncio.sleep(0.5)  # longer than a batch takes to fill
        assert not world.hub.calls
        world.ledger.observed.progress.skip_inventory()
        await until(lambda: not world.pending())
        assert {f["Id"] for f in world.hub.sent} == {id_of(1), id_of(2)}


async def test_times_are_written_by_the_wall_clock() -> None:
    """A clock that jumps back does not make an update that Security Hub would ignore."""
    async with working() as world:
        world.claim([1])
        await until(lambda: not world.pending())
        world.wall_clock -= 3_600_000
        world.claim([1], message="worse")
        world.claim([1, 2], message="worse")
        await until(lambda: not world.pending())
        first, *later = world.hub.sent
        assert first["UpdatedAt"] == asff.timestamp(NOW)
        updated = {f["Id"]: f["UpdatedAt"] for f in later}
        assert updated == {id_of(1): asff.timestamp(NOW + 1), id_of(2): asff.timestamp(NOW - 3_600_000)}


async def test_acknowledgements_outlive_the_ledger() -> None:
    """They are kept outside the ledger, by id, until the hub is disabled; failures are not kept."""
    async with working() as world:
        world.hub.answers = [{id_of(1): Failure("InvalidInput", "no", "permanent")}]
        world.claim([1, 2])
        await until(lambda: bool(world.hub.calls) and not world.pending())
        noted, uid = world.engine.acknowledged, world.ledger.cluster_uid
        known = world.ledger.entries[id_of(2)].observed
        assert known is not None
        assert noted.recent(uid, id_of(2), world.now) == known
        assert noted.recent(uid, id_of(1), world.now) is None
        world.hub.answers = [AccessLost(Reason.NOT_ENABLED, "off", code="InvalidAccessException")]
        world.claim([1, 2, 3])
        await until(lambda: len(world.hub.calls) == 2)
        await until(lambda: not noted)


@pytest.mark.parametrize("answered", [True, False])
async def test_a_call_that_ends_after_its_ledger(*, answered: bool) -> None:
    """The next ledger is notified of its outcome."""
    async with working() as world:
        world.hub.seconds = 0.5
        if not answered:
            world.hub.answers = [Unavailable("no answer", code="Timeout")]
        world.claim([1])
        await until(lambda: bool(world.hub.calls))
        world.engine.detach(world.queue)
        told = Sender(world.ledger.cluster_uid)
        world.engine.acknowledged.follow(told)
        await until(lambda: bool(told.notified))
        assert told.notified == [(id_of(1), answered)]
        world.engine.attach(world.queue)
