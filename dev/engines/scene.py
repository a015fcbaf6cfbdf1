"""Starts the engines in a cluster, and applies the company and its policies."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dev import testbed
from dev.cluster import ApiError, Cluster
from dev.cluster.client import Document
from dev.cluster.gobuild import Progress, silent
from dev.cluster.process import Launcher
from dev.company.workload import NAMESPACES
from dev.engines import company, policies
from dev.engines.company import Flaws
from dev.engines.engine import Engine
from dev.engines.gatekeeper import Gatekeeper
from dev.engines.kubelet import Kubelet
from dev.engines.kyverno import Kyverno
from dev.engines.manager import ControllerManager
from dev.engines.rules import PAYMENTS, RULES

CONSTRAINTS = "/apis/constraints.gatekeeper.sh/v1beta1"
WGPOLICY = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"
OPEN = "/apis/openreports.io/v1alpha1/reports"
NUMBERS = ("updatedReplicas", "replicas", "availableReplicas")
"""Of a Deployment's status; all equal after a rollout."""
KINDS_SECONDS = 240.0
"""Until Gatekeeper has compiled all templates and created their CRDs: seconds each, on two busy cores."""


@dataclass(frozen=True)
class Scene:
    cluster: Cluster
    controllers: ControllerManager
    kyverno: Kyverno
    gatekeeper: Gatekeeper

    @property
    def engines(self) -> tuple[Engine, ...]:
        return self.controllers, self.kyverno, self.gatekeeper

    def check(self) -> None:
        """Raises EngineError if an engine exited unexpectedly."""
        for engine in self.engines:
            engine.check()

    def fill(self, flaws: Flaws) -> None:
        """Applies the company and its policies; does not wait for reports."""
        self.cluster.apply(company.everything(flaws))
        self.cluster.apply(map(policies.kyverno, (*RULES, PAYMENTS)))
        self.cluster.apply(map(policies.template, RULES))
        testbed.until(
            self._served, seconds=KINDS_SECONDS, what="Gatekeeper to create a kind for each template", every=0.5
        )
        self.cluster.apply(map(policies.constraint, RULES))

    def rolled_out(self, namespace: str, deployment: str) -> bool:
        """Whether all Pods are of the latest template and available."""
        found = self.cluster.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
        status, replicas = found["status"], found["spec"]["replicas"]
        same = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        return same and [status.get(key, 0) for key in NUMBERS] == [replicas] * len(NUMBERS)

    def constraints(self) -> list[Document]:
        """The constraints of all kinds."""
        return [c for kind in self._kinds() for c in self.cluster.request("GET", f"{CONSTRAINTS}/{kind}")["items"]]

    def audited(self, since: float) -> bool:
        """Whether Gatekeeper has started an audit of every constraint after `since` (Unix seconds)."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since + 1))
        found = self.constraints()
        return bool(found) and all((c.get("status") or {}).get("auditTimestamp", "") >= stamp for c in found)

    def scanned(self, since: float) -> bool:
        """Whether Kyverno has scanned every object after `since`, including the newest Pods, by the timestamps in its
        reports. A report's name is the uid of its object.
        """
        reports = self.cluster.request("GET", OPEN if self.kyverno.open_reports else WGPOLICY)["items"]
        stamps = {
            report["metadata"]["name"]: max(result["timestamp"]["seconds"] for result in report["results"])
            for report in reports
            if report.get("results")
        }
        pods = self.cluster.request("GET", "/api/v1/pods")["items"]
        uids = {pod["metadata"]["uid"] for pod in pods if pod["metadata"]["namespace"] in NAMESPACES}
        return uids <= stamps.keys() and min(stamps.values(), default=0.0) > since

    def _kinds(self) -> set[str]:
        """The kinds of constraints that the API server has now."""
        try:
            served = self.cluster.request("GET", CONSTRAINTS)["resources"]
        except ApiError as error:
            if error.status != 404:
                raise
            return set()
        return {resource["name"] for resource in served if "/" not in resource["name"]}

    def _served(self) -> bool:
        self.check()
        return self._kinds() >= {rule.template.lower() for rule in RULES}


def open_scene(
    cluster: Cluster,
    folder: Path,
    stack: ExitStack,
    *,
    prepare: Callable[[Scene], None] = lambda _: None,
    progress: Progress = silent,
) -> Scene:
    """Starts all engines in an empty cluster; `prepare` can change their settings before."""
    launcher = Launcher()
    stack.callback(launcher.close)
    controllers = ControllerManager(cluster, folder, launcher, progress=progress)
    kyverno = Kyverno(cluster, folder, launcher, progress=progress)
    gatekeeper = Gatekeeper(cluster, folder, launcher, progress=progress)
    scene = Scene(cluster, controllers, kyverno, gatekeeper)
    prepare(scene)
    for engine in scene.engines:
        engine.install()
        engine.start()
    kubelet = Kubelet(cluster)
    kubelet.start()
    stack.callback(kubelet.close)
    return scene
