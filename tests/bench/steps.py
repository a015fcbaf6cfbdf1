"""What each step costs in this process on one core, from a report's JSON to the hub's answer.

The hub acknowledges at once (sink.py), so that only the caller's own work counts.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from dev.hub.process import HubProcess
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings import asff
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.severity import DEFAULT_SEVERITY
from policyhub.model.violation import Violation
from policyhub.securityhub.arn import product_arn
from policyhub.securityhub.batch import MAX_FINDINGS, Batch, measure, oversize
from policyhub.securityhub.credentials import Clients
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import JOBS, PODS, REPLICASETS, Owners
from policyhub.sync.rollup import Rollup
from tests.bench import shape, sink, standin
from tests.bench.environment import PACE, BenchError, Rows, pace

MAX_ENTRIES = 2**40
NOW_MS = 1_790_000_000_000
IMPORT = "securityhub.BatchImportFindings"
ACCOUNT, REGION = "111122223333", "eu-west-1"


class Stopwatch:
    """CPU seconds of this process, by step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._since = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.add(name, time.process_time() - started)

    def add(self, name: str, seconds: float) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + seconds

    def begin(self) -> None:
        self._since = time.process_time()

    def lap(self, name: str) -> None:
        """Add the CPU seconds since `begin` or the last lap."""
        now = time.process_time()
        self.add(name, now - self._since)
        self._since = now


def table(reports: int) -> Rows:
    """With this many reports of five results, and of thirty."""
    encode = msgspec.json.encode
    rows = steps([encode(shape.report(n, failing=2, second=1)) for n in range(reports)])
    for what, build in (("5 results", shape.report), ("30 results", shape.wide)):
        first, again = ([encode(build(n, failing=2, second=second)) for n in range(reports)] for second in (1, 2))
        size = sum(map(len, again)) / len(again) / 1000
        rows.append((f"rewrite of {what}, {size:.1f} kB", f"{rewrites(first, again):,.0f} reports/s a core"))
    return [*rows, (PACE, pace())]


def steps(reports: list[bytes]) -> Rows:
    """Microseconds per finding in each step, and their sum."""
    watch = Stopwatch()
    with watch.step("decode and map (msgspec, sources)"):
        readings = [reader.read(shape.GROUP, shape.RESOURCE, raw, latest=MAX_ENTRIES) for raw in reports]
    violations = [violation for reading in readings for violation, _ in reading.violations]
    with watch.step("id"):
        ids = [finding_id("bench", violation.identity) for violation in violations]
    with watch.step("digest"):
        digests = [digest(violation, default_severity=DEFAULT_SEVERITY) for violation in violations]
    before = sum(watch.spent.values())
    with watch.step("ledger"):
        viewed(reports)
    watch.add("ledger", -before)  # reads, identifies and hashes them too
    _send(list(zip(violations, ids, digests, strict=True)), watch)
    number = len(violations)
    total = sum(watch.spent.values())
    rows = [
        (name, f"{seconds / number * 1e6:.1f} µs a finding, {100 * seconds / total:.0f} %")
        for name, seconds in watch.spent.items()
    ]
    rows.append(("all steps", f"{total / number * 1e6:.0f} µs a finding: {number / total:,.0f} findings/s a core"))
    return rows


def _render(violation: Violation, id_: str, hashed: str) -> dict[str, Any]:
    cluster = asff.Cluster(
        id="bench",
        name="bench",
        arn=None,
        uid="uid",
        account=ACCOUNT,
        region=REGION,
        partition="aws",
        product_arn=product_arn(partition="aws", region=REGION, account=ACCOUNT),
    )
    return asff.render(
        violation,
        cluster=cluster,
        finding_id=id_,
        digest=hashed,
        source_api=f"{shape.RESOURCE}.{shape.GROUP}",
        created_at=WallMs(1),
        observed_at=WallMs(1),
        updated_at=WallMs(1),
        archived=False,
    )


def _batch(bodies: list[dict[str, Any]]) -> Batch:
    batch = Batch()
    for body in bodies:
        size = measure(body)
        if oversize(size) is not None or not batch.offer(body, size):
            raise BenchError("a finding is too large to send")
    return batch


def _send(named: list[tuple[Violation, str, str]], watch: Stopwatch) -> None:
    """Sends batches one by one, as the engine does: the thread's time for each stage, in botocore's order."""
    with sink.start() as hub, _environment(hub):
        client: Any = Clients(region=REGION, version="bench").securityhub()
        client.batch_import_findings(Findings=[_render(*named[0])])  # opens the connection
        events = client.meta.events
        events.register_last(f"before-call.{IMPORT}", lambda **_: watch.lap("write the body (hub.body)"))
        events.register_first(f"before-send.{IMPORT}", lambda **_: watch.lap("sign (botocore)"))
        for first in range(0, len(named), MAX_FINDINGS):
            watch.begin()
            bodies = [_render(*one) for one in named[first : first + MAX_FINDINGS]]
            watch.lap("render (findings.asff)")
            batch = _batch(bodies)
            watch.lap("batch by count and bytes")
            answer = client.batch_import_findings(Findings=batch.findings)
            watch.lap("HTTP and the answer (botocore)")
            if answer["SuccessCount"] != len(bodies):
                raise BenchError("the hub did not accept the findings")


@contextlib.contextmanager
def _environment(hub: HubProcess) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(hub.env())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def viewed(reports: list[bytes], *, pods: int = 0) -> tuple[ReportSink, Ledger]:
    """A sink that has listed these reports, for a cluster without findings in the hub. With `pods`, these and their
    ReplicaSets are known, and results on them roll up to their Deployments.
    """
    ledger = Ledger(cluster_id="bench", cluster_uid="uid", default_severity=DEFAULT_SEVERITY, on_dirty=_nothing)
    rollup = ledger.sources.ownership = Rollup(ledger=ledger, owners=_owners(pods)) if pods else None
    view = ReportSink(
        cluster="bench",
        group=shape.GROUP,
        resource=shape.RESOURCE,
        ledger=ledger,
        filter_=Filter(
            exclude_sources=(),
            include_namespaces=("*",),
            exclude_namespaces=(),
            results=frozenset({"fail", "warn", "error"}),
            minimum_severity="INFORMATIONAL",
            default_severity=DEFAULT_SEVERITY,
        ),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: SteadyMs(NOW_MS),
        wall_clock=lambda: WallMs(NOW_MS),
        rollup=rollup,
    )
    view.begin()
    for raw in reports:
        view.upsert(raw)
    view.finish()
    return view, ledger


def _owners(pods: int) -> Owners:
    owners = Owners(now=lambda: SteadyMs(NOW_MS), on_change=_nothing, on_malformed=_nothing)
    documents_by_resource = {
        PODS: map(standin.pod, range(pods)),
        REPLICASETS: map(standin.replica_set, range(-(-pods // standin.REPLICAS))),
        JOBS: (),
    }
    for resource, documents in documents_by_resource.items():
        sink_of = owners.sinks[resource]
        sink_of.begin()
        for document in documents:
            sink_of.upsert(msgspec.json.encode(document))
        sink_of.finish()
        sink_of.state(ReflectorState(phase="watching"))
    return owners


def rewrites(first: list[bytes], again: list[bytes]) -> float:
    """Reports per second and core that a sink processes when only their timestamps change."""
    view, ledger = viewed(first)
    ledger.observed.take_part("", [], now=SteadyMs(0))
    ledger.agenda.dirty.clear()
    upsert: Callable[[bytes], None] = view.upsert
    started = time.process_time()
    for raw in again:
        upsert(raw)
    seconds = time.process_time() - started
    if ledger.agenda.dirty:
        raise BenchError("a rewrite without a change made something dirty")
    return len(again) / seconds


def _nothing(*_: object) -> None:
    pass
