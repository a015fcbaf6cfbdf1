"""When the inventory of Security Hub is read again, and what is reported while it cannot be read: in virtual time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.inventory import InventoryReader
from policyhub.cluster.site import Site
from policyhub.cluster.snapshot import Aliases
from policyhub.cluster.state import INCOMPLETE, State
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.client import Page
from policyhub.securityhub.errors import AccessKind, AccessLost, HubError, Throttled
from policyhub.settings import Settings
from policyhub.sync.entry import ObservedFinding
from policyhub.sync.ledger import Ledger
from tests.simulation.loop import Loop, run
from tests.unit.sync.test_ledger import id_of, report

HOUR = 3_600.0
ID = id_of(1)


class Hub:
    """The reads of Security Hub."""

    def __init__(self) -> None:
        self.findings: dict[str, dict[str, Any]] = {}
        self.error: HubError | None = None
        self.refused: HubError | None = None
        """Of the account."""
        self.inventories = 0
        self.aliases: list[dict[str, Any]] = []
        """Findings of the same cluster under other identities."""
        self.asked = 0
        """How often these were requested."""

    async def verify_account(self) -> None:
        if self.refused is not None:
            raise self.refused

    async def find(self, filters: Mapping[str, Any]) -> AsyncGenerator[Page, None]:
        if self.error is not None:
            raise self.error
        if "ProductFields" in filters:
            self.asked += 1
            yield Page((), "more")
            yield Page(tuple(self.aliases), "")
            return
        self.inventories += "UpdatedAt" not in filters
        yield Page(tuple(self.findings.values()), "")

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        if self.error is not None:
            raise self.error
        return {id_: self.findings[id_] for id_ in ids if id_ in self.findings}


class Scene:
    def __init__(self, loop: Loop) -> None:
        self.hub = Hub()
        self.state = State()
        self.engine = SimpleNamespace(
            problem=None, read_problem=None, queues=[None], wake=lambda: None, acknowledged=None
        )
        self.loop = loop
        site = Site(
            monitored=MonitoredCluster.model_validate(
                {"metadata": {"name": "alpha"}, "spec": {"connection": {"inCluster": {}}}}
            ),
            account="111122223333",
            region="eu-west-1",
            hub=cast(Any, self.hub),
            engine=cast(Any, self.engine),
            settings=Settings(),
            metrics=Metrics(CollectorRegistry()),
            now=lambda: SteadyMs(loop.wall_ms),
            wall=lambda: WallMs(loop.wall_ms),
            rng=random.Random(1),  # noqa: S311  (jitter)
        )
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="uid", default_severity="MEDIUM", on_dirty=lambda: None)
        self.told: list[tuple[str | None, int]] = []
        """At each change of permission to send: why the account is unverified, and the inventories so far."""
        self.reader = InventoryReader(
            site,
            self.state,
            self.ledger,
            on_change=lambda: self.told.append((reason(self.state.account), self.hub.inventories)),
        )

    def store(self) -> None:
        """One finding that the cluster reports, two hours old."""
        report(self.ledger, "a", [1])
        self.hub.findings[ID] = {
            "Id": ID,
            "UpdatedAt": "2025-12-31T22:00:00Z",
            "RecordState": "ACTIVE",
            "ProductFields": {
                "policyhub/cluster-uid": "uid",
                "policyhub/digest": "d",
                "policyhub/origin": "reports.openreports.io",
            },
        }

    async def after(self, seconds: float) -> None:
        """Advance the time with a check each second, as the tick does."""
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            self.reader.refresh()


def play(act: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def work(loop: Loop) -> None:
        scene = Scene(loop)
        task = loop.create_task(scene.reader.run())
        try:
            await act(scene)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(work, seed="inventory")


def reason(fault: Cause | None) -> str | None:
    return None if fault is None else fault.reason


def refused(kind: AccessKind) -> AccessLost:
    return AccessLost(kind, "refused", code="InvalidAccessException")


def test_sending_starts_with_the_account() -> None:
    """The verified account is reported at once, before the inventory; until then nothing is sent."""

    async def act(scene: Scene) -> None:
        scene.hub.refused = refused(Reason.ACCOUNT_MISMATCH)
        await scene.after(60)
        assert not scene.told
        scene.hub.refused = None
        await scene.after(60)
        assert scene.told[0] == (None, 0)

    play(act)


def test_one_inventory_a_day() -> None:
    """While all is well, even with searches for missing findings in between."""

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(20 * HOUR)
        assert scene.hub.inventories == 1
        assert scene.state.inventory is None
        assert scene.reader.evidence_due
        await scene.after(10 * HOUR)
        assert scene.hub.inventories == 2

    play(act)


def test_enabling_starts_an_inventory() -> None:
    """The engine learned that Security Hub is not enabled, then that it is: an inventory starts at once."""

    async def act(scene: Scene) -> None:
        await scene.after(2 * HOUR)
        scene.engine.problem = Cause(Reason.NOT_ENABLED, "enable it")
        await scene.after(120)
        assert scene.hub.inventories == 1
        scene.engine.problem = None
        await scene.after(5)
        assert scene.hub.inventories == 2
        await scene.after(HOUR)
        assert scene.hub.inventories == 2

    play(act)


def test_enabling_is_noticed_during_checks() -> None:
    """In the first 15 minutes too."""

    async def act(scene: Scene) -> None:
        await scene.after(120)
        scene.engine.read_problem = Cause(Reason.NOT_ENABLED, "enable it")
        await scene.after(10)
        scene.engine.read_problem = None
        await scene.after(5)
        assert scene.hub.inventories == 2

    play(act)


def test_other_errors_start_no_inventory() -> None:
    """A temporarily missing permission has removed no findings."""

    async def act(scene: Scene) -> None:
        await scene.after(2 * HOUR)
        scene.engine.problem = Cause(Reason.ACCESS_DENIED, "grant it")
        await scene.after(60)
        scene.engine.problem = None
        await scene.after(HOUR)
        assert scene.hub.inventories == 1

    play(act)


def test_emptied_while_nothing_was_sent() -> None:
    """The operator did not notice that it was disabled, but findings are missing."""

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(2 * HOUR)
        scene.hub.findings.clear()
        await scene.after(HOUR)
        assert scene.hub.inventories == 2
        assert list(scene.ledger.observed.lookups) == [ID]

    play(act)


def test_emptied_again() -> None:
    """Findings that were sent again are checked as before: a second loss is found like the first, and each only
    once.
    """

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(2 * HOUR)
        for inventories in (2, 3):
            scene.hub.findings.clear()
            await scene.after(HOUR)
            assert scene.hub.inventories == inventories
            scene.ledger.observed.take_lookup(ID, None, now=SteadyMs(scene.loop.wall_ms))
            entry, at = scene.ledger.entries[ID], WallMs(scene.loop.wall_ms)
            scene.ledger.mark_in_flight(entry)
            known = ObservedFinding(digest=entry.digest, created_at=at, updated_at=at, archived=False)
            scene.ledger.acknowledge(entry, known, now=SteadyMs(scene.loop.wall_ms))
            scene.store()
            await scene.after(2 * HOUR)
            assert scene.hub.inventories == inventories

    play(act)


def test_disabled_without_imports() -> None:
    """The search for findings finds it, the status reports it, and an inventory starts after it is enabled again."""

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(2 * HOUR)
        scene.hub.error = refused(Reason.NOT_ENABLED)
        await scene.after(1_200)
        assert reason(scene.state.reading) == Reason.NOT_ENABLED
        scene.hub.error = None
        await scene.after(300)
        assert reason(scene.state.reading) is None
        assert scene.hub.inventories == 2

    play(act)


def test_archived_by_somebody_else() -> None:
    """Findings that another process has archived, whatever their UpdatedAt, are found within minutes, and once."""

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(2 * HOUR)
        assert scene.hub.inventories == 1
        scene.hub.findings[ID] |= {"RecordState": "ARCHIVED", "UpdatedAt": "2025-12-31T22:00:00.001Z"}
        await scene.after(1_200)
        assert scene.hub.inventories == 2
        known = scene.ledger.entries[ID].observed
        assert known is not None
        assert known.archived
        await scene.after(2 * HOUR)
        assert scene.hub.inventories == 2

    play(act)


@pytest.mark.parametrize(
    "error", [Throttled("slow down", code="TooManyRequestsException"), refused(Reason.ACCESS_DENIED)]
)
def test_a_failed_search_changes_nothing(error: HubError) -> None:
    """It starts no inventory and reports no problem."""

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(2 * HOUR)
        scene.hub.error = error
        await scene.after(HOUR)
        scene.hub.error = None
        await scene.after(HOUR)
        assert scene.hub.inventories == 1
        assert scene.state.reading is None

    play(act)


def test_refused_for_15_minutes() -> None:
    """Findings are sent without an inventory, and the status has the reason; an inventory ends it."""

    async def act(scene: Scene) -> None:
        scene.hub.error = refused(Reason.ACCESS_DENIED)
        await scene.after(600)
        assert scene.state.inventory == INCOMPLETE
        await scene.after(600)
        assert scene.ledger.observed.progress.unavailable
        assert reason(scene.state.inventory) == "InventoryUnavailable"
        scene.hub.error = None
        await scene.after(120)
        assert reason(scene.state.inventory) is None

    play(act)


def test_an_interrupted_second_read_is_not_awaited_for_ever() -> None:
    """Security Hub is disabled and enabled within the minute before it, and the next inventory fails: differences wait
    for 15 minutes at most. Backlog waits on, because Security Hub may have it.
    """

    async def act(scene: Scene) -> None:
        progress = scene.ledger.observed.progress
        progress.recheck_backlog = progress.second_read.due = True
        await scene.after(5)
        assert scene.hub.inventories == 1
        scene.engine.problem = Cause(Reason.NOT_ENABLED, "off")
        await scene.after(5)
        scene.engine.problem, scene.hub.error = None, refused(Reason.ACCESS_DENIED)
        await scene.after(600)
        assert progress.second_read.due
        await scene.after(600)
        assert (progress.second_read.due, progress.recheck_backlog) == (False, True)
        scene.hub.error = None
        await scene.after(600)
        assert not progress.recheck_backlog

    play(act)


def test_throttled_it_is_delayed() -> None:
    async def act(scene: Scene) -> None:
        scene.hub.error = Throttled("slow down", code="TooManyRequestsException")
        await scene.after(60)
        assert reason(scene.state.inventory) == "InventoryDelayed"

    play(act)


def test_an_account_that_is_not_ours() -> None:
    """It is a problem from the first answer on; a missing answer is none after the account was verified."""

    async def act(scene: Scene) -> None:
        scene.hub.refused = refused(Reason.ACCOUNT_MISMATCH)
        await scene.after(60)
        assert reason(scene.state.account) == "AccountMismatch"
        assert scene.hub.inventories == 0
        scene.hub.refused = None
        await scene.after(120)
        assert reason(scene.state.account) is None
        assert scene.hub.inventories == 1
        scene.hub.refused = Throttled("slow down", code="TooManyRequestsException")
        await scene.after(30 * HOUR)
        assert reason(scene.state.account) is None
        assert scene.hub.inventories == 1

    play(act)


def alias(number: int, *, identity: str = "legacy", uid: str = "uid", state: str = "ACTIVE") -> dict[str, Any]:
    fields = {"policyhub/cluster-uid": uid}
    return {"Id": f"policyhub/{identity}/{number:032x}", "RecordState": state, "ProductFields": fields}


def aliases(scene: Scene) -> Aliases | None:
    return scene.reader.aliases


def test_findings_under_another_identity() -> None:
    """They are searched once with each inventory; if there are any, at each check, until they are archived."""

    async def act(scene: Scene) -> None:
        scene.store()
        await scene.after(20 * HOUR)
        assert scene.hub.asked == 1
        assert aliases(scene) is None
        scene.hub.aliases = [alias(1), alias(2), alias(3, identity="arn:aws:eks:eu-west-1:1:cluster/a_b")]
        await scene.after(10 * HOUR)
        assert aliases(scene) == Aliases(numbers={"legacy": 2, "arn:aws:eks:eu-west-1:1:cluster/a_b": 1})
        assert scene.hub.asked > 10
        scene.hub.aliases = []
        await scene.after(HOUR)
        assert aliases(scene) is None
        asked = scene.hub.asked
        await scene.after(10 * HOUR)
        assert scene.hub.asked == asked
        assert scene.state.inventory is None

    play(act)


@pytest.mark.parametrize(
    "finding",
    [
        pytest.param(alias(1, uid="other"), id="of another cluster"),
        pytest.param(alias(1, state="ARCHIVED"), id="archived"),
        pytest.param(alias(1, identity="alpha"), id="of this identity"),
        pytest.param(alias(1, identity="x; rm -rf /"), id="of no identity"),
        pytest.param({**alias(1), "Id": "policyhub/legacy/short"}, id="not an id of ours"),
        pytest.param({**alias(1), "ProductFields": None}, id="without fields"),
    ],
)
def test_findings_that_are_not_of_another_identity(finding: dict[str, Any]) -> None:
    """The filter's results are checked again."""

    async def act(scene: Scene) -> None:
        scene.hub.aliases = [finding]
        await scene.after(30)
        assert scene.hub.asked == 1
        assert aliases(scene) is None

    play(act)


def test_a_failed_search_for_other_identities() -> None:
    """Known facts do not change: neither the inventory, nor earlier results."""

    async def act(scene: Scene) -> None:
        scene.hub.aliases = [alias(1)]
        await scene.after(30)
        scene.hub.error = Throttled("slow down", code="TooManyRequestsException")
        await scene.after(2 * HOUR)
        assert aliases(scene) == Aliases(numbers={"legacy": 1})
        assert scene.state.inventory is None

    play(act)
