"""One watch of the simulated API server: its events, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec

from policyhub.kube.connection import Unreachable
from tests.simulation.kinds import Kind
from tests.simulation.loop import Loop

_END, _CUT = b"", b"cut"


class Watcher:
    def __init__(self, loop: Loop, kind: Kind, *, selected: bool) -> None:
        self.kind = kind
        self.selected = selected
        """Whether it selects running Pods only."""
        self.stalled = False
        """No more bytes arrive, not even the end of the stream."""
        self._loop = loop
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._not_before = 0.0

    def send(self, line: bytes, *, late: float = 0.0) -> None:
        """Send in order, even if an event follows a delayed one."""
        if self.stalled:
            return
        self._not_before = max(self._not_before, self._loop.time() + late)
        if self._not_before > self._loop.time():
            self._loop.call_at(self._not_before, self._queue.put_nowait, line)
        else:
            self._queue.put_nowait(line)

    def end(self) -> None:
        self._queue.put_nowait(_END)

    def cut(self, _why: str) -> None:
        self._queue.put_nowait(_CUT)

    def expire(self) -> None:
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        self._queue.put_nowait(msgspec.json.encode({"type": "ERROR", "object": status}))
        self.end()

    async def lines(self, *, seconds: float, idle: float, version: Callable[[], str]) -> AsyncIterator[bytes]:
        """Yields lines until the server ends the watch after `seconds` with a bookmark, or the client gives up a silent
        one.
        """
        until = self._loop.time() + seconds
        while True:
            try:
                async with asyncio.timeout(idle if self.stalled else max(0.0, until - self._loop.time())):
                    line = await self._queue.get()
            except TimeoutError:
                if self.stalled:
                    raise Unreachable("no answer in time (silent)") from None
                if self._not_before > self._loop.time():  # a delayed event is under way: no bookmark may overtake it
                    return
                yield msgspec.json.encode({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version()}}})
                return
            if line == _END:
                return
            if line == _CUT:
                raise Unreachable("connection reset by peer")
            yield line
