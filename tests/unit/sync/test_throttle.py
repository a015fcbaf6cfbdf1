"""A namespace that rewrites its reports at full speed waits alone, and nothing is lost."""

from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import SourceKey
from policyhub.sources.filter import Filter
from policyhub.sync import throttle as limits
from policyhub.sync.entry import ListingState, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Change, Rules
from policyhub.sync.throttle import MAX_DEFERRED_BYTES, PER_SECOND, Throttle

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
SOURCE_API = "policyreports.wgpolicyk8s.io"
BURST = 2_000
"""A tenth of the real one: the rules are the same, and floods ten times as quickly made."""


@pytest.fixture(autouse=True)
def small_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BURST", BURST)


def key(name: str, namespace: str = "team-a") -> SourceKey:
    return SourceKey("wgpolicyk8s.io", "policyreports", namespace, name)


def test_only_a_namespace_that_has_exhausted_its_budget_waits() -> None:
    """Until its budget has refilled."""
    throttle = Throttle()
    throttle.charge("team-a", size=0, violations=BURST, now=NOW)
    assert throttle.is_throttling
    assert throttle.must_wait("team-a", now=NOW)
    assert not throttle.must_wait("shop", now=NOW)
    assert not throttle.must_wait("team-a", now=NOW + 1_000)
    throttle.charge("", size=10**9, violations=10**9, now=NOW)
    assert not throttle.must_wait("", now=NOW), "who writes outside of namespaces is trusted"


def test_only_the_latest_event_of_an_object_is_kept() -> None:
    """They are read in order, as far as the budget allows."""
    throttle = Throttle()
    throttle.charge("team-a", size=0, violations=BURST + PER_SECOND, now=NOW)
    for text in (b"1", b"2", b"3"):
        throttle.defer(key("a"), text)
    throttle.defer(key("b"), b"4")
    throttle.defer(key("c"), b"5")
    throttle.forget(key("c"))
    assert not list(throttle.due(now=NOW))
    assert throttle.waiting() == {"team-a"}
    read = []
    for raw in throttle.due(now=NOW + 1_001):
        read.append(raw)
        throttle.charge("team-a", size=0, violations=PER_SECOND, now=NOW + 1_001)
    assert read == [b"3"]
    assert throttle.must_wait("team-a", now=NOW + 3_000), "what comes now has to come after what waits"
    assert list(throttle.due(now=NOW + 3_000)) == [b"4"]
    assert not throttle.waiting()
    assert not list(throttle.due(now=NOW + 100_000))
    assert not throttle.is_throttling


def test_deferred_events_are_bounded() -> None:
    """An event without room is dropped, and its object counts as missing until a listing brings it."""
    throttle = Throttle()
    throttle.charge("team-a", size=0, violations=BURST, now=NOW)
    for number in range(40):
        throttle.defer(key(f"r{number}"), b"x" * (MAX_DEFERRED_BYTES // 20))
    assert len(list(throttle.due(now=NOW + 60_000))) == 20
    assert throttle.waiting() == {"team-a"} == throttle.dropped


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.ledger = Ledger(cluster_id="a", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
        self.ledger.observed.take_part("", [], now=NOW)
        self.ledger.sources.set_reports_listed(listed=True)
        self.sink = ReportSink(
            cluster="c",
            group="wgpolicyk8s.io",
            resource="policyreports",
            ledger=self.ledger,
            filter_=Filter(),
            metrics=Metrics(CollectorRegistry()),
            now=lambda: self.now,
            wall_clock=lambda: WallMs(int(self.now)),
        )
        self.sink.begin()
        self.sink.finish()
        self.sink.state(ReflectorState(phase="watching", listed=1.0))

    def desired(self, namespace: str) -> set[str]:
        return {
            e.representative.policy
            for e in self.ledger.entries.values()
            if e.desired and e.representative is not None and e.representative.subject.namespace == namespace
        }

    def flood(self) -> None:
        for turn in range(BURST // 1_000 + 1):
            self.sink.upsert(raw("flood", *(f"{turn}-{number}" for number in range(1_000))))


def raw(name: str, *policies: str, namespace: str = "team-a", **more: Any) -> bytes:
    results = [{"source": "kyverno", "policy": policy, "result": "fail"} for policy in policies]
    return msgspec.json.encode({"metadata": {"name": name, "namespace": namespace}, "results": results, **more})


def test_another_namespace_is_read_at_once() -> None:
    """Reports of the namespace that writes too much are read later, in their latest form."""
    world = World()
    world.flood()
    for number in range(5):
        world.sink.upsert(raw("mine", f"p{number}"))
    world.sink.upsert(raw("theirs", "q", namespace="shop"))
    assert world.desired("shop") == {"q"}
    assert not world.desired("team-a") & {f"p{number}" for number in range(5)}
    world.now += 60_000
    list(world.sink.catch_up())
    assert "p4" in world.desired("team-a")
    assert not world.desired("team-a") & {f"p{number}" for number in range(4)}
    assert not world.ledger.sources.waiting_namespaces


def test_nothing_of_a_namespace_is_archived_while_its_reports_wait() -> None:
    """A deferred report may contain the violation again."""
    world = World()
    world.sink.upsert(raw("mine", "p"))
    (entry,) = world.ledger.entries.values()
    world.ledger.mark_in_flight(entry)
    world.ledger.acknowledge(
        entry, ObservedFinding(digest=entry.digest, created_at=WALL, updated_at=WALL, archived=False), now=NOW
    )
    world.ledger.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=SteadyMs(1)))
    world.ledger.sources.confirm([SOURCE_API], now=NOW + 10**12)
    world.flood()
    world.sink.delete(raw("mine"))
    world.sink.upsert(raw("mine", "p"))
    rules = Rules(archive_delay_ms=1_000)
    decision = world.ledger.decide(entry, rules=rules, now=NOW + 5_000, wall_clock=WALL + 5_000)[0]
    assert decision is Hold.SOURCE
    world.ledger.mark_decided(entry, Hold.SOURCE)
    world.now += 60_000
    list(world.sink.catch_up())
    assert entry.desired
    assert entry.id in world.ledger.agenda.dirty


def test_a_deletion_is_read_at_once() -> None:
    """Together with the deferred event of the object."""
    world = World()
    world.flood()
    world.sink.upsert(raw("mine", "p"))
    world.sink.delete(raw("mine"))
    world.now += 60_000
    list(world.sink.catch_up())
    assert "p" not in world.desired("team-a")


def test_a_listing_is_not_deferred() -> None:
    """It brings what was dropped, after which the namespace counts as read again."""
    world = World()
    world.flood()
    for number in range(40):
        world.sink.upsert(raw(f"r{number}", "p", padding="x" * (MAX_DEFERRED_BYTES // 20)))
    world.sink.begin()
    world.sink.upsert(raw("late", "late"))
    world.sink.abort()
    assert world.sink.dropped is True, "a listing that failed has brought nothing for sure"
    world.sink.begin()
    world.sink.upsert(raw("late", "late"))
    world.sink.finish()
    assert set(world.ledger.sources.waiting_namespaces) == set()
    assert "late" in world.desired("team-a")


def test_a_flood_changes_nothing_in_other_namespaces() -> None:
    """No finding of another namespace is decided again because one namespace is throttled."""
    world = World()
    world.sink.upsert(raw("theirs", "q", namespace="shop"))
    (entry,) = (e for e in world.ledger.entries.values())
    assert world.ledger.decide(entry, rules=Rules(archive_delay_ms=0), now=NOW, wall_clock=WALL)[0] is Change.NEW
    world.ledger.agenda.dirty.clear()
    world.flood()
    world.sink.upsert(raw("mine", "p"))
    assert entry.id not in world.ledger.agenda.dirty


def test_a_listing_between_two_events_that_are_read_late() -> None:
    """It brings all objects as they are now: deferred events that remain are not read, and nothing breaks."""
    throttle = Throttle()
    throttle.charge("team-a", size=0, violations=BURST, now=NOW)
    for name in ("a", "b", "c"):
        throttle.defer(key(name), b"x")
    due = throttle.due(now=NOW + 5_000)
    assert next(due) == b"x"
    throttle.begin()
    throttle.finish()
    assert list(due) == []
    world = World()
    world.flood()
    for name in ("one", "two"):
        world.sink.upsert(raw(name, name))
    world.now += 60_000
    parsed = world.sink.catch_up()
    next(parsed)
    world.sink.begin()
    assert list(parsed) == []
    world.sink.upsert(raw("one", "one"))
    world.sink.finish()
    assert "two" not in world.desired("team-a")


def test_a_rejected_event_is_charged_too() -> None:
    """A rejected event was read all the same."""
    world = World()
    big = raw("big", padding="x" * 900_000)
    for _ in range(10):
        world.sink.upsert(big)
    assert world.sink._throttle.is_throttling
