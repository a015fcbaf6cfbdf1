"""`python -m tests.hostile` runs every attack scenario against an operator that also serves other tenants, whose
findings must stay exact and prompt, and prints a table.

Exit code 1 if a promise was broken.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.__main__ import seeds
from tests.hostile.harness import Harness
from tests.hostile.run import Result, run_scenario
from tests.hostile.scenario import SCENARIOS
from tests.hostile.table import line, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only these")
    parser.add_argument("--seeds", type=seeds, default=seeds("1"), help="one, or first-last")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="how long each attack lasts, instead of its own time"
    )
    parser.add_argument("--keep", type=Path, help="folder for logs and status of scenarios that break a promise")
    parser.add_argument("--list", action="store_true", help="what there is")
    chosen = parser.parse_args()
    if chosen.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name}: {scenario.about}")
        return 0
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, Harness.open(Path(folder)) as harness:
        for seed in chosen.seeds:
            for name in chosen.scenario or SCENARIOS:
                results.append(
                    run_scenario(harness, SCENARIOS[name], seed=seed, seconds=chosen.seconds, keep=chosen.keep)
                )
                print(line(results[-1]), flush=True)
    print(table(results))
    return 1 if any(result.fails for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
