"""Type, control, requirements and standards of a finding."""

import msgspec
import pytest

from policyhub.findings.compliance import TYPES, categories, compliance, finding_type
from policyhub.model.violation import Violation
from tests.unit.violation import VIOLATION


def requirements(*properties: tuple[str, str], source: str = "kyverno") -> list[str] | None:
    stated = compliance(msgspec.structs.replace(VIOLATION, source=source, properties=tuple(sorted(properties))))
    listed: list[str] | None = stated.get("RelatedRequirements")
    return listed


def standards(violation: Violation) -> list[str]:
    return [standard["StandardsId"] for standard in compliance(violation).get("AssociatedStandards", ())]


@pytest.mark.parametrize(
    ("source", "classifier"),
    [
        ("kyverno", "Kubernetes Policy Violations/kyverno"),
        ("a/b/c", "Kubernetes Policy Violations/a-b-c"),
        ("\n", "Kubernetes Policy Violations/unknown"),
        ("Trivy Vulnerability", "Vulnerabilities/CVE"),
        ("Trivy ConfigAudit", "Kubernetes Policy Violations/Trivy ConfigAudit"),
        ("Kube Bench", "Industry and Regulatory Standards/CIS Kubernetes Benchmark"),
    ],
)
def test_types_have_three_segments(source: str, classifier: str) -> None:
    """A slash has no escape in a segment; a vulnerability and a benchmark are sorted among their like."""
    assert finding_type(source) == f"Software and Configuration Checks/{classifier}"


def test_every_type_of_the_table_has_three_segments() -> None:
    """Security Hub takes no more."""
    assert all(len(kind.split("/")) == 3 and "" not in kind.split("/") for kind in TYPES.values())


@pytest.mark.parametrize(
    ("properties", "listed"),
    [
        ((), None),
        ((("controls", " "),), None),
        ((("policies.example/cis-eks-control", "4.2.1"),), ["CIS EKS 4.2.1"]),
        ((("x/nist-800-53-control", "AC-6, CM-7,AC-6"),), ["NIST 800-53 AC-6", "NIST 800-53 CM-7"]),
        ((("pci-dss-controls", "1.3"), ("owasp", "K01")), ["OWASP K01", "PCI DSS 1.3"]),
        ((("house-rules-control", "7"),), ["HOUSE-RULES 7"]),
        ((("policies.example/controls", "CIS-1.3.2, SOC2-CC6.1"),), ["CIS-1.3.2", "SOC2-CC6.1"]),
        ((("x/controls", "CM-2 Baseline"), ("x/standards", "NIST SP 800-53")), ["NIST SP 800-53 CM-2 Baseline"]),
        ((("controls", "NIST CM-2"), ("standard", "NIST")), ["NIST CM-2"]),
        ((("controls", "CM-2"), ("standards", "NIST, PCI")), ["CM-2"]),
        (
            (("controls", "Capabilities,Seccomp"), ("standard", "restricted"), ("version", "latest")),
            ["Pod Security Standards (Restricted) Capabilities", "Pod Security Standards (Restricted) Seccomp"],
        ),
        ((("controls", "hostPorts_baseline"),), ["Pod Security Standards (Baseline) hostPorts"]),
        (
            (
                (
                    "policycontroller.gke.io/constraintData",
                    "\"{bundleDisplayName: 'CIS v1.7', controlNumbers: '[5.3.2, 5.3.3]', severity: 'UNSPECIFIED'}\"",
                ),
            ),
            ["CIS v1.7 5.3.2", "CIS v1.7 5.3.3"],
        ),
        ((("constraintData", "{bundleName: 'b'}"),), None),
        ((("controlsJSON", "[]"), ("index", "1.2")), None),
    ],
    ids=str,
)
def test_requirements(properties: tuple[tuple[str, str], ...], listed: list[str] | None) -> None:
    """What the engine states, spelt so that it can be searched for; nothing is inferred."""
    assert requirements(*properties) == listed


def test_requirements_are_few_and_short() -> None:
    """At most 32, each of at most 64 characters, which says that it was cut."""
    listed = requirements(("controls", ",".join(f"c{n}{'x' * 80}" for n in range(50))))
    assert listed is not None
    assert len(listed) == 32
    assert all(len(one) == 64 and one.endswith("…") for one in listed)
    many = msgspec.structs.replace(VIOLATION, properties=(("standards", ",".join(map(str, range(50)))),))
    assert len(standards(many)) == 20


def test_a_benchmarks_check_is_a_requirement() -> None:
    """kube-bench names it by its index."""
    assert requirements(("index", "1.2.3"), source="Kube Bench") == ["CIS Kubernetes Benchmark 1.2.3"]
    assert standards(msgspec.structs.replace(VIOLATION, source="Kube Bench")) == ["CIS Kubernetes Benchmark"]


@pytest.mark.parametrize(
    ("benchmark", "policy", "requirement", "standard"),
    [
        ("nsa", "1.0 Non-root containers", "NSA-CISA Kubernetes Hardening 1.0", ["NSA-CISA Kubernetes Hardening"]),
        ("k8s-cis-1.23", "5.2.6 Root", "CIS Kubernetes Benchmark 1.23 5.2.6", ["CIS Kubernetes Benchmark 1.23"]),
        ("eks-cis-1.4", "3.1.1 Files", "CIS EKS 1.4 3.1.1", ["CIS EKS 1.4"]),
        ("house", "Doors are shut", "house Doors are shut", ["house"]),
        (None, "1.0 Non-root containers", "1.0 Non-root containers", []),
    ],
)
def test_trivys_compliance_names_its_benchmark(
    benchmark: str | None, policy: str, requirement: str, standard: list[str]
) -> None:
    """The policy's number alone says nothing; whose number it is, the report's owner tells."""
    properties = (("benchmark", benchmark),) if benchmark else ()
    violation = msgspec.structs.replace(VIOLATION, source="Trivy Compliance", policy=policy, properties=properties)
    assert compliance(violation)["RelatedRequirements"] == [requirement]
    assert standards(violation) == standard


def test_standards_are_spelt_alike() -> None:
    """Kyverno's commercial library lists them in lower case."""
    listed = msgspec.structs.replace(VIOLATION, properties=(("x/standards", "cis-eks, soc2,Restricted, house"),))
    assert standards(listed) == ["CIS EKS", "SOC 2", "Pod Security Standards (Restricted)", "house"]


@pytest.mark.parametrize(
    ("category", "listed"),
    [
        ("", []),
        ("Pod Security Standards (Baseline) in CEL ", ["Pod Security Standards (Baseline)"]),
        ("Other, EKS Best Practices", []),
        ("Pod Security Standards (Restricted) in Vpol, Sample", ["Pod Security Standards (Restricted)"]),
    ],
)
def test_a_category_may_be_a_standard(category: str, listed: list[str]) -> None:
    """Kyverno's library has no other place for it; other categories are no standards."""
    assert standards(msgspec.structs.replace(VIOLATION, category=category)) == listed


def test_categories_are_read_one_by_one() -> None:
    """Without blanks and without the engine that a policy was written for."""
    assert categories(" Other , EKS Best Practices in CEL expressions,, ") == ["Other", "EKS Best Practices"]


@pytest.mark.parametrize(
    ("source", "policy", "rule", "properties", "control"),
    [
        ("kyverno", "p", "r", (), "p"),
        ("kyverno", "", "r", (), "r"),
        ("gatekeeper", "K8sLimits", "must", (), "K8sLimits"),
        ("Trivy ConfigAudit", "Runs as root", "KSV012", (), "KSV012"),
        ("Trivy Vulnerability", "CVE-2020-1", "", (), "CVE-2020-1"),
        ("Trivy Compliance", "1.0 Non-root", "Runs as root", (("id", "AVD-KSV-0012"),), "AVD-KSV-0012"),
        ("Kube Bench", "Master", "Files", (("index", "1.1.1"),), "1.1.1"),
        ("Falco", "syscall", "Shell in container", (), "Shell in container"),
        (" ", " ", " ", (), None),
    ],
)
def test_the_control(
    source: str, policy: str, rule: str, properties: tuple[tuple[str, str], ...], control: str | None
) -> None:
    """What is common to all findings of one check, so that they can be counted and automated together."""
    violation = msgspec.structs.replace(VIOLATION, source=source, policy=policy, rule=rule, properties=properties)
    assert compliance(violation).get("SecurityControlId") == control
