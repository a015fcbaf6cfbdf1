"""Whether this process still knows which MonitoredClusters are its own, where another operator may have taken one.

| the event loop                                      | then                                                           |
|-----------------------------------------------------|----------------------------------------------------------------|
| has come round within `STILL_SECONDS`               | calls go out                                                   |
| has not: the process was frozen, or had no CPU      | nothing leaves, from whichever thread                          |
| comes round again                                   | nothing leaves before the MonitoredClusters are read again:    |
|                                                     | those that were given away meanwhile end unsent                |

A process that was frozen wakes with what it had to send, while the labels of its MonitoredClusters may have moved and
the operator that took them may have archived since. An event of that may be lost with the connection that was to bring
it. Without a `watchSelector` nobody else takes a MonitoredCluster, and nothing is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from policyhub.cancelling import TaskGroup

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
STILL_SECONDS = 5.0
"""What is sent after so long may have been decided by what has changed since. As long as
`cluster.inventory.OWN_LOOK_MS`: who takes a MonitoredCluster reads once more what was written so long after it began.
"""
RETRY_SECONDS = 2.0
"""From one failed reading to the next."""


class Mandate:
    """Of one process."""

    def __init__(self, *, divided: bool, clock: Callable[[], float]) -> None:
        """`divided`: whether there is a watchSelector. `clock` gives seconds, and goes on while the machine sleeps."""
        self._divided = divided
        self._clock = clock
        self._beat_at = clock()
        self._stalls = 0
        self._known = 0
        """The stall after which the MonitoredClusters were last read."""
        self._stalled = asyncio.Event()

    def holds(self) -> bool:
        """From any thread."""
        return not self._divided or (self._known == self._stalls and not self._still())

    def _still(self) -> bool:
        return self._clock() - self._beat_at > STILL_SECONDS

    async def keep(self, read: Callable[[], Awaitable[bool]]) -> None:
        """Until cancelled. `read` takes the MonitoredClusters as they are now; whether that succeeded."""
        self._beat_at = self._clock()  # it may have stood by for long, and has sent nothing yet
        async with TaskGroup() as tasks:
            tasks.create_task(self._beat())
            tasks.create_task(self._learn(read))

    async def _beat(self) -> None:
        while True:
            now = self._clock()  # once: it may be frozen between any two lines
            if now - self._beat_at > STILL_SECONDS:
                log.warning("process_stood_still", seconds=round(now - self._beat_at, 1))
                self._stalls += 1  # before the beat: another thread may ask in between
                self._stalled.set()
            self._beat_at = now
            await asyncio.sleep(BEAT_SECONDS)

    async def _learn(self, read: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await self._stalled.wait()
            self._stalled.clear()
            stalls = self._stalls
            while not await read():  # noqa: ASYNC110  (it reads anew each time)
                await asyncio.sleep(RETRY_SECONDS)
            self._known = stalls
