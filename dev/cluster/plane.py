"""Chooses where the Kubernetes API comes from: the first of these that is available.

1. the clusters of a kubeconfig that the caller or POLICYHUB_KUBECONFIG names
2. etcd and kube-apiserver in the folder that KUBEBUILDER_ASSETS names (local.py)
3. kind, if it is installed and Docker answers (kind.py)
4. etcd and kube-apiserver, built from source (local.py, toolchain.py)
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from dev.cluster.client import Document
from dev.cluster.cluster import Cluster, Plane
from dev.cluster.gobuild import Progress, silent
from dev.cluster.kind import KindPlane, docker_answers
from dev.cluster.local import ControlPlane
from policyhub.kube import user_kubeconfig
from policyhub.kube.kubeconfig import Access, KubeconfigError


class KubeconfigPlane(Plane):
    """Clusters that run already. A name selects the context of that name; the first other name, the current context."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise KubeconfigError(f"{path} cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise KubeconfigError(f"{path} is not a kubeconfig")
        self._config: Document = config
        self._contexts: set[str] = set()

    def cluster(self, name: str) -> Cluster:
        if name not in self._clusters:
            contexts = {entry["name"] for entry in self._config.get("contexts") or ()}
            context = name if name in contexts else self._config.get("current-context")
            if context in self._contexts:
                raise KubeconfigError(f"the kubeconfig has no further context for cluster {name!r}")
            config = {**self._config, "current-context": context}
            self._clusters[name] = Cluster(name, config, access=asyncio.run(_access(self._path, str(context))))
            self._contexts.add(str(context))
        return self._clusters[name]


async def _access(path: Path, context: str) -> Access:
    """Runs the user's plug-in, if it has one. Its token is not renewed: it has to be valid for the whole run."""
    access, token = await user_kubeconfig.load(str(path), context=context)
    return access if token is None else replace(access, token=await token())


def open_plane(
    *, kubeconfig: Path | None = None, progress: Progress = silent, environ: Mapping[str, str] = os.environ
) -> Plane:
    if kubeconfig is None and (named := environ.get("POLICYHUB_KUBECONFIG")):
        kubeconfig = Path(named)
    if kubeconfig is not None:
        progress(f"using the clusters of {kubeconfig}")
        return KubeconfigPlane(kubeconfig)
    if not environ.get("KUBEBUILDER_ASSETS") and docker_answers():
        return KindPlane(progress=progress)
    return ControlPlane.start(progress=progress, environ=environ)
