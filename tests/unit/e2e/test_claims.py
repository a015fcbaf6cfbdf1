"""The claims of the engines' objects, as the end-to-end run reads them without code of the operator."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import claims
from tests.e2e.claims import Claims, Key, OwnedObject
from tests.faults.truth import Violation

WEB = ("Deployment", "shop", "web")
OLD, NEW = ("ReplicaSet", "shop", "web-1"), ("ReplicaSet", "shop", "web-2")
POD, STRAY = ("Pod", "shop", "web-2-a"), ("Pod", "shop", "gone")
FOUND = Violation("kyverno", "limits", "check", *WEB)
LISTED = Violation("gatekeeper", "Limits", "no-limits", *WEB)


def document(key: Key, *, owner: Key | None = None, revision: str = "", phase: str = "Running") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": key[2], "namespace": key[1], "creationTimestamp": "2026-01-01T00:00:00Z"}
    if owner is not None:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[2], "controller": True}]
    if revision:
        metadata["annotations"] = {claims.REVISION: revision}
    return {"metadata": metadata, "status": {"phase": phase}}


def owned(*, phase: str = "Running") -> dict[Key, OwnedObject]:
    """A Deployment's old and new ReplicaSet; the new one has a Pod."""
    return {
        OLD: claims.owned_object(document(OLD, owner=WEB, revision="1")),
        NEW: claims.owned_object(document(NEW, owner=WEB, revision="2")),
        POD: claims.owned_object(document(POD, owner=NEW, phase=phase)),
    }


def report(about: Key, *, rule: str = "check", result: str = "fail", severity: str = "high") -> claims.Statement:
    scope = dict(zip(("kind", "namespace", "name"), about, strict=True))
    reports = {"source": "kyverno", "policy": "limits", "rule": rule, "result": result, "severity": severity}
    return claims.report({"scope": scope, "results": [reports]})


def entry(key: Key, *actions: str) -> dict[str, Any]:
    """An entry of a constraint's list; with more than one action it is a scoped constraint."""
    named = dict(zip(("kind", "namespace", "name"), key, strict=True))
    return (
        {**named, "enforcementAction": "scoped", "enforcementActions": [*actions]}
        if actions[1:]
        else {**named, "enforcementAction": actions[0]}
    )


def constraint(*listed: Key, total: int | None = None, audited: bool = True) -> claims.Statement:
    violations = [entry(key, "warn") for key in listed]
    status: dict[str, Any] = {"totalViolations": len(listed) if total is None else total, "violations": violations}
    if audited:
        status["auditTimestamp"] = "2026-01-01T00:00:00Z"
    return claims.constraint({"kind": "Limits", "metadata": {"name": "no-limits"}, "status": status})


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        pytest.param(report(WEB, rule="autogen-check"), {FOUND}, id="the Deployment itself"),
        pytest.param(report(NEW, rule="autogen-check"), {FOUND}, id="the ReplicaSet in use"),
        pytest.param(report(OLD, rule="autogen-check"), set(), id="one that is kept for a rollback"),
        pytest.param(report(POD), {FOUND}, id="a Pod"),
        pytest.param(report(STRAY), set(), id="a Pod that is gone"),
        pytest.param(report(POD, result="pass"), set(), id="a pass"),
        pytest.param(report(POD, result="error"), {FOUND}, id="an error"),
        pytest.param(constraint(POD, STRAY), {LISTED}, id="a constraint with a Pod that is gone"),
        pytest.param(
            report(("Service", "shop", "web"), rule="autogen-check"),
            {Violation("kyverno", "limits", "autogen-check", "Service", "shop", "web")},
            id="a rule of that name about what no rule is derived for",
        ),
    ],
)
def test_claims_of_a_statement(statement: claims.Statement, found: set[Violation]) -> None:
    """Results roll up to the controller; those of deleted Pods and idle ReplicaSets are ignored."""
    assert set(claims.read([statement], owned()).severities) == found


def test_claims_roll_up_to_the_topmost_controller() -> None:
    """A CronJob's Pod rolls up to the CronJob; a Pod without a controller does not; an ended Pod is ignored."""
    job, pod, alone = ("Job", "shop", "map-1"), ("Pod", "shop", "map-1-x"), ("Pod", "shop", "alone")
    known = {
        job: claims.owned_object(document(job, owner=("CronJob", "shop", "map"))),
        pod: claims.owned_object(document(pod, owner=job)),
        alone: claims.owned_object(document(alone)),
    }
    found = claims.read([report(pod, rule="check"), report(alone)], known).severities
    assert {violation[3:] for violation in found} == {("CronJob", "shop", "map"), alone}
    assert not claims.read([report(POD)], owned(phase="Failed")).severities


def test_all_severities_of_a_violation_are_kept() -> None:
    """The operator decides which of them is the representative one."""
    reports = [report(WEB, severity="info"), report(POD, severity="")]
    assert claims.read(reports, owned()) == Claims({FOUND: frozenset({"INFORMATIONAL", "MEDIUM"})})


@pytest.mark.parametrize(
    ("actions", "annotations", "label"),
    [
        pytest.param(("dryrun",), {}, "MEDIUM", id="tells"),
        pytest.param(("warn",), {}, "MEDIUM", id="warns"),
        pytest.param(("deny", "warn"), {}, "MEDIUM", id="denies"),
        pytest.param(("dryrun",), {"policyhub.dev/severity": "critical"}, "CRITICAL", id="stated"),
    ],
)
def test_severity_of_a_constraint(actions: tuple[str, ...], annotations: dict[str, str], label: str) -> None:
    """Its annotation, otherwise the default; the enforcement action is no severity."""
    status = {"auditTimestamp": "2026-01-01T00:00:00Z", "totalViolations": 1, "violations": [entry(WEB, *actions)]}
    document = {"kind": "Limits", "metadata": {"name": "no-limits", "annotations": annotations}, "status": status}
    assert claims.read([claims.constraint(document)], owned()) == Claims({LISTED: frozenset({label})})


@pytest.mark.parametrize(
    ("statement", "known"),
    [
        pytest.param(constraint(POD), True, id="a whole list"),
        pytest.param(constraint(POD, total=7), False, id="a list that was cut"),
        pytest.param(constraint(audited=False), False, id="no audit yet"),
    ],
)
def test_a_truncated_list_leaves_findings_undecided(statement: claims.Statement, known: bool) -> None:  # noqa: FBT001  (a parameter)
    """A finding that a truncated list lacks may stay."""
    other = LISTED._replace(name="cart")
    assert claims.read([statement], owned()).may(other) is not known


def test_the_run_does_not_import_the_operator() -> None:
    """No module of the end-to-end run does."""
    for file in Path(claims.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] == "policyhub" for name in names), file.name
