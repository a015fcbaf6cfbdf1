"""What is to be done, and where to read on."""

from typing import Any

import msgspec
import pytest

from policyhub.findings.remedy import remediation, source_url, vulnerabilities
from tests.unit.violation import VIOLATION

POD_SECURITY = {"Url": "https://kubernetes.io/docs/concepts/security/pod-security-standards/"}


@pytest.mark.parametrize(
    ("change", "properties", "recommendation"),
    [
        ({}, (), {}),
        ({}, (("policies.example/remediation", "Set it."),), {"Text": "Set it."}),
        ({}, (("remediation", "https://docs.example/a"),), {"Url": "https://docs.example/a"}),
        (
            {},
            (("url", "https://other.example"), ("x/remediation-docs", "https://docs.example")),
            {"Url": "https://docs.example"},
        ),
        ({"category": "Pod Security Standards (Baseline)"}, (), POD_SECURITY),
        ({}, (("standard", "restricted"),), POD_SECURITY),
        (
            {"source": "kubescape"},
            (("controlURL", "https://hub.example/c-0016"),),
            {"Url": "https://hub.example/c-0016"},
        ),
        (
            {"source": "Trivy ConfigAudit", "rule": "KSV012"},
            (),
            {"Url": "https://avd.aquasec.com/misconfig/ksv012"},
        ),
        (
            {"source": "Trivy Compliance"},
            (("id", "AVD-KSV-0117"), ("remediation", "Do.")),
            {"Text": "Do.", "Url": "https://avd.aquasec.com/misconfig/ksv117"},
        ),
        ({"source": "Trivy RbacAssessment", "rule": "custom"}, (), {}),
        (
            {"source": "Trivy Vulnerability", "discriminator": "apt"},
            (("fixedVersion", "2"), ("installedVersion", "1"), ("primaryLink", "https://avd.example/c")),
            {"Text": "Update apt from 1 to 2.", "Url": "https://avd.example/c"},
        ),
        (
            {"source": "Trivy Vulnerability", "discriminator": "apt"},
            (("fixedVersion", "2"),),
            {"Text": "Update apt to 2."},
        ),
        (
            {"source": "gatekeeper"},
            (("policycontroller.gke.io/constraintData", "{controlNumbers: '[1]', remediation: 'Drop it.'}"),),
            {"Text": "Drop it."},
        ),
    ],
    ids=str,
)
def test_recommendations(
    change: dict[str, Any], properties: tuple[tuple[str, str], ...], recommendation: dict[str, str]
) -> None:
    """As the engine states it, or as is known of its check; otherwise nothing."""
    assert remediation(msgspec.structs.replace(VIOLATION, properties=properties, **change)) == recommendation


@pytest.mark.parametrize(
    ("properties", "url"),
    [
        ((), ""),
        ((("primaryLink", "https://avd.example/c"),), "https://avd.example/c"),
        ((("url", "ftp://x"),), ""),
        ((("docs", "see https://x.example"),), ""),
    ],
)
def test_the_source_url_is_the_engines_own(properties: tuple[tuple[str, str], ...], url: str) -> None:
    """A link that is none is left out."""
    assert source_url(msgspec.structs.replace(VIOLATION, properties=properties)) == url


def test_a_vulnerability_names_package_versions_and_score() -> None:
    """So that rules for vulnerabilities find them where they look."""
    properties = (
        ("fixedVersion", "2"),
        ("installedVersion", "1"),
        ("primaryLink", "https://avd.example/c"),
        ("score", "5.7"),
    )
    violation = msgspec.structs.replace(
        VIOLATION, source="Trivy Vulnerability", policy="CVE-1", discriminator="apt", properties=properties
    )
    assert vulnerabilities(violation) == [
        {
            "Id": "CVE-1",
            "VulnerablePackages": [{"Name": "apt", "Version": "1", "FixedInVersion": "2"}],
            "FixAvailable": "YES",
            "Cvss": [{"BaseScore": 5.7}],
            "ReferenceUrls": ["https://avd.example/c"],
        }
    ]
    bare = msgspec.structs.replace(violation, discriminator="", properties=(("score", "nan"),))
    assert vulnerabilities(bare) == [{"Id": "CVE-1"}]
    assert vulnerabilities(msgspec.structs.replace(bare, properties=(("score", "high"),))) == [{"Id": "CVE-1"}]
    assert vulnerabilities(VIOLATION) == []
