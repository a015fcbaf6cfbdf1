"""One run: a world, a fault that comes and goes, a driver that changes the cluster meanwhile; then the verdict."""

import contextlib
import random
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dev import stand
from tests.faults import checker
from tests.faults.arena import DELAY_SECONDS, Arena
from tests.faults.census import Census
from tests.faults.checker import Verdict
from tests.faults.driver import ENGINES, Driver
from tests.faults.engines import HOURLY
from tests.faults.trouble import MIXED, NONE, STALE, TROUBLES, Trouble
from tests.faults.truth import GATEKEEPER

CONVERGE_SECONDS = 150.0
"""Back-offs of a minute end within it."""
NEWS_SECONDS = 3.0
"""How late news may come on a busy machine: an archive is right if the violation was absent so shortly before it."""
PACE = 80.0
AUDIT_SECONDS = 4.0


@dataclass
class Result:
    fault: str
    seed: int
    events: int
    turned: int
    """How many Pods came or went."""
    hits: int
    seconds: float
    """From the last change to the state that should be; more than `CONVERGE_SECONDS` where it was not reached."""
    verdict: Verdict

    @property
    def good(self) -> bool:
        """A fault that never hit has shown nothing."""
        return self.verdict.good and self.hits > 0


def run(arena: Arena, fault: str, *, seed: int, seconds: float, changes: int = 0, keep: Path | None = None) -> Result:
    """A run from a cleared world. For `seconds`, and until there were so many `changes`, the cluster changes while the
    fault comes and goes. `keep` is a folder for what there is to look into where a promise was broken.
    """
    rng = random.Random(f"{fault} {seed}")  # noqa: S311  (repeatable)
    arena.reset(seed=seed)
    driver = Driver(arena.world.cluster, arena.hub, seed=seed)
    try:
        driver.begin()
        arena.monitor()
        arena.start()
        arena.world.until(lambda: _settled(arena, driver), "the first findings", seconds=60)
        with ThreadPoolExecutor(3) as threads:
            driven = threads.submit(driver.run, seconds=seconds, changes=changes, pace=PACE)
            lanes = [[fault]] if fault != MIXED else _mixture()
            slack = max(TROUBLES[name].slack for lane in lanes for name in lane)
            hits = [threads.submit(_trouble, arena, lane, _part(rng), driven) for lane in lanes]
            driven.result()
            hit = sum(told.result() for told in hits)
        driver.stay_away()
        waited = _converge(arena, driver, away=True)
        time.sleep(DELAY_SECONDS + 1)  # what is archived by mistake now would not come back by itself
        driver.come_round()
        waited = max(waited, _converge(arena, driver))
        time.sleep(DELAY_SECONDS + 1)
        result = Result(fault, seed, driver.events, driver.turned, hits=hit, seconds=waited, verdict=Verdict())
        result.verdict = checker.judge(
            findings=arena.hub.findings(),
            journal=arena.hub.journal(),
            census=Census.take(arena.world.cluster, restarted=arena.restarted),
            truth=driver.truth,
            unlisted=driver.unlisted(restarted=arena.restarted),
            triage=driver.triage,
            still=driver.still,
            doubts=arena.doubts,
            slack=NEWS_SECONDS + slack,
            stalled=slack >= STALE,
        )
        if keep is not None and not result.good:
            arena.keep(keep / f"{fault.replace(': ', '-').replace(' ', '-')}-{seed}")
    finally:
        arena.calm()
        arena.world.end()
        driver.clear()
    return result


def _part(rng: random.Random) -> random.Random:
    """One of its own for a thread of its own."""
    return random.Random(rng.random())  # noqa: S311  (repeatable)


def _mixture() -> list[list[str]]:
    """Two faults at once: one between operator and API server, one of the hub or the operator itself."""
    near = [name for name in TROUBLES if name.startswith(("api:", "home:"))]
    return [near, [name for name in TROUBLES if name not in near and name != NONE]]


def _trouble(arena: Arena, names: list[str], rng: random.Random, driven: "Future[None]") -> int:
    """The fault (one of several) comes for a few seconds and goes, again and again; how often it hit."""
    hits: Counter[str] = Counter()
    while not driven.done():
        name = rng.choice(names)
        trouble: Trouble = TROUBLES[name]
        end = trouble.begin(arena, rng)
        time.sleep(rng.uniform(*trouble.lasts))  # how long the fault lasts
        hits[name] += end()
        time.sleep(rng.uniform(0.2, 1.5))  # and how long it stays away
    return hits.total()


def _settled(arena: Arena, driver: Driver, *, away: bool = False) -> bool:
    """`away`: engines are, so that what was one may be one still."""
    back = Counter(entry["id"] for entry in arena.hub.journal() if entry["outcome"] == "reactivated")
    damped = frozenset(id_ for id_, number in back.items() if number >= checker.DAMPED)
    verdict = checker.compare(
        arena.hub.findings(),
        driver.truth.violations(),
        unlisted=driver.unlisted(restarted=arena.restarted),
        unseen=lambda violation: (away and violation.source in {GATEKEEPER, HOURLY}) or driver.truth.unseen(violation),
        damped=damped,
    )
    return verdict.good


def _converge(arena: Arena, driver: Driver, *, away: bool = False) -> float:
    """What the guard holds is approved: here, every loss is real. Audits go on, as in life, unless they stay `away`."""
    arena.approve(*ENGINES, "gatekeeper")
    started, audited = time.monotonic(), float("-inf")

    def settled() -> bool:
        nonlocal audited
        if not away and time.monotonic() - audited > AUDIT_SECONDS:
            driver.rest()
            audited = time.monotonic()
        return _settled(arena, driver, away=away)

    with contextlib.suppress(stand.StandError):  # what is still missing is the checker's to say
        stand.until(settled, seconds=CONVERGE_SECONDS, what="the state that should be", every=0.25)
    return time.monotonic() - started
