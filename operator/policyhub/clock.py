"""The two clocks of the operator, as two types: a time of one is a type error where one of the other is meant.

| type       | Unix milliseconds by                          | for                                                     |
|------------|-----------------------------------------------|---------------------------------------------------------|
| `SteadyMs` | a clock that never jumps: it begins with the  | delays, timers, and what was first; it is compared with |
|            | process, at the wall clock's time             | another one of the same process only                    |
| `WallMs`   | the wall clock, which may be put right at any | what is written or shown, and what is compared with     |
|            | moment                                        | times that others wrote: documents, findings, statuses  |

Where the wall clock was wrong when the process began, the two differ for good. Durations are plain `int`: two times of
one clock differ by a duration, and a time and a duration make a time. A time changes clocks by `by_wall` alone.

While the operator runs, both are plain `int`. Pure: no I/O, no clock.
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
"""It has not happened, or there is nothing to wait for."""
UNDATED: Final = WallMs(0)
"""Nothing tells when it was."""


def from_seconds(seconds: int) -> WallMs:
    """As documents of the cluster tell times: Unix seconds."""
    return WallMs(seconds * 1000)


def by_wall(at: SteadyMs, *, now: SteadyMs, wall: WallMs) -> WallMs:
    """When that was by the wall clock as it is now: as long ago as by the other."""
    return wall - (now - at)
