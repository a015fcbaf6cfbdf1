"""A sink that keeps the state of a correct owner, a virtual clock, and a way to wait for either."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from policyhub.kube.backoff import Clock
from policyhub.kube.sink import Phase, ReflectorState


class Mirror:
    """Name → object, by mark and sweep; `calls` are the reflector's calls in order."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.calls: list[str] = []
        self.states: list[ReflectorState] = []
        self.opens = 0
        self.fault: Exception | None = None
        """Raised once, at the next upsert."""
        self.always: Exception | None = None
        """Raised at each upsert."""
        self.finish_fault: Exception | None = None
        """Raised once, at the end of the next list."""
        self.unread: list[tuple[bytes, Exception]] = []
        self._marked: set[str] | None = None

    def begin(self) -> None:
        self.calls.append("begin")
        assert self._marked is None
        self._marked = set()

    def stream_started(self) -> None:
        self.opens += 1

    def upsert(self, raw: msgspec.Raw) -> None:
        obj = msgspec.json.decode(raw)
        name = obj["metadata"]["name"]
        self.calls.append(f"upsert {name}")
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        if self.always:
            raise self.always
        self.objects[name] = obj
        if self._marked is not None:
            self._marked.add(name)

    def upsert_during_listing(self, raw: msgspec.Raw, *, new: bool) -> None:
        self.calls.append("new" if new else "known")
        self.upsert(raw)

    def delete(self, raw: msgspec.Raw) -> None:
        name = msgspec.json.decode(raw)["metadata"]["name"]
        self.calls.append(f"delete {name}")
        self.objects.pop(name, None)
        if self._marked is not None:
            self._marked.discard(name)

    def unreadable(self, raw: msgspec.Raw, error: Exception) -> None:
        self.unread.append((bytes(raw), error))
        if self.always:
            raise self.always

    def finish(self) -> None:
        self.calls.append("finish")
        assert self._marked is not None
        if self.finish_fault:
            fault, self.finish_fault, self._marked = self.finish_fault, None, None
            raise fault
        self.objects = {name: obj for name, obj in self.objects.items() if name in self._marked}
        self._marked = None

    def abort(self) -> None:
        self.calls.append("abort")
        assert self._marked is not None
        self._marked = None

    def state(self, state: ReflectorState) -> None:
        self.states.append(state)

    @property
    def phases(self) -> list[tuple[Phase, str]]:
        return [(state.phase, state.reason or "") for state in self.states]


class VirtualClock(Clock):
    """Sleeping takes no time but advances the clock; `gate` blocks every sleeper until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.gate: asyncio.Event | None = None

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_800_000_000 + self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.gate is not None:
            await self.gate.wait()
        self.now += seconds
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], *, seconds: float = 10) -> None:
    """Returns when the condition holds; fails the test if it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is waited for is the state of many things, none of which signals)
            await asyncio.sleep(0.001)
