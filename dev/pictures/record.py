"""Records a digest of the content of each committed picture, so that a check without a browser finds stale ones.

| picture             | the digest includes                                                                         |
|---------------------|---------------------------------------------------------------------------------------------|
| findings-page.png   | the page's files, and the current text of all its findings                                  |
| dashboard-*.png     | the dashboard as Grafana reads it, and the program that draws it                            |
| demo.svg            | the demo's texts, the findings' titles, kubectl's columns, and the program that draws it    |

The record also has the digest of the picture, so that one that was replaced by hand is stale.
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
"""The same time, at which its findings are sent."""
CLUSTER = "harbour"


def findings(root: Path) -> list[dict[str, Any]]:
    """The findings of the invented company's reports, rendered by the policyhub below `root`."""
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
    """All its string constants: comments and names can change without a new picture."""
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
"""Name in docs/images → the content of the picture."""


def digest(parts: Iterable[bytes]) -> str:
    """Of all parts, each with its length."""
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
    """Records that these pictures are up to date."""
    found = recorded(root)
    found |= {name: _entry(root, name) for name in names}
    kept = {name: found[name] for name in PICTURES if name in found}
    (root / RECORD).write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def stale(root: Path) -> dict[str, str]:
    """Stale pictures, each with the reason."""
    found = recorded(root)
    reasons: dict[str, str] = {}
    for name in PICTURES:
        path = root / FOLDER / name
        if not path.is_file():
            reasons[name] = "was never taken"
        elif name not in found:
            reasons[name] = "is not in the record"
        elif found[name]["of"] != digest(PICTURES[name](root)):
            reasons[name] = "is out of date"
        elif found[name]["picture"] != digest([path.read_bytes()]):
            reasons[name] = "is not the recorded one"
    return reasons


def _entry(root: Path, name: str) -> dict[str, str]:
    return {"of": digest(PICTURES[name](root)), "picture": digest([(root / FOLDER / name).read_bytes()])}
