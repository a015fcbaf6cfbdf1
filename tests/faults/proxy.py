"""A proxy between the operator and the API server that misbehaves as it is told (in which ways: `fault`).

A fault says which requests it fits, and what becomes of them: an answer in the server's place, or what becomes of each
line of a watch that is under way. Which of the fitting requests (or lines) are hit is drawn from a seed; hits are
counted. In every run listings come in pages of `PAGE`, so that there are pages to lose.
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
"""What tells the data plane which Pods count for which object."""
SOURCES = (*(f"/apis/{group}" for group in GROUPS), "/api/v1/namespaces", *OWNERS)
"""What the data plane reads."""
EVERYTHING = ("",)
"""The operator's own objects too: what it does at home."""
STALL_SECONDS = 6.0
ASKED, PAGE, OWNERS_PAGE = 500, 25, 10
"""The operator asks for pages of so many objects, and gets so many: a page that is twice as large stays so."""

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
    """How the paths of the requests begin that it may hit."""
    fits: Fits = always
    """Which of them it may hit."""
    reply: Reply | None = None
    """What a request gets that is hit."""
    line: Line | None = None
    """Writes what is left of a line of a watch that is hit, and says whether the watch goes on."""
    kind: bytes = b""
    """Lines that are hit have this in them."""
    share: float = 0.5
    counts: Fits = always
    """Which of the requests that are hit are counted: others only lead to them."""

    def meets(self, request: web.Request) -> bool:
        return request.path.startswith(self.below) and self.fits(request)


class Proxy(Gate):
    """Hands everything on while there is no fault."""

    def __init__(self, target: str, *, ca: str = "") -> None:
        super().__init__(target, ca=ca)
        self.rng = random.Random(0)  # noqa: S311  (repeatable)
        self.hits = 0
        self._fault: Fault | None = None
        self._revoked: str = ""

    def misbehave(self, fault: Fault) -> None:
        """From now on. Watches under way are cut where the fault is one of requests."""
        self.hits, self._fault = 0, fault
        if fault.reply is not None:
            self._cut_all(fault.below)

    def behave(self) -> int:
        """The fault is over; how often it hit."""
        self._fault = None
        return self.hits

    def revoke(self, token: str) -> None:
        """The token has expired: what the data plane asks with it is answered with 401, for ever; none for an empty
        one.
        """
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
        """Line by line, so that a fault can meet one that was under way before it began."""
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
