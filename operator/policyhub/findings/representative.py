"""The representative claim: which of several claims determines the finding, if several source objects report it.

Claims of the subject itself take precedence. Among these, or among all if there are none, the worst result wins, then
the worst severity, then the smallest text. The order and the names of the source objects have no influence, so a second
report with the same content changes nothing. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping

from policyhub.model.violation import SourceKey, Violation
from policyhub.sources.merge import worst


def representative_claim(claims: Mapping[SourceKey, Violation]) -> Violation:
    """Raises ValueError if there is no claim."""
    if len(claims) == 1:
        return next(iter(claims.values()))
    return representative(claims.values())


def representative(violations: Iterable[Violation]) -> Violation:
    """The representative violation. Raises ValueError if there is none."""
    candidates = list(violations)
    return worst([violation for violation in candidates if violation.own] or candidates)
