"""Limits as reports meet them: what is taken, what stands, and what is said of the rest."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings.identity import finding_id
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Identity, ObjectRef, Subject
from policyhub.sources.filter import Filter
from policyhub.sync.entry import ListingState, Observation, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Change, Rules, Wait
from policyhub.sync.usage import DAY_MS, Limits

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
SOURCE_API = "policyreports.wgpolicyk8s.io"
RULES = Rules(archive_delay_ms=1000)


def made(**limits: int) -> tuple[ReportSink, Ledger]:
    ledger = Ledger(
        cluster_id="alpha",
        cluster_uid="uid-1",
        default_severity="MEDIUM",
        on_dirty=lambda: None,
        limits=Limits(**limits),
    )
    ledger.observed.take_part("", [], now=NOW)
    sink = ReportSink(
        cluster="alpha",
        group="wgpolicyk8s.io",
        resource="policyreports",
        ledger=ledger,
        filter_=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: NOW,
        wall_clock=lambda: WallMs(int(NOW)),
    )
    sink.begin()
    sink.finish()
    sink.state(ReflectorState(phase="watching", listed=1.0))
    return sink, ledger


def raw(name: str, objects: Iterable[str], *, namespace: str = "team-a", result: str = "fail", **more: Any) -> bytes:
    resources = [{"apiVersion": "v1", "kind": "ConfigMap", "name": one} for one in objects]
    return msgspec.json.encode(
        {
            "metadata": {"name": name, "namespace": namespace},
            "results": [{"source": "kyverno", "policy": "p", "rule": "r", "result": result, "resources": resources}],
            **more,
        }
    )


def named(prefix: str, number: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(number)]


def desired(ledger: Ledger, namespace: str = "team-a") -> set[str]:
    return {
        e.representative.subject.name
        for e in ledger.entries.values()
        if e.claims and e.representative is not None and e.representative.subject.namespace == namespace
    }


def first_refusals(ledger: Ledger) -> dict[str, tuple[str, int, int | None]]:
    """By namespace: the first refusal."""
    return {
        refused.namespace: (refused.refusal.reason, refused.refusal.number, refused.refusal.taken)
        for refused in ledger.refusals.summary()
    }


def test_a_report_may_have_so_many_results() -> None:
    """The rest is not taken, the report counts as incomplete, and it is said."""
    sink, ledger = made(report_results=5)
    sink.upsert(raw("r", named("x", 88)))
    assert len(desired(ledger)) == 5
    assert first_refusals(ledger) == {"team-a": ("report-results", 88, 5)}
    sink.upsert(raw("r", named("x", 3)))
    assert desired(ledger) == set(named("x", 3))
    assert not ledger.refusals


def test_what_fails_is_taken_before_what_passes() -> None:
    """A flood of passing results hides no failure."""
    sink, ledger = made(report_results=5)
    passing = {"source": "kyverno", "policy": "q", "result": "pass", "resources": [{"name": n} for n in named("y", 50)]}
    failing = {"source": "kyverno", "policy": "p", "result": "fail", "resources": [{"name": n} for n in named("x", 4)]}
    sink.upsert(raw("r", [], results=[passing, failing]))
    assert desired(ledger) == set(named("x", 4))


def test_nothing_ends_by_a_report_that_was_cut() -> None:
    """What it called for stands, whatever it lists and passes beyond its limit; what it holds does not grow either."""
    sink, ledger = made(report_results=5, namespace_findings=7)
    sink.upsert(raw("r", named("x", 5)))
    before = desired(ledger)
    sink.upsert(raw("r", named("x", 88), result="pass"))
    assert desired(ledger) == before
    for turn in range(20):
        sink.upsert(raw("r", named(f"t{turn}-", 88)))
    assert desired(ledger) >= before
    assert len(desired(ledger)) == 7


def test_a_report_may_have_so_many_bytes() -> None:
    """A larger one is not read: what it called for stands, and it is said."""
    sink, ledger = made(report_bytes=2_000)
    sink.upsert(raw("r", named("x", 3)))
    sink.upsert(raw("r", named("y", 100)))
    assert desired(ledger) == set(named("x", 3))
    reason, number, taken = first_refusals(ledger)["team-a"]
    assert (reason, taken) == ("report-bytes", None)
    assert number > 2_000
    sink.begin()
    sink.upsert(raw("r", named("y", 100)))
    sink.finish()
    assert desired(ledger) == set(named("x", 3)), "a listing has brought it, so it is not swept"


def test_a_report_of_nothing_but_brackets_is_not_decoded() -> None:
    """A few megabytes of empty results would take a hundred times their size."""
    sink, ledger = made()
    sink.upsert(raw("r", named("x", 3)))
    sink.upsert(raw("r", [], results=[{} for _ in range(150_000)]))
    assert desired(ledger) == set(named("x", 3))
    reason, number, taken = first_refusals(ledger)["team-a"]
    assert (reason, taken) == ("report-results", 0)
    assert number > 150_000


def test_a_namespace_may_have_so_many_findings() -> None:
    """In however many reports; another namespace is not concerned, and what ended makes room again."""
    sink, ledger = made(namespace_findings=10)
    for number in range(5):
        sink.upsert(raw(f"r{number}", named(f"x{number}-", 4)))
    sink.upsert(raw("s", named("s", 10), namespace="shop"))
    assert len(desired(ledger)) == 10
    assert len(desired(ledger, "shop")) == 10
    assert first_refusals(ledger)["team-a"] == ("namespace-limit", 4, 2)
    assert "shop" not in first_refusals(ledger)
    for number in range(5):
        sink.delete(raw(f"r{number}", []))
    for id_ in list(ledger.agenda.dirty):
        ledger.mark_decided(ledger.entries[id_], None)
    sink.upsert(raw("again", named("z", 10)))
    assert desired(ledger) == set(named("z", 10))
    assert not ledger.refusals


def test_what_has_a_place_keeps_it() -> None:
    """A full namespace goes on changing what it has; a rewrite in another order changes nothing."""
    sink, ledger = made(namespace_findings=5)
    sink.upsert(raw("r", named("x", 8)))
    first = desired(ledger)
    ledger.agenda.dirty.clear()
    sink.upsert(raw("r", reversed(named("x", 8))))
    assert desired(ledger) == first
    assert not ledger.agenda.dirty


def test_what_security_hub_holds_takes_room_too() -> None:
    """Findings that nobody reports any more are counted until they are archived: rewriting a report with others again
    and again makes no more findings than the namespace may have.
    """
    sink, ledger = made(namespace_findings=10)
    for turn in range(6):
        sink.upsert(raw("r", named(f"t{turn}-", 5)))
        for id_ in list(ledger.agenda.dirty):
            entry = ledger.entries[id_]
            if entry.desired:
                ledger.mark_in_flight(entry)
                known = ObservedFinding(digest=entry.digest, created_at=WALL, updated_at=WALL, archived=False)
                ledger.acknowledge(entry, known, now=NOW)
            ledger.mark_decided(entry, None)
    active = [e for e in ledger.entries.values() if e.observed is not None and not e.observed.archived]
    assert len(active) == 10


def test_a_restart_takes_what_security_hub_already_has() -> None:
    """What the inventory brought has its place before it is reported again."""
    sink, ledger = made(namespace_findings=3)
    ids = [
        finding_id("alpha", Identity("kyverno", "p", "r", Subject("", "ConfigMap", "team-a", name), ""))
        for name in named("x", 3)
    ]
    known = ObservedFinding(digest="d", created_at=WALL, updated_at=WALL, archived=False)
    held = [
        Observation(
            id=id_,
            observed=known,
            cluster_uid="uid-1",
            source_api=SOURCE_API,
            rule="r",
            source="kyverno",
            object_ref=ObjectRef("", "v1", "ConfigMap", "team-a", f"x{number}"),
        )
        for number, id_ in enumerate(ids)
    ]
    ledger.observed.take_part("", held, now=NOW)
    sink.upsert(raw("r", [*named("y", 3), *named("x", 3)]))
    assert desired(ledger) == set(named("x", 3))


def test_the_texts_of_a_namespace_are_limited() -> None:
    """A report whose texts have no room is not taken; what it said before stands."""
    sink, ledger = made(namespace_findings=5)
    long = [{"source": "kyverno", "policy": f"p{n}", "result": "fail", "message": "m" * 2_000} for n in range(4)]
    sink.upsert(raw("r", [], results=long))
    sink.upsert(raw("s", [], results=long))
    assert len([e for e in ledger.entries.values() if e.claims]) == 4
    assert first_refusals(ledger)["team-a"] == ("namespace-limit", 4, 0)


@pytest.mark.parametrize("archived", [False, True], ids=["new", "archived"])
def test_imports_of_a_namespace_wait_for_the_next_day(archived: bool) -> None:  # noqa: FBT001  (a case)
    """Whatever the change is; a finding of another namespace does not wait."""
    sink, ledger = made(namespace_imports=1)
    sink.upsert(raw("r", ["x"]))
    sink.upsert(raw("s", ["x"], namespace="shop"))
    entries = {e.representative.subject.namespace: e for e in ledger.entries.values() if e.representative is not None}
    entry = entries["team-a"]
    if archived:
        entry.observed = ObservedFinding(digest="d", created_at=WALL, updated_at=WALL, archived=False)
        ledger.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=SteadyMs(1)))
        ledger.sources.set_reports_listed(listed=True)
        ledger.sources.confirm([SOURCE_API], now=NOW + 10**12)
        sink.upsert(raw("r", ["x"], result="pass"))
    ledger.usage.count_import("team-a", now=NOW)
    decision = ledger.decide(entry, rules=RULES, now=NOW, wall_clock=WALL)[0]
    assert decision == Wait(NOW + DAY_MS, Hold.BUDGET)
    ledger.mark_decided(entry, Wait(NOW + DAY_MS, Hold.BUDGET))
    assert ledger.agenda.count(Hold.BUDGET) == 1
    assert ledger.decide(entries["shop"], rules=RULES, now=NOW, wall_clock=WALL)[0] is Change.NEW
    ledger.wake(NOW + DAY_MS)
    assert not ledger.agenda.count(Hold.BUDGET)
    after = ledger.decide(entry, rules=RULES, now=NOW + DAY_MS, wall_clock=WALL + DAY_MS)[0]
    assert after is (Change.ARCHIVED if archived else Change.NEW)


def test_names_of_engines_are_limited_by_namespace() -> None:
    """Who writes reports under thousands of engines' names fills his own room only."""
    sink, _ = made()
    stamp = {"seconds": NOW // 1000}
    for number in range(100):
        sink.upsert(
            raw("r", [], results=[{"source": f"fake{number}", "policy": "p", "result": "pass", "timestamp": stamp}])
        )
    sink.upsert(
        raw(
            "s",
            [],
            namespace="shop",
            results=[{"source": "kyverno", "policy": "p", "result": "pass", "timestamp": stamp}],
        )
    )
    assert len(sink.newest_by) == 11
    assert sink.newest_by["kyverno"] == NOW // 1000
