"""A real API server validates, defaults and displays MonitoredClusters as the CRD specifies."""

import copy
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from dev.cluster import ApiError, Cluster
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.status import Condition, Findings, Hub, Source, Status, status_patch

PATH = "/apis/policyhub.dev/v1alpha1/monitoredclusters"
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
ROLE = "arn:aws:iam::111122223333:role/policyhub"

Document = dict[str, Any]

GIVEN = {"endpoint": "https://abc.gr7.eu-west-1.eks.amazonaws.com", "certificateAuthorityData": "LS0tLS1CRUdJTg=="}
ELSEWHERE = "arn:aws:iam::444455556666:role/a:b/policyhub"


def eks(named: str | None = ARN, /, **members: Any) -> Document:
    return {**({} if named is None else {"clusterArn": named}), "connection": {"eks": members}}


EKS: dict[str, Document] = {
    "alone": eks(),
    "ARN of the connection": eks(None, arn=ARN),
    "both ARNs": eks(arn=ARN),
    "role": eks(roleArn=ROLE, externalId="a:b"),
    "role and ARN of the connection": eks(None, arn=ARN, roleArn=ROLE),
    "endpoint": eks(**GIVEN),
    "endpoint and role": eks(**GIVEN, roleArn=ROLE),
    "archived when it is gone": {**eks(), "onClusterGone": "Archive"},
    "endpoint, held when it is gone": {**eks(**GIVEN), "onClusterGone": "Hold"},
    "IPv6 endpoint": eks(**{**GIVEN, "endpoint": "https://[2001:db8::1]:443/"}),
}
NO_EKS: list[tuple[Document, str]] = [
    (eks(None), "needs the cluster's ARN"),
    ({**eks(), "connection": {"eks": {}, "inCluster": {}}}, "exactly one of inCluster"),
    (eks(arn=ARN + "2"), "name different clusters"),
    (eks(roleArn=ELSEWHERE), "must be a role of the cluster's account"),
    (eks(None, arn=ARN, roleArn=ELSEWHERE), "must be a role of the cluster's account"),
    (eks(**GIVEN, roleArn=ELSEWHERE), "must be a role of the cluster's account"),
    ({**eks(**GIVEN), "onClusterGone": "Archive"}, "only the answer of EKS"),
    ({"connection": {"inCluster": {}}, "onClusterGone": "Archive"}, "only the answer of EKS"),
    ({**eks(), "onClusterGone": "Retain"}, "onClusterGone"),
    (eks(roleArn="arn:aws-cn:iam::111122223333:role/a"), "must be a role of the partition"),
    (eks(**GIVEN, roleArn="arn:aws-cn:iam::111122223333:role/a"), "must be a role of the partition"),
    (eks(externalId="ab"), "set roleArn too"),
    (eks(endpoint=GIVEN["endpoint"]), "certificateAuthorityData, or neither"),
    (eks(certificateAuthorityData="LS0t"), "certificateAuthorityData, or neither"),
    *(
        (eks(**{**GIVEN, "endpoint": url}), "eks.endpoint")
        for url in ("http://a.b", "https://a/b", "https://u@a", "a.b")
    ),
    (eks(**{**GIVEN, "certificateAuthorityData": "-----BEGIN"}), "eks.certificateAuthorityData"),
    (eks(None, arn="prod-eu"), "eks.arn"),
]


def document(name: str = "sample", **spec: Any) -> Document:
    return {
        "apiVersion": "policyhub.dev/v1alpha1",
        "kind": "MonitoredCluster",
        "metadata": {"name": name},
        "spec": {"connection": {"inCluster": {}}, **spec},
    }


def try_out(server: Cluster, body: Document) -> Document:
    """A dry-run creation."""
    return server.request("POST", PATH, body, dryRun="All", fieldValidation="Strict")


def test_the_schema_is_structural_and_its_rules_compile(server: Cluster) -> None:
    """The API server accepts the CRD without a complaint about its schema or its rules."""
    found = server.request(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/monitoredclusters.policyhub.dev"
    )
    conditions = {condition["type"]: condition for condition in found["status"]["conditions"]}
    assert conditions["Established"]["status"] == "True"
    assert conditions["NamesAccepted"]["status"] == "True"
    assert "NonStructuralSchema" not in conditions


def test_a_new_object_is_not_ready(server: Cluster) -> None:
    """Before the operator has written a status, the object has one that is not ready: kstatus takes a missing status
    for ready.
    """
    server.request("POST", PATH, document("unseen"))
    found = server.request("GET", f"{PATH}/unseen")
    assert found["status"] == {"observedGeneration": -1}
    assert MonitoredCluster.model_validate(found).status is not None
    server.request("DELETE", f"{PATH}/unseen")


def test_defaults_are_those_of_the_models(server: Cluster) -> None:
    """The API server's defaults are those that the operator assumes."""
    body = document()
    filled = try_out(server, body)
    assert MonitoredCluster.model_validate(filled).spec == MonitoredCluster.model_validate(body).spec
    assert filled["spec"]["archiveDelay"] == "10m"
    assert filled["spec"]["sources"]["exclude"] == ["Falco", "JsPolicy", "Trivy Vulnerability"]
    assert filled["spec"]["securityHub"] == {}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="least"),
        pytest.param({"clusterArn": ARN, "mode": "DryRun", "results": ["fail"], "archiveDelay": "0s"}, id="some"),
        pytest.param({"securityHub": {"accountId": "111122223333", "region": "eu-west-1", "roleArn": ROLE}}, id="hub"),
        pytest.param({"securityHub": {"roleArn": ROLE, "externalId": "a:b/c"}}, id="role alone"),
        pytest.param(
            {
                "securityHub": {
                    "accountId": "111122223333",
                    "region": "us-gov-west-1",
                    "roleArn": "arn:aws-us-gov:iam::111122223333:role/a:b/c",
                }
            },
            id="role of GovCloud",
        ),
        pytest.param({"securityHub": {"region": "us-newtown-9"}}, id="a Region that is new"),
        pytest.param({"securityHub": {"region": "eusc-de-east-1"}}, id="a partition of its own"),
        pytest.param({"archiveDelay": "168h"}, id="longest delay"),
        pytest.param({"connection": {"kubeconfigSecretRef": {"namespace": "a", "name": "b.c"}}}, id="secret"),
        pytest.param({"namespaces": {"include": ["team-*", "shop"], "exclude": ["*-test"]}}, id="namespaces"),
        *(pytest.param(spec, id=f"EKS {name}") for name, spec in EKS.items()),
    ],
)
def test_valid(server: Cluster, spec: Document) -> None:
    """The API server and the models both accept the spec."""
    MonitoredCluster.model_validate(try_out(server, document(**spec)))


@pytest.mark.parametrize(
    ("spec", "expected_text"),
    [
        ({"connection": {}}, "exactly one of inCluster"),
        (
            {"connection": {"inCluster": {}, "kubeconfigSecretRef": {"namespace": "a", "name": "b"}}},
            "exactly one of inCluster",
        ),
        ({"connection": None}, "spec.connection: Required"),
        ({"connection": {"kubeconfigSecretRef": {"name": "b"}}}, "namespace: Required"),
        ({"clusterArn": "prod-eu"}, "spec.clusterArn"),
        ({"securityHub": {"accountId": "1111"}}, "spec.securityHub.accountId"),
        ({"securityHub": {"accountId": 111122223333}}, "must be of type string"),
        ({"securityHub": {"region": "Ireland"}}, "spec.securityHub.region"),
        ({"securityHub": {"region": "xx-west-1"}}, "no AWS partition has Regions"),
        ({"securityHub": {"region": "us-goff-west-1"}}, "no AWS partition has Regions"),
        ({"clusterArn": ARN.replace("eu-west-1", "cn-north-1")}, "spec.clusterArn"),
        ({"securityHub": {"accountId": "444455556666", "roleArn": ROLE}}, "must be a role of the account"),
        (
            {"securityHub": {"accountId": "444455556666", "roleArn": f"{ROLE}:iam::444455556666:role/x"}},
            "must be a role of the account",
        ),
        ({"securityHub": {"region": "cn-north-1", "roleArn": ROLE}}, "must be a role of the partition"),
        ({"securityHub": {"region": "us-gov-west-1", "roleArn": ROLE}}, "must be a role of the partition"),
        ({"securityHub": {"region": "eusc-de-east-1", "roleArn": ROLE}}, "must be a role of the partition"),
        ({"mode": "Off"}, "supported values"),
        ({"results": []}, "at least 1 items"),
        ({"results": ["pass"]}, "supported values"),
        ({"results": ["fail", "fail"]}, "Duplicate value"),
        ({"minimumSeverity": "HIGH"}, "supported values"),
        ({"archiveDelay": "168h1s"}, "at most 168h"),
        ({"archiveDelay": "1d"}, "spec.archiveDelay"),
        ({"archiveDelay": ""}, "spec.archiveDelay"),
        ({"namespaces": {"include": []}}, "at least 1 items"),
        ({"namespaces": {"include": ["a?"]}}, "spec.namespaces.include"),
        ({"rollup": True}, "unknown field"),
        *NO_EKS,
    ],
)
def test_invalid(server: Cluster, spec: Document, expected_text: str) -> None:
    """An invalid spec is rejected with a message that names the problem."""
    with pytest.raises(ApiError, match=expected_text):
        try_out(server, document(**spec))


@pytest.mark.parametrize("spec", [spec for spec, _ in NO_EKS], ids=str)
def test_the_models_refuse_the_same_connections(spec: Document) -> None:
    """With an older CRD, the operator itself rejects the connections that this CRD rejects."""
    with pytest.raises(ValidationError):
        MonitoredCluster.model_validate(document(**spec))


HUB = {"accountId": "111122223333", "region": "eu-west-1"}


@pytest.mark.parametrize(
    ("before", "after", "expected_text"),
    [
        pytest.param({"clusterArn": ARN}, {"clusterArn": ARN + "2"}, "clusterArn cannot be", id="ARN changed"),
        pytest.param({"clusterArn": ARN}, {}, "clusterArn cannot be", id="ARN removed"),
        pytest.param({}, {"clusterArn": ARN}, "clusterArn cannot be", id="ARN set later"),
        pytest.param(
            {"securityHub": HUB},
            {"securityHub": {**HUB, "accountId": "444455556666"}},
            "accountId cannot be",
            id="account changed",
        ),
        pytest.param(
            {"securityHub": HUB}, {"securityHub": {"region": "eu-west-1"}}, "accountId cannot", id="account gone"
        ),
        pytest.param({"securityHub": HUB}, {}, "cannot be changed or removed", id="hub gone"),
        pytest.param({"securityHub": HUB}, {"securityHub": None}, "cannot be changed or removed", id="hub null"),
        pytest.param(
            {"securityHub": HUB},
            {"securityHub": {**HUB, "region": "us-east-1"}},
            "region cannot be",
            id="Region changed",
        ),
        pytest.param({}, {"securityHub": HUB}, None, id="hub set later"),
        pytest.param({"securityHub": HUB}, {"securityHub": {**HUB, "roleArn": ROLE}}, None, id="role set later"),
        pytest.param(
            {},
            {"connection": {"kubeconfigSecretRef": {"namespace": "a", "name": "b"}}},
            None,
            id="another way to the same cluster",
        ),
        pytest.param(
            {"clusterArn": ARN}, {"clusterArn": ARN, "connection": {"eks": {}}}, None, id="from a kubeconfig to the ARN"
        ),
        pytest.param({"clusterArn": ARN, "mode": "Sync"}, {"clusterArn": ARN, "mode": "NoArchive"}, None, id="mode"),
    ],
)
def test_transitions(server: Cluster, before: Document, after: Document, expected_text: str | None) -> None:
    """Fields that determine findings' identity are immutable; the others may change."""
    server.request("POST", PATH, document("moving", **before))
    try:
        current = server.request("GET", f"{PATH}/moving")
        expected = {**copy.deepcopy(current), "spec": document(**after)["spec"]}
        if expected_text is None:
            server.request("PUT", f"{PATH}/moving", expected)
        else:
            with pytest.raises(ApiError, match=expected_text):
                server.request("PUT", f"{PATH}/moving", expected)
    finally:
        server.request("DELETE", f"{PATH}/moving")


def status(*, pending: int | None) -> Status:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    return Status(
        observed_generation=1,
        conditions=(
            Condition(
                type="Ready",
                status="True",
                observed_generation=1,
                last_transition_time=now,
                reason="InSync",
                message="Security Hub holds what the cluster says.",
            ),
        ),
        identity="shown",
        cluster_uid="5b0d2a0c-6a7e-4b5e-9d53-3c6f0f6f7a10",
        hub=Hub(account_id="111122223333", region="eu-west-1"),
        last_heartbeat_time=now,
        findings=Findings(
            active=209, pending=pending, critical=2, high=14, held=0, open=180, notified=24, suppressed=5, past_sla=3
        ),
        sources=(
            Source(
                resource="policyreports.v1alpha2.wgpolicyk8s.io",
                objects=77,
                last_listed=now,
                newest_result=now,
                state="Watching",
            ),
        ),
    )


def test_a_status_is_stored_and_shown(server: Cluster) -> None:
    """The API server stores a status that the models write, returns it equal, and shows it in the columns of `kubectl
    get`.
    """
    server.request("POST", PATH, document("shown"))
    server.request("PATCH", f"{PATH}/shown/status", status_patch(status(pending=3)))
    server.request("PATCH", f"{PATH}/shown/status", status_patch(status(pending=None)))
    found = server.request("GET", f"{PATH}/shown")
    server.request("PATCH", f"{PATH}/shown/status", status_patch(status(pending=0)))

    assert MonitoredCluster.model_validate(found).status == status(pending=None)
    assert "pending" not in found["status"]["findings"]
    assert found["metadata"]["generation"] == 1

    assert row(server, "shown") == {
        "Name": "shown",
        "Ready": "True",
        "Reason": "InSync",
        "InSync": None,
        "Engines": None,
        "Active": 209,
        "Critical": 2,
        "High": 14,
        "Open": 180,
        "Notified": 24,
        "Suppressed": 5,
        "PastSLA": 3,
        "Pending": 0,
        "Held": 0,
        "Connected": None,
        "Medium": None,
        "Low": None,
        "Informational": None,
        "Account": "111122223333",
        "Region": "eu-west-1",
        "Mode": "Sync",
        "Identity": "shown",
        "UID": "5b0d2a0c-6a7e-4b5e-9d53-3c6f0f6f7a10",
        "Message": "Security Hub holds what the cluster says.",
    }


def row(server: Cluster, name: str) -> dict[str, Any]:
    """The row that kubectl prints for an object, without the two ages, which change."""
    names, (shown,) = server.table(f"{PATH}/{name}", wide=True)
    cells = dict(zip(names, shown, strict=True))
    cells.pop("Age")
    assert re.fullmatch(r"[0-9smhdy]+", cells.pop("Heartbeat"))
    return cells
