"""`policyhub retire`, run in the Pod or outside the cluster: what it counts, archives and refuses."""

import re
import subprocess
from pathlib import Path

import pytest

from dev.testbed import ACCOUNT, REGION
from tests.integration.doctor.cli import DoctorCli
from tests.integration.operator.test_operator_clusters import names, uid, write
from tests.integration.operator.test_operator_deletion import TRIAGE, begin, delete, kept, of_another, patch, there
from tests.integration.operator.world import CLUSTERS, World, report, result

PLACE = ("--account-id", ACCOUNT, "--region", REGION)


@pytest.fixture
def person(world: World, tmp_path: Path) -> DoctorCli:
    """A user's shell with the operator's permissions."""
    return DoctorCli(world, tmp_path)


def table(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """The printed counts, by severity."""
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: row[1:] for row in rows if row and row[-1].isdecimal() and len(row) == 6}


def left(world: World) -> None:
    """Three findings of a deleted MonitoredCluster, and a stopped operator."""
    world.apply(
        *(report(name, result("left")) for name in ("web", "api")), report("db", result("left", severity="high"))
    )
    world.monitor()
    world.start()
    world.synced()
    world.until(lambda: world.monitored()["status"].get("clusterUid") == world.cluster.uid, "the uid")
    delete(world)
    world.until(lambda: names(world) == [], "it to be gone")
    world.operator.stop()


def test_counting_before_archiving(world: World, person: DoctorCli) -> None:
    """For a deleted MonitoredCluster the findings are counted by severity, workflow status and cluster, and the command
    that archives them is printed. It archives the findings of this uid and identity, and keeps analysts' values. A
    second run finds none.
    """
    left(world)
    found = world.of("left")
    world.hub.analyst([found["web"]["Id"]], workflow="NOTIFIED", note="on it")
    write(world, of_another(found["api"], identity="alpha", uid="another"))
    write(world, {**of_another(found["api"], identity="alpha-eu", uid=world.cluster.uid)})
    before = {finding["Id"]: finding for finding in world.hub.findings()}
    counted = person.run("retire", "alpha", "--uid", world.cluster.uid, *PLACE)
    assert (counted.returncode, counted.stderr) == (0, "")
    assert table(counted) == {
        "HIGH": ["1", "0", "0", "0", "1"],
        "MEDIUM": ["1", "1", "0", "0", "2"],
        "TOTAL": ["2", "1", "0", "0", "3"],
    }
    assert "Not touched: 1 finding of the cluster with uid another" in counted.stdout
    assert "--yes archives 3 findings" in counted.stdout
    assert {finding["Id"]: finding for finding in world.hub.findings()} == before

    unnamed = person.run("retire", "alpha", *PLACE)
    assert unnamed.returncode == 0
    (command,) = re.findall(
        rf"^  policyhub (retire alpha --uid {world.cluster.uid} .*--yes)$", unnamed.stdout, re.MULTILINE
    )
    archived = person.run(*command.split())
    assert (archived.returncode, archived.stderr) == (0, "")
    assert "3 findings archived." in archived.stdout
    after = {finding["Id"]: finding for finding in world.hub.findings()}
    touched = {id_ for id_ in before if after[id_] != before[id_]}
    assert touched == {finding["Id"] for finding in found.values()}
    assert {after[id_]["RecordState"] for id_ in touched} == {"ARCHIVED"}
    for id_ in touched:
        assert all(after[id_].get(name) == before[id_].get(name) for name in TRIAGE)
    again = person.run(*command.split())
    assert again.returncode == 0
    assert "0 findings archived." in again.stdout


def test_another_uid_must_be_named(world: World, person: DoctorCli) -> None:
    """Nothing is archived without a uid if no MonitoredCluster identifies the cluster."""
    left(world)
    done = person.run("retire", "alpha", *PLACE, "--yes")
    assert done.returncode == 2
    assert set(world.states("left").values()) == {"ACTIVE"}
    done = person.run("retire", "alpha", *PLACE, "--uid", "another", "--yes")
    assert done.returncode == 0
    assert "0 findings archived." in done.stdout
    assert set(world.states("left").values()) == {"ACTIVE"}


def test_findings_that_are_still_written(world: World, person: DoctorCli) -> None:
    """While a MonitoredCluster writes the findings they are counted and not archived, under any name; the output says
    what to do. Findings of a uid that it does not write are archived. In DryRun it writes none.
    """
    begin(world, "web")
    world.until(lambda: world.monitored()["status"].get("clusterUid") == world.cluster.uid, "the uid")
    write(world, of_another(world.of("left")["web"], identity="alpha", uid="another"))
    world.monitor("other", mode="DryRun")
    for given in (["alpha"], ["gone", "--identity", "alpha", "--uid", world.cluster.uid, *PLACE]):
        done = person.run("retire", *given, "--yes")
        assert done.returncode == 2
        assert "MonitoredCluster alpha still sends these findings" in done.stderr
        assert "kubectl delete monitoredcluster alpha" in done.stderr
        assert table(done)["TOTAL"][-1] == "1"
    mark = world.mark()
    done = person.run("retire", "alpha", "--uid", "another", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 finding archived." in done.stdout
    assert len(world.journal(mark)) == 1
    assert {uid(f) for f in world.hub.findings(record_state="ACTIVE")} == {world.cluster.uid}
    patch(world, mode="DryRun")
    world.await_condition("InSync", "False", reason="DryRun")
    done = person.run("retire", "alpha", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert world.hub.findings(record_state="ACTIVE") == []


def test_the_operator_was_uninstalled_first(world: World, person: DoctorCli) -> None:
    """The operator was removed before a MonitoredCluster with Archive, which stays Terminating: retire archives its
    findings and removes the finalizer; while Security Hub refuses some, the finalizer stays and the exit code is 1.
    """
    begin(world, "web", "api")
    world.until(lambda: world.monitored()["status"].get("clusterUid") == world.cluster.uid, "the uid")
    world.operator.stop()
    delete(world)
    counted = person.run("retire", "alpha")
    assert (counted.returncode, counted.stderr) == (0, "")
    assert "--yes archives 2 findings" in counted.stdout
    assert there(world)
    number = world.hub.fault("partial", operation="BatchImportFindings", share=0.5)
    refused = person.run("retire", "alpha", "--yes")
    assert refused.returncode == 1
    assert "1 finding archived." in refused.stdout
    assert "1 not archived: InternalFailure" in refused.stderr
    assert there(world)
    world.hub.clear_fault(number)
    done = person.run("retire", "alpha", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 finding archived." in done.stdout
    assert not there(world)
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_after_the_move_to_an_arn(world: World, person: DoctorCli) -> None:
    """A MonitoredCluster that was deleted and created again with clusterArn leaves the findings of its name: they are
    archived beside the new ones.
    """
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/alpha"
    left(world)
    world.monitor(clusterArn=arn)
    world.start()
    world.synced()
    world.until(lambda: len(world.of("left", cluster=arn)) == 3, "the findings of the new identity")
    world.until(lambda: world.monitored()["status"].get("clusterUid") == world.cluster.uid, "the uid")
    done = person.run("retire", "alpha", "--identity", "alpha", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 findings archived." in done.stdout
    assert set(world.states("left").values()) == {"ARCHIVED"}
    assert set(world.states("left", cluster=arn).values()) == {"ACTIVE"}


def test_without_the_operators_cluster(world: World, person: DoctorCli) -> None:
    """If the operator's cluster is gone too, a flag must say so, with the uid and the hub."""
    left(world)
    nowhere = person.kubeconfig(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "gone",
            "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "nobody"}}],
            "clusters": [{"name": "gone", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "nobody", "user": {"token": "none"}}],
        },
        "gone",
    )
    given = ["retire", "alpha", "--uid", world.cluster.uid, *PLACE, "--yes"]
    done = person.run(*given, kubeconfig=nowhere)
    assert done.returncode == 2
    assert "--without-cluster" in done.stderr
    done = person.run("retire", "alpha", "--without-cluster", kubeconfig=nowhere)
    assert done.returncode == 2
    assert "give --account-id and --region" in done.stderr
    assert set(world.states("left").values()) == {"ACTIVE"}
    done = person.run(*given, "--without-cluster", kubeconfig=nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_an_interrupted_run(world: World, person: DoctorCli) -> None:
    """If Security Hub stops answering, the run says so and ends with 2; the next run continues with the rest."""
    left(world)
    world.hub.fault("error500", operation="BatchImportFindings", count=1)
    given = ["retire", "alpha", "--uid", world.cluster.uid, *PLACE, "--yes"]
    done = person.run(*given)
    assert done.returncode == 2
    assert "run it again" in done.stderr
    assert "0 findings archived." in done.stdout
    kept_before = dict(world.states("left"))
    assert set(kept_before.values()) == {"ACTIVE"}
    assert person.run(*given).returncode == 0
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_archive_others_refuses_our_own_findings(world: World, person: DoctorCli) -> None:
    """`archive-others policyhub` archives nothing and names the right command."""
    left(world)
    for name in ("policyhub", "PolicyHub"):
        done = person.run("archive-others", name, *PLACE, "--yes")
        assert done.returncode == 2
        assert "policyhub retire CLUSTER" in done.stderr
    assert set(world.states("left").values()) == {"ACTIVE"}


def test_retire_beside_a_running_operator(world: World, person: DoctorCli) -> None:
    """While the operator archives and Security Hub refuses, retire can run at the same time."""
    begin(world, "web")
    world.until(lambda: world.monitored()["status"].get("clusterUid") == world.cluster.uid, "the uid")
    kept(world)
    world.hub.fault("error500", operation="BatchImportFindings", account=ACCOUNT)
    delete(world)
    world.await_condition("Ready", "False", reason="RetireFailed")
    world.hub.clear_faults()
    done = person.run("retire", "alpha", "--yes")
    gone = "there is no MonitoredCluster alpha" in done.stderr  # the operator was faster
    assert done.returncode == 0 or gone, done.stdout + done.stderr
    world.until(lambda: not there(world), "it to be gone")
    assert set(world.states("left").values()) == {"ARCHIVED"}


def test_a_monitoredcluster_that_was_never_connected(world: World, person: DoctorCli) -> None:
    """A deleted MonitoredCluster waits, and no operator ever learned its cluster's uid: without findings it is
    released; with findings their uid must be named.
    """
    begin(world, "web")
    world.until(lambda: world.monitored()["status"].get("clusterUid") == world.cluster.uid, "the uid")
    kept(world)
    world.operator.stop()
    world.cluster.request("PATCH", f"{CLUSTERS}/alpha/status", {"status": None})
    delete(world)
    done = person.run("retire", "alpha", "--yes")
    assert done.returncode == 2
    assert f"--uid {world.cluster.uid}" in done.stdout
    assert there(world)
    world.hub.reset()  # as after 90 days
    done = person.run("retire", "alpha", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert not there(world)
