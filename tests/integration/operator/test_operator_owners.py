"""Violations of Pods cannot be hidden by a false ownerReference, on a real API server: missing owners, cycles, long
numbers.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.operator.test_operator_rollup import about, create, workload
from tests.integration.operator.world import World, result

GHOST = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "ghost", "uid": "11111111-1111"}}
GRACE_SECONDS = 90.0
"""The operator waits 30 seconds for an owner that does not exist."""


@pytest.fixture
def live(home: World) -> Iterator[World]:
    home.clear()
    home.monitor(archiveDelay="2s", rollUp=True)
    yield home
    home.clear()


def adopt(world: World, kind: str, name: str, owner: dict[str, Any]) -> None:
    """Set a controller, as anybody may who can write the object."""
    document = workload(kind, name, owner)
    references = {"metadata": {"ownerReferences": document["metadata"]["ownerReferences"]}}
    world.cluster.request("PATCH", world.cluster.path(document), references)


def test_no_violation_is_hidden_by_an_owner(live: World) -> None:
    """With a missing owner, two ReplicaSets that own each other, or another uid, each Pod's violation is found,
    existing findings stay, findings of others arrive within seconds meanwhile, and the condition reports it without a
    problem.
    """
    web = create(live, "Deployment", "web")
    good = create(live, "ReplicaSet", "web-1", web)
    create(live, "Pod", "web-1-a", good)
    create(live, "Pod", "before")
    live.apply(about("Pod", "web-1-a", result("limits")), about("Pod", "before", result("limits")))
    live.start()
    live.await_states("limits", web="ACTIVE", before="ACTIVE")

    adopt(live, "Pod", "before", GHOST)
    create(live, "Pod", "ghostly", GHOST)
    first = create(live, "ReplicaSet", "ring-a")
    second = create(live, "ReplicaSet", "ring-b", first)
    adopt(live, "ReplicaSet", "ring-a", second)
    create(live, "Pod", "circled", first)
    create(live, "Pod", "stolen", {**good, "metadata": {**good["metadata"], "uid": "another"}})
    bad = ("ghostly", "circled", "stolen")
    live.apply(*(about("Pod", name, result("limits")) for name in bad))
    create(live, "Pod", "plain")
    live.apply(about("Pod", "plain", result("prompt")))
    live.await_states("prompt", plain="ACTIVE")
    live.until(
        lambda: live.states("limits") == dict.fromkeys(("web", "before", *bad), "ACTIVE"),
        "a finding of each Pod",
        seconds=GRACE_SECONDS,
    )
    live.until(lambda: "ReplicaSet" in live.condition("OwnersKnown")["message"], "the condition to name one")
    live.await_condition("OwnersKnown", "True", reason="Watched")
    live.await_condition("Ready", "True", reason="AllWell")


def test_an_annotation_of_4301_digits(live: World) -> None:
    """It affects that object only: all others are found, before and after a restart."""
    create(live, "Pod", "before")
    live.apply(about("Pod", "before", result("limits")))
    live.start()
    live.await_states("limits", before="ACTIVE")
    for kind in ("Pod", "ReplicaSet"):
        odd = workload(kind, "odd")
        odd["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "9" * 4301}
        live.apply(odd)
    live.apply(about("Pod", "odd", result("limits")))
    live.await_states("limits", before="ACTIVE", odd="ACTIVE")
    live.operator.kill()
    live.start()
    create(live, "Pod", "after")
    live.apply(about("Pod", "after", result("limits")))
    live.await_states("limits", before="ACTIVE", odd="ACTIVE", after="ACTIVE")
    live.await_condition("OwnersKnown", "True", reason="Watched")
    live.await_condition("Ready", "True", reason="AllWell")
