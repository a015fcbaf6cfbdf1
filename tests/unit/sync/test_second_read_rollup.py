"""Roll-up around a start: what the first listing reports waits for the second read, whatever owns its Pods."""

import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.model.violation import Subject
from policyhub.sync.entry import Entry, Observation, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.plan import Change, Decision
from tests.unit.sync.test_rollup import DB, REPORTS, RULES, WEB, World, workload

ROLLOUT = ("argoproj.io/v1alpha1", "Rollout", "web")
REPLICASET = ("apps/v1", "ReplicaSet", "web-1")
STALE = ObservedFinding("older", WallMs(1), WallMs(1), archived=False)
MANY = 20
"""So many results of one source object are indexed."""


class Start(World):
    """After a start, before the first listing of the reports has ended; the kinds of the owners may be unknown."""

    def __init__(self, owner: tuple[str, str, str], *, pods: int) -> None:
        super().__init__(listed=False)
        progress = self.ledger.observed.progress
        progress.recheck_backlog = progress.second_read.due = True
        progress.second_read._started = self.now
        self.sink = self.report_sinks[REPORTS[0]]
        self.sink.last_listed = SteadyMs(0)
        self.pods = [f"web-1-{number}" for number in range(pods)]
        self.lists([workload("ReplicaSet", "web-1", owner), *(workload("Pod", pod, REPLICASET) for pod in self.pods)])

    def list_reports(self) -> None:
        self.sink.begin()
        self.all_of(self.pods)
        self.sink.finish()

    def learn_kinds(self) -> None:
        """The API server answers which kinds it serves."""
        while (version := self.owners.next_group_version()) is not None:
            self.owners.record_kinds(*version, frozenset({"Rollout"}))

    def entry(self) -> Entry:
        [entry] = self.ledger.entries.values()
        return entry

    def decided(self) -> Decision:
        """About the one finding, which Security Hub shows as it was before the start."""
        entry = self.entry()
        shown = Observation(entry.id, STALE, "u", entry.source_api, "limits", source="kyverno", policy="p")
        self.ledger.observed.take_part("", [shown], now=self.now)
        now, wall = self.now + 1000, WallMs(int(self.now))
        return self.ledger.decide(entry, rules=RULES, now=now, wall_clock=wall)[0]


@pytest.mark.parametrize("owner", [WEB, ROLLOUT], ids=["Deployment", "Rollout"])
@pytest.mark.parametrize("pods", [1, MANY])
def test_what_the_first_listing_reports_waits(owner: tuple[str, str, str], pods: int) -> None:
    """Also if the owner's kind is learned only after the listing: new findings and differences."""
    start = Start(owner, pods=pods)
    start.list_reports()
    start.learn_kinds()
    entry = start.entry()
    assert entry.subject is not None
    assert entry.subject.kind == owner[1]
    assert start.ledger.observed.progress.must_be_read(entry)
    assert start.decided() is Hold.SECOND_READ


@pytest.mark.parametrize("pods", [1, MANY])
def test_a_report_after_the_first_listing_does_not_wait(pods: int) -> None:
    """That its owner's kind is learned still later changes nothing."""
    start = Start(ROLLOUT, pods=pods)
    start.sink.begin()
    start.sink.finish()
    start.all_of(start.pods)
    start.learn_kinds()
    assert not start.entry().backlog
    assert start.decided() is Change.CHANGED


@pytest.mark.parametrize("pods", [1, MANY])
def test_an_owner_that_changes_after_the_start_does_not_wait(pods: int) -> None:
    """The finding of the new owner is caused by an event, although its report is from before."""
    start = Start(WEB, pods=pods)
    start.list_reports()
    assert start.entry().backlog
    start.put(*(workload("Pod", pod, DB) for pod in start.pods))
    start.rollup.finish()
    moved = next(e for e in start.ledger.entries.values() if e.subject == Subject("apps", "StatefulSet", "shop", "db"))
    assert not moved.backlog
    assert not start.ledger.observed.progress.must_be_read(moved)
