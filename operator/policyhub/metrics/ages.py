"""The age buckets of violations. Pure."""

from dataclasses import dataclass

HOUR = 3600
DAY = 24 * HOUR
AGE_SECONDS = (HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY, 180 * DAY, 365 * DAY)
"""Upper bounds of the buckets, including the usual SLAs."""


@dataclass(frozen=True, slots=True)
class Ages:
    """The ages of violations at one moment."""

    counts: tuple[int, ...]
    """Violations in each bucket of AGE_SECONDS, not cumulative; the last number is those older than all bounds."""
    seconds: float
    """The sum of the ages."""
