"""The chart's dashboards as files."""

import json
from pathlib import Path

from dev.dashboards.board import Board, to_json
from dev.dashboards.cluster import CLUSTER
from dev.dashboards.fleet import FLEET

FOLDER = Path("charts/policyhub/dashboards")
BOARDS = {"cluster.json": CLUSTER, "fleet.json": FLEET}


def render(board: Board) -> str:
    return json.dumps(to_json(board), indent=1, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """By path relative to the project."""
    return {FOLDER / name: render(board) for name, board in BOARDS.items()}
