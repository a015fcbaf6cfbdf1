"""Reads the annotations of policies, templates and constraints.

A report contains only a policy's name, severity and category. The policy object explains why the policy exists, what to
do, and which requirement it implements, in annotations that differ from library to library:

| annotation                                                               | becomes                                  |
|--------------------------------------------------------------------------|------------------------------------------|
| `policies.kyverno.io/title`, `metadata.gatekeeper.sh/title`,             | the property `policy-title`              |
|   `io.kubewarden.policy.title`, `title`                                  |                                          |
| `…/description` of the same, `kubernetes.io/description`, `docstring`,   | the property `policy-description`        |
|   the description in Google's `constraintData`                           |                                          |
| `…/severity` of the same (also as a label), `policyhub.dev/severity`     | the severity, if the engine states none  |
| `…/category` of the same                                                 | the category, if the engine states none  |
| `…/controls`, `…/cis-eks-control`, `…/standards`, `…/remediation`,       | a property with that key                 |
|   `…/url`, Azure's definition ids and similar keys                       |                                          |

The values of the result itself take precedence. Pure: no I/O, no clock.
"""

import re
from collections.abc import Mapping

import msgspec

from policyhub.model.recent import Recent, share
from policyhub.model.severity import severity_of
from policyhub.model.text import LIMIT, capped, clean
from policyhub.model.violation import Severity, Violation
from policyhub.sources.merge import MESSAGE_LIMIT, PROPERTIES, Properties, bounded

TITLE, DESCRIPTION = "policy-title", "policy-description"
"""The properties with the text for people, whatever the annotation is called."""

SEVERITY_KEYS = ("policyhub.dev/severity", "severity", "policies.kyverno.io/severity", "io.kubewarden.policy.severity")
"""Annotations, then labels, that state a policy's severity; the second is a convention of AWS's samples."""

_AUTHORS = frozenset(
    {
        "",
        "io.kubewarden.policy",
        "kubernetes.io",
        "metadata.gatekeeper.sh",
        "policies.kyverno.io",
        "policies.nirmata.io",
        "policyhub.dev",
    }
)
"""Prefixes of keys whose `title`, `description` and `category` describe the policy: tools write such keys too."""
_KUBEWARDEN = "io.kubewarden.policy."
_PROPERTY_KEYS = frozenset(
    {
        "azure-policy-assignment-id",
        "azure-policy-definition-id",
        "azure-policy-setdefinition-id",
        "constraintData",
        "control",
        "controls",
        "documentation",
        "owasp",
        "remediation",
        "remediation-docs",
        "remediation-url",
        "standard",
        "standards",
        "url",
    }
)
_CONTROLS = ("-control", "-controls")
"""Last segments of keys, and endings of them, that findings/compliance.py and remediation.py use, or that name who
requires the policy."""
_BUNDLED = "policycontroller.gke.io/constraintData"
"""The only annotation that Google's bundles use; its quoting follows no particular language."""
_BUNDLED_SEVERITY = re.compile(r"severity['\"\\]{0,8}\s{0,8}:\s{0,8}['\"\\]{0,8}([A-Za-z]{1,32})")
_BUNDLED_DESCRIPTION = re.compile(r"description['\"\\]{0,8}\s{0,8}:\s{0,8}['\"\\]{1,8}([^'\"\\]{1,2048})")


class Policy(msgspec.Struct, frozen=True, gc=False):
    """What one object states. If two are equal, nothing has changed."""

    properties: Properties = ()
    """Sorted."""
    severity: Severity | None = None
    category: str = ""


def tail(key: str) -> str:
    """The last segment of the key of a property or annotation, in lower case."""
    return key.rpartition("/")[2].lower()


def policy_of(annotations: Mapping[str, str] | None, labels: Mapping[str, str] | None = None) -> Policy:
    properties: dict[str, str] = {}
    category = ""
    for annotation, text in sorted((annotations or {}).items()):
        key = annotation
        if key.startswith(_KUBEWARDEN):
            key = key.replace(_KUBEWARDEN, f"{_KUBEWARDEN[:-1]}/", 1)
        value, segment = share(clean(text.strip()[:MESSAGE_LIMIT])), tail(key)
        by_author = key.rpartition("/")[0] in _AUTHORS
        if not value or len(key) > LIMIT:  # Kubernetes' own limit is 317
            continue
        if by_author and segment == "title":
            properties.setdefault(TITLE, value)
        elif by_author and segment in ("description", "docstring"):
            properties.setdefault(DESCRIPTION, value)
        elif by_author and segment == "category":
            category = category or capped(value, LIMIT)
        elif (last := key.rpartition("/")[2]) in _PROPERTY_KEYS or last.endswith(_CONTROLS):
            properties[share(clean(key))] = value
    bundled = _BUNDLED_DESCRIPTION.search(properties.get(_BUNDLED, ""))
    if bundled:
        properties.setdefault(DESCRIPTION, bundled[1].strip())
    return Policy(
        bounded(tuple(sorted(properties.items())[:PROPERTIES])), _severity(annotations or {}, labels or {}), category
    )


def _severity(annotations: Mapping[str, str], labels: Mapping[str, str]) -> Severity | None:
    for texts in (annotations, labels):
        for key in SEVERITY_KEYS:
            severity = severity_of(texts.get(key))
            if severity is not None:
                return severity
    bundled = _BUNDLED_SEVERITY.search(annotations.get(_BUNDLED, ""))
    return severity_of(bundled[1]) if bundled else None


def enriched(violation: Violation, policy: Policy) -> Violation:
    """Adds what the policy states and the violation does not."""
    return msgspec.structs.replace(
        violation,
        severity=violation.severity or policy.severity,
        category=violation.category or policy.category,
        properties=merged(violation.properties, policy.properties),
    )


_merged: Recent[tuple[Properties, Properties], Properties] = Recent(limit=4_000_000)
"""Shared tuples: most results have no properties of their own."""


def merged(own: Properties, inherited: Properties) -> Properties:
    """Both, sorted; an own property hides the policy's with the same last segment. Equal results share one tuple."""
    found = _merged.young.get((own, inherited))
    if found is not None:
        return found
    weight = 2 * sum(len(key) + len(value) for key, value in (*own, *inherited))
    found = _merged.get((own, inherited), weight=weight)
    if found is None:
        own_keys = {tail(key) for key, _ in own}
        found = tuple(sorted((*own, *(pair for pair in inherited if tail(pair[0]) not in own_keys))))
        _merged.put((own, inherited), found, weight=weight)
    return found
