"""The test harness of the fault bench: a cluster behind a proxy, a local Security Hub, and an operator; reset between
runs.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dev import testbed
from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from dev.testbed import Operator
from tests.faults.checker import UnknownOutcomes
from tests.faults.proxy import Proxy
from tests.integration.operator.world import CLUSTERS, World
from tests.integration.operator.world import ENGINES as CRDS

DELAY_SECONDS = 3
SETTINGS = {
    "POLICYHUB_DISCOVERY_INTERVAL": "0.5",
    "POLICYHUB_RELIST_INTERVAL": "10",
}
CLOCK = Path(__file__).parent / "clock"


class Harness:
    def __init__(self, name: str, world: World, proxy: Proxy, folder: Path) -> None:
        self.name = name
        self.world = world
        self.proxy = proxy
        self.unknown_outcomes = UnknownOutcomes()
        self._operators: list[Operator] = []
        self._offset = folder / f"{name}.offset"
        self._kubeconfig = folder / f"{name}.proxy.kubeconfig"
        self.ahead = 0
        """How many seconds the operator's wall clock is ahead of the machine's."""

    @classmethod
    @contextmanager
    def open(cls, plane: ControlPlane, folder: Path, *, name: str = "faults") -> Iterator["Harness"]:
        cluster = plane.cluster(name)
        installed = testbed.install(cluster, folder, values={"clusterName": name})
        cluster.apply(CRDS)
        with HubProcess.start() as hub, Proxy(cluster.url, ca=cluster.ca or "") as proxy:
            yield cls(name, World(installed, hub), proxy, folder)

    @property
    def hub(self) -> HubProcess:
        return self.world.hub

    def reset(self, *, seed: int) -> None:
        """Remove everything of an earlier run."""
        self.world.clear()
        self.proxy.rng.seed(seed)
        self.proxy.revoke("")
        self.unknown_outcomes = UnknownOutcomes()
        self._operators.clear()
        self.hub.quotas(on=False)
        self.jump(0)
        self.renew_token()

    def calm(self) -> None:
        """Clear all faults; the operator's clock stays as it is."""
        self.proxy.clear_fault()
        self.hub.clear_faults()
        self.hub.enable(on=True)

    @property
    def restarted(self) -> bool:
        """Whether more than one operator has run."""
        return len(self._operators) > 1

    # -- the operator ---------------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> None:
        settings = {**SETTINGS, "KUBECONFIG": str(self._kubeconfig), "FAKE_OFFSET": str(self._offset)}
        path = filter(None, (str(CLOCK), os.environ.get("PYTHONPATH")))
        self._operators.append(self.world.start(wait=wait, **settings, PYTHONPATH=os.pathsep.join(path)))

    def kill(self) -> None:
        """Kill the operator with SIGKILL."""
        self.world.operator.kill()
        self.unknown_outcomes.kills.append(time.time())

    def jump(self, seconds: int) -> None:
        """Move the operator's wall clock."""
        self.ahead = seconds
        self._offset.write_text(str(seconds))

    def token(self) -> str:
        """The service account token that the operator uses."""
        config: dict[str, Any] = json.loads(self._kubeconfig.read_text())
        return str(config["users"][0]["user"]["token"])

    def renew_token(self) -> None:
        """Write a fresh token into the operator's kubeconfig, which leads through the proxy."""
        config = json.loads(self.world.installed.kubeconfig().read_text())
        for entry in config["clusters"]:
            entry["cluster"] = {"server": self.proxy.url}
        self._kubeconfig.write_text(json.dumps(config))

    # -- reports and approvals ----------------------------------------------------------------------------------------

    def monitor(self) -> None:
        self.world.monitor(archiveDelay=f"{DELAY_SECONDS}s", rollUp=True)

    def approve(self, *engines: str) -> None:
        """Approve what the guard holds, for an hour of the operator's clock."""
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.ahead + 3600))
        approved = ",".join(f"{engine}@{until}" for engine in engines)
        annotation = {"metadata": {"annotations": {"policyhub.dev/approve-archive": approved}}}
        self.world.cluster.request("PATCH", f"{CLUSTERS}/{self.name}", annotation)

    def keep(self, folder: Path) -> None:
        """Save the logs of all operators, the metrics and status of the last one, and the hub's journal, for
        debugging.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for number, operator in enumerate(self._operators, 1):
            (folder / f"operator-{number}.log").write_text("\n".join(map(json.dumps, operator.log())))
        (folder / "metrics.txt").write_text(self.world.operator.get("/metrics"))
        documents = {
            "status.json": self.world.monitored(self.name),
            "journal.json": self.hub.journal(),
            "calls.json": self.hub.calls(),
            "findings.json": self.hub.findings(),
        }
        for name, content in documents.items():
            (folder / name).write_text(json.dumps(content, indent=1))

    def refused(self, code: str) -> int:
        """How many findings the hub rejected with this code."""
        return sum(entry["outcome"] == "failed" and entry["detail"].startswith(code) for entry in self.hub.journal())
