"""One voice of several callers: what a finding says when several source objects call for it.

The subject's own result speaks; of several, and where there is none, the worst result, then the worst severity, then
the smallest text. Nothing depends on the order of the callers or on their names: a second report that says the same
changes nothing. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping

from policyhub.sources.verdict import worst
from policyhub.sources.violation import SourceKey, Violation


def representative_claim(claims: Mapping[SourceKey, Violation]) -> Violation:
    """Raises ValueError where nobody calls."""
    if len(claims) == 1:
        return next(iter(claims.values()))
    return representative(claims.values())


def representative(violations: Iterable[Violation]) -> Violation:
    """Who speaks. Raises ValueError where there is nobody."""
    candidates = list(violations)
    return worst([violation for violation in candidates if violation.own] or candidates)
