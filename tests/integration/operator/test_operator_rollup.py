"""Roll-up with real Pods, ReplicaSets and Deployments on the API server, without controllers."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.operator.world import World, constraint, held, outcomes, report, result

DELAY_SECONDS = 2
CONTAINER = {"name": "app", "image": "registry.example.com/app:1"}
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/policyhub"


@pytest.fixture
def live(home: World) -> Iterator[World]:
    home.clear()
    home.monitor(archiveDelay=f"{DELAY_SECONDS}s", rollUp=True)
    yield home
    home.clear()


def template(name: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [CONTAINER]}}


def workload(kind: str, name: str, owner: dict[str, Any] | None = None, *, namespace: str = "shop") -> dict[str, Any]:
    """A Deployment, ReplicaSet or Pod with its controller reference."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {"app": "web"}}
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ]
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": template("web")["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def create(world: World, kind: str, name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    world.apply(workload(kind, name, owner))
    return world.cluster.request("GET", world.cluster.path(workload(kind, name)))


def remove(world: World, kind: str, name: str) -> None:
    """Delete at once, as a kubelet does."""
    path = world.cluster.path(workload(kind, name))
    world.cluster.request("DELETE", f"{path}?gracePeriodSeconds=0")


def about(kind: str, name: str, *results: dict[str, Any]) -> dict[str, Any]:
    """Kyverno's report about one object."""
    version = "v1" if kind == "Pod" else "apps/v1"
    document = report(f"{kind.lower()}-{name}", *results)
    return {**document, "scope": {"apiVersion": version, "kind": kind, "namespace": "shop", "name": name}}


def test_a_rollout(live: World) -> None:
    """Deployment, ReplicaSet and Pods are one finding; Pods are replaced and nothing is sent; a suppressed finding
    stays suppressed; when the last bad Pod is gone after the fix it is archived.
    """
    web = create(live, "Deployment", "web")
    old = create(live, "ReplicaSet", "web-old", web)
    create(live, "Pod", "web-old-1", old)
    bad = result("limits", rule="require-limits")
    copied = result("limits", rule="autogen-require-limits")
    live.apply(
        about("Deployment", "web", copied),
        about("ReplicaSet", "web-old", copied),
        about("Pod", "web-old-1", {**bad, "message": "web-old-1 has no limits"}),
    )
    live.start()
    live.synced()
    assert live.states("limits") == {"web": "ACTIVE"}
    [finding] = live.of("limits").values()
    assert finding["Resources"][0]["Details"]["Other"]["Kind"] == "Deployment"
    assert finding["ProductFields"]["policyhub/rule"] == "require-limits"
    live.await_condition("OwnersKnown", "True", reason="Watched")
    live.hub.analyst([finding["Id"]], workflow="SUPPRESSED")

    mark = live.mark()
    new = create(live, "ReplicaSet", "web-new", web)
    create(live, "Pod", "web-new-1", new)
    live.apply(about("ReplicaSet", "web-new", copied), about("Pod", "web-new-1", bad))
    remove(live, "Pod", "web-old-1")
    live.delete(about("Pod", "web-old-1"))
    live.apply(report("marker", result("marker")))  # all earlier writes have been seen
    live.await_states("marker", marker="ACTIVE")
    assert outcomes(live.journal(mark)) == ["created"]

    live.apply(about("Deployment", "web", {**copied, "result": "pass"}))
    live.apply(about("ReplicaSet", "web-new", {**copied, "result": "pass"}))
    live.apply(report("marker", result("marker"), result("second")))
    live.await_states("second", marker="ACTIVE")
    assert live.states("limits") == {"web": "ACTIVE"}
    remove(live, "Pod", "web-new-1")
    live.delete(about("Pod", "web-new-1"))
    live.await_states("limits", web="ARCHIVED")
    [after] = live.of("limits").values()
    assert (after["Id"], after["CreatedAt"]) == (finding["Id"], finding["CreatedAt"])
    assert after["Workflow"]["Status"] == "SUPPRESSED"


def test_pods_that_were_not_scanned_yet(live: World) -> None:
    """All Pods of a Deployment are replaced, and their engine, which reports on clean ones too, has not scanned the new
    ones: the finding stays, and is held.
    """
    web = create(live, "Deployment", "web")
    old = create(live, "ReplicaSet", "web-old", web)
    create(live, "Pod", "web-old-1", old)
    create(live, "Pod", "fine")
    live.apply(about("Pod", "fine", {**result("limits"), "result": "pass"}))
    live.apply(about("Pod", "web-old-1", result("limits")))
    live.start()
    live.synced()
    assert live.states("limits") == {"web": "ACTIVE"}
    create(live, "Pod", "web-old-2", old)
    remove(live, "Pod", "web-old-1")
    live.delete(about("Pod", "web-old-1"))
    live.until(lambda: held(live, "unreported") + held(live, "presence_unknown") == 1, "it to be held")
    mark = live.mark()
    live.apply(about("Pod", "web-old-2", result("limits")))
    live.until(lambda: not held(live, "unreported") + held(live, "presence_unknown"), "it to be reported again")
    live.synced()
    assert live.journal(mark) == []
    assert live.states("limits") == {"web": "ACTIVE"}


def test_deleted_pods_of_a_constraint(live: World) -> None:
    """Gatekeeper lists an existing and a deleted Pod: one finding; when the first Pod is deleted too it is archived,
    although the audit has stopped.
    """
    web = create(live, "Deployment", "web")
    old = create(live, "ReplicaSet", "web-old", web)
    create(live, "Pod", "web-old-1", old)
    live.apply(constraint("registry", "web-old-1", "long-gone"))
    live.write_status(constraint("registry", "web-old-1", "long-gone"))
    live.start()
    live.synced()
    assert live.states("K8sAllowedRepos") == {"web": "ACTIVE"}
    remove(live, "Pod", "web-old-1")
    remove(live, "ReplicaSet", "web-old")
    live.write_status(constraint("registry", "long-gone"))
    live.write_status(constraint("registry", "long-gone"))
    live.await_states("K8sAllowedRepos", web="ARCHIVED")


def test_without_the_permission_to_list_pods(live: World) -> None:
    """Every Pod has its own finding, and a condition says why and what to do; once permitted, they roll up to their
    owner.
    """
    web = create(live, "Deployment", "web")
    old = create(live, "ReplicaSet", "web-old", web)
    create(live, "Pod", "web-old-1", old)
    live.apply(about("Pod", "web-old-1", result("limits")))
    role = live.cluster.request("GET", ROLE)
    rules = [rule for rule in role["rules"] if not {"pods", "replicasets", "jobs"} & {*rule["resources"]}]
    live.cluster.request("PUT", ROLE, {**role, "rules": rules})
    try:
        live.start()
        live.until(lambda: live.states("limits") == {"web-old-1": "ACTIVE"}, "the Pod's own finding")
        output = live.await_condition("OwnersKnown", "False", reason="Forbidden")
        assert "rbac.rollUp" in output["message"]
        live.well()
    finally:
        current = live.cluster.request("GET", ROLE)
        live.cluster.request("PUT", ROLE, {**current, "rules": role["rules"]})
