"""A stand-in for scheduler and kubelet: binds Pods to the only node, sets their status to running and ready, and
deletes them immediately. No container runs.
"""

import contextlib
import threading
from typing import Any

from dev.cluster import ApiError, Cluster
from dev.cluster.client import UnreachableError

Document = dict[str, Any]

NODE = "node-1"
INTERVAL_SECONDS = 0.5
READY = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


class Kubelet:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._cluster.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}])
        # Admission taints every new node as not ready; DaemonSets would wait until that is removed.
        self._cluster.request("PATCH", f"/api/v1/nodes/{NODE}", {"spec": {"taints": None}})
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            with contextlib.suppress(UnreachableError):
                for pod in self._cluster.request("GET", "/api/v1/pods")["items"]:
                    with contextlib.suppress(ApiError):  # it changed meanwhile: handled in the next round
                        self._advance(pod)

    def _advance(self, pod: Document) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            self._cluster.request("DELETE", f"{path}?gracePeriodSeconds=0")
            return
        if "nodeName" not in spec:
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]}, "target": target}
            self._cluster.request("POST", f"{path}/binding", binding)
        if pod["status"].get("phase") == "Pending":
            conditions = [{"type": type_, "status": "True"} for type_ in READY]
            status = {"phase": "Running", "conditions": conditions}
            self._cluster.request("PATCH", f"{path}/status", {"status": status}, patch="merge")
