"""The fictional company's reports and constraints have the shapes that the engines write."""

import copy
import re
from collections import Counter
from typing import Any

import pytest

from dev.company import Breach, Company, Object, Violation, constraint, report, rewrite, violations
from dev.company.gatekeeper import cut
from dev.company.kyverno import CHECKS, results, rule_name
from dev.company.report import with_result

NOW = 1_795_000_000
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")

Document = dict[str, Any]


@pytest.fixture(scope="module")
def company() -> Company:
    return Company.build()


@pytest.fixture(scope="module")
def documents(company: Company) -> list[Document]:
    return company.documents(now=NOW)


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def of_engine(documents: list[Document], source: str) -> list[Document]:
    return [d for d in documents if any(result["source"] == source for result in d.get("results", ()))]


def test_a_seed_gives_one_company() -> None:
    """The same seed and time give the same company and the same texts; another seed gives another one."""
    assert Company.build(3).documents(now=NOW) == Company.build(3).documents(now=NOW)
    assert Company.build(3).documents(now=NOW) != Company.build(4).documents(now=NOW)


def test_the_size_is_realistic(company: Company, documents: list[Document]) -> None:
    """About forty reports with some 250 violations of every severity, all kinds of results, from four engines."""
    reports = [document for document in documents if "results" in document]
    assert 40 <= len(reports) <= 50
    assert 240 <= len(violations(documents)) <= 260
    reported = [result for document in reports for result in document["results"]]
    assert {result["result"] for result in reported} == {"pass", "fail", "warn", "error", "skip"}
    failing = [result for result in reported if result["result"] == "fail"]
    assert {result["severity"] for result in failing} == {"critical", "high", "medium", "low", "info"}
    assert {violation.source for violation in violations(documents)} == {
        "kyverno",
        "kubewarden",
        "Trivy ConfigAudit",
        "gatekeeper",
    }
    assert {w.namespace for w in company.workloads} == {"shop", "payments", "analytics", "platform", "monitoring"}
    assert {w.kind for w in company.workloads} == {"Deployment", "StatefulSet", "DaemonSet", "CronJob"}


def test_names_are_valid_and_unique(company: Company, documents: list[Document]) -> None:
    """An API server accepts every name, and no two objects of one kind and namespace share one."""
    everything = [*company.namespaces(), *company.manifests(), *company.replica_sets(), *documents]
    keys = [(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in everything]
    assert max(Counter(keys).values()) == 1
    for _, namespace, name in keys:
        assert NAME.fullmatch(name)
        assert len(name) <= 63
        assert not namespace or NAME.fullmatch(namespace)


def test_kyverno_reports_thirty_results_per_workload(company: Company, documents: list[Document]) -> None:
    """One report per workload, named by its uid and owned by it, with thirty results without `resources`."""
    by_name = {document["metadata"]["name"]: document for document in of_kind(documents, "PolicyReport")}
    for workload in company.workloads:
        found = by_name[company.uids[workload.object]]
        assert found["apiVersion"] == "wgpolicyk8s.io/v1alpha2"
        assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "kyverno"}
        (owner,) = found["metadata"]["ownerReferences"]
        assert {key: found["scope"][key] for key in owner} == owner
        assert len(found["results"]) == len(CHECKS) == 30
        prefix = "autogen-cronjob-" if workload.kind == "CronJob" else "autogen-"
        for result in found["results"]:
            assert result["rule"].startswith(prefix)
            assert len(result["rule"]) <= 63
            assert "resources" not in result
            assert result["timestamp"] == {"seconds": NOW, "nanos": 0}
            assert result["properties"]["process"] == "background scan"


def test_summaries_count_the_results(documents: list[Document]) -> None:
    """Each report's summary is the sum of its results."""
    for document in documents:
        if "results" in document:
            counted = Counter(result["result"] for result in document["results"])
            assert {word: number for word, number in document["summary"].items() if number} == counted


def test_each_rule_has_one_result(documents: list[Document]) -> None:
    """No report has two results of one policy and rule."""
    for document in documents:
        output = [(result["policy"], result.get("rule")) for result in document.get("results", ())]
        assert len(set(output)) == len(output)


def test_unscored_exempt_and_erroneous_results() -> None:
    """An unscored policy has warn, an exempt object skip with the exception's name, a policy that cannot be evaluated
    error.
    """
    subject = Object("apps/v1", "Deployment", "shop", "web")
    reported = results(
        subject, {"no-digest", "root"}, now=NOW, excepted={"require-run-as-nonroot"}, unknown={"verify-image-signature"}
    )
    by_policy = {result["policy"]: result for result in reported}
    assert (by_policy["require-image-digest"]["result"], by_policy["require-image-digest"]["scored"]) == ("warn", False)
    assert by_policy["require-run-as-nonroot"]["result"] == "skip"
    assert by_policy["require-run-as-nonroot"]["properties"]["exceptions"] == "shop-web"
    assert by_policy["verify-image-signature"]["result"] == "error"


@pytest.mark.parametrize(
    ("rule", "kind", "named"),
    [
        ("run-as-non-root", "Deployment", "autogen-run-as-non-root"),
        ("run-as-non-root", "CronJob", "autogen-cronjob-run-as-non-root"),
        ("run-as-non-root", "Pod", "run-as-non-root"),
        ("validate-nodeport", "Service", "validate-nodeport"),
        ("r" * 60, "CronJob", "autogen-cronjob-" + "r" * 47),
    ],
)
def test_rule_names(rule: str, kind: str, named: str) -> None:
    """Pod rules have generated names for their controllers, cut to 63 characters."""
    assert rule_name(rule, kind) == named


def test_reports_on_cluster_scoped_objects(documents: list[Document]) -> None:
    """They are cluster-scoped themselves."""
    found = of_kind(documents, "ClusterPolicyReport")
    assert len(found) >= 2
    for document in found:
        assert "namespace" not in document["metadata"]
        assert "namespace" not in document["scope"]


def test_kubewarden(documents: list[Document]) -> None:
    """Kubewarden writes openreports.io reports without a rule, with an empty resourceSelector, and with unique policy
    names.
    """
    found = of_engine(documents, "kubewarden")
    assert found
    for document in found:
        assert (document["apiVersion"], document["kind"]) == ("openreports.io/v1alpha1", "Report")
        assert document["source"] == "kubewarden"
        for result in document["results"]:
            assert result["resourceSelector"] == {}
            assert result["policy"].startswith("clusterwide-")
            assert "rule" not in result
            assert (result["message"] == "") == (result["result"] == "pass")


def test_trivy(documents: list[Document]) -> None:
    """Trivy's report is about the ReplicaSet and has its own name; the policy is a title, the rule its id."""
    found = of_engine(documents, "Trivy ConfigAudit")
    assert found
    for document in found:
        assert document["metadata"]["name"] == f"trivy-audit-polr-{document['scope']['name']}"
        assert document["scope"]["kind"] == "ReplicaSet"
        assert all(re.fullmatch(r"KSV\d{3}", result["rule"]) for result in document["results"])


def test_a_truncated_constraint(company: Company) -> None:
    """It counts 52 violations and lists the smallest 20 in descending order; when one is fixed, the next one is
    listed.
    """
    before, after = (company.container_limits(now=NOW, fixed=fixed) for fixed in (0, 1))
    assert (before["status"]["totalViolations"], after["status"]["totalViolations"]) == (52, 51)
    every = sorted((breach.namespace, breach.name) for breach in company.pods)
    for document, first in ((before, 0), (after, 1)):
        listed = [(entry["namespace"], entry["name"]) for entry in document["status"]["violations"]]
        assert listed == every[first : first + 20][::-1]
    assert len(violations([before]) - violations([after])) == len(violations([after]) - violations([before])) == 1


def test_constraints(documents: list[Document]) -> None:
    """Kinds of constraints with one dryrun, one with `byPod: null`, one without violations and so without a list."""
    found = {document["kind"]: document for document in documents if "results" not in document}
    assert len(found) == 4
    for document in found.values():
        assert document["apiVersion"] == "constraints.gatekeeper.sh/v1beta1"
        assert "namespace" not in document["metadata"]
        status = document["status"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["auditTimestamp"])
        assert ("violations" in status) == (status["totalViolations"] > 0)
        for entry in status.get("violations", ()):
            assert entry["enforcementAction"] == document["spec"]["enforcementAction"]
            assert len(entry["message"].encode()) <= 256
            assert ("namespace" in entry) == (entry["kind"] != "Namespace")
    assert found["K8sRequiredLabels"]["spec"]["enforcementAction"] == "dryrun"
    assert found["K8sAllowedRepos"]["status"]["byPod"] is None
    assert found["K8sBlockNodePort"]["status"]["totalViolations"] == 0
    pods = found["K8sRequiredLabels"]["status"]["byPod"]
    assert [pod["id"] for pod in pods] == sorted(pod["id"] for pod in pods)


def test_several_violations_of_one_object(documents: list[Document]) -> None:
    """A Pod with two violating containers is listed twice in a constraint, and is one violation."""
    (repos,) = of_kind(documents, "K8sAllowedRepos")
    assert len(repos["status"]["violations"]) == len(violations([repos])) + 1


def test_messages_are_truncated_by_bytes() -> None:
    """A message has at most 256 bytes, even if a character is split."""
    breach = Breach("", "v1", "Pod", "shop", "web", "é" * 200)
    made = constraint("K8sLong", "long", [breach], action="deny", match={}, uid="1", now=NOW)
    (listed,) = made["status"]["violations"]
    assert listed["message"].endswith("...")
    assert len(cut("a" * 300)) == 256
    assert cut("a" * 256) == "a" * 256


def test_a_rewrite_changes_only_times(documents: list[Document]) -> None:
    """After another scan every time is new, all else is as before, and the original documents are unchanged."""
    before = copy.deepcopy(documents)
    fresh = rewrite(documents, NOW + 60)
    assert documents == before
    assert all(new != old for new, old in zip(fresh, documents, strict=True))
    assert violations(fresh) == violations(documents)
    assert rewrite(fresh, NOW) == documents


def test_a_fix_changes_the_summary(company: Company) -> None:
    """A changed result changes the violations and the summary; the rest is as after a rewrite."""
    gateway = company.workload("payments", "gateway").object
    before = company.report(gateway, now=NOW)
    after = with_result(before, policy="require-run-as-nonroot", word="pass", message="", now=NOW + 1)
    about = ("autogen-run-as-non-root", "Deployment", "payments", "gateway")
    assert violations([before]) - violations([after]) == {Violation("kyverno", "require-run-as-nonroot", *about)}
    assert before["summary"]["fail"] - after["summary"]["fail"] == 1


def test_reports_carry_uids_of_the_api_server(company: Company) -> None:
    """Reports about objects with uids from an API server have these in names, owners and scopes."""
    web = company.workload("shop", "web").object
    served = company.known_as({web: "served"})
    metadata, scope = (served.report(web, now=NOW)[part] for part in ("metadata", "scope"))
    assert {metadata["name"], metadata["ownerReferences"][0]["uid"], scope["uid"]} == {"served"}
    owners = {
        rs["metadata"]["ownerReferences"][0]["name"]: rs["metadata"]["ownerReferences"][0]
        for rs in served.replica_sets()
    }
    assert owners["web"]["uid"] == "served"


def test_a_custom_report() -> None:
    """The builder makes a report about any object with any results."""
    subject = Object("v1", "Node", "", "node-1")
    made = report(
        subject, [{"policy": "p", "result": "fail", "source": "mine"}], uid="1", engine="mine", open_reports=True
    )
    assert (made["kind"], made["metadata"]["name"]) == ("ClusterReport", "1")
    assert violations([made]) == {Violation("mine", "p", "", "Node", "", "node-1")}
