"""The Trivy operator's configuration audit, as its adapter writes it into a PolicyReport.

The policy is the check's title, the rule its id; the object is the ReplicaSet, not its Deployment; the report's name is
not the object's uid. Pure: no I/O, no clock.
"""

from collections.abc import Collection
from dataclasses import dataclass

from dev.company.report import report, stamp
from dev.company.workload import Document, Object


@dataclass(frozen=True, slots=True)
class Check:
    id: str
    title: str
    severity: str
    message: str


CHECKS = (
    Check(
        "KSV001", "Can elevate its own privileges", "medium", "A process can gain more privileges than its parent has."
    ),
    Check("KSV003", "Default capabilities not dropped", "low", "The default capabilities of the runtime are kept."),
    Check("KSV009", "Access to host network", "high", "The Pod shares the network of its node."),
    Check("KSV011", "CPU not limited", "low", "Nothing keeps the container from taking the node's whole CPU."),
    Check("KSV012", "Runs as root user", "medium", "The container may run as root."),
    Check("KSV014", "Root file system is not read-only", "high", "Who breaks in can change the container's files."),
    Check("KSV017", "Privileged", "high", "The container has every privilege on its node."),
    Check("KSV018", "Memory not limited", "low", "Nothing keeps the container from taking the node's whole memory."),
    Check("KSV023", "hostPath volumes mounted", "medium", "Files of the node can be reached from the container."),
    Check("KSV026", "Unsafe sysctl options set", "medium", "A kernel setting of the node is changed."),
)


def config_audit(replica_set: Object, failing: Collection[str], *, uid: str, now: int) -> Document:
    """`failing`: ids of checks."""
    results = [
        {
            "source": "Trivy ConfigAudit",
            "policy": check.title,
            "rule": check.id,
            "category": "Kubernetes Security Check",
            "severity": check.severity,
            "result": "fail" if check.id in failing else "pass",
            "message": check.message,
            "timestamp": stamp(now),
        }
        for check in CHECKS
    ]
    document = report(
        replica_set,
        results,
        uid=uid,
        name=f"trivy-audit-polr-{replica_set.name}",
        labels={
            "app.kubernetes.io/created-by": "trivy-operator-polr-adapter",
            "trivy-operator.source": "ConfigAuditReport",
        },
    )
    document["metadata"]["ownerReferences"][0] |= {"blockOwnerDeletion": False, "controller": True}
    return document
