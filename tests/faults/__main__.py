"""`python -m tests.faults`: every fault with several seeds, as a table; exit code 1 where a promise was broken, or
where a fault never hit.
"""

import argparse
import contextlib
import queue
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from dev.cluster import ControlPlane
from tests.faults.arena import Arena
from tests.faults.run import Result, run
from tests.faults.table import line, table
from tests.faults.trouble import FAULTS


def seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds("1-3"), help="one, or first-last")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="only these")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="how long the cluster changes in each run, at least"
    )
    parser.add_argument("--changes", type=int, default=0, help="how many changes there are in each run, at least")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each in a cluster of its own")
    parser.add_argument("--keep", type=Path, help="folder for logs, metrics and journal of runs that break a promise")
    chosen = parser.parse_args()
    plan = [(fault, seed) for seed in chosen.seeds for fault in chosen.fault or FAULTS]
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plane = stack.enter_context(ControlPlane.start(progress=print))
        arenas: queue.SimpleQueue[Arena] = queue.SimpleQueue()
        for number in range(min(chosen.jobs, len(plan))):
            arenas.put(stack.enter_context(Arena.open(plane, folder, name=f"faults-{number + 1}")))

        def one(fault: str, seed: int) -> Result:
            arena = arenas.get()
            try:
                return run(arena, fault, seed=seed, seconds=chosen.seconds, changes=chosen.changes, keep=chosen.keep)
            finally:
                arenas.put(arena)

        with ThreadPoolExecutor(chosen.jobs) as threads:
            for done in as_completed([threads.submit(one, *what) for what in plan]):
                results.append(done.result())
                print(line(results[-1]), flush=True)
    print(table(results, FAULTS))
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
