"""Which objects policies are: their kinds, and what their engines call them in reports.

Pure: no I/O, no clock.
"""

from typing import Final, NamedTuple

from policyhub.sources import grammar
from policyhub.sources.constraints import GROUP, SOURCE
from policyhub.sources.text import distinct

_CLUSTERWIDE, _NAMESPACED, _EITHER = "clusterwide-{name}", "namespaced-{namespace}-{name}", "{name}"
ENGINES_OF: Final[dict[str, tuple[str, str]]] = {
    "clusterpolicies.kyverno.io": ("kyverno", _EITHER),
    "policies.kyverno.io": ("kyverno", "{namespace}/{name}"),
    "validatingpolicies.policies.kyverno.io": ("KyvernoValidatingPolicy", _EITHER),
    "namespacedvalidatingpolicies.policies.kyverno.io": ("KyvernoValidatingPolicy", "{namespace}/{name}"),
    "imagevalidatingpolicies.policies.kyverno.io": ("KyvernoImageValidatingPolicy", _EITHER),
    "namespacedimagevalidatingpolicies.policies.kyverno.io": ("KyvernoImageValidatingPolicy", "{namespace}/{name}"),
    "validatingadmissionpolicies.admissionregistration.k8s.io": ("ValidatingAdmissionPolicy", _EITHER),
    "clusteradmissionpolicies.policies.kubewarden.io": ("kubewarden", _CLUSTERWIDE),
    "admissionpolicies.policies.kubewarden.io": ("kubewarden", _NAMESPACED),
    "clusteradmissionpolicygroups.policies.kubewarden.io": ("kubewarden", "clusterwide-group-{name}"),
    "admissionpolicygroups.policies.kubewarden.io": ("kubewarden", "namespaced-group-{namespace}-{name}"),
    "constrainttemplates.templates.gatekeeper.sh": (SOURCE, _EITHER),
}
"""Origin of a policy object → who speaks of it in reports, and by which name."""
SOURCE_APIS_OF: Final = tuple(ENGINES_OF)
"""All that may be read, where it is served: `<resource>.<group>`."""


def source_apis_of(source: str, policy: str) -> tuple[str, ...]:
    """The kinds of which a policy can be that its engine calls so; none where the source has no such objects."""
    return tuple(
        origin for origin, (speaker, pattern) in ENGINES_OF.items() if speaker == source and _fits(pattern, policy)
    )


def name_in_reports(origin: str, *, name: str, namespace: str) -> str:
    """What its engine calls an object of this kind."""
    return distinct(ENGINES_OF[origin][1].format(name=name, namespace=namespace))


def _fits(pattern: str, policy: str) -> bool:
    prefix = pattern.partition("{")[0]
    return len(policy) > len(prefix) and policy.startswith(prefix) and policy.count("/") == pattern.count("/")


class PolicyObject(NamedTuple):
    """Where a person reads a policy."""

    source_api: str
    """`<resource>.<group>`."""
    namespace: str
    """Empty: it lies in none."""
    name: str


def object_of(source: str, policy: str, rule: str, *, namespace: str) -> PolicyObject | None:
    """The object that holds what was violated in `namespace`; None where it may be more than one, or none is known.

    Of Gatekeeper it is the constraint.
    """
    if source == SOURCE:
        found = PolicyObject(f"{policy.lower()}.{GROUP}", "", rule)
        return found if grammar.is_typed("", policy) and policy and _is_safe(rule) else None
    origins = source_apis_of(source, policy)
    if len(origins) > 1:  # `clusterwide-group-x` may be the policy `group-x`, and nearly always is the group `x`
        origins = tuple(sorted(origins, key=lambda origin: len(ENGINES_OF[origin][1]))[-1:])
    for origin in origins:
        pattern = ENGINES_OF[origin][1]
        within, name = "", policy
        if pattern == "{namespace}/{name}":
            within, _, name = policy.partition("/")
        elif "{namespace}" in pattern:
            within, name = namespace, policy.removeprefix(pattern.format(namespace=namespace, name=""))
        elif pattern != _EITHER:
            name = policy.removeprefix(pattern.format(name=""))
        if name != policy or pattern == _EITHER:
            known = _is_safe(name) and grammar.is_namespace(within)
            return PolicyObject(origin, within, name) if known else None
    return None


def _is_safe(name: str) -> bool:
    """Whether it is one name, and no flag or mark of a quotation to whoever copies it."""
    return grammar.is_name(name) and name[0] != "-" and not any(mark in name for mark in "/`'\"")
