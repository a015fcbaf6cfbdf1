"""`python -m tests.faults` runs every fault with several seeds and prints a table, then runs every story. Exit code 1
if a promise was broken, a fault never hit a request, or a story failed.
"""

import argparse
import contextlib
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from dev.cluster import ControlPlane
from tests.faults import stories
from tests.faults.harness import Harness
from tests.faults.injections import FAULTS
from tests.faults.run import Result, run
from tests.faults.table import line, table


def seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds("1-3"), help="one, or first-last")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="run only these faults")
    parser.add_argument(
        "--story", choices=["all", *stories.STORIES], action="append", help="run these stories instead of faults"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="how long the cluster changes in each run, at least"
    )
    parser.add_argument("--changes", type=int, default=0, help="how many changes there are in each run, at least")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each in a cluster of its own")
    parser.add_argument("--keep", type=Path, help="folder for logs, metrics and journal of runs that break a promise")
    chosen = parser.parse_args()
    if chosen.story:
        return run_stories(list(stories.STORIES) if "all" in chosen.story else chosen.story)
    plan = [(fault, seed) for seed in chosen.seeds for fault in chosen.fault or FAULTS]
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plane = stack.enter_context(ControlPlane.start(progress=print))
        harnesses: queue.SimpleQueue[Harness] = queue.SimpleQueue()
        for number in range(min(chosen.jobs, len(plan))):
            harnesses.put(stack.enter_context(Harness.open(plane, folder, name=f"faults-{number + 1}")))

        def one(fault: str, seed: int) -> Result:
            harness = harnesses.get()
            try:
                return run(harness, fault, seed=seed, seconds=chosen.seconds, changes=chosen.changes, keep=chosen.keep)
            finally:
                harnesses.put(harness)

        with ThreadPoolExecutor(chosen.jobs) as threads:
            for done in as_completed([threads.submit(one, *what) for what in plan]):
                results.append(done.result())
                print(line(results[-1]), flush=True)
    print(table(results, FAULTS))
    broken = 0 if chosen.fault else run_stories(list(stories.STORIES))
    return broken or int(not all(result.good for result in results))


def run_stories(names: list[str]) -> int:
    """Run stories, one after the other, in one cluster."""
    broken = False
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plane = stack.enter_context(ControlPlane.start(progress=print))
        harness = stack.enter_context(Harness.open(plane, folder))
        for name in names:
            started = time.monotonic()
            problems = stories.run(harness, name)
            broken |= bool(problems)
            print(stories.line(name, problems, seconds=time.monotonic() - started), flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
