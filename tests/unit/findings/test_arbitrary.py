"""Whatever lies on the wire, from bytes to finding: nothing raises, nothing is refused, nothing vanishes uncounted."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from policyhub.findings.digest import digest
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.violation import Malformed, ParsedReport
from policyhub.sources import problems, reader, wire
from policyhub.sources.policy import enriched, policy_of
from tests.unit.findings import mapping

Objections = Callable[[dict[str, Any]], list[str]]

REASONS = {
    wire.MALFORMED_RESULT,
    wire.MALFORMED_MEMBER,
    problems.UNKNOWN_RESULT,
    problems.NO_POLICY,
    problems.FOREIGN_NAMESPACE,
    problems.UNNAMED_OBJECT,
    problems.INVALID_OBJECT,
    problems.TEXT_TOO_LONG,
    problems.UNPRINTABLE_TEXT,
}
MALFORMED = {"not-json", "not-an-object", "no-metadata", "no-name", "no-kind"}

# JSON has no half surrogates unless it escapes them, and Go never does; what it can hold is thrown in all lengths.
ANY = st.text(max_size=30) | st.text("\x00\x1b\u202e\u2028\ufeff\ufffd\u0301 /😀ü\n", max_size=60)
HUGE = st.sampled_from(["x" * 5000, "😀" * 3000, "ü " * 4000, "\n" * 3000, "a" * 255 + "😀", "{" * 3000, "🏳️‍🌈" * 200])
TEXT = ANY | HUGE
ODD = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3), max_leaves=5
)
DESCRIPTIVE = st.sampled_from(
    [
        "controls",
        "x/standards",
        "standard",
        "cis-eks-control",
        "remediation",
        "primaryLink",
        "index",
        "resource",
        "score",
        "fixedVersion",
        "x/url",
        "id",
        "policycontroller.gke.io/constraintData",
        "benchmark",
        "controlURL",
        "policy-title",
        "policy-description",
        "policies.kyverno.io/title",
        "description",
        "severity",
        "category",
    ]
)
SOURCES = st.sampled_from(
    [
        "kyverno",
        "kubewarden",
        "Kube Bench",
        "Trivy Vulnerability",
        "Trivy Compliance",
        "Trivy ConfigAudit",
        "Falco",
        "kubescape",
        "a/b",
    ]
)
REFERENCE = st.fixed_dictionaries(
    {},
    optional={"apiVersion": TEXT | JSON, "kind": TEXT | JSON, "namespace": st.just("shop") | TEXT, "name": TEXT | JSON},
)
PROPERTIES = st.dictionaries(ANY | DESCRIPTIVE, TEXT | JSON, max_size=60)
RESULT = st.fixed_dictionaries(
    {},
    optional={
        "policy": TEXT | JSON,
        "rule": TEXT | JSON,
        "source": SOURCES | TEXT | JSON,
        "category": TEXT | JSON,
        "severity": st.sampled_from(["critical", "Medium", "low", ""]) | JSON,
        "result": st.sampled_from(["fail", "fail", "warn", "error", "pass", "skip", "info"]) | JSON,
        "message": TEXT | JSON,
        "resources": st.lists(REFERENCE | JSON, max_size=4) | JSON,
        "timestamp": st.fixed_dictionaries({"seconds": st.integers() | JSON, "nanos": st.integers()}) | JSON,
        "properties": PROPERTIES | JSON,
        "scored": JSON,
    },
)
GOOD = st.fixed_dictionaries(
    {"policy": TEXT, "result": st.sampled_from(["fail", "fail", "warn", "error"]), "source": SOURCES | TEXT},
    optional={
        "rule": TEXT,
        "category": TEXT | st.just("Pod Security Standards (Restricted) in CEL"),
        "severity": st.sampled_from(["critical", "Medium", "low", ""]),
        "message": TEXT,
        "resources": st.lists(st.fixed_dictionaries({"name": TEXT}, optional={"kind": TEXT, "apiVersion": TEXT})),
        "properties": st.dictionaries(ANY | DESCRIPTIVE, TEXT, max_size=60),
    },
)
"""Odd in what it says alone, so that much of it becomes findings."""
REPORT = st.fixed_dictionaries(
    {
        "apiVersion": st.sampled_from(
            ["wgpolicyk8s.io/v1alpha2", "wgpolicyk8s.io/v1alpha1", "openreports.io/v1alpha1"]
        ),
        "kind": st.just("Report"),
        "metadata": st.fixed_dictionaries(
            {"name": TEXT, "namespace": st.sampled_from(["shop", ""])},
            optional={"creationTimestamp": JSON, "labels": JSON, "ownerReferences": st.lists(REFERENCE) | JSON},
        ),
    },
    optional={
        "results": st.lists(GOOD | RESULT | JSON, max_size=6) | st.lists(GOOD, min_size=1, max_size=4) | JSON,
        "scope": REFERENCE | JSON,
        "source": SOURCES | JSON,
        "configuration": JSON,
        "summary": st.fixed_dictionaries({}, optional=dict.fromkeys(("fail", "warn", "error"), st.integers() | JSON))
        | JSON,
    },
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "group": TEXT | JSON,
        "version": TEXT | JSON,
        "kind": TEXT,
        "namespace": TEXT | JSON,
        "name": TEXT,
        "message": TEXT | JSON,
        "enforcementAction": st.sampled_from(["deny", "scoped"]) | JSON,
        "enforcementActions": st.lists(st.sampled_from(["deny", "warn"])) | JSON,
    },
)
LISTED = st.fixed_dictionaries(
    {"kind": TEXT, "name": TEXT}, optional={"group": TEXT, "namespace": TEXT, "message": TEXT}
)
CONSTRAINT = st.fixed_dictionaries(
    {
        "kind": TEXT,
        "metadata": st.fixed_dictionaries(
            {"name": TEXT},
            optional={
                "annotations": st.dictionaries(ANY | DESCRIPTIVE, TEXT) | JSON,
                "labels": JSON,
                "creationTimestamp": JSON,
            },
        ),
    },
    optional={
        "spec": JSON,
        "status": st.fixed_dictionaries(
            {
                "violations": st.lists(LISTED | ENTRY | JSON, max_size=6)
                | st.lists(LISTED, min_size=1, max_size=4)
                | JSON,
            },
            optional={
                "totalViolations": st.integers(0, 50) | JSON,
                "auditTimestamp": st.just("2026-11-01T08:00:00Z") | JSON,
                "byPod": JSON,
            },
        )
        | JSON,
    },
)
THOROUGH = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(group: str, resource: str, document: object) -> ParsedReport | None:
    """None where the object as a whole cannot be read, for one of the few reasons that are counted."""
    raw = json.dumps(document, ensure_ascii=False).encode()
    try:
        parsed = reader.read(group, resource, raw, latest=mapping.NOW)
    except Malformed as error:
        if error.reason in MALFORMED:
            return None
        raise
    assert set(parsed.problems) <= REASONS
    reader.passed(group, resource, raw)
    assert parsed.notice is None or reader.completed_notice(group, resource, raw) is None
    return parsed


def taken(parsed: ParsedReport, objections: Objections) -> None:
    for finding in mapping.findings(parsed):
        assert objections(finding) == []
    ids = {finding["Id"] for finding in mapping.findings(parsed)}
    assert len(ids) == len(parsed.plain_violations) + (parsed.notice is not None)


@THOROUGH
@given(document=REPORT)
def test_any_report(objections: Objections, document: dict[str, Any]) -> None:
    """Each finding is taken; each result is a violation, a pass, or counted among what could not be used."""
    parsed = read(document["apiVersion"].partition("/")[0], "reports", document)
    if parsed is None:
        return
    taken(parsed, objections)
    listed = document.get("results")
    if isinstance(listed, list):
        alone = [read("openreports.io", "reports", {**document, "results": [result]}) for result in listed]
        for result, one in zip(listed, alone, strict=True):
            word = result.get("result") if isinstance(result, dict) else None
            assert one is None or one.plain_violations or one.problems or word in ("pass", "skip") or result is None


@THOROUGH
@given(document=CONSTRAINT)
def test_any_constraint(objections: Objections, document: dict[str, Any]) -> None:
    """Each finding is taken; each entry is a violation or counted."""
    parsed = read(CONSTRAINTS, "any", document)
    if parsed is None:
        return
    taken(parsed, objections)
    status = document.get("status")
    listed = status.get("violations") if isinstance(status, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        one = read(CONSTRAINTS, "any", {**document, "status": {"violations": [entry]}})
        assert one is None or one.plain_violations or one.problems or entry is None


@THOROUGH
@given(document=REPORT, annotations=st.none() | st.dictionaries(ANY | DESCRIPTIVE, TEXT, max_size=20))
def test_any_policy(objections: Objections, document: dict[str, Any], annotations: dict[str, str] | None) -> None:
    """Whatever a policy says of itself, its findings are the same ones, and are taken."""
    parsed = read(document["apiVersion"].partition("/")[0], "reports", document)
    if parsed is None:
        return
    policy = policy_of(annotations)
    rated_violations = tuple((enriched(violation, policy), observed) for violation, observed in parsed.violations)
    assert [violation.identity for violation, _ in rated_violations] == [
        violation.identity for violation in parsed.plain_violations
    ]
    taken(msgspec.structs.replace(parsed, violations=rated_violations), objections)


@example(b"0\0")
@example(b'{"kind": 1, "metadata": nul}')
@example(b'{"kind": "K", "metadata": 1, "x": "\xff"}')
@example(b"[" * 100_000)
@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(raw: bytes) -> None:
    """What is no object is malformed, through each API, and no other error comes out."""
    for group in (CONSTRAINTS, "wgpolicyk8s.io"):
        with suppress(Malformed):
            assert reader.read(group, "any", raw, latest=mapping.NOW).key.name


@settings(deadline=None)
@given(document=REPORT)
def test_both_apis_say_the_same_of_any_report(document: dict[str, Any]) -> None:
    """Ids and digests depend on what is said, not on the API that it came through."""
    raw = json.dumps({**document, "apiVersion": "openreports.io/v1alpha1"}).encode()
    try:
        one, other = (
            reader.read(group, resource, raw, latest=mapping.NOW)
            for group, resource in (("wgpolicyk8s.io", "policyreports"), ("openreports.io", "reports"))
        )
    except Malformed:
        return
    assert one.violations == other.violations
    assert [digest(violation) for violation in one.plain_violations] == [
        digest(violation) for violation in other.plain_violations
    ]
