"""Which object a subject means that its engine names in a word of its own.

| named                                         | by                                           | means             |
|-----------------------------------------------|----------------------------------------------|-------------------|
| `kube-system/daemonset-proxy`, without a kind | Trivy Compliance: namespace and name of what | DaemonSet `proxy` |
|                                               | Trivy has written about the object           |   of kube-system  |
| CISKubeBenchReport `worker-1`                 | Trivy's adapter: Trivy made one for each node| Node `worker-1`   |

The subject itself, of which ids are made, stays as it was written. Trivy hashes long names: then the hash is the name.
(aquasecurity/trivy-operator at 1006872c1463, pkg/compliance/io.go; the adapter's commit: producers.py.)

Pure: no I/O, no clock.
"""

from policyhub.sources.kinds import known_group
from policyhub.sources.violation import Subject

_KINDS = {
    kind.lower(): kind
    for kind in (
        *("Pod", "ReplicaSet", "ReplicationController", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"),
        *("Service", "ConfigMap", "Secret", "ServiceAccount", "Namespace", "Node", "ResourceQuota", "LimitRange"),
        *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "NetworkPolicy", "Ingress"),
        *("PersistentVolume", "PersistentVolumeClaim", "PodDisruptionBudget"),
    )
}
"""As Trivy writes them before a name."""
_OF_NODES = ("aquasecurity.github.io", "CISKubeBenchReport")


def meant(subject: Subject) -> Subject:
    """The object; the subject itself where it names one."""
    if (subject.group, subject.kind) == _OF_NODES:
        return Subject("", "Node", subject.namespace, subject.name)
    if subject.kind or subject.group or subject.namespace or "/" not in subject.name:
        return subject  # who writes in one namespace tells nothing of another's objects
    namespace, _, named = subject.name.partition("/")
    word, dash, name = named.partition("-")
    kind = _KINDS.get(word, "") if dash and name else ""
    if not named:
        return subject
    return Subject(known_group("", kind), kind, namespace, name if kind else named)


def written(kind: str, namespace: str, name: str) -> tuple[Subject, ...]:
    """The subjects by which an engine may have named this object: `meant` finds it behind each of them."""
    word = Subject("", "", "", f"{namespace}/{kind.lower()}-{name}" if kind else f"{namespace}/{name}")
    return (word, Subject(*_OF_NODES, namespace, name)) if kind == "Node" else (word,)
