"""A real API server accepts every object of the rendered chart, and the service account has exactly its documented
permissions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import ApiError, Cluster, ControlPlane
from dev.cluster.helm import render

CHART = Path(__file__).parents[3] / "charts/policyhub"
NAMESPACE = "security"
VALUES = {
    "clusterName": "prod-eu",
    "securityHub": {"accountId": "111122223333", "region": "eu-west-1"},
    "kubeconfigSecrets": [{"namespace": "default", "name": "other-cluster"}],
    "replicaCount": 2,
}
CLUSTERS = "/apis/policyhub.dev/v1alpha1/monitoredclusters"

Document = dict[str, Any]


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> Iterator[Cluster]:
    """A separate cluster with the chart, in a namespace that enforces the standard `restricted`."""
    cluster = plane.cluster("chart")
    namespace: Document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}}
        for name in ("other-cluster", "unrelated")
    ]
    cluster.apply([namespace, *secrets, *render(CHART, "policyhub", NAMESPACE, VALUES)])
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def operator(installed: Cluster) -> Cluster:
    """The same API server, with the credentials of the operator's Pod."""
    return installed.as_user(installed.kubeconfig_for(namespace=NAMESPACE, service_account="policyhub"))


def test_the_monitored_cluster_exists(installed: Cluster) -> None:
    """The CRD and an object of its kind are applied together."""
    found = installed.request("GET", f"{CLUSTERS}/prod-eu")
    assert found["spec"]["securityHub"] == VALUES["securityHub"]
    assert "finalizers" not in found["metadata"]


def test_the_pod_is_admitted(installed: Cluster) -> None:
    """A namespace that enforces the standard `restricted` admits the Pod of the Deployment, without a warning."""
    deployment = installed.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/policyhub")
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", **template["metadata"]},
        "spec": template["spec"],
    }
    installed.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize(
    "path",
    [
        CLUSTERS,
        "/api/v1/namespaces",
        "/api/v1/pods",
        "/apis/apps/v1/replicasets",
        "/apis/batch/v1/jobs",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/statefulsets",
        "/apis/apps/v1/daemonsets",
        "/apis/batch/v1/cronjobs",
        "/api/v1/replicationcontrollers",
        "/api/v1/namespaces/kube-system",
        "/api/v1/namespaces/default/secrets/other-cluster",
        "/apis",
        "/version",
    ],
)
def test_the_operator_may_read_its_sources(operator: Cluster, path: str) -> None:
    """The service account may read everything that the operator needs."""
    operator.request("GET", path)


@pytest.mark.parametrize(
    "path",
    [
        "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
        "/apis/wgpolicyk8s.io/v1beta1/clusterpolicyreports",
        "/apis/openreports.io/v1alpha1/reports",
        "/apis/openreports.io/v1alpha1/clusterreports",
        "/apis/constraints.gatekeeper.sh/v1beta1/k8srequiredlabels",
    ],
)
def test_the_operator_may_read_missing_apis(operator: Cluster, path: str) -> None:
    """APIs that this server does not serve are not found, rather than forbidden."""
    with pytest.raises(ApiError) as caught:
        operator.request("GET", path)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/secrets/unrelated",
        "/apis/apps/v1/controllerrevisions",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/api/v1/configmaps",
        "/api/v1/namespaces/default/configmaps/a",
        "/api/v1/events",
    ],
)
def test_the_operator_may_not_read_other_kinds(operator: Cluster, path: str) -> None:
    """The service account may read nothing else."""
    with pytest.raises(ApiError) as caught:
        operator.request("GET", path)
    assert caught.value.status == 403


def test_the_operator_may_use_one_lease(operator: Cluster) -> None:
    """It may create, read and change the Lease of its own name, and read no other."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "policyhub"}}
    operator.request("POST", path, body)
    operator.request("PATCH", f"{path}/policyhub", {"spec": {"holderIdentity": "a"}})
    assert operator.request("GET", f"{path}/policyhub")["spec"]["holderIdentity"] == "a"
    with pytest.raises(ApiError, match="cannot get"):
        operator.request("GET", f"{path}/another")


def test_the_operator_may_write_statuses_and_events(operator: Cluster) -> None:
    """But no object's spec or metadata."""
    operator.request("PATCH", f"{CLUSTERS}/prod-eu/status", {"status": {"observedGeneration": 1}})
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "prod-eu.", "namespace": "default"},
        "involvedObject": {"apiVersion": "policyhub.dev/v1alpha1", "kind": "MonitoredCluster", "name": "prod-eu"},
        "reason": "InSync",
        "message": "Security Hub holds what the cluster says.",
        "type": "Normal",
        "source": {"component": "policyhub"},
        "firstTimestamp": "2026-05-01T12:00:00Z",
        "lastTimestamp": "2026-05-01T12:00:00Z",
        "count": 1,
    }
    operator.request("POST", "/api/v1/namespaces/default/events", event)
    for verb, path in (("DELETE", f"{CLUSTERS}/prod-eu"), ("DELETE", CLUSTERS), ("PUT", f"{CLUSTERS}/prod-eu")):
        with pytest.raises(ApiError, match=r"cannot (delete|deletecollection|update)"):
            operator.request(verb, path, {})
