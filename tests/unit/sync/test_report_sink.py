"""The view of one source API: mark and sweep, malformed objects, positive evidence, coverage."""

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from policyhub.api.reason import Cause, Reason
from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.doctor import engines
from policyhub.findings.identity import finding_id
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Identity, Subject
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sync.entry import Observation, ObservedFinding
from policyhub.sync.ledger import Ledger

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
SOURCE_API = "policyreports.wgpolicyk8s.io"
WATCHING = ReflectorState(phase="watching", listed=1.0)
FAILED = ReflectorState(phase="failed", cause=Cause(Reason.UNREACHABLE, "cut"))


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.ahead = 0
        """How far the wall clock is ahead."""

    def __call__(self) -> SteadyMs:
        return self.now

    def wall_clock(self) -> WallMs:
        return WallMs(int(self.now) + self.ahead)


def made() -> tuple[ReportSink, Ledger, Clock]:
    clock = Clock()
    ledger = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    ledger.observed.take_part("", [], now=NOW)
    sink = ReportSink(
        cluster="alpha",
        group="wgpolicyk8s.io",
        resource="policyreports",
        ledger=ledger,
        filter_=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=clock,
        wall_clock=clock.wall_clock,
    )
    return sink, ledger, clock


def raw(name: str, result: str = "fail", *, errors: int = 0, **metadata: Any) -> bytes:
    """`errors` policies could not be evaluated and are not listed."""
    return msgspec.json.encode(
        {
            "summary": {"error": errors},
            "metadata": {"name": name, "namespace": "shop", **metadata},
            "scope": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "namespace": "shop"},
            "results": [{"source": "kyverno", "policy": "p", "rule": "r", "result": result}],
        }
    )


def identity(name: str) -> Identity:
    return Identity("kyverno", "p", "r", Subject("apps", "Deployment", "shop", name), "")


def desired(ledger: Ledger) -> set[str]:
    return {e.representative.subject.name for e in ledger.entries.values() if e.claims and e.representative is not None}


def list_all(sink: ReportSink, *objects: bytes) -> None:
    sink.begin()
    for document in objects:
        sink.upsert(document)
    sink.finish()


def test_listing_sweeps_what_it_lacks() -> None:
    """What was known and is not in a complete listing is gone."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"), raw("b"))
    list_all(sink, raw("b"))
    assert desired(ledger) == {"b"}


def test_listing_that_fails_sweeps_nothing() -> None:
    """A listing that breaks off replaces nothing, and what it did bring is true."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"))
    sink.begin()
    sink.upsert(raw("b"))
    sink.abort()
    assert desired(ledger) == {"a", "b"}


def test_object_without_a_name_stops_the_sweep_and_no_other() -> None:
    """An object that cannot be read may be any that was known: nothing is swept, and the rest is taken."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"), raw("b"))
    list_all(sink, b'{"metadata": {"name": 7}}', raw("c"))
    assert desired(ledger) == {"a", "b", "c"}
    assert SOURCE_API in ledger.sources.unreadable
    list_all(sink, raw("c"))
    assert desired(ledger) == {"c"}
    assert SOURCE_API not in ledger.sources.unreadable


def test_an_object_that_could_not_be_taken_stands_and_nothing_else_waits_for_it() -> None:
    """It has a name: what it reported stands, what others reported is swept. Its namespace is unreadable meanwhile."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"), raw("b"))
    sink.begin()
    sink.unreadable(raw("b"), RecursionError("deep"))
    sink.upsert(raw("c"))
    sink.finish()
    assert desired(ledger) == {"b", "c"}
    assert ledger.sources.unreadable == {SOURCE_API: frozenset({"shop"})}
    list_all(sink, raw("c"))
    assert desired(ledger) == {"c"}
    assert not ledger.sources.unreadable


def test_deleted_object_is_gone() -> None:
    """A DELETED event ends the calls of its object; one that cannot be read ends none."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"), raw("b"))
    sink.delete(b'{"metadata": {}}')
    sink.delete(raw("a"))
    assert desired(ledger) == {"b"}


def test_grading_listing_gives_positive_evidence() -> None:
    """When asked to grade, a listing clears what only Security Hub knows and a report reads as pass; a grading that
    breaks off is made up for by the next listing.
    """
    sink, ledger, _ = made()
    known = ObservedFinding("d", WALL, WALL, archived=False)
    id_ = finding_id("alpha", identity("a"))
    ledger.observed.take_part("", [Observation(id_, known, "uid-1", SOURCE_API, "r")], now=NOW)
    list_all(sink, raw("a", "pass"))
    assert not ledger.entries[id_].passed
    sink.grade = True
    sink.begin()
    sink.abort()
    list_all(sink, raw("a", "pass"))
    assert ledger.entries[id_].passed


def test_a_cut_watch_keeps_the_start_of_the_listing_state() -> None:
    """A watch that resumes has missed nothing, so the time since which the API is seen whole stands; a new listing
    begins it anew.
    """
    sink, ledger, clock = made()
    sink.state(WATCHING)
    assert SOURCE_API not in ledger.sources.listing_states  # nothing was listed yet
    list_all(sink)
    sink.state(WATCHING)
    clock.now += 1000
    sink.state(FAILED)
    assert not ledger.sources.listing_states[SOURCE_API].live
    clock.now += 1000
    sink.state(WATCHING)
    assert (ledger.sources.listing_states[SOURCE_API].since, ledger.sources.listing_states[SOURCE_API].resumed) == (
        NOW,
        NOW + 2000,
    )
    sink.state(FAILED)
    clock.now += 1000
    list_all(sink)
    sink.state(WATCHING)
    assert (ledger.sources.listing_states[SOURCE_API].since, ledger.sources.listing_states[SOURCE_API].resumed) == (
        NOW + 3000,
        NEVER,
    )


def test_rewrite_changes_nothing() -> None:
    """The same words with another resourceVersion leave nothing to send."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"))
    ledger.agenda.dirty.clear()
    sink.upsert(raw("a", resourceVersion="2"))
    assert not ledger.agenda.dirty


def test_what_could_not_be_evaluated_stands_and_what_passes_ends() -> None:
    """A report of which some policies could not be evaluated ends no call by silence, and ends one by a pass. It may
    call for what is known from Security Hub only.
    """
    sink, ledger, _ = made()
    list_all(sink, raw("a"))
    empty = msgspec.json.decode(raw("a", errors=1))
    empty["results"] = []
    sink.upsert(msgspec.json.encode(empty))
    assert desired(ledger) == {"a"}
    assert ledger.sources.incomplete
    sink.upsert(raw("a", "pass", errors=1))
    entry = ledger.entries[finding_id("alpha", identity("a"))]
    assert (entry.desired, entry.passed) == (False, True)


def test_a_pass_counts_in_a_report_that_cannot_be_read_whole() -> None:
    """An unknown word for one result hides other results, and not the one that passes."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"))
    odd = msgspec.json.decode(raw("a", "pass"))
    odd["results"].append({"source": "kyverno", "policy": "p", "rule": "other", "result": "info"})
    sink.upsert(msgspec.json.encode(odd))
    assert ledger.entries[finding_id("alpha", identity("a"))].passed


def test_a_listing_has_two_times() -> None:
    """By the one clock it is older or younger than other listings, by the wall clock people are told of it."""
    sink, _, clock = made()
    assert (sink.last_listed, sink.listed_at) == (NEVER, UNDATED)
    clock.ahead = 86_400_000
    list_all(sink)
    assert (sink.last_listed, sink.listed_at) == (NOW, WALL + 86_400_000)


def test_the_same_in_another_order_is_no_change() -> None:
    """Kyverno's pod security (sources/canonical.py): nothing is looked at again, and nothing is sent."""
    sink, _, _ = made()

    def scanned(*controls: str) -> bytes:
        listed = msgspec.json.encode([{"ID": one} for one in controls]).decode()
        reasons = "".join(f"(Forbidden reason: {one}, field error list: [])" for one in controls)
        result = {
            "source": "kyverno",
            "policy": "p",
            "result": "fail",
            "message": f'It violates PodSecurity "restricted:latest": {reasons}',
            "properties": {"controls": ",".join(controls), "controlsJSON": listed},
        }
        return msgspec.json.encode({"metadata": {"name": "r", "namespace": "shop"}, "results": [result]})

    list_all(sink, scanned("a", "b", "c"))
    sink.upsert(scanned("c", "a", "b"))
    sink.upsert(scanned("b", "c", "a"))
    counted = [
        sink._metrics.watch_events.labels("alpha", SOURCE_API, kind)._value.get() for kind in ("semantic", "none")
    ]
    assert counted == [1, 2]


def test_an_engine_that_was_removed_is_not_silent() -> None:
    """Its newest time is kept while a report names it or a finding of it is active; after that it is not missed."""
    sink, ledger, _ = made()
    moment = int(NOW) // 1000 - 9 * 3600

    def report_with(name: str, engine: str) -> bytes:
        document = msgspec.json.decode(raw(name))
        document["results"][0] |= {"source": engine, "timestamp": {"seconds": moment, "nanos": 0}}
        return msgspec.json.encode(document)

    list_all(sink, report_with("a", "kyverno"), report_with("b", "scanner"))
    assert sink.newest_by == {"kyverno": moment, "scanner": moment}
    ledger.guard.count(("scanner", "shop"), 1)
    list_all(sink, report_with("a", "kyverno"))
    assert sink.newest_by == {"kyverno": moment, "scanner": moment}
    ledger.guard.count(("scanner", "shop"), -1)
    list_all(sink, report_with("a", "kyverno"))
    assert sink.newest_by == {"kyverno": moment}


def test_what_constraints_lack_is_counted_while_they_do() -> None:
    """Without an audit, and with a list that is cut: until one comes, the list is whole, or the constraint is gone."""
    ledger = made()[1]
    sink = ReportSink(
        cluster="alpha",
        group="constraints.gatekeeper.sh",
        resource="k8spods",
        ledger=ledger,
        filter_=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: NOW,
        wall_clock=lambda: WALL,
    )

    def constraint(name: str, status: dict[str, Any] | None) -> bytes:
        made_at = {"name": name, "creationTimestamp": "2026-09-01T00:00:00Z"}
        return msgspec.json.encode({"kind": "K8sPods", "metadata": made_at, "status": status or {}})

    listed = [{"kind": "Pod", "version": "v1", "namespace": "shop", "name": "a", "message": "m"}]
    audited = {"auditTimestamp": "2026-09-21T14:00:00Z", "violations": listed}
    list_all(sink, constraint("new", None), constraint("cut", {**audited, "totalViolations": 5}))
    assert {key.name: at for key, at in sink.unaudited.items()} == {"new": 1_788_220_800}
    assert {key.name: (sink.listed[key], more) for key, more in sink.unlisted.items()} == {"cut": (1, 4)}
    sink.upsert(constraint("new", audited))
    sink.upsert(constraint("cut", {**audited, "totalViolations": 1}))
    assert (sink.unaudited, sink.unlisted, sink.listed) == ({}, {}, {})
    sink.upsert(constraint("gone", {**audited, "totalViolations": 9}))
    sink.delete(constraint("gone", None))
    assert (sink.unaudited, sink.unlisted, sink.listed) == ({}, {}, {})


def test_a_log_of_events_is_never_silent() -> None:
    """Its newest time would look like an engine that has stopped, whenever nothing happens; to the doctor too."""
    results = [
        {"policy": "p", "rule": "r", "result": "fail", "timestamp": {"seconds": int(NOW) // 1000 - 9}, **more}
        for more in ({"source": "house log", "properties": {"pid": "1", "eventID": "2"}}, {"source": "scanner"})
    ]
    report = msgspec.json.encode({"metadata": {"name": "log", "namespace": "shop"}, "results": results})
    sink, _, _ = made()
    list_all(sink, report)
    assert sink.newest_by.keys() == {"scanner"}
    seen = engines.Seen()
    seen.take(reader.read("wgpolicyk8s.io", "policyreports", report, latest=int(NOW) // 1000))
    assert seen.engines().newest.keys() == {"scanner"}
