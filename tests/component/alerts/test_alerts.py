"""Every alert of the chart: cases in which it fires and in which none does, the metrics that it uses, its runbook.

tests/lint/test_alerts_fire.py evaluates the cases with promtool.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dev import metrics

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "charts/policyhub/alerts/policyhub.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text("utf-8"))["groups"][0]["rules"]
ALERTS = sorted({rule["alert"] for rule in RULES})
HUB = "111122223333/eu-west-1"
REPORTS = "policyreports.wgpolicyk8s.io"


def condition(type_: str, status: str, reason: str) -> str:
    return f'policyhub_condition{{cluster="alpha",condition="{type_}",status="{status}",reason="{reason}"}}'


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation (one value a minute from 00:00 of 1970), when the alert fires because of them, and
    an earlier time (`quiet`) when it does not.
    """

    alert: str
    series: Mapping[str, str]
    quiet: str
    fires: str
    labels: Mapping[str, str] = field(default_factory=lambda: {"cluster": "alpha"})
    severity: str = "warning"
    value: str = "1"
    """The value in the annotations."""
    name: str = ""


NEWEST = "policyhub_newest_result_timestamp_seconds"
FIRING = [
    Case(
        "PolicyhubNotAtWork",
        {'policyhub_leader{namespace="n",job="j",pod="a"}': "1x10 0x30", 'policyhub_leader{pod="b"}': "1x60"},
        quiet="13m",
        fires="20m",
        labels={"namespace": "n", "job": "j"},
        severity="critical",
        value="0",
    ),
    Case(
        "PolicyhubNotAtWork",
        {f'policyhub_leader{{namespace="n",job="j",pod="{pod}"}}': "1x30" for pod in "ab"},
        quiet="4m",
        fires="6m",
        labels={"namespace": "n", "job": "j"},
        severity="critical",
        value="2",
        name="two leaders",
    ),
    Case(
        "PolicyhubNotAtWork",
        {"up": "0x30"},
        quiet="4m",
        fires="6m",
        labels={},
        severity="critical",
        name="nothing to scrape",
    ),
    Case(
        "PolicyhubMisconfigured",
        {condition("Ready", "False", "HubNotNamed"): "1x30"},
        quiet="9m",
        fires="11m",
        labels={"cluster": "alpha", "reason": "HubNotNamed"},
    ),
    Case(
        "PolicyhubClusterUnreachable",
        {
            condition("Connected", "True", "Connected"): "1x5 _x30",
            condition("Connected", "False", "Unreachable"): "_x5 1x10 _x20",
            condition("Connected", "False", "Unauthorized"): "_x16 1x20",
        },
        quiet="14m",
        fires="20m",
        name="while its reason changes",
    ),
    Case(
        "PolicyhubHubAccessLost",
        {condition("HubReachable", "False", "AccessDenied"): "1x30"},
        quiet="9m",
        fires="11m",
        severity="critical",
    ),
    Case(
        "PolicyhubNotInSync",
        {condition("InSync", "False", "Pending"): "1x30"},
        quiet="19m",
        fires="21m",
    ),
    Case(
        "PolicyhubDeliveryDelayed",
        {f'policyhub_oldest_pending_seconds{{cluster="alpha",hub="{HUB}"}}': "0+60x40"},
        quiet="14m",
        fires="17m",
        labels={"cluster": "alpha", "hub": HUB},
        value="17m 0s",
    ),
    Case(
        "PolicyhubFindingsRejected",
        {'policyhub_findings_refused{cluster="alpha"}': "0x5 3x30"},
        quiet="20m",
        fires="22m",
        value="3",
    ),
    Case(
        "PolicyhubInputRefused",
        {condition("InputAccepted", "False", "LimitExceeded"): "1x30"},
        quiet="14m",
        fires="16m",
        labels={"cluster": "alpha", "reason": "LimitExceeded"},
        severity="info",
    ),
    Case(
        "PolicyhubSourceIncomplete",
        {
            f'policyhub_source_complete{{cluster="alpha",source="{REPORTS}",reason="WatchFailed"}}': "0x10 _x30",
            f'policyhub_source_complete{{cluster="alpha",source="{REPORTS}",reason="Unreachable"}}': "_x10 0x30",
        },
        quiet="14m",
        fires="16m",
        labels={"cluster": "alpha", "source": REPORTS},
    ),
    Case(
        "PolicyhubSourceNotListed",
        {f'policyhub_last_complete_listing_timestamp_seconds{{cluster="alpha",source="{REPORTS}"}}': "0x300"},
        quiet="3h10m",
        fires="3h20m",
        labels={"cluster": "alpha", "source": REPORTS},
        value="3h 20m 0s",
    ),
    Case(
        "PolicyhubOwnersUnknown",
        {
            condition("OwnersKnown", "Unknown", "Listing"): "1x5 _x30",
            condition("OwnersKnown", "False", "Fault"): "_x5 1x30",
        },
        quiet="9m",
        fires="11m",
    ),
    Case(
        "PolicyhubArchiveHeld",
        {condition("ArchiveHeld", "True", "TooManyLost"): "1x30"},
        quiet="4m",
        fires="6m",
    ),
    Case(
        "PolicyhubIdentityConflict",
        {condition("IdentityConflict", "True", "OtherCluster"): "1x30"},
        quiet="0m",
        fires="2m",
        severity="critical",
    ),
    Case(
        "PolicyhubIdentityConflict",
        {condition("IdentityConflict", "True", "TwoIdentities"): "1x90"},
        quiet="59m",
        fires="61m",
        name="two MonitoredClusters of one cluster",
    ),
    Case(
        "PolicyhubIdentityConflict",
        {condition("IdentityConflict", "True", "OtherIdentity"): "1x90"},
        quiet="59m",
        fires="61m",
        name="findings under another identity",
    ),
    Case(
        "PolicyhubFindingsQuarantined",
        {'policyhub_findings_quarantined{cluster="alpha"}': "0x5 3x60"},
        quiet="34m",
        fires="37m",
        value="3",
    ),
    Case(
        "PolicyhubStatusNotWritten",
        {condition("Ready", "False", "StatusFailed"): "1x30"},
        quiet="9m",
        fires="11m",
        name="since it cannot be built",
    ),
    Case(
        "PolicyhubStatusNotWritten",
        {'policyhub_status_write_failures_total{cluster="alpha",reason="403"}': "0+4x60"},
        quiet="9m",
        fires="20m",
        value="40",
        name="since it is refused",
    ),
    Case(
        "PolicyhubStatusNotWritten",
        {'policyhub_status_written_timestamp_seconds{cluster="alpha"}': "0x60"},
        quiet="19m",
        fires="22m",
        value="1320",
        name="since nobody writes it",
    ),
    Case(
        "PolicyhubEngineSilent",
        {f'{NEWEST}{{cluster="alpha",source="{REPORTS}",engine="KyvernoValidatingPolicy"}}': "0x300"},
        quiet="3h5m",
        fires="3h15m",
        labels={"cluster": "alpha", "engine": "KyvernoValidatingPolicy"},
        value="3h 15m 0s",
        name="one that scans every hour",
    ),
    Case(
        "PolicyhubEngineSilent",
        {f'{NEWEST}{{cluster="alpha",source="{REPORTS}",engine="Trivy Vulnerability"}}': "0x1700"},
        quiet="26h5m",
        fires="26h15m",
        labels={"cluster": "alpha", "engine": "Trivy Vulnerability"},
        value="1d 2h 15m 0s",
        name="one that scans on change",
    ),
    Case(
        "PolicyhubGatekeeperAuditStale",
        {
            f'{NEWEST}{{cluster="alpha",source="a.constraints.gatekeeper.sh",engine="gatekeeper"}}': "0x60",
            f'{NEWEST}{{cluster="alpha",source="b.constraints.gatekeeper.sh",engine="gatekeeper"}}': "600x60",
        },
        quiet="49m",
        fires="52m",
        value="42m 0s",
        name="while the newest audit of any kind counts",
    ),
    Case(
        "PolicyhubGatekeeperAuditTruncated",
        {'policyhub_constraint_violations_unlisted{cluster="alpha",constraint_kind="K8sPods"}': "32x100"},
        quiet="59m",
        fires="61m",
        labels={"cluster": "alpha", "constraint_kind": "K8sPods"},
        severity="info",
        value="32",
    ),
    Case(
        "PolicyhubViolationsPastSla",
        {
            'policyhub_violations_past_sla{cluster="alpha",severity="HIGH",pod="a"}': "4x100",
            'policyhub_violations_past_sla{cluster="alpha",severity="CRITICAL",pod="a"}': "0x100",
            'policyhub_violations_past_sla{cluster="alpha",severity="HIGH",pod="former"}': "4x2",
        },
        quiet="59m",
        fires="61m",
        labels={"cluster": "alpha", "violation_severity": "HIGH"},
        value="4",
    ),
    Case(
        "PolicyhubViolationsPastSla",
        {'policyhub_violations_past_sla{cluster="alpha",severity="LOW"}': "9x100"},
        quiet="59m",
        fires="61m",
        labels={"cluster": "alpha", "violation_severity": "LOW"},
        severity="info",
        value="9",
        name="of low severity",
    ),
    Case(
        "PolicyhubTriageOld",
        {f'policyhub_inventory_timestamp_seconds{{cluster="alpha",hub="{HUB}"}}': "0x4500"},
        quiet="72h30m",
        fires="73h10m",
        severity="info",
        value="3d 1h 10m 0s",
    ),
]

SILENT = {
    "a start and a take-over of some minutes": ({'policyhub_leader{job="j",pod="a"}': "0x3 1x60"}, "30m"),
    "a cluster where all is well": (
        {
            'policyhub_leader{job="j"}': "1x100",
            condition("Ready", "True", "AllWell"): "1x100",
            condition("Connected", "True", "Connected"): "1x100",
            condition("HubReachable", "True", "Reachable"): "1x100",
            condition("InSync", "True", "InSync"): "1x100",
            condition("ArchiveHeld", "False", "NothingHeld"): "1x100",
            condition("IdentityConflict", "False", "NoConflict"): "1x100",
            f'policyhub_oldest_pending_seconds{{cluster="alpha",hub="{HUB}"}}': "0x100",
            f'policyhub_source_complete{{cluster="alpha",source="{REPORTS}",reason=""}}': "1x100",
            'policyhub_violations_past_sla{cluster="alpha",severity="HIGH"}': "0x100",
            'policyhub_status_written_timestamp_seconds{cluster="alpha"}': "0+60x100",
        },
        "90m",
    ),
    "engines whose times do not show whether they are active": (
        {
            'policyhub_leader{job="j"}': "1x3000",
            **{
                f'{NEWEST}{{cluster="alpha",source="{REPORTS}",engine="{engine}"}}': "0x3000"
                for engine in ("Trivy ConfigAudit", "Trivy Compliance", "Falco", "Tracee Adapter")
            },
        },
        "48h",
    ),
    "an identity that others claim in vain": (
        {
            'policyhub_leader{job="j"}': "1x100",
            condition("IdentityConflict", "True", "AlsoClaimed"): "1x100",
        },
        "90m",
    ),
    "a write of a status that failed for a minute": (
        {
            'policyhub_leader{job="j"}': "1x100",
            'policyhub_status_write_failures_total{cluster="alpha",reason="Unreachable"}': "0x20 4x100",
        },
        "25m",
    ),
    "a dry run": (
        {
            'policyhub_leader{job="j"}': "1x100",
            condition("Ready", "True", "DryRun"): "1x100",
            condition("InSync", "False", "DryRun"): "1x100",
            f'policyhub_findings_pending{{cluster="alpha",hub="{HUB}",lane="backlog"}}': "9000x100",
            f'policyhub_oldest_pending_seconds{{cluster="alpha",hub="{HUB}"}}': "0x100",
        },
        "90m",
    ),
    "a cluster whose owners may not be listed, or need not be": (
        {
            'policyhub_leader{job="j"}': "1x100",
            condition("OwnersKnown", "False", "Forbidden"): "1x50 _x50",
            condition("OwnersKnown", "False", "RollUpOff"): "_x51 1x49",
        },
        "90m",
    ),
    "a cluster where the operator may not check whether objects exist": (
        {'policyhub_leader{job="j"}': "1x100", condition("OwnersKnown", "False", "ExistenceForbidden"): "1x100"},
        "90m",
    ),
    "an operator that waits for the Lease": (
        {'policyhub_leader{job="j",pod="a"}': "1x100", 'policyhub_leader{job="j",pod="b"}': "0x100"},
        "90m",
    ),
    "a hub that was not called yet": (
        {'policyhub_leader{job="j"}': "1x100", condition("HubReachable", "Unknown", "NotVerified"): "1x100"},
        "90m",
    ),
    "one API that an engine has left for another": (
        {
            'policyhub_leader{job="j"}': "1x300",
            f'{NEWEST}{{cluster="alpha",source="{REPORTS}",engine="kyverno"}}': "0x300",
            f'{NEWEST}{{cluster="alpha",source="reports.openreports.io",engine="kyverno"}}': "0+60x300",
        },
        "4h",
    ),
}


def test_every_alert_has_a_case() -> None:
    """Each alert, at each of its severities, fires in one of the cases above."""
    tested = {(case.alert, case.severity) for case in FIRING}
    assert tested == {(rule["alert"], rule["labels"]["severity"]) for rule in RULES}


def test_alerts_use_existing_metrics() -> None:
    """The operator exports each metric in an expression."""
    known = {metric.name for metric in metrics.definitions()}
    asked = {name for rule in RULES for name in re.findall(r"policyhub_\w+", rule["expr"])}
    assert asked
    assert asked <= known


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The page of an alert's link exists, has its name, and is listed; there are no other pages."""
    index = (RUNBOOKS / "README.md").read_text("utf-8")
    assert sorted(page.stem for page in RUNBOOKS.glob("*.md") if page.stem != "README") == ALERTS
    for rule in RULES:
        name = rule["alert"]
        page = ROOT / rule["annotations"]["runbook_url"]
        text = page.read_text("utf-8")
        assert text.startswith(f"# {name}\n")
        for heading in ("## What it means", "## What to look at", "## How to fix it"):
            assert f"\n{heading}\n" in text, name
        assert f"[{name}]({name}.md)" in index
