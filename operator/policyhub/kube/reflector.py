"""Keeps a sink equal to one resource of one cluster: a complete listing, then a watch, for ever.

Invariants

* The sink sweeps only at `finish()`, which only a listing that was read to its end brings. A listing that failed, was
  refused, expired or was cancelled ends in `abort()` and has replaced nothing.
* No event is lost in silence: a watch resumes from the last resourceVersion seen, and where that is impossible
  (expired, or a server that has none) a new listing is read.
* A failing re-listing does not end the watch: events go on arriving while the listing is tried again.
* `run()` ends only by cancellation and leaves no connection open.
* What goes wrong with one object is that object's (`Sink.unreadable`): the others of its page, and the watch, go on.
* Whatever the server sends, a listing ends, and the event loop has its turn (`pace`).

What follows what:

    listing   410 on a continue token      all over again, in larger pages each time
              404                          vanished: looks again at a slow pace, for the owner to end
              a page that is too large     the same page again, of a quarter of the objects; at one object a failure
              any other failure            again, after the back-off
    watch     normal end                   resumed at once; a listing instead, if the server's versions mean nothing
              410                          a listing, at once; the second time in a row after the back-off
              404                          vanished
              cut, silent, 429, 5xx, 403   resumed, after the back-off; every fifth time in a row a listing instead
              a line that is not JSON,     resumed, after the back-off; the second time in a row a listing instead
              or too long
"""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import structlog

from policyhub.kube import wire
from policyhub.kube.backoff import Backoff, Clock
from policyhub.kube.connection import Connection
from policyhub.kube.errors import Refused, TooLarge, Unreachable, spoken
from policyhub.kube.intake import Intake
from policyhub.kube.listing import PARTIAL, Listing
from policyhub.kube.resource import Resource
from policyhub.kube.sink import Counters, Phase, Reason, ReflectorState, Sink
from policyhub.kube.wire import Unreadable

log = structlog.get_logger(__name__)

_HEALTHY_SECONDS: Final = 5.0
"""A watch that lasted so long was no failure, however it ended."""
_WATCH_TRIES: Final = 5
_VANISHED_SECONDS: Final = 5.0
_NO_VERSION: Final = frozenset({"", "0", "1"})
"""resourceVersions of listings that cannot be resumed from: Kyverno's reports-server always answers 1."""

_Problem = tuple[Reason, str]
_NO_PROBLEM: Final[_Problem] = ("", "")


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
        self.state = ReflectorState()
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
        self._live = False
        self._pace = connection.pace
        self._intake = Intake(sink, self.counters, self._clock, resource=resource.origin, server=connection.server)
        self._lister = Listing(
            connection, resource, self._intake, select=self._select, metadata=metadata, clock=self._clock, jitter=jitter
        )
        self._listed: float | None = None
        self._listing_problem: _Problem | None = None
        self._watch_problem: _Problem | None = None

    def request_relist(self) -> None:
        """A listing that begins after this call, as soon as may be: a watch or a wait that is under way ends."""
        self._asked = True
        if self._interrupt is not None and not self._interrupt.expired():
            self._interrupt.reschedule(0)

    async def run(self) -> None:
        """Ends only by cancellation."""
        while True:
            try:
                await self._round()
            except Exception as error:  # the outermost loop: a fault of the sink or of ours must not end the resource
                log.exception("reflector_fault", resource=self.resource.origin, server=self._connection.server)
                self._version = None
                self._live = False
                self._watch_problem = ("Fault", spoken(f"{type(error).__name__}: {error}"))
                self._tell()
                await self._wait(self._watch_backoff.delay())

    async def _round(self) -> None:
        """One listing where one is due, then one watch or one wait."""
        if self._version is None or self._asked or self._clock.monotonic() >= self._due:
            delay = await self._listing()
            if self._version is None:
                await self._wait(delay)
        if self._version is not None and not self._asked:
            delay = await self._watching(self._version)
            if delay:
                await self._wait(delay)

    # --- the listing

    async def _listing(self) -> float:
        """Reads everything once, and sets `_due`. The seconds to wait after it where there is nothing to watch from."""
        self._asked = False
        try:
            version, self.counters.objects = await self._lister.read()
        except (Refused, Unreachable, Unreadable) as error:
            self.counters.listings_failed += 1
            forbidden = isinstance(error, Refused) and error.status == 403
            delay = self._listing_backoff.delay(
                getattr(error, "retry_after", None), cap=self._forbidden_cap if forbidden else None
            )
            self._due = self._clock.monotonic() + delay
            if isinstance(error, Refused) and error.status == 404:
                self._vanish(error)
                return _VANISHED_SECONDS + delay
            if isinstance(error, Refused) and error.status == 410:
                self._lister.expired += 1
            self._live = self._live and self._version is not None
            self._listing_problem = (_reason(error, listing=True), str(error))
            self._tell(again=True)
            return delay
        self.counters.listings += 1
        self._listing_backoff.reset()
        self._lister.expired = 0
        self._version, self._resumable = version, version not in _NO_VERSION
        self._due = self._clock.monotonic() + self._relist_interval * (0.9 + 0.2 * self._jitter())
        self._listed = self._clock.time()
        self._listing_problem = None
        self._tell()
        return 0

    # --- the watch

    async def _watching(self, version: str) -> float:
        """One watch to its end, however it comes; `_version` then says from where the next resumes, or None.

        The seconds to wait before that.
        """
        started = self._clock.monotonic()
        longest = self._watch_seconds[0] + self._jitter() * (self._watch_seconds[1] - self._watch_seconds[0])
        seconds = min(longest, self._due - started)
        error: Refused | Unreachable | Unreadable | None = None
        try:
            async with self._interruptible():
                await self._watch(version, seconds)
        except (Refused, Unreachable, Unreadable) as failure:
            error = failure
        if not self._resumable:
            self._version = None
        healthy = self._clock.monotonic() - started >= min(_HEALTHY_SECONDS, seconds)
        if healthy:
            self._watch_backoff.reset()
            self._outdated = False
        if error is not None:
            return self._watch_failed(error)
        self._broken = 0
        # A watch that ends too early to be believed is no reason to turn round and round.
        return 0 if healthy or self._asked else self._watch_backoff.delay()

    def _watch_failed(self, error: Refused | Unreachable | Unreadable) -> float:
        self.counters.watches_failed += 1
        delay = self._watch_backoff.delay(getattr(error, "retry_after", None))
        self._broken = self._broken + 1 if isinstance(error, Unreadable | TooLarge) else 0
        match error:
            case Refused(status=404):
                self._vanish(error)
                return _VANISHED_SECONDS + delay
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
        self._live = False
        self._watch_problem = (_reason(error, listing=False), str(error))
        self._tell()
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
            self._sink.opened()
            self._live = True
            self._watch_problem = None
            self._tell()
            async for line in lines:
                if self._pace.waits(self._intake):
                    await self._pace.turn(self._intake)
                if line:
                    self._event(line)
                self._pace.worked(len(line))
                if self._clock.monotonic() >= self._due:  # a server that does not keep to timeoutSeconds
                    return

    def _event(self, line: bytes) -> None:
        """Raises Refused for an ERROR event, Unreadable for a broken line."""
        counters = self.counters
        try:
            event, version = wire.event(line)
            status = wire.status(event.object) if event.type == "ERROR" else None
        except Unreadable as error:
            counters.broken_lines += 1
            raise Unreadable(f"the watch cannot be read: {error}") from None
        if status is not None:
            counters.errors += 1
            raise Refused(status.code, status.reason, status.message, secrets=self._connection.secrets)
        counters.last_line = self._clock.time()
        match event.type:
            case "MODIFIED":
                counters.modified += 1
                self._intake.take(event.object, self._sink.upsert)
            case "ADDED":
                counters.added += 1
                counters.objects += self._resumable  # else the watch begins by telling all that was listed
                self._intake.take(event.object, self._sink.upsert)
            case "DELETED":
                counters.deleted += 1
                counters.objects -= 1
                self._intake.take(event.object, self._sink.delete)
            case "BOOKMARK":
                counters.bookmarks += 1
            case _:
                counters.others += 1
        if event.type != "BOOKMARK":
            counters.last_event = counters.last_line
        if version and self._resumable:
            self._version = version

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

    def _vanish(self, error: Refused) -> None:
        self._version = None
        self._live = False
        self._listing_problem = ("Vanished", str(error))
        self._tell()

    def _tell(self, *, again: bool = False) -> None:
        """The state, to the sink where it is news or was found `again`, and to the log where the reason is news."""
        reason, message = self._listing_problem or self._watch_problem or _NO_PROBLEM
        phase: Phase
        if self._live:
            phase = "watching"
        elif reason == "Vanished":
            phase = "vanished"
        else:
            phase = "failed" if reason else "listing"
        state = ReflectorState(phase, reason, message, self._listed)
        if state == self.state and not again:
            return
        if reason != self.state.reason:
            told = {"resource": self.resource.origin, "server": self._connection.server}
            if reason:
                log.warning("reflector_failed", reason=reason, message=message, **told)
            else:
                log.info("reflector_recovered", **told)
        self.state = state
        self._sink.state(state)


def _reason(error: Refused | Unreachable | Unreadable, *, listing: bool) -> Reason:
    match error:
        case Unreachable():
            return "Unreachable"
        case Refused(status=401):
            return "Unauthorized"
        case Refused(status=403):
            return "ListingForbidden" if listing else "WatchForbidden"
        case Refused(status=410):
            return "ListingExpired" if listing else "WatchExpired"
        case _:
            return "ListingFailed" if listing else "WatchFailed"
