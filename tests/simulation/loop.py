"""An event loop in virtual time: when no task is ready, its clock jumps to the next timer.

During `run`, the functions of `time` return virtual time in the whole process, and the random numbers of
the global generator come from the seed, so that the product's defaults (the jitter of a back-off, the clock
of a reflector) repeats with the seed as well. Tasks are hashed by their number, not by their address: a group cancels
its tasks in the same order each time.
"""

import asyncio
import contextlib
import itertools
import random
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

START_SECONDS = 1_000.0
"""Where the loop's clock begins."""
EPOCH_MS = 1_767_225_600_000
"""Unix ms of that moment: 2026-01-01."""

T = TypeVar("T")


class Deadlock(RuntimeError):
    """No task is ready and no timer is set: the loop would wait for ever."""


class _Selector(selectors.SelectSelector):
    """Never blocks; advances the virtual clock instead."""

    def __init__(self, advance: Callable[[float | None], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._advance(timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """A loop with virtual time. Nothing outside the process can wake it."""

    def __init__(self) -> None:
        self.moment = START_SECONDS
        super().__init__(_Selector(self._pass))
        self._clock_resolution = 1e-6  # the resolution of floats of this size
        self.set_task_factory(_numbered)

    def time(self) -> float:
        return self.moment

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the start."""
        return self.moment - START_SECONDS

    @property
    def wall_ms(self) -> int:
        """Unix milliseconds by a correct clock."""
        return EPOCH_MS + round(self.elapsed * 1000)

    def _pass(self, seconds: float | None) -> None:
        if seconds is None:
            raise Deadlock("no task is ready and no timer is set")
        self.moment += seconds


class _Task(asyncio.Task[Any]):
    _numbers = itertools.count(1)

    def __init__(self, *args: Any, **more: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(*args, **more)

    def __hash__(self) -> int:
        return self._number


def _numbered(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> _Task:
    return _Task(work, loop=loop, **more)


def run(work: Callable[[Loop], Coroutine[Any, Any, T]], *, seed: str) -> T:
    """Run a coroutine in its own loop in virtual time, and return its result."""
    loop = Loop()
    before = random.getstate()
    random.seed(seed)
    _Task._numbers = itertools.count(1)
    try:
        with _virtual(loop):
            return loop.run_until_complete(work(loop))
    finally:
        random.setstate(before)
        loop.close()


@contextlib.contextmanager
def _virtual(loop: Loop) -> Iterator[None]:
    clocks: Mapping[str, Callable[[], float | int]] = {
        "monotonic": loop.time,
        "monotonic_ns": lambda: round(loop.time() * 1e9),
        "time": lambda: EPOCH_MS / 1000 + loop.elapsed,
        "time_ns": lambda: EPOCH_MS * 1_000_000 + round(loop.elapsed * 1e9),
    }
    real = {name: getattr(time, name) for name in clocks}
    for name, clock in clocks.items():
        setattr(time, name, clock)
    try:
        yield
    finally:
        for name, clock in real.items():
            setattr(time, name, clock)
