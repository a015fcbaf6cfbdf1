"""A proxy between the operator and the API server that injects faults (module `fault` lists them).

A fault selects requests, and replaces the answer, or each line of a running watch. A seeded random generator decides
which of the selected requests (or lines) are hit; hits are counted. In every run lists come in pages of `PAGE` objects,
so that a page can be lost.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from tests.integration.operator.gate import Gate

GROUPS = ("wgpolicyk8s.io", "openreports.io", "constraints.gatekeeper.sh")
PODS = ("/api/v1/pods",)
OWNERS = (
    *PODS,
    "/api/v1/replicationcontrollers",
    *(f"/apis/apps/v1/{kind}" for kind in ("replicasets", "deployments", "statefulsets", "daemonsets")),
    *(f"/apis/batch/v1/{kind}" for kind in ("jobs", "cronjobs")),
)
"""From these the data plane learns which Pods roll up to which object."""
SOURCES = (*(f"/apis/{group}" for group in GROUPS), "/api/v1/namespaces", *OWNERS)
"""What the data plane reads."""
EVERYTHING = ("",)
"""Also the operator's own objects in its home cluster."""
STALL_SECONDS = 6.0
ASKED, PAGE, OWNERS_PAGE = 500, 25, 10
"""The operator asks for pages of `ASKED` objects and gets `PAGE` objects; a page that is twice as large stays so."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Reply = Callable[[web.Request, Answer], Awaitable[web.StreamResponse]]
Line = Callable[[web.Request, web.StreamResponse, bytes], Awaitable[bool]]
Fits = Callable[[web.Request], bool]


def always(_: web.Request) -> bool:
    return True


def watches(request: web.Request) -> bool:
    return "watch" in request.query


@dataclass(frozen=True)
class Fault:
    below: tuple[str, ...] = SOURCES
    """Path prefixes of the requests that it may hit."""
    fits: Fits = always
    """Which of these requests it may hit."""
    reply: Reply | None = None
    """The answer to a request that is hit."""
    line: Line | None = None
    """Writes the changed line of a watch that is hit, and returns whether the watch continues."""
    kind: bytes = b""
    """A line is hit only if it contains these bytes."""
    share: float = 0.5
    counts: Fits = always
    """Which of the hit requests are counted; the others only provoke them."""

    def meets(self, request: web.Request) -> bool:
        return request.path.startswith(self.below) and self.fits(request)


class Proxy(Gate):
    """Forwards everything while there is no fault."""

    def __init__(self, target: str, *, ca: str = "") -> None:
        super().__init__(target, ca=ca)
        self.rng = random.Random(0)  # noqa: S311  (repeatable)
        self.hits = 0
        self._fault: Fault | None = None
        self._revoked: str = ""

    def inject(self, fault: Fault) -> None:
        """Inject a fault. If it affects requests, running watches are cut."""
        self.hits, self._fault = 0, fault
        if fault.reply is not None:
            self._cut_all(fault.below)

    def clear_fault(self) -> int:
        """End the fault; returns how often it hit."""
        self._fault = None
        return self.hits

    def revoke(self, token: str) -> None:
        """Expire the token: the data plane's requests with it get 401 from now on. An empty token expires none."""
        self.hits, self._revoked = 0, f"Bearer {token}" if token else ""
        self._cut_all(SOURCES)

    def _cut_all(self, paths: tuple[str, ...]) -> None:
        for path in paths:
            self.cut(path)

    async def _hand_on(self, request: web.Request) -> web.StreamResponse:
        if self._revoked and request.path.startswith(SOURCES) and request.headers.get("Authorization") == self._revoked:
            self.hits += 1
            return status(401, "Unauthorized")
        fault = self._fault
        if fault is not None and fault.reply is not None and fault.meets(request) and self.rng.random() < fault.share:
            self.hits += fault.counts(request)
            return await fault.reply(request, self._honest)
        return await self._honest(request)

    async def _honest(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        if "limit" in request.query and request.path.startswith(SOURCES):
            page = OWNERS_PAGE if request.path.startswith(OWNERS) else PAGE
            limit = max(1, int(request.query["limit"]) * page // ASKED)
            request = request.clone(rel_url=request.rel_url.update_query(limit=str(limit)))
        return await super()._hand_on(request)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Forwards line by line, so that a fault can hit a watch that started before it."""
        headers = {name: request.headers[name] for name in ("Authorization", "Accept") if name in request.headers}
        async with self._session.get(self._target + request.path_qs, headers=headers) as answer:
            stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            self._streams[stream] = request
            try:
                while line := await answer.content.readuntil(b"\n"):
                    fault = self._fault
                    if fault is None or fault.line is None or not self._hit(fault, request, line):
                        await stream.write(line)
                    else:
                        self.hits += 1
                        if not await fault.line(request, stream, line):
                            await stream.write_eof()
                            break
            finally:
                del self._streams[stream]
            return stream

    def _hit(self, fault: Fault, request: web.Request, line: bytes) -> bool:
        return fault.meets(request) and fault.kind in line and self.rng.random() < fault.share


def status(code: int, reason: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**body, "message": f"injected {reason}"}, status=code, headers=headers)
