"""One voice of several callers: what a finding says when several source objects call for it.

The worst result speaks, then the worst severity, then the smallest text. Nothing depends on the order of the callers
or on their names: a second report that says the same changes nothing. Pure: no I/O, no clock.
"""

from collections.abc import Mapping

from policyhub.sources.verdict import worst
from policyhub.sources.violation import SourceKey, Violation


def voice(callers: Mapping[SourceKey, Violation]) -> Violation:
    """Raises ValueError where nobody calls."""
    if len(callers) == 1:
        return next(iter(callers.values()))
    return worst(callers.values())
