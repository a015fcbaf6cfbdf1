"""A server that answers as another cluster each time. Nothing waits here: the requested waits are recorded."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.contact import ClusterReplaced
from policyhub.cluster.runner import FORMER, REPLACED_AFTER_MS, DataPlane
from policyhub.cluster.site import Site
from policyhub.metrics.definitions import Metrics
from policyhub.settings import Settings


class Rng:
    """Records the longest requested wait, and waits for none."""

    def __init__(self) -> None:
        self.longest: list[float] = []

    def uniform(self, _least: float, most: float) -> float:
        self.longest.append(most)
        return 0.0


class Changing(DataPlane):
    """Works on each cluster for as long as `lasts` says, then meets another one; ends after so many."""

    def __init__(self, lasts: list[int]) -> None:
        self.time = SteadyMs(1_790_000_000_000)
        self.rng = Rng()
        self.lasts = lasts
        spec: dict[str, Any] = {"connection": {"inCluster": {}}}
        status = {"clusterUid": "first"}
        site = Site(
            monitored=MonitoredCluster.model_validate({"metadata": {"name": "alpha"}, "spec": spec, "status": status}),
            account="111122223333",
            region="eu-west-1",
            hub=cast(Any, SimpleNamespace(partition="aws", product_arn="p")),
            engine=cast(
                Any,
                SimpleNamespace(hub_name="hub", problem=None, read_problem=None, wake=lambda: None, acknowledged=None),
            ),
            settings=Settings(),
            metrics=Metrics(CollectorRegistry()),
            now=lambda: self.time,
            wall=lambda: WallMs(int(self.time)),
            rng=cast(Any, self.rng),
        )
        super().__init__(site, connect=lambda: pytest.fail("nothing is connected here"))
        self._contact = cast(Any, SimpleNamespace(reach=self._reach))
        self.works = 0

    async def _reach(self) -> Any:
        if self.works == len(self.lasts):
            raise asyncio.CancelledError
        self.state.cluster_uid = f"uid-{self.works}"
        return None

    async def _work(self, connection: Any) -> None:
        self._feed()
        self.time += self.lasts[self.works]
        self.works += 1
        raise ExceptionGroup("as a task group does", [ClusterReplaced("another one")])


async def waits(lasts: list[int]) -> list[float]:
    plane = Changing(lasts)
    with pytest.raises(asyncio.CancelledError):
        await plane.run()
    return plane.rng.longest


async def test_successive_replacements_back_off() -> None:
    """Each costs a DescribeCluster and an inventory: a server that keeps changing its uid gets them at most once a
    minute.
    """
    assert await waits([0] * 9) == [2, 4, 8, 16, 32, 60, 60, 60, 60]


async def test_a_replacement_after_normal_work_is_immediate() -> None:
    """Clusters are rebuilt now and then: the new one is active within seconds."""
    assert await waits([0, 0, REPLACED_AFTER_MS, 0]) == [2, 4, 2, 4]


async def test_former_uids_are_bounded_and_the_first_are_kept() -> None:
    """A cluster that had findings before such a server stays known, so that its findings are a conflict as before."""
    plane = Changing([0] * (FORMER + 50))
    with pytest.raises(asyncio.CancelledError):
        await plane.run()
    assert len(plane._former) == FORMER
    assert {"first", "uid-0", "uid-1"} <= plane._former
