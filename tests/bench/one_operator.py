"""The tables of one operator on a real API server: the first sync, latency, rewrites, a restart."""

import time
from dataclasses import replace

from dev import testbed
from policyhub.securityhub.batch import MAX_FINDINGS
from policyhub.securityhub.client import PAGE
from policyhub.securityhub.rate_limit import IMPORTS, READS, SHARE
from tests.bench import load, shape
from tests.bench.environment import PACE, BenchError, Environment, Usage, in_sync, pace, usage
from tests.bench.probe import Probe, Sample, changed, fresh, last, percentiles

ORIGIN = f"{shape.RESOURCE}.{shape.GROUP}"
TOGETHER = 5
"""Fresh violations at once, while the inventory is read: each group costs one or two look-ups."""


def without_quotas(env: Environment, reports: int) -> Usage:
    """From an empty hub to in sync with this many reports, without quotas in operator and hub; the operator is stopped
    afterwards.
    """
    violations = reports * env.size.failing
    if violations not in env.without_quotas:
        env.fill(reports)
        env.end()
        env.hub.reset()
        started = time.monotonic()
        operator = env.start(quotas=False)
        env.synced(operator)
        took = time.monotonic() - started
        env.without_quotas[violations] = replace(usage(operator), wall=took)
        env.end()
        env.hub.reset()
    return env.without_quotas[violations]


def speed(env: Environment) -> None:
    """Findings per second and core, from the API server to the hub, HTTP included."""
    base, whole = without_quotas(env, 0) if not env.loaded else None, without_quotas(env, env.size.reports)
    number = env.size.violations
    env.row(f"{number:,} findings, quotas off: CPU of the operator", f"{whole.cpu:.1f} s of {whole.wall:.0f} s")
    env.row("findings/s a core, start included", f"{number / whole.cpu:,.0f}")
    base = base or env.without_quotas.get(0)
    if base is not None:
        env.row("of it, a start with nothing to send", f"{base.cpu:.1f} s")
        more = whole.cpu - base.cpu
        env.row(
            "findings/s a core, start not included", f"{number / more:,.0f}" if more > 0 else f"not told: {more:.2f} s"
        )
    env.row(PACE, pace())


def sync(env: Environment) -> None:
    """All reports exist before the operator starts; fresh violations are written meanwhile, from the first page on."""
    env.fill(env.size.reports)
    env.end()
    env.hub.reset()
    started = time.time()
    operator = env.start(quotas=True)
    env.until(lambda: operator.metric("policyhub_watch_events_total", source=ORIGIN) > 0, "the first page", every=0.1)
    probe = Probe(env, fresh(env, env.size.samples), spacing=env.size.spacing)
    env.until(lambda: not probe.running or env.active() > 0.95 * env.expected, "the samples", every=1.0)
    samples = probe.result(stop=True)
    env.synced(operator)
    after = usage(operator)
    took = env.hub.journal(last(env) - 1)[-1]["time"] - started
    least = -(-env.expected // MAX_FINDINGS)
    allowed = (least - SHARE * IMPORTS.burst) / (SHARE * IMPORTS.rate)
    env.row("findings in the hub / violations", f"{env.active():,} / {env.expected:,}")
    env.row("imports / least possible", f"{env.calls('BatchImportFindings'):,} / {least:,}")
    if allowed > 0:
        ratio = f"{took:.1f} s ÷ {allowed:.1f} s = **{took / allowed:.2f}**"
        env.row("process start to the last finding ÷ what the quota's share allows", ratio)
    _fresh(env, "in the backlog", samples, listed=_listed(operator), started=started)
    env.row("redundant imports", str(env.redundant()))
    env.row("CPU, RSS at the end", f"{after.cpu:.1f} s, {after.rss:.0f} MiB")


def latency(env: Environment) -> None:
    """One change at a time on an idle operator."""
    env.synced_operator()
    size = env.size
    env.row(
        "fresh violation to finding, idle: p50, p99",
        percentiles(Probe(env, fresh(env, size.samples), spacing=size.spacing).result()),
    )
    half = -(-size.samples // 2)
    samples = [
        sample
        for message in ("it is met less", shape.MESSAGE)
        for sample in Probe(env, changed(env, half, message=message), spacing=size.spacing).result()
    ]
    env.row("changed violation to finding, idle: p50, p99", percentiles(samples))


def rewrite(env: Environment) -> None:
    """Every report is rewritten with new times only, as Kyverno does at each scan."""
    operator = env.synced_operator()
    env.until(lambda: in_sync(operator), "in sync")
    before, asked = usage(operator), env.calls("GetFindings")
    time.sleep(env.size.idle)  # measures the idle operator: after a start it reads recent findings again
    idle = (usage(operator).cpu - before.cpu) / env.size.idle
    imports, reads = env.calls("BatchImportFindings"), env.calls("GetFindings")
    idle_rate = (reads - asked) / env.size.idle
    seen = operator.metric("policyhub_watch_events_total", change="none")
    cpu, started = usage(operator).cpu, time.monotonic()
    second = int(time.time()) + 1
    size = env.size
    load.merge(env.cluster, (shape.report(n, failing=size.failing, second=second) for n in range(env.loaded)))
    wrote = time.monotonic() - started
    env.until(
        lambda: operator.metric("policyhub_watch_events_total", change="none") - seen >= env.loaded,
        "the rewrites to be seen",
    )
    took, cpu = time.monotonic() - started, usage(operator).cpu - cpu
    time.sleep(size.silence)  # measures the silence after the rewrites
    made = env.calls("BatchImportFindings") - imports
    env.row(f"{env.loaded:,} reports rewritten at the API server's pace", f"{env.loaded / wrote:,.0f} reports/s")
    env.row("imports", f"**{made}**")
    env.row("calls of GetFindings, of them as when idle", f"{env.calls('GetFindings') - reads}, {idle_rate * took:.0f}")
    env.row("CPU of the operator, of it idle", f"{cpu:.1f} s of {took:.0f} s, {idle * took:.1f} s")
    env.row("reports/s a core, idle not counted", f"{env.loaded / max(0.01, cpu - idle * took):,.0f}")
    if made:
        raise BenchError(f"{made} imports for rewrites that change nothing")


def restart(env: Environment) -> None:
    """Kill -9 and restart; fresh violations are written meanwhile."""
    env.synced_operator()
    env.end()
    moved, redundant = env.hub.stats()["moved"].get("CreatedAt", 0), env.redundant()
    reads, known, mark = env.calls("GetFindings"), env.expected, last(env)
    pages = -(-known // PAGE)
    bound = (pages - SHARE * READS.burst) / (SHARE * READS.rate)
    started = time.time()
    operator = env.start(quotas=True)
    env.until(lambda: env.calls("GetFindings") > reads, "the inventory", every=0.2)
    spacing = min(env.size.spacing * 15, 0.7 * max(bound, 2) * TOGETHER / env.size.samples)
    probe = Probe(env, fresh(env, env.size.samples), spacing=spacing, together=TOGETHER)
    env.synced(operator)
    took, listed = time.time() - started, _listed(operator)
    env.row("GetFindings calls / pages of findings", f"{env.calls('GetFindings') - reads:,} / {pages:,}")
    samples = probe.result()
    env.synced(operator)
    entries = [entry for entry in env.hub.journal(mark) if entry["kind"] == "import"]
    env.row("redundant imports", f"**{env.redundant() - redundant}**")
    env.row("imported findings / fresh violations", f"{len(entries)} / {len(samples)}")
    env.row("CreatedAt moved", str(env.hub.stats()["moved"].get("CreatedAt", 0) - moved))
    if bound > 0:
        ratio = f"{took:.1f} s ÷ {bound:.1f} s = **{took / bound:.2f}**"
        env.row("process start to in sync ÷ what reading all findings takes", ratio)
    _fresh(env, "meanwhile", samples, listed=listed, started=started)
    after = usage(operator)
    env.row("CPU, RSS at the end", f"{after.cpu:.1f} s, {after.rss:.0f} MiB")


def _listed(operator: testbed.Operator) -> float:
    """When the reports were last listed completely."""
    return operator.metric("policyhub_last_complete_listing_timestamp_seconds", source=ORIGIN)


def _fresh(env: Environment, when: str, samples: list[Sample], *, listed: float, started: float) -> None:
    """Fresh violations that a watch beside the first list delivers, and those that come later."""
    late, early = ([s for s in samples if (s.sent >= listed) is after] for after in (True, False))
    env.row(f"fresh violation to finding, {when}: p50, p99", percentiles(late))
    early_text = f"{percentiles(early)}; listed {listed - started:.0f} s after the start"
    env.row("the same, written before the first listing was read", early_text)
