"""The judge of the hostile suite sees every kind of broken promise, and shares no code with what it judges."""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.census import Census, Said
from tests.faults.truth import Violation
from tests.hostile import checker
from tests.hostile.checker import LATE_SECONDS, MARK, MEMORY_MIB, PROMISES, Seen, Verdict
from tests.hostile.company import Write

TOP = Path(checker.__file__).parent
A = Violation("kyverno", "limits", "check", "Deployment", "shop", "web-1")
B = Violation("openscan", "limits", "check", "Deployment", "bank", "web-1")
GHOST = A._replace(namespace="bank")
"""Of what never was."""
SAID = Said("FAILED", "MEDIUM", "not met")
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


def census(*seen: Violation, said: Said = SAID) -> Census:
    return Census(seen={violation: {said} for violation in seen})


GOOD: dict[str, Any] = {
    "findings": FINDINGS,
    "journal": [entry("a", 10.2, "changed"), entry("b", 20.4, "archived")],
    "census": census(A),
    "writes": [Write(A, "changed", 10.0), Write(B, "archived", 20.0)],
    "existed": {A: [[0.0]], B: [[0.0, 20.0]]},
    "triage": KEPT,
    "now": 100.0,
}


def judged(**changed: Any) -> Verdict:
    """A good day with something changed: A stays and is re-rated at 10, B is fixed at 20."""
    return checker.judge(**{**GOOD, **changed})


def more(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [*GOOD["journal"], *entries]


def with_a(**members: Any) -> list[dict[str, Any]]:
    return [finding("a", A, **{**TRIAGED, **members}), FINDINGS[1]]


def test_a_good_day_is_good() -> None:
    """Nothing is wrong where nothing is wrong, and the delays are those from write to import."""
    verdict = judged()
    assert verdict.good
    assert verdict.delays == pytest.approx([0.2, 0.4])


CASES = [
    pytest.param({"existed": {A: [[0.0]], B: [[0.0]]}, "writes": GOOD["writes"][:1]}, "wrong", id="never ended"),
    pytest.param(
        {"journal": more(entry("a", 50, "archived"), entry("a", 51, "reactivated"))}, "wrong", id="for a moment"
    ),
    pytest.param({"census": census(A, B)}, "missing", id="lost"),
    pytest.param({"census": census()}, "stale", id="left open"),
    pytest.param({"findings": [*FINDINGS, finding("c", A)]}, "double", id="two of one violation"),
    pytest.param({"census": census(A, said=Said("WARNING", "MEDIUM", "not met"))}, "differs", id="another result"),
    pytest.param({"census": census(A, said=Said("FAILED", "HIGH", "not met"))}, "differs", id="another severity"),
    pytest.param({"census": census(A, said=Said("FAILED", "MEDIUM", "else"))}, "differs", id="another message"),
    pytest.param({"findings": with_a(Workflow={"Status": "NEW"})}, "triage", id="workflow status lost"),
    pytest.param({"findings": with_a(Note={})}, "triage", id="note lost"),
    pytest.param({"triage": {}}, "triage", id="a note that nobody wrote"),
    pytest.param({"journal": more(entry("a", 50, "redundant"))}, "needless", id="sent again"),
    pytest.param({"journal": more(entry("a", 50, "changed"))}, "needless", id="changed though nobody changed it"),
    pytest.param({"journal": more(entry("b", 50, "archived"))}, "needless", id="archived twice"),
    pytest.param({"journal": more(entry("a", 9, "changed"))}, "needless", id="before it was written"),
    pytest.param({"findings": [*FINDINGS, finding("g", GHOST)]}, "invented", id="of another namespace"),
    pytest.param({"findings": [*FINDINGS, finding("g", GHOST, state="ARCHIVED")]}, "invented", id="and archived"),
    pytest.param({"findings": with_a(Title=f"x {MARK}")}, "worded", id="the tenant's title"),
    pytest.param({"journal": [entry("a", 10.2 + LATE_SECONDS, "changed"), GOOD["journal"][1]]}, "late", id="starved"),
    pytest.param({"journal": GOOD["journal"][:1]}, "late", id="never followed"),
    pytest.param({"journal": [entry("a", 10.2, "failed"), GOOD["journal"][1]]}, "late", id="refused"),
]
SEEN = Seen(memory=100.0, health=[0.1, 0.2], told={"alpha: InputAccepted=False: team-a: too much"})
LOOKS = [
    pytest.param({"memory": MEMORY_MIB + 1}, "memory", id="memory"),
    pytest.param({"health": [0.1, float("inf")]}, "health", id="no answer"),
    pytest.param({"health": [5.1]}, "health", id="a slow answer"),
    pytest.param({"ended": ["gone"]}, "ended", id="ended"),
    pytest.param({"told": {"alpha: Ready=True AllWell: all is well"}}, "silent", id="nothing said"),
    pytest.param({"told": {*SEEN.told, "Ready: \x1b[31mred"}}, "unsafe", id="an escape in a condition"),
    pytest.param({"told": {*SEEN.told, "Ready: one\ntwo"}}, "unsafe", id="two lines in a condition"),
    pytest.param({"told": {*SEEN.told, "Ready: \u202egnp"}}, "unsafe", id="backwards"),
    pytest.param({"unsafe": {"a log line with \x9b"}}, "unsafe", id="a log line"),
]


@pytest.mark.parametrize(("changed", "promise"), CASES)
def test_what_is_wrong_is_seen(changed: dict[str, Any], promise: str) -> None:
    """Each promise that is broken to the company is told by its name."""
    verdict = judged(**changed)
    assert promise in dict(verdict.violated())
    assert not verdict.good


@pytest.mark.parametrize(("changed", "promise"), LOOKS)
def test_what_is_observed_is_judged(changed: Mapping[str, Any], promise: str) -> None:
    """What an operator does wrong beside its findings is told, and that alone."""
    verdict = checker.observed(replace(SEEN, **changed), says=("team-a",))
    assert list(dict(verdict.violated())) == [promise]
    assert checker.observed(SEEN, says=("team-a",)).good


def test_every_promise_can_be_broken() -> None:
    """There is no promise of which no case shows that it would be seen; two the run itself looks at."""
    assert {case.values[1] for case in (*CASES, *LOOKS)} | {"lasting", "broken"} == set(PROMISES)


def test_a_kill_excuses_what_it_hid() -> None:
    """An import that the killed operator may have sent without hearing the answer may be repeated; a later one not."""
    again = more(entry("a", 15.0, "redundant"))
    assert judged(journal=again, kills=[10.5]).good
    assert judged(journal=again, kills=[13.0]).needless
    assert judged(journal=again, kills=[15.5]).needless


def test_evidence_that_ripens_counts_for_no_delay() -> None:
    """A write that has to be waited for counts among no delays; that it is never followed is seen."""
    slow = [GOOD["writes"][0], Write(B, "archived", 20.0, prompt=False)]
    late = [GOOD["journal"][0], entry("b", 20.0 + 2 * LATE_SECONDS, "archived")]
    assert judged(writes=slow, journal=late).good
    assert judged(writes=slow, journal=late).delays == pytest.approx([0.2])
    assert judged(writes=slow, journal=late[:1]).late


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.99, 0.0), ([3.0, 1.0, 2.0], 0.5, 2.0), (range(100), 0.99, 99), (range(1_000), 0.99, 990)],
)
def test_quantiles(values: list[float], share: float, expected: float) -> None:
    """The smallest value that at least this share of all does not exceed, or the next one."""
    assert checker.quantile(values, share) == expected


FUZZ = {"fuzz", "test_fuzz", "test_patterns"}
"""What lies beside it and calls the operator's functions."""


@pytest.mark.parametrize("path", sorted(p for p in TOP.glob("*.py") if p.stem not in FUZZ), ids=lambda path: path.stem)
def test_it_knows_nothing_of_the_operator(path: Path) -> None:
    """Nothing of the suite imports the operator's code: a mistake there is no excuse here."""
    tree = ast.parse(path.read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert not [name for name in imported if name.split(".")[0] == "policyhub"]
