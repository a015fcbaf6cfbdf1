"""Which of policy and rule is a check's number; see the table in sources/check.py."""

import pytest

from policyhub.model.violation import Subject, Violation
from policyhub.sources.check import number, title

TITLE = "The audit log has a path"


def violation_of(source: str, policy: str, rule: str) -> Violation:
    return Violation(
        source=f"Trivy {source}",
        policy=policy,
        rule=rule,
        subject=Subject("", "Pod", "shop", "web"),
        discriminator="",
        result="fail",
        severity=None,
        category="",
        message="",
    )


@pytest.mark.parametrize(
    ("violation", "expected"),
    [
        (violation_of("ConfigAudit", TITLE, "KSV012"), ("KSV012", TITLE)),
        (violation_of("RbacAssessment", TITLE, "AVD-KSV-0046"), ("AVD-KSV-0046", TITLE)),
        (violation_of("InfraAssessment", "KCV0019", TITLE), ("KCV0019", TITLE)),
        (violation_of("InfraAssessment", "AVD-KCV-0019", TITLE), ("AVD-KCV-0019", TITLE)),
        (violation_of("InfraAssessment", TITLE, "KCV0019"), ("KCV0019", TITLE)),
        (violation_of("ExposedSecrets", "AWS Access Key", "aws-access-key"), ("aws-access-key", "AWS Access Key")),
        (violation_of("ConfigAudit", "KSV012", ""), ("KSV012", "KSV012")),
        (violation_of("Compliance", "5.2.2 Few", "Privileged"), ("Privileged", "5.2.2 Few")),
    ],
)
def test_a_check(violation: Violation, expected: tuple[str, str]) -> None:
    """fjogeleit/trivy-operator-polr-adapter at af2d82cf8e37, pkg/adapters: infra/mapper.go and clusterinfra/mapper.go
    write the id as policy and the title as rule, those of auditr and rbac the other way round.
    """
    assert (number(violation), title(violation)) == expected


@pytest.mark.parametrize(
    "identifier",
    [
        *("CVE-2099-0001", "GHSA-ab12-cd34-ef56", "RHSA-2024:1234", "ALAS2-2024-123", "ELSA-2024-12345", "USN-6000-2"),
        *("DLA-3482-1", "DSA-5432-1", "TEMP-0290435-0B57B5", "RUSTSEC-2023-0001", "GO-2024-2687", "PYSEC-2024-1"),
        *("SUSE-SU-2024:0123-1", "openSUSE-SU-2024:0123-1", "NSWG-ECO-428"),
    ],
)
def test_a_vulnerability(identifier: str) -> None:
    """devopstales/trivy-operator at cf8f3c137728, trivy-operator.py: the policy is `Image Vulnerability`."""
    assert number(violation_of("Vulnerability", "Image Vulnerability", identifier)) == identifier
    assert number(violation_of("Vulnerability", identifier, "")) == identifier
    assert number(violation_of("Vulnerability", identifier, "some rule")) == identifier


def test_what_looks_like_none_is_taken_as_it_always_was() -> None:
    """The policy first."""
    assert number(violation_of("Vulnerability", "house advisory", "rule")) == "house advisory"
    assert number(violation_of("Vulnerability", "", "rule")) == "rule"
