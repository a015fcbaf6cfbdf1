"""The fault bench's own roll-up: the walk up the owners, and the rewriting of rules and messages."""

from typing import Any

import pytest

from tests.faults import manifests
from tests.faults.owner_graph import OwnerGraph, Ref, rule_name, without_object_name

WEB = Ref("Deployment", "north", "web")
OLD, NEW = Ref("ReplicaSet", "north", "web-1"), Ref("ReplicaSet", "north", "web-2")
POD = Ref("Pod", "north", "web-1-a")
CRON, FIRST, SECOND = Ref("CronJob", "north", "tidy"), Ref("Job", "north", "tidy-1"), Ref("Job", "north", "tidy-2")
LONG = "each-container-must-name-the-team-that-answers-for-it-at-night"


def stored(ref: Ref, *, owner: Ref | None = None, revision: int = 0, created: int = 0, **more: Any) -> dict[str, Any]:
    """The object as the API server returns it."""
    document = manifests.workload(ref, owner=owner, uid="1", revision=revision)
    document["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{created:02}Z"
    return {**document, **more}


def owner_graph(*documents: dict[str, Any]) -> OwnerGraph:
    graph = OwnerGraph()
    for document in documents:
        graph.put(document)
    return graph


def rolled_out() -> OwnerGraph:
    """The old ReplicaSet still has a Pod, the new one has none yet."""
    return owner_graph(
        stored(OLD, owner=WEB, revision=1), stored(NEW, owner=WEB, revision=2), stored(POD, owner=OLD, created=5)
    )


def test_pods_roll_up_to_their_controller() -> None:
    """Pods and ReplicaSets roll up to the Deployment; the Deployment and unrelated objects do not roll up."""
    graph = rolled_out()
    role = Ref("ClusterRole", "", "admin")
    assert [graph.rolls_up_to(ref) for ref in (POD, OLD, NEW, WEB, role)] == [WEB, WEB, WEB, WEB, role]
    assert graph.contributors(WEB) == {POD, OLD, NEW}


def test_an_old_replicaset_without_pods_rolls_up_to_nothing() -> None:
    """An old ReplicaSet counts while it has Pods, the newest one always. Jobs are ordered by creation."""
    graph = rolled_out()
    graph.drop(POD)
    assert [graph.rolls_up_to(ref) for ref in (POD, OLD, NEW)] == [None, None, WEB]
    jobs = owner_graph(stored(FIRST, owner=CRON, created=1), stored(SECOND, owner=CRON, created=2))
    assert [jobs.rolls_up_to(ref) for ref in (FIRST, SECOND)] == [None, CRON]


def test_ended_pods_are_ignored() -> None:
    """The Pod of a finished Job rolls up to nothing, and does not keep an old Job in use."""
    pod = Ref("Pod", "north", "tidy-1-a")
    graph = owner_graph(stored(FIRST, owner=CRON, created=1), stored(pod, owner=FIRST))
    assert graph.rolls_up_to(pod) == CRON
    graph.put(stored(pod, owner=FIRST, status={"phase": "Succeeded"}))
    graph.put(stored(SECOND, owner=CRON, created=2))
    assert [graph.rolls_up_to(ref) for ref in (pod, FIRST)] == [None, None]


def test_objects_without_an_owner_are_not_rolled_up() -> None:
    """A Pod without an owner or of a Node stands alone; a Pod whose ReplicaSet is gone is being deleted."""
    static = stored(POD, owner=Ref("Node", "", "node-1"))
    assert owner_graph(static).rolls_up_to(POD) == POD
    assert owner_graph(stored(POD)).rolls_up_to(POD) == POD
    assert owner_graph(stored(POD, owner=OLD)).rolls_up_to(POD) is None
    alone = owner_graph(stored(OLD), stored(POD, owner=OLD))
    assert [alone.rolls_up_to(ref) for ref in (POD, OLD)] == [OLD, OLD]


@pytest.mark.parametrize(
    ("source", "rule", "subject", "expected"),
    [
        ("kyverno", "autogen-check", WEB, "check"),
        ("kyverno", "autogen-cronjob-check", CRON, "check"),
        ("kyverno", "check", WEB, "check"),
        ("kyverno", "autogen-check", Ref("Ingress", "north", "web"), "autogen-check"),
        ("hourly", "autogen-check", WEB, "autogen-check"),
        ("kyverno", LONG, WEB, LONG[:55]),
        ("kyverno", LONG, CRON, LONG[:47]),
        ("kyverno", LONG, POD, LONG),
        ("hourly", LONG, WEB, LONG),
    ],
)
def test_rule_names_lose_derived_prefixes(source: str, rule: str, subject: Ref, expected: str) -> None:
    """Kyverno's prefix is removed, and the characters that the longest prefix for the kind leaves no room for."""
    assert rule_name(source, rule, subject) == expected


def test_messages_lose_names_of_ephemeral_objects() -> None:
    """A message about a Pod that rolls up to its Deployment does not name the Pod; an object's own message is
    unchanged.
    """
    assert without_object_name("web-1-a is bad", POD, WEB) == "<pod> is bad"
    assert without_object_name("web is bad", WEB, WEB) == "web is bad"
