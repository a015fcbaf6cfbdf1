"""Small CRDs of the kinds that policyhub reads, for clusters without the engines: served like the real, schema open.

Versions, scope and subresources are those of the real CRDs: reports have no status subresource, constraints have one
and are served as v1beta1 and v1alpha1.
"""

from typing import Any

Document = dict[str, Any]

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def crd(
    *,
    group: str,
    kind: str,
    plural: str,
    versions: tuple[str, ...],
    namespaced: bool,
    status: bool = False,
    labels: dict[str, str] | None = None,
) -> Document:
    """The first version is the stored one."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "labels": labels or {}},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "schema": {"openAPIV3Schema": _OPEN},
                    **({"subresources": {"status": {}}} if status else {}),
                }
                for version in versions
            ],
        },
    }


def policy_reports(*versions: str) -> list[Document]:
    """PolicyReport and ClusterPolicyReport, as Kyverno serves them unless versions are named."""
    served = versions or ("v1alpha2",)
    group = "wgpolicyk8s.io"
    return [
        crd(group=group, kind="PolicyReport", plural="policyreports", versions=served, namespaced=True),
        crd(group=group, kind="ClusterPolicyReport", plural="clusterpolicyreports", versions=served, namespaced=False),
    ]


def open_reports() -> list[Document]:
    """Report and ClusterReport."""
    group = "openreports.io"
    return [
        crd(group=group, kind="Report", plural="reports", versions=("v1alpha1",), namespaced=True),
        crd(group=group, kind="ClusterReport", plural="clusterreports", versions=("v1alpha1",), namespaced=False),
    ]


def policies() -> list[Document]:
    """The policies of Kyverno and Kubewarden that are read, and Gatekeeper's templates."""
    kinds = (
        ("kyverno.io", "v1", "ClusterPolicy", "clusterpolicies", False),
        ("kyverno.io", "v1", "Policy", "policies", True),
        ("policies.kyverno.io", "v1", "ValidatingPolicy", "validatingpolicies", False),
        ("policies.kyverno.io", "v1", "NamespacedValidatingPolicy", "namespacedvalidatingpolicies", True),
        ("policies.kyverno.io", "v1", "ImageValidatingPolicy", "imagevalidatingpolicies", False),
        ("policies.kyverno.io", "v1", "NamespacedImageValidatingPolicy", "namespacedimagevalidatingpolicies", True),
        ("policies.kubewarden.io", "v1", "ClusterAdmissionPolicy", "clusteradmissionpolicies", False),
        ("policies.kubewarden.io", "v1", "AdmissionPolicy", "admissionpolicies", True),
        ("policies.kubewarden.io", "v1", "ClusterAdmissionPolicyGroup", "clusteradmissionpolicygroups", False),
        ("policies.kubewarden.io", "v1", "AdmissionPolicyGroup", "admissionpolicygroups", True),
        ("templates.gatekeeper.sh", "v1", "ConstraintTemplate", "constrainttemplates", False),
    )
    return [
        crd(group=group, kind=kind, plural=plural, versions=(version,), namespaced=namespaced)
        for group, version, kind, plural, namespaced in kinds
    ]


def constraint(kind: str) -> Document:
    """The kind of one Gatekeeper template."""
    return crd(
        group="constraints.gatekeeper.sh",
        kind=kind,
        plural=kind.lower(),
        versions=("v1beta1", "v1alpha1"),
        namespaced=False,
        status=True,
        labels={"gatekeeper.sh/constraint": "yes"},
    )
