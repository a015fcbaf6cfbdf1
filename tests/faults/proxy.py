"""A proxy between the operator and the API server that misbehaves as it is told.

Each fault is a function of one request: it lets it pass, answers in the server's place, or spoils the answer. Which
requests it hits is drawn from a seed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

from aiohttp import web

from tests.integration.operator.gate import Gate

SOURCES = ("/apis/wgpolicyk8s.io", "/apis/openreports.io", "/apis/constraints.gatekeeper.sh", "/api/v1/namespaces")
"""What the data plane reads. The operator's own objects come through undisturbed, but for `home`."""
STALL_SECONDS = 6.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Fault = Callable[["Proxy", web.Request, Answer], Awaitable[web.StreamResponse]]


class Proxy(Gate):
    """Hands everything on while `fault` is None."""

    fault: Fault | None = None
    share = 0.5
    everything = False

    def __init__(self, target: str, *, ca: str = "") -> None:
        super().__init__(target, ca=ca)
        self.rng = random.Random(0)  # noqa: S311  (repeatable)

    def misbehave(self, fault: Fault | None, *, share: float = 0.5, everything: bool = False) -> None:
        """From now on; `share` of the requests are hit. Answers under way that a fault could spoil are cut."""
        self.fault, self.share, self.everything = fault, share, everything
        if fault is not None:
            for source in ("",) if everything else SOURCES:
                self.cut(source)

    async def _hand_on(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault
        concerned = self.everything or request.path.startswith(SOURCES)
        if fault is None or not concerned or self.rng.random() >= self.share:
            return await super()._hand_on(request)
        return await fault(self, request, super()._hand_on)


def abort(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPBadGateway


def status(code: int, reason: str, **headers: str) -> Fault:
    """Answers with a Kubernetes Status."""

    async def fault(_: Proxy, __: web.Request, ___: Answer) -> web.StreamResponse:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
        return web.json_response({**body, "message": f"injected {reason}"}, status=code, headers=headers)

    return fault


async def cut(_: Proxy, request: web.Request, __: Answer) -> web.StreamResponse:
    """No answer: the connection ends."""
    abort(request)


async def stall(_: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """No answer for a while, then the connection ends; a watch is accepted and says nothing."""
    if "watch" in request.query:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        await asyncio.sleep(STALL_SECONDS)
        abort(request)
    await asyncio.sleep(STALL_SECONDS / 3)
    del answer
    abort(request)


async def expired(proxy: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """Watches (and continue tokens, where a listing is longer than a page) have expired."""
    if "watch" in request.query or "continue" in request.query:
        return await status(410, "Expired")(proxy, request, answer)
    return await answer(request)


async def expired_in_watch(_: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """The watch is accepted and then says that it has expired."""
    if "watch" not in request.query:
        return await answer(request)
    line = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    await stream.write(line)
    await stream.write_eof()
    return stream


async def discovery(proxy: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """Groups and their resources cannot be read (an aggregated API is down)."""
    if request.path.count("/") <= 3 and request.path.startswith("/apis/"):
        return await status(503, "ServiceUnavailable")(proxy, request, answer)
    return await answer(request)


async def group_missing(proxy: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """A whole API group answers 404, as if it had been removed."""
    if request.path.startswith(("/apis/wgpolicyk8s.io", "/apis/constraints.gatekeeper.sh")):
        return await status(404, "NotFound")(proxy, request, answer)
    return await answer(request)


async def torn(_: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """Half of an answer, then the connection ends."""
    if "watch" in request.query:
        return await _spoiled(request, answer, keep=0.5, seconds=0.0)
    whole = await answer(request)
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    stream = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    stream.content_length = len(body)
    await stream.prepare(request)
    await stream.write(body[: len(body) // 2])
    abort(request)


async def slow(_: Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    """Bytes trickle."""
    if "watch" in request.query:
        await asyncio.sleep(1)
        return await answer(request)
    whole = await answer(request)
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    stream = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    stream.content_length = len(body)
    await stream.prepare(request)
    step = max(1, len(body) // 10)
    for start in range(0, len(body), step):
        await stream.write(body[start : start + step])
        await asyncio.sleep(0.1)
    await stream.write_eof()
    return stream


async def _spoiled(request: web.Request, answer: Answer, *, keep: float, seconds: float) -> web.StreamResponse:
    """A watch whose first lines end in the middle of one."""
    line = b'{"type":"MODIFIED","object":{"apiVersion":"v1","kind":"PolicyReport","metadata":{"name":"half","name'
    del answer
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    await stream.write(line[: int(len(line) * keep)])
    await asyncio.sleep(seconds)
    abort(request)
