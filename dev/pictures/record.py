"""What each committed picture was taken of: a digest of that beside it, so that a check without a browser can compare.

| picture             | its digest is over                                                                          |
|---------------------|---------------------------------------------------------------------------------------------|
| findings-page.png   | the page's files, and every finding that it shows as it is worded now                       |
| dashboard-*.png     | the dashboard as Grafana reads it, and the program that draws it                            |
| demo.svg            | the demo's own words, the findings' titles, kubectl's columns, and the program that draws it |

The record holds the digest of the picture too: one that was replaced by hand is as stale as one that was not taken.
"""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dev.company import Company
from dev.dashboards.files import BOARDS, render
from policyhub.api import crd

FOLDER = Path("docs/images")
RECORD = FOLDER / "pictures.json"
NOW = 1_790_064_000
"""When the company of the findings page is scanned."""
AT = "2026-09-22T08:00:00Z"
"""The same, and when its findings are sent."""
CLUSTER = "harbour"


def findings(root: Path) -> list[dict[str, Any]]:
    """Of the made-up company: what the program of this folder makes of its reports."""
    items = Company.build().documents(now=NOW)
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    target = ["--cluster-name", CLUSTER, "--account-id", "111122223333", "--region", "eu-west-1"]
    command = [sys.executable, "-m", "policyhub", "render", "-", "-o", "json", "--now", AT, *target]
    environment = {"PYTHONPATH": str((root / "operator").resolve()), "PATH": "", "LANG": "C.UTF-8"}
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=environment)
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


def page(root: Path) -> Iterable[bytes]:
    for path in sorted((root / "dev/hub/page").iterdir()):
        yield path.name.encode()
        yield path.read_bytes()
    yield json.dumps(findings(root), sort_keys=True).encode()


def dashboard(name: str, root: Path) -> Iterable[bytes]:
    yield render(BOARDS[name]).encode()
    yield (root / "dev/dashboards/picture.py").read_bytes()


def demo(root: Path) -> Iterable[bytes]:
    """Its words, wherever they stand: a comment or a name may change without a new picture."""
    for path in sorted((root / "dev/demo").glob("*.py")):
        yield "\n".join(_texts(ast.parse(path.read_text("utf-8")))).encode()
    yield "\n".join(finding["Title"] for finding in findings(root)).encode()
    version = crd.definition()["spec"]["versions"][0]
    yield "\n".join(column["name"] for column in version["additionalPrinterColumns"]).encode()
    yield (root / "dev/pictures/terminal.py").read_bytes()


def _texts(tree: ast.Module) -> list[str]:
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in alone)
    return [node.value for node in texts if isinstance(node.value, str)]


PICTURES: Mapping[str, Callable[[Path], Iterable[bytes]]] = {
    "findings-page.png": page,
    "dashboard-cluster.png": partial(dashboard, "cluster.json"),
    "dashboard-fleet.png": partial(dashboard, "fleet.json"),
    "demo.svg": demo,
}
"""By their names in docs/images: what each is of."""


def digest(parts: Iterable[bytes]) -> str:
    """Of all of them, each with its length."""
    made = hashlib.sha256()
    for part in parts:
        made.update(f"{len(part)}:".encode())
        made.update(part)
    return made.hexdigest()[:32]


def recorded(root: Path) -> dict[str, dict[str, str]]:
    path = root / RECORD
    found: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def record(root: Path, names: Iterable[str]) -> None:
    """These pictures are of what there is now."""
    found = recorded(root)
    found |= {name: _entry(root, name) for name in names}
    kept = {name: found[name] for name in PICTURES if name in found}
    (root / RECORD).write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def stale(root: Path) -> dict[str, str]:
    """Pictures that are of something else than there is now, and why."""
    found = recorded(root)
    told: dict[str, str] = {}
    for name in PICTURES:
        path = root / FOLDER / name
        if not path.is_file():
            told[name] = "was never taken"
        elif name not in found:
            told[name] = "is not in the record"
        elif found[name]["of"] != digest(PICTURES[name](root)):
            told[name] = "shows what has changed since"
        elif found[name]["picture"] != digest([path.read_bytes()]):
            told[name] = "is not the one that was recorded"
    return told


def _entry(root: Path, name: str) -> dict[str, str]:
    return {"of": digest(PICTURES[name](root)), "picture": digest([(root / FOLDER / name).read_bytes()])}
