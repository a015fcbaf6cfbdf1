"""The chart's dashboards equal their definitions, and their metrics exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dev import metrics
from dev.dashboards.board import COLUMNS, Board, to_json
from dev.dashboards.files import BOARDS, FOLDER, render
from dev.dashboards.picture import shown

ROOT = Path(__file__).resolve().parents[3]
EACH = pytest.mark.parametrize(("name", "board"), BOARDS.items(), ids=BOARDS)


def test_the_files_equal_the_definitions() -> None:
    """The chart has no other dashboards."""
    assert {path.name for path in (ROOT / FOLDER).iterdir()} == BOARDS.keys()


@EACH
def test_queries_use_existing_metrics(name: str, board: Board) -> None:
    """The operator exports each metric in a query or a variable."""
    known = {metric.name for metric in metrics.definitions()}
    asked = [query.expr for panel in board.panels for query in panel.queries] + [v.query for v in board.variables]
    for expr in asked:
        names = re.findall(r"policyhub_\w+", expr)
        assert names or "process_" in expr
        for one in names:
            assert one.removesuffix("_bucket") in known


@EACH
def test_panels_do_not_overlap(name: str, board: Board) -> None:
    """Each panel has its own place in Grafana's grid, an id, and a description."""
    taken: set[tuple[int, int]] = set()
    panels: list[dict[str, Any]] = to_json(board)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < COLUMNS
        assert panel["type"] == "row" or panel["description"]
        taken |= cells


@EACH
def test_a_config_map_can_hold_it(name: str, board: Board) -> None:
    """A ConfigMap holds at most 1 MiB; both dashboards are far below it. They contain no path or address of a
    machine.
    """
    text = render(board)
    assert len(text) < 100_000
    assert json.loads(text)["uid"] == board.uid
    assert "127.0.0.1" not in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.4, "s", "0.4 s"),
        (75, "s", "1.25 min"),
        (3 * 86_400, "s", "3 d"),
        (8526, "short", "8526"),
        (4263.5, "short", "4264"),
        (123_456, "short", "123 k"),
        (8, "reqps", "8/s"),
        (2.25, "reqps", "2.25/s"),
        (148e6, "bytes", "148 MB"),
    ],
)
def test_numbers_are_short(value: float, unit: str, text: str) -> None:
    """A number in a picture is as short as possible."""
    assert shown(value, unit) == text
