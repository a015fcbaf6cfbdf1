"""What producers call by names of their own is read by them; see the table in model/engines.py."""

import json
from typing import Any

import pytest

from policyhub.findings.text import title
from policyhub.model.engines import has_fixed_times
from policyhub.model.violation import Violation
from policyhub.sources import reader
from policyhub.sources.reports import passed


def violations_of(*results: dict[str, Any]) -> tuple[Violation, ...]:
    made = [{"policy": "p", "result": "fail", "message": "m", **result} for result in results]
    report = json.dumps({"metadata": {"name": "r", "namespace": "shop"}, "results": made}).encode()
    return reader.read("wgpolicyk8s.io", "policyreports", report, latest=1_800_000_000).plain_violations


@pytest.mark.parametrize(
    ("source", "severity", "properties", "expected"),
    [
        # stolostron/insights-client at 9122035ace38, pkg/processor/reportprocessor.go: convertSevFromGovernance, and
        # what Insights calls low, moderate, important and critical
        ("insights", None, {"total_risk": "1"}, "LOW"),
        ("insights", None, {"total_risk": "3"}, "HIGH"),
        ("grc", None, {"total_risk": "4"}, "CRITICAL"),
        ("grc", None, {"total_risk": "0"}, None),
        ("grc", "low", {"total_risk": "4"}, "LOW"),
        # kubernetes-sigs/wg-policy-prototypes at 25056e1f3eb5, policy-report/samples/sample-rhacm-policy.yaml
        ("rhacm-configuration-policy", None, {"severity": "High"}, "HIGH"),
        ("rhacm-configuration-policy", None, {"severity": "whatever"}, None),
        ("ocm", None, {"policy.open-cluster-management.io/severity": "low"}, "LOW"),
        ("house rules", "medium", {"severity": "high"}, "MEDIUM"),
        ("house rules", None, {"total_risk": "4"}, None),
    ],
)
def test_the_severity(source: str, severity: str | None, properties: dict[str, str], expected: str | None) -> None:
    """The result's own first; then by the producer's property; of unknown producers by one that is called so."""
    (violation,) = violations_of({"source": source, "severity": severity, "properties": properties})
    assert violation.severity == expected


def test_each_package_with_a_vulnerability_is_one_of_its_own() -> None:
    """statnett/image-scanner-operator at 78317bf0365e, internal/controller/stas/policy_report.go: a result for each,
    which the vulnerability's id alone does not tell apart.
    """
    of = {"source": "image-scanner", "policy": "CVE-2099-0001"}
    found = violations_of(*({**of, "properties": {"pkgName": name}} for name in ("libssl3", "Openssl")))
    assert [violation.discriminator for violation in found] == ["Openssl", "libssl3"]
    titles = [title(violation, cluster="prod") for violation in found]
    assert titles == [f"CVE-2099-0001, {name}: report shop/r (prod)" for name in ("Openssl", "libssl3")]


@pytest.mark.parametrize(
    ("source", "written", "read_as"),
    [
        ("insights", {"resolution": "Do.", "reason": "Since."}, {"remediation": "Do.", "description": "Since."}),
        # statnett/image-scanner-operator at 78317bf0365e, internal/controller/stas/policy_report.go
        ("image-scanner", {"primaryURL": "https://x.example"}, {"primaryLink": "https://x.example"}),
        ("house rules", {"recommendation": "Do."}, {"remediation": "Do."}),
        ("house rules", {"more_info": "https://x.example"}, {"link": "https://x.example"}),
        ("Trivy", {"PrimaryURL": "https://x.example"}, {"primaryLink": "https://x.example"}),
        ("house rules", {"remediation": "Do.", "resolution": "Done."}, {"remediation": "Do.", "resolution": "Done."}),
        ("house rules", {"reason": "Since."}, {"reason": "Since."}),
        ("kyverno", {"resolution": "x"}, {"resolution": "x"}),
        ("Trivy Vulnerability", {"score": "0", "resource": "lib"}, {"resource": "lib"}),
        ("Trivy Vulnerability", {"score": "0.1", "resource": "lib"}, {"score": "0.1", "resource": "lib"}),
    ],
)
def test_the_names_of_properties(source: str, written: dict[str, str], read_as: dict[str, str]) -> None:
    """What to do and where to read on have one name; a score that the scanner lacks is none."""
    (violation,) = violations_of({"source": source, "properties": written})
    assert dict(violation.properties) == read_as


@pytest.mark.parametrize("key", ["category", "categories", "policy.open-cluster-management.io/categories"])
def test_the_category(key: str) -> None:
    """Of a result that has none: policy-report/samples at 25056e1f3eb5 have it as a property."""
    assert violations_of({"source": "rhacm", "properties": {key: "CM-2 Baseline"}})[0].category == "CM-2 Baseline"
    assert violations_of({"source": "rhacm", "category": "c", "properties": {key: "CM-2 Baseline"}})[0].category == "c"


@pytest.mark.parametrize("source", ["Kube Bench", "CIS Vulnerability"])
def test_the_checks_of_a_group_are_told_apart(source: str) -> None:
    """devopstales/trivy-operator at cf8f3c137728, kube-bench-scnner.py: policy and rule are those of a whole group."""
    result = {"source": source, "policy": "Worker Node Security Configuration", "rule": "Kubelet"}
    checks = [{**result, "properties": {"index": index}} for index in ("4.2.1", "4.2.2")]
    assert len({violation.identity for violation in violations_of(*checks)}) == 2
    document = {
        "metadata": {"name": "r"},
        "results": [{**checks[0], "result": "pass"}, {**checks[1], "result": "fail"}],
    }
    assert len(passed("wgpolicyk8s.io", "clusterpolicyreports", json.dumps(document).encode())) == 1


def test_a_check_of_trivys_kube_bench() -> None:
    """fjogeleit/trivy-operator-polr-adapter at af2d82cf8e37, pkg/adapters/kubebench/mapper.go: the rule is the check's
    number and text, the message what to do. The identity stays as it was.
    """
    result = {
        "source": "CIS Kube Bench",
        "policy": "4.1 Files",
        "rule": "4.1.1 Ensure it (Automated)",
        "message": "Do.",
    }
    (violation,) = violations_of(result)
    assert violation.message == "Ensure it (Automated)"
    assert dict(violation.properties) == {"index": "4.1.1", "remediation": "Do."}
    assert violation.identity.parts[:3] == ("CIS Kube Bench", "4.1 Files", "4.1.1 Ensure it (Automated)")
    (other,) = violations_of({**result, "rule": "Ensure it"})
    assert (other.message, other.properties) == ("Do.", ())


def test_whose_times_stand_still() -> None:
    """Trivy's adapter gives all results the creationTimestamp of Trivy's report (mapper.go of each of its adapters)."""
    assert has_fixed_times("Trivy Compliance")
    assert has_fixed_times("CIS Kube Bench")
    assert not has_fixed_times("kyverno")
    assert not has_fixed_times("house rules")
