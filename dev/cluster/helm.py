"""Runs the real helm, built from its pinned module: renders, checks and installs the chart."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import toolchain
from dev.cluster.client import Document
from dev.cluster.gobuild import Progress, silent

Values = Mapping[str, Any] | Path
"""As a map, or as a YAML file."""


class HelmError(Exception):
    """Helm's error message about a chart or its values."""


def render(
    chart: Path, release: str, namespace: str, values: Mapping[str, Any], *, progress: Progress = silent
) -> list[Document]:
    """The objects of `helm template`, CRDs first. Raises HelmError."""
    text = template(chart, release, namespace, values=values, crds=True, progress=progress)
    return [document for document in yaml.safe_load_all(text) if document]


def template(
    chart: Path, release: str, namespace: str, *, values: Values, crds: bool, progress: Progress = silent
) -> str:
    """What `helm template` prints, for the Kubernetes version that dev/cluster runs. Raises HelmError."""
    kubernetes = toolchain.RECIPES["kube-apiserver"].version
    options = [f"--namespace={namespace}", f"--kube-version={kubernetes}", *["--include-crds"] * crds]
    with _file(values) as file:
        return run("template", release, chart, f"--values={file}", *options, progress=progress).stdout


def lint(chart: Path, *, values: Values) -> str:
    """What `helm lint --strict` prints if it finds nothing wrong. Raises HelmError."""
    with _file(values) as file:
        return run("lint", "--strict", chart, f"--values={file}").stdout


def run(
    *arguments: str | Path, kubeconfig: Path | None = None, home: Path | None = None, progress: Progress = silent
) -> subprocess.CompletedProcess[str]:
    """Runs helm: stdout is its output, stderr has the warnings of the API server. The user's settings do not apply;
    `home` is the folder for helm's own. Raises HelmError.
    """
    helm = toolchain.ensure("helm", progress=progress)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    environment["KUBECONFIG"] = str(kubeconfig or os.devnull)
    if home is not None:
        environment |= {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    done = subprocess.run([helm, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(f"{done.stdout.strip()}\n{done.stderr.strip()}".strip())
    return done


@contextmanager
def _file(values: Values) -> Iterator[Path]:
    if isinstance(values, Path):
        yield values
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # JSON is YAML
        json.dump(values, file)
        file.flush()
        yield Path(file.name)
