"""One run: a reset harness, a fault that is injected again and again, and a driver that changes the cluster meanwhile;
then the verdict.
"""

import contextlib
import random
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dev import testbed
from tests.faults import checker
from tests.faults.checker import Verdict
from tests.faults.cluster_state import ClusterState
from tests.faults.driver import ENGINES, Driver
from tests.faults.engines import HOURLY
from tests.faults.harness import DELAY_SECONDS, Harness
from tests.faults.injections import INJECTIONS, MIXED, NONE, STALE, Injection
from tests.faults.truth import GATEKEEPER

CONVERGE_SECONDS = 150.0
"""Longer than back-offs of a minute."""
NEWS_SECONDS = 3.0
"""How late changes may arrive on a busy machine: an archive is right if the violation was absent this shortly before
it.
"""
PACE = 80.0
AUDIT_SECONDS = 4.0


@dataclass
class Result:
    fault: str
    seed: int
    events: int
    pod_changes: int
    """How many Pods were created or deleted."""
    hits: int
    seconds: float
    """From the last change until Security Hub matched; more than `CONVERGE_SECONDS` if it never did."""
    verdict: Verdict

    @property
    def good(self) -> bool:
        """A fault that never hit proves nothing."""
        return self.verdict.good and self.hits > 0


def run(
    harness: Harness, fault: str, *, seed: int, seconds: float, changes: int = 0, keep: Path | None = None
) -> Result:
    """One run in a reset harness. The cluster changes for at least `seconds` and at least `changes` times, while the
    fault is injected and cleared. `keep` is a folder for logs and journal if a promise was broken.
    """
    rng = random.Random(f"{fault} {seed}")  # noqa: S311  (repeatable)
    harness.reset(seed=seed)
    driver = Driver(harness.world.cluster, harness.hub, seed=seed)
    try:
        driver.begin()
        harness.monitor()
        harness.start()
        harness.world.until(lambda: _matches(harness, driver), "the first findings", seconds=60)
        with ThreadPoolExecutor(3) as threads:
            driven = threads.submit(driver.run, seconds=seconds, changes=changes, pace=PACE)
            lanes = [[fault]] if fault != MIXED else _mixture()
            slack = max(INJECTIONS[name].slack for lane in lanes for name in lane)
            hits = [threads.submit(_inject, harness, lane, _part(rng), driven) for lane in lanes]
            driven.result()
            hit = sum(hit_count.result() for hit_count in hits)
        driver.pause_late_engine()
        waited = _converge(harness, driver, paused=True)
        time.sleep(DELAY_SECONDS + 1)  # a wrong archive would not be undone
        driver.resume_late_engine()
        waited = max(waited, _converge(harness, driver))
        time.sleep(DELAY_SECONDS + 1)
        result = Result(fault, seed, driver.events, driver.pod_changes, hits=hit, seconds=waited, verdict=Verdict())
        result.verdict = checker.check(
            findings=harness.hub.findings(),
            journal=harness.hub.journal(),
            state=ClusterState.take(harness.world.cluster, restarted=harness.restarted),
            truth=driver.truth,
            unlisted=driver.unlisted(restarted=harness.restarted),
            triage=driver.triage,
            permanent=driver.permanent,
            unknown_outcomes=harness.unknown_outcomes,
            slack=NEWS_SECONDS + slack,
            stalled=slack >= STALE,
        )
        if keep is not None and not result.good:
            harness.keep(keep / f"{fault.replace(': ', '-').replace(' ', '-')}-{seed}")
    finally:
        harness.calm()
        harness.world.end()
        driver.clear()
    return result


def _part(rng: random.Random) -> random.Random:
    """A random generator for one thread."""
    return random.Random(rng.random())  # noqa: S311  (repeatable)


def _mixture() -> list[list[str]]:
    """Two faults at once: one of the API server, one of the hub or the operator."""
    near = [name for name in INJECTIONS if name.startswith(("api:", "home:"))]
    return [near, [name for name in INJECTIONS if name not in near and name != NONE]]


def _inject(harness: Harness, names: list[str], rng: random.Random, driven: "Future[None]") -> int:
    """Inject one of the faults for a few seconds, again and again; returns how often they hit."""
    hits: Counter[str] = Counter()
    while not driven.done():
        name = rng.choice(names)
        injection: Injection = INJECTIONS[name]
        end = injection.begin(harness, rng)
        time.sleep(rng.uniform(*injection.lasts))  # the duration of the fault
        hits[name] += end()
        time.sleep(rng.uniform(0.2, 1.5))  # the pause between two faults
    return hits.total()


def _matches(harness: Harness, driver: Driver, *, paused: bool = False) -> bool:
    """`paused`: the late engine and audits do not run, so a finding of an ended violation may still be active."""
    back = Counter(entry["id"] for entry in harness.hub.journal() if entry["outcome"] == "reactivated")
    damped = frozenset(id_ for id_, number in back.items() if number >= checker.DAMPED)
    verdict = checker.compare(
        harness.hub.findings(),
        driver.truth.violations(),
        unlisted=driver.unlisted(restarted=harness.restarted),
        unscanned=lambda violation: (
            (paused and violation.source in {GATEKEEPER, HOURLY}) or driver.truth.unscanned(violation)
        ),
        damped=damped,
    )
    return verdict.good


def _converge(harness: Harness, driver: Driver, *, paused: bool = False) -> float:
    """Wait until Security Hub matches the cluster. Approves what the guard holds, because here every loss is real.
    Audits continue unless `paused`.
    """
    harness.approve(*ENGINES, "gatekeeper")
    started, audited = time.monotonic(), float("-inf")

    def matches() -> bool:
        nonlocal audited
        if not paused and time.monotonic() - audited > AUDIT_SECONDS:
            driver.rest()
            audited = time.monotonic()
        return _matches(harness, driver, paused=paused)

    with contextlib.suppress(testbed.OperatorError):  # the checker reports what is still missing
        testbed.until(matches, seconds=CONVERGE_SECONDS, what="Security Hub to match the cluster", every=0.25)
    return time.monotonic() - started
