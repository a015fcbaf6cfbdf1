"""The loop that makes Security Hub match the ledgers: one engine per hub (account, Region, role).

A round: wait until something is dirty, let the batch fill for a moment, wait until a call may be sent (`pause`), decide
until the batch is full (`selection`, `plan`), import it and record the answers in the ledgers (`delivery`). Up to
`CONCURRENCY` calls are in flight at once; a finding is in at most one of them. In parallel one call at a time reads
findings by id (`lookups`). The engine keeps no state: failed findings stay dirty in their ledger.

Two clocks: `now` never jumps and is used for decisions; `wall_clock` is written into findings.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from policyhub.api.reason import Cause
from policyhub.cancellation import TaskGroup
from policyhub.clock import SteadyMs, WallMs
from policyhub.metrics.definitions import Metrics
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
"""Calls in flight at once: enough for 10 calls a second at 400 ms each."""
IDLE_SECONDS = 0.2
"""A batch that is not full is sent when nothing was added for this long …"""
FILL_SECONDS = 1.0
"""… or at the latest this long after its first finding."""
LISTING_SECONDS = 5.0
"""The same while the batch has only findings of first listings and another cluster of this hub is still listing: its
findings go into the same call."""
FIRST_LISTING_MS = 60_000
"""So long after a cluster was connected the engine stops waiting for its listing: it may be down or never finish."""
PRUNE_SECONDS = 60.0
"""Between two prunings of acknowledgements while nothing is sent."""


class Hub(Importer, Reader, Protocol):
    """The part of a HubClient that the engine uses."""

    async def ready(self) -> None: ...


class Engine:
    """Sends the dirty findings of its queues."""

    def __init__(
        self,
        *,
        hub: Hub,
        hub_name: str,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        clock: Callable[[], float],
        rng: random.Random,
        wall_clock: Callable[[], WallMs],
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """`acknowledged`: if others share it."""
        self._hub = hub
        self.hub_name = hub_name
        self._now = now
        self._wall_clock = wall_clock
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
            wall_clock=self._wall_clock,
            rng=rng,
            pause=self._pause,
            acknowledged=self.acknowledged,
        )
        self._selection = Selection(
            self.queues,
            now=now,
            wall_clock=self._wall_clock,
            read_first=self._lookups.read_first,
            reject=self._delivery.reject,
        )
        self._work_added = asyncio.Event()

    @property
    def problem(self) -> Cause | None:
        """Why imports do not get through."""
        return self._pause.problem

    @property
    def read_problem(self) -> Cause | None:
        """Why findings cannot be read by id."""
        return self._lookups.problem

    def wake(self) -> None:
        """Something became dirty, or there is a lookup."""
        self._work_added.set()
        self._lookups.wake()

    def attach(self, queue: ClusterQueue) -> None:
        self.queues.append(queue)
        self.acknowledged.follow(queue.ledger.observed)
        self.wake()

    def detach(self, queue: ClusterQueue) -> None:
        self.queues.remove(queue)
        self.acknowledged.unfollow(queue.ledger.observed)

    async def run(self) -> None:
        """Run until cancelled. Calls in flight are cancelled as well."""
        slots = asyncio.Semaphore(CONCURRENCY)
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(self._lookups.run())
                while True:
                    await self._wait_for_work()
                    await slots.acquire()
                    await self._hub.ready()  # before the decision: while it waits, it may become outdated
                    batch = self._selection.take()
                    if not batch:
                        self._hub.release_token()
                        slots.release()
                        await asyncio.sleep(0)
                        continue
                    task = tasks.create_task(self._delivery.deliver(batch))
                    task.add_done_callback(lambda _: slots.release())
                    await asyncio.sleep(0)
        finally:  # nothing stays in flight in any case
            self._lookups.close()

    async def drain(self, *, seconds: float) -> None:
        """Wait until nothing is pending, at most this long (on SIGTERM)."""
        end = self._clock() + seconds
        while self._clock() < end and any(queue.pending for queue in self.queues):  # noqa: ASYNC110  (several ledgers)
            await asyncio.sleep(0.05)

    def preview(self, queue: ClusterQueue) -> Counter[Change]:
        """What would be sent for a queue that does not send. Findings that need nothing leave the dirty set."""
        changes: Counter[Change] = Counter()
        now, wall_clock = self._now(), self._wall_clock()
        queue.ledger.wake(now)
        for id_ in list(queue.ledger.agenda.dirty):
            entry = queue.ledger.entries[id_]
            decision, evidence = queue.ledger.decide(entry, rules=queue.rules, now=now, wall_clock=wall_clock)
            if isinstance(decision, Change):
                changes[decision] += 1
            else:
                queue.ledger.mark_decided(entry, decision, lost=evidence.lost)
        if returning := queue.ledger.observed.progress.count_returning():  # they would be read by id first
            changes[Change.REACTIVATED] += returning
        return changes

    # -- waiting --------------------------------------------------------------------------------------------------

    def _dirty(self) -> int:
        return sum(len(f.ledger.agenda.dirty) for f in self.queues if f.sends)

    async def _wait_for_work(self) -> None:
        """Return when a batch should be composed."""
        while True:
            due = self._wake_timers()
            wait = self._pause.remaining_seconds()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            if self._dirty():
                await self._fill()
                return
            if not any(f.ledger.agenda.in_flight for f in self.queues):
                self._pause.problem = None  # nothing is left to show whether the trouble continues
            self._work_added.clear()
            timeout = None if due is None else max(0.0, (due - self._now()) / 1000)
            self.acknowledged.prune(self._now())
            if self.acknowledged:
                timeout = PRUNE_SECONDS if timeout is None else min(timeout, PRUNE_SECONDS)
            try:
                async with asyncio.timeout(timeout):
                    await self._work_added.wait()
            except TimeoutError:
                continue

    def _wake_timers(self) -> SteadyMs | None:
        now = self._now()
        dues = [due for f in self.queues if (due := f.ledger.wake(now)) is not None]
        return min(dues, default=None)

    async def _fill(self) -> None:
        """Let a batch that is not full fill for a moment."""
        started = self._clock()
        while self._dirty() < MAX_FINDINGS:
            self._wake_timers()
            longest = LISTING_SECONDS if self._backlog_is_growing() else FILL_SECONDS
            remaining = started + longest - self._clock()
            if remaining <= 0:
                return
            self._work_added.clear()
            try:
                async with asyncio.timeout(min(IDLE_SECONDS, remaining)):
                    await self._work_added.wait()
            except TimeoutError:
                if not self._backlog_is_growing():
                    return

    def _backlog_is_growing(self) -> bool:
        """Whether only backlog waits, and a listing will bring more."""
        queues = [queue for queue in self.queues if queue.sends]
        if any(queue.ledger.agenda.dirty.queue(lane) for queue in queues for lane in (Lane.URGENT, Lane.CHANGED)):
            return False
        if not any(queue.ledger.agenda.dirty.queue(Lane.BACKLOG) for queue in queues):
            return False
        return any(self._is_listing(queue) for queue in queues)

    def _is_listing(self, queue: ClusterQueue) -> bool:
        """Whether its first listing is in progress, and not for too long."""
        ledger = queue.ledger
        return not ledger.sources.reports_listed and self._now() - ledger.started < FIRST_LISTING_MS
