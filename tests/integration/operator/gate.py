"""A reverse proxy between the operator and a server, which can refuse, cut and rewrite requests.

It speaks plain HTTP to the operator, and forwards everything else unchanged.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from tests.integration.threaded import Threaded

Interceptor = Callable[[web.Request, bytes], web.Response | bytes | None]
"""Intercepts a request: returns an answer in the server's place, another body to forward, or None to let it pass."""
Rewrite = Callable[[bytes, bytes], bytes]
"""Gets the body of a request and of its answer; returns the answer for the operator."""
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding"}


class Gate(Threaded):
    def __init__(self, target: str, *, ca: str = "") -> None:
        """`ca` as PEM if the target speaks TLS."""
        super().__init__()
        self.url = ""
        self.interceptor: Interceptor | None = None
        self.rewrite: Rewrite | None = None
        self._target = target
        self._ssl: ssl.SSLContext | bool = ssl.create_default_context(cadata=ca) if ca else True
        self._streams: dict[web.StreamResponse, web.Request] = {}

    @contextmanager
    def intercepted(self, interceptor: Interceptor, rewrite: Rewrite | None = None) -> Iterator[None]:
        """Intercept requests within the block."""
        self.interceptor, self.rewrite = interceptor, rewrite
        try:
            yield
        finally:
            self.interceptor = self.rewrite = None

    def cut(self, path: str = "") -> None:
        """Abort running answers under the path, such as watches, without their last bytes."""
        asyncio.run_coroutine_threadsafe(self._cut(path), self._loop).result()

    async def _cut(self, path: str = "") -> None:
        for request in self._streams.values():
            if request.path.startswith(path) and request.transport is not None:
                request.transport.abort()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass)
        async with ClientSession(
            connector=TCPConnector(ssl=self._ssl, limit=0), timeout=ClientTimeout(total=None), auto_decompress=True
        ) as self._session:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._started.set()
            await self._stop.wait()
            await self._cut()
            await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # answers that were cut
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._hand_on(request)
        except ClientError:  # the server gave no answer, so the operator gets none
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPBadGateway from None

    async def _hand_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        verdict = self.interceptor(request, body) if self.interceptor is not None else None
        if isinstance(verdict, web.Response):
            return verdict
        sent = body if verdict is None else verdict
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._session.request(
            request.method, self._target + request.path_qs, data=sent or None, headers=headers
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            if "watch" not in request.query:
                read = await answer.read()
                if self.rewrite is not None:
                    read = self.rewrite(body, read)
                return web.Response(status=answer.status, headers=kept, body=read)
            stream = web.StreamResponse(status=answer.status, headers=kept)
            await stream.prepare(request)
            self._streams[stream] = request
            try:
                async for chunk in answer.content.iter_any():
                    await stream.write(chunk)
            finally:
                del self._streams[stream]
            return stream
