"""Fair use of the event loop: each cluster gets one time slice per round of the loop, and its reflectors take turns.

All clusters share one event loop. A server that sends endless events, on one watch or on a thousand at once, gets one
slice; then every other cluster has its turn. No I/O; the clock is an argument.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_SECONDS: Final = 0.005
"""For one cluster's objects in one round of the loop: enough for some fifty reports."""


class TimeSlice:
    """Of one cluster.

    Before each object: `if time_slice.must_wait(me): await time_slice.wait_turn(me)`. After it:
    `time_slice.end_work()`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._current: object = None
        self._used_seconds = 0.0
        self._work_began = 0.0
        self._queue: deque[tuple[object, asyncio.Future[None]]] = deque()
        self._round_scheduled = False
        """Whether a callback is scheduled for the next round of the loop."""

    def must_wait(self, worker: object) -> bool:
        """Whether this round's slice is used up, or another worker is next. If not, the work on one object begins."""
        if self._used_seconds >= SLICE_SECONDS or (self._queue and self._current is not worker):
            return True
        self._begin_work(worker)
        return False

    async def wait_turn(self, worker: object) -> None:
        """Wait in the queue; then the work on one object begins."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((worker, turn))
        self._schedule_round()
        await turn
        self._begin_work(worker)

    def end_work(self) -> None:
        self._used_seconds += self._clock() - self._work_began

    def _begin_work(self, worker: object) -> None:
        self._current = worker
        self._work_began = self._clock()
        self._schedule_round()

    def _schedule_round(self) -> None:
        if not self._round_scheduled:
            self._round_scheduled = True
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        self._round_scheduled = False
        self._used_seconds = 0.0
        while self._queue:
            worker, turn = self._queue.popleft()
            if not turn.done():  # done: the waiting task was cancelled
                self._current = worker
                turn.set_result(None)
                break
        if self._queue:
            self._schedule_round()
