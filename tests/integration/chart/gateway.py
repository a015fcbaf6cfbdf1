"""A network whose only way out is a proxy: it answers CONNECT, and leads to the local Security Hub behind TLS."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from dev.cluster.certificate import Authority

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gateway:
    """Runs in a thread with a loop of its own. The names are known to the proxy alone."""

    def __init__(self, authority: Authority, names: Iterable[str], *, target: str) -> None:
        """`target`: the URL that plain HTTP goes to."""
        self.url = ""
        """Of the proxy."""
        self.asked: list[str] = []
        """Hosts and ports, in the order in which clients asked for them."""
        self._names = {f"{name}:443" for name in names}
        self._target = urlsplit(target)
        pair = authority.issue("gateway", hosts=names)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="gateway")

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

    async def _serve(self) -> None:
        front = await asyncio.start_server(self._accept_tls, "127.0.0.1", 0, ssl=self._tls)
        self._front: int = front.sockets[0].getsockname()[1]
        proxy = await asyncio.start_server(self._accept_proxy, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        front.close()
        proxy.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports hear of it

    def _accept_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._lead((reader, writer), self._target.hostname or "", self._target.port or 80))

    def _accept_proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._connect(reader, writer))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, place, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        self.asked.append(place)
        if method != "CONNECT" or place not in self._names:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._lead((reader, writer), "127.0.0.1", self._front)

    async def _lead(self, here: Streams, host: str, port: int) -> None:
        there = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(pump(here[0], there[1]), pump(there[0], here[1]))
        except asyncio.CancelledError:  # the end: what is still to be written goes nowhere
            there[1].transport.abort()
            here[1].transport.abort()
            raise
        finally:
            there[1].close()
            here[1].close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side has no more to say; then the other is told."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        writer.close()
