"""Keeps a sink equal to one resource of one cluster: complete listings, with a watch in parallel and afterwards.

All pages of a listing have one resourceVersion, that of the first. If there is more than one page, a watch from this
version starts at once and continues after the listing, so changes arrive immediately and not after the last page.
Events take precedence over pages (`changed_names`), because they are newer: a deleted object does not come back, and a
changed object does not revert. After a listing of one page, the watch starts when the page was read.

Invariants

* The sink deletes unlisted objects only in `finish()`, which is called only after the last page. A listing that fails,
  is refused, expires or is cancelled ends in `abort()` and replaces nothing.
* No event is lost unnoticed: a watch resumes from the last resourceVersion seen. If that is impossible (it expired, or
  the server has none), a new listing is read.
* Only a complete listing shows all objects: the state is not `watching` before, although events arrive.
* After a failed listing the watch resumes from the version before the listing, if there was one. The parallel watch
  started later and does not know the objects of the missing pages. Its events arrive once more, in the same order, so
  an object may revert for that moment.
* A failing re-listing does not end the watch: events arrive while the listing is retried.
* `run()` ends only by cancellation and leaves no connection open.
* A failure with one object concerns this object only (`Sink.unreadable`). The rest of the page and the watch go on.
* Whatever the server sends, a listing ends, and it does not block the event loop (`time_slice`).

Transitions:

    listing   410 on a continue token      restarted, each time with larger pages
              404                          vanished: retried slowly until the owner ends the reflector
              a page that is too large     requested again for a quarter of the objects; fails at one object
              any other failure            restarted after the back-off
              a later page has another     the parallel watch ends and `changed_names` is cleared; a watch follows the
              resourceVersion              listing
              request_relist()             one more listing follows
    watch     normal end                   resumed at once; a listing instead, if the server's versions have no meaning
              410                          a listing at once; the second time in a row after the back-off
              404                          vanished
              cut, silent, 429, 5xx, 403   resumed after the back-off; every fifth time in a row a listing instead
              a line that is not JSON,     resumed after the back-off; the second time in a row a listing instead
              or too long
    parallel  normal end, or a failure     resumed as above; the state changes only if it was live before
    watch     a failure that needs a       not resumed; after the listing a watch starts from the listing's version
              listing
              `changed_names` is full      ends before the first event that does not fit; resumed there after the
                                           listing
              the listing fails            ends
              the listing is complete      goes on, and is live from then on

Between the end of a watch and the first page of the next listing there is no watch, for a fraction of a second each
hour. Changes of that time are on the listing's pages.
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
from policyhub.kube.changed_names import ChangedNames
from policyhub.kube.connection import Connection
from policyhub.kube.errors import Refused, TooLarge, Unreachable, quoted
from policyhub.kube.isolating_sink import IsolatingSink
from policyhub.kube.listing import PARTIAL, Listing
from policyhub.kube.resource import Resource
from policyhub.kube.sink import Counters, ReflectorState, Sink
from policyhub.kube.state_reporter import StateReporter, problem_of
from policyhub.kube.watch_events import WatchEvents
from policyhub.kube.wire import Unreadable

log = structlog.get_logger(__name__)

_HEALTHY_SECONDS: Final = 5.0
"""A watch of at least this length does not count as a failure, however it ended."""
_WATCH_TRIES: Final = 5
_VANISHED_SECONDS: Final = 5.0
_NO_VERSION: Final = frozenset({"", "0", "1"})
"""resourceVersions from which no watch can resume: Kyverno's reports-server always answers 1."""


class Reflector:
    """Reads one resource into one sink. `run()` is called once."""

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
        """A watch requests a duration within `watch_seconds`, and is closed if the server sends nothing for that long
        plus `idle_grace`.

        `forbidden_cap` is the longest wait after a listing that was answered with 403. It may be longer than after
        other failures, since 403 can be intended. `select` are parameters of each request, such as a field selector.
        `metadata`: request the metadata of the objects only. `jitter` draws from [0, 1).
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
        """The resourceVersion that a watch starts from; None: a listing must come first."""
        self._resumable = False
        self._relist_at = 0.0
        self._relist_requested = False
        self._interruptible_scope: asyncio.Timeout | None = None
        self._broken_watches = 0
        self._version_refused = False
        """Whether the last watch was refused because of its version: the second time in a row waits."""
        self._reporter = StateReporter(sink, resource=resource.group_resource, server=connection.server)
        self._watch_is_open = False
        """Whether a watch was accepted and has not ended."""
        self._parallel_watch: asyncio.Task[float] | None = None
        """The watch that was started during a listing; it goes on afterwards."""
        self._time_slice = connection.time_slice
        self._isolated = IsolatingSink(
            sink, self.counters, self._clock, resource=resource.group_resource, server=connection.server
        )
        self._changed_names = ChangedNames(connection.name_budget)
        self._watch_events = WatchEvents(
            self._isolated,
            self.counters,
            self._clock,
            changed_names=self._changed_names,
            secrets=lambda: connection.secrets,
        )
        self._listing_reader = Listing(
            connection,
            resource,
            self._isolated,
            changed_names=self._changed_names,
            on_version=self._start_parallel_watch,
            on_version_change=self._drop_parallel_watch,
            select=self._select,
            metadata=metadata,
            clock=self._clock,
            jitter=jitter,
        )

    @property
    def state(self) -> ReflectorState:
        return self._reporter.state

    def request_relist(self) -> None:
        """Start a listing as soon as possible after this call. A current watch or wait ends."""
        self._relist_requested = True
        if self._interruptible_scope is not None and not self._interruptible_scope.expired():
            self._interruptible_scope.reschedule(0)

    async def run(self) -> None:
        """Ends only by cancellation."""
        try:
            while True:
                try:
                    await self._round()
                except Exception as error:  # outermost: a fault of the sink or ours must not end the reflector
                    log.exception(
                        "reflector_fault", resource=self.resource.group_resource, server=self._connection.server
                    )
                    await self._end_parallel_watch()
                    self._version = None
                    self._reporter.live = False
                    self._reporter.watch_problem = Cause(Reason.FAULT, quoted(f"{type(error).__name__}: {error}"))
                    self._reporter.publish()
                    await self._wait(self._watch_backoff.delay())
        finally:
            await self._end_parallel_watch()

    async def _round(self) -> None:
        """One listing if one is due, then one watch or one wait."""
        if self._version is None or self._relist_requested or self._clock.monotonic() >= self._relist_at:
            delay = await self._list_once()
            if self._version is None:
                await self._wait(delay)
        if self._version is not None and not self._relist_requested:
            delay = await self._follow_watch()
            if delay:
                await self._wait(delay)

    # --- the listing

    async def _list_once(self) -> float:
        """Read everything once, and set `_relist_at`. Returns the seconds to wait if no watch can start."""
        await self._end_parallel_watch()  # there is one if the previous listing has just ended
        self._relist_requested = False
        previous = self._version, self._resumable, self.counters.objects
        self._relist_at = math.inf  # limits the parallel watch
        self._watch_events.listing_in_progress = True
        try:
            version, objects = await self._listing_reader.read()
        except (Refused, Unreachable, Unreadable) as error:
            await self._end_parallel_watch()
            self._version, self._resumable, self.counters.objects = previous
            return self._listing_failed(error)
        finally:
            self._watch_events.listing_in_progress = False
            self._changed_names.clear()
        self.counters.objects = objects + self.counters.objects - previous[2]
        self.counters.listings += 1
        self._listing_backoff.reset()
        self._listing_reader.expirations = 0
        if self._parallel_watch is None or self._version is None:
            self._parallel_watch = None
            self._version, self._resumable = version, version not in _NO_VERSION
        self._relist_at = self._clock.monotonic() + self._relist_interval * (0.9 + 0.2 * self._jitter())
        self._reporter.last_listed = self._clock.time()
        self._reporter.listing_problem = None
        self._reporter.publish()
        if self._watch_is_open:
            self._watch_accepted()
        return 0

    def _listing_failed(self, error: Refused | Unreachable | Unreadable) -> float:
        self.counters.listings_failed += 1
        forbidden = isinstance(error, Refused) and error.status == 403
        delay = self._listing_backoff.delay(
            getattr(error, "retry_after", None), cap=self._forbidden_cap if forbidden else None
        )
        self._relist_at = self._clock.monotonic() + delay
        if isinstance(error, Refused) and error.status == 404:
            self._version = None
            self._reporter.mark_vanished(error)
            return _VANISHED_SECONDS + delay
        if isinstance(error, Refused) and error.status == 410:
            self._listing_reader.expirations += 1
        self._reporter.live = self._reporter.live and self._version is not None
        self._reporter.listing_problem = problem_of(error, listing=True)
        self._reporter.publish(force=True)
        return delay

    # --- the parallel watch

    def _start_parallel_watch(self, version: str) -> None:
        """More pages follow, all with this resourceVersion."""
        if version not in _NO_VERSION:
            self._version, self._resumable = version, True
            self._parallel_watch = asyncio.create_task(self._keep_parallel_watch())

    async def _keep_parallel_watch(self) -> float:
        """One watch after the other while the listing is read. Returns as `_watch_once`, for the last watch."""
        while True:
            delay = await self._watch_once()
            if not self._watch_events.listing_in_progress or self._version is None or self._changed_names.full:
                return delay
            await self._clock.sleep(delay)

    def _drop_parallel_watch(self) -> None:
        """The pages have different resourceVersions: a watch starts after the listing, as without a parallel one."""
        if self._parallel_watch is not None:
            self._parallel_watch.cancel()
            self._watch_is_open = False
            self._version = None
            self._changed_names.clear()

    async def _end_parallel_watch(self) -> None:
        watch, self._parallel_watch = self._parallel_watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait({watch})
            if not watch.cancelled() and (fault := watch.exception()) is not None:
                log.error("reflector_fault", resource=self.resource.group_resource, exc_info=fault)

    # --- the watch

    async def _follow_watch(self) -> float:
        """One watch until it ends; the seconds to wait before the next one. Afterwards `_version` is where the next
        watch resumes, or None.
        """
        delay = 0.0
        async with self._interruptible():
            delay = await (self._watch_once() if self._parallel_watch is None else self._parallel_watch)
        self._parallel_watch = None
        if not self._resumable:
            self._version = None
        return delay

    async def _watch_once(self) -> float:
        started = self._clock.monotonic()
        longest = self._watch_seconds[0] + self._jitter() * (self._watch_seconds[1] - self._watch_seconds[0])
        seconds = min(longest, self._relist_at - started)
        error: Refused | Unreachable | Unreadable | None = None
        healthy = False
        try:
            await self._watch(self._version or "", seconds)
        except (Refused, Unreachable, Unreadable) as failure:
            error = failure
        finally:
            self._watch_is_open = False
            healthy = self._clock.monotonic() - started >= min(_HEALTHY_SECONDS, seconds)
            if healthy:
                self._watch_backoff.reset()
                self._version_refused = False
        if error is not None:
            return self._watch_failed(error)
        self._broken_watches = 0
        # A watch that ended early waits, so that a broken server does not cause a busy loop.
        return 0 if healthy else self._watch_backoff.delay()

    def _watch_failed(self, error: Refused | Unreachable | Unreadable) -> float:
        self.counters.watches_failed += 1
        delay = self._watch_backoff.delay(getattr(error, "retry_after", None))
        self._broken_watches = self._broken_watches + 1 if isinstance(error, Unreadable | TooLarge) else 0
        match error:
            case Refused(status=404) if not self._watch_events.listing_in_progress:  # else the next page tells
                self._version = None
                self._reporter.mark_vanished(error)
                return _VANISHED_SECONDS + delay
            case Refused(status=404):
                self._version = None
            case Refused(status=400 | 410):  # 400: the server does not accept its own version
                self._version = None
                if not self._version_refused:  # the server works and asks for a listing: no reason to wait
                    delay = 0
            case Refused() if self._watch_backoff.failures % _WATCH_TRIES == 0:
                self._version = None
            case Unreadable() | TooLarge() if self._broken_watches > 1:
                self._version = None
            case _:
                pass
        self._version_refused = isinstance(error, Refused) and error.status in {400, 410}
        if self._reporter.live or not self._watch_events.listing_in_progress:
            self._reporter.live = False
            self._reporter.watch_problem = problem_of(error, listing=False)
            self._reporter.publish()
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
            self._watch_is_open = True
            self._watch_accepted()
            async for line in lines:
                if self._time_slice.must_wait(self._watch_events):
                    await self._time_slice.wait_turn(self._watch_events)
                if line and not self._take(line):
                    return
                self._time_slice.end_work()
                if self._clock.monotonic() >= self._relist_at:  # the server ignores timeoutSeconds
                    return

    def _watch_accepted(self) -> None:
        """A watch was accepted, or the listing that it runs in parallel with is complete."""
        self._sink.stream_started()
        self._reporter.live = self._reporter.live or not self._watch_events.listing_in_progress
        self._reporter.watch_problem = None
        self._reporter.publish()

    def _take(self, line: bytes) -> bool:
        """Handle an event; False if it must arrive again after the listing. Raises as `WatchEvents.handle`."""
        version = self._watch_events.handle(line, resumable=self._resumable)
        if version and self._resumable:
            self._version = version
        return version is not None

    # --- waiting

    @contextlib.asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """A block that request_relist() ends early, without an error."""
        scope = asyncio.timeout(0 if self._relist_requested else None)
        try:
            async with scope:
                self._interruptible_scope = scope
                try:
                    yield
                finally:
                    self._interruptible_scope = None
        except TimeoutError:
            if not scope.expired():
                raise

    async def _wait(self, seconds: float) -> None:
        async with self._interruptible():
            await self._clock.sleep(seconds)
