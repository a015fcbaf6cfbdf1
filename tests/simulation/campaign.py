"""Runs many seeds on all processors, reports which promises they broke, and the shortest story of each failing seed."""

import gc
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import repeat
from multiprocessing import get_context

from tests.simulation.oracle import PROMISES
from tests.simulation.scenario import Scenario, Size, shortest
from tests.simulation.starts import STORIES
from tests.simulation.world import Outcome

SHORTENED = 10
"""How many failing seeds get a shortest story."""


def numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def campaign(seeds: Sequence[int], kinds: Sequence[str], *, size: Size, jobs: int, shorten: bool) -> int:
    began = time.perf_counter()
    total, found = Outcome([], []), Counter[str]()
    allowed: Counter[str] = Counter()
    failing: list[int] = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(one, seed, tuple(kinds), size) for seed in seeds]):
            seed, outcome = done.result()
            total.days += outcome.days
            total.events += outcome.events
            total.faults += outcome.faults
            total.imports += outcome.imports
            allowed.update(outcome.allowed)
            found.update(broken.promise for broken in outcome.broken)
            if outcome.broken:
                failing.append(seed)
                print(f"seed {seed}: {dict(Counter(b.promise for b in outcome.broken))}", flush=True)
        shortened = sorted(failing)[:SHORTENED] if shorten else []
        for text in pool.map(story, shortened, repeat(tuple(kinds)), repeat(size)):
            print(text, flush=True)
    seconds = time.perf_counter() - began
    print(f"{len(seeds)} seeds, {len(failing)} broken {sorted(failing)[:40]}")
    print(
        f"{total.days:.1f} cluster-days, {total.events} events, {total.faults} faults and restarts,"
        f" {total.imports} imports in {seconds:.0f} s ({total.days / seconds:.1f} days a second)"
    )
    print("broken:", ", ".join(f"{promise} {found[promise]}" for promise in PROMISES))
    print("allowed:", dict(sorted(allowed.items())))
    return 1 if failing else 0


def one(seed: int, kinds: tuple[str, ...], size: Size) -> tuple[int, Outcome]:
    gc.set_threshold(100_000)  # a world consists of millions of small objects that live until its end
    try:
        outcome = Scenario.of(seed, kinds, size).play()
    except Exception as error:
        raise RuntimeError(f"seed {seed}: {error!r}") from error
    outcome.journal = []
    return seed, outcome


def story(seed: int, kinds: tuple[str, ...], size: Size) -> str:
    """The shortest story that breaks the same promise as the full scenario broke first."""
    gc.set_threshold(100_000)
    whole = Scenario.of(seed, kinds, size)
    promise = whole.play().broken[0].promise
    found = shortest(whole, lambda outcome: promise in outcome.promises)
    lines = [f"\nseed {seed}, {len(whole.actions)} actions, shortest story:", *(f"  {one}" for one in found.actions)]
    return "\n".join([*lines, *(f"  -> {one}" for one in found.play().broken[:5])])


def _play(name: str) -> Outcome:
    outcome = STORIES[name].play()
    outcome.journal = []
    return outcome


def play_stories(names: Sequence[str], *, jobs: int) -> int:
    """Run named stories, or all of them."""
    names = sorted(STORIES) if "all" in names else names
    failed = False
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(_play, names))
    for name, outcome in zip(names, outcomes, strict=True):
        failed |= bool(outcome.broken)
        found = dict(Counter(b.promise for b in outcome.broken))
        print(f"{name} [{STORIES[name].rows}]: {STORIES[name].right}")
        print(f"  {found or 'as it should be'}; {outcome.days:.1f} days, {outcome.imports} imports, {outcome.allowed}")
        for promise in found:
            print(f"  -> {next(b for b in outcome.broken if b.promise == promise)}", flush=True)
    return int(failed)
