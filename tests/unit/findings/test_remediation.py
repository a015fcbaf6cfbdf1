"""What is to be done, and where to read on."""

from typing import Any

import msgspec
import pytest

from policyhub.findings.remediation import remediation, source_url, vulnerabilities
from policyhub.findings.text import description
from tests.unit.violation import VIOLATION

POD_SECURITY = "https://kubernetes.io/docs/concepts/security/pod-security-standards/"
SUPPRESS = "set the workflow status SUPPRESSED with a note. Once it passes, this finding archives itself."
CHANGE = "Change Deployment shop/cart so that it meets the rule. "


@pytest.mark.parametrize(
    ("change", "properties", "first", "url"),
    [
        ({}, (), CHANGE, None),
        ({}, (("policies.example/remediation", "Set it."),), "Set it. ", None),
        ({}, (("remediation", "Set it"),), "Set it. ", None),
        ({}, (("remediation", "https://docs.example/a"),), CHANGE, "https://docs.example/a"),
        (
            {},
            (("url", "https://other.example"), ("x/remediation-docs", "https://docs.example")),
            CHANGE,
            "https://docs.example",
        ),
        ({"category": "Pod Security Standards (Baseline)"}, (), CHANGE, POD_SECURITY),
        ({}, (("standard", "restricted"),), CHANGE, POD_SECURITY),
        (
            {"source": "kubescape"},
            (("controlURL", "https://hub.example/c-0016"),),
            CHANGE,
            "https://hub.example/c-0016",
        ),
        ({"source": "Trivy ConfigAudit", "rule": "KSV012"}, (), CHANGE, "https://avd.aquasec.com/misconfig/ksv012"),
        (
            {"source": "Trivy Compliance"},
            (("id", "AVD-KSV-0117"), ("remediation", "Do.")),
            "Do. ",
            "https://avd.aquasec.com/misconfig/ksv117",
        ),
        ({"source": "Trivy RbacAssessment", "rule": "custom"}, (), CHANGE, None),
        *(
            ({"source": "Trivy ConfigAudit", "rule": rule}, (), CHANGE, f"https://avd.aquasec.com/misconfig/{page}")
            for rule, page in (
                ("KSV-0012", "ksv012"),
                ("KSV-0109", "ksv-0109"),
                ("KSV117", "ksv117"),
                ("AVD-KSV-01010", "avd-ksv-01010"),
            )
        ),
        (
            {"source": "Trivy Vulnerability", "discriminator": "apt"},
            (("fixedVersion", "2"), ("installedVersion", "1"), ("primaryLink", "https://avd.example/c")),
            "Update apt from 1 to 2. ",
            "https://avd.example/c",
        ),
        (
            {"source": "Trivy Vulnerability", "discriminator": "apt"},
            (("fixedVersion", "2"),),
            "Update apt to 2. ",
            None,
        ),
        (
            {"source": "Trivy Vulnerability", "discriminator": "apt"},
            (),
            "No version of apt is known to mend it. Look at Deployment shop/cart. ",
            None,
        ),
        (
            {"source": "gatekeeper"},
            (("policycontroller.gke.io/constraintData", "{controlNumbers: '[1]', remediation: 'Drop it.'}"),),
            "Drop it. ",
            None,
        ),
        ({"result": "error"}, (), "Find out why the policy could not be evaluated for Deployment shop/cart; ", None),
    ],
    ids=str,
)
def test_recommendations(
    change: dict[str, Any], properties: tuple[tuple[str, str], ...], first: str, url: str | None
) -> None:
    """First what ends it, as the engine states it or as is known of its check, else the object; always how to go on."""
    recommendation = remediation(msgspec.structs.replace(VIOLATION, properties=properties, **change))
    assert recommendation["Text"].startswith(first)
    assert recommendation["Text"].endswith(SUPPRESS)
    assert recommendation.get("Url") == url


PATHS = "spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (
            "validation error: no root. rule a failed at path /spec/template/spec/containers/0/securityContext/",
            f"{PATHS}.securityContext",
        ),
        ("B. rule r[0] failed at path /spec/a/ rule r[1] failed at path /spec/b/1/", "spec.a, spec.b[1]"),
        (
            "rule check failed at path /metadata/labels/app.kubernetes.io/name/",
            "/metadata/labels/app.kubernetes.io/name",
        ),
        (f"(field error list: [{PATHS}.resources.limits: Required value])", f"{PATHS}.resources.limits"),
        (
            "The fields spec.hostNetwork and spec.hostPID must be unset. rule a failed at path /spec/hostPID/",
            "spec.hostPID",
        ),
        ("The fields spec.hostNetwork and spec.hostPID must be unset.", "spec.hostNetwork, spec.hostPID"),
        ('allowPrivilegeEscalation != false (container "web" must set it)', 'container "web"'),
        ('restricted volume types (volumes "host" uses it)', 'volume "host"'),
        ("container <app> has no resource limits", 'container "app"'),
        ("Privileged container is not allowed: nginx, securityContext: {}", 'container "nginx"'),
    ],
    ids=lambda text: text[:40],
)
def test_the_field_is_named_where_the_message_names_it(message: str, changes: str) -> None:
    """Path, container, volume: as far as the engine tells."""
    text = remediation(msgspec.structs.replace(VIOLATION, message=message))["Text"]
    assert text.startswith(f"Change {changes} of Deployment shop/cart. ")
    counted = msgspec.structs.replace(VIOLATION, message=message, own=False)
    assert f"Change {changes} of the Pods of Deployment shop/cart. " in remediation(counted)["Text"]


def test_an_image_is_no_container() -> None:
    """Some constraints name the one where others name the other."""
    text = remediation(msgspec.structs.replace(VIOLATION, message="A container is not allowed: python:3.10"))["Text"]
    assert text.startswith(CHANGE)


@pytest.mark.parametrize(
    ("source", "policy", "rule", "command"),
    [
        ("kyverno", "no-root", "r", "clusterpolicies.kyverno.io no-root"),
        ("kyverno", "shop/no-root", "r", "policies.kyverno.io no-root -n shop"),
        ("KyvernoValidatingPolicy", "p", "", "validatingpolicies.policies.kyverno.io p"),
        ("ValidatingAdmissionPolicy", "p", "", "validatingadmissionpolicies.admissionregistration.k8s.io p"),
        ("gatekeeper", "K8sLimits", "must", "k8slimits.constraints.gatekeeper.sh must"),
        ("kubewarden", "clusterwide-no-root", "", "clusteradmissionpolicies.policies.kubewarden.io no-root"),
        ("kubewarden", "clusterwide-group-x", "", "clusteradmissionpolicygroups.policies.kubewarden.io x"),
        ("kubewarden", "namespaced-shop-a-b", "", "admissionpolicies.policies.kubewarden.io a-b -n shop"),
        ("kubewarden", "namespaced-else-a", "", None),
        ("kyverno", "$(reboot)", "r", "clusterpolicies.kyverno.io '$(reboot)'"),
        ("kyverno", "a;b", "r", "clusterpolicies.kyverno.io 'a;b'"),
        ("kyverno", "-h", "r", None),
        ("kyverno", "two words", "r", None),
        ("kyverno", "p" * 400, "r", None),
        ("gatekeeper", "K8s;x", "must", None),
        ("Trivy ConfigAudit", "p", "r", None),
        ("unknown", "p", "r", None),
    ],
)
def test_where_the_rule_is_written(source: str, policy: str, rule: str, command: str | None) -> None:
    """A command that does nothing but show it, whatever somebody has called a policy."""
    violation = msgspec.structs.replace(VIOLATION, source=source, policy=policy, rule=rule)
    text = remediation(violation, cluster="prod")["Text"]
    assert ("kubectl" in text) == (command is not None)
    if command is not None:
        assert f" Read the rule in prod with `kubectl get {command} -o yaml`. " in text


def test_an_event_is_never_said_to_end() -> None:
    """Nothing archives what an event log tells, so somebody has to close it."""
    text = remediation(msgspec.structs.replace(VIOLATION, source="Falco"))["Text"]
    assert text.startswith("Look into what happened on Deployment shop/cart. ")
    assert "archives itself" not in text
    assert text.endswith("set the workflow status RESOLVED once it is dealt with.")


def test_a_long_remediation_gives_way() -> None:
    """To how to accept it and how it ends; the whole stays within 512 characters."""
    text = remediation(msgspec.structs.replace(VIOLATION, properties=(("remediation", "r" * 900),)))["Text"]
    assert len(text) == 512
    assert text.endswith(SUPPRESS)
    assert text.startswith("r" * 200)


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


def test_a_scan_that_failed_has_found_no_vulnerability() -> None:
    """devopstales/trivy-operator at cf8f3c137728, trivy-operator.py: an error that names no vulnerability."""
    failed = msgspec.structs.replace(
        VIOLATION, source="Trivy Vulnerability", policy="Image Vulnerability", rule="", result="error"
    )
    assert vulnerabilities(failed) == []
    assert remediation(failed)["Text"].startswith("Find out why the policy could not be evaluated for Deployment shop/")
    assert description(failed, cluster="prod").startswith(
        "Deployment shop/cart in prod could not be evaluated against Image Vulnerability (Trivy Vulnerability)."
    )
