"""Back-off after failures, and the clock for waiting."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

MAX_RETRY_AFTER: Final = 600.0
"""Seconds: the longest Retry-After that is respected."""


class Clock:
    """Real time. Tests replace it by a virtual clock."""

    def monotonic(self) -> float:
        """Seconds that never decrease; for intervals."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970; for people and metrics."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Backoff:
    """Full jitter: each wait is drawn from [0, ceiling), and the ceiling doubles with each failure in a row.

    `jitter` draws from [0, 1).
    """

    def __init__(self, jitter: Callable[[], float], *, base: float = 1.0, cap: float = 60.0) -> None:
        self.failures = 0
        self._jitter = jitter
        self._base = base
        self._cap = cap

    def delay(self, retry_after: float | None = None, *, cap: float | None = None) -> float:
        """Seconds to wait after one more failure, at least `retry_after` up to MAX_RETRY_AFTER.

        `cap` applies to this wait only, for failures that are not expected to end soon.
        """
        ceiling = min(self._cap if cap is None else cap, self._base * (1 << min(self.failures, 16)))
        self.failures += 1
        return min(retry_after or 0.0, MAX_RETRY_AFTER) + self._jitter() * ceiling

    def reset(self) -> None:
        self.failures = 0
