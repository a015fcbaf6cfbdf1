"""How much of the event loop one cluster takes: a slice of each round, shared by all its reflectors in turn.

All clusters share one event loop. A server that sends events without end, on one watch or on a thousand at once, gets
one slice between two turns of everybody else. No I/O; the clock is an argument.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_SECONDS: Final = 0.005
"""Of work on one cluster's objects in one round of the loop: some fifty reports."""


class Pace:
    """Of one cluster. Before each object: `if pace.waits(me): await pace.turn(me)`; after it: `pace.worked()`."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._worker: object = None
        self._spent = 0.0
        self._began = 0.0
        self._queue: deque[tuple[object, asyncio.Future[None]]] = deque()
        self._round = False
        """Whether the next round of the loop is waited for."""

    def waits(self, worker: object) -> bool:
        """Whether this round's slice is used up, or it is another's turn; else the work on one object begins."""
        if self._spent >= SLICE_SECONDS or (self._queue and self._worker is not worker):
            return True
        self._begin(worker)
        return False

    async def turn(self, worker: object) -> None:
        """Wait in the queue; then the work on one object begins."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((worker, turn))
        self._await_round()
        await turn
        self._begin(worker)

    def worked(self) -> None:
        self._spent += self._clock() - self._began

    def _begin(self, worker: object) -> None:
        self._worker = worker
        self._began = self._clock()
        self._await_round()

    def _await_round(self) -> None:
        if not self._round:
            self._round = True
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        self._round = False
        self._spent = 0.0
        while self._queue:
            worker, turn = self._queue.popleft()
            if not turn.done():  # else whoever waited was cancelled
                self._worker = worker
                turn.set_result(None)
                break
        if self._queue:
            self._await_round()
