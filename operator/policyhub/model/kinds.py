"""The API group of a Kubernetes kind if an engine omits the group or names another one that serves the kind too.

Invariant: an object has one identity, however its engine writes the reference. Pure: no I/O, no clock.
"""

import msgspec

# Kinds that engines name without an apiVersion (Trivy from labels, Gatekeeper before 3.10, Falco). Core kinds need no
# entry: their group is empty.
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

# An object that is served in two groups is one object. (group, kind) as written → the group to use. An Event is stored
# once, for v1 and for events.k8s.io (kubernetes/kubernetes v1.34.4, pkg/registry/events/rest). The group `extensions`,
# which served these kinds first, is gone since 1.22.
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
"""(group, kind) that current API servers serve in two groups."""

# If the Trivy adapter has no owner reference to copy, it writes its own apiVersion on the workload.
_BORROWED = "aquasecurity.github.io"


class Reference(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A reference to an object in a report or an owner reference; every part may be missing."""

    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


def group_of(api_version: str, kind: str) -> str:
    """The group of `apps/v1`, without the version: an object is the same in each version."""
    return known_group(api_version.rpartition("/")[0], kind)


def known_group(group: str, kind: str) -> str:
    if not group or group == _BORROWED:
        return _GROUPS.get(kind, group)
    return _ALSO.get((group, kind), group)
