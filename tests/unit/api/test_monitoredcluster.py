from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from policyhub.api.monitoredcluster import Connection, MonitoredCluster, Spec
from policyhub.api.scalar import format_duration, parse_duration
from policyhub.api.sla import SlaDays
from policyhub.api.status import Condition, Findings, Source, Status, status_patch

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"


def cluster(**spec: Any) -> MonitoredCluster:
    return MonitoredCluster.model_validate(
        {"metadata": {"name": "prod-eu", "uid": "u"}, "spec": {"connection": {"inCluster": {}}, **spec}}
    )


def test_the_smallest_spec_has_the_documented_defaults() -> None:
    """A MonitoredCluster needs a connection and nothing else."""
    spec = cluster().spec
    assert spec.mode == "Sync"
    assert spec.sources.exclude == ("Falco", "JsPolicy", "Trivy Vulnerability")
    assert spec.sources.policy_reports
    assert spec.sources.open_reports
    assert spec.sources.gatekeeper
    assert spec.results == ("fail", "warn", "error")
    assert spec.minimum_severity == "informational"
    assert spec.archive_delay == timedelta(minutes=10)
    assert spec.security_hub.account_id is None


def test_identity_is_the_arn_else_the_name() -> None:
    """The cluster's identity is its ARN, or else the object's name."""
    assert cluster(clusterArn=ARN).identity == ARN
    assert cluster().identity == "prod-eu"


def test_unknown_fields_are_ignored() -> None:
    """An object of a newer CRD can be read."""
    assert cluster(rollUp=True).spec.mode == "Sync"


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param({}, id="none"),
        pytest.param({"inCluster": {}, "kubeconfigSecretRef": {"namespace": "a", "name": "b"}}, id="both"),
        pytest.param({"inCluster": {}, "eks": {}}, id="EKS and the own one"),
    ],
)
def test_exactly_one_connection(connection: dict[str, Any]) -> None:
    """A spec with none or both of the connections is rejected."""
    with pytest.raises(ValidationError, match="exactly one"):
        Connection.model_validate(connection)


@pytest.mark.parametrize(
    "arn",
    [
        ARN,
        "arn:aws-cn:eks:cn-north-1:111122223333:cluster/a",
        "arn:aws-us-gov:eks:us-gov-west-1:111122223333:cluster/A_b-c",
        "arn:aws:eks:ap-southeast-2:111122223333:cluster/" + "a" * 100,
    ],
)
def test_cluster_arns_of_each_partition(arn: str) -> None:
    """EKS cluster ARNs of the three partitions are accepted."""
    assert cluster(clusterArn=arn).identity == arn


@pytest.mark.parametrize(
    "arn",
    [
        "prod-eu",
        "arn:aws:eks:eu-west-1:1111:cluster/prod-eu",
        "arn:aws:ecs:eu-west-1:111122223333:cluster/prod-eu",
        "arn:aws:eks:eu-west-1:111122223333:nodegroup/prod-eu",
        "arn:aws:eks:eu-west-1:111122223333:cluster/-x",
        "arn:aws:eks:eu-west-1:111122223333:cluster/" + "a" * 101,
        ARN + "\n",
        " " + ARN,
    ],
)
def test_invalid_cluster_arns(arn: str) -> None:
    """Only an EKS cluster ARN becomes part of finding ids."""
    with pytest.raises(ValidationError):
        cluster(clusterArn=arn)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("45s", 45), ("10m", 600), ("1h30m", 5400), ("168h", 604800), ("90m", 5400), ("1h0m5s", 3605)],
)
def test_durations(text: str, seconds: int) -> None:
    """A duration is hours, minutes and seconds, in this order, each at most once."""
    assert cluster(archiveDelay=text).spec.archive_delay.total_seconds() == seconds
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "1.5h", "5s1m", "1d", "10 m", "1ms", "10m\n"])
def test_invalid_durations(text: str) -> None:
    """Durations that Go cannot read, or that are ambiguous, are rejected."""
    with pytest.raises(ValidationError):
        cluster(archiveDelay=text)


def test_the_status_has_the_form_of_kubernetes() -> None:
    """CamelCase names, times in UTC with whole seconds, and null for unknown numbers."""
    paris = timezone(timedelta(hours=1))
    status = Status(
        observed_generation=3,
        conditions=(
            Condition(
                type="Ready",
                status="True",
                last_transition_time=datetime(2026, 5, 1, 12, 0, 0, 999, tzinfo=paris),
                reason="InSync",
                message="Security Hub holds what the cluster says.",
            ),
        ),
        findings=Findings(active=209, pending=0),
        sources=(
            Source(resource="policyreports.v1alpha2.wgpolicyk8s.io", last_listed=datetime(2026, 5, 1, tzinfo=UTC)),
        ),
    )
    body = status_patch(status)["status"]
    assert body["observedGeneration"] == 3
    assert body["conditions"][0]["lastTransitionTime"] == "2026-05-01T11:00:00Z"
    output = {name: number for name, number in body["findings"].items() if number is not None}
    assert output == {"active": 209, "pending": 0}
    assert body["findings"].keys() >= {"critical", "high", "held", "open", "pastSla"}
    assert body["sources"][0]["lastListed"] == "2026-05-01T00:00:00Z"
    assert Status.model_validate(body).findings == status.findings


def test_written_specs_read_back() -> None:
    """A spec that the operator writes is read back equal."""
    spec = cluster(clusterArn=ARN, archiveDelay="1h30m", securityHub={"accountId": "111122223333"}).spec
    assert Spec.model_validate(spec.model_dump(mode="json", by_alias=True)) == spec


def test_a_clusters_deadlines_override_the_settings() -> None:
    """Days in a spec replace the operator's, 0 removes a deadline, and the others stay."""
    spec = cluster(slaDays={"critical": 3, "high": 0}).spec
    assert spec.sla_days.over(SlaDays(critical=7, high=30, low=180)) == {"CRITICAL": 3, "LOW": 180}


ACCOUNT = "111122223333"
CRAFTED = f"arn:aws:iam::999999999999:role/x:iam::{ACCOUNT}:role/policyhub"
"""A role of another account, with a path that looks like a role of ours."""


@pytest.mark.parametrize(
    ("role", "hub", "expected_text"),
    [
        pytest.param(CRAFTED, {"accountId": ACCOUNT}, "account 999999999999", id="account in the path"),
        pytest.param(f"arn:aws:iam::999999999999:role/{ACCOUNT}", {"accountId": ACCOUNT}, "999999999999", id="name"),
        pytest.param(f"arn:aws-cn:iam::{ACCOUNT}:role/a", {"region": "eu-west-1"}, "aws-cn", id="China's partition"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/a", {"region": "us-gov-west-1"}, "aws-us-gov", id="GovCloud"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/aws-cn:iam/a", {"region": "cn-north-1"}, "aws", id="path"),
    ],
)
def test_a_role_is_checked_by_its_parts(role: str, hub: dict[str, str], expected_text: str) -> None:
    """Account and partition are read from their fields in the ARN, whatever its path contains."""
    with pytest.raises(ValidationError, match=expected_text):
        cluster(securityHub={**hub, "roleArn": role})


@pytest.mark.parametrize(
    ("role", "hub"),
    [
        pytest.param(CRAFTED, {}, id="account not named here"),
        pytest.param(CRAFTED, {"accountId": "999999999999", "region": "eu-west-1"}, id="its own account"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/a/b/c", {"accountId": ACCOUNT, "region": "us-east-1"}, id="path"),
        pytest.param(f"arn:aws-cn:iam::{ACCOUNT}:role/a", {"accountId": ACCOUNT, "region": "cn-north-1"}, id="China"),
        pytest.param(f"arn:aws-us-gov:iam::{ACCOUNT}:role/a", {"region": "us-gov-east-1"}, id="GovCloud"),
    ],
)
def test_a_role_of_the_account_is_accepted(role: str, hub: dict[str, str]) -> None:
    """A role of the findings' account and partition is accepted; missing parts are not checked."""
    assert cluster(securityHub={**hub, "roleArn": role}).spec.security_hub.role_arn == role
