"""Which of several statements about one violation speaks: the order of results and severities, and how they merge.

The worst result speaks, then the worst severity, then the smallest text, so the outcome never depends on the order in
which the statements come. Pure: no I/O, no clock.
"""

from collections.abc import Iterable

import msgspec

from policyhub.sources.text import LIMIT
from policyhub.sources.violation import SEVERITIES, Result, Severity, Violation

RESULT_RANK: dict[Result, int] = {"truncated": 0, "error": 0, "warn": 1, "fail": 2}
"""`error` is the weakest: it says that nobody knows, and must not hide a rule that is known to be broken."""

SEVERITY_RANK: dict[Severity, int] = {severity: rank for rank, severity in enumerate(reversed(SEVERITIES))}

_UNNAMED = 1.5  # no severity is stated: above LOW, below a MEDIUM that somebody wrote down

# What is kept of one message, and how many distinct ones a merged violation lists. A description has 1,024 characters;
# a report may have megabytes, and what nobody can read is not worth holding.
MESSAGE_LIMIT = 2048
PROPERTIES = 64
"""The most of one result. An engine has a dozen."""
_PROPERTY_CHARACTERS = 16_384
"""The most that all properties of one result have together; a finding shows 6,000 (findings/asff.py)."""
_LISTED = 16
_SEPARATOR = " • "

Properties = tuple[tuple[str, str], ...]

_Order = tuple[int, float, str, str, str, tuple[tuple[str, str], ...]]


def _order(violation: Violation) -> _Order:
    """Ascending: the first one speaks."""
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
    """Where nobody states one, the risk decides between such as nobody has stated either."""
    return _UNNAMED if risk is None else _UNNAMED + SEVERITY_RANK[risk] / 100


def bounded(properties: Properties) -> Properties:
    """As many of them as there is room for, the first ones in their order."""
    if len(properties) * (LIMIT + MESSAGE_LIMIT) <= _PROPERTY_CHARACTERS:
        return properties
    left = _PROPERTY_CHARACTERS
    for number, (key, value) in enumerate(properties):
        left -= len(key) + len(value)
        if left < 0:
            return properties[:number]
    return properties


def worst(violations: Iterable[Violation]) -> Violation:
    """The one that speaks. Raises ValueError where there is none."""
    return min(violations, key=_order)


def merge(violations: list[Violation]) -> Violation:
    """One violation out of several with the same identity: the worst one, with the distinct messages of all."""
    speaker = worst(violations)
    return msgspec.structs.replace(speaker, message=listed({violation.message for violation in violations}))


def listed(messages: set[str]) -> str:
    """Distinct messages in one text: sorted, bounded."""
    distinct = sorted(message for message in messages if message)
    text = _SEPARATOR.join(distinct[:_LISTED])
    if len(distinct) > _LISTED:
        text += f"{_SEPARATOR}and {len(distinct) - _LISTED} more"
    return text[:MESSAGE_LIMIT]
