"""Manifests: reports of both APIs, constraints as Gatekeeper's audit leaves them, and the workloads that the reports
are about.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zlib import crc32

from tests.faults.owner_graph import EPHEMERAL, REVISION, Ref

Document = dict[str, Any]

_GROUPS = {"PolicyReport": "wgpolicyk8s.io/v1alpha2", "Report": "openreports.io/v1alpha1"}
_VERSIONS = {
    "Pod": "v1",
    "Node": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "CronJob": "batch/v1",
    "Job": "batch/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
}
_SPEC: Document = {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}
COLLECTIONS = (
    "/api/v1/namespaces/{}/pods",
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/apps/v1/namespaces/{}/statefulsets",
    "/apis/batch/v1/namespaces/{}/jobs",
    "/apis/batch/v1/namespaces/{}/cronjobs",
    "/apis/wgpolicyk8s.io/v1alpha2/namespaces/{}/policyreports",
    "/apis/openreports.io/v1alpha1/namespaces/{}/reports",
)
"""The collections of a namespace's objects."""
CLUSTER_COLLECTIONS = (
    "/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
    "/apis/openreports.io/v1alpha1/clusterreports",
)


class Result(NamedTuple):
    policy: str
    rule: str
    outcome: str = "fail"
    severity: str = "medium"
    variant: int = 0
    """Selects one of several messages."""


def report(about: Ref, results: Iterable[Result], *, source: str, kind: str, stamp: Document) -> Document:
    """A report on one object. Results on ephemeral objects name the object. Report names have no order, as with engines
    that name reports by uid.
    """
    space = {"namespace": about.namespace} if about.namespace else {}
    by = f" by {about.name}" if about.kind in EPHEMERAL else ""
    return {
        "apiVersion": _GROUPS[kind.removeprefix("Cluster")],
        "kind": kind,
        "metadata": {"name": f"{source}-{_mixed(about)}", **space},
        "scope": {"apiVersion": _VERSIONS[about.kind], "kind": about.kind, "name": about.name, **space},
        "results": [
            {
                "source": source,
                "policy": result.policy,
                "rule": result.rule,
                "result": result.outcome,
                "severity": result.severity,
                "message": f"{result.rule} of {result.policy} is not met{by}, as seen in way {result.variant}",
                "scored": True,
                "timestamp": stamp,
            }
            for result in results
        ],
    }


def _mixed(about: Ref) -> str:
    return f"{crc32('/'.join(about).encode()):08x}"


def constraint(name: str, pods: Iterable[Ref], *, total: int, kind: str, audited: int) -> Document:
    """A constraint after an audit that started at `audited` (Unix seconds): lists these Pods in descending order, and
    counts `total`.
    """
    stamp = datetime.fromtimestamp(audited, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = [
        {
            "group": "",
            "version": "v1",
            "kind": "Pod",
            "namespace": pod.namespace,
            "name": pod.name,
            "message": f"container of {pod.name} is not from the company registry",
            "enforcementAction": "deny",
        }
        for pod in sorted(pods, reverse=True)
    ]
    status: Document = {"totalViolations": total, "byPod": [{"id": f"audit-{stamp}"}], "auditTimestamp": stamp}
    if listed:
        status["violations"] = listed
    return {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"enforcementAction": "deny"},
        "status": status,
    }


def workload(ref: Ref, *, owner: Ref | None = None, uid: str = "", revision: int = 0) -> Document:
    """A Pod or a controller of Pods, with its own controller `owner` (`uid` is the owner's), if any."""
    metadata: Document = {"name": ref.name, "namespace": ref.namespace, "labels": {"app": ref.name}}
    if revision:
        metadata["annotations"] = {REVISION: str(revision)}
    if owner is not None:
        version = _VERSIONS[owner.kind]
        reference = {"apiVersion": version, "kind": owner.kind, "name": owner.name, "uid": uid, "controller": True}
        metadata["ownerReferences"] = [reference]
    selected = {
        "selector": {"matchLabels": {"app": ref.name}},
        "template": {"metadata": {"labels": {"app": ref.name}}, "spec": _SPEC},
    }
    job = {"template": {"spec": {**_SPEC, "restartPolicy": "Never"}}}
    specs: dict[str, Document] = {
        "Pod": _SPEC,
        "Deployment": selected,
        "ReplicaSet": selected,
        "StatefulSet": {**selected, "serviceName": ref.name},
        "Job": job,
        "CronJob": {"schedule": "0 0 * * *", "jobTemplate": {"spec": job}},
    }
    return {"apiVersion": _VERSIONS[ref.kind], "kind": ref.kind, "metadata": metadata, "spec": specs[ref.kind]}
