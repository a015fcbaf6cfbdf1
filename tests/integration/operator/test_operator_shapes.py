"""Every API that the operator reads, on a cluster that serves all of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev import crds
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Identity, Subject
from tests.integration.operator.world import CLUSTERS, KINDS, World, constraint, report, result


def columns(world: World) -> dict[str, Any]:
    """What `kubectl get monitoredclusters -o wide` prints for the only one."""
    names, (cells,) = world.cluster.table(CLUSTERS, wide=True)
    return dict(zip(names, cells, strict=True))


def test_every_shape_becomes_exactly_its_findings(world: World) -> None:
    """Violations of all report kinds and of constraints become one finding each, passes none, in one call; the cluster
    is healthy, and the printer columns say so.
    """
    world.apply(
        report("web", result("run-as-nonroot", severity="high"), result("limits", result="pass")),
        report("web", result("run-as-nonroot", severity="high"), namespace="bank"),
        report("shop", result("quota", result="warn"), kind="ClusterPolicyReport"),
        report("api", result("probes", result="error"), result("limits", result="skip"), kind="Report"),
        report("bank", result("network-policy", severity="critical"), kind="ClusterReport"),
        constraint("repos", "pod-a", "pod-b", kind=KINDS[0]),
        constraint("labels", "pod-a", kind=KINDS[1]),
    )
    world.monitor()
    world.start()
    world.well()
    found = world.found(state="ACTIVE")
    assert {about: finding["Compliance"]["Status"] for about, finding in found.items()} == {
        ("kyverno", "run-as-nonroot", "check", "Deployment", "shop", "web"): "FAILED",
        ("kyverno", "run-as-nonroot", "check", "Deployment", "bank", "web"): "FAILED",
        ("kyverno", "quota", "check", "Namespace", "", "shop"): "WARNING",
        ("kyverno", "probes", "check", "Deployment", "shop", "api"): "NOT_AVAILABLE",
        ("kyverno", "network-policy", "check", "Namespace", "", "bank"): "FAILED",
        ("gatekeeper", "K8sAllowedRepos", "repos", "Pod", "shop", "pod-a"): "FAILED",
        ("gatekeeper", "K8sAllowedRepos", "repos", "Pod", "shop", "pod-b"): "FAILED",
        ("gatekeeper", "K8sRequiredLabels", "labels", "Pod", "shop", "pod-a"): "FAILED",
    }
    assert [call["findings"] for call in world.calls(operation="BatchImportFindings")] == [len(found)]
    for type_ in ("Connected", "HubReachable", "SourcesComplete"):
        assert world.condition(type_)["status"] == "True"
    assert world.condition("IdentityConflict")["status"] == "False"
    severities = [finding["Severity"]["Label"] for finding in found.values()]
    shown = columns(world)
    assert shown.pop("Age")
    assert shown.pop("Heartbeat")
    assert shown.pop("UID") == world.cluster.uid
    assert shown == {
        "Name": "alpha",
        "Ready": "True",
        "Reason": "AuditStale",  # the samples were recorded long ago
        "InSync": "True",
        "Engines": "False",
        "Active": len(found),
        "Critical": severities.count("CRITICAL"),
        "High": severities.count("HIGH"),
        "Open": len(found),
        "Notified": 0,
        "Suppressed": 0,
        "PastSLA": 0,
        "Pending": 0,
        "Held": 0,
        "Connected": "True",
        "Medium": 4,
        "Low": 1,
        "Informational": 0,
        "Account": "111122223333",
        "Region": "eu-west-1",
        "Mode": "Sync",
        "Identity": "alpha",
        "Message": world.condition("Ready")["message"],
    }


def serve(world: World, *served: str) -> None:
    """Serve only these of the two versions of wgpolicyk8s.io; v1alpha2 is the stored version either way."""
    documents = crds.policy_reports("v1alpha2", "v1beta1")
    for document in documents:
        for version in document["spec"]["versions"]:
            version["served"] = version["name"] in served
    world.cluster.apply(documents)


@pytest.fixture
def versions(world: World) -> Iterator[World]:
    """A cluster whose served versions of wgpolicyk8s.io can change."""
    yield world
    serve(world, "v1alpha2", "v1beta1")
    world.clear()  # while all versions are served: an object of v1beta1 can only be deleted with that version
    world.cluster.apply(crds.policy_reports())


def test_one_version_of_each_group_is_read(versions: World) -> None:
    """v1beta1 is read if it is the only served version; when v1alpha2 is added it is read instead: each violation stays
    the same finding, with a version-independent id, and its end is still seen.
    """
    world = versions
    serve(world, "v1beta1")
    world.apply(
        report("web", result("run-as-nonroot"), version="wgpolicyk8s.io/v1beta1"),
        report("shop", result("quota"), kind="ClusterPolicyReport", version="wgpolicyk8s.io/v1beta1"),
    )
    world.monitor(archiveDelay="1s")
    world.start()
    world.synced()
    assert {finding["Id"] for finding in world.found(state="ACTIVE").values()} == {
        finding_id(
            "alpha", Identity("kyverno", "run-as-nonroot", "check", Subject("apps", "Deployment", "shop", "web"), "")
        ),
        finding_id("alpha", Identity("kyverno", "quota", "check", Subject("", "Namespace", "", "shop"), "")),
    }
    mark = world.mark()
    serve(world, "v1alpha2", "v1beta1")
    world.until(lambda: read_versions(world) == {"v1alpha2"}, "v1alpha2 to be read")
    world.synced()
    world.apply(report("web", result("run-as-nonroot", result="pass")))
    world.await_states("run-as-nonroot", web="ARCHIVED")
    assert [entry["outcome"] for entry in world.journal(mark)] == ["archived"]


def read_versions(world: World) -> set[str]:
    sources = world.monitored()["status"].get("sources", ())  # none during a reconnect
    return {source["resource"].split(".")[1] for source in sources if source["resource"].endswith(".wgpolicyk8s.io")}
