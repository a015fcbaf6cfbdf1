"""Servers of tests, in a thread with a loop of their own."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Self


class Threaded:
    """Within the block it serves. A subclass says what, in `_serve`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),), name=type(self).__name__
        )

    async def _serve(self) -> None:
        """Sets `_started` when it listens, waits for `_stop`, and closes what it has opened."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relaying(Threaded):
    """One that leads connections on to others, byte by byte."""

    def __init__(self) -> None:
        super().__init__()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        """Until it is done, or the server ends."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports hear of it

    async def _lead(self, here: Streams, host: str, port: int) -> None:
        there = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(self._pump(here[0], there[1]), self._pump(there[0], here[1]))
        except asyncio.CancelledError:  # the end: what is still to be written goes nowhere
            there[1].transport.abort()
            here[1].transport.abort()
            raise
        finally:
            there[1].close()
            here[1].close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side has no more to say; then the other is told."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()
