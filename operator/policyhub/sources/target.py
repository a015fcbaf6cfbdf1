"""The object that a subject means if its engine has a notation of its own.

| written                                       | by                                           | means             |
|-----------------------------------------------|----------------------------------------------|-------------------|
| `kube-system/daemonset-proxy`, without a kind | Trivy Compliance: namespace and name of      | DaemonSet `proxy` |
|                                               | Trivy's report about the object              |   in kube-system  |
| CISKubeBenchReport `worker-1`                 | Trivy's adapter: Trivy has one for each node | Node `worker-1`   |

The subject itself stays as written, because ids derive from it. Trivy hashes long names: then the hash is the name.
(aquasecurity/trivy-operator at 1006872c1463, pkg/compliance/io.go; the adapter's commit: engines.py.)

Pure: no I/O, no clock.
"""

from policyhub.model.kinds import known_group
from policyhub.model.violation import Subject

_KINDS = {
    kind.lower(): kind
    for kind in (
        *("Pod", "ReplicaSet", "ReplicationController", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"),
        *("Service", "ConfigMap", "Secret", "ServiceAccount", "Namespace", "Node", "ResourceQuota", "LimitRange"),
        *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "NetworkPolicy", "Ingress"),
        *("PersistentVolume", "PersistentVolumeClaim", "PodDisruptionBudget"),
    )
}
"""By the prefix that Trivy writes before a name."""
_OF_NODES = ("aquasecurity.github.io", "CISKubeBenchReport")


def target_of(subject: Subject) -> Subject:
    """The object; `subject` itself if it has no special notation."""
    if (subject.group, subject.kind) == _OF_NODES:
        return Subject("", "Node", subject.namespace, subject.name)
    if subject.kind or subject.group or subject.namespace or "/" not in subject.name:
        return subject  # a report of one namespace says nothing about another's objects
    namespace, _, named = subject.name.partition("/")
    prefix, hyphen, name = named.partition("-")
    kind = _KINDS.get(prefix, "") if hyphen and name else ""
    if not named:
        return subject
    return Subject(known_group("", kind), kind, namespace, name if kind else named)


def notations(kind: str, namespace: str, name: str) -> tuple[Subject, ...]:
    """The notations that an engine may have used for this object: `target_of` returns the object for each of them."""
    notation = Subject("", "", "", f"{namespace}/{kind.lower()}-{name}" if kind else f"{namespace}/{name}")
    return (notation, Subject(*_OF_NODES, namespace, name)) if kind == "Node" else (notation,)
