"""The maximum number of series per cluster, as docs/metrics.md states it, whatever names tenants use."""

import pytest
from prometheus_client import CollectorRegistry

from dev.metrics import CLUSTER_SERIES, SOURCE_SERIES, USUAL_SERIES
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.gauges import REWORDED, SERIES, SERIES_EACH, Gauges, SourceGauges
from policyhub.metrics.definitions import Metrics
from policyhub.model.engines import MAX_ENGINES
from policyhub.model.violation import SEVERITIES, SourceKey, Subject, Violation
from policyhub.sync.age_statistics import AgeStatistics
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger

NOW = SteadyMs(1_790_000_000_000)
SLA: dict[str, int] = dict.fromkeys(SEVERITIES, 7)
CONDITIONS = 11
HTTP = 4
"""The statuses' rejection codes, per process."""


def violations(policies: int, *, spaces: int) -> list[Violation]:
    return [
        Violation(
            source="kyverno",
            policy=f"p{number}",
            rule="r",
            subject=Subject("apps", "Deployment", f"n{number % spaces}", "web"),
            discriminator="",
            result="fail",
            severity=SEVERITIES[number % len(SEVERITIES)],
            category="",
            message="m",
        )
        for number in range(policies)
    ]


def fill(metrics: Metrics, cluster: str, *, policies: int, sources: int, engines: int) -> None:
    """Fill the metrics as the parts of a cluster do."""
    gauges = Gauges(metrics, cluster=cluster, hub="111122223333/eu-west-1", sla_days=SLA, clock=lambda: NOW)
    ledger = Ledger(cluster_id=cluster, cluster_uid="uid", default_severity="MEDIUM", on_dirty=lambda: None)
    ledger.observed.take_part("", [], now=NOW)
    spaces = max(1, 2 * policies // SERIES_EACH)
    for space in range(spaces):
        mine = [one for one in violations(policies, spaces=spaces) if one.subject.namespace == f"n{space}"]
        key = SourceKey("wgpolicyk8s.io", "policyreports", f"n{space}", "report")
        ledger.read(key, [(one, None) for one in mine], complete=True, passed=frozenset, now=NOW)
    census = AgeStatistics(sla_days=SLA, now=NOW, wall_clock=WallMs(int(NOW)), namespaces=False, shown=gauges.shown)
    for entry in ledger.entries.values():
        census.count(entry)
    gauges.count(census)
    gauges.findings(ledger, in_sync=True, sends=True, inventory=WallMs(int(NOW)))
    named = {f"engine{number}": 1 for number in range(engines)}
    seen = [
        SourceGauges(
            source_api=f"o{number}", last_listed=WallMs(int(NOW)), newest_by=named, constraint_kind=f"k{number}"
        )
        for number in range(sources)
    ]
    gauges.sources(seen, unknown=())
    for number in range(sources):
        for change in ("semantic", "none"):
            metrics.watch_events.labels(cluster, f"o{number}", change).inc()
        for reason in ("malformed-object", "malformed-result"):
            metrics.source_objects_malformed.labels(cluster, f"o{number}", reason).inc()
    if policies > SERIES:
        for reason in Hold:
            metrics.archives_held.labels(cluster, reason).set(1)
        for number in range(REWORDED):
            metrics.findings_reworded.labels(cluster, "kyverno", f"m{number}").set(1)
    metrics.set_conditions(cluster, [(f"c{number}", "True", "r") for number in range(CONDITIONS)])
    metrics.status_written.labels(cluster).set(1)
    for code in range(HTTP):
        metrics.status_write_failures.labels(cluster, str(code)).inc()


def count(clusters: int, **size: int) -> int:
    """Series that have the label `cluster`."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(clusters):
        fill(metrics, f"c{number}", **size)
    return sum("cluster" in sample.labels for family in registry.collect() for sample in family.samples)


def test_tenants_cannot_exceed_the_documented_series() -> None:
    """Many more policies than are shown, and the maximum of engines, in each of ten sources."""
    most = count(1, policies=SERIES + 1_500, sources=10, engines=MAX_ENGINES)
    stated = CLUSTER_SERIES + 10 * SOURCE_SERIES
    assert 0.9 * stated <= most <= stated


@pytest.mark.parametrize("clusters", [1, 200])
def test_an_ordinary_fleet_has_the_documented_series(clusters: int) -> None:
    """Thirty violated policies, six sources and two engines per cluster: the number grows with the clusters only."""
    found = count(clusters, policies=30, sources=6, engines=2)
    assert 0.9 * clusters * USUAL_SERIES <= found <= clusters * USUAL_SERIES
