"""Constraints with the status that Gatekeeper 3.23's audit writes.

The list has the smallest N violations in order of (group, version, kind, namespace, name, message), written in
descending order; `totalViolations` counts all. `violations` is absent if there are none; messages have at most 256
bytes. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dev.company.report import audited
from dev.company.workload import Document

LIMIT = 20
"""Gatekeeper's default of --constraint-violations-limit."""
MESSAGE_BYTES = 256

Action = Literal["deny", "warn", "dryrun"]


@dataclass(frozen=True, order=True, slots=True)
class Breach:
    """One violation, in Gatekeeper's own order."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    message: str

    def listed(self, action: Action) -> Document:
        entry = {
            "group": self.group,
            "version": self.version,
            "kind": self.kind,
            "name": self.name,
            "message": cut(self.message),
            "enforcementAction": action,
        }
        return {**entry, "namespace": self.namespace} if self.namespace else entry


def constraint(
    kind: str,
    name: str,
    breaches: Iterable[Breach],
    *,
    action: Action,
    match: Document,
    uid: str,
    now: int,
    by_pod: bool = True,
    limit: int = LIMIT,
) -> Document:
    """The constraint after an audit with these violations. `by_pod=False`: with `byPod: null`, as until each of
    Gatekeeper's Pods has reported.
    """
    found = sorted(breaches)
    status: Document = {
        "auditTimestamp": audited(now),
        "byPod": _by_pod(uid) if by_pod else None,
        "totalViolations": len(found),
    }
    if shown := found[:limit]:
        status["violations"] = [breach.listed(action) for breach in reversed(shown)]
    return {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"enforcementAction": action, "match": match},
        "status": status,
    }


def cut(message: str) -> str:
    """Truncates as Gatekeeper does: by bytes, which can split a character."""
    encoded = message.encode()
    if len(encoded) <= MESSAGE_BYTES:
        return message
    return encoded[: MESSAGE_BYTES - 3].decode(errors="replace") + "..."


def _by_pod(uid: str) -> list[Document]:
    pods = {"gatekeeper-audit-6b9d7c5f4-x2k8p": ["audit", "status"], "gatekeeper-controller-manager-0": ["webhook"]}
    return [
        {
            "constraintUID": uid,
            "enforced": True,
            "id": pod,
            "observedGeneration": 1,
            "operations": operations,
            "enforcementPointsStatus": [
                {"enforcementPoint": "vap.k8s.io", "observedGeneration": 1, "state": "generated"}
            ],
        }
        for pod, operations in pods.items()
    ]
