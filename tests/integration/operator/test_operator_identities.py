"""One cluster under two identities, and a cluster whose identity changes."""

from policyhub.clock import WallMs
from policyhub.findings.asff import timestamp
from policyhub.securityhub.inventory import milliseconds, strip_for_import
from tests.integration.operator.test_operator_clusters import write
from tests.integration.operator.world import CLUSTERS, Document, World, report, result

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"


def test_two_monitored_clusters_of_one_cluster(world: World) -> None:
    """Both continue and name each other; a dry run is named by the other, but names none; when one is deleted the other
    is alone, until a start finds the findings of the deleted one.
    """
    world.apply(report("web", result("doubled")))
    world.monitor()
    world.monitor("again", clusterArn=ARN, mode="DryRun")
    world.start()
    world.synced()
    output = world.await_condition("IdentityConflict", "True", reason="TwoIdentities", name="again")
    assert "MonitoredCluster alpha (identity alpha)" in output["message"]
    world.await_condition("Ready", "True", reason="DryRun", name="again")
    assert world.condition("IdentityConflict")["reason"] == "NoConflict"

    world.monitor("again", clusterArn=ARN)
    world.synced("again")
    for name, other in (("alpha", f"again (identity {ARN})"), ("again", "alpha (identity alpha)")):
        output = world.await_condition("IdentityConflict", "True", reason="TwoIdentities", name=name)
        assert other in output["message"]
        world.await_condition("Ready", "True", reason="TwoIdentities", name=name)
    world.apply(report("next", result("doubled")))
    for cluster in ("alpha", ARN):
        world.await_states("doubled", cluster=cluster, web="ACTIVE", next="ACTIVE")

    world.cluster.request("DELETE", f"{CLUSTERS}/again")
    world.await_condition("IdentityConflict", "False", reason="NoConflict")
    world.end()
    world.start()
    output = world.await_condition("IdentityConflict", "True", reason="OtherIdentity")
    assert (
        f"2 active findings of this cluster (uid {world.cluster.uid}) under another identity: {ARN}"
        in output["message"]
    )
    world.await_condition("Ready", "True", reason="OtherIdentity")


def test_from_a_name_to_an_arn(world: World) -> None:
    """The findings are created again under new ids with the same digits at the end. The old ones stay unchanged with
    their triage; the condition reports them until somebody archives them.
    """
    web = report("web", result("moved"))
    world.apply(web, report("api", result("moved")))
    world.monitor(archiveDelay="1s")
    world.start()
    world.synced()
    old = world.of("moved")
    world.hub.analyst([old["web"]["Id"]], workflow="SUPPRESSED", note="Accepted, Ana")
    world.cluster.request("DELETE", f"{CLUSTERS}/alpha")
    world.until(lambda: world.operator.metric("policyhub_violations", cluster="alpha") == 0, "its data plane to end")

    mark = world.mark()
    world.monitor("prod-eu", clusterArn=ARN, archiveDelay="1s")
    world.synced("prod-eu")
    new = world.of("moved", cluster=ARN)
    assert {name: f["Id"].rpartition("/")[2] for name, f in new.items()} == {
        name: f["Id"].rpartition("/")[2] for name, f in old.items()
    }
    assert new["web"]["Workflow"]["Status"] == "NEW"
    output = world.await_condition("IdentityConflict", "True", reason="OtherIdentity", name="prod-eu")
    assert "under another identity: alpha" in output["message"]
    world.delete(web)
    world.await_states("moved", cluster=ARN, web="ARCHIVED", api="ACTIVE")
    assert world.states("moved") == {"web": "ACTIVE", "api": "ACTIVE"}
    assert world.of("moved")["web"]["Note"]["Text"] == "Accepted, Ana"
    assert {entry["cluster"] for entry in world.journal(mark) if entry.get("operation") != "BatchUpdateFindings"} == {
        ARN
    }

    archive(world, *world.of("moved").values())
    world.end()
    world.start()
    world.synced("prod-eu")
    world.await_condition("IdentityConflict", "False", reason="NoConflict", name="prod-eu")
    world.await_condition("Ready", "True", reason="AllWell", name="prod-eu")


def archive(world: World, *findings: Document) -> None:
    """Archive as a person."""
    for finding in findings:
        later = timestamp(WallMs(int(milliseconds(finding["UpdatedAt"])) + 1_000))
        write(world, strip_for_import(finding) | {"RecordState": "ARCHIVED", "UpdatedAt": later})
