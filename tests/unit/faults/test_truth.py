"""The fault bench's two views of the truth: the driver's records, and the objects in the API server."""

import pytest

from tests.faults import manifests
from tests.faults.cluster_state import ClusterState, ReportedResult
from tests.faults.manifests import Result
from tests.faults.owner_graph import OwnerGraph, Ref
from tests.faults.truth import GATEKEEPER, Claim, Statement, Truth, Unlisted, Violation, ended
from tests.unit.faults.test_owner_graph import NEW, OLD, POD, WEB, rolled_out, stored

BAD = Violation("one", "alpha", "check", *WEB)
STAMP = {"seconds": 1_700_000_000, "nanos": 0}
FRESH = Ref("Pod", "north", "web-2-a")
KIND, NAME = "K", "whole"
LISTED = Violation(GATEKEEPER, KIND, NAME, *WEB)


def report_on(*about: Ref, failing: bool = True) -> Statement:
    """A report on one object, which fails or passes."""
    claims = frozenset(Claim("one", "alpha", "check", ref) for ref in about if failing)
    return Statement(claims, "one", about[0], scanned=frozenset(("one", ref) for ref in about if ref.kind == "Pod"))


def listed(*pods: Ref, audited: int) -> Statement:
    return Statement(frozenset(Claim(GATEKEEPER, KIND, NAME, pod) for pod in pods), audited=audited)


def failing_pod() -> Truth:
    """One Pod of a Deployment, with a failing report from 1 on."""
    truth = Truth()
    for document in (stored(OLD, owner=WEB, revision=1), stored(POD, owner=OLD, created=5)):
        truth.put(document, now=0)
    truth.record(("pod",), report_on(POD), now=1)
    return truth


def test_a_violation_lasts_from_its_first_claim_to_its_last() -> None:
    """Two reports with the same result are one violation, which ends when neither has it any more."""
    truth = Truth()
    bad, good = report_on(WEB), report_on(WEB, failing=False)
    for key, moment, statement in (("x", 1, bad), ("y", 2, bad), ("x", 3, good), ("y", 4, None), ("y", 9, bad)):
        truth.record((key,), statement, now=moment)
    assert truth.existed[BAD] == [[1, 4], [9]]
    assert truth.violations() == {BAD}


def test_a_rollout_ends_no_violation() -> None:
    """Reported on each level, by Pods that are replaced: one violation, all the time."""
    truth = failing_pod()
    truth.put(stored(NEW, owner=WEB, revision=2), now=2)
    truth.put(stored(FRESH, owner=NEW), now=3)
    truth.record(("fresh",), report_on(FRESH), now=4)
    truth.drop(POD, now=5)
    truth.record(("pod",), None, now=6)
    assert truth.existed == {BAD: [[1]]}
    truth.drop(FRESH, now=7)
    assert truth.existed == {BAD: [[1, 7]]}
    assert truth.violations() == set()


@pytest.mark.parametrize("first", ["pod", "report"])
def test_a_violation_lasts_until_new_pods_are_scanned(first: str) -> None:
    """The last failing Pod and its report are deleted, in either order: no claim is left, but the violation may exist
    until the engine has scanned the remaining objects.
    """
    truth = failing_pod()
    truth.put(stored(FRESH, owner=OLD), now=2)
    for moment, step in enumerate(("pod", "report") if first == "pod" else ("report", "pod"), 3):
        if step == "pod":
            truth.drop(POD, now=moment)
        else:
            truth.record(("pod",), None, now=moment)
    assert truth.violations() == set()
    assert truth.unscanned(BAD)
    assert truth.existed[BAD] == [[1]]
    truth.record(("fresh",), report_on(FRESH, failing=False), now=9)
    assert not truth.unscanned(BAD)
    assert truth.existed[BAD] == [[1, 9]]


def test_a_pass_of_another_engine_ends_nothing() -> None:
    """One engine's pass is no evidence for the policies of another."""
    truth = failing_pod()
    truth.put(stored(FRESH, owner=OLD), now=2)
    truth.record(("pod",), None, now=3)
    truth.record(("other",), Statement(by="two", about=WEB), now=4)
    assert truth.existed[BAD] == [[1]]


@pytest.mark.parametrize("key", ["pod", "own"])
def test_an_explicit_result_ends_it_before_pods_are_scanned(key: str) -> None:
    """The claiming report is rewritten without the result, or the object's own report passes."""
    truth = failing_pod()
    truth.put(stored(FRESH, owner=OLD), now=2)
    if key == "own":
        truth.record(("pod",), None, now=3)
    truth.record((key,), report_on(WEB if key == "own" else POD, failing=False), now=4)
    assert truth.existed[BAD] == [[1, 4]]


def test_an_audit_does_not_cover_newer_pods() -> None:
    """A list without the Deployment ends nothing while one of its Pods is younger than the audit."""
    truth = failing_pod()
    created = truth.owner_graph.objects[POD].created
    key = KIND, NAME
    truth.record(key, listed(POD, audited=created + 10), now=1)
    truth.put(stored(FRESH, owner=OLD, created=25), now=2)
    truth.put(stored(NEW, owner=WEB, revision=2, created=50), now=2)  # constraints are about Pods
    truth.drop(POD, now=3)
    truth.record(key, listed(POD, audited=created + 15), now=4)
    truth.record(key, listed(audited=created + 20), now=5)
    assert truth.existed[LISTED] == [[1]]
    truth.record(key, listed(audited=created + 21), now=6)
    assert truth.existed[LISTED] == [[1, 6]]


def test_a_deleted_constraint_claims_nothing() -> None:
    """However young the Pods are."""
    truth = failing_pod()
    truth.record((KIND, NAME), listed(POD, audited=1), now=1)
    assert truth.unscanned(LISTED)
    truth.record((KIND, NAME), None, now=2)
    assert truth.existed[LISTED] == [[1, 2]]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([[0.0]], False),
        ([[0.0, 15.0]], True),
        ([[0.0, 21.0]], False),
        ([[12.0]], True),
        ([[0.0, 5.0], [6.0]], False),
        ([], True),
    ],
)
def test_ended(spans: list[list[float]], *, expected: bool) -> None:
    """Whether the violation was absent at some moment between 10 and 20."""
    assert ended(spans, since=10, until=20) == expected


@pytest.mark.parametrize("kind", ["PolicyReport", "Report", "ClusterPolicyReport", "ClusterReport"])
def test_reports_are_read(kind: str) -> None:
    """Failing, warning and erroneous results are violations, with status, severity and message; others are not."""
    about = Ref("ClusterRole", "", "web-1") if kind.startswith("Cluster") else Ref("Deployment", "north", "web-1")
    results = [Result("alpha", "check"), Result("alpha", "limit", "warn", "high", 2), Result("beta", "check", "pass")]
    state = ClusterState()
    state.read_report(manifests.report(about, results, source="one", kind=kind, stamp=STAMP))
    first = Violation("one", "alpha", "check", *about)
    assert state.seen == {
        first: {ReportedResult("FAILED", "MEDIUM", "check of alpha is not met, as seen in way 0")},
        first._replace(rule="limit"): {
            ReportedResult("WARNING", "HIGH", "limit of alpha is not met, as seen in way 2")
        },
    }


def test_reports_on_pods_are_rolled_up() -> None:
    """By the owners in the API server, without Pod names in messages; the Deployment's own result comes first."""
    state = ClusterState(owner_graph=rolled_out())
    results = [Result("alpha", "check", "warn", "low")]
    state.read_report(manifests.report(POD, [Result("alpha", "check")], source="one", kind="Report", stamp=STAMP))
    fails = ReportedResult("FAILED", "MEDIUM", "check of alpha is not met by <pod>, as seen in way 0", own=False)
    assert state.representative(BAD) == fails
    state.read_report(manifests.report(OLD, results, source="one", kind="Report", stamp=STAMP))
    assert state.representative(BAD) == fails
    state.read_report(manifests.report(WEB, results, source="one", kind="Report", stamp=STAMP))
    assert state.representative(BAD) == ReportedResult("WARNING", "LOW", "check of alpha is not met, as seen in way 0")
    state.read_report(manifests.report(FRESH, [Result("beta", "check")], source="one", kind="Report", stamp=STAMP))
    assert state.seen.keys() == {BAD}


def test_constraints_are_read() -> None:
    """The listed Pods that exist are read; in a truncated list, objects with Pods beyond its last entry are
    undecided.
    """
    owner_graph = OwnerGraph()
    pods = [Ref("Pod", "north", f"pod-{n}") for n in range(8)]
    for pod in pods[1:]:
        owner_graph.put(stored(pod))
    state = ClusterState(owner_graph=owner_graph)
    state.unlisted = Unlisted({}, owner_graph)
    state.read_constraint(manifests.constraint("whole", pods[:3], total=3, kind="K", audited=1))
    state.read_constraint(manifests.constraint("cut", pods[:3], total=5, kind="K", audited=1))
    state.read_constraint(manifests.constraint("one", pods[:1], total=5, kind="K", audited=1))
    notices = {v for v in state.seen if v.kind == "K"}
    assert {v.name for v in notices} == {"cut", "one"}
    assert len(state.seen) == 4 + len(notices)
    assert state.unlisted.cut == {("K", "cut"): ("north", "pod-2"), ("K", "one"): None}
    beyond = Violation(GATEKEEPER, "K", "cut", *pods[7])
    opened = state.unlisted.leaves_open
    assert opened(beyond)
    assert not opened(beyond._replace(name="pod-1"))
    assert not opened(beyond._replace(rule="whole"))
    assert opened(beyond._replace(rule="one", name="pod-1"))


def test_a_controller_is_undecided_if_one_of_its_pods_is() -> None:
    """A truncated list covers a Deployment if it covers each of its Pods, for a reader who knows the Pods."""
    owner_graph = rolled_out()
    cut = {(KIND, NAME): ("north", "web-1-b")}
    assert not Unlisted(cut, owner_graph).leaves_open(LISTED)
    assert Unlisted(cut, owner_graph, restarted=True).leaves_open(LISTED)
    owner_graph.put(stored(FRESH, owner=NEW))
    assert Unlisted(cut, owner_graph).leaves_open(LISTED)
