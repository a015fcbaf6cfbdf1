"""Renders the chart with the real helm, built from its pinned module."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import toolchain
from dev.cluster.client import Document
from dev.cluster.gobuild import Progress, silent


class HelmError(Exception):
    """What helm said against a chart or its values."""


def render(
    chart: Path, release: str, namespace: str, values: Mapping[str, Any], *, progress: Progress = silent
) -> list[Document]:
    """The objects of `helm template`, CRDs first, for the Kubernetes version that dev/cluster runs."""
    helm = toolchain.ensure("helm", progress=progress)
    kubernetes = toolchain.RECIPES["kube-apiserver"].version
    options = (f"--namespace={namespace}", f"--kube-version={kubernetes}", "--include-crds", "--values=-")
    run = subprocess.run(
        [helm, "template", release, chart, *options],
        input=json.dumps(values),  # JSON is YAML
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise HelmError(run.stderr.strip())
    return [document for document in yaml.safe_load_all(run.stdout) if document]
