"""The local control plane behaves like a Kubernetes API, and leaves no process or file behind."""

import base64
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import ApiError, Cluster, ControlPlane, NotOursError, UnreachableError, open_plane
from dev.cluster.client import Client

Document = dict[str, Any]

GROUP = "test.policyhub.dev"
CRD: Document = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"things.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
KILLED_PARENT = """
import time
from dev.cluster import ControlPlane

plane = ControlPlane.start()
print(plane.cluster("orphan").pid, plane.folder, flush=True)
time.sleep(600)
"""


def _namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _config_map(namespace: str, name: str, **data: str) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def _account(namespace: str, name: str) -> Document:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


@pytest.fixture(scope="module")
def spare(plane: ControlPlane) -> Iterator[Cluster]:
    """A second cluster that tests may stop; it is started again after each test."""
    cluster = plane.cluster("spare")
    yield cluster
    cluster.stop()


def test_identities_differ(cluster: Cluster, spare: Cluster) -> None:
    """Two clusters on one etcd have their own identities and share a certificate authority."""
    assert cluster.uid != spare.uid
    assert cluster.url != spare.url
    assert cluster.request("GET", "/version")["gitVersion"].startswith("v1.")


def test_objects_stay_in_their_cluster(cluster: Cluster, spare: Cluster) -> None:
    """An object of one cluster is unknown to the other."""
    cluster.apply([_namespace("separate"), _config_map("separate", "mine")])
    with pytest.raises(ApiError) as refused:
        spare.request("GET", "/api/v1/namespaces/separate")
    assert refused.value.status == 404


def test_a_bare_service_account_has_no_permissions(cluster: Cluster) -> None:
    """Without a role a service account is authenticated and denied; with a role it may do what the role grants, and no
    more.
    """
    cluster.apply([_namespace("rbac"), _account("rbac", "bare")])
    bare = cluster.as_user(cluster.kubeconfig_for(namespace="rbac", service_account="bare", seconds=600))
    with pytest.raises(ApiError, match="system:serviceaccount:rbac:bare") as refused:
        bare.request("GET", "/api/v1/namespaces/rbac/configmaps")
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    role = {"name": "reader", "namespace": "rbac"}
    cluster.apply(
        [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": role,
                "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": role,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "name": "bare", "namespace": "rbac"}],
            },
            _config_map("rbac", "readable", a="1"),
        ]
    )
    assert bare.request("GET", "/api/v1/namespaces/rbac/configmaps/readable")["data"] == {"a": "1"}
    with pytest.raises(ApiError, match="cannot delete"):
        bare.request("DELETE", "/api/v1/namespaces/rbac/configmaps/readable")
    bare.close()


@pytest.mark.parametrize("token", [None, "wrong"])
def test_anonymous_requests_are_refused(cluster: Cluster, token: str | None) -> None:
    """Without a valid token the answer is 401, not the permissions of an anonymous user."""
    stranger = Client(replace(cluster.access, token=token))
    with pytest.raises(ApiError) as refused:
        stranger.request("GET", "/api/v1/namespaces")
    assert refused.value.status == 401
    stranger.close()


def test_client_certificate(cluster: Cluster, plane: ControlPlane) -> None:
    """A kubeconfig with a client certificate, as written by kind, signs in as the user in the certificate."""
    pair = plane._authority.issue("visitor")
    config = cluster.kubeconfig()
    config["users"][0]["user"] = {
        "client-certificate-data": base64.b64encode(pair.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(pair.key.read_bytes()).decode(),
    }
    visitor = cluster.as_user(config)
    with pytest.raises(ApiError, match='User "visitor" cannot list') as refused:
        visitor.request("GET", "/api/v1/namespaces")
    assert refused.value.status == 403
    visitor.close()


def test_explicit_kubeconfig(cluster: Cluster, tmp_path: Path) -> None:
    """A cluster that is opened by its kubeconfig is the same one, and cannot be stopped through it."""
    with open_plane(kubeconfig=cluster.kubeconfig_file(tmp_path / "config")) as plane:
        assert plane.cluster("any").uid == cluster.uid
        with pytest.raises(NotOursError, match="runs elsewhere"):
            plane.cluster("any").kill()
    assert cluster.request("GET", "/readyz")["message"] == "ok"


def test_apply_orders_and_repeats(cluster: Cluster) -> None:
    """CRDs and namespaces are applied first in any given order, status is written too; applying again changes
    nothing.
    """
    item: Document = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Thing",
        "metadata": {"name": "a.b", "namespace": "apply"},
        "spec": {"size": 1},
        "status": {"phase": "Done"},
    }
    documents = [item, *(_config_map("apply", f"cm-{index}") for index in range(20)), _namespace("apply"), CRD]
    cluster.apply(documents)
    first = cluster.request("GET", cluster.path(item))
    cluster.apply(documents)
    assert (first["spec"], first["status"]) == ({"size": 1}, {"phase": "Done"})
    assert (
        cluster.request("GET", cluster.path(item))["metadata"]["resourceVersion"]
        == (first["metadata"]["resourceVersion"])
    )
    listed = cluster.request("GET", "/api/v1/namespaces/apply/configmaps", limit=5)
    assert len(listed["items"]) == 5
    assert listed["metadata"]["continue"]


def test_refused_object_is_named(cluster: Cluster) -> None:
    """An error of `apply` names the object and the API server's reason."""
    with pytest.raises(ApiError, match=r"configmaps/Bad_Name: .*Invalid value"):
        cluster.apply([_config_map("default", "Bad_Name")])
    with pytest.raises(ApiError, match="serves no Nothing"):
        cluster.apply([{"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "x"}}])


def test_patch_kinds(cluster: Cluster) -> None:
    """Merge patches are the default; JSON patches are available."""
    cluster.apply([_config_map("default", "patched", a="1", b="2")])
    path = "/api/v1/namespaces/default/configmaps/patched"
    assert cluster.request("PATCH", path, {"data": {"a": None}})["data"] == {"b": "2"}
    replaced = cluster.request("PATCH", path, [{"op": "replace", "path": "/data/b", "value": "3"}], patch="json")
    assert replaced["data"] == {"b": "3"}


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_data_and_tokens_survive_a_restart(spare: Cluster, end: str) -> None:
    """While the server is stopped its port refuses connections; after the restart on the same port it has all data and
    accepts old tokens.
    """
    spare.apply([_namespace(end), _config_map(end, "kept", a="1"), _account(end, "visitor")])
    visitor = spare.as_user(spare.kubeconfig_for(namespace=end, service_account="visitor"))
    uid, url, pid = spare.uid, spare.url, spare.pid
    getattr(spare, end)()
    with pytest.raises(UnreachableError):
        spare.request("GET", "/version")
    spare.restart()
    assert (spare.uid, spare.url) == (uid, url)
    assert spare.pid != pid
    assert spare.request("GET", f"/api/v1/namespaces/{end}/configmaps/kept")["data"] == {"a": "1"}
    with pytest.raises(ApiError, match="403"):
        visitor.request("GET", "/api/v1/pods")
    visitor.close()


def test_stopping_a_cluster_leaves_the_other_running(cluster: Cluster, spare: Cluster) -> None:
    """One cluster's end does not affect the other."""
    spare.kill()
    assert cluster.request("GET", "/readyz") == {"message": "ok"}
    spare.restart()


def test_stop_leaves_no_process_or_folder() -> None:
    """After `stop` neither exists."""
    with ControlPlane.start() as plane:
        plane.cluster("brief")
        pids, folder = [child.pid for child in plane._launcher._children], plane.folder
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux only")
def test_a_killed_parent_leaves_no_process() -> None:
    """Servers die with a parent that is killed, and the next start removes the leftover folder."""
    with subprocess.Popen(  # noqa: S603 - this Python with the text above
        [sys.executable, "-c", KILLED_PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        orphan = os.pidfd_open(int(pid))
        parent.kill()
    try:
        assert select.select([orphan], [], [], 30)[0], "the API server still runs"
    finally:
        os.close(orphan)
    assert Path(folder).exists()
    ControlPlane.start().stop()
    assert not Path(folder).exists()
