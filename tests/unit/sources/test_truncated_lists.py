"""Lists that their own source says are not whole: who says so, about what, and when it is over."""

import json
from typing import Any

import pytest

from policyhub.model.violation import ParsedReport, Subject, Violation
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sources.truncation import counts

LATEST = 1_800_000_000
GATEKEEPER = ("constraints.gatekeeper.sh", "k8slimits")
REPORTS = ("wgpolicyk8s.io", "policyreports")
AUDIT = "2026-11-25T01:25:08Z"

Document = dict[str, Any]


def constraint(*names: str, total: int | None, audited: str | None = AUDIT, **status: Any) -> Document:
    listed = [{"group": "", "version": "v1", "kind": "Pod", "namespace": "shop", "name": name} for name in names]
    full_status = {"auditTimestamp": audited, "totalViolations": total, "violations": listed, **status}
    return {"kind": "K8sLimits", "metadata": {"name": "must-have-limits"}, "status": full_status}


def report(*results: Document, namespace: str = "shop", **members: Any) -> Document:
    metadata = {"name": "polr-web", **({"namespace": namespace} if namespace else {})}
    scope = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"}
    return {"metadata": metadata, "scope": scope, "results": list(results), **members}


def result(word: str = "fail", rule: str = "r", **members: Any) -> Document:
    return {"source": "kyverno", "policy": "p", "rule": rule, "result": word, **members}


def read(document: Document, of: tuple[str, str] = REPORTS, *, limit: int = 0) -> ParsedReport:
    return reader.read(*of, json.dumps(document).encode(), latest=LATEST, limit=limit)


def notice(document: Document, of: tuple[str, str] = REPORTS) -> Violation:
    found = read(document, of).notice
    assert found is not None
    return found


def is_over(document: Document, of: tuple[str, str] = REPORTS) -> bool:
    return reader.completed_notice(*of, json.dumps(document).encode()) is not None


def test_a_constraint_that_counts_more_than_it_lists_says_so() -> None:
    """About itself, as INFORMATIONAL, with both numbers; beside what it lists, of which it is none."""
    cut = notice(constraint("a", "b", total=57), GATEKEEPER)
    assert (cut.source, cut.policy, cut.rule, cut.severity) == (
        "gatekeeper",
        "K8sLimits",
        "must-have-limits",
        "INFORMATIONAL",
    )
    assert cut.subject == Subject("constraints.gatekeeper.sh", "K8sLimits", "", "must-have-limits")
    assert counts(cut) == (2, 57)
    assert len(read(constraint("a", "b", total=57), GATEKEEPER).violations) == 2


@pytest.mark.parametrize(
    ("document", "listed"),
    [
        pytest.param(constraint(total=3), 0, id="a limit of 0"),
        pytest.param(constraint(total=3, violations=None), 0, id="no list"),
        pytest.param(constraint("a", total=3, audited=None), 1, id="not known when"),
        pytest.param(constraint("a", total=3, violations=[{"kind": "Pod", "name": "a"}, 7]), 2, id="one unreadable"),
    ],
)
def test_whatever_is_listed_counts_as_listed(document: Document, listed: int) -> None:
    """An entry that cannot be read is in the list all the same."""
    assert counts(notice(document, GATEKEEPER)) == (listed, 3)


@pytest.mark.parametrize(
    "document",
    [
        constraint("a", total=1),
        constraint("a", total=None),
        constraint(total=0),
        constraint("a", "b", total=1),
        constraint("a", total=-5),
        constraint("a", total=3, violations="none"),
        {"kind": "K8sLimits", "metadata": {"name": "new"}},
    ],
    ids=["whole", "not counted", "empty", "more than counted", "negative", "unreadable list", "not audited yet"],
)
def test_a_constraint_that_does_not_say_so(document: Document) -> None:
    """No word, no finding."""
    assert read(document, GATEKEEPER).notice is None


def test_what_we_leave_out_ourselves_is_no_cut_list() -> None:
    """Our own limit has its own condition, and the source has listed it."""
    assert read(constraint("a", "b", "c", total=3), GATEKEEPER, limit=1).notice is None
    assert read(report(result(rule="a"), result(rule="b"), summary={"fail": 2}), limit=1).notice is None
    assert counts(read(constraint("a", "b", "c", total=9), GATEKEEPER, limit=1).notice or pytest.fail("none")) == (3, 9)


def test_a_report_that_lists_all_ends_it() -> None:
    """Of what cannot be read whole nobody knows; and one list of a constraint is no evidence yet."""
    assert is_over(report(result(), summary={"fail": 1}))
    assert is_over(report())
    assert not is_over(report(7, summary={"fail": 1}))  # type: ignore[arg-type]  # what cannot be read
    assert not is_over(report(result(), configuration={"limits": {"maxResults": 1}}))
    whole = reader.completed_notice(*REPORTS, json.dumps(report(result())).encode())
    assert whole == notice(report(result(), summary={"fail": 5})).identity
    assert not is_over(constraint("a", total=1), GATEKEEPER)


@pytest.mark.parametrize(
    ("document", "numbers"),
    [
        (report(result(), summary={"fail": 5}), (1, 5)),
        (report(summary={"fail": 5}), (0, 5)),
        (report(result("warn"), summary={"fail": 0, "warn": 7}), (1, 7)),
        (report(result(), result("warn", "w"), summary={"fail": 3, "warn": 4}), (2, 7)),
        (report(result(), result("pass", "q"), summary={"fail": 2, "pass": 1}), (1, 2)),
    ],
    ids=["failures", "no result", "warnings", "both", "passes do not count"],
)
def test_a_report_whose_summary_counts_more_failures_says_so(document: Document, numbers: tuple[int, int]) -> None:
    """About itself, and what it lacks is no evidence."""
    cut = notice(document)
    assert counts(cut) == numbers
    assert cut.subject == Subject("wgpolicyk8s.io", "PolicyReport", "shop", "polr-web")
    assert not read(document).complete
    assert not is_over(document)


@pytest.mark.parametrize(
    "document",
    [
        report(result(), summary={"fail": 1}),
        report(result()),
        report(result(), summary=None),
        report(result(), summary={"fail": -4, "warn": None}),
        report(result(resources=[{"kind": "Pod", "name": n} for n in "abc"]), summary={"fail": 3}),
        report(result("warn"), summary={"fail": 1}),
        report(result(), summary={"fail": 1, "pass": 40, "skip": 7}),
        report(summary={"error": 3}),
        report(result(), 7, summary={"fail": 2}),  # type: ignore[arg-type]  # what cannot be read
        report(result(source="Trivy Vulnerability"), summary={"fail": 109, "warn": 166}),
        report(result(source="Trivy RbacAssessment"), summary={"fail": 2}),
    ],
    ids=[
        "all",
        "no summary",
        "null",
        "not a number of anything",
        "one result for three objects",
        "called by another word",
        "passes are left out",
        "policies that could not be evaluated",
        "a result that cannot be read",
        "Trivy counts vulnerabilities twice",
        "and checks",
    ],
)
def test_a_report_that_does_not_say_so(document: Document) -> None:
    """Summaries are written by many, each in their own way: only more failures than there are is a cut list."""
    assert read(document).notice is None


def test_both_apis_say_it_of_the_same_report() -> None:
    """An engine that writes the other API says nothing new."""
    document = report(result(), summary={"fail": 5})
    assert notice(document) == notice(document, ("openreports.io", "reports"))
    assert notice(report(summary={"fail": 5}, namespace=""), ("openreports.io", "clusterreports")).subject == Subject(
        "wgpolicyk8s.io", "ClusterPolicyReport", "", "polr-web"
    )


def test_a_tenants_report_speaks_of_its_own_namespace_alone() -> None:
    """Whatever its results, scope, source and labels name."""
    forged = report(
        result(source="gatekeeper", policy="K8sLimits", rule="must-have-limits"),
        namespace="tenant",
        summary={"fail": 9},
        scope={"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sLimits", "name": "must-have-limits"},
    )
    cut = notice(forged)
    assert cut.subject.namespace == "tenant"
    theirs = notice(constraint(total=9), GATEKEEPER).identity
    parsed = read(forged)
    assert theirs not in {cut.identity, *(violation.identity for violation in parsed.plain_violations)}
    passing = report(result("pass", source="gatekeeper"), namespace="", summary={"fail": 0})
    assert theirs not in reader.passed("wgpolicyk8s.io", "clusterpolicyreports", json.dumps(passing).encode())


@pytest.mark.parametrize("properties", [{}, {"resource": "truncated", "index": "truncated"}], ids=["plain", "forged"])
@pytest.mark.parametrize("source", ["kyverno", "gatekeeper", "Kube Bench"])
def test_no_result_has_the_identity_of_a_notice(source: str, properties: dict[str, str]) -> None:
    """A result has a policy or a rule, a notice of a report has neither."""
    made = [
        result(source=source, policy=policy, rule=rule, properties=properties)
        for policy, rule in (("", ""), ("p", ""), ("", "r"))
    ]
    cut = notice({**report(*made, summary={"fail": 9}), "scope": None})
    parsed = read({**report(*made), "scope": None})
    assert cut.identity not in {violation.identity for violation in parsed.plain_violations}
    assert len(parsed.plain_violations) == 2


def test_who_is_asked_for_decides_about_the_notice_too() -> None:
    """Of an engine that is left out nothing is said; the minimum severity and the results do not apply."""
    cut = notice(report(result(source="Falco"), summary={"fail": 5}))
    assert not Filter(exclude_sources=("falco",)).admits(cut)
    assert not Filter(exclude_namespaces=("shop",)).admits(cut)
    assert not Filter(truncated_lists=False).admits(cut)
    assert Filter(minimum_severity="CRITICAL", results=frozenset({"error"})).admits(cut)
