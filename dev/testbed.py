"""Installs the chart in a real API server, and runs the operator as a process with the command, environment and service
account from the chart. For demo, integration tests and benchmarks.

Only the set-up itself has the rights of an admin.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from dev.cluster import Cluster, helm
from dev.cluster.process import Child, Launcher
from dev.hub.process import HubProcess

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "policyhub"
NAMESPACE = "policyhub"
RELEASE = "policyhub"
ACCOUNT = "111122223333"
REGION = "eu-west-1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0

Document = dict[str, Any]
Progress = Callable[[str], None]
Command = tuple[list[str | Path], dict[str, str]]
"""A command and its complete environment."""
Home = Callable[["Installed", Mapping[str, str]], Command]
"""Where the operator runs: returns its command, given the chart and variables that override the chart's."""


class OperatorError(Exception):
    """The operator exited, or a wait timed out; the message has the end of its log."""


def silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class Installed:
    """The chart as applied to a cluster."""

    cluster: Cluster
    documents: list[Document]
    folder: Path

    @property
    def container(self) -> Document:
        deployment = next(d for d in self.documents if d["kind"] == "Deployment")
        container: Document = deployment["spec"]["template"]["spec"]["containers"][0]
        return container

    @property
    def service_account(self) -> str:
        return str(next(d for d in self.documents if d["kind"] == "ServiceAccount")["metadata"]["name"])

    def kubeconfig(self) -> Path:
        """Writes a kubeconfig with a new token of the chart's service account."""
        config = self.cluster.kubeconfig_for(namespace=NAMESPACE, service_account=self.service_account)
        path = self.folder / f"{self.cluster.name}.kubeconfig"
        path.write_text(json.dumps(config))
        return path


def install(
    cluster: Cluster, folder: Path, *, values: Mapping[str, Any] | None = None, progress: Progress = silent
) -> Installed:
    """Renders the chart with helm, and applies it. `values` are added to account, Region and cluster name."""
    given = {"clusterName": cluster.name, "securityHub": {"accountId": ACCOUNT, "region": REGION}, **(values or {})}
    documents = helm.render(CHART, RELEASE, NAMESPACE, given, progress=progress)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.apply([namespace, *documents])
    return Installed(cluster=cluster, documents=documents, folder=folder)


def here(installed: Installed, environment: Mapping[str, str]) -> Command:
    """Runs the operator in the virtual environment of this process, with a kubeconfig.

    As in the image, later starts do not compile: the first one writes bytecode beside the sources.
    """
    container = installed.container
    program = Path(sys.executable).parent / str(container["command"][0])
    return [program, *container["command"][1:], *container["args"]], {
        **os.environ,
        **{e["name"]: e["value"] for e in container.get("env", ()) if "value" in e},
        "KUBECONFIG": str(installed.kubeconfig()),
        "PYTHONDONTWRITEBYTECODE": "",
        **environment,
    }


@dataclass
class Operator:
    """The operator's process. It dies with this one; ctrl-c in the terminal does not reach it."""

    installed: Installed
    hub: HubProcess
    settings: Mapping[str, str] = field(default_factory=dict)
    """Additional environment, as the chart's `extraEnv`."""
    account: str = ACCOUNT
    """AWS account of its credentials."""
    home: Home = here
    _launcher: Launcher | None = None
    _child: Child | None = None
    port: int = 0

    def start(self, *, wait: bool = True) -> Self:
        """Starts it; with `wait`, returns when it is ready. Raises OperatorError."""
        command, environment = self.home(
            self.installed,
            {
                **self.hub.env(account=self.account),
                "POLICYHUB_METRICS_HOST": "127.0.0.1",
                "POLICYHUB_METRICS_PORT": "0",
                "PYTHONUNBUFFERED": "1",
                **self.settings,
            },
        )
        handle, log = tempfile.mkstemp(dir=self.installed.folder, prefix="operator-", suffix=".log")
        os.close(handle)
        self._launcher = Launcher()
        self._child = self._launcher.start("the operator", command, log=Path(log), env=environment)
        if wait:
            until(lambda: self.ready, seconds=START_SECONDS, what="the operator to be ready", operator=self)
        return self

    @property
    def ready(self) -> bool:
        """Raises OperatorError if the process has exited."""
        code = self._running().returncode
        if code is not None:
            raise OperatorError(f"the operator exited with {code}:\n{self.tail()}")
        if not self.port:
            self.port = next((int(line["metrics_port"]) for line in self.log() if line.get("event") == "started"), 0)
        if not self.port:
            return False
        try:
            self.get("/readyz")
        except URLError:
            return False
        return True

    def get(self, path: str) -> str:
        """The answer of the metrics port."""
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series with these labels; 0 if there are none."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            if line.startswith((f"{name}{{", f"{name} ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total

    def log(self) -> list[Document]:
        """Its log so far; lines that are not JSON as `{"text": …}`."""
        lines = []
        text = self._child.log.read_text(errors="replace") if self._child is not None else ""
        for line in text.splitlines():
            try:
                lines.append(dict(json.loads(line)))
            except ValueError:
                lines.append({"text": line})
        return lines

    def tail(self) -> str:
        return "\n".join(json.dumps(line) for line in self.log()[-30:])

    @property
    def pid(self) -> int | None:
        """Process id; None if it does not run."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    def usage(self) -> tuple[float, float]:
        """(current RSS in MiB, CPU seconds so far) of the process."""
        pid = self._running().pid
        status = Path(f"/proc/{pid}/status").read_text()
        rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return rss / 1024, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> float:
        """SIGTERM; returns the seconds until it exited. Raises OperatorError if it had to be killed."""
        started = time.monotonic()
        child = self._running()
        child.stop(grace=STOP_SECONDS)
        seconds = time.monotonic() - started
        self._close()
        if seconds >= STOP_SECONDS:
            raise OperatorError(f"the operator did not exit within {STOP_SECONDS:.0f} s:\n{self.tail()}")
        return seconds

    def kill(self) -> None:
        """SIGKILL, as by the kernel."""
        self._running().kill()
        self._close()

    def _close(self) -> None:
        self.port = 0
        if self._launcher is not None:
            self._launcher.close()

    def _running(self) -> Child:
        if self._child is None:
            raise OperatorError("the operator was not started")
        return self._child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None and self._child.returncode is None:
            self.stop()


def until(
    holds: Callable[[], bool], *, seconds: float, what: str, operator: Operator | None = None, every: float = 0.1
) -> float:
    """Waits until it holds; returns the seconds. Raises OperatorError with the operator's log."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            tail = f"\n{operator.tail()}" if operator is not None else ""
            raise OperatorError(f"waited {seconds:.0f} s for {what}{tail}")
        time.sleep(every)
    return time.monotonic() - started


def monitored(cluster: Cluster, name: str) -> Document:
    """A MonitoredCluster in the home cluster."""
    return cluster.request("GET", f"/apis/policyhub.dev/v1alpha1/monitoredclusters/{name}")


def condition(document: Document, type_: str) -> Document:
    """One condition of a MonitoredCluster; empty if it does not exist yet."""
    conditions = document.get("status", {}).get("conditions", ())
    return next((dict(c) for c in conditions if c["type"] == type_), {})
