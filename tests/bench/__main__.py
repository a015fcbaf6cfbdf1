"""`python -m tests.bench`: what policyhub costs and how quick it is. docs/performance.md says what the figures mean.

Prints one Markdown table for each of the tables that are asked for. Ratios and counts say more than seconds.
"""

import argparse
from collections.abc import Callable

from dev.cluster import Plane, open_plane
from tests.bench import course, fleet, limit, mapping, memory, neighbours, steps
from tests.bench.scene import FULL, QUICK, Rows, Scene, Size, opened, say

SCENES: dict[str, Callable[[Scene], None]] = {
    "memory": memory.memory,
    "speed": course.speed,
    "sync": course.sync,
    "latency": course.latency,
    "rewrite": course.rewrite,
    "restart": course.restart,
}
"""Those of one cluster, in the order in which each finds what the one before has left."""
TABLES = ("mapping", "steps", *SCENES, "limit", "rollup", "million", "fleet", "neighbours")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, about three minutes")
    parser.add_argument("--table", choices=TABLES, action="append", help="only this; may be repeated")
    given = parser.parse_args()
    wanted = [table for table in TABLES if table in (given.table or TABLES)]
    size = QUICK if given.quick else FULL
    if "mapping" in wanted:
        show("mapping", mapping.table(size.steps))
    if "steps" in wanted:
        show("steps", steps.table(size.steps))
    if not {"mapping", "steps"}.issuperset(wanted):
        with open_plane(progress=say) as plane:
            run(plane, size, wanted, show)


def run(plane: Plane, size: Size, wanted: list[str], show: Callable[[str, Rows], None]) -> None:
    """The tables that need a cluster; `show` gets each when it is done."""
    scenes = [table for table in wanted if table in SCENES]
    if scenes:
        with opened(plane, size) as scene:
            for table in scenes:
                say(table)
                scene.rows = []
                SCENES[table](scene)
                show(table, scene.rows)
    others = {
        "limit": limit.limit,
        "rollup": memory.rollup,
        "million": memory.million,
        "fleet": fleet.fleet,
        "neighbours": neighbours.neighbours,
    }
    for table, make in others.items():
        if table in wanted:
            say(table)
            show(table, make(plane, size))


def show(table: str, rows: Rows) -> None:
    print(f"\n| {table} | measured |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
