"""`python -m tests.bench`: what policyhub costs and how quick it is, on a real API server and the local Security Hub,
and what each step of the way costs by itself.

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
from policyhub.findings.identity import finding_id
from tests.bench import speed

Document = dict[str, Any]

SHARE_RATE = 8.0
"""Calls a second that the operator allows itself: 80 % of BatchImportFindings' 10."""
CHANGES = 100
SILENCE_SECONDS = 5.0
BACKLOG_FROM = 10_000
"""Findings from which on the first sync takes long enough to measure in it."""
BACKLOG_CHANGES = 50
RESTART_CHANGES = 20
EXTRA = 900_000
"""Numbers of reports that come while others wait."""
READ_RATE = 2.4
"""Calls of GetFindings a second: 80 % of 3."""


@dataclass
class Bench:
    """One run: the operator, what it watches, and what was measured."""

    cluster: Cluster
    hub: HubProcess
    operator: stand.Operator
    reports: list[Document]
    rows: list[tuple[str, str]] = field(default_factory=list)
    seen: int = 0
    """How much of the hub's journal was read."""

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
        fresh = backlog(bench, findings) if findings >= BACKLOG_FROM else []
        stand.until(
            lambda: bench.in_sync() and bench.active() == findings + len(fresh),
            seconds=3600,
            what="sync",
            operator=bench.operator,
        )
        took = time.monotonic() - with_start
    calls = bench.calls("BatchImportFindings")
    least = -(-(findings + len(fresh)) // 100)
    allowed = max(0.0, (least - 0.8 * 30) / SHARE_RATE)
    bench.row("initial sync: findings in the hub / failing results", f"{bench.active()} / {findings + len(fresh)}")
    if fresh:
        bench.row(*told("fresh violation to finding, in the backlog", fresh))
    if allowed:
        bench.row("initial sync: time ÷ what the quota's share alone takes", f"{took / allowed:.2f}")
    bench.row("initial sync: process start to in sync", f"{took:.1f} s (the quota's share alone: {allowed:.1f} s)")
    bench.row("initial sync: imports / least possible", f"{calls} / {least}")
    bench.row("initial sync: GetFindings calls", f"{bench.calls('GetFindings')}")
    remove(bench, len(fresh), findings)


def remove(bench: Bench, extra: int, findings: int) -> None:
    """The reports that `appear` wrote."""
    for number in range(EXTRA, EXTRA + extra):
        bench.cluster.request("DELETE", bench.cluster.path(report(number, failing=1, second=0)))
    stand.until(lambda: bench.active() == findings, seconds=60, what="the extra ones to go", operator=bench.operator)


def backlog(bench: Bench, findings: int) -> list[float]:
    """Fresh violations while the first sync is under way."""
    stand.until(lambda: bench.active() > findings // 20, seconds=600, what="the sync", operator=bench.operator)
    took: list[float] = []
    while len(took) < BACKLOG_CHANGES and bench.active() < 0.8 * findings:
        took.append(appear(bench, EXTRA + len(took)))
    return took


def appear(bench: Bench, number: int) -> float:
    """A report with one violation is written: seconds from the answer to its finding."""
    space, name = f"team-{number % 10}", f"app-{number}"
    id_ = finding_id("bench", ("kyverno", "policy-0", "rule-0", "apps", "Deployment", space, name, ""))
    write(bench.cluster, report(number, failing=1, second=int(time.time())))
    started = time.time()
    found: list[float] = []

    def there() -> bool:
        entries = bench.hub.journal(bench.seen)
        bench.seen = entries[-1]["seq"] if entries else bench.seen
        found.extend(entry["time"] for entry in entries if entry["id"] == id_)
        return bool(found)

    stand.until(there, seconds=120, what=name, operator=bench.operator, every=0.02)
    return max(0.0, found[0] - started)


def told(what: str, took: list[float]) -> tuple[str, str]:
    return f"{what}: p50, max", f"{statistics.median(took) * 1000:.0f} ms, {max(took) * 1000:.0f} ms of {len(took)}"


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
    imports, reads = bench.calls("BatchImportFindings"), bench.calls("GetFindings")
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
    made, read = bench.calls("BatchImportFindings") - imports, bench.calls("GetFindings") - reads
    bench.row("all reports rewritten with new timestamps: imports", str(made))
    bench.row("meanwhile, GetFindings for the second look at what was written around the start", str(read))


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
    bench.seen = max((entry["seq"] for entry in bench.hub.journal(bench.seen)), default=bench.seen)
    asked = bench.calls("GetFindings")
    fresh: list[float] = []
    with bench.measured("restart"):
        if findings >= BACKLOG_FROM:
            stand.until(lambda: bench.calls("GetFindings") > asked, seconds=60, what="the inventory")
            fresh = [appear(bench, EXTRA + 1000 + number) for number in range(RESTART_CHANGES)]
        stand.until(bench.in_sync, seconds=3600, what="sync after the restart", operator=bench.operator)
        took = time.monotonic() - started
        stand.until(
            lambda: bench.active() == findings - failing + len(fresh),
            seconds=120,
            what="the archive",
            operator=bench.operator,
        )
        delay = time.monotonic() - started
    moved = sum(1 for f in bench.hub.findings() if created.get(f["Id"], f["CreatedAt"]) != f["CreatedAt"])
    bound = (-(-findings // 100) - 0.8 * 6) / READ_RATE
    if fresh:
        bench.row(*told("fresh violation to finding, in the inventory of a restart", fresh))
        bench.row("restart: time ÷ what reading all findings takes", f"{took / bound:.2f}")
    bench.row("restart: process start to in sync", f"{took:.1f} s")
    bench.row("restart: imports, all of them archives or fresh", f"{bench.calls('BatchImportFindings') - imports}")
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


def unlimited(count: int, failing: int) -> list[tuple[str, str]]:
    """Without quotas: memory, and findings a second of the operator's CPU, from the API server to the hub."""
    with (
        open_plane(progress=say) as plane,
        HubProcess.start(quotas=False) as hub,
        tempfile.TemporaryDirectory() as folder,
    ):
        cluster = plane.cluster("bench")
        installed = stand.install(cluster, Path(folder), progress=say)
        namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{n}"}} for n in range(10)]
        cluster.apply([*crds.policy_reports(), *namespaces])
        with stand.Operator(installed, hub, settings={"POLICYHUB_HUB_QUOTA_SHARE": "1"}) as operator:
            bench = Bench(cluster, hub, operator, [])
            operator.start()
            stand.until(bench.in_sync, seconds=60, what="sync", operator=operator)
            bench.row("no report: RSS", f"{operator.usage()[0]:.0f} MiB")
            cluster.apply([report(n, failing=0, second=1) for n in range(count)])
            stand.until(
                lambda: operator.metric("policyhub_watch_events_total") >= count,
                seconds=300,
                what="the reports to be seen",
                operator=operator,
            )
            bench.row(f"{count} reports without a violation: RSS", f"{operator.usage()[0]:.0f} MiB")
            _, cpu = operator.usage()
            cluster.apply([report(n, failing=failing, second=1) for n in range(count)])
            stand.until(lambda: bench.active() == count * failing, seconds=900, what="all findings", operator=operator)
            rss, after = operator.usage()
            bench.row(f"{count * failing} violations: RSS", f"{rss:.0f} MiB")
            bench.row("events to findings", f"{count * failing / (after - cpu):,.0f} findings/s a core")
            return bench.rows


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=1000)
    parser.add_argument("--failing", type=int, default=2, help="failing results a report, of five")
    parser.add_argument("--table", choices=("whole", "steps", "memory"), action="append", help="only these")
    given = parser.parse_args()
    for table in given.table or ("whole", "steps", "memory"):
        match table:
            case "whole":
                rows = run(given.reports, given.failing)
            case "memory":
                rows = unlimited(given.reports, given.failing)
            case _:
                rows = speed.table(report)
        print(f"\n| {table} | measured |\n|---|---|")
        for what, figure in rows:
            print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
