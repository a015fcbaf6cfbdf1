"""Titles and descriptions, read as somebody does who has never seen the cluster."""

from typing import Any

import msgspec
import pytest

from policyhub.findings.text import clean_message, description, title
from policyhub.model.violation import Subject, Violation

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
            "Require probes: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod fails require-probes (kyverno, rule probes). Probes are required.",
        ),
        (
            {"result": "warn", "message": "no liveness"},
            "Require probes: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod has a warning from require-probes (kyverno, rule probes). no liveness.",
        ),
        (
            {"result": "error", "message": "no way"},
            "Require probes not evaluated: Deployment shop/cart (prod)",
            (
                "Deployment shop/cart in prod could not be evaluated against require-probes (kyverno, rule probes)."
                " no way."
            ),
        ),
        (
            {"source": "gatekeeper", "policy": "K8sLimits", "rule": "must-have-limits", "message": ""},
            "Limits, must have limits: Deployment shop/cart (prod)",
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
            (
                "Deployment shop/cart in prod has CVE-2020-1 in apt 1.1, fixed in 1.2 (Trivy Vulnerability)."
                " apt: overflow."
            ),
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
            "1.1.1 Ensure that permissions are set to 644: cluster prod",
            (
                "Cluster prod fails check 1.1.1 (Kube Bench, 1.1 Master, Files, report kube-bench)."
                " Ensure that permissions are set to 644."
            ),
        ),
        (
            {"source": "Falco", "policy": "syscall", "rule": "Shell in container", "message": "a shell"},
            "Shell in container: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod: Shell in container (Falco, syscall). a shell.",
        ),
        (
            {"source": "kubescape", "policy": "C-0016", "rule": "Allow privilege escalation", "message": "It may."},
            "C-0016 Allow privilege escalation: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod: C-0016 Allow privilege escalation (kubescape). It may.",
        ),
        (
            {"subject": Subject("wgpolicyk8s.io", "PolicyReport", "shop", "scan"), "rule": ""},
            "Require probes: report shop/scan (prod)",
            "Report shop/scan in prod fails require-probes (kyverno). Probes are required.",
        ),
        (
            {"subject": Subject("", "", "", "kube-system/pod-x"), "policy": "", "rule": "Runs as root"},
            "Runs as root: Pod kube-system/x (prod)",
            "Pod kube-system/x in prod: Runs as root (kyverno). Probes are required.",
        ),
        (
            {
                "source": "Trivy ConfigAudit",
                "policy": "Runs as root",
                "rule": "KSV012",
                "message": "Set.",
                "properties": (("0. message", "box a"), ("1. message", "box b"), ("x", "y")),
            },
            "Runs as root: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod: Runs as root (Trivy ConfigAudit, rule KSV012). Set. (1) box a. (2) box b.",
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
    ("change", "cluster", "titled"),
    [
        ({}, "production", "Require probes: Deployment kube-monitoring/kube-mo…us-node-exporter (production)"),
        (
            {"result": "error"},
            "production",
            "Require probes not evaluated: Deployment kube-monitori…ode-exporter (production)",
        ),
        ({"policy": "p" * 99}, "production", f"{'p' * 31}…: Deployment kube-monito…e-exporter (production)"),
        (
            {"policy": "Ensure that nobody ever comes in by the back door"},
            "production-of-the-house",
            "Ensure that nobody ever comes…: Deployment kub…xporter (production-of-the-house)",
        ),
        ({}, "c" * 100, f"Require probes: Deployment…orter ({'c' * 100})"),
    ],
    ids=["object", "error", "policy", "all", "cluster"],
)
def test_there_is_one_shape_however_long_the_names_are(change: dict[str, Any], cluster: str, titled: str) -> None:
    """The sentence is cut at its end, the object in its middle, the cluster never; all is within 80 characters unless
    the cluster's name leaves no room for it.
    """
    subject = Subject("apps", "Deployment", "kube-monitoring", "kube-monitoring-prometheus-node-exporter")
    violation = msgspec.structs.replace(VIOLATION, subject=subject, **change)
    expected = title(violation, cluster=cluster)
    assert expected == titled
    assert len(expected) <= 80 or len(cluster) == 100


@pytest.mark.parametrize(
    ("source", "policy", "rule", "titled"),
    [
        (
            "kyverno",
            "disallow-privileged-containers",
            "autogen-privileged-containers",
            "Disallow privileged containers",
        ),
        ("kyverno", "require-labels", "check-for-labels", "Require labels"),
        ("kyverno", "require-run-as-nonroot", "run-as-non-root", "Require run as nonroot"),
        ("kyverno", "disallow-capabilities", "require-drop-all", "Disallow capabilities, require drop all"),
        ("kyverno", "shop/images-are-signed", "images-are-signed", "Images are signed"),
        ("kubewarden", "clusterwide-no-privileged-pod", "", "No privileged pod"),
        ("kubewarden", "namespaced-shop-safe-labels", "", "Safe labels"),
        ("gatekeeper", "K8sPSPPrivilegedContainer", "psp-privileged-container", "Privileged container"),
        ("gatekeeper", "K8sRequiredLabels", "all-must-have-owner", "Required labels, all must have owner"),
        ("Trivy ConfigAudit", "Runs as root user", "KSV012", "Runs as root user"),
        ("unknown", "PSP", "", "PSP"),
        ("unknown", "CIS-1.2", "", "CIS-1.2"),
        ("unknown", "", "only-a-rule", "Only a rule"),
    ],
)
def test_a_name_reads_as_a_sentence(source: str, policy: str, rule: str, titled: str) -> None:
    """Nothing is named twice, and what has several rules or constraints tells them apart."""
    violation = msgspec.structs.replace(VIOLATION, source=source, policy=policy, rule=rule)
    assert title(violation, cluster="prod") == f"{titled}: Deployment shop/cart (prod)"


def test_several_messages_are_numbered() -> None:
    """One violation of several containers lists each, with its own full stop."""
    several = msgspec.structs.replace(VIOLATION, message="container a has no limits • container b has no limits!")
    assert description(several, cluster="prod").endswith(
        "rule probes). (1) container a has no limits. (2) container b has no limits!"
    )


@pytest.mark.parametrize(
    ("enforcement", "expected"),
    [
        ("", ""),
        ("deny", ""),
        ("deny, warn", ""),
        ("dryrun", " Audit only, not enforced: admission lets such objects in (dryrun)."),
        ("dryrun, warn", " Audit only, not enforced: admission warns and lets such objects in (dryrun, warn)."),
    ],
)
def test_what_is_only_audited_says_so(enforcement: str, expected: str) -> None:
    """In words, since it is no severity."""
    violation = msgspec.structs.replace(VIOLATION, enforcement=enforcement)
    lead = "Deployment shop/cart in prod fails require-probes (kyverno, rule probes)."
    assert description(violation, cluster="prod") == f"{lead}{expected} Probes are required."


def test_what_is_said_a_hundred_times_is_told_once() -> None:
    """A constraint's status may list the same action in many spellings: the description still fits, message and all."""
    enforcement = ", ".join(", ".join(["dryrun"] * times) for times in range(1, 30))
    text = description(msgspec.structs.replace(VIOLATION, enforcement=enforcement), cluster="prod")
    assert "lets such objects in (dryrun)." in text
    assert text.endswith("Probes are required.")


def test_a_manual_check_says_that_nothing_was_found() -> None:
    """It is no failure: somebody has to look."""
    violation = msgspec.structs.replace(
        VIOLATION, source="Kube Bench", result="warn", discriminator="1.2.3", message="Look (Manual)", subject=NODE
    )
    expected = description(violation, cluster="prod")
    assert expected.startswith("Cluster prod has to be looked at by hand for check 1.2.3 (Kube Bench, ")
    assert " This check is made by hand: the scan has found nothing. " in expected


TITLED = (("policy-description", "Probes tell whether it lives."), ("policy-title", "Require Probes"))


@pytest.mark.parametrize(
    ("change", "titled", "described"),
    [
        (
            {},
            "Require Probes: Deployment shop/cart (prod)",
            (
                "Deployment shop/cart in prod fails require-probes (kyverno, rule probes). Probes are required."
                " About the policy: Probes tell whether it lives."
            ),
        ),
        (
            {"source": "gatekeeper", "policy": "K8sProbes", "rule": "must-probe", "message": ""},
            "Require Probes: Deployment shop/cart (prod)",
            (
                "Deployment shop/cart in prod fails K8sProbes (gatekeeper, constraint must-probe)."
                " About the policy: Probes tell whether it lives."
            ),
        ),
        (
            {"message": "No. Probes tell whether it lives.", "policy": "Require Probes"},
            "Require Probes: Deployment shop/cart (prod)",
            "Deployment shop/cart in prod: Require Probes (kyverno, rule probes). No. Probes tell whether it lives.",
        ),
    ],
    ids=["a title", "no message", "nothing twice"],
)
def test_what_the_policy_says_of_itself(change: dict[str, Any], titled: str, described: str) -> None:
    """Its title says what is wrong, its name stands in the description; its description follows the message."""
    violation = msgspec.structs.replace(VIOLATION, properties=TITLED, **change)
    assert title(violation, cluster="prod") == titled
    assert description(violation, cluster="prod") == described


def test_the_message_is_never_cut_for_the_policys_description() -> None:
    """What was found in this object comes first."""
    long = msgspec.structs.replace(VIOLATION, message="m" * 900, properties=(("policy-description", "d" * 900),))
    expected = description(long, cluster="prod")
    assert "m" * 900 in expected
    assert len(expected) <= 1024
    assert expected.endswith("d…")


def test_texts_are_cut_between_words() -> None:
    """A check's text is no name, whose every letter counts."""
    violation = msgspec.structs.replace(
        VIOLATION,
        source="Kube Bench",
        policy="1.2 API Server",
        rule="",
        discriminator="1.2.1",
        message="Ensure that the --anonymous-auth argument is set to false somewhere (Automated)",
        subject=NODE,
    )
    assert title(violation, cluster="prod") == (
        "1.2.1 Ensure that the --anonymous-auth argument is set to false…: cluster prod"
    )
    short = msgspec.structs.replace(violation, message="Ensure peace (Not Scored)")
    assert title(short, cluster="prod") == "1.2.1 Ensure peace: cluster prod"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("validation error: Root is bad. rule autogen-x failed at path /spec/a/0/", "Root is bad. (at /spec/a/0/)"),
        ("validation failure: Drop `ALL`.", "Drop `ALL`."),
        ("validation error: B. rule r[0] failed at path /a/ rule r[1] failed at path /b/", "B. (at /a/) (at /b/)"),
        ("validation error: ", "validation error: "),
        ("A rule that failed at path", "A rule that failed at path"),
        ("plain", "plain"),
        ("a caf\ufffd...", "a caf…"),
        ("a caf\ufffd\ufffd", "a caf…"),
        ("\ufffd in the middle", "\ufffd in the middle"),
        ('{"team":"x"} >> too old', "too old"),
        ('{"team":"x"} >> ', '{"team":"x"} >> '),
        ("{not labels", "{not labels"),
    ],
)
def test_messages_are_told_without_their_engines_marks(message: str, expected: str) -> None:
    """Gatekeeper cuts within characters, and some libraries write labels before the text."""
    assert clean_message(message) == expected
