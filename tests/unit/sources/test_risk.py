"""The severity of well-known policies where nobody states one."""

import tomllib
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from policyhub.api.monitoredcluster import Spec
from policyhub.model.violation import Severity
from policyhub.sources.filter import Filter, filter_of
from policyhub.sources.merge import worst
from policyhub.sources.risk import CONTROLS, RANKS, rated
from tests.unit.violation import VIOLATION


@pytest.mark.parametrize(
    ("source", "policy", "rule", "risk"),
    [
        ("kyverno", "disallow-privileged-containers", "privileged-containers", "HIGH"),
        ("kyverno", "team/Disallow-Host-Path", "host-path", "HIGH"),
        ("KyvernoValidatingPolicy", "disallow-host-namespaces-vpol", "", "HIGH"),
        ("ValidatingAdmissionPolicy", "disallow-capabilities", "", "HIGH"),
        ("kyverno", "disallow-capabilities-strict", "require-drop-all", "MEDIUM"),
        ("kyverno", "require-labels", "check-for-labels", "LOW"),
        ("kyverno", "require-pod-probes", "validate-probes", "LOW"),
        ("kyverno", "house-rule", "", None),
        ("kyverno", "K8sPSPPrivilegedContainer", "", None),
        ("gatekeeper", "K8sPSPPrivilegedContainer", "any", "HIGH"),
        ("gatekeeper", "K8sPSPHostNamespace", "any", "HIGH"),
        ("gatekeeper", "K8sPSPHostFilesystem", "any", "HIGH"),
        ("gatekeeper", "K8sRequiredProbes", "any", "LOW"),
        ("gatekeeper", "disallow-privileged-containers", "any", None),
        ("kubewarden", "clusterwide-no-privileged-pod", "", "HIGH"),
        ("kubewarden", "namespaced-shop-no-host-namespace-sharing", "", "HIGH"),
        ("kubewarden", "clusterwide-drop-capabilities", "", "MEDIUM"),
        ("Trivy ConfigAudit", "Privileged", "KSV017", "HIGH"),
        ("Trivy ConfigAudit", "Privileged", "AVD-KSV-0017", "HIGH"),
        ("unknown", "disallow-privileged-containers", "", None),
    ],
)
def test_well_known_policies_have_the_severity_of_their_risk(
    source: str, policy: str, rule: str, risk: Severity | None
) -> None:
    """By the engine and the name that its library gives them; the default applies to every other."""
    violation = rated(msgspec.structs.replace(VIOLATION, source=source, policy=policy, rule=rule))
    assert violation.risk == risk
    assert violation.label("MEDIUM") == (risk or "MEDIUM")
    assert violation.severity is None


@pytest.mark.parametrize(
    ("controls", "risk"),
    [
        ("runAsNonRoot,privileged,capabilities_restricted", "HIGH"),
        ("privileged", "HIGH"),
        (" runAsNonRoot , seccompProfile_restricted", "MEDIUM"),
        ("nothing-known", None),
        ("", None),
    ],
)
def test_the_worst_control_counts(controls: str, risk: Severity | None) -> None:
    """In whatever order Kyverno lists them, so that no scan makes it another finding."""
    for listed in (controls, ",".join(reversed(controls.split(",")))):
        assert rated(msgspec.structs.replace(VIOLATION, properties=(("controls", listed),))).risk == risk


@pytest.mark.parametrize("stated", ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"])
def test_what_is_stated_wins(stated: Severity) -> None:
    """A policy or a result that names its severity is believed."""
    violation = msgspec.structs.replace(VIOLATION, policy="disallow-privileged-containers", severity=stated)
    assert rated(violation) == violation
    assert rated(msgspec.structs.replace(violation, risk="HIGH")).risk is None


def test_the_switch() -> None:
    """`spec.severityByRisk: false`: the default applies, as before."""
    known = msgspec.structs.replace(VIOLATION, policy="disallow-privileged-containers")
    plain: dict[str, Any] = {"connection": {"inCluster": {}}}
    on, off = filter_of(Spec.model_validate(plain)), filter_of(Spec.model_validate({**plain, "severityByRisk": False}))
    assert on.rated(known).risk == "HIGH"
    assert off.rated(known) is known


def test_a_check_that_is_made_by_hand_is_no_failure() -> None:
    """Kube-bench warns of it; a warning of an automated check is one."""
    manual = msgspec.structs.replace(VIOLATION, source="Kube Bench", result="warn", message="Ensure peace (Manual)")
    assert rated(manual, by_policy=False).risk == "INFORMATIONAL"
    for change in ({"message": "Ensure peace (Automated)"}, {"result": "fail"}, {"source": "kyverno"}):
        assert rated(msgspec.structs.replace(manual, **change)).risk is None


def test_the_filter_sees_what_a_reader_sees() -> None:
    """A minimum severity counts the risk."""
    low = rated(msgspec.structs.replace(VIOLATION, policy="require-labels"))
    assert not Filter(minimum_severity="MEDIUM").admits(low)
    assert Filter(minimum_severity="LOW").admits(low)


def test_the_risk_counts_when_several_report_it() -> None:
    """As a severity that was stated does: who speaks never depends on the order."""
    high = msgspec.structs.replace(VIOLATION, risk="HIGH", message="z")
    low = msgspec.structs.replace(VIOLATION, risk="LOW", message="a")
    assert worst([low, high]) == worst([high, low]) == high


def test_no_name_has_two_ranks() -> None:
    """In the file as it is."""
    document = tomllib.loads(files("policyhub.sources").joinpath("risk.toml").read_text("utf-8"))
    for table in (table for table in document.values() if isinstance(table, dict)):
        names = [name.lower() for level in ("HIGH", "MEDIUM", "LOW") for name in table[level]]
        assert len(names) == len(set(names))
        assert table["sources"]
    assert all(RANKS.values())
    assert set(CONTROLS.values()) <= {"HIGH", "MEDIUM", "LOW"}
