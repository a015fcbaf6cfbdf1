"""Titles and descriptions, read as somebody does who has never seen the cluster."""

from typing import Any

import msgspec
import pytest

from policyhub.findings.prose import description, spoken, title
from policyhub.sources.violation import Subject, Violation

VIOLATION = Violation(
    source="kyverno",
    policy="require-probes",
    rule="probes",
    subject=Subject("apps", "Deployment", "shop", "cart"),
    discriminator="",
    result="fail",
    severity=None,
    category="",
    message="Probes are required.",
)
NODE = Subject("wgpolicyk8s.io", "ClusterPolicyReport", "", "kube-bench")


@pytest.mark.parametrize(
    ("change", "titled", "described"),
    [
        (
            {},
            "require-probes: Deployment shop/cart (prod), rule probes",
            "Deployment shop/cart in prod fails require-probes (kyverno, rule probes): Probes are required.",
        ),
        (
            {"result": "warn", "message": "no liveness"},
            "require-probes: Deployment shop/cart (prod), rule probes",
            "Deployment shop/cart in prod has a warning from require-probes (kyverno, rule probes): no liveness",
        ),
        (
            {"result": "error", "message": "no way"},
            "require-probes not evaluated: Deployment shop/cart (prod), rule probes",
            "Deployment shop/cart in prod could not be evaluated against require-probes (kyverno, rule probes): no way",
        ),
        (
            {"source": "gatekeeper", "policy": "K8sLimits", "rule": "must-have-limits", "message": ""},
            "K8sLimits: Deployment shop/cart (prod), constraint must-have-limits",
            "Deployment shop/cart in prod fails K8sLimits (gatekeeper, constraint must-have-limits).",
        ),
        (
            {
                "source": "Trivy Vulnerability",
                "policy": "CVE-2020-1",
                "rule": "",
                "discriminator": "apt",
                "message": "apt: overflow",
                "properties": (("fixedVersion", "1.2"), ("installedVersion", "1.1")),
            },
            "CVE-2020-1 in apt: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod has CVE-2020-1 in apt 1.1, fixed in 1.2 (Trivy Vulnerability): apt: overflow",
        ),
        (
            {
                "source": "Kube Bench",
                "policy": "1.1 Master",
                "rule": "Files",
                "discriminator": "1.1.1",
                "message": "Ensure that permissions are set to 644",
                "subject": NODE,
            },
            "1.1.1 Ensure that permissions are set to 644: cluster prod, 1.1 Master, Files",
            "Cluster prod fails check 1.1.1 (Kube Bench, 1.1 Master, Files): Ensure that permissions are set to 644",
        ),
        (
            {"source": "Falco", "policy": "syscall", "rule": "Shell in container", "message": "a shell"},
            "Shell in container: Deployment shop/cart (prod), syscall",
            "Deployment shop/cart in prod: Shell in container (Falco, syscall): a shell",
        ),
        (
            {"source": "kubescape", "policy": "C-0016", "rule": "Allow privilege escalation", "message": "It may."},
            "C-0016 Allow privilege escalation: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod: C-0016 Allow privilege escalation (kubescape): It may.",
        ),
        (
            {"subject": Subject("wgpolicyk8s.io", "PolicyReport", "shop", "scan"), "rule": ""},
            "require-probes: report shop/scan (prod)",
            "Report shop/scan in prod fails require-probes (kyverno): Probes are required.",
        ),
        (
            {"subject": Subject("", "", "", "kube-system/pod-x"), "policy": "", "rule": "Runs as root"},
            "Runs as root: kube-system/pod-x (prod)",
            "kube-system/pod-x in prod: Runs as root (kyverno): Probes are required.",
        ),
        (
            {
                "source": "Trivy ConfigAudit",
                "policy": "Runs as root",
                "rule": "KSV012",
                "message": "Set.",
                "properties": (("0. message", "box a"), ("1. message", "box b"), ("x", "y")),
            },
            "Runs as root: Deployment shop/cart (prod), rule KSV012",
            "Deployment shop/cart in prod: Runs as root (Trivy ConfigAudit, rule KSV012): Set. • box a • box b",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_said(change: dict[str, Any], titled: str, described: str) -> None:
    """What, where and in which cluster come first in both, whatever the engine."""
    violation = msgspec.structs.replace(VIOLATION, **change)
    assert title(violation, cluster="prod") == titled
    assert description(violation, cluster="prod") == described


def test_what_and_where_are_seen_however_long_the_policy_is() -> None:
    """A long policy's name gives way to the object and the cluster within the 80 characters of a list."""
    for result in ("fail", "error"):
        violation = msgspec.structs.replace(VIOLATION, policy="p" * 200, result=result)
        seen = title(violation, cluster="prod")[:80]
        assert seen.endswith(": Deployment shop/cart (prod)")
        assert ("… not evaluated:" in seen) == (result == "error")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("plain", "plain"),
        ("a caf\ufffd...", "a caf…"),
        ("a caf\ufffd\ufffd", "a caf…"),
        ("\ufffd in the middle", "\ufffd in the middle"),
        ('{"team":"x"} >> too old', "too old"),
        ('{"team":"x"} >> ', '{"team":"x"} >> '),
        ("{not labels", "{not labels"),
    ],
)
def test_messages_are_told_without_their_engines_marks(message: str, said: str) -> None:
    """Gatekeeper cuts within characters, and some libraries write labels before the text."""
    assert spoken(message) == said
