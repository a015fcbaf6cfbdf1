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
ORIGIN = "policyreports.wgpolicyk8s.io"
WATCHING = ReflectorState(phase="watching", listed=1.0)
FAILED = ReflectorState(phase="failed", cause=Cause(Reason.UNREACHABLE, "cut"))


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.ahead = 0
        """How far the wall clock is ahead."""

    def __call__(self) -> SteadyMs:
        return self.now

    def wall(self) -> WallMs:
        return WallMs(int(self.now) + self.ahead)


def made() -> tuple[ReportSink, Ledger, Clock]:
    clock = Clock()
    ledger = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    ledger.observed.take_part("", [], now=NOW)
    view = ReportSink(
        cluster="alpha",
        group="wgpolicyk8s.io",
        resource="policyreports",
        ledger=ledger,
        wanted=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=clock,
        wall=clock.wall,
    )
    return view, ledger, clock


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


def wanted(ledger: Ledger) -> set[str]:
    return {e.representative.subject.name for e in ledger.entries.values() if e.claims and e.representative is not None}


def list_all(view: ReportSink, *objects: bytes) -> None:
    view.begin()
    for document in objects:
        view.upsert(document)
    view.finish()


def test_listing_sweeps_what_it_lacks() -> None:
    """What was known and is not in a complete listing is gone."""
    view, ledger, _ = made()
    list_all(view, raw("a"), raw("b"))
    list_all(view, raw("b"))
    assert wanted(ledger) == {"b"}


def test_listing_that_fails_sweeps_nothing() -> None:
    """A listing that breaks off replaces nothing, and what it did bring is true."""
    view, ledger, _ = made()
    list_all(view, raw("a"))
    view.begin()
    view.upsert(raw("b"))
    view.abort()
    assert wanted(ledger) == {"a", "b"}


def test_object_without_a_name_stops_the_sweep_and_no_other() -> None:
    """An object that cannot be read may be any that was known: nothing is swept, and the rest is taken."""
    view, ledger, _ = made()
    list_all(view, raw("a"), raw("b"))
    list_all(view, b'{"metadata": {"name": 7}}', raw("c"))
    assert wanted(ledger) == {"a", "b", "c"}
    assert ORIGIN in ledger.sources.unreadable
    list_all(view, raw("c"))
    assert wanted(ledger) == {"c"}
    assert ORIGIN not in ledger.sources.unreadable


def test_an_object_that_could_not_be_taken_stands_and_nothing_else_waits_for_it() -> None:
    """It has a name: what it reported stands, what others reported is swept. Its namespace is unreadable meanwhile."""
    view, ledger, _ = made()
    list_all(view, raw("a"), raw("b"))
    view.begin()
    view.unreadable(raw("b"), RecursionError("deep"))
    view.upsert(raw("c"))
    view.finish()
    assert wanted(ledger) == {"b", "c"}
    assert ledger.sources.unreadable == {ORIGIN: frozenset({"shop"})}
    list_all(view, raw("c"))
    assert wanted(ledger) == {"c"}
    assert not ledger.sources.unreadable


def test_deleted_object_is_gone() -> None:
    """A DELETED event ends the calls of its object; one that cannot be read ends none."""
    view, ledger, _ = made()
    list_all(view, raw("a"), raw("b"))
    view.delete(b'{"metadata": {}}')
    view.delete(raw("a"))
    assert wanted(ledger) == {"b"}


def test_grading_listing_gives_positive_evidence() -> None:
    """When asked to grade, a listing clears what only Security Hub knows and a report reads as pass; a grading that
    breaks off is made up for by the next listing.
    """
    view, ledger, _ = made()
    known = ObservedFinding("d", WALL, WALL, archived=False)
    id_ = finding_id("alpha", identity("a"))
    ledger.observed.take_part("", [Observation(id_, known, "uid-1", ORIGIN, "r")], now=NOW)
    list_all(view, raw("a", "pass"))
    assert not ledger.entries[id_].passed
    view.grade = True
    view.begin()
    view.abort()
    list_all(view, raw("a", "pass"))
    assert ledger.entries[id_].passed


def test_coverage_goes_on_over_a_cut_watch() -> None:
    """A watch that resumes has missed nothing, so the time since which the API is seen whole stands; a new listing
    begins it anew.
    """
    view, ledger, clock = made()
    view.state(WATCHING)
    assert ORIGIN not in ledger.sources.coverage  # nothing was listed yet
    list_all(view)
    view.state(WATCHING)
    clock.now += 1000
    view.state(FAILED)
    assert not ledger.sources.coverage[ORIGIN].live
    clock.now += 1000
    view.state(WATCHING)
    assert (ledger.sources.coverage[ORIGIN].since, ledger.sources.coverage[ORIGIN].resumed) == (NOW, NOW + 2000)
    view.state(FAILED)
    clock.now += 1000
    list_all(view)
    view.state(WATCHING)
    assert (ledger.sources.coverage[ORIGIN].since, ledger.sources.coverage[ORIGIN].resumed) == (NOW + 3000, NEVER)


def test_rewrite_changes_nothing() -> None:
    """The same words with another resourceVersion leave nothing to send."""
    view, ledger, _ = made()
    list_all(view, raw("a"))
    ledger.agenda.dirty.clear()
    view.upsert(raw("a", resourceVersion="2"))
    assert not ledger.agenda.dirty


def test_what_could_not_be_evaluated_stands_and_what_passes_ends() -> None:
    """A report of which some policies could not be evaluated ends no call by silence, and ends one by a pass. It may
    call for what is known from Security Hub only.
    """
    view, ledger, _ = made()
    list_all(view, raw("a"))
    empty = msgspec.json.decode(raw("a", errors=1))
    empty["results"] = []
    view.upsert(msgspec.json.encode(empty))
    assert wanted(ledger) == {"a"}
    assert ledger.sources.incomplete
    view.upsert(raw("a", "pass", errors=1))
    entry = ledger.entries[finding_id("alpha", identity("a"))]
    assert (entry.desired, entry.passed) == (False, True)


def test_a_pass_counts_in_a_report_that_cannot_be_read_whole() -> None:
    """An unknown word for one result hides other results, and not the one that passes."""
    view, ledger, _ = made()
    list_all(view, raw("a"))
    odd = msgspec.json.decode(raw("a", "pass"))
    odd["results"].append({"source": "kyverno", "policy": "p", "rule": "other", "result": "info"})
    view.upsert(msgspec.json.encode(odd))
    assert ledger.entries[finding_id("alpha", identity("a"))].passed


def test_a_listing_has_two_times() -> None:
    """By the one clock it is older or younger than other listings, by the wall clock people are told of it."""
    view, _, clock = made()
    assert (view.last_listed, view.listed_at) == (NEVER, UNDATED)
    clock.ahead = 86_400_000
    list_all(view)
    assert (view.last_listed, view.listed_at) == (NOW, WALL + 86_400_000)


def test_the_same_in_another_order_is_no_change() -> None:
    """Kyverno's pod security (sources/canonical.py): nothing is looked at again, and nothing is sent."""
    view, _, _ = made()

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

    list_all(view, scanned("a", "b", "c"))
    view.upsert(scanned("c", "a", "b"))
    view.upsert(scanned("b", "c", "a"))
    counted = [view._metrics.watch_events.labels("alpha", ORIGIN, kind)._value.get() for kind in ("semantic", "none")]
    assert counted == [1, 2]


def test_an_engine_that_was_removed_is_not_silent() -> None:
    """Its newest time is kept while a report names it or a finding of it is active; after that it is not missed."""
    view, ledger, _ = made()
    moment = int(NOW) // 1000 - 9 * 3600

    def says(name: str, engine: str) -> bytes:
        document = msgspec.json.decode(raw(name))
        document["results"][0] |= {"source": engine, "timestamp": {"seconds": moment, "nanos": 0}}
        return msgspec.json.encode(document)

    list_all(view, says("a", "kyverno"), says("b", "scanner"))
    assert view.newest_by == {"kyverno": moment, "scanner": moment}
    ledger.guard.count(("scanner", "shop"), 1)
    list_all(view, says("a", "kyverno"))
    assert view.newest_by == {"kyverno": moment, "scanner": moment}
    ledger.guard.count(("scanner", "shop"), -1)
    list_all(view, says("a", "kyverno"))
    assert view.newest_by == {"kyverno": moment}


def test_what_constraints_lack_is_counted_while_they_do() -> None:
    """Without an audit, and with a list that is cut: until one comes, the list is whole, or the constraint is gone."""
    ledger = made()[1]
    view = ReportSink(
        cluster="alpha",
        group="constraints.gatekeeper.sh",
        resource="k8spods",
        ledger=ledger,
        wanted=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: NOW,
        wall=lambda: WALL,
    )

    def constraint(name: str, status: dict[str, Any] | None) -> bytes:
        made_at = {"name": name, "creationTimestamp": "2026-09-01T00:00:00Z"}
        return msgspec.json.encode({"kind": "K8sPods", "metadata": made_at, "status": status or {}})

    listed = [{"kind": "Pod", "version": "v1", "namespace": "shop", "name": "a", "message": "m"}]
    audited = {"auditTimestamp": "2026-09-21T14:00:00Z", "violations": listed}
    list_all(view, constraint("new", None), constraint("cut", {**audited, "totalViolations": 5}))
    assert {key.name: at for key, at in view.unaudited.items()} == {"new": 1_788_220_800}
    assert {key.name: (view.listed[key], more) for key, more in view.unlisted.items()} == {"cut": (1, 4)}
    view.upsert(constraint("new", audited))
    view.upsert(constraint("cut", {**audited, "totalViolations": 1}))
    assert (view.unaudited, view.unlisted, view.listed) == ({}, {}, {})
    view.upsert(constraint("gone", {**audited, "totalViolations": 9}))
    view.delete(constraint("gone", None))
    assert (view.unaudited, view.unlisted, view.listed) == ({}, {}, {})


def test_a_log_of_events_is_never_silent() -> None:
    """Its newest time would look like an engine that has stopped, whenever nothing happens; to the doctor too."""
    results = [
        {"policy": "p", "rule": "r", "result": "fail", "timestamp": {"seconds": int(NOW) // 1000 - 9}, **more}
        for more in ({"source": "house log", "properties": {"pid": "1", "eventID": "2"}}, {"source": "scanner"})
    ]
    report = msgspec.json.encode({"metadata": {"name": "log", "namespace": "shop"}, "results": results})
    view, _, _ = made()
    list_all(view, report)
    assert view.newest_by.keys() == {"scanner"}
    seen = engines.Seen()
    seen.take(reader.read("wgpolicyk8s.io", "policyreports", report, latest=int(NOW) // 1000))
    assert seen.engines().newest.keys() == {"scanner"}
