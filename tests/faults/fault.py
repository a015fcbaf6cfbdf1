"""Faults between the operator and an API server: each function returns a `Fault` for the proxy."""

import asyncio
import json
from dataclasses import replace
from typing import Any, NoReturn

from aiohttp import web

from tests.faults.proxy import GROUPS, SOURCES, STALL_SECONDS, Answer, Fault, Fits, always, status, watches


def _abort(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPBadGateway


def _is(*paths: str) -> Fits:
    return lambda request: request.path in paths


def listings(request: web.Request) -> bool:
    return "limit" in request.query


def refused(
    code: int,
    reason: str,
    *,
    below: tuple[str, ...] = SOURCES,
    fits: Fits = always,
    share: float = 0.5,
    wait: str = "",
) -> Fault:
    """The proxy answers with a Kubernetes Status; `wait` is its Retry-After."""
    headers = {"Retry-After": wait} if wait else {}

    async def reply(_: web.Request, __: Answer) -> web.StreamResponse:
        return status(code, reason, **headers)

    return Fault(below, reply=reply, fits=fits, share=share)


def cut(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """The connection ends without an answer."""

    async def reply(request: web.Request, _: Answer) -> web.StreamResponse:
        _abort(request)

    return Fault(below, reply=reply)


def silent(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """No answer for a while, then the connection ends; a watch is accepted and stays silent."""

    async def reply(request: web.Request, _: Answer) -> web.StreamResponse:
        if "watch" in request.query:
            await web.StreamResponse(headers={"Content-Type": "application/json"}).prepare(request)
            await asyncio.sleep(STALL_SECONDS)
        await asyncio.sleep(STALL_SECONDS / 3)
        _abort(request)

    return Fault(below, reply=reply)


def frozen(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """A running watch stays silent for a while, then the connection ends."""

    async def line(request: web.Request, _: web.StreamResponse, __: bytes) -> bool:
        await asyncio.sleep(STALL_SECONDS)
        _abort(request)

    return Fault(below, line=line)


def outdated(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """Watches are refused: their resourceVersion has expired."""
    return refused(410, "Expired", below=below, fits=watches)


def overtaken(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """A watch is accepted, then reports that it has expired."""

    async def reply(request: web.Request, _: Answer) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        await stream.write(
            b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
        )
        await stream.write_eof()
        return stream

    return Fault(below, reply=reply, fits=watches)


def pages(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """Continue tokens have expired, and so have watches, so that there are lists. Only the tokens are counted."""
    both = refused(410, "Expired", below=below, fits=lambda request: "continue" in request.query or watches(request))
    return replace(both, counts=lambda request: "continue" in request.query)


def late(seconds: float, *, below: tuple[str, ...] = SOURCES) -> Fault:
    """List requests are answered late, with the state at that time."""

    async def reply(request: web.Request, answer: Answer) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await answer(request)

    return Fault(below, reply=reply, fits=listings, share=1.0)


def stale(version: str, *, below: tuple[str, ...] = SOURCES) -> Fault:
    """Lists show the state of an API server that is behind; watches are refused, so that there are lists."""

    async def reply(request: web.Request, answer: Answer) -> web.StreamResponse:
        if watches(request):
            return status(410, "Expired")
        if "continue" not in request.query:  # a continue token contains its version
            old = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
            request = request.clone(rel_url=request.rel_url.update_query(old))
        return await answer(request)

    return Fault(below, reply=reply, counts=lambda request: not watches(request))


def unbookmarked(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """Bookmarks get lost."""

    async def line(_: web.Request, __: web.StreamResponse, ___: bytes) -> bool:
        return True

    return Fault(below, line=line, kind=b'"type":"BOOKMARK"', share=1.0)


def torn_watch(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """Half of a line, then the connection ends, with or without an error."""

    async def line(request: web.Request, stream: web.StreamResponse, whole: bytes) -> bool:
        await stream.write(whole[: len(whole) // 2])
        if len(whole) % 2:
            _abort(request)
        return False

    return Fault(below, line=line, share=0.1)


def torn_listing(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """Half of an answer, then the connection ends, with or without an error."""

    async def reply(request: web.Request, answer: Answer) -> web.StreamResponse:
        body = _body(await answer(request))
        half = body[: len(body) // 2]
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        stream.content_length = len(half) if len(body) % 2 else len(body)
        await stream.prepare(request)
        await stream.write(half)
        if len(body) % 2 == 0:
            _abort(request)
        await stream.write_eof()
        return stream

    return Fault(below, reply=reply, fits=lambda request: not watches(request))


def slow(*, below: tuple[str, ...] = SOURCES) -> Fault:
    """Lists and watches arrive byte by byte."""

    async def trickle(stream: web.StreamResponse, body: bytes) -> None:
        step = max(1, len(body) // 10)
        for start in range(0, len(body), step):
            await stream.write(body[start : start + step])
            await asyncio.sleep(0.05)

    async def line(_: web.Request, stream: web.StreamResponse, whole: bytes) -> bool:
        await trickle(stream, whole)
        return True

    async def reply(request: web.Request, answer: Answer) -> web.StreamResponse:
        whole = await answer(request)
        body = _body(whole)
        stream = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
        stream.content_length = len(body)
        await stream.prepare(request)
        await trickle(stream, body)
        await stream.write_eof()
        return stream

    return Fault(below, reply=reply, line=line, share=0.3, fits=lambda request: request.method == "GET")


def group_gone() -> Fault:
    """Whole API groups answer 404, as if they had been removed."""
    gone = tuple(f"/apis/{group}" for group in (GROUPS[0], GROUPS[2]))
    return refused(404, "NotFound", below=gone, share=0.9)


def group_unlisted() -> Fault:
    """Discovery hides some groups, although they are served: /apis lacks them, and /apis/<group> answers 404."""

    async def reply(request: web.Request, answer: Answer) -> web.StreamResponse:
        if request.path != "/apis":
            return status(404, "NotFound")
        whole = await answer(request)
        listed: dict[str, Any] = json.loads(_body(whole))
        for member in ("groups", "items"):  # the unaggregated and the aggregated form
            if member in listed:
                listed[member] = [g for g in listed[member] if (g.get("name") or g["metadata"]["name"]) not in GROUPS]
        return web.json_response(listed, headers={"Content-Type": whole.headers["Content-Type"]})

    return Fault(("/apis",), reply=reply, fits=_is("/apis", *(f"/apis/{group}" for group in GROUPS)), share=0.7)


def group_failing() -> Fault:
    """Groups cannot be read, as when an aggregated API is down."""
    return refused(503, "ServiceUnavailable", fits=_is(*(f"/apis/{group}" for group in GROUPS)), share=0.7)


def version_failing() -> Fault:
    """A group is listed, but its version cannot be read."""
    versions = ("v1alpha2", "v1alpha1", "v1beta1")
    paths = (f"/apis/{group}/{version}" for group, version in zip(GROUPS, versions, strict=True))
    return refused(503, "ServiceUnavailable", fits=_is(*paths), share=0.7)


def _body(answer: web.StreamResponse) -> bytes:
    return answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
