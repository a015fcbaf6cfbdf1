"""A cluster admin's shell."""

import os
import subprocess
import sys
from pathlib import Path

from dev.cluster import Cluster, toolchain

ROOT = Path(__file__).parents[3]
NOT_HERE = ("kubectl rollout", "aws ")
"""Addresses of nodes and of AWS."""


class Shell:
    """A user's shell: helm, kubectl and policyhub on PATH, the cluster in KUBECONFIG, in the project's folder."""

    def __init__(self, cluster: Cluster, folder: Path, **environment: str) -> None:
        """`environment`: further variables, such as credentials."""
        bin_ = folder / "bin"
        bin_.mkdir()
        (bin_ / "helm").symlink_to(toolchain.ensure("helm"))
        (bin_ / "kubectl").symlink_to(toolchain.ensure("kubectl"))
        (bin_ / "policyhub").symlink_to(Path(sys.executable).parent / "policyhub")
        homes = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {
            **os.environ,
            **homes,
            "PATH": f"{bin_}:/usr/bin:/bin",
            "KUBECONFIG": str(cluster.kubeconfig_file(folder / "kubeconfig")),
            "REGISTRY": "registry.example",
            **environment,
        }

    def run(self, script: str, *, code: int = 0) -> str:
        """The output of the script; every command must succeed, or the script end with this code."""
        here = "".join(line for line in script.splitlines(keepends=True) if not line.startswith(NOT_HERE))
        done = subprocess.run(  # noqa: S603  (the docs' own commands)
            ["/bin/bash", "-euo", "pipefail", "-c", here],
            cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{here}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr
