"""How much memory of the operator a violation takes, and a report without one.

Up to 100,000 violations come from a real API server and go to the local hub. A million come from a stand-in for an API
server (standin.py) and go to a hub that acknowledges them and keeps none (sink.py): etcd and the local hub would need
more memory than everything else. The operator is the same process and cannot notice it.
"""

import base64
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import testbed
from dev.cluster import Plane, kubeconfig
from dev.hub.process import HubProcess
from tests.bench import sink, standin
from tests.bench.environment import (
    BenchError,
    Environment,
    Rows,
    Size,
    Usage,
    as_new,
    in_sync,
    log,
    usage,
    without_pace,
)
from tests.bench.one_operator import without_quotas

HOME = "bench-home"
SECRET = {"namespace": testbed.NAMESPACE, "name": "standin"}
OWNERS = ("/api/v1/pods", "/apis/apps/v1/replicasets", "/apis/batch/v1/jobs")
GOAL_BASE, GOAL_EACH = 120.0, 1.2
"""MiB for the base, and kB per violation."""


def memory(env: Environment) -> None:
    """With a real API server, and a new operator each time."""
    size = env.size
    for reports in (0, size.small, size.reports):
        if env.loaded <= reports:
            without_quotas(env, reports)
    before: tuple[int, Usage] | None = None
    for violations, used in sorted(env.without_quotas.items()):
        env.row(f"{violations:,} violations in {violations // size.failing:,} reports", per_violation(used, violations))
        if before is not None and before[0]:
            env.row("from there on, a violation more", each(used, violations, *before))
        before = violations, used


def per_violation(used: Usage, violations: int) -> str:
    goal = GOAL_BASE + violations * GOAL_EACH * 1000 / 2**20
    return f"{used.rss:.0f} MiB (goal: {goal:.0f}), at most {used.peak:.0f} on the way"


def each(used: Usage, violations: int, fewer: int, before: Usage) -> str:
    return f"{(used.rss - before.rss) * 2**20 / (violations - fewer) / 1000:.2f} kB"


class StandInClusters:
    """Operators with a stand-in as their only monitored cluster."""

    def __init__(self, installed: testbed.Installed, hub: HubProcess, size: Size) -> None:
        self._installed = installed
        self._hub = hub
        self._size = size

    @contextmanager
    def synced(
        self, *, reports: int, failing: int, wide: bool = False, pods: int = 0
    ) -> Iterator[tuple[testbed.Operator, str]]:
        """An operator in sync with this many reports, and the stand-in's URL."""
        log(f"a stand-in with {reports:,} reports, {failing} results of each failing")
        with standin.running(reports=reports, failing=failing, wide=wide, pods=pods) as address:
            refer(self._installed, address)
            as_new(self._installed)
            before = self._taken()
            with testbed.Operator(without_pace(self._installed), self._hub) as operator:
                operator.start()
                self._until(operator, lambda: in_sync(operator), "in sync")
                took = self._taken() - before
                if took != reports * failing:
                    raise BenchError(f"{took} findings sent where {reports * failing} should be")
                try:
                    yield operator, address.url
                finally:
                    operator.kill()

    def watched(self, operator: testbed.Operator, url: str) -> dict[str, int]:
        """When Pods and their owners are watched: the stand-in's request counts by path."""

        def owners() -> dict[str, int]:
            return {what: number for what, number in standin.asked(url).items() if what.endswith(OWNERS)}

        self._until(operator, lambda: sum(what.startswith("watch") for what in owners()) == len(OWNERS), "the owners")
        return owners()

    def rewritten(self, operator: testbed.Operator, url: str, reports: int) -> float:
        """CPU seconds that the operator takes when all reports are rewritten as fast as it reads."""
        before = self._taken()
        seen = operator.metric("policyhub_watch_events_total", change="none")
        cpu = usage(operator).cpu
        if standin.rewrite(url, second=int(time.time())) != 1:
            raise BenchError("not one watch is open")
        self._until(
            operator,
            lambda: operator.metric("policyhub_watch_events_total", change="none") >= seen + reports,
            "the rewrites to be seen",
        )
        cpu = usage(operator).cpu - cpu
        if self._taken() != before:
            raise BenchError("findings were sent for rewrites without a change")
        return cpu

    def _until(self, operator: testbed.Operator, holds: Callable[[], bool], what: str) -> None:
        testbed.until(holds, seconds=self._size.minutes * 60, what=what, operator=operator, every=self._size.poll)

    def _taken(self) -> int:
        return int(self._hub.stats()["record_states"]["ACTIVE"])


def refer(installed: testbed.Installed, address: standin.Address, *, names: Iterable[str] = ("kubeconfig",)) -> None:
    """Write the kubeconfig Secret for the stand-in, with each of these keys for a cluster of its own."""
    data = {}
    for name in names:
        config = kubeconfig.with_token(name="standin", url=address.api, ca=address.ca, token=name)
        data[name] = base64.b64encode(json.dumps(config).encode()).decode()
    installed.cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": SECRET, "data": data}])


@contextmanager
def stand_in_clusters(plane: Plane, size: Size) -> Iterator[StandInClusters]:
    """A home cluster whose only MonitoredCluster is a stand-in."""
    with sink.start() as hub, tempfile.TemporaryDirectory() as folder:
        cluster = plane.cluster(HOME)
        values = {"kubeconfigSecrets": [SECRET]}
        installed = testbed.install(cluster, Path(folder), values=values, progress=log)
        monitored = next(d for d in installed.documents if d["kind"] == "MonitoredCluster")
        path = cluster.path(monitored)
        cluster.request("DELETE", path)
        connection = {"kubeconfigSecretRef": SECRET}
        cluster.apply([{**monitored, "spec": {**monitored["spec"], "connection": connection}}])
        yield StandInClusters(installed, hub, size)


class Table(Rows):
    def row(self, what: str, figure: str) -> None:
        self.append((what, figure))
        log(f"  {what}: {figure}")


def rollup(plane: Plane, size: Size) -> Rows:
    """With a stand-in: the cost of watching Pods and their owners."""
    table = Table()
    used = []
    with stand_in_clusters(plane, size) as operators:
        for pods in (0, size.pods):
            with operators.synced(reports=0, failing=0, pods=pods) as (operator, url):
                asked = operators.watched(operator, url)
                used.append(usage(operator))
                what = f"{pods:,} Pods of {pods // standin.REPLICAS:,} Deployments"
                table.row(what, f"{used[-1].rss:.0f} MiB, at most {used[-1].peak:.0f}; {used[-1].cpu:.1f} s of CPU")
        few, many = used
        table.row("they take", f"{many.rss - few.rss:.0f} MiB, {many.cpu - few.cpu:.1f} s of CPU")
        table.row("requests for them", ", ".join(f"{number} {_short(what)}" for what, number in asked.items()))
    return table


def million(plane: Plane, size: Size) -> Rows:
    """With a stand-in: memory of a million violations, of passing reports, and rewrites at full speed."""
    rows = Table()
    row = rows.row
    with stand_in_clusters(plane, size) as operators:
        for reports in (0, size.passing):
            with operators.synced(reports=reports, failing=0) as (operator, _):
                row(f"{reports:,} reports without a violation", per_violation(usage(operator), 0))
        some: dict[int, Usage] = {}
        for reports in (size.million // 10, size.million):
            number = reports * size.failing
            with operators.synced(reports=reports, failing=size.failing) as (operator, _):
                some[number] = usage(operator)
                row(f"{number:,} violations in {reports:,} reports", per_violation(some[number], number))
        (fewer, before), (number, used) = some.items()
        row("from there on, a violation more", each(used, number, fewer, before))
        row("CPU from the start to in sync, findings/s a core", f"{used.cpu:,.0f} s, {number / used.cpu:,.0f}")
        for wide in (False, True):
            what = "30 results, 13 kB" if wide else "5 results, 1.7 kB"
            with operators.synced(reports=size.reports, failing=size.failing, wide=wide) as (operator, url):
                cpu = operators.rewritten(operator, url, size.reports)
                row(f"rewrite of {size.reports:,} reports of {what}", f"{size.reports / cpu:,.0f} reports/s a core")
    return rows


def _short(what: str) -> str:
    """`list pods` of `list /api/v1/pods`."""
    verb, _, path = what.partition(" ")
    return f"{verb} {path.rpartition('/')[2]}"
