"""The tables of one operator on a real API server: the first sync, latency, rewrites, a restart."""

import time
from dataclasses import replace

from dev import stand
from policyhub.securityhub.batch import MAX_FINDINGS
from policyhub.securityhub.client import PAGE
from policyhub.securityhub.rate_limit import IMPORTS, READS, SHARE
from tests.bench import load, shape
from tests.bench.probe import Probe, Sample, changed, fresh, last, told
from tests.bench.scene import PACE, BenchError, Scene, Usage, in_sync, pace, usage

SOURCE_API = f"{shape.RESOURCE}.{shape.GROUP}"
TOGETHER = 5
"""Fresh violations at once, while Security Hub is read: each moment of them costs a look-up or two."""


def unhurried(scene: Scene, reports: int) -> Usage:
    """From nothing to in sync with so many reports, by an operator and a hub without quotas; the operator then ends."""
    violations = reports * scene.size.failing
    if violations not in scene.unhurried:
        scene.fill(reports)
        scene.end()
        scene.hub.reset()
        started = time.monotonic()
        operator = scene.start(quotas=False)
        scene.synced(operator)
        took = time.monotonic() - started
        scene.unhurried[violations] = replace(usage(operator), wall=took)
        scene.end()
        scene.hub.reset()
    return scene.unhurried[violations]


def speed(scene: Scene) -> None:
    """Findings a second and core, from the API server to the hub, HTTP and all."""
    base, whole = unhurried(scene, 0) if not scene.loaded else None, unhurried(scene, scene.size.reports)
    number = scene.size.violations
    scene.row(f"{number:,} findings, quotas off: CPU of the operator", f"{whole.cpu:.1f} s of {whole.wall:.0f} s")
    scene.row("findings/s a core, start included", f"{number / whole.cpu:,.0f}")
    base = base or scene.unhurried.get(0)
    if base is not None:
        scene.row("of it, a start with nothing to send", f"{base.cpu:.1f} s")
        more = whole.cpu - base.cpu
        scene.row(
            "findings/s a core, start not included", f"{number / more:,.0f}" if more > 0 else f"not told: {more:.2f} s"
        )
    scene.row(PACE, pace())


def sync(scene: Scene) -> None:
    """Everything is there before the operator starts; fresh violations come meanwhile, from the first page on."""
    scene.fill(scene.size.reports)
    scene.end()
    scene.hub.reset()
    started = time.time()
    operator = scene.start(quotas=True)
    scene.until(
        lambda: operator.metric("policyhub_watch_events_total", source=SOURCE_API) > 0, "the first page", every=0.1
    )
    probe = Probe(scene, fresh(scene, scene.size.samples), spacing=scene.size.spacing)
    scene.until(lambda: not probe.running or scene.active() > 0.95 * scene.expected, "the samples", every=1.0)
    samples = probe.result(stop=True)
    scene.synced(operator)
    after = usage(operator)
    took = scene.hub.journal(last(scene) - 1)[-1]["time"] - started
    least = -(-scene.expected // MAX_FINDINGS)
    allowed = (least - SHARE * IMPORTS.burst) / (SHARE * IMPORTS.rate)
    scene.row("findings in the hub / violations", f"{scene.active():,} / {scene.expected:,}")
    scene.row("imports / least possible", f"{scene.calls('BatchImportFindings'):,} / {least:,}")
    if allowed > 0:
        ratio = f"{took:.1f} s ÷ {allowed:.1f} s = **{took / allowed:.2f}**"
        scene.row("process start to the last finding ÷ what the quota's share allows", ratio)
    _fresh(scene, "in the backlog", samples, listed=_listed(operator), started=started)
    scene.row("redundant imports", str(scene.redundant()))
    scene.row("CPU, RSS at the end", f"{after.cpu:.1f} s, {after.rss:.0f} MiB")


def latency(scene: Scene) -> None:
    """One change at a time, nothing else to do."""
    scene.settled()
    size = scene.size
    scene.row(
        "fresh violation to finding, idle: p50, p99",
        told(Probe(scene, fresh(scene, size.samples), spacing=size.spacing).result()),
    )
    half = -(-size.samples // 2)
    samples = [
        sample
        for message in ("it is met less", shape.MESSAGE)
        for sample in Probe(scene, changed(scene, half, message=message), spacing=size.spacing).result()
    ]
    scene.row("changed violation to finding, idle: p50, p99", told(samples))


def rewrite(scene: Scene) -> None:
    """Every report rewritten with new times and nothing else, as Kyverno does at each pass."""
    operator = scene.settled()
    scene.until(lambda: in_sync(operator), "in sync")
    before, asked = usage(operator), scene.calls("GetFindings")
    time.sleep(scene.size.idle)  # this is the idleness that is measured: after a start it looks again at what is recent
    idle = (usage(operator).cpu - before.cpu) / scene.size.idle
    imports, reads = scene.calls("BatchImportFindings"), scene.calls("GetFindings")
    looking = (reads - asked) / scene.size.idle
    seen = operator.metric("policyhub_watch_events_total", change="none")
    cpu, started = usage(operator).cpu, time.monotonic()
    second = int(time.time()) + 1
    size = scene.size
    load.merge(scene.cluster, (shape.report(n, failing=size.failing, second=second) for n in range(scene.loaded)))
    wrote = time.monotonic() - started
    scene.until(
        lambda: operator.metric("policyhub_watch_events_total", change="none") - seen >= scene.loaded,
        "the rewrites to be seen",
    )
    took, cpu = time.monotonic() - started, usage(operator).cpu - cpu
    time.sleep(size.silence)  # this is the silence that is measured
    made = scene.calls("BatchImportFindings") - imports
    scene.row(f"{scene.loaded:,} reports rewritten at the API server's pace", f"{scene.loaded / wrote:,.0f} reports/s")
    scene.row("imports", f"**{made}**")
    scene.row(
        "calls of GetFindings, of them as when idle", f"{scene.calls('GetFindings') - reads}, {looking * took:.0f}"
    )
    scene.row("CPU of the operator, of it idle", f"{cpu:.1f} s of {took:.0f} s, {idle * took:.1f} s")
    scene.row("reports/s a core, idle not counted", f"{scene.loaded / max(0.01, cpu - idle * took):,.0f}")
    if made:
        raise BenchError(f"{made} imports for rewrites that change nothing")


def restart(scene: Scene) -> None:
    """Kill -9 and start again; fresh violations come meanwhile."""
    scene.settled()
    scene.end()
    moved, redundant = scene.hub.stats()["moved"].get("CreatedAt", 0), scene.redundant()
    reads, known, mark = scene.calls("GetFindings"), scene.expected, last(scene)
    pages = -(-known // PAGE)
    bound = (pages - SHARE * READS.burst) / (SHARE * READS.rate)
    started = time.time()
    operator = scene.start(quotas=True)
    scene.until(lambda: scene.calls("GetFindings") > reads, "the inventory", every=0.2)
    spacing = min(scene.size.spacing * 15, 0.7 * max(bound, 2) * TOGETHER / scene.size.samples)
    probe = Probe(scene, fresh(scene, scene.size.samples), spacing=spacing, together=TOGETHER)
    scene.synced(operator)
    took, listed = time.time() - started, _listed(operator)
    scene.row("calls of GetFindings / pages of what is there", f"{scene.calls('GetFindings') - reads:,} / {pages:,}")
    samples = probe.result()
    scene.synced(operator)
    entries = [entry for entry in scene.hub.journal(mark) if entry["kind"] == "import"]
    scene.row("redundant imports", f"**{scene.redundant() - redundant}**")
    scene.row("imported findings / fresh violations", f"{len(entries)} / {len(samples)}")
    scene.row("CreatedAt moved", str(scene.hub.stats()["moved"].get("CreatedAt", 0) - moved))
    if bound > 0:
        ratio = f"{took:.1f} s ÷ {bound:.1f} s = **{took / bound:.2f}**"
        scene.row("process start to in sync ÷ what reading all findings takes", ratio)
    _fresh(scene, "meanwhile", samples, listed=listed, started=started)
    after = usage(operator)
    scene.row("CPU, RSS at the end", f"{after.cpu:.1f} s, {after.rss:.0f} MiB")


def _listed(operator: stand.Operator) -> float:
    """When the reports were last listed completely."""
    return operator.metric("policyhub_last_complete_listing_timestamp_seconds", source=SOURCE_API)


def _fresh(scene: Scene, when: str, samples: list[Sample], *, listed: float, started: float) -> None:
    """What comes while the first listing is read by a watch beside it, and what comes later."""
    late, early = ([s for s in samples if (s.sent >= listed) is after] for after in (True, False))
    scene.row(f"fresh violation to finding, {when}: p50, p99", told(late))
    told_early = f"{told(early)}; listed {listed - started:.0f} s after the start"
    scene.row("the same, written before the first listing was read", told_early)
