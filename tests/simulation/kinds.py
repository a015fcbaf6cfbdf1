"""The kinds of objects that a simulated cluster has, and where they are served."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

Document = dict[str, Any]

WG, OPEN, GATEKEEPER = "wgpolicyk8s.io", "openreports.io", "constraints.gatekeeper.sh"


@dataclass(frozen=True)
class Kind:
    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @cached_property
    def path(self) -> str:
        return f"{self.root}/{self.plural}"

    @cached_property
    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def origin(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
CONFIGMAP = Kind("", "v1", "configmaps", "ConfigMap")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
REPLICASET = Kind("apps", "v1", "replicasets", "ReplicaSet")
STATEFULSET = Kind("apps", "v1", "statefulsets", "StatefulSet")
DAEMONSET = Kind("apps", "v1", "daemonsets", "DaemonSet")
JOB = Kind("batch", "v1", "jobs", "Job")
CRONJOB = Kind("batch", "v1", "cronjobs", "CronJob")

BUILT_IN = (NAMESPACE, POD, SERVICE, CONFIGMAP, DEPLOYMENT, REPLICASET, STATEFULSET, DAEMONSET, JOB, CRONJOB)
CONTROLLERS = (DEPLOYMENT, STATEFULSET, DAEMONSET, CRONJOB)
AUTOGEN = (DEPLOYMENT, STATEFULSET, DAEMONSET, REPLICASET, JOB)
"""Besides CronJob: the kinds for which Kyverno copies a Pod rule (autogen)."""
REPORTED = (*CONTROLLERS, REPLICASET, JOB, POD, SERVICE, CONFIGMAP)
"""The kinds that engines scan."""

POLICY_REPORT = Kind(WG, "v1alpha2", "policyreports", "PolicyReport")
CLUSTER_POLICY_REPORT = Kind(WG, "v1alpha2", "clusterpolicyreports", "ClusterPolicyReport", namespaced=False)
REPORT = Kind(OPEN, "v1alpha1", "reports", "Report")
CLUSTER_REPORT = Kind(OPEN, "v1alpha1", "clusterreports", "ClusterReport", namespaced=False)
CLUSTER_POLICY = Kind("kyverno.io", "v1", "clusterpolicies", "ClusterPolicy", namespaced=False)
TEMPLATE = Kind("templates.gatekeeper.sh", "v1", "constrainttemplates", "ConstraintTemplate", namespaced=False)


def constraint_kind(name: str) -> Kind:
    return Kind(GATEKEEPER, "v1beta1", name.lower(), name, namespaced=False)


def owner_of(document: Document) -> Document | None:
    """The controller's reference, if the object has one."""
    for reference in document["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            found: Document = reference
            return found
    return None
