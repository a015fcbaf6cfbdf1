"""A network whose only way out is a proxy: it answers CONNECT, and forwards to the local Security Hub over TLS."""

import asyncio
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from dev.cluster.certificate import Authority
from tests.integration.threaded import Relaying


class Gateway(Relaying):
    """Only the proxy knows the host names."""

    def __init__(self, authority: Authority, names: Iterable[str], *, target: str) -> None:
        """`target`: the URL to which plain HTTP is forwarded."""
        super().__init__()
        self.url = ""
        """The proxy's URL."""
        self.asked: list[str] = []
        """Hosts and ports in the order of the clients' requests."""
        self._names = {f"{name}:443" for name in names}
        self._target = urlsplit(target)
        pair = authority.issue("gateway", hosts=names)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(pair.certificate, pair.key)

    async def _serve(self) -> None:
        front = await asyncio.start_server(self._accept_tls, "127.0.0.1", 0, ssl=self._tls)
        self._front: int = front.sockets[0].getsockname()[1]
        proxy = await asyncio.start_server(self._accept_proxy, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        front.close()
        proxy.close()
        await self._end()

    def _accept_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._lead((reader, writer), self._target.hostname or "", self._target.port or 80))

    def _accept_proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._connect(reader, writer))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, place, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        self.asked.append(place)
        if method != "CONNECT" or place not in self._names:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._lead((reader, writer), "127.0.0.1", self._front)
