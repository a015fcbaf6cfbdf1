"""Merges several statements about one violation: the order of results and severities selects the representative one.

The worst result comes first, then the worst severity, then the smallest text, so the outcome never depends on the order
of the statements. Pure: no I/O, no clock.
"""

from collections.abc import Iterable

import msgspec

from policyhub.model.text import LIMIT
from policyhub.model.violation import SEVERITIES, Result, Severity, Violation

RESULT_RANK: dict[Result, int] = {"truncated": 0, "error": 0, "warn": 1, "fail": 2}
"""`error` is the weakest: it means that the outcome is unknown, and must not hide a known violation."""

SEVERITY_RANK: dict[Severity, int] = {severity: rank for rank, severity in enumerate(reversed(SEVERITIES))}

_UNNAMED = 1.5  # no severity is stated: above LOW, below a stated MEDIUM

# The maximum length of one message, and the number of distinct ones in a merged violation. A description has 1,024
# characters; a report may have megabytes, which nobody reads.
MESSAGE_LIMIT = 2048
PROPERTIES = 64
"""Maximum for one result. An engine writes a dozen."""
_PROPERTY_CHARACTERS = 16_384
"""Maximum for all properties of one result together; a finding shows 6,000 (findings/asff.py)."""
_LISTED = 16
_SEPARATOR = " • "

Properties = tuple[tuple[str, str], ...]

_Order = tuple[int, float, str, str, str, tuple[tuple[str, str], ...]]


def _order(violation: Violation) -> _Order:
    """Ascending: the first one is the representative."""
    severity, risk = violation.severity, violation.risk
    return (
        -RESULT_RANK[violation.result],
        -(_unnamed(risk) if severity is None else SEVERITY_RANK[severity]),
        violation.message,
        violation.category,
        violation.api_version,
        violation.properties,
    )


def _unnamed(risk: Severity | None) -> float:
    """The rank without a stated severity: the risk only decides among such violations."""
    return _UNNAMED if risk is None else _UNNAMED + SEVERITY_RANK[risk] / 100


def bounded(properties: Properties) -> Properties:
    """As many as fit, from the first one on."""
    if len(properties) * (LIMIT + MESSAGE_LIMIT) <= _PROPERTY_CHARACTERS:
        return properties
    remaining = _PROPERTY_CHARACTERS
    for number, (key, value) in enumerate(properties):
        remaining -= len(key) + len(value)
        if remaining < 0:
            return properties[:number]
    return properties


def worst(violations: Iterable[Violation]) -> Violation:
    """The representative violation. Raises ValueError if there is none."""
    return min(violations, key=_order)


def merge(violations: list[Violation]) -> Violation:
    """One violation from several with the same identity: the worst one, with the distinct messages of all."""
    representative = worst(violations)
    return msgspec.structs.replace(representative, message=listed({violation.message for violation in violations}))


def listed(messages: set[str]) -> str:
    """Distinct messages in one text: sorted, bounded."""
    distinct = sorted(message for message in messages if message)
    text = _SEPARATOR.join(distinct[:_LISTED])
    if len(distinct) > _LISTED:
        text += f"{_SEPARATOR}and {len(distinct) - _LISTED} more"
    return text[:MESSAGE_LIMIT]
