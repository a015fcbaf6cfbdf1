"""Several clusters and several operators in one account do not touch each other's findings."""

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from dev.testbed import NAMESPACE
from policyhub.findings.asff import timestamp
from policyhub.securityhub.inventory import milliseconds, strip_for_import
from policyhub.sync.quarantine import CONFLICT_ABOVE
from tests.integration.operator.world import CLUSTERS, World, outcomes, report, result

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"


@pytest.fixture
def other(world: World, second: World) -> Iterator[World]:
    """The second, empty cluster."""
    second.clear()
    yield second
    second.clear()


def refer(world: World, other: World) -> None:
    """Write a kubeconfig of the other cluster, with the permissions of the chart's service account there, into a
    Secret.
    """
    kubeconfig = other.installed.kubeconfig().read_bytes()
    data = {"kubeconfig": base64.b64encode(kubeconfig).decode()}
    metadata = {"name": "beta", "namespace": NAMESPACE}
    world.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    world.monitor(
        "beta", connection={"kubeconfigSecretRef": {"namespace": NAMESPACE, "name": "beta"}}, archiveDelay="1s"
    )


def test_two_clusters_with_the_same_objects(world: World, other: World) -> None:
    """Two monitored clusters with the same object names in one account have their own findings, and a fix in one does
    not affect the other. While one is unreachable the other continues, none of the lost one's findings is archived, and
    Connected says so; when it returns nothing is imported again.
    """
    same = [report(name, result("same")) for name in ("web", "api")]
    world.apply(*same)
    other.apply(*same)
    world.monitor(archiveDelay="1s")
    refer(world, other)
    world.start()
    for name in ("alpha", "beta"):
        world.synced(name)
        assert world.states("same", cluster=name) == {"web": "ACTIVE", "api": "ACTIVE"}
    alpha, beta = ({f["Id"] for f in world.found(cluster=name).values()} for name in ("alpha", "beta"))
    assert not alpha & beta

    other.apply(report("web", result("same", result="pass")))
    world.await_states("same", cluster="beta", web="ARCHIVED", api="ACTIVE")
    assert world.states("same") == {"web": "ACTIVE", "api": "ACTIVE"}

    other.delete(same[1])
    world.await_states("same", cluster="beta", web="ARCHIVED", api="ARCHIVED")
    other.apply(same[1])
    world.await_states("same", cluster="beta", web="ARCHIVED", api="ACTIVE")
    mark = world.mark()
    other.cluster.kill()
    output = world.await_condition("Connected", "False", reason="Unreachable", name="beta")
    assert output["message"]
    assert world.condition("SourcesComplete", "beta")["status"] == "False"
    with ThreadPoolExecutor(1) as thread:
        restarted = thread.submit(other.cluster.restart)  # takes seconds
        world.apply(report("new", result("same")))
        world.delete(same[0])
        world.await_states("same", web="ARCHIVED", api="ACTIVE", new="ACTIVE")
        # beta has been lost for longer than its own archive delay when alpha's finding is archived
        assert world.states("same", cluster="beta") == {"web": "ARCHIVED", "api": "ACTIVE"}
        assert {entry["id"] for entry in world.journal(mark)} & beta == set()
        restarted.result()

    mark = world.mark()
    world.well("beta")
    other.apply(report("later", result("same")))
    world.await_states("same", cluster="beta", web="ARCHIVED", api="ACTIVE", later="ACTIVE")
    assert outcomes(world.journal(mark)) == ["created"]


def test_a_second_operator_with_the_same_name(world: World, other: World) -> None:
    """An operator in another cluster whose MonitoredCluster has a name that is used in the account sends nothing, and
    IdentityConflict names the owner; after adoption by annotation it sends, as after a rebuilt cluster.
    """
    many = {f"old{number}": "ACTIVE" for number in range(CONFLICT_ABOVE)}
    world.apply(*(report(name, result("mine")) for name in ("web", "api", *many)))
    world.monitor()
    world.start()
    world.synced()
    other.apply(report("web", result("mine", message="seen from elsewhere")), report("db", result("mine")))
    other.monitor(archiveDelay="1s")
    mark = world.mark()
    other.start()
    conflict = other.await_condition("IdentityConflict", "True")
    assert world.cluster.uid in conflict["message"]
    other.await_condition("Ready", "False", reason=conflict["reason"])
    # the first operator continues; when its next violation arrives, two status rounds have passed
    world.apply(report("next", result("mine")))
    world.await_states("mine", web="ACTIVE", api="ACTIVE", next="ACTIVE", **many)
    assert outcomes(world.journal(mark)) == ["created"]
    assert all(uid(finding) == world.cluster.uid for finding in world.found().values())

    world.end()
    other.monitor(annotations={"policyhub.dev/adopt-uid": world.cluster.uid}, archiveDelay="1s")
    other.await_condition("IdentityConflict", "False")
    archived = dict.fromkeys(("api", "next", *many), "ARCHIVED")
    world.await_states("mine", web="ACTIVE", db="ACTIVE", **archived)
    found = world.of("mine")
    assert uid(found["web"]) == other.cluster.uid
    assert "seen from elsewhere" in found["web"]["Description"]
    other.well()


def write(world: World, finding: dict[str, Any]) -> None:
    """Import a finding, as anybody with the account's permission may."""
    environment = world.hub.env()
    client = boto3.client(
        "securityhub",
        endpoint_url=world.hub.url,
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    try:
        assert client.batch_import_findings(Findings=[finding])["SuccessCount"] == 1
    finally:
        client.close()


def test_a_few_foreign_findings_are_left_alone(world: World, other: World) -> None:
    """A few findings under the cluster's identity with another uid, or none, stop nothing: they stay unchanged, are
    shown and counted; all others continue. After adoption by annotation they belong to the cluster.
    """
    # another cluster of this name has written two findings, and one of them has lost its uid
    other.apply(report("web", result("mine", message="seen from elsewhere")), report("lost", result("mine")))
    other.monitor()
    other.start()
    other.until(lambda: len(world.found()) == 2, "the other cluster to write")
    other.end()
    lost = strip_for_import(world.of("mine")["lost"])
    del lost["ProductFields"]["policyhub/cluster-uid"]
    write(world, {**lost, "UpdatedAt": timestamp(milliseconds(lost["UpdatedAt"]) + 1)})

    world.apply(report("web", result("mine")), report("api", result("mine")))
    world.monitor(archiveDelay="1s")
    mark = world.mark()
    world.start()
    conflict = world.await_condition("IdentityConflict", "True", reason="ForeignFindings")
    assert "2 findings" in conflict["message"]
    world.await_states("mine", web="ACTIVE", lost="ACTIVE", api="ACTIVE")
    world.await_condition("InSync", "False", reason="FindingsQuarantined")
    world.await_condition("Ready", "False", reason="FindingsQuarantined")
    world.until(
        lambda: world.operator.metric("policyhub_findings_quarantined", cluster="alpha") == 2,
        "the metric to count them",
    )
    world.delete(
        report("web", result("mine"))
    )  # a foreign finding that the cluster does not report stays unchanged too
    world.await_condition("InSync", "True")
    world.await_condition("Ready", "True", reason="ForeignFindings")
    assert outcomes(world.journal(mark)) == ["created"]
    assert "seen from elsewhere" in world.of("mine")["web"]["Description"]

    world.monitor(annotations={"policyhub.dev/adopt-uid": f"none,{other.cluster.uid}"}, archiveDelay="1s")
    world.await_states("mine", web="ARCHIVED", lost="ARCHIVED", api="ACTIVE")
    world.await_condition("IdentityConflict", "False", reason="NoConflict")
    world.await_condition("Ready", "True", reason="AllWell")


def test_two_objects_with_one_identity(world: World) -> None:
    """Of two MonitoredClusters with one identity and hub the older one works, and both say so; the younger sends
    nothing, even after a restart, and takes over when the older is deleted.
    """
    world.apply(report("web", result("claimed")))
    world.monitor("two", clusterArn=ARN)
    world.start()
    world.synced("two")
    time.sleep(1)  # creation times have whole seconds
    world.monitor("one", clusterArn=ARN)
    for restarted in (False, True):
        if restarted:
            world.end()
            world.start()
        conflict = world.await_condition("IdentityConflict", "True", reason="ClaimedTwice", name="one")
        assert "two" in conflict["message"]
        world.await_condition("Ready", "False", reason="ClaimedTwice", name="one")
        also = world.await_condition("IdentityConflict", "True", reason="AlsoClaimed", name="two")
        assert "one" in also["message"]
        world.well("two")
    world.apply(report("next", result("claimed")))
    world.await_states("claimed", cluster=ARN, web="ACTIVE", next="ACTIVE")
    assert {entry["cluster"] for entry in world.journal()} == {ARN}
    world.cluster.request("DELETE", f"{CLUSTERS}/two")
    world.await_condition("IdentityConflict", "False", name="one")
    world.apply(report("later", result("claimed")))
    world.await_states("claimed", cluster=ARN, web="ACTIVE", next="ACTIVE", later="ACTIVE")
    world.well("one")
    assert all(f["ProductFields"]["policyhub/cluster"] == ARN for f in world.found(cluster=ARN).values())


def test_a_deleted_monitored_cluster(world: World) -> None:
    """Deleting a MonitoredCluster stops the work on its cluster and leaves its findings unchanged; it has no finalizer
    and is gone at once, with or without an operator.
    """
    web = report("web", result("left"))
    world.apply(web)
    world.monitor(archiveDelay="1s")
    world.start()
    world.synced()
    assert not world.monitored()["metadata"].get("finalizers")
    world.cluster.request("DELETE", f"{CLUSTERS}/alpha")
    assert names(world) == []
    world.until(lambda: world.operator.metric("policyhub_violations", cluster="alpha") == 0, "its data plane to end")
    mark = world.mark()
    world.delete(web)
    world.apply(report("new", result("left")))
    # another MonitoredCluster of the same cluster shows when both changes were read
    world.monitor("again", archiveDelay="1s")
    world.await_states("left", cluster="again", new="ACTIVE")
    world.synced("again")
    assert world.states("left") == {"web": "ACTIVE"}
    assert {entry["cluster"] for entry in world.journal(mark)} == {"again"}
    world.operator.stop()
    world.cluster.request("DELETE", f"{CLUSTERS}/again")
    assert names(world) == []


def names(world: World) -> list[str]:
    return [item["metadata"]["name"] for item in world.cluster.request("GET", CLUSTERS)["items"]]


def uid(finding: dict[str, dict[str, str]]) -> str:
    return finding["ProductFields"]["policyhub/cluster-uid"]
