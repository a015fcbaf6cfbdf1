"""The judge of the fault bench sees every kind of broken promise, and shares no code with what it judges."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.faults import checker
from tests.faults.checker import Verdict
from tests.faults.driver import Violation

TOP = Path(checker.__file__).parent
A: Violation = ("kyverno", "alpha", "Deployment", "north", "web-1")
B: Violation = ("kyverno", "beta", "Deployment", "north", "web-1")


def finding(id_: str, violation: Violation, *, state: str = "ACTIVE", workflow: str = "NEW", note: str = "") -> Any:
    source, policy, kind, namespace, name = violation
    return {
        "Id": id_,
        "RecordState": state,
        "CreatedAt": "2026-01-01T00:00:00.000Z",
        "Workflow": {"Status": workflow},
        "Note": {"Text": note},
        "ProductFields": {"policyhub/source": source, "policyhub/policy": policy},
        "Resources": [{"Details": {"Other": {"Kind": kind, "Namespace": namespace, "Name": name}}}],
    }


def entry(id_: str, moment: float, state: str, *, redundant: bool = False) -> dict[str, Any]:
    outcome = "taken" if state else "failed"
    return {
        "kind": "import",
        "id": id_,
        "time": moment,
        "record_state": state,
        "redundant": redundant,
        "outcome": outcome,
    }


def judged(**changed: Any) -> Verdict:
    """A good run with something changed: A exists all along, B ended at 50 and was archived at 60."""
    run: dict[str, Any] = {
        "findings": [finding("a", A), finding("b", B, state="ARCHIVED")],
        "journal": [entry("a", 1, "ACTIVE"), entry("b", 1, "ACTIVE"), entry("b", 60, "ARCHIVED")],
        "true": {A},
        "existed": {A: [[0.0]], B: [[0.0, 50.0]]},
        "triage": {},
        "created": {"a": "2026-01-01T00:00:00.000Z"},
        "still": set(),
        "slack": 12.0,
    }
    return checker.judge(**{**run, **changed})


def test_a_good_run_is_good() -> None:
    """Nothing is wrong where nothing is wrong."""
    assert judged().good


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        pytest.param({"true": {A, B}}, "missing", id="a violation without an active finding"),
        pytest.param({"true": set()}, "stale", id="an active finding without a violation"),
        pytest.param(
            {"findings": [finding("a", A), finding("c", A), finding("b", B, state="ARCHIVED")]},
            "double",
            id="two of one",
        ),
        pytest.param({"existed": {A: [[0.0]], B: [[0.0, 61.0]]}}, "wrong", id="archived before its end"),
        pytest.param({"existed": {A: [[0.0]], B: [[0.0, 30.0], [40.0]]}}, "wrong", id="archived long after its return"),
        pytest.param({"still": {B}, "slack": 1000.0}, "wrong", id="archived although it never ends"),
        pytest.param({"triage": {"a": (5.0, "SUPPRESSED", "")}}, "triage", id="a workflow status that was lost"),
        pytest.param({"triage": {"a": (5.0, "NEW", "mine")}}, "triage", id="a note that was lost"),
        pytest.param({"created": {"a": "2025-01-01T00:00:00.000Z"}}, "moved", id="another CreatedAt"),
    ],
)
def test_what_is_wrong_is_seen(changed: dict[str, Any], name: str) -> None:
    """Each broken promise is told by its name."""
    verdict = judged(**changed)
    assert getattr(verdict, name)
    assert not verdict.good


def test_security_hubs_own_reset_is_no_fault() -> None:
    """A finding that came back is NEW again, whatever the analyst had set before; SUPPRESSED stays."""
    journal = [entry("a", 1, "ACTIVE"), entry("a", 20, "ARCHIVED"), entry("a", 25, ""), entry("a", 30, "ACTIVE")]
    existed = {A: [[0.0, 10.0], [29.0]], B: [[0.0, 50.0]]}
    assert judged(journal=journal, existed=existed, triage={"a": (5.0, "NOTIFIED", "")}).good
    assert not judged(journal=journal, existed=existed, triage={"a": (5.0, "SUPPRESSED", "")}).good
    assert not judged(journal=journal, existed=existed, triage={"a": (35.0, "NOTIFIED", "")}).good


def test_redundant_imports_are_counted() -> None:
    """Imports that changed nothing for a reader are counted, and break no promise by themselves."""
    journal = [entry("a", 1, "ACTIVE"), entry("a", 9, "ACTIVE", redundant=True)]
    assert judged(journal=journal).redundant == 1


@pytest.mark.parametrize("module", ["checker.py", "driver.py", "proxy.py", "run.py", "__main__.py"])
def test_nothing_of_the_operator_is_used(module: str) -> None:
    """The bench imports nothing of what it judges."""
    tree = ast.parse((TOP / module).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.partition(".")[0] == "policyhub"}
