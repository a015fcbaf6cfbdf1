"""The checker of the hostile suite finds every kind of broken promise, and shares no code with the operator."""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cluster_state import ClusterState, ReportedResult
from tests.faults.truth import Violation
from tests.hostile import checker
from tests.hostile.checker import LATE_SECONDS, MARK, MEMORY_MIB, PROMISES, Observations, Verdict
from tests.hostile.company import Write

TOP = Path(checker.__file__).parent
A = Violation("kyverno", "limits", "check", "Deployment", "shop", "web-1")
B = Violation("openscan", "limits", "check", "Deployment", "bank", "web-1")
GHOST = A._replace(namespace="bank")
"""A violation that never existed."""
RESULT = ReportedResult("FAILED", "MEDIUM", "not met")
KEPT = {"a": {"Workflow": "SUPPRESSED", "Note": "ours"}}


def finding(id_: str, violation: Violation, *, state: str = "ACTIVE", **members: Any) -> dict[str, Any]:
    found = {
        "Id": id_,
        "RecordState": state,
        "Description": "somewhere: not met",
        "Compliance": {"Status": "FAILED"},
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


TRIAGED: dict[str, Any] = {"Workflow": {"Status": "SUPPRESSED"}, "Note": {"Text": "ours"}}
FINDINGS = [finding("a", A, **TRIAGED), finding("b", B, state="ARCHIVED")]


def entry(id_: str, moment: float, outcome: str, **members: Any) -> dict[str, Any]:
    return {"kind": "import", "id": id_, "time": moment, "outcome": outcome, **members}


def state(*seen: Violation, reported: ReportedResult = RESULT) -> ClusterState:
    return ClusterState(seen={violation: {reported} for violation in seen})


GOOD: dict[str, Any] = {
    "findings": FINDINGS,
    "journal": [entry("a", 10.2, "changed"), entry("b", 20.4, "archived")],
    "state": state(A),
    "writes": [Write(A, "changed", 10.0), Write(B, "archived", 20.0)],
    "existed": {A: [[0.0]], B: [[0.0, 20.0]]},
    "triage": KEPT,
    "now": 100.0,
}


def check(**changed: Any) -> Verdict:
    """Check a good day with some changes: A stays and gets another severity at 10, B is fixed at 20."""
    return checker.check(**{**GOOD, **changed})


def more(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [*GOOD["journal"], *entries]


def with_a(**members: Any) -> list[dict[str, Any]]:
    return [finding("a", A, **{**TRIAGED, **members}), FINDINGS[1]]


def test_a_good_day_breaks_nothing() -> None:
    """The checker finds no problem, and the delays are those from write to import."""
    verdict = check()
    assert verdict.good
    assert verdict.delays == pytest.approx([0.2, 0.4])


CASES = [
    pytest.param({"existed": {A: [[0.0]], B: [[0.0]]}, "writes": GOOD["writes"][:1]}, "wrong", id="never ended"),
    pytest.param(
        {"journal": more(entry("a", 50, "archived"), entry("a", 51, "reactivated"))}, "wrong", id="for a moment"
    ),
    pytest.param({"state": state(A, B)}, "missing", id="lost"),
    pytest.param({"state": state()}, "stale", id="left open"),
    pytest.param({"findings": [*FINDINGS, finding("c", A)]}, "double", id="two of one violation"),
    pytest.param(
        {"state": state(A, reported=ReportedResult("WARNING", "MEDIUM", "not met"))}, "differs", id="another result"
    ),
    pytest.param(
        {"state": state(A, reported=ReportedResult("FAILED", "HIGH", "not met"))}, "differs", id="another severity"
    ),
    pytest.param(
        {"state": state(A, reported=ReportedResult("FAILED", "MEDIUM", "else"))}, "differs", id="another message"
    ),
    pytest.param({"findings": with_a(Workflow={"Status": "NEW"})}, "triage", id="workflow status lost"),
    pytest.param({"findings": with_a(Note={})}, "triage", id="note lost"),
    pytest.param({"triage": {}}, "triage", id="an unknown note"),
    pytest.param({"journal": more(entry("a", 50, "redundant"))}, "needless", id="sent again"),
    pytest.param({"journal": more(entry("a", 50, "changed"))}, "needless", id="changed without a reason"),
    pytest.param({"journal": more(entry("b", 50, "archived"))}, "needless", id="archived twice"),
    pytest.param({"journal": more(entry("a", 9, "changed"))}, "needless", id="before it was written"),
    pytest.param({"findings": [*FINDINGS, finding("g", GHOST)]}, "invented", id="of another namespace"),
    pytest.param({"findings": [*FINDINGS, finding("g", GHOST, state="ARCHIVED")]}, "invented", id="and archived"),
    pytest.param({"findings": with_a(Title=f"x {MARK}")}, "worded", id="the tenant's title"),
    pytest.param({"journal": [entry("a", 10.2 + LATE_SECONDS, "changed"), GOOD["journal"][1]]}, "late", id="starved"),
    pytest.param({"journal": GOOD["journal"][:1]}, "late", id="never followed"),
    pytest.param({"journal": [entry("a", 10.2, "failed"), GOOD["journal"][1]]}, "late", id="refused"),
]
SEEN = Observations(memory=100.0, health=[0.1, 0.2], statements={"alpha: InputAccepted=False: team-a: too much"})
LOOKS = [
    pytest.param({"memory": MEMORY_MIB + 1}, "memory", id="memory"),
    pytest.param({"health": [0.1, float("inf")]}, "health", id="no answer"),
    pytest.param({"health": [5.1]}, "health", id="a slow answer"),
    pytest.param({"ended": ["gone"]}, "ended", id="ended"),
    pytest.param({"statements": {"alpha: Ready=True AllWell: all is well"}}, "silent", id="nothing said"),
    pytest.param({"statements": {*SEEN.statements, "Ready: \x1b[31mred"}}, "unsafe", id="an escape in a condition"),
    pytest.param({"statements": {*SEEN.statements, "Ready: one\ntwo"}}, "unsafe", id="two lines in a condition"),
    pytest.param({"statements": {*SEEN.statements, "Ready: \u202egnp"}}, "unsafe", id="backwards"),
    pytest.param({"unsafe": {"a log line with \x9b"}}, "unsafe", id="a log line"),
]


@pytest.mark.parametrize(("changed", "promise"), CASES)
def test_each_broken_promise_to_the_company_is_found(changed: dict[str, Any], promise: str) -> None:
    """It is reported under its name."""
    verdict = check(**changed)
    assert promise in dict(verdict.violated())
    assert not verdict.good


@pytest.mark.parametrize(("changed", "promise"), LOOKS)
def test_each_broken_promise_of_the_operator_is_found(changed: Mapping[str, Any], promise: str) -> None:
    """A problem besides its findings is reported, and only that."""
    verdict = checker.observed(replace(SEEN, **changed), expected_texts=("team-a",))
    assert list(dict(verdict.violated())) == [promise]
    assert checker.observed(SEEN, expected_texts=("team-a",)).good


def test_each_promise_has_a_case() -> None:
    """No promise lacks a case that breaks it, except two that the run itself checks."""
    assert {case.values[1] for case in (*CASES, *LOOKS)} | {"lasting", "broken"} == set(PROMISES)


def test_a_kill_excuses_a_repeated_import() -> None:
    """An import that the killed operator may have sent without an answer may be repeated; a later one may not."""
    again = more(entry("a", 15.0, "redundant"))
    assert check(journal=again, kills=[10.5]).good
    assert check(journal=again, kills=[13.0]).needless
    assert check(journal=again, kills=[15.5]).needless


def test_a_write_that_is_not_prompt_has_no_delay() -> None:
    """If the evidence must mature, the write does not count among the delays; a missing import is still found."""
    slow = [GOOD["writes"][0], Write(B, "archived", 20.0, prompt=False)]
    late = [GOOD["journal"][0], entry("b", 20.0 + 2 * LATE_SECONDS, "archived")]
    assert check(writes=slow, journal=late).good
    assert check(writes=slow, journal=late).delays == pytest.approx([0.2])
    assert check(writes=slow, journal=late[:1]).late


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.99, 0.0), ([3.0, 1.0, 2.0], 0.5, 2.0), (range(100), 0.99, 99), (range(1_000), 0.99, 990)],
)
def test_quantiles(values: list[float], share: float, expected: float) -> None:
    """The smallest value that at least this share of all does not exceed, or the next one."""
    assert checker.quantile(values, share) == expected


FUZZ = {"fuzz", "test_fuzz", "test_patterns"}
"""Modules that call the operator's functions on purpose."""


@pytest.mark.parametrize("path", sorted(p for p in TOP.glob("*.py") if p.stem not in FUZZ), ids=lambda path: path.stem)
def test_the_suite_does_not_import_the_operator(path: Path) -> None:
    """So an error of the operator cannot hide itself here."""
    tree = ast.parse(path.read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert not [name for name in imported if name.split(".")[0] == "policyhub"]
