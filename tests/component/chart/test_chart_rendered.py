"""The chart as the real helm renders it."""

from pathlib import Path
from typing import Any

import pytest

from dev.cluster.helm import HelmError, render
from policyhub.api.monitoredcluster import MonitoredCluster

CHART = Path(__file__).parents[3] / "charts/policyhub"
HUB = {"accountId": "011122223333", "region": "eu-west-1"}
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/Prod_EU"

Document = dict[str, Any]
Values = dict[str, Any]


def objects(values: Values | None = None) -> list[Document]:
    return render(CHART, "policyhub", "security", values or {})


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def one(documents: list[Document], kind: str) -> Document:
    (found,) = of_kind(documents, kind)
    return found


def test_without_values() -> None:
    """Without values there is an operator that watches nothing, and no MonitoredCluster."""
    documents = objects()
    assert [document["kind"] for document in documents] == [
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Service",
        "Deployment",
    ]


@pytest.mark.parametrize(
    ("values", "name", "identity"),
    [
        pytest.param({"clusterName": "prod-eu"}, "prod-eu", "prod-eu", id="name"),
        pytest.param({"clusterArn": ARN}, "prod-eu", ARN, id="arn"),
        pytest.param({"clusterName": "shop", "clusterArn": ARN}, "shop", ARN, id="both"),
    ],
)
def test_three_values_suffice(values: Values, name: str, identity: str) -> None:
    """Cluster, account and Region give the MonitoredCluster of this cluster."""
    document = one(objects({**values, "securityHub": HUB}), "MonitoredCluster")
    cluster = MonitoredCluster.model_validate(document)
    assert cluster.metadata.name == name
    assert cluster.identity == identity
    assert cluster.spec.connection.in_cluster is not None
    assert cluster.spec.security_hub.account_id == "011122223333"
    assert cluster.spec.security_hub.region == "eu-west-1"
    assert cluster.spec.security_hub.role_arn is None


def test_more_of_the_spec() -> None:
    """Other fields of the spec pass through, and the three values win over them."""
    spec = {"mode": "DryRun", "namespaces": {"exclude": ["kube-*"]}, "securityHub": {"region": "us-east-1"}}
    values = {"clusterName": "a", "securityHub": HUB, "monitoredCluster": {"spec": spec}}
    cluster = MonitoredCluster.model_validate(one(objects(values), "MonitoredCluster"))
    assert cluster.spec.mode == "DryRun"
    assert cluster.spec.namespaces.exclude == ("kube-*",)
    assert cluster.spec.security_hub.region == "eu-west-1"


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"clusterName": "a"}, "securityHub.accountId and securityHub.region"),
        ({"clusterName": "a", "securityHub": {"accountId": "111122223333"}}, "also needs securityHub.region"),
        ({"securityHub": HUB}, r"also needs clusterName \(or clusterArn\)"),
    ],
)
def test_a_part_of_the_three_values_is_an_error(values: Values, missing: str) -> None:
    """Where some of the three values are given, the message names the others."""
    with pytest.raises(HelmError, match=missing):
        objects(values)


def test_an_operator_for_objects_of_ones_own() -> None:
    """With monitoredCluster.create=false account and Region are the operator's defaults, and nothing is missing."""
    documents = objects({"securityHub": HUB, "monitoredCluster": {"create": False}})
    assert not of_kind(documents, "MonitoredCluster")
    assert environment(documents)["POLICYHUB_ACCOUNT_ID"] == "011122223333"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"securityHub": {"accountId": 111122223333}}, id="account as a number"),
        pytest.param({"securityHub": {"accountId": "1111"}}, id="account too short"),
        pytest.param({"clusterArn": "prod-eu"}, id="no arn"),
        pytest.param({"clusterName": "Prod"}, id="no object name"),
        pytest.param({"securityhub": {}}, id="misspelt"),
        pytest.param({"kubeconfigSecrets": [{"name": "a"}]}, id="secret without namespace"),
        pytest.param({"log": {"level": "loud"}}, id="no level"),
        pytest.param({"replicas": "2"}, id="replicas as text"),
    ],
)
def test_wrong_values_are_refused(values: Values) -> None:
    """The schema refuses what would fail later, or be ignored."""
    with pytest.raises(HelmError, match="schema"):
        objects(values)


NAMESPACES = ("", "", "namespaces", "list watch")


OWNERS = (
    ("", "", "pods", "list watch"),
    ("", "apps", "replicasets", "list watch"),
    ("", "batch", "jobs", "list watch"),
)


@pytest.mark.parametrize(
    ("rbac", "more"),
    [({}, (NAMESPACES, *OWNERS)), ({"namespaces": False}, OWNERS), ({"rollUp": False}, (NAMESPACES,))],
    ids=["default", "no namespaces", "no roll-up"],
)
def test_the_roles_are_the_least(rbac: Values, more: tuple[tuple[str, ...], ...]) -> None:
    """The operator may do exactly this, and nothing else anywhere."""
    secrets = [{"namespace": "b", "name": "two"}, {"namespace": "b", "name": "one"}]
    documents = objects({"kubeconfigSecrets": secrets, "rbac": rbac})
    roles = [document for document in documents if document["kind"] in {"ClusterRole", "Role"}]
    rules = {
        (
            role["metadata"].get("namespace", ""),
            " ".join(rule["apiGroups"]),
            " ".join(rule["resources"]),
            " ".join(rule["verbs"]),
        ): rule.get("resourceNames")
        for role in roles
        for rule in role["rules"]
    }
    assert rules == {
        ("", "wgpolicyk8s.io", "policyreports clusterpolicyreports", "list watch"): None,
        ("", "openreports.io", "reports clusterreports", "list watch"): None,
        ("", "constraints.gatekeeper.sh", "*", "list watch"): None,
        ("", "", "namespaces", "get"): ["kube-system"],
        ("", "policyhub.dev", "monitoredclusters", "list watch"): None,
        ("", "policyhub.dev", "monitoredclusters/status", "patch"): None,
        ("default", "", "events", "create"): None,
        ("b", "", "secrets", "get"): ["one", "two"],
        **dict.fromkeys(more),
    }


def test_roles_are_bound_to_the_service_account() -> None:
    """Every role is bound in its own scope, to the account that the Pod runs as."""
    secrets = [{"namespace": "b", "name": "one"}]
    documents = objects({"kubeconfigSecrets": secrets, "serviceAccount": {"name": "sa"}, "replicas": 2})
    roles = {
        (document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"])
        for document in documents
        if document["kind"] in {"ClusterRole", "Role"}
    }
    bindings = [document for document in documents if document["kind"].endswith("RoleBinding")]
    bound = {(b["roleRef"]["kind"], b["metadata"].get("namespace"), b["roleRef"]["name"]) for b in bindings}
    assert bound == roles
    subject = {"kind": "ServiceAccount", "name": "sa", "namespace": "security"}
    assert all(binding["subjects"] == [subject] for binding in bindings)
    assert one(documents, "ServiceAccount")["metadata"]["name"] == "sa"
    assert pod(documents)["serviceAccountName"] == "sa"


def pod(documents: list[Document]) -> Document:
    found: Document = one(documents, "Deployment")["spec"]["template"]["spec"]
    return found


def environment(documents: list[Document]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in pod(documents)["containers"][0]["env"]}


def test_the_pod_is_restricted() -> None:
    """The Pod passes the Pod Security Standard `restricted`, and its root is read-only besides."""
    spec = pod(objects())
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert [list(volume) for volume in spec["volumes"]] == [["name", "emptyDir"]]


@pytest.mark.parametrize("replicas", [1, 2])
def test_one_operator_at_a_time(replicas: int) -> None:
    """An upgrade ends the old operators before it starts the new ones, and gives them time to drain."""
    spec = one(objects({"replicas": replicas}), "Deployment")["spec"]
    assert spec["replicas"] == replicas
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 35


def test_one_replica_needs_no_lease() -> None:
    """A single replica is told of no Lease, may use none, and runs on any node."""
    documents = objects()
    assert not {"POLICYHUB_LEASE", "POD_NAME"} & environment(documents).keys()
    assert "leases" not in str(documents)
    assert "topologySpreadConstraints" not in pod(documents)


def test_two_replicas_share_a_lease() -> None:
    """Two are told of one Lease and of their own names, may use this Lease alone, and are spread over nodes."""
    documents = objects({"replicas": 2})
    variables = {variable["name"]: variable for variable in pod(documents)["containers"][0]["env"]}
    assert variables["POLICYHUB_LEASE"]["value"] == "security/policyhub"
    assert variables["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    role = next(role for role in of_kind(documents, "Role") if role["metadata"]["name"] == "policyhub-lease")
    assert role["metadata"]["namespace"] == "security"
    assert [(rule["verbs"], rule.get("resourceNames")) for rule in role["rules"]] == [
        (["get", "patch"], ["policyhub"]),
        (["create"], None),
    ]
    (spread,) = pod(documents)["topologySpreadConstraints"]
    labels = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_the_settings_reach_the_operator() -> None:
    """Account, Region, role and log settings are environment of the container; what is unset is not there."""
    hub = {**HUB, "roleArn": "arn:aws:iam::011122223333:role/policyhub", "externalId": "x1"}
    documents = objects({"clusterName": "a", "securityHub": hub, "extraEnv": [{"name": "HTTPS_PROXY", "value": "p"}]})
    assert environment(documents) == {
        "POLICYHUB_ACCOUNT_ID": "011122223333",
        "POLICYHUB_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "POLICYHUB_ROLE_ARN": "arn:aws:iam::011122223333:role/policyhub",
        "POLICYHUB_EXTERNAL_ID": "x1",
        "POLICYHUB_METRICS_PORT": "8080",
        "POLICYHUB_LOG_LEVEL": "info",
        "POLICYHUB_LOG_FORMAT": "json",
        "HTTPS_PROXY": "p",
    }
    assert "POLICYHUB_ROLE_ARN" not in environment(objects())


def test_labels_and_ports_meet() -> None:
    """The Service finds the Pod, and the probes and the Service its port."""
    documents = objects()
    service, deployment = one(documents, "Service")["spec"], one(documents, "Deployment")["spec"]
    assert service["selector"] == deployment["selector"]["matchLabels"]
    assert service["selector"].items() <= deployment["template"]["metadata"]["labels"].items()
    container = deployment["template"]["spec"]["containers"][0]
    assert [port["name"] for port in container["ports"]] == ["metrics"]
    assert service["ports"][0]["targetPort"] == "metrics"
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert [*container["command"], *container["args"]] == ["policyhub", "run"]


def test_a_digest_wins_over_the_tag() -> None:
    """An image is named by digest where one is given, else by tag, else by the chart's own version."""
    digest = "sha256:" + "0" * 64

    def image(**values: str) -> str:
        found: str = pod(objects({"image": values}))["containers"][0]["image"]
        return found

    assert image(repository="r/p", tag="1", digest=digest) == f"r/p@{digest}"
    assert image(repository="r/p", tag="1") == "r/p:1"
    assert image(repository="r/p") == "r/p:0.1.0"
