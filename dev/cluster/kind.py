"""Clusters of kind, for machines with Docker.

Not covered by the project's tests, which run without Docker. Each cluster has one node with kind's defaults, and a name
that is unique to the run; `stop` only deletes clusters of this run.
"""

import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from dev.cluster.cluster import Cluster, Plane
from dev.cluster.gobuild import Progress, silent
from dev.cluster.local import StartError

WAIT = "180s"  # for the node to be ready, including the image pull


def docker_answers() -> bool:
    """Whether kind is installed, and the Docker engine answers within a few seconds."""
    if not (shutil.which("kind") and shutil.which("docker")):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class KindPlane(Plane):
    def __init__(self, *, progress: Progress = silent) -> None:
        super().__init__()
        self._progress = progress
        self._folder = Path(tempfile.mkdtemp(prefix="policyhub-kind-"))
        self._run = secrets.token_hex(3)
        self._made: list[str] = []

    def cluster(self, name: str) -> Cluster:
        if name not in self._clusters:
            full = f"policyhub-{name}-{self._run}"
            config = self._folder / f"{name}.yaml"
            self._progress(f"creating the kind cluster {full}; the first one downloads its node image")
            self._made.append(full)  # even if the creation fails
            self._kind("create", "cluster", "--name", full, "--kubeconfig", str(config), "--wait", WAIT)
            self._clusters[name] = Cluster(name, yaml.safe_load(config.read_text(encoding="utf-8")))
        return self._clusters[name]

    def stop(self) -> None:
        super().stop()
        while self._made:
            self._kind("delete", "cluster", "--name", self._made.pop(), "--kubeconfig", str(self._folder / "deleted"))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kind(self, *arguments: str) -> None:
        run = subprocess.run(["kind", *arguments], capture_output=True, text=True, check=False)
        if run.returncode:
            raise StartError(f"kind {' '.join(arguments)} failed:\n{run.stderr.strip()[-2000:]}")
