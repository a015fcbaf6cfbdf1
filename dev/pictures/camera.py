"""Takes pictures of the findings page, of the dashboards after a real run, and of the demo in a terminal."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dev.dashboards.__main__ import draw
from dev.hub.process import HubProcess, access_key
from dev.pictures import terminal
from dev.pictures.record import FOLDER, findings

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
SEARCH = "gateway"
DEMO_SECONDS = 3_600


class PictureError(Exception):
    """A picture could not be taken; the message says what is missing."""


def findings_page(root: Path) -> None:
    """Findings of one workload, with one opened."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  (only installed with requirements/browser.lock)

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise PictureError("Chromium was not found: install it, or set CHROMIUM to its path")
    with HubProcess.start(quotas=False) as hub, sync_playwright() as playwright:
        _import(hub, findings(root))
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{hub.url}/?text={SEARCH}")
        page.locator("#rows .open").first.click()
        page.get_by_role("complementary", name="Finding").wait_for()
        page.evaluate("document.fonts.ready")
        page.screenshot(path=root / FOLDER / "findings-page.png")
        browser.close()


def _import(hub: HubProcess, made: list[dict[str, Any]]) -> None:
    import boto3  # noqa: PLC0415  (slow to load, and only this picture needs it)

    account = hub.accounts[0]
    client = boto3.client(
        "securityhub",
        region_name="eu-west-1",
        endpoint_url=hub.url,
        aws_access_key_id=access_key(account),
        aws_secret_access_key="none",  # noqa: S106  (no secret: the stand-in verifies no signature)
    )
    for start in range(0, len(made), 100):
        answer = client.batch_import_findings(Findings=made[start : start + 100])
        if answer["FailedCount"]:
            raise PictureError(f"the local Security Hub rejects {answer['FailedFindings'][0]}")


def dashboards(root: Path) -> None:
    """During the first sync, and at the end of the run. Needs Debian's prometheus and chromium."""
    if shutil.which("prometheus") is None or shutil.which("chromium") is None:
        raise PictureError("the dashboards need Debian's prometheus and chromium")
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        for name, taken in (("cluster", "policyhub-cluster-sync"), ("fleet", "policyhub-fleet-day")):
            shutil.copyfile(Path(folder) / f"{taken}.png", root / FOLDER / f"dashboard-{name}.png")


def demo(root: Path) -> None:
    """The whole output of `make demo`, as plain lines."""
    command = [sys.executable, "-m", "dev.demo", "--plain"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
    if done.returncode:
        raise PictureError(f"the demo failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    lines = [_here(line, root) for line in done.stdout.splitlines()]
    (root / FOLDER / "demo.svg").write_text(terminal.svg("make demo", lines), "utf-8")


def _here(line: str, root: Path) -> str:
    """Replaces this machine's paths."""
    places = {str(root.resolve()): ".", str(Path.home()): "~", tempfile.gettempdir(): "/tmp"}  # noqa: S108  (only written into the picture)
    for place, shown in places.items():
        line = line.replace(place, shown)
    return line


TAKEN_BY: Mapping[Callable[[Path], None], tuple[str, ...]] = {
    findings_page: ("findings-page.png",),
    dashboards: ("dashboard-cluster.png", "dashboard-fleet.png"),
    demo: ("demo.svg",),
}
"""Function → the pictures that it takes."""
