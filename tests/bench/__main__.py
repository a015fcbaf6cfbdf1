"""`python -m tests.bench`: what policyhub costs and how quick it is, on a real API server and the local Security Hub.

Prints a Markdown table; docs/performance.md holds one with its machine. Ratios, calls and bytes say more than seconds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import crds, stand
from dev.cluster import Cluster, open_plane
from dev.hub.process import HubProcess

Document = dict[str, Any]

SHARE_RATE = 8.0
"""Calls a second that the operator allows itself: 80 % of BatchImportFindings' 10."""
CHANGES = 100
SILENCE_SECONDS = 5.0


@dataclass
class Bench:
    """One run: the operator, what it watches, and what was measured."""

    cluster: Cluster
    hub: HubProcess
    operator: stand.Operator
    reports: list[Document]
    rows: list[tuple[str, str]] = field(default_factory=list)

    def row(self, what: str, figure: str) -> None:
        self.rows.append((what, figure))
        print(f"  {what}: {figure}", file=sys.stderr, flush=True)

    @contextmanager
    def measured(self, what: str) -> Iterator[None]:
        """Adds what the operator used meanwhile."""
        rss, cpu = self.operator.usage()
        started = time.monotonic()
        yield
        rss, after = self.operator.usage()
        self.row(f"{what}: RSS, CPU", f"{rss:.0f} MiB, {after - cpu:.2f} s of {time.monotonic() - started:.1f} s")

    def calls(self, operation: str) -> int:
        return sum(self.hub.stats()["calls"].get(operation, {}).values())

    def active(self) -> int:
        return int(self.hub.stats()["record_states"].get("ACTIVE", 0))

    def in_sync(self) -> bool:
        return self.operator.metric("policyhub_in_sync") == 1


def report(number: int, *, failing: int, second: int, message: str = "the rule is not met") -> Document:
    """One report in Kyverno's per-resource shape: five results, the first of them failing."""
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"name": f"report-{number:06d}", "namespace": f"team-{number % 10}"},
        "scope": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": f"app-{number}",
            "namespace": f"team-{number % 10}",
        },
        "summary": {"pass": 5 - failing, "fail": failing, "warn": 0, "error": 0, "skip": 0},
        "results": [
            {
                "source": "kyverno",
                "policy": f"policy-{n}",
                "rule": f"rule-{n}",
                "category": "Pod Security Standards (Restricted)",
                "severity": ("medium", "high", "low")[n % 3],
                "scored": True,
                "result": "fail" if n < failing else "pass",
                "message": message,
                "timestamp": {"seconds": second, "nanos": 0},
                "properties": {"process": "background scan"},
            }
            for n in range(5)
        ],
    }


def write(cluster: Cluster, document: Document) -> None:
    cluster.request("PATCH", cluster.path(document), document, patch="apply", fieldManager="bench", force="true")


def initial_sync(bench: Bench, findings: int) -> None:
    """Everything is there before the operator starts: time from its start until in sync."""
    least = -(-findings // 100)
    with_start = time.monotonic()
    bench.operator.start()
    with bench.measured("initial sync"):
        stand.until(
            lambda: bench.in_sync() and bench.active() == findings, seconds=600, what="sync", operator=bench.operator
        )
        took = time.monotonic() - with_start
    calls = bench.calls("BatchImportFindings")
    allowed = max(0.0, (least - 0.8 * 30) / SHARE_RATE)
    bench.row("initial sync: findings in the hub / failing results", f"{bench.active()} / {findings}")
    bench.row("initial sync: process start to in sync", f"{took:.1f} s (the quota's share alone: {allowed:.1f} s)")
    bench.row("initial sync: imports / least possible", f"{calls} / {least}")
    bench.row("initial sync: GetFindings calls", f"{bench.calls('GetFindings')}")


def latency(bench: Bench) -> None:
    """One report changed at a time, idle: from the write's answer to the finding in the hub."""
    took = []
    with bench.measured(f"{CHANGES} changes"):
        for number in range(CHANGES):
            since = bench.hub.stats()["version"]
            write(
                bench.cluster, report(number, failing=2, second=int(time.time()), message=f"changed {time.time_ns()}")
            )
            started = time.monotonic()
            stand.until(
                lambda since=since: bench.hub.stats()["version"] > since,  # type: ignore[misc]  # bound at once
                seconds=30,
                what="the change",
                operator=bench.operator,
                every=0.005,
            )
            took.append(time.monotonic() - started)
            stand.until(bench.in_sync, seconds=30, what="in sync", operator=bench.operator, every=0.05)
    cuts = statistics.quantiles(took, n=100)
    bench.row("change to finding, idle: p50, p99", f"{cuts[49] * 1000:.0f} ms, {cuts[98] * 1000:.0f} ms")


def rewrite(bench: Bench) -> None:
    """Every report rewritten with new timestamps and nothing else, as Kyverno does at each pass."""
    before = bench.hub.stats()["calls"]
    seen = bench.operator.metric("policyhub_watch_events_total", change="none")
    with bench.measured(f"{len(bench.reports)} reports rewritten"):
        now = int(time.time())
        bench.cluster.apply([retimed(d, now) for d in bench.reports])
        stand.until(
            lambda: bench.operator.metric("policyhub_watch_events_total", change="none") - seen >= len(bench.reports),
            seconds=120,
            what="the rewrites to be seen",
            operator=bench.operator,
        )
        time.sleep(SILENCE_SECONDS)  # a call would come within a second; this is the silence that is measured
    after = bench.hub.stats()["calls"]
    made = sum(sum(c.values()) for c in after.values()) - sum(sum(c.values()) for c in before.values())
    bench.row("all reports rewritten with new timestamps: calls to the hub", str(made))


def retimed(document: Document, second: int) -> Document:
    return {**document, "results": [{**r, "timestamp": {"seconds": second, "nanos": 0}} for r in document["results"]]}


def restart(bench: Bench, findings: int) -> None:
    """Kill -9 and start again, one report gone meanwhile."""
    created = {f["Id"]: f["CreatedAt"] for f in bench.hub.findings()}
    bench.operator.kill()
    lost = bench.reports[-1]
    failing = sum(1 for r in lost["results"] if r["result"] == "fail")
    bench.cluster.request("DELETE", bench.cluster.path(lost))
    imports, redundant = bench.calls("BatchImportFindings"), bench.hub.stats()["redundant"]
    started = time.monotonic()
    bench.operator.start()
    with bench.measured("restart"):
        stand.until(bench.in_sync, seconds=300, what="sync after the restart", operator=bench.operator)
        took = time.monotonic() - started
        stand.until(
            lambda: bench.active() == findings - failing, seconds=120, what="the archive", operator=bench.operator
        )
        delay = time.monotonic() - started
    moved = sum(1 for f in bench.hub.findings() if created.get(f["Id"]) != f["CreatedAt"])
    bench.row("restart: process start to in sync", f"{took:.1f} s")
    bench.row("restart: imports, all of them archives", f"{bench.calls('BatchImportFindings') - imports}")
    bench.row("restart: redundant imports", f"{bench.hub.stats()['redundant'] - redundant}")
    bench.row("restart: CreatedAt moved", str(moved))
    bench.row(f"restart: {failing} vanished meanwhile, archived after", f"{delay:.1f} s (archiveDelay 5 s)")


def run(count: int, failing: int) -> list[tuple[str, str]]:
    total = count * failing
    with open_plane(progress=say) as plane, HubProcess.start() as hub, tempfile.TemporaryDirectory() as folder:
        cluster = plane.cluster("bench")
        values = {"monitoredCluster": {"spec": {"archiveDelay": "5s"}}}
        installed = stand.install(cluster, Path(folder), values=values, progress=say)
        namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{n}"}} for n in range(10)]
        cluster.apply([*crds.policy_reports(), *namespaces])
        reports = [report(n, failing=failing, second=int(time.time())) for n in range(count)]
        say(f"writing {count} reports with {total} failing results")
        cluster.apply(reports)
        with stand.Operator(installed, hub) as operator:
            bench = Bench(cluster, hub, operator, reports)
            initial_sync(bench, total)
            latency(bench)
            bench.reports = [report(n, failing=failing, second=0) for n in range(count)]
            bench.cluster.apply(bench.reports)
            stand.until(bench.in_sync, seconds=60, what="in sync", operator=operator)
            rewrite(bench)
            restart(bench, total)
            bench.row("SIGTERM to exit", f"{operator.stop():.2f} s")
            return bench.rows


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=1000)
    parser.add_argument("--failing", type=int, default=2, help="failing results a report, of five")
    given = parser.parse_args()
    rows = run(given.reports, given.failing)
    print("| what | measured |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
