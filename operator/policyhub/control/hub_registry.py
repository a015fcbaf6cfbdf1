"""The open hubs: one client and one engine for each (account, Region, role), while a MonitoredCluster uses them.

Invariants
* A hub is open until `release` was called as often as `open`. Then its engine ends, its threads end after their current
  calls, and its metrics are removed.
* Quotas apply to an account and Region, so all its roles share the token buckets and the recent acknowledgements. Both
  are kept for a while after the last hub is closed: repeated changes of a MonitoredCluster do not refill the buckets,
  and findings that GetFindings does not show yet are not sent again.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from policyhub.cancellation import run_forever
from policyhub.clock import SteadyMs, WallMs
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub import credentials
from policyhub.securityhub.client import WORKERS, HubClient
from policyhub.securityhub.opener import Opener, Pace
from policyhub.securityhub.target import HubTarget
from policyhub.settings import Settings
from policyhub.sync.acknowledged import RECENT_MS, Acknowledged
from policyhub.sync.engine import Engine

log = structlog.get_logger(__name__)

KEPT_SECONDS = RECENT_MS / 1000
"""How long buckets and acknowledgements of an unused account and Region are kept. Then the acknowledgements are no
longer recent, and a throttled bucket has long recovered."""
PLACES_KEPT = 1_000
"""Unused accounts and Regions that are kept at most, the most recently used ones. One that returns after a thousand
others starts with a full bucket; a bucket is full after three seconds anyway."""


class Pool(ThreadPoolExecutor):
    """Threads for botocore; the pool knows whether a call is running in one of them."""

    def __init__(self) -> None:
        super().__init__(max_workers=WORKERS, thread_name_prefix="hub")
        self._under_way: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    @property
    def busy(self) -> bool:
        """Whether a call is running or waits for a thread, even if its caller was cancelled."""
        return bool(self._under_way)


@dataclass(slots=True)
class _Hub:
    client: HubClient
    clients: credentials.Clients
    engine: Engine
    task: asyncio.Task[None]
    pools: tuple[Pool, ...]
    users: int = 0


@dataclass(slots=True)
class _Place:
    """The state that all roles of one account and Region share."""

    pace: Pace
    acknowledged: Acknowledged
    used_at: float


class Hubs:
    """Opens hubs, and keeps their engines running until each `open` is released, or `close`."""

    def __init__(
        self,
        *,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        rng: random.Random,
        may_send: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`may_send`: see `credentials.Clients`."""
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._rng = rng
        self._clock = clock
        self._opener = Opener(may_send=may_send)
        self.loader = self._opener.loader
        """Loads service models, for other clients of this process too."""
        self._places: dict[tuple[str, str], _Place] = {}
        """(account, Region) → shared state; unused ones are in the order of their last use."""
        self._open: dict[HubTarget, _Hub] = {}
        self._ending: set[asyncio.Task[None]] = set()
        """Tasks of engines that were cancelled and have not ended yet."""
        self._emptying: list[Pool] = []
        """Pools of closed hubs in which a call is still running."""
        self._told: dict[str, int] = {}
        """Name (`account/Region`) → open hubs with it. A call that ends after its hub was closed has no metric."""
        self._telling = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """`account/Region` of the hubs that are open, one for each role."""
        return tuple(target.name for target in self._open)

    def open(self, target: HubTarget) -> tuple[HubClient, Engine]:
        """The hub's client and its running engine, until `release`. Raises botocore's UnknownRegionError and other
        configuration errors; then there is nothing to release.
        """
        hub = self._open.get(target)
        if hub is None:
            hub = self._open[target] = self._make(target)
        hub.users += 1
        return hub.client, hub.engine

    def _make(self, target: HubTarget) -> _Hub:
        self._opener.check(target)  # before anything is created that must be closed
        place = self._place_of(target)
        name = target.name
        pools = Pool(), Pool()
        client, clients = self._opener.open(
            target,
            place.pace,
            executor=pools[0],
            readers=pools[1],
            threads=2 * WORKERS,
            observer=lambda operation, code, seconds: self._observe(name, operation, code, seconds),
        )
        engine = Engine(
            hub=client,
            hub_name=name,
            metrics=self._metrics,
            now=self._now,
            wall_clock=self._wall,
            clock=time.monotonic,
            rng=self._rng,
            acknowledged=place.acknowledged,
        )
        with self._telling:
            self._told[name] = self._told.get(name, 0) + 1
        self._metrics.hub_rate_limit.labels(name, "BatchImportFindings").set_function(lambda: place.pace.imports.rate)
        self._metrics.hub_rate_limit.labels(name, "GetFindings").set_function(lambda: place.pace.reads.rate)
        task = asyncio.create_task(self._keep(engine), name=f"engine {name}")
        return _Hub(client=client, clients=clients, engine=engine, task=task, pools=pools)

    def _place_of(self, target: HubTarget) -> _Place:
        now, used = self._clock(), {target.place for target in self._open}
        unused = [key for key in self._places if key not in used]
        for number, key in enumerate(unused):
            if now - self._places[key].used_at > KEPT_SECONDS or number < len(unused) - PLACES_KEPT:
                del self._places[key]
        if target.place not in self._places:
            self._places[target.place] = _Place(Pace.of(self._settings.hub_quota_share), Acknowledged(), now)
        return self._places[target.place]

    def release(self, target: HubTarget) -> None:
        """Undo one `open`; the last release closes the hub. It does not block: running calls continue in their threads,
        and nobody waits for them.
        """
        hub = self._open[target]
        hub.users -= 1
        if hub.users:
            return
        del self._open[target]
        place = self._places.pop(target.place)
        place.used_at = self._clock()
        self._places[target.place] = place  # now the most recently used
        self._end(hub)
        name = hub.engine.hub_name
        with self._telling:
            self._told[name] -= 1
            if not self._told[name]:
                del self._told[name]
                self._metrics.forget_hub(name)
        log.info("hub_closed", hub=name)

    def _end(self, hub: _Hub) -> None:
        hub.task.cancel()
        self._ending.add(hub.task)
        hub.task.add_done_callback(lambda _: self._shut(hub))  # not earlier: it may still start a call in a thread

    def _shut(self, hub: _Hub) -> None:
        self._ending.discard(hub.task)
        for pool in hub.pools:
            pool.shutdown(wait=False, cancel_futures=True)
        hub.clients.close()
        self._emptying = [pool for pool in (*self._emptying, *hub.pools) if pool.busy]

    def _observe(self, hub: str, operation: str, code: str, seconds: float) -> None:
        with self._telling:
            if hub in self._told:
                self._metrics.hub_requests.labels(hub, operation, code).inc()
                self._metrics.hub_request_seconds.labels(hub, operation, code).observe(seconds)

    async def _keep(self, engine: Engine) -> None:
        await run_forever(
            engine.run, on_failure=lambda error: log.error("engine_failed", hub=engine.hub_name, exc_info=error)
        )

    async def drain(self, *, seconds: float) -> None:
        """Let the engines send pending findings, for at most this long."""
        await asyncio.gather(*(hub.engine.drain(seconds=seconds) for hub in self._open.values()))

    async def close(self, *, seconds: float = 0.0) -> bool:
        """End the engines, and wait at most `seconds` for running calls, also those of hubs that were released before.
        Returns whether all calls have ended.
        """
        for hub in self._open.values():
            self._end(hub)
        self._open.clear()
        await asyncio.gather(*self._ending, return_exceptions=True)
        until = self._clock() + seconds
        while busy := any(pool.busy for pool in self._emptying):
            if self._clock() >= until:
                break
            await asyncio.sleep(0.05)
        return not busy
