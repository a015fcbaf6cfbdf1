"""Statuses that are difficult to write on a real API server: long names, and a CRD that rejects fields."""

import copy
from collections.abc import Iterator

import pytest

from dev.cluster import CRDS, ApiError
from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import Document, World, report, result

CRD = f"{CRDS}/monitoredclusters.policyhub.dev"
LOST = 20
"""This many losses of one engine at once are held, and the status has its name."""


def schema_of(crd: Document) -> Document:
    status: Document = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return status


@pytest.fixture
def older(world: World) -> Iterator[World]:
    """The CRD may be changed; it is restored."""
    before = world.cluster.request("GET", CRD)
    yield world
    put(world, schema_of(before))


def put(world: World, status: Document) -> None:
    """Replace the status' schema; retried after a write conflict on the CRD."""
    for _ in range(5):
        crd = world.cluster.request("GET", CRD)
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = status
        try:
            world.cluster.request("PUT", CRD, crd)
        except ApiError as error:
            if error.status != 409:
                raise
        else:
            return
    raise AssertionError("the CRD changes all the time")


def test_an_engine_name_of_33000_characters(world: World) -> None:
    """A tenant's report with such a name does not block the status: what the status has about that engine is cut, and
    later problems are reported as usual.
    """
    long = "!" + "x" * 33_000
    names = [f"n{number}" for number in range(LOST)]
    reports = [report(name, result("p", source=long), namespace="team-a") for name in names]
    world.apply(*(workload("Deployment", name, namespace="team-a") for name in names))
    world.apply(report("web", result("limits")), *reports)
    world.monitor(archiveDelay="1s")
    world.start()
    world.synced()
    assert len(world.of("p")) == LOST
    world.delete(*reports)
    held = world.await_condition("ArchiveHeld", "True")
    assert 100 < len(held["message"]) <= 4096
    world.hub.fault("access_denied", operation="BatchImportFindings", count=100_000)
    world.apply(report("later", result("limits")))
    world.await_condition("HubReachable", "False", reason="AccessDenied")
    world.await_condition("Ready", "False", reason="AccessDenied")
    world.hub.clear_faults()
    world.await_condition("Ready", "True")
    assert not any(line.get("event") in {"status_failed", "status_not_written"} for line in world.operator.log())


def test_a_status_that_the_api_server_rejects(older: World) -> None:
    """If the CRD accepts less than the operator writes, the status and the metric report the failure; with the right
    CRD it recovers without a restart. Findings are sent meanwhile.
    """
    world = older
    world.apply(report("web", result("limits")))
    world.monitor()
    world.start()
    world.well()
    narrow = copy.deepcopy(schema_of(world.cluster.request("GET", CRD)))
    right = copy.deepcopy(narrow)
    narrow["properties"]["sources"]["maxItems"] = 0
    put(world, narrow)
    world.apply(report("next", result("limits")))
    failed = world.await_condition("Ready", "False", reason="StatusFailed")
    assert "422" in failed["message"]
    assert world.condition("InSync")["status"] == "Unknown"
    assert world.operator.metric("policyhub_condition", cluster="alpha", condition="Ready", reason="StatusFailed") == 1
    assert world.operator.metric("policyhub_status_write_failures_total", cluster="alpha", reason="422") >= 1
    world.await_states("limits", web="ACTIVE", next="ACTIVE")
    assert world.monitored()["status"]["hub"]["region"]  # the most important fields stay
    put(world, right)
    world.await_condition("Ready", "True", reason="AllWell")
    world.until(
        lambda: world.operator.metric("policyhub_condition", condition="Ready", reason="StatusFailed") == 0,
        "the metric to be right again",
    )
