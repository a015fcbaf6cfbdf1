"""The hubs that findings go to: one client and one engine for each (account, Region, role), while anybody uses them.

Invariants
* What `open` gave stays until `release` was called as often; then its engine ends, its threads end with the calls under
  way, and its metrics go.
* Quotas hold per account and Region, so all roles of one share its buckets, and what was acknowledged lately. Both
  outlive the last hub for a while: whoever changes a MonitoredCluster again and again gets no fresh bucket each time,
  and sends nothing again that GetFindings does not show yet.
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

from policyhub.cancellation import keep_running
from policyhub.clock import SteadyMs, WallMs
from policyhub.hub_target import HubTarget
from policyhub.metrics import Metrics
from policyhub.securityhub import credentials
from policyhub.securityhub.client import WORKERS, HubClient
from policyhub.securityhub.opener import Opener, Pace
from policyhub.settings import Settings
from policyhub.sync.acknowledged import RECENT_MS, Acknowledged
from policyhub.sync.engine import Engine

log = structlog.get_logger(__name__)

KEPT_SECONDS = RECENT_MS / 1000
"""What belongs to an account and Region that nobody uses is kept for this long: its acknowledgements are no longer
recent then, and a bucket that was throttled has long recovered."""
PLACES_KEPT = 1_000
"""At most so many of them, the last ones used: an account and Region that come back after a thousand others began with
a full bucket, which is what a bucket is after three seconds."""


class Pool(ThreadPoolExecutor):
    """Threads for botocore that know whether a call is under way in one of them."""

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
        """Whether a call is under way or waits for a thread; also one whose caller has been cancelled."""
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
    """What all roles of one account and Region share."""

    pace: Pace
    acknowledged: Acknowledged
    used_at: float


class Hubs:
    """Opens hubs as they are asked for and keeps their engines running until they are released as often, or closed."""

    def __init__(
        self,
        *,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        rng: random.Random,
        permit: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`permit` as of `credentials.Clients`."""
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._rng = rng
        self._clock = clock
        self._opener = Opener(permit=permit)
        self.loader = self._opener.loader
        """Of service models, for other clients of this process too."""
        self._places: dict[tuple[str, str], _Place] = {}
        """By account and Region; those that nobody uses in the order in which they were given up."""
        self._open: dict[HubTarget, _Hub] = {}
        self._ending: set[asyncio.Task[None]] = set()
        """Engines that have been cancelled."""
        self._emptying: list[Pool] = []
        """Pools that take no more calls; those under way go on to their end."""
        self._told: dict[str, int] = {}
        """By how many open hubs each name (`account/Region`) is used: calls that end later are not counted."""
        self._telling = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """`account/Region` of the hubs that are open, one for each role."""
        return tuple(target.name for target in self._open)

    def open(self, target: HubTarget) -> tuple[HubClient, Engine]:
        """The hub's client and its running engine, until `release`. Raises botocore's UnknownRegionError and other
        errors of its configuration; then there is nothing to release.
        """
        hub = self._open.get(target)
        if hub is None:
            hub = self._open[target] = self._make(target)
        hub.users += 1
        return hub.client, hub.engine

    def _make(self, target: HubTarget) -> _Hub:
        self._opener.check(target)  # before anything is there that would have to be closed
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
            wall=self._wall,
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
        """One who had opened it needs it no longer; the last one's release closes it. It blocks nothing: calls under
        way go on to their end in their threads, and nobody waits for them.
        """
        hub = self._open[target]
        hub.users -= 1
        if hub.users:
            return
        del self._open[target]
        place = self._places.pop(target.place)
        place.used_at = self._clock()
        self._places[target.place] = place  # the last one used
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
        hub.task.add_done_callback(lambda _: self._shut(hub))  # before, it may still hand a call to a thread

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
        await keep_running(
            engine.run, on_failure=lambda error: log.error("engine_failed", hub=engine.hub_name, exc_info=error)
        )

    async def drain(self, *, seconds: float) -> None:
        """Let the engines send what is pending, at most this long."""
        await asyncio.gather(*(hub.engine.drain(seconds=seconds) for hub in self._open.values()))

    async def close(self, *, seconds: float = 0.0) -> bool:
        """End the engines; whether calls under way have ended too, for which it waits at most `seconds`. Those of hubs
        that were released before are among them.
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
