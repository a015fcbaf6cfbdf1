"""`python -m tests.bench` measures the operator's cost and speed. docs/performance.md explains the figures.

Prints one Markdown table for each requested table. Ratios and counts are more reliable than seconds.
"""

import argparse
from collections.abc import Callable

from dev.cluster import Plane, open_plane
from tests.bench import fleet, limit, mapping, memory, neighbours, one_operator, steps
from tests.bench.environment import FULL, QUICK, Environment, Rows, Size, log, open_environment

SCENES: dict[str, Callable[[Environment], None]] = {
    "memory": memory.memory,
    "speed": one_operator.speed,
    "sync": one_operator.sync,
    "latency": one_operator.latency,
    "rewrite": one_operator.rewrite,
    "restart": one_operator.restart,
}
"""The tables of one cluster, in the order in which each starts from the state that the one before has left."""
TABLES = ("mapping", "steps", *SCENES, "limit", "rollup", "million", "fleet", "neighbours")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, about three minutes")
    parser.add_argument("--table", choices=TABLES, action="append", help="only this; may be repeated")
    given = parser.parse_args()
    selected = [table for table in TABLES if table in (given.table or TABLES)]
    size = QUICK if given.quick else FULL
    if "mapping" in selected:
        show("mapping", mapping.table(size.steps))
    if "steps" in selected:
        show("steps", steps.table(size.steps))
    if not {"mapping", "steps"}.issuperset(selected):
        with open_plane(progress=log) as plane:
            run(plane, size, selected, show)


def run(plane: Plane, size: Size, selected: list[str], show: Callable[[str, Rows], None]) -> None:
    """Run the tables that need a cluster; `show` gets each when it is finished."""
    env_tables = [table for table in selected if table in SCENES]
    if env_tables:
        with open_environment(plane, size) as env:
            for table in env_tables:
                log(table)
                env.rows = []
                SCENES[table](env)
                show(table, env.rows)
    others = {
        "limit": limit.limit,
        "rollup": memory.rollup,
        "million": memory.million,
        "fleet": fleet.fleet,
        "neighbours": neighbours.neighbours,
    }
    for table, make in others.items():
        if table in selected:
            log(table)
            show(table, make(plane, size))


def show(table: str, rows: Rows) -> None:
    print(f"\n| {table} | measured |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
