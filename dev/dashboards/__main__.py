"""`python -m dev.dashboards --write|--check|--draw FOLDER`: the JSON files of the chart, and pictures of them.

The pictures are of a real run (trial.py): in the midst of its first sync, and at its end. They need Debian's
prometheus, and chromium for the PNG files beside the pages.
"""

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path

from dev.dashboards.board import Board, to_json
from dev.dashboards.cluster import CLUSTER
from dev.dashboards.fleet import FLEET

FOLDER = Path("charts/policyhub/dashboards")
BOARDS = {"cluster.json": CLUSTER, "fleet.json": FLEET}
COPIES = 40
SECONDS = 300


def render(board: Board) -> str:
    return json.dumps(to_json(board), indent=1, ensure_ascii=False) + "\n"


def draw(folder: Path) -> None:
    """Play the run and draw each dashboard twice. Raises PrometheusError."""
    # These start servers; writing and checking the files needs none of them.
    from dev.cluster import ControlPlane  # noqa: PLC0415
    from dev.dashboards import picture  # noqa: PLC0415
    from dev.dashboards.prometheus import Prometheus  # noqa: PLC0415
    from dev.dashboards.trial import VARIABLES, trial  # noqa: PLC0415
    from dev.hub.process import HubProcess  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)

    def look(prometheus: Prometheus, *, when: str = "sync", note: str = "In the midst of the first sync") -> None:
        for name, board in BOARDS.items():
            html = folder / f"{board.uid}-{when}.html"
            page = picture.page(board, prometheus, VARIABLES[name], seconds=SECONDS, note=note)
            html.write_text(page, encoding="utf-8")
            with suppress(FileNotFoundError):  # no Chromium: the page is the picture
                picture.screenshot(html, html.with_suffix(".png"), height=picture.height(board))
            print(html)

    with (
        ControlPlane.start(progress=print) as plane,
        HubProcess.start() as hub,
        trial(plane.cluster("boards"), hub, folder, copies=COPIES, look=look) as prometheus,
    ):
        look(prometheus, when="day", note="A sync, an analyst's triage, a restart, fixes, throttling and relapses")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.dashboards", description="The chart's Grafana dashboards.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail if a file is out of date")
    action.add_argument("--draw", type=Path, metavar="FOLDER", help="play a run, and draw the dashboards there")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: here)")
    options = parser.parse_args()
    if options.draw:
        draw(options.draw)
        return 0
    folder = options.root / FOLDER
    if options.write:
        folder.mkdir(exist_ok=True)
    stale = False
    for name, board in BOARDS.items():
        path, text = folder / name, render(board)
        if options.write:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            sys.stderr.write(f"{FOLDER / name} is out of date: run `python -m dev.dashboards --write`\n")
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
