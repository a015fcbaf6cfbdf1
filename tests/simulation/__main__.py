"""`python -m tests.simulation --seeds 1-200` runs random scenarios in virtual time, one per seed, and prints the
shortest story of each that breaks a promise. `--story NAME` runs a named story. `--list` prints all kinds of actions
and all stories.
"""

import argparse
import os
import sys

from tests.simulation.campaign import campaign, numbers, play_stories
from tests.simulation.faults import KINDS
from tests.simulation.mutations import survivors
from tests.simulation.scenario import LONG, SHORT
from tests.simulation.stories import table

HASH_SEED = "0"
"""Without a fixed hash seed, sets of strings would iterate in another order in each process, and a seed would not
repeat.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="1-20", help="such as 7, or 1-10000")
    parser.add_argument("--only", nargs="+", metavar="KIND", default=None, help="use only these kinds of actions")
    parser.add_argument("--without", nargs="+", metavar="KIND", default=(), help="kinds of actions to leave out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--short", action="store_true", help="worlds of a few hours, a third of the time for each")
    parser.add_argument("--story", nargs="+", metavar="NAME", help="named stories in place of seeds; `all`")
    parser.add_argument(
        "--whole", action="store_true", help="print which seeds fail, without the shortest story of each"
    )
    parser.add_argument(
        "--mutations", action="store_true", help="revert each fix: its stories must then break a promise"
    )
    parser.add_argument("--list", action="store_true", help="kinds of actions, and stories")
    options = parser.parse_args()
    if options.list:
        print("kinds:", ", ".join(sorted(KINDS)))
        print("stories:\nname, rows, the right outcome")
        print(table())
        return 0
    if options.mutations:
        lines = survivors(jobs=options.jobs)
        print("\n".join(lines) or "each mutation is detected")
        return int(bool(lines))
    if options.story:
        return play_stories(options.story, jobs=options.jobs)
    selected = set(options.only) if options.only else set(KINDS)
    kinds = sorted(selected - set(options.without))
    if unknown := set(kinds) - KINDS.keys():
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    size = SHORT if options.short else LONG
    return campaign(list(numbers(options.seeds)), kinds, size=size, jobs=options.jobs, shorten=not options.whole)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])  # noqa: S606  (ourselves)
    sys.exit(main())
