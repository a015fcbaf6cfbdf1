"""The command `python -m dev.cluster`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from dev.cluster import Cluster


def test_up_until_interrupted(tmp_path: Path) -> None:
    """`up` writes a working kubeconfig and prints it in an export line; ctrl-c ends it without leftovers."""
    out = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "dev.cluster", "up", "--name", "one", "--kubeconfig-out", str(out)]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as up:  # noqa: S603 - this Python
        assert up.stdout is not None
        lines = iter(up.stdout.readline, "")
        assert next(line for line in lines if "export" in line) == f"  export KUBECONFIG={out}\n"
        cluster = Cluster("one", yaml.safe_load(out.read_text()))
        assert cluster.request("GET", "/readyz")["message"] == "ok"
        cluster.close()
        up.send_signal(signal.SIGINT)
        assert list(lines) == ["\n", "stopping\n"]
    assert up.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_path_of_a_program() -> None:
    """`path` prints one line on standard output, for scripts."""
    command = [sys.executable, "-m", "dev.cluster", "path", "helm"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this Python
    (path,) = run.stdout.splitlines()
    assert os.access(path, os.X_OK)
