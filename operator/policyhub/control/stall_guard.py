"""Blocks AWS calls after a stall of the process, until it has read again which MonitoredClusters are its own.

| the event loop                                      | AWS calls                                                      |
|-----------------------------------------------------|----------------------------------------------------------------|
| had a heartbeat within `STALL_SECONDS`              | are allowed                                                    |
| had none: the process was frozen, or had no CPU     | are blocked in all threads                                     |
| runs again                                          | stay blocked until the MonitoredClusters are read again;       |
|                                                     | nothing is sent for those that another operator has taken      |

A frozen process wakes up with findings to send. Meanwhile the labels of its MonitoredClusters may have changed, and the
operator that took them over may have archived findings. The event for that may be lost with its connection. Without a
`watchSelector` no other operator can take a MonitoredCluster, and nothing is blocked.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from policyhub.cancellation import TaskGroup

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 1.0
STALL_SECONDS = 5.0
"""After a stall of this length, a pending request may rest on outdated facts. Equals `cluster.inventory.OVERLAP_MS`:
an operator that takes a MonitoredCluster over reads again what was written within this time after it started.
"""
RETRY_SECONDS = 2.0
"""Between attempts to read the MonitoredClusters."""


class StallGuard:
    """The guard of one process."""

    def __init__(self, *, sharded: bool, clock: Callable[[], float]) -> None:
        """`sharded`: a watchSelector is set. `clock` returns seconds, and runs while the machine sleeps."""
        self._sharded = sharded
        self._clock = clock
        self._last_heartbeat = clock()
        self._stall_count = 0
        self._confirmed_stall = 0
        """The number of the last stall after which the MonitoredClusters were read."""
        self._stalled = asyncio.Event()

    def permits_calls(self) -> bool:
        """Whether AWS calls are allowed now. May be called from any thread."""
        return not self._sharded or (self._confirmed_stall == self._stall_count and not self._is_stalled())

    def _is_stalled(self) -> bool:
        return self._clock() - self._last_heartbeat > STALL_SECONDS

    async def run(self, reread: Callable[[], Awaitable[bool]]) -> None:
        """Run until cancelled. `reread` reads the MonitoredClusters again; it returns whether that succeeded."""
        self._last_heartbeat = self._clock()  # it may have been standby for long, and has sent nothing yet
        async with TaskGroup() as tasks:
            tasks.create_task(self._heartbeat())
            tasks.create_task(self._reread_after_stall(reread))

    async def _heartbeat(self) -> None:
        while True:
            now = self._clock()  # read once: the process may freeze between any two lines
            if now - self._last_heartbeat > STALL_SECONDS:
                log.warning("process_stood_still", seconds=round(now - self._last_heartbeat, 1))
                self._stall_count += 1  # before the heartbeat: another thread may check in between
                self._stalled.set()
            self._last_heartbeat = now
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _reread_after_stall(self, reread: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await self._stalled.wait()
            self._stalled.clear()
            stalls = self._stall_count
            while not await reread():  # noqa: ASYNC110  (each attempt reads again)
                await asyncio.sleep(RETRY_SECONDS)
            self._confirmed_stall = stalls
