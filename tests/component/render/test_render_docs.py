"""The commands of docs/render.md print what the page shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PAGE = (Path(__file__).parents[3] / "docs" / "render.md").read_text(encoding="utf-8")
REPORTS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
SESSIONS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
MARK = "\x1e"
# the exit code of one command may matter to the next
MARKED = f"mark() {{ code=$?; printf '{MARK}'; return $code; }}\n"


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """With `policyhub`, and a `kubectl` that prints the page's report."""
    bin_ = folder / "bin"
    bin_.mkdir()
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(REPORTS)]})
    for name, line in (("policyhub", f'exec {sys.executable} -m policyhub "$@"'), ("kubectl", f"echo '{listed}'")):
        (bin_ / name).write_text(f"#!/bin/sh\n{line}\n")
        (bin_ / name).chmod(0o755)
    (folder / "reports.yaml").write_text(REPORTS)
    (folder / "broken.yaml").write_text(REPORTS.replace("severity: high", "severity: 3"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "KUBE", "POLICYHUB_"))}
    return subprocess.run(  # noqa: S603  (this project's own program)
        ["/bin/sh", "-c", f"exec 2>&1\n{script}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={**clean, "PATH": f"{bin_}:{os.environ['PATH']}", "COLUMNS": "120", "KUBECONFIG": str(folder / "absent")},
    )


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.splitlines()[0])
def test_documented_output(session: str, tmp_path: Path) -> None:
    """Every command prints the lines below it, or starts with them."""
    shown = [part.partition("\n") for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]]
    done = shell(MARKED + "mark\n".join(f"{command}\n" for command, _, _ in shown), tmp_path)
    for (command, _, lines), output in zip(shown, done.stdout.split(MARK), strict=True):
        assert output.startswith(lines), command
        assert output == lines or "--explain" in command


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_commands_are_valid(command: str, tmp_path: Path) -> None:
    """Every command for a cluster is parsed; without one, --live says that there is none."""
    done = shell(command, tmp_path)
    expected = 2 if "--live" in command else 0
    assert done.returncode == expected, done.stdout
    assert "Usage:" not in done.stdout
