"""An engine: a program of a pinned version, the objects that it needs in the cluster, and its process."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from dev.cluster import toolchain
from dev.cluster.client import Document
from dev.cluster.cluster import Cluster
from dev.cluster.gobuild import Progress, silent
from dev.cluster.process import Child, Launcher

CRD_SECONDS = 120.0
"""Until CRDs are served: thirty at once take an API server seconds, on two busy cores."""


class EngineError(Exception):
    """An engine exited unexpectedly; the message has the end of its log."""


class Engine(ABC):
    """Installed once, and then started, stopped and killed any number of times. Used by one thread."""

    name: str
    program: str
    """Key in toolchain.RECIPES."""

    def __init__(self, cluster: Cluster, folder: Path, launcher: Launcher, *, progress: Progress = silent) -> None:
        """`folder`: for its files and its log."""
        self.cluster = cluster
        self.folder = folder / self.name
        self.folder.mkdir()
        self.log = self.folder / "log"
        self._launcher = launcher
        self._progress = progress
        self._binary = toolchain.ensure(self.program, progress=progress)
        self._kubeconfig = cluster.kubeconfig_file(self.folder / "kubeconfig")
        self._child: Child | None = None

    @property
    def version(self) -> str:
        return toolchain.RECIPES[self.program].version

    def install(self) -> None:
        """Applies the objects that it needs before the first start."""
        documents = [*self.crds(), *self.objects()]
        if documents:
            self._progress(f"applying {len(documents)} objects of {self.name} {self.version}")
            self.cluster.apply(documents, timeout=CRD_SECONDS)

    def crds(self) -> list[Document]:
        """The engine's CRDs, of its version."""
        folder = self._binary.parent / "crds"
        loaded = (yaml.safe_load_all(file.read_text("utf-8")) for file in sorted(folder.glob("*.yaml")))
        return [d for file in loaded for d in file if d and d["kind"] == "CustomResourceDefinition"]

    def objects(self) -> list[Document]:
        """The other objects that it needs."""
        return []

    @abstractmethod
    def flags(self) -> Sequence[str]: ...

    def environ(self) -> Mapping[str, str]:
        return {}

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    def start(self) -> None:
        """Starts its process; does not wait for its first report."""
        if self.running:
            return
        self._progress(f"starting {self.name} {self.version}")
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **self.environ()}
        argv: list[str | Path] = [self._binary, *self.flags()]
        self._child = self._launcher.start(self.name, argv, log=self.log, env=environ, cwd=self.folder)

    def stop(self) -> None:
        """SIGTERM, as in a rollout."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL, as by the kernel."""
        if self._child is not None:
            self._child.kill()

    def check(self) -> None:
        """Raises EngineError if it exited unexpectedly."""
        if self._child is not None and self._child.returncode not in {None, 0, -9, -15}:
            raise EngineError(f"{self.name} ended with {self._child.returncode}:\n{self._child.tail()}")
