"""The loop that makes Security Hub hold what the ledgers want: one engine per hub (account, Region, role).

A round: wait until something is dirty, give the batch a moment to fill, wait until a call may leave (`pause`), take
decisions until the batch is full (`selection`, by what `plan` decides), import it and write the answers into the
ledgers (`delivery`). Up to `CONCURRENCY` calls are under way at once; a finding is in one of them at most. Beside them
one call at a time reads findings by id (`lookups`). Nothing is kept here: what fails stays to be done in its ledger.

Two clocks: `now` never jumps and decides; `wall` is what is written into findings.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from policyhub.api.reason import Cause
from policyhub.cancellation import TaskGroup
from policyhub.clock import SteadyMs, WallMs
from policyhub.metrics import Metrics
from policyhub.securityhub.batch import MAX_FINDINGS
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.delivery import Delivery, Importer
from policyhub.sync.lanes import Lane
from policyhub.sync.lookups import Lookups, Reader
from policyhub.sync.pause import Pause
from policyhub.sync.plan import Change
from policyhub.sync.selection import Selection

CONCURRENCY = 4
"""Calls under way at once: enough to spend 10 calls a second at 400 ms each."""
IDLE_SECONDS = 0.2
"""A batch that is not full leaves when nothing was added for this long …"""
FILL_SECONDS = 1.0
"""… or at the latest this long after its first finding."""
LISTING_SECONDS = 5.0
"""The same while it holds only what first listings have brought, and another cluster of this hub is still listing: what
that brings goes into the same call."""
FIRST_LISTING_MS = 60_000
"""So long after a cluster was reached nobody waits for its listing any more: it may be away, or list for ever."""
PRUNE_SECONDS = 60.0
"""From one look at what is no longer recent to the next, while nothing is sent."""


class Hub(Importer, Reader, Protocol):
    """What of a HubClient the engine uses."""

    async def ready(self) -> None: ...


class Engine:
    """Drains the dirty sets of the feeds attached to it."""

    def __init__(
        self,
        *,
        hub: Hub,
        hub_name: str,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        clock: Callable[[], float],
        rng: random.Random,
        wall: Callable[[], WallMs],
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """`acknowledged`, where others share it."""
        self._hub = hub
        self.hub_name = hub_name
        self._now = now
        self._wall = wall
        self._clock = clock
        self.acknowledged = Acknowledged() if acknowledged is None else acknowledged
        self.queues: list[ClusterQueue] = []
        self._pause = Pause(hub_name=hub_name, clock=clock, rng=rng, acknowledged=self.acknowledged)
        self._lookups = Lookups(self.queues, hub=hub, hub_name=hub_name, now=now, rng=rng)
        self._delivery = Delivery(
            self.queues,
            hub=hub,
            hub_name=hub_name,
            metrics=metrics,
            now=now,
            wall=self._wall,
            rng=rng,
            pause=self._pause,
            acknowledged=self.acknowledged,
        )
        self._selection = Selection(
            self.queues,
            now=now,
            wall=self._wall,
            read_first=self._lookups.read_first,
            refuse=self._delivery.refuse,
        )
        self._wanted = asyncio.Event()

    @property
    def trouble(self) -> Cause | None:
        """Why imports do not get through."""
        return self._pause.trouble

    @property
    def read_trouble(self) -> Cause | None:
        """Why findings cannot be read by id."""
        return self._lookups.trouble

    def wake(self) -> None:
        """Something became dirty, or is to be looked up."""
        self._wanted.set()
        self._lookups.wake()

    def attach(self, feed: ClusterQueue) -> None:
        self.queues.append(feed)
        self.acknowledged.follow(feed.ledger.observed)
        self.wake()

    def detach(self, feed: ClusterQueue) -> None:
        self.queues.remove(feed)
        self.acknowledged.unfollow(feed.ledger.observed)

    async def run(self) -> None:
        """Work until cancelled. Calls that are under way are cancelled with it."""
        slots = asyncio.Semaphore(CONCURRENCY)
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(self._lookups.run())
                while True:
                    await self._work()
                    await slots.acquire()
                    await self._hub.ready()  # before the decision: what waits for its turn may be wrong when it comes
                    batch = self._selection.take()
                    if not batch:
                        self._hub.release_token()
                        slots.release()
                        await asyncio.sleep(0)
                        continue
                    task = tasks.create_task(self._delivery.deliver(batch))
                    task.add_done_callback(lambda _: slots.release())
                    await asyncio.sleep(0)
        finally:  # whatever happened, nothing stays in flight
            self._lookups.close()

    async def drain(self, *, seconds: float) -> None:
        """Wait until nothing is pending, at most this long (SIGTERM)."""
        end = self._clock() + seconds
        while self._clock() < end and any(feed.pending for feed in self.queues):  # noqa: ASYNC110  (several ledgers, no single event)
            await asyncio.sleep(0.05)

    def preview(self, feed: ClusterQueue) -> Counter[Change]:
        """What would be sent for a feed that does not send; what needs nothing leaves the dirty set."""
        would: Counter[Change] = Counter()
        now, wall = self._now(), self._wall()
        feed.ledger.wake(now)
        for id_ in list(feed.ledger.agenda.dirty):
            entry = feed.ledger.entries[id_]
            decision, evidence = feed.ledger.decide(entry, rules=feed.rules, now=now, wall=wall)
            if isinstance(decision, Change):
                would[decision] += 1
            else:
                feed.ledger.mark_decided(entry, decision, lost=evidence.lost)
        if returning := feed.ledger.observed.returning():  # they would be read first
            would[Change.REACTIVATED] += returning
        return would

    # -- waiting --------------------------------------------------------------------------------------------------

    def _dirty(self) -> int:
        return sum(len(f.ledger.agenda.dirty) for f in self.queues if f.sends)

    async def _work(self) -> None:
        """Return when a batch should be composed."""
        while True:
            due = self._wake_timers()
            wait = self._pause.left()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            if self._dirty():
                await self._fill()
                return
            if not any(f.ledger.agenda.in_flight for f in self.queues):
                self._pause.trouble = None  # nothing is left that would show whether it lasts
            self._wanted.clear()
            timeout = None if due is None else max(0.0, (due - self._now()) / 1000)
            self.acknowledged.prune(self._now())
            if self.acknowledged:
                timeout = PRUNE_SECONDS if timeout is None else min(timeout, PRUNE_SECONDS)
            try:
                async with asyncio.timeout(timeout):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    def _wake_timers(self) -> SteadyMs | None:
        now = self._now()
        dues = [due for f in self.queues if (due := f.ledger.wake(now)) is not None]
        return min(dues, default=None)

    async def _fill(self) -> None:
        """Give a batch that is not full a moment to fill."""
        started = self._clock()
        while self._dirty() < MAX_FINDINGS:
            self._wake_timers()
            longest = LISTING_SECONDS if self._more_is_listed() else FILL_SECONDS
            left = started + longest - self._clock()
            if left <= 0:
                return
            self._wanted.clear()
            try:
                async with asyncio.timeout(min(IDLE_SECONDS, left)):
                    await self._wanted.wait()
            except TimeoutError:
                if not self._more_is_listed():
                    return

    def _more_is_listed(self) -> bool:
        """Whether nothing but a backlog waits, and more of it is on its way."""
        feeds = [feed for feed in self.queues if feed.sends]
        if any(feed.ledger.agenda.dirty.queue(lane) for feed in feeds for lane in (Lane.URGENT, Lane.CHANGED)):
            return False
        if not any(feed.ledger.agenda.dirty.queue(Lane.BACKLOG) for feed in feeds):
            return False
        return any(self._lists(feed) for feed in feeds)

    def _lists(self, feed: ClusterQueue) -> bool:
        """For the first time, and not for so long that it may never end."""
        ledger = feed.ledger
        return not ledger.sources.reports_listed and self._now() - ledger.started < FIRST_LISTING_MS
