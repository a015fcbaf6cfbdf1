"""The ages that violations are counted by. Pure."""

from dataclasses import dataclass

HOUR = 3600
DAY = 24 * HOUR
AGE_SECONDS = (HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY, 180 * DAY, 365 * DAY)
"""Upper bounds of the ages that violations are counted by; the usual deadlines are among them."""


@dataclass(frozen=True, slots=True)
class Ages:
    """How old things are at one moment."""

    counts: tuple[int, ...]
    """How many are in each bucket of AGE_SECONDS, not cumulated; the last one has what is older than all of them."""
    seconds: float
    """The sum of the ages."""
