"""What engines write: reports of both APIs, and constraints as Gatekeeper's audit leaves them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from time import time
from typing import Any, NamedTuple

Document = dict[str, Any]

_GROUPS = {"PolicyReport": "wgpolicyk8s.io/v1alpha2", "Report": "openreports.io/v1alpha1"}
_audits = count(int(time()) - 100_000)


class Object(NamedTuple):
    """A Deployment, or a ClusterRole where there is no namespace."""

    namespace: str
    name: str

    @property
    def kind(self) -> str:
        return "Deployment" if self.namespace else "ClusterRole"


class Pod(NamedTuple):
    namespace: str
    name: str


class Result(NamedTuple):
    policy: str
    rule: str
    outcome: str = "fail"
    severity: str = "medium"
    words: int = 0
    """Which of several messages it has."""


def report(about: Object, results: Iterable[Result], *, source: str, kind: str, stamp: Document) -> Document:
    apps, roles = "apps/v1", "rbac.authorization.k8s.io/v1"
    scope = {"apiVersion": apps if about.namespace else roles, "kind": about.kind, "name": about.name}
    space = {"namespace": about.namespace} if about.namespace else {}
    return {
        "apiVersion": _GROUPS[kind.removeprefix("Cluster")],
        "kind": kind,
        "metadata": {"name": f"{source}-{about.name}", **space},
        "scope": {**scope, **space},
        "results": [
            {
                "source": source,
                "policy": result.policy,
                "rule": result.rule,
                "result": result.outcome,
                "severity": result.severity,
                "message": f"{result.rule} of {result.policy} is not met, as seen in way {result.words}",
                "scored": True,
                "timestamp": stamp,
            }
            for result in results
        ],
    }


def collection(kind: str, *, namespace: str = "") -> str:
    """The path of all reports of a kind, for deleting them at once."""
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{_GROUPS[kind.removeprefix('Cluster')]}/{where}{kind.lower()}s"


def constraint(name: str, pods: Iterable[Pod], *, total: int, kind: str) -> Document:
    """After one more audit that lists these Pods, the greatest first, and counts `total`."""
    stamp = datetime.fromtimestamp(next(_audits), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
