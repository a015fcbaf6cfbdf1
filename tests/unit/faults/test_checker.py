"""The checker of the fault bench finds every kind of broken promise, and shares no code with the operator."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults import checker
from tests.faults.checker import PROMISES, UnknownOutcomes, Verdict
from tests.faults.cluster_state import ClusterState, ReportedResult
from tests.faults.owner_graph import Ref
from tests.faults.truth import Claim, Statement, Truth, Unlisted, Violation
from tests.unit.faults.test_owner_graph import stored

TOP = Path(checker.__file__).parent
A = Violation("kyverno", "alpha", "check", "Deployment", "north", "web-1")
B = Violation("kyverno", "beta", "check", "Deployment", "north", "web-1")
OTHER_RULE = A._replace(rule="limit")
POD = Violation("gatekeeper", "K8sAllowedRepos", "repos", "Pod", "north", "pod-09")
ROLLED = A._replace(kind="Pod", name="web-1-x")
"""A Pod that rolls up to the Deployment but has a finding of its own."""
RESULT = ReportedResult("FAILED", "MEDIUM", "not met")
CREATED = "2026-01-01T00:00:00.000Z"


def finding(id_: str, violation: Violation, *, state: str = "ACTIVE", **members: Any) -> dict[str, Any]:
    found = {
        "Id": id_,
        "RecordState": state,
        "CreatedAt": CREATED,
        "Description": "somewhere: not met",
        "Compliance": {"Status": "FAILED"},
        "Severity": {"Label": "MEDIUM"},
        "FindingProviderFields": {"Severity": {"Label": "MEDIUM"}},
        "Workflow": {"Status": "NEW"},
        "ProductFields": {
            "policyhub/source": violation.source,
            "policyhub/policy": violation.policy,
            "policyhub/rule": violation.rule,
        },
        "Resources": [{"Details": {"Other": dict(zip(("Kind", "Namespace", "Name"), violation[3:], strict=True))}}],
    }
    return {**found, **members}


def entry(
    id_: str, moment: float, outcome: str, *, kind: str = "import", call: int = 0, **members: Any
) -> dict[str, Any]:
    states = {"failed": "", "lost": "", "archived": "ARCHIVED"}
    noted = {
        "kind": kind,
        "id": id_,
        "time": moment,
        "call": call or int(moment * 100),
        "outcome": outcome,
        "record_state": states.get(outcome, "ACTIVE"),
        "redundant": outcome == "redundant",
        "detail": "",
        "created_at": CREATED,
        "updated_at": "",
    }
    return {**noted, **members}


def truth(existed: Mapping[Violation, list[list[float]]]) -> Truth:
    actual = Truth()
    actual.put(stored(POD.subject), now=0)
    moments = sorted({moment for spans in existed.values() for span in spans for moment in span})
    for moment in moments:
        for violation, spans in existed.items():
            there = any(span[0] <= moment and (len(span) == 1 or span[1] > moment) for span in spans)
            claims = [Claim(*violation[:3], violation.subject)] if there else []
            actual.record(violation, Statement(frozenset(claims)), now=moment)
    return actual


def state(*seen: Violation, reported: ReportedResult = RESULT) -> ClusterState:
    return ClusterState(seen={violation: {reported} for violation in seen})


GOOD: dict[str, Any] = {
    "findings": [finding("a", A), finding("b", B, state="ARCHIVED")],
    "journal": [entry("a", 1, "created"), entry("b", 1, "created"), entry("b", 60, "archived")],
    "state": state(A),
    "existed": {A: [[0.0]], B: [[0.0, 50.0]]},
    "unlisted": Unlisted(),
    "triage": {},
    "permanent": set(),
    "unknown_outcomes": UnknownOutcomes(),
    "slack": 12.0,
}


def check(**changed: Any) -> Verdict:
    """Check a good run with some changes: A exists all along, B ended at 50 and was archived at 60."""
    run = {**GOOD, **changed}
    return checker.check(truth=truth(run.pop("existed")), **run)


def more(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [*GOOD["journal"], *entries]


def with_a(**members: Any) -> list[dict[str, Any]]:
    return [finding("a", A, **members), GOOD["findings"][1]]


def analysed(**values: Any) -> dict[str, Any]:
    """An analyst has updated A."""
    return {"triage": {"a": [values]}, "journal": more(entry("a", 70, "updated", kind="update"))}


def test_a_good_run_breaks_nothing() -> None:
    """The checker finds no problem in a run without one."""
    assert check().good
    assert check().imports == 3


CASES = [
    pytest.param({"existed": {A: [[0.0]], B: [[0.0, 61.0]]}}, "wrong", id="archived before its end"),
    pytest.param({"existed": {A: [[0.0]], B: [[0.0, 30.0], [40.0, 99.0]]}}, "wrong", id="archived after its return"),
    pytest.param({"permanent": {B}, "slack": 1000.0}, "wrong", id="archived although it never ends"),
    pytest.param({"existed": {A: [[0.0]]}}, "invented", id="a finding of what never was"),
    pytest.param({"findings": [*GOOD["findings"], finding("r", ROLLED)]}, "invented", id="a finding of a Pod"),
    pytest.param({"findings": [finding("r", ROLLED), GOOD["findings"][1]]}, "missing", id="of a Pod, in its place"),
    pytest.param({"state": state(A, B), "existed": {A: [[0]], B: [[0, 5], [70]]}}, "missing", id="lost"),
    pytest.param({"state": state(A, OTHER_RULE)}, "missing", id="lost, where another rule of the policy is there"),
    pytest.param({"state": state()}, "stale", id="left open"),
    pytest.param({"findings": [*GOOD["findings"], finding("c", A)]}, "double", id="two of one violation"),
    pytest.param(
        {"state": state(A, reported=ReportedResult("WARNING", "MEDIUM", "not met"))}, "differs", id="another result"
    ),
    pytest.param(
        {"state": state(A, reported=ReportedResult("FAILED", "HIGH", "not met"))}, "differs", id="another severity"
    ),
    pytest.param(
        {"state": state(A, reported=ReportedResult("FAILED", "MEDIUM", "now so"))}, "differs", id="another message"
    ),
    pytest.param(analysed(Workflow={"Status": "SUPPRESSED"}), "triage", id="workflow status lost"),
    pytest.param(analysed(Note={"Text": "mine"}), "triage", id="note lost"),
    pytest.param(analysed(Severity={"Label": "LOW"}), "triage", id="severity lost"),
    pytest.param(analysed(UserDefinedFields={"ticket": "1"}), "triage", id="user-defined fields lost"),
    pytest.param(analysed(VerificationState="TRUE_POSITIVE"), "triage", id="verification state lost"),
    pytest.param({"findings": with_a(Note={"Text": "whose?"})}, "triage", id="a note that no analyst wrote"),
    pytest.param({"findings": with_a(Severity={"Label": "HIGH"})}, "triage", id="a severity that nobody set"),
    pytest.param(
        {"journal": more(entry("a", 70, "changed", created_at="2026-01-02T00:00:00.000Z"))}, "moved", id="CreatedAt"
    ),
    pytest.param({"journal": more(entry("a", 70, "ignored"))}, "backwards", id="an import that came too late"),
    pytest.param({"journal": more(entry("a", 70, "redundant"))}, "forbidden", id="sent again without need"),
    pytest.param({"journal": more(entry("a", 70, "ignored", redundant=True))}, "forbidden", id="the same body again"),
    pytest.param({"journal": more(entry("a", 70, "changed")), "permanent": {A}}, "restless", id="sent at a rollout"),
    pytest.param({"existed": {A: [[0, 70]], B: [[0, 50]]}}, "disputed", id="the API server has what the driver denies"),
    pytest.param({"existed": {**GOOD["existed"], OTHER_RULE: [[0]]}}, "disputed", id="and lacks what it believes"),
]


@pytest.mark.parametrize(("changed", "promise"), CASES)
def test_each_broken_promise_is_found(changed: dict[str, Any], promise: str) -> None:
    """It is reported under its name, and the run is not good."""
    verdict = check(**changed)
    assert promise in dict(verdict.broken())
    assert not verdict.good


def test_each_promise_has_a_case() -> None:
    """No promise lacks a case that breaks it."""
    assert {case.values[1] for case in CASES} == set(PROMISES)


def test_triage_updates_accumulate() -> None:
    """Later updates add to earlier ones, and the last value of an attribute is expected."""
    triage = {"a": [{"Note": {"Text": "one"}, "Severity": {"Label": "LOW"}}, {"Note": {"Text": "two"}}]}
    journal = more(*(entry("a", moment, "updated", kind="update") for moment in (70, 71)))
    assert check(findings=with_a(Note={"Text": "two"}, Severity={"Label": "LOW"}), triage=triage, journal=journal).good


@pytest.mark.parametrize(
    ("set_at", "status", "kept"),
    [(5, "NOTIFIED", "NEW"), (5, "RESOLVED", "NEW"), (5, "SUPPRESSED", "SUPPRESSED"), (35, "NOTIFIED", "NOTIFIED")],
)
def test_the_reset_by_security_hub_is_allowed(set_at: int, status: str, kept: str) -> None:
    """A reactivated finding is NEW again if the analyst had set NOTIFIED or RESOLVED before."""
    came = [entry("a", 1, "created"), entry("a", 20, "archived"), entry("a", 30, "reactivated")]
    journal = sorted([*came, entry("a", set_at, "updated", kind="update")], key=lambda e: e["time"])
    run = {"journal": journal, "existed": {A: [[0, 10], [29]], B: [[0, 50]]}, "triage": {"a": [{"Workflow": {}}]}}
    run["triage"] = {"a": [{"Workflow": {"Status": status}}]}
    for has in ("NEW", "NOTIFIED", "RESOLVED", "SUPPRESSED"):
        assert check(findings=with_a(Workflow={"Status": has}), **run).good == (has == kept)


@pytest.mark.parametrize(
    ("before", "unknown_outcomes", "reason"),
    [
        pytest.param([entry("a", 65, "lost", kind="lost")], UnknownOutcomes(), "no answer", id="no answer"),
        pytest.param(
            [entry("a", 65, "lost", kind="lost", call=7), entry("a", 65, "changed", call=7)],
            UnknownOutcomes(),
            "no answer",
            id="written without an answer",
        ),
        pytest.param(
            [entry("a", 65, "failed", detail="InternalFailure: …")], UnknownOutcomes(), "partial", id="partial"
        ),
        pytest.param(
            [entry("a", 65, "changed")], UnknownOutcomes(kills=[65.5]), "killed", id="killed before the answer"
        ),
        pytest.param(
            [entry("a", 65, "changed")], UnknownOutcomes(overlaps=[(60, 66)]), "two at once", id="written by another"
        ),
        pytest.param([], UnknownOutcomes(overlaps=[(60, 71)]), "two at once", id="two at once"),
    ],
)
def test_redundant_imports_are_allowed_for_a_reason(
    before: list[dict[str, Any]], unknown_outcomes: UnknownOutcomes, reason: str
) -> None:
    """An import that changes nothing is allowed while the finding's last outcome is unknown, and not after an
    answer.
    """
    once = check(journal=more(*before, entry("a", 70, "redundant")), unknown_outcomes=unknown_outcomes)
    assert once.good
    assert once.allowed == {reason: 1}
    later = [entry("a", moment, "redundant") for moment in (70, 80, 90)]
    assert check(journal=more(*before, *later), unknown_outcomes=unknown_outcomes).forbidden


def test_a_lag_of_getfindings_is_no_excuse() -> None:
    """What an operator sent before the next one started is not sent again; a change may be ignored meanwhile."""
    lag = UnknownOutcomes(lags=[(60, 66)])
    sent = entry("a", 65, "changed")
    assert check(journal=more(sent, entry("a", 70, "redundant")), unknown_outcomes=lag).forbidden
    assert check(journal=more(entry("a", 65, "ignored")), unknown_outcomes=lag).good
    assert not check(journal=more(entry("a", 70, "ignored")), unknown_outcomes=lag).good


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([entry("b", 65, "lost", kind="lost")], id="another finding's"),
        pytest.param([entry("a", 65, "lost", kind="lost"), entry("a", 66, "changed")], id="answered since"),
        pytest.param([entry("a", 65, "failed", detail="InvalidAccess: …")], id="refused, so not written"),
    ],
)
def test_redundant_imports_without_a_reason_are_forbidden(before: list[dict[str, Any]]) -> None:
    """No reason: a lost answer of another finding, an answer in the meantime, a rejection."""
    assert check(journal=more(*before, entry("a", 70, "redundant"))).forbidden


def test_two_operators_may_create_the_same_finding() -> None:
    """Each with the first time that it knows; a single operator may not."""
    twice = more(entry("a", 1.5, "redundant", created_at="2026-01-02T00:00:00.000Z"))
    assert check(journal=twice, unknown_outcomes=UnknownOutcomes(overlaps=[(0, 3)])).good
    assert check(journal=twice).moved


def test_a_late_import_of_a_killed_operator_is_allowed() -> None:
    """An import that was in flight at the kill may arrive after the next operator's imports."""
    late = more(entry("a", 70, "ignored"))
    assert check(journal=late, unknown_outcomes=UnknownOutcomes(kills=[69.5])).good
    assert not check(journal=late, unknown_outcomes=UnknownOutcomes(kills=[60.0])).good


def cut(last: tuple[str, str] | None) -> Unlisted:
    owner_graph = truth({}).owner_graph
    return Unlisted({("K8sAllowedRepos", "repos"): last}, owner_graph)


def test_a_truncated_list_leaves_later_objects_undecided() -> None:
    """A violation beyond the last object of a truncated list may have a finding; a listed one must have one."""
    unlisted = cut(("north", "pod-05"))
    existed = {**GOOD["existed"], POD: [[0.0]]}
    run = {"existed": existed, "unlisted": unlisted, "state": ClusterState(seen=state(A).seen, unlisted=unlisted)}
    assert check(**run).good
    assert check(**run, findings=[*GOOD["findings"], finding("p", POD)]).good
    listed = {**run, "state": ClusterState(seen=state(A, POD).seen, unlisted=unlisted)}
    assert check(**listed).missing
    below = cut(("north", "pod-09"))
    assert check(**{**run, "unlisted": below, "state": ClusterState(seen=state(A).seen, unlisted=below)}).disputed


def rolled_out(*, scanned: bool) -> Truth:
    """The Pod that failed was replaced at 50; at 70 the engine passes the new one, if `scanned`."""
    actual = truth({A: [[0.0]]})
    owner, old, new = B.subject, Ref("Pod", "north", "web-1-x"), Ref("Pod", "north", "web-1-y")
    actual.put(stored(old, owner=owner), now=0)
    actual.record(
        (1,), Statement(frozenset({Claim(*B[:3], old)}), "kyverno", old, frozenset({("kyverno", old)})), now=0
    )
    actual.put(stored(new, owner=owner), now=49)
    actual.drop(old, now=50)
    actual.record((1,), None, now=50)
    if scanned:
        actual.record((2,), Statement(by="kyverno", about=new, scanned=frozenset({("kyverno", new)})), now=70)
    return actual


def test_a_finding_stays_until_new_pods_are_scanned() -> None:
    """While the engine has not scanned a new Pod, archiving the finding is wrong and keeping it is right. After that,
    the archive is due.
    """
    run = {key: value for key, value in GOOD.items() if key != "existed"}
    early = checker.check(truth=rolled_out(scanned=False), **run)
    assert [promise for promise, _ in early.broken()] == ["wrong"]
    late = [*GOOD["journal"][:2], entry("b", 80, "archived")]
    assert checker.check(truth=rolled_out(scanned=True), **{**run, "journal": late}).good
    kept = {**run, "findings": [finding("a", A), finding("b", B)], "journal": GOOD["journal"][:2]}
    assert checker.check(truth=rolled_out(scanned=False), **kept).good
    assert [promise for promise, _ in checker.check(truth=rolled_out(scanned=True), **kept).broken()] == ["stale"]


def test_stalled_watches_excuse_findings_of_deleted_pods() -> None:
    """The report on a deleted Pod claims nothing. With stalled watches, its finding on the owner is no invention; a
    finding of the Pod itself is one.
    """
    actual = truth({A: [[0.0]], B: [[0.0, 50.0]]})
    pod = Ref("Pod", "north", "web-1-x")
    actual.put(stored(pod, owner=A.subject), now=0)
    actual.drop(pod, now=1)
    actual.record((9,), Statement(frozenset({Claim("kyverno", "gamma", "check", pod)})), now=2)
    run = {key: value for key, value in GOOD.items() if key != "existed"}
    late = {**run, "findings": [*GOOD["findings"], finding("g", A._replace(policy="gamma"), state="ARCHIVED")]}
    assert checker.check(truth=actual, **late, stalled=True).good
    assert [promise for promise, _ in checker.check(truth=actual, **late).broken()] == ["invented"]
    itself = {**run, "findings": [*GOOD["findings"], finding("p", ROLLED, state="ARCHIVED")]}
    assert checker.check(truth=actual, **itself, stalled=True).invented


def test_the_representative_result_is_compared() -> None:
    """The finding has the object's own result, whatever its Pods have; without one, the most severe of theirs."""
    own, pod = RESULT._replace(severity="LOW"), RESULT._replace(own=False)
    differs = check(state=ClusterState(seen={A: {own, pod}}))
    assert [promise for promise, _ in differs.broken()] == ["differs"]
    assert check(state=ClusterState(seen={A: {RESULT, pod._replace(severity="HIGH")}})).good
    assert check(state=ClusterState(seen={A: {pod, pod._replace(status="WARNING", severity="HIGH")}})).good


def test_a_flapping_finding_may_stay_active_for_an_hour() -> None:
    """After two reactivations an archive may come an hour later, so an active finding is allowed; after one it is
    not.
    """
    twice = [entry("a", 10 * n, outcome) for n, outcome in enumerate(("archived", "reactivated") * 2, 1)]
    run: dict[str, Any] = {"state": state(), "existed": {A: [[0, 5], [15, 25], [35, 60]], B: [[0, 50]]}}
    assert check(journal=[*GOOD["journal"], *twice], **run).good
    assert check(journal=[*GOOD["journal"], *twice[:2]], **run).stale


@pytest.mark.parametrize("module", sorted(path.name for path in TOP.glob("*.py")))
def test_the_bench_does_not_import_the_operator(module: str) -> None:
    """No module of the bench imports the code that it checks."""
    tree = ast.parse((TOP / module).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.partition(".")[0] == "policyhub"}
