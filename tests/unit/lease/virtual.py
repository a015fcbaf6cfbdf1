"""Several replicas in virtual time: an event loop whose clock jumps to the next timer, and a Lease in memory."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec

from policyhub.kube.connection import Refused

T = TypeVar("T")
Document = dict[str, Any]
PATH = "/apis/coordination.k8s.io/v1/namespaces/security/leases"


class _Jumping(selectors.DefaultSelector):
    """Never blocks: advances the time by the loop's timeout."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.now += max(timeout, 1e-9)  # a timer due within the clock's resolution must come nearer, too
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Jumping()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run in virtual time, from 0 on."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()


def wall_clock() -> datetime:
    """A useless wall clock."""
    return datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """Holds one Lease as an API server does: every write has a version, and a write with an old version is rejected."""

    def __init__(self) -> None:
        self.lease: Document | None = None
        self._version = 0

    def write(self, spec: Document) -> None:
        """Write as a kubectl user."""
        self._version += 1
        before = self.lease["spec"] if self.lease is not None else {}
        self.lease = {"metadata": {"resourceVersion": str(self._version)}, "spec": {**before, **spec}}

    def get(self) -> bytes:
        return msgspec.json.encode(self._found())

    def post(self, body: Document) -> bytes:
        if self.lease is not None:
            raise Refused(409, "AlreadyExists", "it is there")
        self.write(body["spec"])
        return self.get()

    def patch(self, body: Document) -> bytes:
        if body["metadata"]["resourceVersion"] != self._found()["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "it has changed")
        self.write(body["spec"])
        return self.get()

    def _found(self) -> Document:
        if self.lease is None:
            raise Refused(404, "NotFound", "no such lease")
        return self.lease

    @property
    def spec(self) -> Document:
        spec: Document = self._found()["spec"]
        return spec


Before = Callable[[str], Awaitable[None]]
"""Awaited with the verb before a request reaches the server, and (`<verb> answered`) before its answer returns."""


async def _at_once(_: str) -> None:
    pass


class Wire:
    """One replica's connection to the server."""

    def __init__(self, server: Server, before: Before = _at_once) -> None:
        self.before = before
        self.requests: list[str] = []
        self._server = server

    async def get(self, path: str) -> bytes:
        return await self._pass("get", path, f"{PATH}/policyhub", self._server.get)

    async def post(self, path: str, body: object) -> bytes:
        return await self._pass("post", path, PATH, lambda: self._server.post(cast("Document", body)))

    async def patch(self, path: str, body: object) -> bytes:
        return await self._pass("patch", path, f"{PATH}/policyhub", lambda: self._server.patch(cast("Document", body)))

    async def _pass(self, verb: str, path: str, expected: str, act: Callable[[], bytes]) -> bytes:
        assert path == expected
        self.requests.append(verb)
        await self.before(verb)
        answer = act()
        await self.before(f"{verb} answered")
        return answer
