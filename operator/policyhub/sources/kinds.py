"""Which API group a Kubernetes kind belongs to, where an engine leaves that out or names another that serves it too.

Invariant: an object has one identity, however its engine spells the reference. Pure: no I/O, no clock.
"""

import msgspec

# Kinds that engines name without an apiVersion (Trivy from labels, Gatekeeper before 3.10, Falco). The core kinds
# need no entry: their group is the empty one.
_GROUPS = {
    "Deployment": "apps",
    "ReplicaSet": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ControllerRevision": "apps",
    "Job": "batch",
    "CronJob": "batch",
    "HorizontalPodAutoscaler": "autoscaling",
    "Ingress": "networking.k8s.io",
    "NetworkPolicy": "networking.k8s.io",
    "PodDisruptionBudget": "policy",
    "Role": "rbac.authorization.k8s.io",
    "RoleBinding": "rbac.authorization.k8s.io",
    "ClusterRole": "rbac.authorization.k8s.io",
    "ClusterRoleBinding": "rbac.authorization.k8s.io",
}

# An object that is served in two groups is one object. By group and kind as they are written: the group that counts.
# An Event is stored once, for v1 and for events.k8s.io (kubernetes/kubernetes v1.34.4, pkg/registry/events/rest); the
# group `extensions`, in which these kinds were served first, is gone since 1.22.
_ALSO = {
    ("events.k8s.io", "Event"): "",
    ("extensions", "DaemonSet"): "apps",
    ("extensions", "Deployment"): "apps",
    ("extensions", "Ingress"): "networking.k8s.io",
    ("extensions", "NetworkPolicy"): "networking.k8s.io",
    ("extensions", "PodSecurityPolicy"): "policy",
    ("extensions", "ReplicaSet"): "apps",
}

SERVED_TWICE = frozenset({("", "Event")})
"""(group, kind) of what API servers of today serve in two groups."""

# The Trivy adapter writes its own apiVersion on the workload where it has no owner reference to copy.
_BORROWED = "aquasecurity.github.io"


class Reference(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A reference to an object, as reports and owner references write it; every part may be absent."""

    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


def group_of(api_version: str, kind: str) -> str:
    """The group of `apps/v1`, with the version left out: an object is the same under each version."""
    return known_group(api_version.rpartition("/")[0], kind)


def known_group(group: str, kind: str) -> str:
    if not group or group == _BORROWED:
        return _GROUPS.get(kind, group)
    return _ALSO.get((group, kind), group)
