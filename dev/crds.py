"""Minimal CRDs of the kinds that policyhub reads, for clusters without the engines, with open schemas.

Versions, scope and subresources are those of the real CRDs: reports have no status subresource, constraints have one,
and are served as v1beta1 and v1alpha1.
"""

from typing import Any

from policyhub.model.policy_apis import POLICY_APIS
from policyhub.model.source_apis import CONSTRAINTS, OPEN_REPORTS, POLICY_REPORTS, SOURCE_APIS, SOURCE_GROUPS

Document = dict[str, Any]

_BUILT_IN = ".k8s.io"
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


def reports(group: str, *versions: str) -> list[Document]:
    """The kinds of a report API, by default in the preferred version."""
    api = SOURCE_GROUPS[group]
    served = versions or api.versions[:1]
    return [
        crd(group=group, kind=kind.kind, plural=kind.plural, versions=served, namespaced=kind.namespaced)
        for kind in api.kinds
    ]


def policy_reports(*versions: str) -> list[Document]:
    """PolicyReport and ClusterPolicyReport, by default in Kyverno's version."""
    return reports(POLICY_REPORTS, *versions)


def open_reports() -> list[Document]:
    """Report and ClusterReport."""
    return reports(OPEN_REPORTS)


def report_apis() -> list[Document]:
    """The kinds of every report API."""
    return [document for api in SOURCE_APIS for document in reports(api.group)]


def policies() -> list[Document]:
    """The kinds of policies that are read, except built-in ones, and Gatekeeper's templates."""
    return [
        crd(group=api.group, kind=kind.kind, plural=kind.plural, versions=api.versions[:1], namespaced=kind.namespaced)
        for api in POLICY_APIS
        if not api.group.endswith(_BUILT_IN)
        for kind in api.kinds
    ]


def constraint(kind: str) -> Document:
    """The kind that Gatekeeper creates for a template."""
    return crd(
        group=CONSTRAINTS,
        kind=kind,
        plural=kind.lower(),
        versions=("v1beta1", "v1alpha1"),
        namespaced=False,
        status=True,
        labels={"gatekeeper.sh/constraint": "yes"},
    )
