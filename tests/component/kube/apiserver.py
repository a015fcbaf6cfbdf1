"""A fake Kubernetes API server of one resource, over a real socket, with injectable faults.

Its lists page, its watches replay from a resourceVersion and send bookmarks when told to; with `reports_server` it
behaves like Kyverno's aggregated one instead (facts: no paging, resourceVersion always 1, no bookmarks, a watch replays
everything as ADDED, deletions are never replayed).
"""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from multidict import CIMultiDictProxy

from policyhub.kube.resource import Resource

RESOURCE = Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport", namespaced=True)
Verb = Literal["list", "watch"]
Object = dict[str, Any]


@dataclass(frozen=True)
class Request:
    verb: str
    params: dict[str, str]
    headers: CIMultiDictProxy[str]
    peer: object
    """Address and port of the client: equal for requests on one connection."""
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer in place of the true one. `status` 0: the connection is closed without an answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def status(code: int, reason: str, message: str = "told to") -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def refusal(code: int, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(code, json.dumps(status(code, reason)).encode(), headers or {})


@dataclass(eq=False)
class Watch:
    """An open watch. Bytes are sent unchanged; None ends it, `cut` breaks it."""

    queue: asyncio.Queue[bytes | None]
    request: web.Request

    def send(self, kind: str, obj: Object) -> None:
        self.queue.put_nowait(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        self.queue.put_nowait(data)

    def end(self) -> None:
        self.queue.put_nowait(None)

    def cut(self) -> None:
        assert self.request.transport is not None
        self.request.transport.abort()


class ApiServer:
    def __init__(self, *, page_size: int | None = None, reports_server: bool = False) -> None:
        self.reports_server = reports_server
        self.page_size = page_size
        """Overrides the client's limit, so that few objects make many pages."""
        self.objects: dict[str, Object] = {}
        self.version = 100
        self.compacted = 0
        self.history: list[tuple[int, str, Object]] = []
        self.moments: dict[str, dict[str, Object]] = {}
        """The objects at the start of a list, by its resourceVersion: all its pages show that moment."""
        self.requests: list[Request] = []
        self.watches: list[Watch] = []
        self.fickle = False
        """Whether each page shows its own moment, with its own version."""
        self.expired_continues = 0
        """This many continue tokens get 410."""
        self.answers: dict[Verb, deque[Answer | None]] = {"list": deque(), "watch": deque()}
        """Answers in order; None stands for the true one."""
        self.before_page: Callable[[int], Awaitable[None]] | None = None
        """Awaited with a page's offset before the page is answered."""
        self.documents: dict[str, Answer] = {}
        """Documents at other paths, as discovery reads them."""
        self.handlers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        """Handlers of paths that need more than a document."""
        self.url = ""

    # --- changes in the cluster

    def put(self, name: str, **content: Any) -> None:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self._record(kind, name, content)
        self.objects[name] = self.history[-1][2]

    def delete(self, name: str) -> None:
        content = self.objects.pop(name)
        self._record("DELETED", name, {k: v for k, v in content.items() if k != "metadata"})

    def _record(self, kind: str, name: str, content: Object) -> None:
        self.version += 1
        obj = {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(self.version)}, **content}
        self.history.append((self.version, kind, obj))
        for watch in self.watches:
            watch.send(kind, obj)

    def bookmark(self) -> None:
        self.version += 1
        for watch in self.watches:
            watch.send("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def cut(self) -> None:
        """Break the connection of the first watch: later changes are not sent to it."""
        self.watches.pop(0).cut()

    def compact(self) -> None:
        """Forget the history up to now: a watch from an earlier version expires."""
        self.compacted = self.version

    # --- recorded requests

    def asked(self, verb: Verb) -> list[dict[str, str]]:
        return [request.params for request in self.requests if request.verb == verb]

    # --- HTTP

    @asynccontextmanager
    async def serve(self, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["ApiServer"]:
        app = web.Application()
        app.router.add_get(RESOURCE.path, self._collection)
        app.router.add_route("*", "/{path:.*}", self._document)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"{'https' if tls else 'http'}://{host}:{port}"
        try:
            yield self
        finally:
            for watch in self.watches:
                watch.end()
            await runner.cleanup()

    async def _note(self, verb: str, request: web.Request) -> None:
        peer = request.transport and request.transport.get_extra_info("peername")
        self.requests.append(Request(verb, dict(request.query), request.headers, peer, await request.read()))

    async def _document(self, request: web.Request) -> web.StreamResponse:
        await self._note(request.method, request)
        if handler := self.handlers.get(request.path):
            return await handler(request)
        answer = self.documents.get(request.path) or refusal(404, "NotFound")
        return await _answer(request, answer)

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        verb: Verb = "watch" if request.query.get("watch") == "true" else "list"
        await self._note(verb, request)
        if self.answers[verb] and (answer := self.answers[verb].popleft()):
            return await _answer(request, answer)
        return await (self._watch(request) if verb == "watch" else self._list(request))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        version, start = str(self.version), 0
        if token := request.query.get("continue"):
            if self.expired_continues:
                self.expired_continues -= 1
                return await _answer(request, refusal(410, "Expired"))
            version, _, offset = token.partition(":")
            start = int(offset)
        objects = self.moments[version] = self.moments[version] if token else dict(self.objects)
        if self.before_page:
            await self.before_page(start)
        if self.fickle:
            version, objects = str(self.version), dict(self.objects)
            self.moments[version] = objects
        names = sorted(objects)
        limit = self.page_size or int(request.query.get("limit", 0)) or len(names) or 1
        metadata = {"resourceVersion": version}
        if self.reports_server:
            limit, metadata = len(names) or 1, {"resourceVersion": "1"}
        if start + limit < len(names):
            metadata["continue"] = f"{version}:{start + limit}"
        items = [objects[name] for name in names[start : start + limit]]
        return web.json_response({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items or None})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        watch = Watch(asyncio.Queue(), request)
        since = request.query.get("resourceVersion", "")
        if self.reports_server:
            if since not in {"", "0"}:
                for obj in self.objects.values():
                    watch.send("ADDED", obj)
        elif int(since or 0) < self.compacted:
            watch.send("ERROR", status(410, "Expired", "too old resource version"))
            watch.end()
        else:
            for version, kind, obj in self.history:
                if version > int(since):
                    watch.send(kind, obj)
        self.watches.append(watch)
        try:
            while (data := await watch.queue.get()) is not None:
                await response.write(data)
        except ConnectionError:
            return response
        finally:
            if watch in self.watches:  # `cut` has removed it
                self.watches.remove(watch)
        with suppress(ConnectionError):
            await response.write_eof()
        return response


async def _answer(request: web.Request, answer: Answer) -> web.StreamResponse:
    if answer.status == 0:
        assert request.transport is not None
        request.transport.abort()
    return web.Response(
        status=answer.status or 500, body=answer.body, headers={"Content-Type": "application/json", **answer.headers}
    )
