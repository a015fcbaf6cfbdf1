"""Validates and compares ASFF timestamps.

RFC 3339 with `Z`, `+HH:MM` or `+HHMM`, an offset of at most 18 hours, at most nine fraction digits, no blanks. Compared
by nanosecond. Pure: no I/O, no clock.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

_FORMAT = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:Z|[+-](\d{2}):?(\d{2}))",
    re.ASCII,
)
_FURTHEST_OFFSET_MINUTES = 18 * 60


@lru_cache(maxsize=65_536)  # a batch repeats the same few times
def nanoseconds(text: str) -> int | None:
    """Nanoseconds since the epoch; None if the text is not a valid timestamp."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    base, fraction, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(base + "+00:00")
    except ValueError:
        return None
    seconds = int(moment.timestamp())
    if hours is not None:
        offset = int(hours) * 60 + int(minutes)
        if int(minutes) > 59 or offset > _FURTHEST_OFFSET_MINUTES:
            return None
        east = text[-6 if text[-3] == ":" else -5] == "+"
        seconds -= offset * 60 if east else -offset * 60
    return seconds * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)


def render(seconds: float) -> str:
    """The form of the service's own times: UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
