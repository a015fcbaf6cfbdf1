"""A MonitoredCluster that is deleted with `deletionPolicy: Archive`: what is archived, and when the object is gone."""

import time
from typing import Any

import pytest

from policyhub.control.finalizer import FINALIZER
from policyhub.securityhub.inventory import strip_for_import
from tests.integration.operator.test_operator_clusters import names, refer, uid, write
from tests.integration.operator.world import CLUSTERS, World, report, result

TRIAGE = ("Workflow", "Note", "UserDefinedFields", "VerificationState")


def finalizers(world: World, name: str = "alpha") -> list[str]:
    return list(world.monitored(name)["metadata"].get("finalizers", ()))


def kept(world: World, name: str = "alpha") -> None:
    """Wait for the finalizer."""
    world.until(lambda: FINALIZER in finalizers(world, name), f"the finalizer of {name}")


def delete(world: World, name: str = "alpha") -> None:
    world.cluster.request("DELETE", f"{CLUSTERS}/{name}")


def there(world: World, name: str = "alpha") -> bool:
    return name in names(world)


def gone(world: World, name: str = "alpha") -> None:
    world.until(lambda: not there(world, name), f"{name} to be gone")


def patch(world: World, name: str = "alpha", **spec: Any) -> None:
    world.cluster.request("PATCH", f"{CLUSTERS}/{name}", {"spec": spec})


def events(world: World, reason: str) -> list[str]:
    found = world.cluster.request("GET", "/api/v1/namespaces/default/events")["items"]
    return [event["message"] for event in found if event["reason"] == reason]


def begin(world: World, *names: str, **spec: Any) -> None:
    """A running operator, with a finding for each of these Deployments."""
    world.apply(*(report(name, result("left")) for name in names))
    world.monitor(deletionPolicy="Archive", archiveDelay="1s", **spec)
    world.start()
    world.synced()
    world.await_states("left", **dict.fromkeys(names, "ACTIVE"))
    kept(world)


def of_another(finding: dict[str, Any], *, identity: str, uid: str) -> dict[str, Any]:
    """The finding as another cluster would have written it."""
    copy = strip_for_import(finding)
    copy["Id"] = f"policyhub/{identity}/{'f' * 32}"
    copy["ProductFields"] |= {"policyhub/cluster": identity, "policyhub/cluster-uid": uid}
    return copy


def test_its_findings_are_archived(world: World) -> None:
    """A deletion archives this cluster's active findings, then the object is gone. Findings of another uid under the
    identity, of an identity with the same prefix, and analysts' values stay.
    """
    begin(world, "web", "api", "db")
    web, api, _ = (world.of("left")[name] for name in ("web", "api", "db"))
    world.delete(report("db", result("left")))
    world.until(lambda: world.states("left")["db"] == "ARCHIVED", "one to be archived before")
    world.hub.analyst([web["Id"]], workflow="SUPPRESSED", note="accepted until the migration")
    write(world, of_another(api, identity="alpha", uid="another"))
    write(world, of_another(api, identity="alpha-eu", uid=world.cluster.uid))
    before = {finding["Id"]: finding for finding in world.hub.findings()}
    mark = world.mark()
    delete(world)
    gone(world)
    after = {finding["Id"]: finding for finding in world.hub.findings()}
    assert after.keys() == before.keys()
    touched = {id_ for id_ in before if after[id_] != before[id_]}
    assert touched == {web["Id"], api["Id"]}
    assert {after[id_]["RecordState"] for id_ in touched} == {"ARCHIVED"}
    for id_ in touched:
        assert all(after[id_].get(name) == before[id_].get(name) for name in TRIAGE)
    assert {entry["outcome"] for entry in world.journal(mark)} == {"archived"}
    world.until(lambda: any("2 findings of alpha" in output for output in events(world, "Retired")), "the Event")
    assert events(world, "Retiring")


def test_created_again(world: World) -> None:
    """A MonitoredCluster that is created again under its name has its findings again."""
    begin(world, "web")
    delete(world)
    gone(world)
    assert world.states("left") == {"web": "ARCHIVED"}
    world.monitor(archiveDelay="1s")
    world.await_states("left", web="ACTIVE")
    world.synced()
    assert finalizers(world) == []


def test_nothing_new_is_sent_during_a_deletion(world: World) -> None:
    """While Security Hub cannot be written, the object says what to do and sends nothing new; with Retain the object
    goes, and findings that could not be archived stay.
    """
    begin(world, "web", "api")
    world.hub.fault("access_denied", operation="BatchImportFindings")
    delete(world)
    ready = world.await_condition("Ready", "False", reason="RetireFailed")
    assert "securityhub:BatchImportFindings" in ready["message"]
    assert '"deletionPolicy":"Retain"' in ready["message"]
    assert world.monitored()["status"]["clusterUid"] == world.cluster.uid
    world.until(lambda: bool(events(world, "RetireFailed")), "the Event")
    world.hub.clear_faults()
    mark = world.mark()
    world.hub.fault("error500", operation="BatchImportFindings")
    world.apply(report("new", result("left")))
    patch(world, deletionPolicy="Retain")
    gone(world)
    world.hub.clear_faults()
    assert world.states("left") == {"web": "ACTIVE", "api": "ACTIVE"}
    assert world.journal(mark) == []


def test_refused_archives_are_retried(world: World) -> None:
    """Findings that Security Hub refuses are retried; the object is gone when all are archived."""
    begin(world, *(f"app-{number}" for number in range(12)))
    number = world.hub.fault("partial", operation="BatchImportFindings", share=0.5)
    delete(world)
    ready = world.await_condition("Ready", "False", reason="RetireFailed")
    assert "InternalFailure" in ready["message"]
    world.hub.clear_fault(number)
    gone(world)
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_a_restart_continues_the_archiving(world: World) -> None:
    """After an operator is killed in the middle, the next one archives the rest, although the reports are gone and it
    has never read them.
    """
    begin(world, "web", "api")
    world.hub.fault("error500", operation="BatchImportFindings")
    delete(world)
    world.await_condition("Ready", "False", reason="RetireFailed")
    world.operator.kill()
    world.delete(report("web", result("left")), report("api", result("left")))
    world.hub.clear_faults()
    world.start()
    gone(world)
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_a_finding_that_is_not_readable_yet(world: World) -> None:
    """A finding that was sent just before the deletion, and that GetFindings does not return yet, is archived too."""
    begin(world, "web")
    number = world.hub.fault("lag", operation="GetFindings", delay_seconds=300.0)
    world.apply(report("late", result("left")))
    world.await_states("left", web="ACTIVE", late="ACTIVE")
    world.synced()
    delete(world)
    world.until(lambda: world.states("left")["web"] == "ARCHIVED", "the visible findings to be archived")
    assert there(world)
    assert world.states("left")["late"] == "ACTIVE"
    world.hub.clear_fault(number)
    gone(world)
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_an_unreachable_cluster(world: World, second: World) -> None:
    """The cluster is unreachable, and the operator has been restarted since: its findings are archived all the same."""
    second.clear()
    second.apply(report("web", result("left")))
    refer(world, second)
    patch(world, "beta", deletionPolicy="Archive")
    world.start()
    world.synced("beta")
    kept(world, "beta")
    world.until(
        lambda: world.monitored("beta")["status"].get("clusterUid") == second.cluster.uid, "the uid to be in the status"
    )
    world.operator.kill()
    second.cluster.kill()
    try:
        world.start()
        world.await_condition("Connected", "False", name="beta")
        delete(world, "beta")
        gone(world, "beta")
        assert world.states("left", cluster="beta") == {"web": "ARCHIVED"}
    finally:
        second.cluster.restart()
        second.clear()


@pytest.mark.parametrize("name", ["younger", "older"])
def test_one_of_two_with_the_same_identity(world: World, name: str) -> None:
    """One of two MonitoredClusters of one identity is deleted, the younger, which sent nothing, or the older: the
    findings belong to the other and stay.
    """
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
    world.apply(report("web", result("left")))
    world.monitor("older", clusterArn=arn, deletionPolicy="Archive")
    world.start()
    world.synced("older")
    kept(world, "older")
    time.sleep(1)  # creation times have whole seconds
    world.monitor("younger", clusterArn=arn, deletionPolicy="Archive")
    world.await_condition("IdentityConflict", "True", reason="ClaimedTwice", name="younger")
    assert finalizers(world, "younger") == []
    mark = world.mark()
    delete(world, name)
    gone(world, name)
    other = "older" if name == "younger" else "younger"
    world.apply(report("next", result("left")))
    world.await_states("left", cluster=arn, web="ACTIVE", next="ACTIVE")
    assert [entry["outcome"] for entry in world.journal(mark)] == ["created"]
    kept(world, other)


def test_the_finalizer_follows_the_spec(world: World) -> None:
    """It is set while Archive applies, and removed with Retain and DryRun."""
    begin(world, "web")
    for spec in ({"deletionPolicy": "Retain"}, {"mode": "DryRun"}):
        patch(world, **spec)
        world.until(lambda: finalizers(world) == [], f"{spec} to take it off")
        patch(world, deletionPolicy="Archive", mode="Sync")
        kept(world)
    patch(world, mode="DryRun")
    world.until(lambda: finalizers(world) == [], "the finalizer to go")
    delete(world)
    assert not there(world)
    assert world.states("left") == {"web": "ACTIVE"}


def test_a_moved_label_releases_the_finalizer(world: World) -> None:
    """When the label is removed, the operator removes its finalizer; the next operator sets it again, and nothing
    blocks.
    """
    world.apply(report("web", result("left")))
    world.monitor(deletionPolicy="Archive")
    path = f"{CLUSTERS}/alpha"
    world.cluster.request("PATCH", path, {"metadata": {"labels": {"shard": "a"}}})
    world.start(POLICYHUB_WATCH_SELECTOR="shard=a")
    world.synced()
    kept(world)
    world.cluster.request("PATCH", path, {"metadata": {"labels": {"shard": "b"}}})
    world.until(lambda: finalizers(world) == [], "the finalizer to go")
    world.cluster.request("PATCH", path, {"metadata": {"labels": {"shard": "a"}}})
    kept(world)
    world.cluster.request("PATCH", path, {"metadata": {"labels": {"shard": None}}})
    world.until(lambda: finalizers(world) == [], "the finalizer to go")
    delete(world)
    assert not there(world)
    assert uid(world.of("left")["web"]) == world.cluster.uid


def test_another_finalizer(world: World) -> None:
    """A foreign finalizer outlives ours: nothing is sent while it blocks the deletion, and ours is not set again."""
    begin(world, "web")
    path = f"{CLUSTERS}/alpha"
    world.cluster.request("PATCH", path, {"metadata": {"finalizers": [FINALIZER, "example.com/other"]}})
    delete(world)
    world.await_condition("Ready", "False", reason="Deleted")
    assert finalizers(world) == ["example.com/other"]
    assert world.states("left") == {"web": "ARCHIVED"}
    mark = world.mark()
    world.apply(report("new", result("left")))
    world.cluster.request("PATCH", path, {"metadata": {"finalizers": None}})
    gone(world)
    assert world.journal(mark) == []
