"""The operator's two clocks, as two types, so that mypy rejects mixing their times.

| type       | Unix milliseconds of                          | for                                                     |
|------------|-----------------------------------------------|---------------------------------------------------------|
| `SteadyMs` | a monotonic clock, which starts with the      | delays, timers and order; comparable only within one    |
|            | process at the wall clock's time              | process                                                 |
| `WallMs`   | the wall clock, which may be set at any       | times that are written, shown, or compared with times   |
|            | moment                                        | of other systems: documents, findings, statuses         |

If the wall clock was wrong when the process started, the two differ permanently. Durations are plain `int`: the
difference of two times of one clock is a duration, and a time plus a duration is a time. Only `to_wall_clock` converts
between the clocks.

At run time both are plain `int`. Pure: no I/O, no clock.
"""

from typing import TYPE_CHECKING, Final, NewType, Self, overload

if TYPE_CHECKING:  # a NewType of int would let mypy compare and subtract the two, and take any sum for an int

    class _Time:
        def __init__(self, milliseconds: int, /) -> None: ...
        def __int__(self) -> int: ...
        def __bool__(self) -> bool: ...
        def __hash__(self) -> int: ...
        def __lt__(self, other: Self, /) -> bool: ...
        def __le__(self, other: Self, /) -> bool: ...
        def __gt__(self, other: Self, /) -> bool: ...
        def __ge__(self, other: Self, /) -> bool: ...
        def __add__(self, milliseconds: int, /) -> Self: ...
        @overload
        def __sub__(self, other: Self, /) -> int: ...
        @overload
        def __sub__(self, milliseconds: int, /) -> Self: ...
        def __sub__(self, other: object, /) -> object: ...
        def __floordiv__(self, unit: int, /) -> int: ...
        def __truediv__(self, unit: int, /) -> float: ...

    class SteadyMs(_Time): ...

    class WallMs(_Time): ...

else:
    SteadyMs = NewType("SteadyMs", int)
    WallMs = NewType("WallMs", int)

NEVER: Final = SteadyMs(0)
"""It has not happened, or nothing is scheduled."""
UNDATED: Final = WallMs(0)
"""The time is not known."""


def from_seconds(seconds: int) -> WallMs:
    """From Unix seconds, as in documents of the cluster."""
    return WallMs(seconds * 1000)


def to_wall_clock(at: SteadyMs, *, now: SteadyMs, wall_clock: WallMs) -> WallMs:
    """The time by the current wall clock that is equally long ago."""
    return wall_clock - (now - at)
