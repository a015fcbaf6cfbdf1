"""Builds, tests and publishing are pinned, have least permissions, and match the rest of the project."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster import toolchain
from dev.image.root import left_out

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
DOCKERFILES = [ROOT / "Dockerfile", ROOT / "dev/kind/hub.Dockerfile"]


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """Every action is named by a commit, with its version beside it."""
    uses = re.findall(r"uses: (.*)", path.read_text("utf-8"))
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_is_one_version() -> None:
    """No action is pinned twice in different versions."""
    lines = {line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text("utf-8"))}
    names = [line.partition("@")[0] for line in lines]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_least_permissions(path: Path) -> None:
    """A workflow has none, each job names its own and has a timeout; only a release writes; no token stays on disk."""
    document = yaml.safe_load(path.read_text("utf-8"))
    assert document["permissions"] == {}
    assert document["concurrency"]
    for name, job in jobs(path).items():
        assert job["timeout-minutes"], name
        written = {scope for scope, level in job["permissions"].items() if level == "write"}
        assert not written or path.name == "release.yml", name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_events_are_not_pasted_into_scripts(path: Path) -> None:
    """A script reads event data from its environment: pasted in, it would be executed."""
    for name, job in jobs(path).items():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), name


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_base_is_pinned(path: Path) -> None:
    """Every base from a registry has a tag for readers and a digest; all are the same."""
    bases = re.findall(r"^FROM (\S+/\S+)", path.read_text("utf-8"), re.MULTILINE)
    assert bases
    pinned = re.findall(r"^FROM (\S+/\S+)", DOCKERFILES[0].read_text("utf-8"), re.MULTILINE)
    for base in bases:
        assert re.fullmatch(r"docker\.io/library/python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
        assert base in pinned


def test_the_engines_of_kind() -> None:
    """The kind cluster uses the engine versions that the project builds elsewhere."""
    script = (ROOT / "dev/kind/up.sh").read_text("utf-8")
    (kyverno,) = re.findall(r"^kyverno=\S+ +# Kyverno (v\S+)$", script, re.MULTILINE)
    (gatekeeper,) = re.findall(r"^gatekeeper=(\S+)$", script, re.MULTILINE)
    assert kyverno == toolchain.RECIPES["kyverno-reports-controller"].version
    assert f"v{gatekeeper}" == toolchain.RECIPES["gatekeeper"].version


@pytest.mark.parametrize("script", sorted((ROOT / "dev").rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    """Every script is executable, stops at errors or says that it does not, and is POSIX shell."""
    text = script.read_text("utf-8")
    assert script.stat().st_mode & 0o111
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in text or "\nset -u\n" in text
    subprocess.run(["/bin/sh", "-n", script], check=True)  # noqa: S603  (a file of the repository)


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("asyncio", False),
        ("json", False),
        ("sqlite3", True),
        ("_sqlite3.cpython-313-x86_64-linux-gnu.so", True),
        ("_ssl.cpython-313-x86_64-linux-gnu.so", False),
        ("_testcapi.cpython-313-x86_64-linux-gnu.so", True),
        ("config-3.13-x86_64-linux-gnu", True),
        ("ensurepip", True),
        ("site-packages", True),
        ("LICENSE.txt", False),
        ("test", True),
        ("unittest", False),
    ],
)
def test_modules_left_out_of_the_image(name: str, out: bool) -> None:  # noqa: FBT001  (a column of the table)
    """From the standard library, by name."""
    assert left_out(name) is out


def test_the_hub_image_has_what_the_hub_imports() -> None:
    """Each package outside the standard library that dev/hub imports is installed by its Dockerfile."""
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "dev/hub").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    expected = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"dev"}
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/run.lock").read_text("utf-8"), re.MULTILINE)
    (more,) = re.findall(r"/\^\((\S+)\)==/", DOCKERFILES[1].read_text("utf-8"))
    assert expected <= {*locked, *more.split("|")}
