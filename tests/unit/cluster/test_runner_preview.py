"""What a data plane waits for after another process has sent findings, by its mode."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.site import Site
from policyhub.metrics.definitions import Metrics
from policyhub.settings import Settings
from policyhub.sync.predecessor import Predecessor

WALL = WallMs(1_790_000_000_000)


def plane(mode: str) -> DataPlane:
    """After a process that was active a moment ago."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "AllWell",
        "message": "m",
        "lastTransitionTime": "2026-09-01T00:00:00Z",
    }
    body = {
        "metadata": {"name": "alpha"},
        "spec": {"connection": {"inCluster": {}}, "mode": mode},
        "status": {"clusterUid": "u", "conditions": [condition]},
    }
    engine = SimpleNamespace(hub_name="hub", problem=None, read_problem=None, wake=lambda: None, acknowledged=None)
    site = Site(
        monitored=MonitoredCluster.model_validate(body),
        account="111122223333",
        region="eu-west-1",
        hub=cast(Any, SimpleNamespace(partition="aws", product_arn="p")),
        engine=cast(Any, engine),
        settings=Settings(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: SteadyMs(1),
        wall=lambda: WALL,
        rng=cast(Any, None),
        predecessor=Predecessor(started=WALL, renewed=WALL),
    )
    made = DataPlane(site, connect=lambda: pytest.fail("nothing is connected here"))
    made.state.cluster_uid = "u"
    return made


@pytest.mark.parametrize(("mode", "waits"), [("Sync", True), ("NoArchive", True), ("DryRun", False)])
def test_a_preview_waits_for_no_second_read(mode: str, *, waits: bool) -> None:
    """It sends nothing, and it would report meanwhile that mode Sync would send nothing."""
    progress = plane(mode)._feed().ledger.observed.progress
    assert (progress.second_read.due, progress.recheck_backlog) == (waits, waits)
