"""`python -m dev.dashboards FOLDER`: pictures of the dashboards.

They show a real run (trial.py), during its first sync and at its end. Needs Debian's prometheus, and chromium for PNG
files in addition to the HTML pages.
"""

import argparse
from contextlib import suppress
from pathlib import Path

from dev.cluster import ControlPlane
from dev.dashboards import picture
from dev.dashboards.files import BOARDS
from dev.dashboards.prometheus import Prometheus
from dev.dashboards.trial import VARIABLES, trial
from dev.hub.process import HubProcess

COPIES = 40
SECONDS = 300


def draw(folder: Path) -> None:
    """Plays the run, and draws each dashboard twice. Raises PrometheusError."""
    folder.mkdir(parents=True, exist_ok=True)

    def look(prometheus: Prometheus, *, when: str = "sync", note: str = "During the first sync") -> None:
        for name, board in BOARDS.items():
            html = folder / f"{board.uid}-{when}.html"
            page = picture.page(board, prometheus, VARIABLES[name], seconds=SECONDS, note=note)
            html.write_text(page, encoding="utf-8")
            with suppress(FileNotFoundError):  # without Chromium, the page is the only output
                picture.screenshot(html, html.with_suffix(".png"), height=picture.height(board))
            print(html)

    with (
        ControlPlane.start(progress=print) as plane,
        HubProcess.start() as hub,
        trial(plane.cluster("boards"), hub, folder, copies=COPIES, look=look) as prometheus,
    ):
        look(prometheus, when="day", note="A sync, an analyst's triage, a restart, fixes, throttling and relapses")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.dashboards", description="Pictures of the dashboards.")
    parser.add_argument("folder", type=Path, help="where to draw them")
    draw(parser.parse_args().folder)


if __name__ == "__main__":
    main()
