"""The monotonic and the wall clock: which values may be combined, and which must not.

mypy checks this file too, and reports an unneeded ignore as an error: each ignore here proves a forbidden combination.
"""

import pytest

from policyhub.clock import SteadyMs, WallMs, from_seconds, to_wall_clock
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.entry import Entry, ObservedFinding
from policyhub.sync.plan import Wait, refresh_due

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(1_792_592_000_000)


def test_mixing_the_clocks_is_a_type_error() -> None:
    """Neither time is accepted, stored, compared or subtracted in place of the other, nor is a plain number."""
    entry = Entry("policyhub/alpha/0000")
    entry.unclaimed_since = WALL  # type: ignore[assignment]  # kept as the other
    entry.observed_at = NOW  # type: ignore[assignment]  # kept as the other
    ObservedFinding("digest", NOW, WALL, archived=False)  # type: ignore[arg-type]  # CreatedAt is written
    Wait(WALL)  # type: ignore[arg-type]  # a timer
    Wait(1_790_000_000_000)  # type: ignore[arg-type]  # a plain number
    refresh_due(entry.id, NOW)  # type: ignore[arg-type]  # what Security Hub was told
    Acknowledged().recent("uid", entry.id, WALL)  # type: ignore[arg-type]  # passed as the other
    assert WALL > NOW  # type: ignore[operator]  # compared
    assert WALL - NOW  # type: ignore[operator]  # subtracted
    Wait(max(NOW, WALL))  # type: ignore[arg-type]  # either
    assert WALL != NOW  # type: ignore[comparison-overlap]  # never equal


def test_times_and_durations() -> None:
    """A sum is a time of the same clock, a difference is a duration."""
    later: SteadyMs = NOW + 5
    duration: int = later - NOW
    earlier: WallMs = WALL - 5
    assert (later, duration, earlier) == (SteadyMs(1_790_000_000_005), 5, WallMs(1_792_591_999_995))


@pytest.mark.parametrize("ago", [0, 5_000, -5_000], ids=["now", "ago", "ahead"])
def test_by_the_wall_clock_it_is_as_long_ago(ago: int) -> None:
    assert to_wall_clock(NOW - ago, now=NOW, wall_clock=WALL) == WALL - ago


def test_documents_tell_seconds() -> None:
    assert from_seconds(1_792_592_000) == WALL
