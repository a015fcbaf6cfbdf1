"""Chooses where the Kubernetes API comes from.

1. a kubeconfig that the caller or POLICYHUB_KUBECONFIG names
2. the programs in the folder that KUBEBUILDER_ASSETS names (local.py)
3. kind, where it is installed and Docker answers (kind.py)
4. the same programs, built from source (local.py, toolchain.py)
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import yaml

from dev.cluster.client import Document
from dev.cluster.cluster import Cluster
from dev.cluster.gobuild import Progress, silent
from dev.cluster.kind import KindPlane, docker_answers
from dev.cluster.kubeconfig import KubeconfigError
from dev.cluster.local import ControlPlane


class Plane(Protocol):
    """Gives clusters by name: always the same one for the same name."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def cluster(self, name: str) -> Cluster: ...

    def stop(self) -> None: ...


class KubeconfigPlane:
    """Clusters that run already: a name is that of a context; the first name that is none means the current context."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise KubeconfigError(f"{path} cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise KubeconfigError(f"{path} is no kubeconfig")
        self._config: Document = config
        self._clusters: dict[str, Cluster] = {}
        self._contexts: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def cluster(self, name: str) -> Cluster:
        if name not in self._clusters:
            contexts = {entry["name"] for entry in self._config.get("contexts") or ()}
            context = name if name in contexts else self._config.get("current-context")
            if context in self._contexts:
                raise KubeconfigError(f"the kubeconfig has no further context for cluster {name!r}")
            config = {**self._config, "current-context": context}
            self._clusters[name] = Cluster(name, config, folder=self._folder)
            self._contexts.add(str(context))
        return self._clusters[name]

    def stop(self) -> None:
        for cluster in self._clusters.values():
            cluster.close()
        self._clusters.clear()


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
