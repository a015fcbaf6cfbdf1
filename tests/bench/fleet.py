"""What each cluster costs an operator with many clusters: memory, connections, calls and metric series, for one to 200
clusters.

One stand-in for an API server (standin.py) plays all clusters. It serves `KINDS` kinds of constraints besides reports,
Pods and their owners, so that each cluster has as many watches as one with Kyverno and Gatekeeper. The findings go to
the local hub, with its quotas, as `REGIONS`: one hub each, which the clusters share in turn.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from dev import testbed
from dev.cluster import Plane
from dev.hub.process import HubProcess
from policyhub.securityhub.batch import MAX_FINDINGS
from policyhub.securityhub.rate_limit import IMPORTS, READS, SHARE, Quota
from tests.bench import standin
from tests.bench.environment import BenchError, Document, Rows, Size, log, usage
from tests.bench.memory import GOAL_EACH, SECRET, Table, refer

HOME = "bench-fleet"
KINDS = 17
POLLED = 20
"""Clusters per second between two polls."""
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-southeast-1", "ap-southeast-2")


@dataclass(frozen=True)
class Measured:
    """Of an operator with this many clusters in sync."""

    clusters: int
    rss: float
    """MiB."""
    cpu: float
    seconds: float
    sockets: int
    series: int
    imports: int
    reads: int


def fleet(plane: Plane, size: Size) -> Rows:
    """Start one operator after the other, each with more clusters."""
    table = Table()
    with (
        HubProcess.start(regions=REGIONS) as hub,
        tempfile.TemporaryDirectory() as folder,
        standin.running(reports=size.fleet_reports, failing=size.failing, kinds=KINDS) as address,
    ):
        installed = testbed.install(plane.cluster(HOME), Path(folder), values={"kubeconfigSecrets": [SECRET]})
        refer(installed, address, names=[_name(number) for number in range(max(size.fleet))])
        [own] = [d for d in installed.documents if d["kind"] == "MonitoredCluster"]
        installed.cluster.request("DELETE", installed.cluster.path(own))
        each = size.fleet_reports * size.failing
        none: Measured | None = None
        one: Measured | None = None
        for number in (0, *size.fleet):
            log(f"{number} clusters")
            hub.reset()
            with clusters(installed, number), testbed.Operator(installed, hub) as operator:
                found = measured(operator, hub, size, number)
                operator.kill()
            if none is None:
                none = found
                table.row("no cluster", f"{found.rss:.0f} MiB, {found.series:,} series, {found.cpu:.1f} s of CPU")
            else:
                one = one or found
                add_rows(table, found, none, one, each=each)
    return table


@contextmanager
def clusters(installed: testbed.Installed, number: int) -> Iterator[None]:
    """Replace all MonitoredClusters by this many new ones."""
    home = installed.cluster
    [model] = [d for d in installed.documents if d["kind"] == "MonitoredCluster"]
    made = [_monitored(model, n) for n in range(number)]
    home.apply(made)
    try:
        yield
    finally:
        for document in made:
            home.request("DELETE", home.path(document))


def _monitored(model: Document, number: int) -> Document:
    hub = {"accountId": testbed.ACCOUNT, "region": REGIONS[number % len(REGIONS)]}
    connection = {"kubeconfigSecretRef": {**SECRET, "key": _name(number)}}
    spec = {**model["spec"], "connection": connection, "securityHub": hub}
    return {**model, "metadata": {"name": _name(number)}, "spec": spec}


def _name(number: int) -> str:
    return f"fleet-{number:03d}"


def measured(operator: testbed.Operator, hub: HubProcess, size: Size, number: int) -> Measured:
    """Measure when all are in sync. Raises BenchError unless the hub then holds exactly their findings."""
    started = time.monotonic()
    operator.start()
    testbed.until(
        lambda: _in_sync(operator, number),
        seconds=size.minutes * 60,
        what=f"{number} clusters in sync",
        operator=operator,
        every=max(size.poll, number / POLLED),  # each poll writes all series: at 200 clusters a third of a second
    )
    seconds, cpu = time.monotonic() - started, usage(operator).cpu
    time.sleep(size.silence)  # after the last lists' memory was freed
    series = sum(not line.startswith("#") for line in operator.get("/metrics").splitlines())
    stats = hub.stats()
    expected, found = number * size.fleet_reports * size.failing, int(stats["record_states"].get("ACTIVE", 0))
    if found != expected:
        raise BenchError(f"{found} active findings where {expected} should be")
    calls = {operation: sum(codes.values()) for operation, codes in stats["calls"].items()}
    return Measured(
        clusters=number,
        rss=usage(operator).rss,
        cpu=cpu,
        seconds=seconds,
        sockets=_sockets(operator),
        series=series,
        imports=calls.get("BatchImportFindings", 0),
        reads=calls.get("GetFindings", 0),
    )


def _in_sync(operator: testbed.Operator, number: int) -> bool:
    try:
        return operator.metric("policyhub_in_sync") == number
    except (TimeoutError, URLError):  # two cores make thousands of TLS handshakes, those of the stand-in too
        return False


def add_rows(table: Table, found: Measured, none: Measured, one: Measured, *, each: int) -> None:
    """The rows of one size: each cluster's cost beyond the first, which loads the service models of the AWS SDK."""
    number = found.clusters
    before = one if found is not one else none
    others = number - before.clusters
    hubs = Counter(REGIONS[n % len(REGIONS)] for n in range(number))
    beyond = found.rss - before.rss - others * each * GOAL_EACH * 1000 / 2**20
    sockets = found.sockets - before.sockets
    least = sum(-(-of * each // MAX_FINDINGS) for of in hubs.values())
    busiest = max(hubs.values())
    bound = max(_seconds(-(-busiest * each // MAX_FINDINGS), IMPORTS), _seconds(busiest, READS))
    what = f"{number} clusters" if number > 1 else "1 cluster"
    table.row(
        f"{what}: RSS; of a cluster, beside its findings",
        f"{found.rss:.0f} MiB; **{beyond / others:.2f} MiB**",
    )
    table.row(f"{what}: connections; of a cluster", f"{found.sockets:,}; {sockets / others:.1f}")
    imports = f"{found.imports:,} / {least:,} = **{found.imports / least:.2f}**"
    table.row(f"{what}: imports / least possible", imports)
    table.row(f"{what}: GetFindings", f"{found.reads:,}")
    paced = f" (the quota's share allows {bound:.1f} s)" if bound > 0 else ""
    cpu = f"{found.cpu - none.cpu:.1f} s of CPU more"
    table.row(f"{what}: start to all in sync", f"{found.seconds:.0f} s{paced}, {cpu}")
    table.row(f"{what}: series; of a cluster", f"{found.series:,}; {(found.series - none.series) / number:.0f}")


def _seconds(calls: int, quota: Quota) -> float:
    """The seconds that the operator's share of the quota requires."""
    return max(0.0, (calls - SHARE * quota.burst) / (SHARE * quota.rate))


def _sockets(operator: testbed.Operator) -> int:
    folder = Path(f"/proc/{operator.pid}/fd")
    number = 0
    for entry in folder.iterdir():
        try:
            number += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed since
            continue
    return number
