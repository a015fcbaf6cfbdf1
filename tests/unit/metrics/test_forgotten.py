"""A released MonitoredCluster leaves no series, in whatever kind of metric."""

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from policyhub.control.reporter import Watched
from policyhub.metrics.ages import Ages
from policyhub.metrics.definitions import Metrics
from tests.component.control.test_reporter import Stand
from tests.component.control.test_supervisor import Home, body, labelled, settle, supervisor


def clusters(registry: CollectorRegistry) -> set[str]:
    """Every cluster that any series names."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {sample.labels["cluster"] for sample in samples if "cluster" in sample.labels}


def test_no_metric_keeps_a_cluster() -> None:
    """With one series in each metric that has a cluster: none remains of the released one, all of the other."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    found = [value for value in vars(metrics).values() if isinstance(value, Gauge | Counter | Histogram)]
    of_clusters = [metric for metric in found if "cluster" in metric._labelnames]
    documented = {definition.name for definition in metrics.definitions if "cluster" in definition.labels}
    for name in ("alpha", "beta"):
        for metric in of_clusters:
            metric.labels(**{label: name if label == "cluster" else "x" for label in metric._labelnames})
        metrics.violation_age.set(name, {"HIGH": Ages((0,) * 11, 0.0)})
    assert len(of_clusters) + 1 == len(documented)
    metrics.forget_status("alpha")
    assert clusters(registry) == {"beta"}


@pytest.mark.parametrize("end", ["deleted", "handed over"])
async def test_an_unconnected_cluster_leaves_nothing(end: str) -> None:
    """It had no data plane: its conditions were in the metric, and go with it."""
    watcher = supervisor(Home(), select="shard=a")
    watched = labelled("a", archiveDelay="soon")
    await watcher.observe(watched)
    reporting = asyncio.create_task(watcher.report())
    await settle()
    assert clusters(watcher._metrics.registry) == {"alpha"}
    if end == "deleted":
        await watcher.forget("alpha", "1")
    else:
        await watcher.observe(body())
    await settle()
    assert clusters(watcher._metrics.registry) == set()
    reporting.cancel()


async def test_nothing_is_written_for_a_cluster_released_in_the_same_round() -> None:
    """While one status was written, another MonitoredCluster was released: it is neither written nor counted."""
    made = Stand()
    other = Watched(name="beta", uid="2", intent=None, generation=1, conditions={})
    other.fault = made.watched.fault
    watched = cast("dict[str, Any]", made.reporter._watched)
    watched["beta"] = other

    def leave(_: dict[str, Any]) -> None:
        watched.pop("beta", None)

    made.home.answer = leave
    reporting = asyncio.create_task(made.reporter.run())
    await settle()
    reporting.cancel()
    assert made.home.tried == 1
    assert clusters(made.registry) == {"alpha"}
