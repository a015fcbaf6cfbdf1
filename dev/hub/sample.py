"""Findings to test the server with: a minimal one, and any number of realistic ones. Pure and repeatable."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from dev.hub.wire import partition

ACCOUNT = "111122223333"
REGION = "eu-west-1"
_START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

_POLICIES = (
    ("kyverno", "require-run-as-nonroot", "Containers must not run as root", "MEDIUM"),
    ("kyverno", "disallow-privileged-containers", "Privileged containers are not allowed", "HIGH"),
    ("kyverno", "require-requests-limits", "CPU and memory requests and limits are required", "LOW"),
    ("kyverno", "disallow-host-path", "hostPath volumes are not allowed", "HIGH"),
    ("kyverno", "restrict-image-registries", "Images must come from the company registry", "MEDIUM"),
    ("gatekeeper", "k8srequiredlabels", "Required labels are missing: owner, cost-centre", "INFORMATIONAL"),
    ("gatekeeper", "k8sblocknodeport", "Services of type NodePort are not allowed", "MEDIUM"),
    ("Trivy ConfigAudit", "KSV-0017", "Privileged container", "CRITICAL"),
    ("Trivy ConfigAudit", "KSV-0014", "Root file system is not read-only", "LOW"),
)
_TEAMS = ("shop", "payments", "search", "billing", "identity", "platform", "media")
_NAMES = ("web", "api", "worker", "gateway", "cache", "scheduler", "exporter", "ingest", "reports", "mailer")
_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
_CLUSTERS = ("prod-eu", "prod-us", "staging")


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def product_arn(account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:{partition(region)}:securityhub:{region}:{account}:product/{account}/default"


def finding(name: str = "one", *, account: str = ACCOUNT, region: str = REGION, **changes: Any) -> dict[str, Any]:
    """A minimal valid finding. `changes` replace members; None removes one."""
    made: dict[str, Any] = {
        "SchemaVersion": "2018-10-08",
        "Id": name,
        "ProductArn": product_arn(account, region),
        "GeneratorId": "sample",
        "AwsAccountId": account,
        "CreatedAt": stamp(_START),
        "UpdatedAt": stamp(_START),
        "Title": "A title",
        "Description": "A description",
        "FindingProviderFields": {
            "Severity": {"Label": "HIGH"},
            "Types": ["Software and Configuration Checks/Kubernetes Policies"],
        },
        "Resources": [{"Type": "Other", "Id": "resource"}],
    }
    made.update(changes)
    return {member: value for member, value in made.items() if value is not None}


def later(minutes: int) -> str:
    """A time this long after that of the samples."""
    return stamp(_START + timedelta(minutes=minutes))


def company(count: int) -> Iterator[dict[str, Any]]:
    """Distinct findings of a company with three clusters."""
    for number in range(count):
        source, policy, title, severity = _POLICIES[number % len(_POLICIES)]
        cluster = _CLUSTERS[(number // 3) % len(_CLUSTERS)]
        namespace = _TEAMS[(number // 5) % len(_TEAMS)]
        kind = _KINDS[(number // 7) % len(_KINDS)]
        workload = f"{_NAMES[number % len(_NAMES)]}-{number // len(_NAMES)}"
        arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{cluster}"
        yield finding(
            f"sample/{cluster}/{number:08d}",
            GeneratorId=f"{source}/{policy}",
            Title=f"{title}: {kind} {namespace}/{workload}",
            Description=f"{title}. {kind} {workload} in namespace {namespace} of cluster {cluster} breaks it.",
            CreatedAt=stamp(_START + timedelta(minutes=number)),
            FirstObservedAt=stamp(_START + timedelta(minutes=number)),
            UpdatedAt=stamp(_START + timedelta(minutes=number)),
            FindingProviderFields={
                "Severity": {"Label": severity, "Original": severity.lower()},
                "Types": [f"Software and Configuration Checks/Kubernetes Policies/{source}"],
            },
            Remediation={
                "Recommendation": {"Text": f"See what {policy} asks for.", "Url": "https://example.com/policies"}
            },
            Compliance={"Status": "FAILED"},
            ProductName="sample",
            ProductFields={"sample/cluster": cluster, "sample/source": source, "sample/policy": policy},
            Resources=[
                {
                    "Type": "Other",
                    "Id": f"{arn}/{namespace}/{kind}/{workload}",
                    "Details": {
                        "Other": {"apiVersion": "apps/v1", "kind": kind, "namespace": namespace, "name": workload}
                    },
                },
                {"Type": "AwsEksCluster", "Id": arn},
            ],
        )
