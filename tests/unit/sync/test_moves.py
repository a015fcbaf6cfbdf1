"""What one event about owners may do at once, by counting resolved objects and moved claims; and who waits for whom."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.model.violation import SourceKey, Subject, Violation
from policyhub.sync import fair_queue, moves, rollup_targets
from policyhub.sync.entry import ObservedFinding
from policyhub.sync.fair_queue import FairQueue, WorkBudget
from policyhub.sync.holds import Hold
from policyhub.sync.intake import Intake
from policyhub.sync.owners import PODS
from policyhub.sync.plan import Rules
from tests.unit.sync.test_rollup import DB, NEW, OLD, REPORTS, START, WALL, WEB, World, workload

RESULTS = 1_500
"""Results of one report."""
RULES = Rules(archive_delay_ms=600_000)


class Counting(World):
    """Counts claims that move and objects that are resolved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved = 0
        self.refreshed = 0
        shift, refresh = Intake.move_claims, rollup_targets.RollupTargets.refresh

        def counted(
            intake: Intake, key: SourceKey, calls: Iterable[Any], lost: Iterable[Violation], **more: Any
        ) -> None:
            calls, lost = list(calls), list(lost)
            self.moved += len(calls) + len(lost)
            shift(intake, key, calls, lost, **more)

        def refreshed(of: rollup_targets.RollupTargets, subject: Subject) -> None:
            self.refreshed += 1
            refresh(of, subject)

        monkeypatch.setattr(Intake, "move_claims", counted)
        monkeypatch.setattr(rollup_targets.RollupTargets, "refresh", refreshed)
        super().__init__()
        self.put(workload("ReplicaSet", "web-old", WEB), workload("ReplicaSet", "web-new"))

    def pods(self, *names: str, owner: tuple[str, str, str] | None, namespace: str = "shop") -> None:
        for name in names:
            one = workload("Pod", name, owner)
            one["metadata"]["namespace"] = namespace
            self.owners.sinks[PODS].upsert(json.dumps(one).encode())

    def much(self, pod: str, *, reports: int = 1, results: int = RESULTS, namespace: str = "shop") -> None:
        """Reports with so many results on one Pod."""
        for number in range(reports):
            results_ = [
                {
                    "source": "kyverno",
                    "policy": "p",
                    "rule": f"{number}-{n}",
                    "result": "fail",
                    "resources": [{"apiVersion": "v1", "kind": "Pod", "name": pod, "namespace": namespace}],
                }
                for n in range(results)
            ]
            document = {"metadata": {"name": f"{pod}-{number}", "namespace": namespace}, "results": results_}
            self.report_sinks[REPORTS[0]].upsert(json.dumps(document).encode())

    def subjects(self, namespace: str = "shop") -> dict[str, int]:
        """Object name → how many findings it has."""
        found: dict[str, int] = {}
        for entry in self.ledger.entries.values():
            of = entry.subject
            if entry.desired and of is not None and of.namespace == namespace:
                found[of.name] = found.get(of.name, 0) + 1
        return found

    def count(self) -> int:
        """Claims that have moved since the last time."""
        moved, self.moved = self.moved, 0
        return moved

    def tick(self) -> list[int]:
        """A second later: the claims that each slice moves."""
        self.now += 1_000
        self.count()
        return [self.count() for _ in self.rollup.catch_up(now=self.now)]


def test_a_pod_with_many_results_moves_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many results it has; in the end everything is as if it had been listed before they came."""
    world = Counting(monkeypatch)
    world.pods("x", owner=OLD)
    world.much("x", reports=4)
    assert world.subjects() == {"web": 4 * RESULTS}
    for owner, name in ((NEW, "web-new"), (OLD, "web"), (NEW, "web-new")):
        world.count()
        world.pods("x", owner=owner)
        assert world.count() <= 2 * moves.MAX_AT_ONCE
        while world.ledger.sources.waiting_namespaces:
            slices = world.tick()
            assert 0 < max(slices) <= 2 * moves.SLICE
            assert sum(slices) <= 2 * (moves.MAX_UNITS_PER_CALL + moves.SLICE)
        assert world.subjects() == {name: 4 * RESULTS}


def test_its_namespace_waits_until_all_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it is archived, unlike in other namespaces; then held findings are decided again."""
    world = Counting(monkeypatch)
    world.pods("x", owner=OLD)
    world.pods("y", "z", owner=None)
    world.pods("away", owner=None, namespace="team")
    world.much("x")
    for pod, namespace in (("y", "shop"), ("away", "team")):
        world.much(pod, results=1, namespace=namespace)
    for entry in list(world.ledger.entries.values()):
        world.ledger.mark_in_flight(entry)
        world.ledger.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=world.now)
        world.ledger.mark_decided(entry, None)
    world.pods("x", owner=NEW)
    for pod, namespace in (("y", "shop"), ("away", "team")):
        key = json.dumps({"metadata": {"name": f"{pod}-0", "namespace": namespace}}).encode()
        world.report_sinks[REPORTS[0]].delete(key)
    lost = {e.subject.name: e for e in world.ledger.entries.values() if not e.desired and e.subject is not None}

    def decided(name: str) -> object:
        return world.ledger.decide(
            lost[name], rules=RULES, now=world.now + 700_000, wall_clock=WallMs(int(world.now + 700_000))
        )[0]

    assert world.rollup.unreported("kyverno", "p", Subject("", "Pod", "shop", "z"))
    assert world.rollup.unaudited(Subject("", "Pod", "shop", "z"), SourceKey("", "", "", ""), int(world.now))
    assert decided("y") is Hold.SOURCE
    assert decided("away") is not Hold.SOURCE
    world.ledger.mark_decided(lost["y"], Hold.SOURCE)
    world.tick()
    assert not world.rollup.unreported("kyverno", "p", Subject("", "Pod", "shop", "z"))
    assert decided("y") is not Hold.SOURCE
    assert lost["y"].id in world.ledger.agenda.dirty


def test_targets_of_many_objects_are_resolved_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Deployment that is listed after thousands of its Pods."""
    world = Counting(monkeypatch)
    world.put(workload("ReplicaSet", "late-1", ("apps/v1", "Deployment", "late")))
    world.pods(*(f"l-{n}" for n in range(3_000)), owner=("apps/v1", "ReplicaSet", "late-1"))
    deployments = next(
        sink for resource, sink in world.owners.controller_sinks.items() if resource.kind == "Deployment"
    )
    world.refreshed = 0
    deployments.upsert(json.dumps(workload("Deployment", "late")).encode())
    assert world.refreshed <= rollup_targets.MAX_AT_ONCE + 5
    assert world.owners.has_unknown("shop")
    for _ in range(10):
        world.now += 1_000
        world.refreshed = 0
        for _ in world.rollup.catch_up(now=world.now):
            assert world.refreshed <= rollup_targets.MAX_AT_ONCE + 5
            world.refreshed = 0
    assert len(world.owners.descendants(Subject("apps", "Deployment", "shop", "late"))) == 3_001
    assert not world.owners.has_unknown("shop")


def test_everything_at_once_is_done_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners that are listed after thousands of reports; until everything is done nothing is certain."""
    world = Counting(monkeypatch)
    world.pods(*(f"p-{n}" for n in range(300)), owner=DB)
    for n in range(300):
        world.much(f"p-{n}", results=10)
    assert set(world.subjects()) == {"db"}
    world.count()
    world.owners.forbidden = True
    world.rollup.shift(None, now=world.now)
    assert world.rollup.since == NEVER
    assert world.count() <= 2 * moves.MAX_AT_ONCE
    assert world.rollup.take_changes() is None
    assert max(world.tick()) <= 2 * moves.MAX_AT_ONCE + 20
    assert world.rollup.since == SteadyMs(1)
    assert world.rollup.take_changes() is None, "what was held meanwhile is decided again"
    assert world.subjects() == {f"p-{n}": 10 for n in range(300)}


@pytest.mark.parametrize("evil", [1, 12])
def test_no_namespace_waits_for_another(monkeypatch: pytest.MonkeyPatch, evil: int) -> None:
    """However much others have to move, the results of one Pod move with its event, or in its namespace's turn."""
    monkeypatch.setattr(fair_queue, "BURST", 200)
    monkeypatch.setattr(fair_queue, "PER_SECOND", 20)
    world = Counting(monkeypatch)
    names = [f"evil-{n}" for n in range(evil)]
    for namespace in names:
        world.pods("x", owner=None, namespace=namespace)
        world.much("x", results=600, namespace=namespace)
    world.pods("y", owner=None)
    world.much("y", results=20)
    for namespace in names:  # gone and there again, far beyond what they are given
        one = workload("Pod", "x")
        one["metadata"]["namespace"] = namespace
        for kind in ("delete", "upsert"):
            getattr(world.owners.sinks[PODS], kind)(json.dumps(one).encode())
    world.count()
    assert world.ledger.sources.waiting_namespaces["owners"] == set(names)
    world.pods("y", owner=DB)
    assert world.subjects() == {"db": 20}
    world.pods("y", owner=OLD)
    assert world.subjects() == {"web": 20}
    world.count()
    ticks = 0
    while world.ledger.sources.waiting_namespaces:
        world.tick()
        ticks += 1
    assert [world.subjects(namespace) for namespace in names] == [{"x": 600}] * evil
    assert ticks <= 100 + 2 * 1_200 * evil / (fair_queue.FULL_RATE_NAMESPACES * fair_queue.PER_SECOND), (
        "all of them come to an end"
    )


@pytest.mark.parametrize("namespaces", [1, 20])
def test_the_budget_of_namespaces(monkeypatch: pytest.MonkeyPatch, namespaces: int) -> None:
    """Pods that come and go for a minute move what the budget of each namespace allows, and together little more than
    that of a few.
    """
    monkeypatch.setattr(fair_queue, "BURST", 200)
    monkeypatch.setattr(fair_queue, "PER_SECOND", 20)
    world = Counting(monkeypatch)
    names = [f"evil-{n}" for n in range(namespaces)]
    for namespace in names:
        world.pods("x", owner=None, namespace=namespace)
        world.much("x", results=100, namespace=namespace)
    world.count()
    moved = 0
    for number in range(60):
        for namespace in names:
            one = workload("Pod", "x")
            one["metadata"]["namespace"] = namespace
            getattr(world.owners.sinks[PODS], "upsert" if number % 2 else "delete")(json.dumps(one).encode())
        moved += world.count() + sum(world.tick())
    given = fair_queue.BURST + 60 * fair_queue.PER_SECOND
    assert moved <= min(namespaces, fair_queue.FULL_RATE_NAMESPACES) * given + namespaces * (moves.SLICE + 100)


def test_turns_and_budgets() -> None:
    """A namespace without budget is skipped; where many use theirs, each gets less; and budgets refill."""
    waiting: FairQueue[str] = FairQueue()
    budget = WorkBudget()
    for namespace in "abc":
        waiting.add(namespace, "x")
    now = START
    assert [waiting.next_namespace(budget, now=now) for _ in range(4)] == ["a", "b", "c", "a"]
    budget.charge("b", fair_queue.BURST, now=now)
    assert [waiting.next_namespace(budget, now=now) for _ in range(3)] == ["c", "a", "c"]
    now += 1_000
    assert budget.has("b", now=now)
    for number in range(2 * fair_queue.FULL_RATE_NAMESPACES):
        budget.charge(f"d-{number}", 0.6 * fair_queue.BURST, now=now)
    assert not budget.has("d-1", now=now), "so many are given half as much"
    assert budget.has("e", now=now)
    assert [waiting.next_namespace(budget, now=now) for _ in range(3)] == ["a", "c", "a"]
    budget.tidy(now=now + 10**9)
    assert not budget._used_units
    for namespace in "abc":
        waiting.discard(namespace, "x")
    waiting.discard("a", "x")
    assert not waiting
