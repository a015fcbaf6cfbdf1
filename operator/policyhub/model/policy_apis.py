"""The policy objects that can be read: one row for each API group, and how reports name the policies of each kind.

Derived from the rows: discovery, the RBAC rules in both charts (`make generate`), the doctor's checks, and render.
Pure: no I/O, no clock.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec

from policyhub.model import grammar
from policyhub.model.engines import (
    GATEKEEPER,
    KUBEWARDEN,
    KYVERNO,
    KYVERNO_IMAGE_VALIDATING,
    KYVERNO_VALIDATING,
    VALIDATING_ADMISSION,
)
from policyhub.model.source_apis import CONSTRAINTS, Shape, shapes
from policyhub.model.text import distinct

_EITHER, _WITHIN = "{name}", "{namespace}/{name}"


class PolicyKind(NamedTuple):
    """One kind of policy, and how its engine names such policies in reports."""

    plural: str
    kind: str
    engine: str
    """The `source` in results of these policies: the engine that evaluates them."""
    pattern: str = _EITHER
    """How results name a policy of this kind: a format string with `{name}`, for some kinds also `{namespace}`."""
    namespaced: bool = False


class PolicyApi(msgspec.Struct, frozen=True, kw_only=True):
    """One API group whose objects explain findings and state no violation themselves."""

    group: str
    versions: tuple[str, ...]
    """The supported versions, the preferred first. If only others are served, the group is not read."""
    kinds: tuple[PolicyKind, ...]
    behind: Shape = Shape.REPORT
    """Where violations of these policies are stated: in reports or in constraints."""

    @property
    def resources(self) -> tuple[str, ...]:
        """As in RBAC rules."""
        return tuple(kind.plural for kind in self.kinds)


POLICY_APIS: Final[tuple[PolicyApi, ...]] = (
    PolicyApi(
        group="kyverno.io",
        versions=("v1", "v2beta1"),
        kinds=(
            PolicyKind("clusterpolicies", "ClusterPolicy", KYVERNO),
            PolicyKind("policies", "Policy", KYVERNO, _WITHIN, namespaced=True),
        ),
    ),
    PolicyApi(
        group="policies.kyverno.io",
        versions=("v1", "v1beta1", "v1alpha1"),
        kinds=(
            PolicyKind("validatingpolicies", "ValidatingPolicy", KYVERNO_VALIDATING),
            PolicyKind(
                "namespacedvalidatingpolicies",
                "NamespacedValidatingPolicy",
                KYVERNO_VALIDATING,
                _WITHIN,
                namespaced=True,
            ),
            PolicyKind("imagevalidatingpolicies", "ImageValidatingPolicy", KYVERNO_IMAGE_VALIDATING),
            PolicyKind(
                "namespacedimagevalidatingpolicies",
                "NamespacedImageValidatingPolicy",
                KYVERNO_IMAGE_VALIDATING,
                _WITHIN,
                namespaced=True,
            ),
        ),
    ),
    PolicyApi(
        group="policies.kubewarden.io",
        versions=("v1",),
        kinds=(
            PolicyKind("clusteradmissionpolicies", "ClusterAdmissionPolicy", KUBEWARDEN, "clusterwide-{name}"),
            PolicyKind(
                "admissionpolicies", "AdmissionPolicy", KUBEWARDEN, "namespaced-{namespace}-{name}", namespaced=True
            ),
            PolicyKind(
                "clusteradmissionpolicygroups",
                "ClusterAdmissionPolicyGroup",
                KUBEWARDEN,
                "clusterwide-group-{name}",
            ),
            PolicyKind(
                "admissionpolicygroups",
                "AdmissionPolicyGroup",
                KUBEWARDEN,
                "namespaced-group-{namespace}-{name}",
                namespaced=True,
            ),
        ),
    ),
    PolicyApi(
        group="admissionregistration.k8s.io",
        versions=("v1", "v1beta1"),
        kinds=(PolicyKind("validatingadmissionpolicies", "ValidatingAdmissionPolicy", VALIDATING_ADMISSION),),
    ),
    PolicyApi(
        group="templates.gatekeeper.sh",
        versions=("v1", "v1beta1"),
        kinds=(PolicyKind("constrainttemplates", "ConstraintTemplate", GATEKEEPER),),
        behind=Shape.CONSTRAINT,
    ),
)

POLICY_GROUPS: Final = {api.group: api for api in POLICY_APIS}
POLICY_KINDS: Final = {f"{kind.plural}.{api.group}": kind for api in POLICY_APIS for kind in api.kinds}
"""Everything that may be read, if it is served, by `<resource>.<group>`."""
ASKED_POLICIES: Final = tuple(
    f"{plural}.{api.group}" for api in POLICY_APIS if api.behind is Shape.REPORT for plural in api.resources
)
"""Listed to check whether a policy still exists. Gatekeeper's constraints are watched instead."""


def policy_groups(groups: Collection[str]) -> frozenset[str]:
    """The API groups of the policies whose violations these groups of source APIs state."""
    behind = shapes(groups)
    return frozenset(api.group for api in POLICY_APIS if api.behind in behind)


def kinds_of(source: str, policy: str) -> tuple[str, ...]:
    """The possible kinds of a policy with this name in reports; empty if the source has no such objects."""
    return tuple(
        resource for resource, kind in POLICY_KINDS.items() if kind.engine == source and _fits(kind.pattern, policy)
    )


def name_in_reports(resource: str, *, name: str, namespace: str) -> str:
    """The name of an object of this kind in its engine's reports."""
    return distinct(POLICY_KINDS[resource].pattern.format(name=name, namespace=namespace))


def _fits(pattern: str, policy: str) -> bool:
    prefix = pattern.partition("{")[0]
    return len(policy) > len(prefix) and policy.startswith(prefix) and policy.count("/") == pattern.count("/")


class PolicyObject(NamedTuple):
    """The object in which a person can read a policy."""

    source_api: str
    """`<resource>.<group>` of that object, such as `clusterpolicies.kyverno.io`; only for a constraint a source API."""
    namespace: str
    """Empty: cluster-scoped."""
    name: str


def object_of(source: str, policy: str, rule: str, *, namespace: str) -> PolicyObject | None:
    """The object that defines the policy, for a violation in `namespace`; None if it is not known. For Gatekeeper this
    is the constraint. If the name fits several kinds, the kind with the longest pattern is used.
    """
    if source == GATEKEEPER:
        found = PolicyObject(f"{policy.lower()}.{CONSTRAINTS}", "", rule)
        return found if grammar.is_typed("", policy) and policy and _is_safe(rule) else None
    resources = kinds_of(source, policy)
    if len(resources) > 1:  # `clusterwide-group-x` may be the policy `group-x`, but nearly always is the group `x`
        resources = tuple(sorted(resources, key=lambda resource: len(POLICY_KINDS[resource].pattern))[-1:])
    for resource in resources:
        pattern = POLICY_KINDS[resource].pattern
        within, name = "", policy
        if pattern == _WITHIN:
            within, _, name = policy.partition("/")
        elif "{namespace}" in pattern:
            within, name = namespace, policy.removeprefix(pattern.format(namespace=namespace, name=""))
        elif pattern != _EITHER:
            name = policy.removeprefix(pattern.format(name=""))
        if name != policy or pattern == _EITHER:
            known = _is_safe(name) and grammar.is_namespace(within)
            return PolicyObject(resource, within, name) if known else None
    return None


def _is_safe(name: str) -> bool:
    """Whether it is a single name that is safe to copy into a command: no flag, no quotation mark."""
    return grammar.is_name(name) and name[0] != "-" and not any(mark in name for mark in "/`'\"")
