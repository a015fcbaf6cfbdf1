"""Keeps a sink equal to one resource of one cluster: complete listings, and a watch beside and after them, for ever.

All pages of a listing are of one moment, that of the first. Where more than one comes, a watch is opened from that
moment and goes on when the listing has ended: what is written meanwhile is heard at once, not after the last page.
Events win over pages (`overtaken`): what one has told of is newer than any page, so an object that was deleted does
not come back, and one that has changed does not go back. A listing of one page opens its watch after it.

Invariants

* The sink sweeps only at `finish()`, which only a listing that was read to its end brings. A listing that failed, was
  refused, expired or was cancelled ends in `abort()` and has replaced nothing.
* No event is lost in silence: a watch resumes from the last resourceVersion seen, and where that is impossible
  (expired, or a server that has none) a new listing is read.
* What is known is whole only after a listing: `watching` is not told before, although events arrive.
* A listing that failed leaves the version from before it, where there was one: the watch beside it began later, and
  does not know what the pages that are missing would have brought. What it has told is told once more, in the same
  order: an object may go back for the moment that this takes.
* A failing re-listing does not end the watch: events go on arriving while the listing is tried again.
* `run()` ends only by cancellation and leaves no connection open.
* What goes wrong with one object is that object's (`Sink.unreadable`): the others of its page, and the watch, go on.
* Whatever the server sends, a listing ends, and the event loop has its turn (`pace`).

What follows what:

    listing   410 on a continue token      all over again, in larger pages each time
              404                          vanished: looks again at a slow pace, for the owner to end
              a page that is too large     the same page again, of a quarter of the objects; at one object a failure
              any other failure            again, after the back-off
              a later page of another      the watch beside it ends, what is overtaken is forgotten; a watch after it
              resourceVersion
              request_relist()             one more listing after it
    watch     normal end                   resumed at once; a listing instead, if the server's versions mean nothing
              410                          a listing, at once; the second time in a row after the back-off
              404                          vanished
              cut, silent, 429, 5xx, 403   resumed, after the back-off; every fifth time in a row a listing instead
              a line that is not JSON,     resumed, after the back-off; the second time in a row a listing instead
              or too long
    watch     normal end, or a failure     resumed as above; nobody is told, unless it was live before
    beside a  what calls for a listing     no more of it; one is opened after the listing, from the listing's version
    listing   more objects than can be     ends before the first that cannot; resumed from there after the listing
              remembered
              the listing fails            ends
              the listing is complete      goes on: live from then on

Between the end of a watch and the first page of a listing after it, a fraction of a second each hour, nobody watches:
what is written then comes by its page.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.kube.backoff import Backoff, Clock
from policyhub.kube.connection import Connection
from policyhub.kube.errors import Refused, TooLarge, Unreachable, quoted
from policyhub.kube.events import Events
from policyhub.kube.intake import Intake
from policyhub.kube.listing import PARTIAL, Listing
from policyhub.kube.overtaken import Overtaken
from policyhub.kube.resource import Resource
from policyhub.kube.sink import Counters, ReflectorState, Sink
from policyhub.kube.standing import Standing, problem
from policyhub.kube.wire import Unreadable

log = structlog.get_logger(__name__)

_HEALTHY_SECONDS: Final = 5.0
"""A watch that lasted so long was no failure, however it ended."""
_WATCH_TRIES: Final = 5
_VANISHED_SECONDS: Final = 5.0
_NO_VERSION: Final = frozenset({"", "0", "1"})
"""resourceVersions of listings that cannot be resumed from: Kyverno's reports-server always answers 1."""


class Reflector:
    """One resource into one sink. `run()` is called once."""

    def __init__(
        self,
        connection: Connection,
        resource: Resource,
        sink: Sink,
        *,
        relist_interval: float = 3600,
        watch_seconds: tuple[float, float] = (240, 480),
        idle_grace: float = 30,
        forbidden_cap: float = 60,
        select: Mapping[str, str] | None = None,
        metadata: bool = False,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """A watch asks to last within `watch_seconds` and is dropped when silent for that and `idle_grace` more.

        `forbidden_cap` is the longest wait after a listing that was answered with 403: more than for other failures
        where it may be forbidden on purpose. `select` are parameters of each request, such as a field selector;
        `metadata` asks for no more than that of each object.

        `jitter` draws from [0, 1).
        """
        self.resource = resource
        self.counters = Counters()
        self._connection = connection
        self._sink = sink
        self._relist_interval = relist_interval
        self._watch_seconds = watch_seconds
        self._idle_grace = idle_grace
        self._forbidden_cap = forbidden_cap
        self._select = dict(select or {})
        self._accept_watch = PARTIAL.format("") if metadata else None
        self._clock = clock or Clock()
        self._jitter = jitter
        self._listing_backoff = Backoff(jitter)
        self._watch_backoff = Backoff(jitter)
        self._version: str | None = None
        """What a watch starts from; None: a listing must come first."""
        self._resumable = False
        self._due = 0.0
        self._asked = False
        self._interrupt: asyncio.Timeout | None = None
        self._broken = 0
        self._outdated = False
        """The last watch was refused for its version: the second time in a row waits."""
        self._standing = Standing(sink, resource=resource.origin, server=connection.server)
        self._open = False
        """Whether a watch was accepted and has not ended."""
        self._beside: asyncio.Task[float] | None = None
        """The watch that was opened beside a listing; it goes on after it."""
        self._pace = connection.pace
        self._intake = Intake(sink, self.counters, self._clock, resource=resource.origin, server=connection.server)
        self._overtaken = Overtaken(connection.room)
        self._events = Events(
            self._intake,
            self.counters,
            self._clock,
            overtaken=self._overtaken,
            secrets=lambda: connection.secrets,
        )
        self._lister = Listing(
            connection,
            resource,
            self._intake,
            overtaken=self._overtaken,
            on_moment=self._watch_beside,
            on_mixed=self._watch_after,
            select=self._select,
            metadata=metadata,
            clock=self._clock,
            jitter=jitter,
        )

    @property
    def state(self) -> ReflectorState:
        return self._standing.state

    def request_relist(self) -> None:
        """A listing that begins after this call, as soon as may be: a watch or a wait that is under way ends."""
        self._asked = True
        if self._interrupt is not None and not self._interrupt.expired():
            self._interrupt.reschedule(0)

    async def run(self) -> None:
        """Ends only by cancellation."""
        try:
            while True:
                try:
                    await self._round()
                except Exception as error:  # the outermost loop: a fault of the sink or ours must not end the resource
                    log.exception("reflector_fault", resource=self.resource.origin, server=self._connection.server)
                    await self._end_beside()
                    self._version = None
                    self._standing.live = False
                    self._standing.watch = Cause(Reason.FAULT, quoted(f"{type(error).__name__}: {error}"))
                    self._standing.tell()
                    await self._wait(self._watch_backoff.delay())
        finally:
            await self._end_beside()

    async def _round(self) -> None:
        """One listing where one is due, then one watch or one wait."""
        if self._version is None or self._asked or self._clock.monotonic() >= self._due:
            delay = await self._listing()
            if self._version is None:
                await self._wait(delay)
        if self._version is not None and not self._asked:
            delay = await self._watching()
            if delay:
                await self._wait(delay)

    # --- the listing

    async def _listing(self) -> float:
        """Reads everything once, and sets `_due`. The seconds to wait after it where there is nothing to watch from."""
        await self._end_beside()  # where another listing is asked for at once
        self._asked = False
        before = self._version, self._resumable, self.counters.objects
        self._due = math.inf  # of the watch beside it
        self._events.listing = True
        try:
            version, objects = await self._lister.read()
        except (Refused, Unreachable, Unreadable) as error:
            await self._end_beside()
            self._version, self._resumable, self.counters.objects = before
            return self._listing_failed(error)
        finally:
            self._events.listing = False
            self._overtaken.clear()
        self.counters.objects = objects + self.counters.objects - before[2]
        self.counters.listings += 1
        self._listing_backoff.reset()
        self._lister.expired = 0
        if self._beside is None or self._version is None:
            self._beside = None
            self._version, self._resumable = version, version not in _NO_VERSION
        self._due = self._clock.monotonic() + self._relist_interval * (0.9 + 0.2 * self._jitter())
        self._standing.listed = self._clock.time()
        self._standing.listing = None
        self._standing.tell()
        if self._open:
            self._accept()
        return 0

    def _listing_failed(self, error: Refused | Unreachable | Unreadable) -> float:
        self.counters.listings_failed += 1
        forbidden = isinstance(error, Refused) and error.status == 403
        delay = self._listing_backoff.delay(
            getattr(error, "retry_after", None), cap=self._forbidden_cap if forbidden else None
        )
        self._due = self._clock.monotonic() + delay
        if isinstance(error, Refused) and error.status == 404:
            self._version = None
            self._standing.vanish(error)
            return _VANISHED_SECONDS + delay
        if isinstance(error, Refused) and error.status == 410:
            self._lister.expired += 1
        self._standing.live = self._standing.live and self._version is not None
        self._standing.listing = problem(error, listing=True)
        self._standing.tell(again=True)
        return delay

    # --- the watch beside it

    def _watch_beside(self, version: str) -> None:
        """More pages follow, all of this version."""
        if version not in _NO_VERSION:
            self._version, self._resumable = version, True
            self._beside = asyncio.create_task(self._watches_beside())

    async def _watches_beside(self) -> float:
        """One watch after the other while the listing is read; as `_watch_once`, of the one that goes on after it."""
        while True:
            delay = await self._watch_once()
            if not self._events.listing or self._version is None or self._overtaken.full:
                return delay
            await self._clock.sleep(delay)

    def _watch_after(self) -> None:
        """The pages are not of one moment: a watch is opened after them, as if there were none beside."""
        if self._beside is not None:
            self._beside.cancel()
            self._open = False
            self._version = None
            self._overtaken.clear()

    async def _end_beside(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.cancel()
            await asyncio.wait({beside})
            if not beside.cancelled() and (fault := beside.exception()) is not None:
                log.error("reflector_fault", resource=self.resource.origin, exc_info=fault)

    # --- the watch

    async def _watching(self) -> float:
        """One watch to its end, however it comes; `_version` then says from where the next resumes, or None.

        The seconds to wait before that.
        """
        delay = 0.0
        async with self._interruptible():
            delay = await (self._watch_once() if self._beside is None else self._beside)
        self._beside = None
        if not self._resumable:
            self._version = None
        return delay

    async def _watch_once(self) -> float:
        started = self._clock.monotonic()
        longest = self._watch_seconds[0] + self._jitter() * (self._watch_seconds[1] - self._watch_seconds[0])
        seconds = min(longest, self._due - started)
        error: Refused | Unreachable | Unreadable | None = None
        healthy = False
        try:
            await self._watch(self._version or "", seconds)
        except (Refused, Unreachable, Unreadable) as failure:
            error = failure
        finally:
            self._open = False
            healthy = self._clock.monotonic() - started >= min(_HEALTHY_SECONDS, seconds)
            if healthy:
                self._watch_backoff.reset()
                self._outdated = False
        if error is not None:
            return self._watch_failed(error)
        self._broken = 0
        # A watch that ends too early to be believed is no reason to turn round and round.
        return 0 if healthy else self._watch_backoff.delay()

    def _watch_failed(self, error: Refused | Unreachable | Unreadable) -> float:
        self.counters.watches_failed += 1
        delay = self._watch_backoff.delay(getattr(error, "retry_after", None))
        self._broken = self._broken + 1 if isinstance(error, Unreadable | TooLarge) else 0
        match error:
            case Refused(status=404) if not self._events.listing:  # else the next page is told whether it is gone
                self._version = None
                self._standing.vanish(error)
                return _VANISHED_SECONDS + delay
            case Refused(status=404):
                self._version = None
            case Refused(status=400 | 410):  # 400: it does not understand the version it gave us
                self._version = None
                if not self._outdated:  # the server is there and says what to do: no reason to wait
                    delay = 0
            case Refused() if self._watch_backoff.failures % _WATCH_TRIES == 0:
                self._version = None
            case Unreadable() | TooLarge() if self._broken > 1:
                self._version = None
            case _:
                pass
        self._outdated = isinstance(error, Refused) and error.status in {400, 410}
        if self._standing.live or not self._events.listing:
            self._standing.live = False
            self._standing.watch = problem(error, listing=False)
            self._standing.tell()
        return delay

    async def _watch(self, version: str, seconds: float) -> None:
        params = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, math.ceil(seconds)))}
        params |= self._select
        if version:
            params["resourceVersion"] = version
        self.counters.watches += 1
        async with self._connection.stream(
            self.resource.path, params, idle_seconds=seconds + self._idle_grace, accept=self._accept_watch
        ) as lines:
            self._open = True
            self._accept()
            async for line in lines:
                if self._pace.waits(self._events):
                    await self._pace.turn(self._events)
                if line and not self._take(line):
                    return
                self._pace.worked()
                if self._clock.monotonic() >= self._due:  # a server that does not keep to timeoutSeconds
                    return

    def _accept(self) -> None:
        """A watch was accepted, or the listing beside one is complete."""
        self._sink.opened()
        self._standing.live = self._standing.live or not self._events.listing
        self._standing.watch = None
        self._standing.tell()

    def _take(self, line: bytes) -> bool:
        """An event; False where it has to come again after the listing. Raises as `Events.take`."""
        version = self._events.take(line, resumable=self._resumable)
        if version and self._resumable:
            self._version = version
        return version is not None

    # --- waiting and telling

    @contextlib.asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """A block that request_relist() ends early, without an error."""
        scope = asyncio.timeout(0 if self._asked else None)
        try:
            async with scope:
                self._interrupt = scope
                try:
                    yield
                finally:
                    self._interrupt = None
        except TimeoutError:
            if not scope.expired():
                raise

    async def _wait(self, seconds: float) -> None:
        async with self._interruptible():
            await self._clock.sleep(seconds)
