"""The environment of the tables that need a cluster: a real API server with reports, the local hub, one operator.

An `Environment` knows how many findings there should be, and each table brings it into its initial state.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dev import crds, testbed
from dev.cluster import Cluster, Plane
from dev.hub.process import HubProcess
from tests.bench import load, shape

PACE = "for comparison: ten million additions in Python"

Rows = list[tuple[str, str]]
Document = dict[str, Any]

CLUSTER = "bench"
EXTRA = 5_000_000
"""Numbers of the fresh reports."""


class BenchError(Exception):
    """The system was not in the expected state, so the figures would be meaningless."""


@dataclass(frozen=True)
class Size:
    """The size of each table."""

    reports: int = 50_000
    failing: int = 2
    limits: tuple[int, ...] = (500, 3_000)
    """Reports of the limit table, in ascending order; the tables sync and restart use the last one."""
    small: int = 5_000
    """Reports of the memory table's middle row."""
    samples: int = 120
    """Samples per latency."""
    spacing: float = 0.8
    """Seconds between two samples, on average."""
    million: int = 500_000
    """Reports of the stand-in, with `failing` failing results each."""
    passing: int = 200_000
    """Reports of the stand-in without a violation."""
    pods: int = 50_000
    """Pods of the stand-in, ten per Deployment."""
    fleet: tuple[int, ...] = (1, 10, 50, 200)
    """Clusters of one operator."""
    fleet_reports: int = 25
    """Reports of each cluster."""
    bad: tuple[str, ...] = (
        *("none", "drip", "wide", "endless", "gzip", "giant", "huge", "flood", "silent", "refused", "none"),
    )
    """Good clusters beside the bad one; each is used once, to exclude differences between them."""
    steps: int = 5_000
    """Reports of the steps table."""
    idle: float = 15.0
    """Seconds for which the idle operator is measured."""
    silence: float = 5.0
    """Seconds after a rewrite: a call for it would come within one."""
    poll: float = 1.0
    """Seconds between two polls: the operator pays for each, and its CPU is measured."""
    minutes: float = 20
    """The longest wait for any single condition."""

    @property
    def violations(self) -> int:
        return self.reports * self.failing


FULL = Size()
QUICK = Size(
    reports=3_000,
    small=500,
    samples=20,
    spacing=0.3,
    million=10_000,
    passing=4_000,
    pods=5_000,
    fleet=(1, 10),
    bad=("none", "gzip", "giant", "flood"),
    steps=500,
    idle=5,
    minutes=3,
)
"""The same tables in about three minutes."""


@dataclass(frozen=True)
class Usage:
    """Resource use of a process: memory now and peak (MiB), and CPU so far (seconds)."""

    rss: float
    peak: float
    cpu: float
    wall: float = 0.0


LATE_SECONDS = 5.0


@dataclass
class Environment:
    size: Size
    installed: testbed.Installed
    hub: HubProcess
    rows: Rows = field(default_factory=list)
    loaded: int = 0
    """Reports in the API server, without the fresh ones."""
    extra: int = 0
    """Fresh reports with one violation each."""
    operator: testbed.Operator | None = None
    without_quotas: dict[int, "Usage"] = field(default_factory=dict)
    """The resource use of a start without quotas, by the number of violations."""

    @property
    def cluster(self) -> Cluster:
        return self.installed.cluster

    @property
    def expected(self) -> int:
        """The number of findings that the hub should have."""
        return self.loaded * self.size.failing + self.extra

    def row(self, what: str, figure: str) -> None:
        self.rows.append((what, figure))
        log(f"  {what}: {figure}")

    def fill(self, reports: int) -> None:
        """Write reports until the API server has at least this many."""
        if self.loaded >= reports:
            return
        log(f"writing {reports - self.loaded} reports")
        started = time.monotonic()
        second = int(time.time())
        new = range(self.loaded, reports)
        load.create(self.cluster, (shape.report(n, failing=self.size.failing, second=second) for n in new))
        log(f"  {len(new) / (time.monotonic() - started):,.0f} reports/s")
        self.loaded = reports

    def start(self, *, quotas: bool) -> testbed.Operator:
        """Start a new operator; without quotas neither the hub nor the operator limits the rate."""
        self.end()
        self.hub.quotas(on=quotas)
        if not self.active():
            as_new(self.installed)
        installed = self.installed if quotas else without_pace(self.installed)
        self.operator = testbed.Operator(installed, self.hub)
        return self.operator.start()

    def end(self) -> None:
        """Kill the operator, if one runs."""
        if self.operator is not None:
            self.operator.kill()
            self.operator = None

    def synced_operator(self) -> testbed.Operator:
        """An operator in sync with all reports, with quotas; missing findings are sent without quotas first."""
        self.fill(self.size.reports)
        if self.operator is None:
            if self.active() < self.expected:
                self.synced(self.start(quotas=False))
            self.synced(self.start(quotas=True))
        assert self.operator is not None
        return self.operator

    def synced(self, operator: testbed.Operator) -> float:
        """Wait until everything is in sync; returns the seconds. Raises BenchError if the hub has too few or too many
        findings.
        """
        took = self.until(lambda: in_sync(operator), "in sync")
        try:  # a recent write may not have reached the operator yet, although it reports in sync
            testbed.until(lambda: self.active() == self.expected, seconds=LATE_SECONDS, what="the last findings")
        except testbed.OperatorError as error:
            raise BenchError(f"{self.active()} active findings where {self.expected} should be") from error
        return took

    def until(self, holds: Callable[[], bool], what: str, *, every: float | None = None) -> float:
        seconds, every = self.size.minutes * 60, self.size.poll if every is None else every
        return testbed.until(holds, seconds=seconds, what=what, operator=self.operator, every=every)

    def active(self) -> int:
        return int(self.hub.stats()["record_states"].get("ACTIVE", 0))

    def calls(self, operation: str) -> int:
        return sum(self.hub.stats()["calls"].get(operation, {}).values())

    def redundant(self) -> int:
        return int(self.hub.stats()["redundant"])


def as_new(installed: testbed.Installed) -> None:
    """Create the MonitoredCluster again: otherwise missing findings would wait a minute for a second look-up, because
    another operator has worked on it, and that is not measured here.
    """
    cluster = installed.cluster
    [path] = [cluster.path(d) for d in installed.documents if d["kind"] == "MonitoredCluster"]
    stored = cluster.request("GET", path)
    cluster.request("DELETE", path)
    cluster.apply(
        [
            {
                "apiVersion": stored["apiVersion"],
                "kind": stored["kind"],
                "metadata": {"name": stored["metadata"]["name"]},
                "spec": stored["spec"],
            }
        ]
    )


def usage(operator: testbed.Operator) -> Usage:
    rss, cpu = operator.usage()
    status = Path(f"/proc/{operator._running().pid}/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return Usage(rss=rss, peak=peak / 1024, cpu=cpu)


def pace() -> str:
    """How much work a second of CPU does here and now: less if other processes share the caches."""
    started, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return f"{time.process_time() - started:.2f} s"


def in_sync(operator: testbed.Operator) -> bool:
    return operator.metric("policyhub_in_sync") == 1


def without_pace(installed: testbed.Installed) -> testbed.Installed:
    """The chart with another start command."""
    container = {**installed.container, "command": ["python", "-m", "tests.bench.unbound"]}
    documents = []
    for document in installed.documents:
        if document["kind"] == "Deployment":
            spec = document["spec"]
            pod = {**spec["template"]["spec"], "containers": [container]}
            document = {**document, "spec": {**spec, "template": {**spec["template"], "spec": pod}}}  # noqa: PLW2901  (a changed copy)
        documents.append(document)
    return replace(installed, documents=documents)


@contextmanager
def open_environment(plane: Plane, size: Size, *, name: str = CLUSTER) -> Iterator[Environment]:
    """A cluster with the chart and the report CRDs, and a hub."""
    with HubProcess.start() as hub, tempfile.TemporaryDirectory() as folder:
        cluster = plane.cluster(name)
        values = {"monitoredCluster": {"spec": {"archiveDelay": "5s"}}}
        installed = testbed.install(cluster, Path(folder), values=values, progress=log)
        cluster.apply([*crds.policy_reports(), *shape.namespaces()])
        env = Environment(size, installed, hub)
        try:
            yield env
        finally:
            env.end()


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
