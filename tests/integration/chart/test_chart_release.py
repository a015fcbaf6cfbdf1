"""Helm installs, upgrades and removes the chart on a real API server that enforces the standard `restricted`."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.chart import golden
from dev.cluster import ApiError, Cluster, ControlPlane, helm
from policyhub.api import crd
from tests.integration.chart import kinds

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/policyhub"
SETS = ROOT / golden.FOLDER
NAMESPACE = golden.NAMESPACE
CLUSTERS = "/apis/policyhub.dev/v1alpha1/monitoredclusters"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/monitoredclusters.policyhub.dev"
FULL = {
    "clusterName": "prod-eu",
    "securityHub": {"accountId": "111122223333", "region": "eu-west-1"},
    "monitoredClusters": [
        {"name": "prod-us", "spec": {"connection": {"kubeconfigSecretRef": {"namespace": "fleet", "name": "prod-us"}}}}
    ],
    "replicaCount": 2,
    "networkPolicy": {"enabled": True},
    "podMonitor": {"enabled": True, "namespace": "monitoring"},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
}

HUB = {"securityHub": {"accountId": "111122223333", "region": "eu-west-1"}}
LONG = {
    "prometheusRule": {
        "enabled": True,
        "namespace": "monitoring",
        "labels": {"release": "prometheus"},
        "runbookUrl": "https://runbooks.example",
    },
    "dashboards": {
        "enabled": True,
        "labels": {"grafana_dashboard": "yes"},
        "annotations": {"grafana_folder": "Security"},
    },
}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def server(plane: ControlPlane) -> Iterator[Cluster]:
    """A cluster whose namespaces enforce the standard, with the kinds of the Prometheus operator and Cilium."""
    cluster = plane.cluster("release")
    enforced = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": enforced}}
        for name in (NAMESPACE, "fleet", "monitoring", "security")
    ]
    cluster.apply([*namespaces, *kinds.definitions()])
    yield cluster
    cluster.stop()


class Release:
    """Helm commands for one release."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._kubeconfig = cluster.kubeconfig_file(folder / "kubeconfig")
        self._folder = folder
        self.warnings = ""
        """The warnings of the last command."""

    def run(self, *arguments: str | Path, values: Document | None = None) -> str:
        """Helm's output."""
        file = self._folder / "values.json"
        file.write_text(json.dumps(values or {}))
        given = [f"--values={file}"] if values is not None else []
        done = helm.run(*arguments, f"--namespace={NAMESPACE}", *given, kubeconfig=self._kubeconfig, home=self._folder)
        self.warnings = done.stderr
        return done.stdout

    def manifest(self) -> list[Document]:
        """The release's objects."""
        return [document for document in yaml.safe_load_all(self.run("get", "manifest", "policyhub")) if document]


@pytest.fixture
def release(server: Cluster, tmp_path: Path) -> Iterator[Release]:
    release = Release(server, tmp_path)
    yield release
    if "policyhub" in release.run("list", "--short"):
        release.run("uninstall", "policyhub")


ITS_OWN = (" default/kubernetes",)
"""The API server creates this itself, some time after it is ready."""


def everything(server: Cluster) -> dict[str, Document]:
    """Every object of every listable kind, by kind and name."""
    found = {}
    groups = ["/api/v1", *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in _groups(server))]
    for root in groups:
        for resource in server.request("GET", root)["resources"]:
            if "list" in resource["verbs"] and "/" not in resource["name"] and resource["name"] != "events":
                for item in listed(server, f"{root}/{resource['name']}"):
                    found[place({**item, "kind": resource["kind"]})] = item
    return {key: item for key, item in found.items() if not key.endswith(ITS_OWN)}


def place(document: Document) -> str:
    return f"{document['kind']} {document['metadata'].get('namespace', '')}/{document['metadata']['name']}"


def listed(server: Cluster, path: str) -> list[Document]:
    """The items of a list; a server with a new kind may answer 429 at first."""
    while True:
        try:
            items: list[Document] = server.request("GET", path)["items"]
        except ApiError as error:
            if error.status != 429:
                raise
        else:
            return items


def _groups(server: Cluster) -> list[Document]:
    groups: list[Document] = server.request("GET", "/apis")["groups"]
    return groups


def test_install_upgrade_uninstall(server: Cluster, release: Release) -> None:
    """All objects are accepted without a warning. An upgrade removes what is no longer configured. After the removal
    only the CRDs and foreign objects remain, and none is Terminating.
    """
    before = everything(server).keys()
    output = release.run("install", "policyhub", CHART, values=FULL)
    assert "kubectl rollout status -n policyhub deployment/policyhub" in output
    assert "kubectl wait --for=condition=Ready --timeout=10m monitoredcluster/prod-eu" in output
    assert "kubectl get monitoredclusters" in output
    assert "Set prometheusRule.runbookUrl to the URL" in output  # the chart of a checkout
    assert not release.warnings
    installed = everything(server)
    kinds = {document["kind"] for document in release.manifest()}
    assert {"Deployment", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap"} <= kinds
    assert {"PodMonitor", "PrometheusRule"} <= kinds
    assert {place(document) for document in release.manifest()} <= installed.keys()
    own = {"metadata": {"name": "by-hand"}, "spec": {"connection": {"inCluster": {}}}}
    server.request("POST", CLUSTERS, {"apiVersion": "policyhub.dev/v1alpha1", "kind": "MonitoredCluster", **own})

    less = {
        **FULL,
        "replicaCount": 1,
        "networkPolicy": {},
        "rbac": {"rollUp": False, "existence": False},
        "monitoredClusters": [],
    }
    release.run("upgrade", "policyhub", CHART, values=less)
    assert not release.warnings
    upgraded = everything(server)
    gone = {key.split(" ", 1)[0] for key in installed.keys() - upgraded.keys()}
    assert gone == {"PodDisruptionBudget", "NetworkPolicy", "Role", "RoleBinding", "MonitoredCluster"}
    assert "MonitoredCluster /prod-us" not in upgraded
    key = "MonitoredCluster /prod-eu"
    assert upgraded[key]["metadata"]["uid"] == installed[key]["metadata"]["uid"]
    assert "pods" not in str(upgraded["ClusterRole /policyhub"]["rules"])

    release.run("uninstall", "policyhub")
    after = everything(server)
    left = after.keys() - before
    assert left == {
        "APIService /v1alpha1.policyhub.dev",
        "CustomResourceDefinition /clusterdiscoveries.policyhub.dev",
        "CustomResourceDefinition /monitoredclusters.policyhub.dev",
        "MonitoredCluster /by-hand",
    }
    assert not [key for key, item in after.items() if "deletionTimestamp" in item["metadata"]]
    server.request("DELETE", f"{CLUSTERS}/by-hand")


def test_an_upgrade_waits_for_the_crd(server: Cluster, release: Release) -> None:
    """Helm does not change CRDs: an upgrade stops before the old CRD drops a field, and says what to do. That works,
    and the objects keep their content.
    """
    old = copy.deepcopy(crd.definition())
    del old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["rollUp"]
    server.apply([old])
    release.run("install", "policyhub", CHART, values={**FULL, "crds": {"check": False}})
    before = server.request("GET", f"{CLUSTERS}/prod-eu")
    values = {**FULL, "monitoredCluster": {"spec": {"rollUp": False}}}
    with pytest.raises(helm.HelmError, match="kubectl apply --server-side --force-conflicts"):
        release.run("upgrade", "policyhub", CHART, values=values)
    assert server.request("GET", f"{CLUSTERS}/prod-eu") == before

    for new in filter(None, yaml.safe_load_all(helm.run("show", "crds", CHART).stdout)):
        how: Document = {"fieldManager": "kubectl", "force": "true", "fieldValidation": "Strict"}
        server.request("PATCH", server.path(new), new, patch="apply", **how)
    release.run("upgrade", "policyhub", CHART, values=values)
    assert not release.warnings
    after = server.request("GET", f"{CLUSTERS}/prod-eu")
    assert after["spec"]["rollUp"] is False
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_discovery_needs_its_crd(server: Cluster, release: Release) -> None:
    """An upgrade does not add CRDs: one that enables discovery without its CRD stops, and says what to do."""
    own = f"{CRD.rpartition('/')[0]}/clusterdiscoveries.policyhub.dev"
    release.run("install", "policyhub", CHART, values=FULL)
    server.request("DELETE", own)
    values = {**FULL, "clusterDiscovery": {"enabled": True}}
    with pytest.raises(helm.HelmError, match=r"needs the CRD clusterdiscoveries\.policyhub\.dev"):
        release.run("upgrade", "policyhub", CHART, values=values)
    server.apply([crd.discovery_definition()])
    release.run("upgrade", "policyhub", CHART, values=values)
    assert "ClusterRole /policyhub-discovery" in {place(document) for document in release.manifest()}


@pytest.mark.parametrize("name", golden.names(SETS))
def test_every_set_of_values_is_applied_cleanly(server: Cluster, name: str) -> None:
    """Server-side apply accepts every object of every set of values strictly, without a warning or conflict; applying
    again changes nothing; the Pod is admitted. The chart's alerts and dashboards, too long for the sets, are added.
    """
    values = yaml.safe_load((SETS / "values" / f"{name}.yaml").read_text("utf-8"))
    documents = helm.render(CHART, golden.RELEASE, NAMESPACE, {**values, **LONG})
    server.apply([document for document in documents if document["kind"] == "CustomResourceDefinition"])
    warned = len(server.warnings)
    applied = [seen(server, apply(server, document)) for document in documents]
    again = [apply(server, document) for document in documents]
    versions = [[item["metadata"]["resourceVersion"] for item in items] for items in (applied, again)]
    assert versions[0] == versions[1]
    deployment = next(document for document in documents if document["kind"] == "Deployment")
    template, namespace = deployment["spec"]["template"], deployment["metadata"]["namespace"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "try", **template["metadata"]}}
    server.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All", fieldValidation="Strict")
    assert server.warnings[warned:] == []
    for document in documents:
        if document["kind"] != "CustomResourceDefinition":
            server.request("DELETE", server.path(document))


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("Deployment", {"template": {"spec": {"dnspolicy": "None"}}}),
        ("NetworkPolicy", {"egres": []}),
        ("PodMonitor", {"podMetricsEndpoints": [{"scrapeTimout": "5s"}]}),
        ("PrometheusRule", {"groups": [{"name": "a", "rules": [{"expr": "1", "fro": "5m"}]}]}),
        ("CiliumNetworkPolicy", {"egress": [{"toEntity": ["host"]}]}),
        ("MonitoredCluster", {"rollup": True}),
    ],
)
def test_strict_validation_rejects_unknown_fields(server: Cluster, kind: str, broken: Document) -> None:
    """For every kind in the sets."""
    values = {**FULL, "networkPolicy": {"enabled": True, "cilium": True}}
    document = next(d for d in helm.render(CHART, golden.RELEASE, NAMESPACE, values) if d["kind"] == kind)
    server.apply([crd.definition()])
    for part, content in broken.items():
        deeper = isinstance(content, dict)
        document["spec"][part] = {**document["spec"].get(part, {}), **content} if deeper else content
    with pytest.raises(ApiError, match="field not declared in schema"):
        apply(server, document)


def seen(server: Cluster, item: Document) -> Document:
    """A MonitoredCluster with the operator's status; other objects unchanged."""
    if item["kind"] != "MonitoredCluster":
        return item
    status = {"status": {"observedGeneration": item["metadata"]["generation"]}}
    return server.request("PATCH", f"{server.path(item)}/status", status)


def apply(server: Cluster, document: Document) -> Document:
    return server.request(
        "PATCH", server.path(document), document, patch="apply", fieldManager="gitops", fieldValidation="Strict"
    )


def test_the_network_policy_opens_the_api_servers_port(server: Cluster, release: Release) -> None:
    """If Helm can look it up: a network plugin that filters after the translation of a Service's address sees this port
    only.
    """
    own = {  # as written by an API server that does not listen on loopback
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"]}],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }
    server.apply([own])
    release.run("install", "policyhub", CHART, values={"networkPolicy": {"enabled": True}})
    (policy,) = (document for document in release.manifest() if document["kind"] == "NetworkPolicy")
    assert [entry["port"] for entry in policy["spec"]["egress"][1]["ports"]] == [443, 6443]
    server.request("DELETE", server.path(own))


DEPLOYER = [
    {
        "apiGroups": ["", "apps", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "coordination.k8s.io"],
        "resources": ["*"],
        "verbs": ["*"],
    },
    {
        "apiGroups": ["policyhub.dev"],
        "resources": ["monitoredclusters"],
        "verbs": ["get", "create", "patch", "delete"],
    },
    {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "verbs": ["get", "create", "patch"],
    },
]


def test_a_deployer_with_few_permissions(server: Cluster, release: Release) -> None:
    """A deployer who may create the chart's objects but not read what it looks up has a value for each look-up; the
    roles stay.
    """
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "deployer"}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "deployer"}
    rbac = "rbac.authorization.k8s.io/v1"
    granted: list[Document] = [
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "deployer"}, "rules": DEPLOYER},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "deployer"},
            "roleRef": role,
            "subjects": [user],
        },
    ]
    server.apply([crd.definition(), *granted])
    values: Document = {"clusterName": "a", **HUB, "networkPolicy": {"enabled": True}}
    deployer = ("policyhub", CHART, "--kube-as-user=deployer")
    with pytest.raises(helm.HelmError, match=r'endpointslices\.discovery\.k8s\.io "kubernetes" is forbidden'):
        release.run("install", *deployer, values=values)
    values["networkPolicy"]["apiServerPort"] = 6443
    release.run("install", *deployer, values=values)
    assert {"ClusterRole", "NetworkPolicy"} <= {document["kind"] for document in release.manifest()}
    with pytest.raises(helm.HelmError, match=r"monitoredclusters\.policyhub\.dev is forbidden"):
        release.run("upgrade", *deployer, values=values)
    release.run("upgrade", *deployer, values={**values, "crds": {"check": False}})
    for document in granted:
        server.request("DELETE", server.path(document))


def test_a_rolling_update_starts_with_a_lease(server: Cluster, release: Release) -> None:
    """A Pod without a Lease is never updated in a rolling way: first two replicas, then the other strategy, and
    back.
    """
    rolling = {"replicaCount": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}}
    release.run("install", "policyhub", CHART, values={})
    with pytest.raises(helm.HelmError, match="the Deployment in the cluster has no Lease"):
        release.run("upgrade", "policyhub", CHART, values=rolling)
    release.run("upgrade", "policyhub", CHART, values={"replicaCount": 2})
    release.run("upgrade", "policyhub", CHART, values=rolling)
    assert strategy(server) == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}
    release.run("upgrade", "policyhub", CHART, values={**rolling, "replicaCount": 0})
    release.run("upgrade", "policyhub", CHART, values=rolling)
    release.run("upgrade", "policyhub", CHART, values={"replicaCount": 1})
    assert strategy(server) == {"type": "Recreate"}


def strategy(server: Cluster) -> Document:
    found = server.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/policyhub")
    return dict(found["spec"]["strategy"])


def test_old_values_stop_an_upgrade(release: Release) -> None:
    """Helm keeps the values of the last release; if they have an old name, the upgrade stops and says so."""
    release.run("install", "policyhub", CHART, values={"clusterName": "a", **HUB})
    with pytest.raises(helm.HelmError, match=r"replicas is now called replicaCount: use that name\."):
        release.run("upgrade", "policyhub", CHART, "--reset-then-reuse-values", values={"replicas": 2})


def test_an_upgrade_that_would_change_the_identity(server: Cluster, release: Release) -> None:
    """With the same name or another one it stops before any change and says how to continue; after the deletion of the
    object it continues. Without the chart's check the API server rejects it.
    """
    by_name = {"clusterName": "shop", "securityHub": {"accountId": "111122223333", "region": "eu-west-1"}}
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
    release.run("install", "policyhub", CHART, values=by_name)
    before = server.request("GET", f"{CLUSTERS}/shop")
    for values in ({**by_name, "clusterArn": arn}, {"clusterArn": arn}, {**by_name, "clusterName": "other"}):
        with pytest.raises(helm.HelmError, match="MonitoredCluster shop has the identity shop") as refused:
            release.run("upgrade", "policyhub", CHART, values=values)
        assert "To keep it:    set clusterArn= and clusterName=shop" in str(refused.value)
        assert "To change it:  kubectl delete monitoredcluster shop" in str(refused.value)
    assert [item["metadata"]["uid"] for item in listed(server, CLUSTERS)] == [before["metadata"]["uid"]]
    with pytest.raises(helm.HelmError, match="clusterArn cannot be set"):
        release.run("upgrade", "policyhub", CHART, values={**by_name, "clusterArn": arn, "crds": {"check": False}})
    release.run("upgrade", "policyhub", CHART, values={**by_name, "monitoredCluster": {"spec": {"mode": "DryRun"}}})

    server.request("DELETE", f"{CLUSTERS}/shop")
    output = release.run("upgrade", "policyhub", CHART, values={"clusterArn": arn})
    assert "monitoredcluster/prod-eu" in output
    assert [item["spec"]["clusterArn"] for item in listed(server, CLUSTERS)] == [arn]
    release.run("upgrade", "policyhub", CHART, values={"clusterArn": arn, "clusterName": "prod-eu"})
    with pytest.raises(helm.HelmError, match=f"To keep it:    set clusterArn={arn}"):
        release.run("upgrade", "policyhub", CHART, values=by_name)


def test_notes_of_a_dry_run(server: Cluster, release: Release) -> None:
    """In mode DryRun the notes say where to see what would be sent, and how to send it; otherwise they do not."""
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
    spec = {"mode": "DryRun"}
    output = release.run("install", "policyhub", CHART, values={"clusterArn": arn, "monitoredCluster": {"spec": spec}})
    assert "account\n111122223333 in eu-west-1" in output
    assert "prod-eu is in mode DryRun" in output
    assert "--set monitoredCluster.spec.mode=Sync" in output
    spec = {"mode": "Sync"}
    output = release.run("upgrade", "policyhub", CHART, values={"clusterArn": arn, "monitoredCluster": {"spec": spec}})
    assert "DryRun" not in output
    assert server.request("GET", f"{CLUSTERS}/prod-eu")["spec"]["mode"] == "Sync"


def test_notes_explain_the_removal(server: Cluster, release: Release) -> None:
    """An uninstall keeps the findings; with deletionPolicy Archive, the MonitoredCluster must be deleted first."""
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
    output = release.run("install", "policyhub", CHART, values={"clusterArn": arn})
    assert "An uninstall leaves all findings as they are" in output
    spec = {"deletionPolicy": "Archive"}
    output = release.run("upgrade", "policyhub", CHART, values={"clusterArn": arn, "monitoredCluster": {"spec": spec}})
    assert "kubectl delete monitoredcluster prod-eu" in output
    assert "An uninstall leaves" not in output
