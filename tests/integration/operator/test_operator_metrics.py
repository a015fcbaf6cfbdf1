"""Analysts' triage in Security Hub and overdue findings, as the cluster's admins see them."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from typing import Any

from tests.integration.operator.world import CLUSTERS, World, report, result

DAY = 86_400


def findings(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run(world, "findings", *arguments)


def run(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`policyhub` with the operator's own service account and credentials."""
    environment = {**os.environ, **world.hub.env(), "KUBECONFIG": str(world.installed.kubeconfig())}
    return subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-m", "policyhub", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_triage_and_deadlines_are_visible_in_the_cluster(world: World) -> None:
    """Findings that an analyst has notified or suppressed are counted so in the status, its columns and the metrics
    once they were read; findings older than their severity allows are past their SLA, unless suppressed.
    """
    old: dict[str, Any] = {"severity": "high", "timestamp": {"seconds": int(time.time()) - 40 * DAY, "nanos": 0}}
    world.monitor(slaDays={"high": 30})
    world.apply(*(report(name, result("old", **old)) for name in ("a", "b", "c")), report("d", result("fresh")))
    first = world.start()
    world.synced()
    world.until(lambda: len(world.found(state="ACTIVE")) == 4, "the findings")
    found = world.of("old")
    world.hub.analyst([found["a"]["Id"]], workflow="SUPPRESSED")
    world.hub.analyst([found["b"]["Id"]], workflow="NOTIFIED", Severity={"Label": "CRITICAL"})
    first.stop()

    operator = world.start()
    expected = {"open": 2, "notified": 1, "suppressed": 1, "resolved": 0, "pastSla": 2, "active": 4}

    def shown_in_status() -> bool:
        findings = world.monitored().get("status", {}).get("findings", {})
        return bool(expected.items() <= findings.items() and findings.get("triageRead"))

    world.until(shown_in_status, f"the status to have {expected}")
    hub = {"cluster": "alpha", "hub": "111122223333/eu-west-1"}
    assert operator.metric("policyhub_findings", **hub, workflow_status="SUPPRESSED", severity="HIGH") == 1
    assert operator.metric("policyhub_findings", **hub, workflow_status="NOTIFIED", severity="CRITICAL") == 1
    assert operator.metric("policyhub_findings", **hub, workflow_status="NEW") == 2
    assert operator.metric("policyhub_violations_past_sla", cluster="alpha", severity="HIGH") == 1
    assert operator.metric("policyhub_violations_past_sla", cluster="alpha", severity="CRITICAL") == 1
    assert abs(operator.metric("policyhub_inventory_timestamp_seconds", **hub) - time.time()) < 120
    world.await_condition("Ready", "True")
    world.until(
        lambda: operator.metric("policyhub_condition", cluster="alpha", condition="Ready", status="True") == 1,
        "the metric of the condition",
    )

    table = findings(world, "alpha").stdout
    assert table.endswith("4 findings: 2 NEW, 1 NOTIFIED, 1 SUPPRESSED; 2 past their SLA\n")
    overdue = json.loads(findings(world, "alpha", "--past-sla", "-o", "json").stdout)
    assert [(one["name"], one["severity"], one["status"]) for one in overdue] == [
        ("b", "CRITICAL", "NOTIFIED"),
        ("c", "HIGH", "NEW"),
    ]
    suppressed = findings(world, "--status", "suppressed", "-o", "csv").stdout
    assert [one["name"] for one in csv.DictReader(io.StringIO(suppressed))] == ["a"]
    unknown = findings(world, "gamma")
    assert unknown.returncode == 1
    assert unknown.stderr == "policyhub: there is no MonitoredCluster gamma (existing: alpha)\n"

    fares(world)
    operator.stop()
    long_ago = {"status": {"lastHeartbeatTime": "2020-01-01T00:00:00Z"}}
    world.cluster.request("PATCH", f"{CLUSTERS}/alpha/status", long_ago)
    silent = run(world, "clusters", "-o", "wide")
    assert silent.returncode == 1
    assert "StatusStale" in silent.stdout
    assert "the operator does not run" in silent.stdout


def fares(world: World) -> None:
    """`policyhub clusters` prints the status; its exit code says whether all clusters are healthy."""
    fleet = run(world, "clusters")
    assert fleet.returncode == 0, fleet.stdout + fleet.stderr
    assert fleet.stdout.endswith("1 cluster: 1 healthy, 0 not healthy\n")
    (line,) = json.loads(run(world, "clusters", "alpha", "-o", "json").stdout)
    seen = world.monitored()["status"]["findings"]
    assert {name: line[name] for name in ("critical", "high", "medium")} == {"critical": 0, "high": 3, "medium": 1}
    assert {name: seen[name] for name in ("critical", "high", "medium")} == {"critical": 0, "high": 3, "medium": 1}
    assert (line["account"], line["region"], line["in_sync"]) == ("111122223333", "eu-west-1", "True")
    assert line["last_listed"]
    unknown = run(world, "clusters", "gamma")
    assert unknown.returncode == 2
    assert unknown.stderr == ("policyhub: there is no MonitoredCluster gamma. Existing: alpha\n")
