"""Runs the bench at its smallest size: every table is made, and figures that do not depend on the machine are right. No
time is asserted.
"""

import re

import pytest

from dev.cluster import ControlPlane
from tests.bench.__main__ import SCENES, TABLES, run
from tests.bench.environment import BenchError, Rows, Size, open_environment
from tests.bench.fleet import KINDS

TINY = Size(
    reports=120,
    limits=(60,),
    small=20,
    samples=6,
    spacing=0.05,
    million=50,
    passing=40,
    pods=30,
    fleet=(1, 3),
    fleet_reports=5,
    bad=("flood",),
    steps=20,
    idle=0.1,
    silence=1.0,
    poll=0.2,
    minutes=2,
)
"""240 violations."""

Tables = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def tables(plane: ControlPlane) -> Tables:
    """All tables that need a cluster, in order."""
    made: Tables = {}

    def keep(table: str, rows: Rows) -> None:
        made[table] = dict(rows)

    run(plane, TINY, list(TABLES), keep)
    return made


def test_each_table_has_figures(tables: Tables) -> None:
    """Every table is made, and each of its rows has a number."""
    assert list(tables) == [*SCENES, "limit", "rollup", "million", "fleet", "neighbours"]
    for table, rows in tables.items():
        assert len(rows) >= {"latency": 2, "limit": 2, "neighbours": len(TINY.bad)}.get(table, 4), table
        assert all(re.search(r"\d", figure) for figure in rows.values()), rows


def test_counts_do_not_depend_on_the_machine(tables: Tables) -> None:
    """Everything arrives in the least number of imports; rewrites cost none, and a restart repeats none."""
    sync = tables["sync"]
    found, _, violations = sync["findings in the hub / violations"].partition(" / ")
    assert found == violations
    assert sync["redundant imports"] == "0"
    assert tables["rewrite"]["imports"] == "**0**"
    restart = tables["restart"]
    assert restart["redundant imports"] == "**0**"
    assert restart["CreatedAt moved"] == "0"
    imported, _, fresh = restart["imported findings / fresh violations"].partition(" / ")
    assert imported == fresh == str(TINY.samples)


def test_the_limit_counts_calls(tables: Tables) -> None:
    """A first sync takes the least number of imports; a restart reads each page once, and once asks for findings under
    other identities.
    """
    limit = tables["limit"]
    assert "for 2 calls of 2, which the burst allows" in limit["120 violations: first sync to the last finding"]
    assert re.search(r"for [23] calls of 2, ", limit["120 violations: restart to in sync"])


def test_memory_has_a_row_for_each_size(tables: Tables) -> None:
    """For no violation, some and all, and for reports without any."""
    assert [row for row in tables["memory"] if "violations in" in row] == [
        "0 violations in 0 reports",
        "40 violations in 20 reports",
        "240 violations in 120 reports",
    ]
    assert "40 reports without a violation" in tables["million"]
    assert "30 Pods of 3 Deployments" in tables["rollup"]
    assert tables["rollup"]["requests for them"].count("1 list") == 3
    assert "100 violations in 50 reports" in tables["million"]


def test_a_fleet_has_rows_for_its_sizes(tables: Tables) -> None:
    """The cost of each further cluster: its watch connections, and the least number of calls."""
    fleet = tables["fleet"]
    assert fleet["3 clusters: imports / least possible"] == "3 / 3 = **1.00**"
    each = float(fleet["3 clusters: connections; of a cluster"].partition("; ")[2])
    assert KINDS < each < 2 * KINDS + 10


def test_a_wrong_count_stops_the_bench(plane: ControlPlane) -> None:
    """If the hub does not hold the expected findings, there are no figures."""
    with open_environment(plane, TINY, name="bench-wrong") as env:
        env.fill(5)
        env.extra = 1
        with pytest.raises(BenchError, match="10 active findings where 11 should be"):
            env.synced(env.start(quotas=False))
