"""What malicious users can do who may write reports and workloads in one namespace."""

from typing import Any

from tests.simulation.cluster import Workload
from tests.simulation.kinds import CLUSTER_REPORT, NAMESPACE, OPEN, POLICY_REPORT, REPLICASET, REPORT, Document, Kind
from tests.simulation.server import Server

NAMESPACE_NAME = "tenant"


def _write(server: Server, kind: Kind, name: str, results: list[Document], **more: Any) -> None:
    if server.get(NAMESPACE, "", NAMESPACE_NAME) is None:
        server.put(NAMESPACE, NAMESPACE_NAME)
    server.put(kind, name, NAMESPACE_NAME, results=results, **more)


def _result(server: Server, policy: str, result: str, **more: Any) -> Document:
    at = {"seconds": server.loop.wall_ms // 1000, "nanos": 0}
    return {"policy": policy, "rule": policy, "result": result, "source": "kyverno", "timestamp": at, **more}


def freshest(server: Server) -> None:
    """Write a report with the engine's name in each API, newer than all others."""
    server.install(REPORT)
    server.install(CLUSTER_REPORT)
    scope = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "namespace": NAMESPACE_NAME}
    kinds = (REPORT,) if not any(True for _ in server.all(REPORT)) else (POLICY_REPORT, REPORT)
    for kind in kinds:
        _write(server, kind, "mine", [_result(server, "caps", "pass")], scope=scope)


def unreadable(server: Server) -> None:
    """Write a report which states that results are missing."""
    scope = {"apiVersion": "v1", "kind": "ConfigMap", "name": "y", "namespace": NAMESPACE_NAME}
    _write(server, POLICY_REPORT, "cut", [{"policy": 7, "result": "fail"}], scope=scope, summary={"error": 9})


def claims(server: Server, number: int) -> None:
    """Write a report with `number` violations and the engine's name."""
    about = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": f"made-{n}", "namespace": NAMESPACE_NAME}
        for n in range(number)
    ]
    _write(server, POLICY_REPORT, "many", [_result(server, "caps", "fail", resources=[one]) for one in about])


def passes(server: Server, workload: Workload) -> None:
    """Write a `pass` about an object of another namespace."""
    about = {
        "apiVersion": workload.kind.api_version,
        "kind": workload.kind.name,
        "name": workload.name,
        "namespace": workload.namespace,
    }
    results = [_result(server, policy, "pass", resources=[about]) for policy in ("caps", "probes", "root", "nodeport")]
    _write(server, POLICY_REPORT, "forged", results)


def revision(server: Server) -> None:
    """Write a ReplicaSet whose revision is a number of 5,000 digits."""
    if server.get(NAMESPACE, "", NAMESPACE_NAME) is None:
        server.put(NAMESPACE, NAMESPACE_NAME)
    annotations = {"deployment.kubernetes.io/revision": "9" * 5_000}
    server.put(REPLICASET, "evil", NAMESPACE_NAME, metadata={"annotations": annotations})


__all__ = ["OPEN", "claims", "freshest", "passes", "revision", "unreadable"]
