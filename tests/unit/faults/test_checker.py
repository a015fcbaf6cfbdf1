"""The judge of the fault bench sees every kind of broken promise, and shares no code with what it judges."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults import checker
from tests.faults.census import Census, Said
from tests.faults.checker import PROMISES, Doubts, Verdict
from tests.faults.family import Ref
from tests.faults.truth import Call, Statement, Truth, Unlisted, Violation
from tests.unit.faults.test_family import stored

TOP = Path(checker.__file__).parent
A = Violation("kyverno", "alpha", "check", "Deployment", "north", "web-1")
B = Violation("kyverno", "beta", "check", "Deployment", "north", "web-1")
OTHER_RULE = A._replace(rule="limit")
POD = Violation("gatekeeper", "K8sAllowedRepos", "repos", "Pod", "north", "pod-09")
ROLLED = A._replace(kind="Pod", name="web-1-x")
"""What counts for the Deployment and has a finding of its own."""
SAID = Said("FAILED", "MEDIUM", "not met")
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
    told = Truth()
    told.put(stored(POD.subject), now=0)
    moments = sorted({moment for spans in existed.values() for span in spans for moment in span})
    for moment in moments:
        for violation, spans in existed.items():
            there = any(span[0] <= moment and (len(span) == 1 or span[1] > moment) for span in spans)
            calls = [Call(*violation[:3], violation.subject)] if there else []
            told.say(violation, Statement(frozenset(calls)), now=moment)
    return told


def census(*seen: Violation, said: Said = SAID) -> Census:
    return Census(seen={violation: {said} for violation in seen})


GOOD: dict[str, Any] = {
    "findings": [finding("a", A), finding("b", B, state="ARCHIVED")],
    "journal": [entry("a", 1, "created"), entry("b", 1, "created"), entry("b", 60, "archived")],
    "census": census(A),
    "existed": {A: [[0.0]], B: [[0.0, 50.0]]},
    "unlisted": Unlisted(),
    "triage": {},
    "still": set(),
    "doubts": Doubts(),
    "slack": 12.0,
}


def judged(**changed: Any) -> Verdict:
    """A good run with something changed: A exists all along, B ended at 50 and was archived at 60."""
    run = {**GOOD, **changed}
    return checker.judge(truth=truth(run.pop("existed")), **run)


def more(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [*GOOD["journal"], *entries]


def with_a(**members: Any) -> list[dict[str, Any]]:
    return [finding("a", A, **members), GOOD["findings"][1]]


def analysed(**values: Any) -> dict[str, Any]:
    """A was worked on by an analyst."""
    return {"triage": {"a": [values]}, "journal": more(entry("a", 70, "updated", kind="update"))}


def test_a_good_run_is_good() -> None:
    """Nothing is wrong where nothing is wrong."""
    assert judged().good
    assert judged().imports == 3


CASES = [
    pytest.param({"existed": {A: [[0.0]], B: [[0.0, 61.0]]}}, "wrong", id="archived before its end"),
    pytest.param({"existed": {A: [[0.0]], B: [[0.0, 30.0], [40.0, 99.0]]}}, "wrong", id="archived after its return"),
    pytest.param({"still": {B}, "slack": 1000.0}, "wrong", id="archived although it never ends"),
    pytest.param({"existed": {A: [[0.0]]}}, "invented", id="a finding of what never was"),
    pytest.param({"findings": [*GOOD["findings"], finding("r", ROLLED)]}, "invented", id="a finding of a Pod"),
    pytest.param({"findings": [finding("r", ROLLED), GOOD["findings"][1]]}, "missing", id="of a Pod, in its place"),
    pytest.param({"census": census(A, B), "existed": {A: [[0]], B: [[0, 5], [70]]}}, "missing", id="lost"),
    pytest.param({"census": census(A, OTHER_RULE)}, "missing", id="lost, where another rule of the policy is there"),
    pytest.param({"census": census()}, "stale", id="left open"),
    pytest.param({"findings": [*GOOD["findings"], finding("c", A)]}, "double", id="two of one violation"),
    pytest.param({"census": census(A, said=Said("WARNING", "MEDIUM", "not met"))}, "differs", id="another result"),
    pytest.param({"census": census(A, said=Said("FAILED", "HIGH", "not met"))}, "differs", id="another severity"),
    pytest.param({"census": census(A, said=Said("FAILED", "MEDIUM", "now so"))}, "differs", id="another message"),
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
    pytest.param({"journal": more(entry("a", 70, "changed")), "still": {A}}, "restless", id="sent at a rollout"),
    pytest.param({"existed": {A: [[0, 70]], B: [[0, 50]]}}, "disputed", id="the API server has what the driver denies"),
    pytest.param({"existed": {**GOOD["existed"], OTHER_RULE: [[0]]}}, "disputed", id="and lacks what it believes"),
]


@pytest.mark.parametrize(("changed", "promise"), CASES)
def test_what_is_wrong_is_seen(changed: dict[str, Any], promise: str) -> None:
    """Each broken promise is told by its name, and makes the run a bad one."""
    verdict = judged(**changed)
    assert promise in dict(verdict.broken())
    assert not verdict.good


def test_every_promise_can_be_broken() -> None:
    """There is no promise of which no case shows that it would be seen."""
    assert {case.values[1] for case in CASES} == set(PROMISES)


def test_what_the_analyst_set_stays() -> None:
    """Later acts add to earlier ones, and the last one counts."""
    triage = {"a": [{"Note": {"Text": "one"}, "Severity": {"Label": "LOW"}}, {"Note": {"Text": "two"}}]}
    journal = more(*(entry("a", moment, "updated", kind="update") for moment in (70, 71)))
    assert judged(findings=with_a(Note={"Text": "two"}, Severity={"Label": "LOW"}), triage=triage, journal=journal).good


@pytest.mark.parametrize(
    ("set_at", "status", "kept"),
    [(5, "NOTIFIED", "NEW"), (5, "RESOLVED", "NEW"), (5, "SUPPRESSED", "SUPPRESSED"), (35, "NOTIFIED", "NOTIFIED")],
)
def test_security_hubs_own_reset_is_no_fault(set_at: int, status: str, kept: str) -> None:
    """A finding that came back is NEW again, where the analyst had set NOTIFIED or RESOLVED before."""
    came = [entry("a", 1, "created"), entry("a", 20, "archived"), entry("a", 30, "reactivated")]
    journal = sorted([*came, entry("a", set_at, "updated", kind="update")], key=lambda e: e["time"])
    run = {"journal": journal, "existed": {A: [[0, 10], [29]], B: [[0, 50]]}, "triage": {"a": [{"Workflow": {}}]}}
    run["triage"] = {"a": [{"Workflow": {"Status": status}}]}
    for has in ("NEW", "NOTIFIED", "RESOLVED", "SUPPRESSED"):
        assert judged(findings=with_a(Workflow={"Status": has}), **run).good == (has == kept)


@pytest.mark.parametrize(
    ("before", "doubts", "reason"),
    [
        pytest.param([entry("a", 65, "lost", kind="lost")], Doubts(), "no answer", id="no answer"),
        pytest.param(
            [entry("a", 65, "lost", kind="lost", call=7), entry("a", 65, "changed", call=7)],
            Doubts(),
            "no answer",
            id="written without an answer",
        ),
        pytest.param([entry("a", 65, "failed", detail="InternalFailure: …")], Doubts(), "partial", id="partial"),
        pytest.param([entry("a", 65, "changed")], Doubts(kills=[65.5]), "killed", id="killed before the answer"),
        pytest.param([entry("a", 65, "changed")], Doubts(overlaps=[(60, 66)]), "two at once", id="written by another"),
        pytest.param([], Doubts(overlaps=[(60, 71)]), "two at once", id="two at once"),
    ],
)
def test_allowed_redundancy(before: list[dict[str, Any]], doubts: Doubts, reason: str) -> None:
    """An import that changes nothing is allowed where its finding's last outcome was unknown; it is not, once an answer
    has come.
    """
    once = judged(journal=more(*before, entry("a", 70, "redundant")), doubts=doubts)
    assert once.good
    assert once.allowed == {reason: 1}
    later = [entry("a", moment, "redundant") for moment in (70, 80, 90)]
    assert judged(journal=more(*before, *later), doubts=doubts).forbidden


def test_a_lag_of_getfindings_is_no_excuse() -> None:
    """What an operator sent before the next one started is not sent again; a change may be ignored meanwhile."""
    doubts = Doubts(lags=[(60, 66)])
    sent = entry("a", 65, "changed")
    assert judged(journal=more(sent, entry("a", 70, "redundant")), doubts=doubts).forbidden
    assert judged(journal=more(entry("a", 65, "ignored")), doubts=doubts).good
    assert not judged(journal=more(entry("a", 70, "ignored")), doubts=doubts).good


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([entry("b", 65, "lost", kind="lost")], id="another finding's"),
        pytest.param([entry("a", 65, "lost", kind="lost"), entry("a", 66, "changed")], id="answered since"),
        pytest.param([entry("a", 65, "failed", detail="InvalidAccess: …")], id="refused, so not written"),
    ],
)
def test_no_excuse(before: list[dict[str, Any]]) -> None:
    """What excuses nothing: an answer that another finding lost, that came later, or that said no."""
    assert judged(journal=more(*before, entry("a", 70, "redundant"))).forbidden


def test_two_operators_may_make_the_same_finding() -> None:
    """Each with the first time that it knows of; one alone may not."""
    twice = more(entry("a", 1.5, "redundant", created_at="2026-01-02T00:00:00.000Z"))
    assert judged(journal=twice, doubts=Doubts(overlaps=[(0, 3)])).good
    assert judged(journal=twice).moved


def test_a_late_import_of_a_dead_operator_is_no_fault() -> None:
    """What an operator had sent when it was killed may arrive after what the next one sends."""
    late = more(entry("a", 70, "ignored"))
    assert judged(journal=late, doubts=Doubts(kills=[69.5])).good
    assert not judged(journal=late, doubts=Doubts(kills=[60.0])).good


def cut(last: tuple[str, str] | None) -> Unlisted:
    family = truth({}).family
    return Unlisted({("K8sAllowedRepos", "repos"): last}, family)


def test_a_truncated_list_leaves_open_what_it_cannot_tell() -> None:
    """Beyond the last object of a truncated list a violation may have a finding; what is listed must have one."""
    unlisted = cut(("north", "pod-05"))
    existed = {**GOOD["existed"], POD: [[0.0]]}
    run = {"existed": existed, "unlisted": unlisted, "census": Census(seen=census(A).seen, unlisted=unlisted)}
    assert judged(**run).good
    assert judged(**run, findings=[*GOOD["findings"], finding("p", POD)]).good
    listed = {**run, "census": Census(seen=census(A, POD).seen, unlisted=unlisted)}
    assert judged(**listed).missing
    below = cut(("north", "pod-09"))
    assert judged(**{**run, "unlisted": below, "census": Census(seen=census(A).seen, unlisted=below)}).disputed


def rolled_out(*, looked: bool) -> Truth:
    """The Pod that failed was replaced at 50; the engine passes the new one at 70, where it `looked`."""
    told = truth({A: [[0.0]]})
    owner, old, new = B.subject, Ref("Pod", "north", "web-1-x"), Ref("Pod", "north", "web-1-y")
    told.put(stored(old, owner=owner), now=0)
    told.say((1,), Statement(frozenset({Call(*B[:3], old)}), "kyverno", old, frozenset({("kyverno", old)})), now=0)
    told.put(stored(new, owner=owner), now=49)
    told.drop(old, now=50)
    told.say((1,), None, now=50)
    if looked:
        told.say((2,), Statement(by="kyverno", about=new, spoke=frozenset({("kyverno", new)})), now=70)
    return told


def test_a_rollout_holds_what_was_not_looked_at() -> None:
    """A finding stays active while its engine has not looked at a new Pod: to archive it is wrong, to keep it is not.
    When it has, the archive is due.
    """
    run = {key: value for key, value in GOOD.items() if key != "existed"}
    early = checker.judge(truth=rolled_out(looked=False), **run)
    assert [promise for promise, _ in early.broken()] == ["wrong"]
    late = [*GOOD["journal"][:2], entry("b", 80, "archived")]
    assert checker.judge(truth=rolled_out(looked=True), **{**run, "journal": late}).good
    kept = {**run, "findings": [finding("a", A), finding("b", B)], "journal": GOOD["journal"][:2]}
    assert checker.judge(truth=rolled_out(looked=False), **kept).good
    assert [promise for promise, _ in checker.judge(truth=rolled_out(looked=True), **kept).broken()] == ["stale"]


def test_where_watches_stall_the_dead_may_seem_to_live() -> None:
    """A report on a Pod that has died calls for nothing; a finding of it is no invention to who could not know, and one
    of the Pod itself is.
    """
    told = truth({A: [[0.0]], B: [[0.0, 50.0]]})
    pod = Ref("Pod", "north", "web-1-x")
    told.put(stored(pod, owner=A.subject), now=0)
    told.drop(pod, now=1)
    told.say((9,), Statement(frozenset({Call("kyverno", "gamma", "check", pod)})), now=2)
    run = {key: value for key, value in GOOD.items() if key != "existed"}
    late = {**run, "findings": [*GOOD["findings"], finding("g", A._replace(policy="gamma"), state="ARCHIVED")]}
    assert checker.judge(truth=told, **late, stalled=True).good
    assert [promise for promise, _ in checker.judge(truth=told, **late).broken()] == ["invented"]
    itself = {**run, "findings": [*GOOD["findings"], finding("p", ROLLED, state="ARCHIVED")]}
    assert checker.judge(truth=told, **itself, stalled=True).invented


def test_who_speaks_is_compared() -> None:
    """The object's own words are the finding's, whatever its Pods say; where it has none, the worst of theirs."""
    own, pod = SAID._replace(severity="LOW"), SAID._replace(own=False)
    differs = judged(census=Census(seen={A: {own, pod}}))
    assert [promise for promise, _ in differs.broken()] == ["differs"]
    assert judged(census=Census(seen={A: {SAID, pod._replace(severity="HIGH")}})).good
    assert judged(census=Census(seen={A: {pod, pod._replace(status="WARNING", severity="HIGH")}})).good


def test_what_comes_and_goes_may_stay_open_for_a_while() -> None:
    """A finding that came back twice is archived an hour later: that it is open still is no fault, once is one."""
    twice = [entry("a", 10 * n, outcome) for n, outcome in enumerate(("archived", "reactivated") * 2, 1)]
    run: dict[str, Any] = {"census": census(), "existed": {A: [[0, 5], [15, 25], [35, 60]], B: [[0, 50]]}}
    assert judged(journal=[*GOOD["journal"], *twice], **run).good
    assert judged(journal=[*GOOD["journal"], *twice[:2]], **run).stale


@pytest.mark.parametrize("module", sorted(path.name for path in TOP.glob("*.py")))
def test_nothing_of_the_operator_is_used(module: str) -> None:
    """The bench imports nothing of what it judges."""
    tree = ast.parse((TOP / module).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.partition(".")[0] == "policyhub"}
