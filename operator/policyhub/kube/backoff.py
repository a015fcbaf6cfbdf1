"""How long to wait after a failure, and the clock by which waiting is done."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

MAX_RETRY_AFTER: Final = 600.0
"""Seconds. A server may ask for patience, not for silence."""


class Clock:
    """Real time. Tests put a virtual one in its place."""

    def monotonic(self) -> float:
        """Seconds that only grow; for intervals."""
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
        """Seconds to wait after one more failure: never less than the server asked for.

        `cap` is that of this wait alone, for a failure that is not expected to pass.
        """
        ceiling = min(self._cap if cap is None else cap, self._base * (1 << min(self.failures, 16)))
        self.failures += 1
        return min(retry_after or 0.0, MAX_RETRY_AFTER) + self._jitter() * ceiling

    def reset(self) -> None:
        self.failures = 0
