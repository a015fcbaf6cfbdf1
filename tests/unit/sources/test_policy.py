"""What policies say of themselves, and how it is added to what is said of a violation."""

import msgspec
import pytest

from policyhub.sources.policy import Policy, enriched, merged, policy_of
from tests.unit.violation import VIOLATION


@pytest.mark.parametrize(
    ("annotations", "policy"),
    [
        pytest.param(None, Policy(), id="none"),
        pytest.param({"kubectl.kubernetes.io/last-applied-configuration": "{}"}, Policy(), id="a tool's"),
        pytest.param({"argocd.example/title": "x", "helm.example/description": "y"}, Policy(), id="other authors'"),
        pytest.param({"policies.kyverno.io/title": " "}, Policy(), id="blank"),
        pytest.param(
            {
                "policies.kyverno.io/title": " Require Probes ",
                "policies.kyverno.io/description": "Why.\nBecause.",
                "policies.kyverno.io/category": "Best Practices",
                "policies.kyverno.io/severity": "high",
                "policies.kyverno.io/subject": "Pod",
                "policies.kyverno.io/controls": "CIS-1.2.3",
                "policies.nirmata.io/remediation": "Do.",
            },
            Policy(
                (
                    ("policies.kyverno.io/controls", "CIS-1.2.3"),
                    ("policies.nirmata.io/remediation", "Do."),
                    ("policy-description", "Why.\nBecause."),
                    ("policy-title", "Require Probes"),
                ),
                "HIGH",
                "Best Practices",
            ),
            id="Kyverno",
        ),
        pytest.param(
            {
                "io.kubewarden.policy.title": "safe-labels",
                "io.kubewarden.policy.description": "Labels.",
                "io.kubewarden.policy.url": "https://policy.example",
                "io.kubewarden.policy.severity": "low",
                "io.kubewarden.policy.category": "Resource validation",
                "io.kubewarden.policy.author": "somebody",
            },
            Policy(
                (
                    ("io.kubewarden.policy/url", "https://policy.example"),
                    ("policy-description", "Labels."),
                    ("policy-title", "safe-labels"),
                ),
                "LOW",
                "Resource validation",
            ),
            id="Kubewarden",
        ),
        pytest.param(
            {"metadata.gatekeeper.sh/title": "Limits", "description": "Asks for them.", "severity": "CRITICAL"},
            Policy((("policy-description", "Asks for them."), ("policy-title", "Limits")), "CRITICAL"),
            id="Gatekeeper",
        ),
        pytest.param({"docstring": "Why."}, Policy((("policy-description", "Why."),)), id="docstring"),
        pytest.param(
            {"policycontroller.gke.io/constraintData": "\"{ description: 'No root.', severity: 'UNSPECIFIED' }\""},
            Policy(
                (
                    ("policy-description", "No root."),
                    (
                        "policycontroller.gke.io/constraintData",
                        "\"{ description: 'No root.', severity: 'UNSPECIFIED' }\"",
                    ),
                )
            ),
            id="Google",
        ),
        pytest.param(
            {"description": "short", "kubernetes.io/description": "long"},
            Policy((("policy-description", "short"),)),
            id="the first of two",
        ),
    ],
)
def test_what_annotations_say(annotations: dict[str, str] | None, policy: Policy) -> None:
    """Each library's own keys, and nothing that a tool wrote for itself."""
    assert policy_of(annotations) == policy


def test_a_label_may_name_the_severity() -> None:
    """As some libraries do; an annotation goes before it."""
    assert policy_of(None, {"severity": "error"}).severity == "HIGH"
    assert policy_of({"severity": "low"}, {"severity": "error"}).severity == "LOW"


def test_what_the_result_says_stands() -> None:
    """Severity, category and properties of the engine are never replaced, only added to."""
    policy = Policy((("policy-title", "T"), ("x/controls", "1"), ("x/remediation", "Do.")), "LOW", "House")
    assert enriched(VIOLATION, policy) == msgspec.structs.replace(
        VIOLATION, severity="LOW", category="House", properties=policy.properties
    )
    own = msgspec.structs.replace(VIOLATION, severity="HIGH", category="Own", properties=(("y/Controls", "2"),))
    assert enriched(own, policy) == msgspec.structs.replace(
        own, properties=(("policy-title", "T"), ("x/remediation", "Do."), ("y/Controls", "2"))
    )


def test_the_identity_is_untouched() -> None:
    """What a policy says of itself never makes another finding."""
    policy = Policy((("policy-title", "T"),), "LOW", "House")
    assert enriched(VIOLATION, policy).identity == VIOLATION.identity


def test_violations_of_one_policy_share_its_words() -> None:
    """A hundred thousand violations hold one text."""
    properties = (("policy-title", "T"),)
    assert merged((), properties) is merged((), tuple(properties))
