"""One voice of several callers: what a finding says when several source objects call for it.

The subject's own result speaks; of several, and where there is none, the worst result, then the worst severity, then
the smallest text. Nothing depends on the order of the callers or on their names: a second report that says the same
changes nothing. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping

from policyhub.sources.verdict import worst
from policyhub.sources.violation import SourceKey, Violation


def voice(callers: Mapping[SourceKey, Violation]) -> Violation:
    """Raises ValueError where nobody calls."""
    if len(callers) == 1:
        return next(iter(callers.values()))
    return speaker(callers.values())


def speaker(violations: Iterable[Violation]) -> Violation:
    """Who speaks. Raises ValueError where there is nobody."""
    said = list(violations)
    return worst([violation for violation in said if violation.own] or said)
