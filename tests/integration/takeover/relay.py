"""A TCP relay between an operator and its API server, which can hold everything back: no reset, no answer, no end."""

import asyncio

from tests.integration.threaded import Relaying


class Relay(Relaying):
    """TLS passes through unchanged."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.port = 0
        self._target = (host, port)

    def stall(self) -> None:
        """From now on nothing passes in either direction; connections can be made, and stay open."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """What was swallowed arrives, and all else passes again."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        await self._end()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._lead((reader, writer), *self._target))
