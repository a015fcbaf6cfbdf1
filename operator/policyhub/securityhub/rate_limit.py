"""The pace of calls: one token bucket per hub and operation.

Security Hub's quotas apply per account and Region, and every other tool there shares them, so only a share of them is
used. Invariants: callers are served first come, first served, urgent callers before the others, but while others wait,
every second token is theirs; the bucket never holds more than `burst` tokens; a cancelled caller takes none.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

SHARE = 0.8
"""The part of a quota that is used; the rest is for the account's other tools."""


class TokenBucket:
    """`rate` tokens per second, at most `burst` at once; full at the start."""

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._ceiling = rate
        self._slowed = float("-inf")
        self._burst = max(burst, 1.0)
        self._clock = clock
        self._sleep = sleep
        self._tokens = self._burst
        self._filled = clock()
        self._urgent: deque[asyncio.Event] = deque()
        self._others: deque[asyncio.Event] = deque()
        self._last_urgent = False

    @property
    def rate(self) -> float:
        """Tokens per second at present."""
        return self._rate

    def throttled(self) -> None:
        """Security Hub throttled a call: other tools use the quota too. Empties the bucket and halves the rate, at most
        once a second, however many calls are in flight, and never below `FLOOR`.
        """
        now = self._clock()
        self._fill()
        self._tokens = 0.0
        if now - self._slowed >= _ONCE_SECONDS:
            self._slowed = now
            self._rate = max(min(FLOOR, self._ceiling), self._rate / 2)

    def answered(self) -> None:
        """A call succeeded: the rate grows by a fixed step, up to its initial value."""
        if self._rate < self._ceiling:
            self._fill()
            self._rate = min(self._ceiling, self._rate + self._ceiling / _STEPS)

    async def acquire(self, *, urgent: bool = False) -> None:
        """Wait for one token and take it."""
        mine = asyncio.Event()
        queue = self._urgent if urgent else self._others
        queue.append(mine)
        try:
            while True:
                self._fill()
                if self._next() is not mine:
                    mine.clear()
                    await mine.wait()
                elif self._tokens < _ONE_TOKEN:
                    await self._sleep((1 - self._tokens) / self._rate)
                else:
                    break
            self._tokens -= 1
            self._last_urgent = urgent
        finally:
            queue.remove(mine)
            if (following := self._next()) is not None:
                following.set()

    def return_token(self) -> None:
        """Return a token that was not used."""
        self._fill()
        self._tokens = min(self._burst, self._tokens + 1)
        if (following := self._next()) is not None:
            following.set()

    def _next(self) -> asyncio.Event | None:
        """Whose turn it is."""
        first, second = (self._others, self._urgent) if self._last_urgent else (self._urgent, self._others)
        return first[0] if first else second[0] if second else None

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now


FLOOR = 0.5
"""Calls per second that are always allowed: one every two seconds."""
_ONCE_SECONDS = 1.0
_STEPS = 20
"""Answers that raise a rate from zero to its maximum."""
_ONE_TOKEN = 1 - 1e-6
"""One token, except for rounding: waiting for the last 1e-17 would be a busy loop."""


@dataclass(frozen=True, slots=True)
class Quota:
    """AWS's quota per account and Region: calls per second, and calls at once."""

    rate: float
    burst: float

    def bucket(
        self,
        *,
        share: float = SHARE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> TokenBucket:
        """A full bucket for this share (0 < share ≤ 1) of both rate and burst."""
        if not 0 < share <= 1:
            raise ValueError(f"a share of a quota lies above 0 and up to 1, not {share}")
        return TokenBucket(rate=self.rate * share, burst=self.burst * share, clock=clock, sleep=sleep)


IMPORTS = Quota(rate=10, burst=30)
"""BatchImportFindings: "RateLimit of 10 requests per second. BurstLimit of 30 requests per second" (API reference)."""

READS = Quota(rate=3, burst=6)
"""GetFindings: "RateLimit of 3 requests per second. BurstLimit of 6 requests per second" (API reference)."""
