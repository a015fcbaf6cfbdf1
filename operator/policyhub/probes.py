"""/metrics, /healthz and /readyz, answered by the operator's own event loop: a loop that hangs fails its probe."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


@contextlib.asynccontextmanager
async def serve(
    *, host: str | None, port: int, registry: CollectorRegistry, lacking: Callable[[], str]
) -> AsyncIterator[int]:
    """Serve until the block is left; gives the port. Without a host on every address, of IPv4 and IPv6: a Pod of an
    IPv6 cluster has no other. `lacking` says what is missing to be ready; empty when it is.

    Raises OSError where the port cannot be had.
    """

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await asyncio.get_running_loop().run_in_executor(None, encode, registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = lacking()
        return web.Response(status=503 if missing else 200, text=f"{missing or 'ok'}\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.SockSite(runner, everywhere(port)) if host is None else web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def everywhere(port: int) -> socket.socket:
    """Listens on every address of both families, or of IPv4 alone where there is no IPv6. Raises OSError."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # these two: IPv6 is switched off
                raise
    return socket.create_server(("", port))
