"""A whole simulated world: cluster, engines, Security Hub, users, faults, the operator, and the oracle that checks
them.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.auditors import Gatekeeper, Trivy
from tests.simulation.cluster import Cluster
from tests.simulation.hub import Fault as HubFault
from tests.simulation.hub import Hub
from tests.simulation.kinds import (
    CLUSTER_POLICY,
    CLUSTER_POLICY_REPORT,
    CRONJOB,
    JOB,
    NAMESPACE,
    POD,
    POLICY_REPORT,
    REPLICASET,
    Document,
    Kind,
)
from tests.simulation.kyverno import Kyverno
from tests.simulation.loop import Loop, run
from tests.simulation.oracle import NEWS_SECONDS, SLOW_NEWS, UNAVAILABLE_SECONDS, Broken, Circumstances, Oracle
from tests.simulation.product import Product, prepare
from tests.simulation.server import CLUSTER, Fault, Server
from tests.simulation.truth import Truth

TENANT = "tenant"
"""The namespace whose users forge reports; the oracle ignores findings about it."""
CHECK_SECONDS = 900.0
LIVELY_SECONDS = 1_500.0
"""How long the operator gets short ticks after an event."""
CALM_AFTER_START = 300.0
REFUSED_SECONDS = 15.0
"""After this time the operator accepts that it may not list owners."""


@dataclass
class Outcome:
    broken: list[Broken]
    journal: list[str]
    days: float = 0.0
    events: int = 0
    faults: int = 0
    imports: int = 0
    allowed: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def promises(self) -> set[str]:
        return {broken.promise for broken in self.broken}


class World:
    def __init__(self, loop: Loop, seed: str, **spec: Any) -> None:
        self.loop = loop
        self.rng = random.Random(seed)
        self.server = Server(loop, self._random())
        self.cluster = Cluster(self.server, self._random())
        self.hub = Hub(loop, self._random())
        self.kyverno = Kyverno(self.cluster, self._random(), interval=7_200, duration=1_800)
        self.gatekeeper = Gatekeeper(self.cluster, self._random(), interval=1_800)
        self.trivy = Trivy(self.cluster, self._random())
        self.truth = Truth(self.server, [self.kyverno, self.gatekeeper, self.trivy])
        self.product = Product(loop, self.server, self.hub, self._random(), **spec)
        self.oracle = Oracle(
            self.truth,
            self.hub,
            Circumstances(
                wall=lambda: self.product.wall() / 1000,
                calm_since=self.calm_since,
                slow_news=self._slow_news,
                unreadable=self._unreadable,
                conditions=self.product.conditions,
                started=lambda: self.product.started,
                unevaluated=lambda violation: violation in self.kyverno.unevaluated(),
                unreachable_since=self._unreachable_since,
                owners_refused=self._owners_refused,
                foreign=frozenset({TENANT}),
            ),
        )
        self.hub.on_import = self.oracle.judge
        self.server.on_change = self._noticed
        for engine in (self.kyverno, self.gatekeeper, self.trivy):
            engine.on_denial = self.truth.deny
        self.kyverno.on_silence = self.truth.silence
        self.disturbed = 0.0
        """Until when a disturbance without a timed fault lasts."""
        self.keep_jobs = True
        self.uninstalled = False
        """Whether Kyverno is expected not to run."""
        self._lively = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        for kind in (POLICY_REPORT, CLUSTER_POLICY_REPORT, CLUSTER_POLICY):
            self.server.install(kind)

    def _random(self) -> random.Random:
        return random.Random(self.rng.random())

    def _noticed(self, kind: Kind, document: Document) -> None:
        self.truth.noticed(kind, document)
        self.kyverno.noticed(kind, document)

    # -- running --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        works = (self.kyverno.run, self.gatekeeper.run, self.trivy.run, self._cron, self._watch)
        self._tasks = [self.loop.create_task(work()) for work in works]
        self.product.start()
        self.stir()

    async def stop(self) -> None:
        await self.product.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def after(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        await asyncio.sleep(seconds + 60 * minutes + 3_600 * hours + 86_400 * days)

    async def _watch(self) -> None:
        while True:
            self.product.pace(quick=self.loop.elapsed < self._lively)
            await asyncio.sleep(120 if self.loop.elapsed < self._lively else CHECK_SECONDS)
            self.oracle.check(self.loop.elapsed, self.product.crashed() or self.product.inconsistent())

    async def _cron(self) -> None:
        """Every CronJob runs every two hours, for a few minutes."""
        while True:
            await asyncio.sleep(7_200)
            for workload in self.cluster.there(CRONJOB):
                self.cluster.run_job(workload, seconds=240, keep=self.keep_jobs)

    # -- events --------------------------------------------------------------------------------------------------------

    def stir(self, seconds: float = 0.0) -> None:
        """Note that something happens now, or for `seconds`."""
        self._lively = max(self._lively, self.loop.elapsed + seconds + LIVELY_SECONDS)
        self.product.pace(quick=True)

    def disturb(self, seconds: float = 0.0) -> None:
        """Note a disturbance of the given length."""
        self.stir(seconds)
        self.disturbed = max(self.disturbed, self.loop.elapsed + seconds)

    def api(self, how: str, prefix: str = "", *, seconds: float) -> None:
        now = self.loop.elapsed
        self.server.faults.append(Fault(prefix, how, now, now + seconds))
        self.disturb(seconds)

    def forbid(self, *prefixes: str) -> None:
        """Remove permissions from the operator's role, from the start and for ever: this is not a fault."""
        self.server.faults += [Fault(prefix, "403", 0.0, math.inf) for prefix in prefixes]

    def aws(self, how: str, *, seconds: float, amount: float = 0.5) -> None:
        now = self.loop.elapsed
        self.hub.faults.append(HubFault(how, now, now + seconds, amount))
        self.disturb(seconds)

    async def restart(self, *, pause: float = 0.0) -> None:
        """Kill the operator and start it again a while later; does nothing while it is down."""
        if not self.product.running:
            return
        self.disturb(pause + CALM_AFTER_START)
        await self.product.stop()
        if pause:
            await asyncio.sleep(pause)
        self.product.start()

    # -- what the oracle reads -----------------------------------------------------------------------------------------

    def calm_since(self) -> float:
        now = self.loop.elapsed
        ends = [t.end for t in self.server.faults if t.start <= now and t.end < math.inf]
        ends += [t.end for t in self.hub.faults if t.start <= now]
        if not self.product.running or not (self.kyverno.running or self.uninstalled):
            return now
        return max([self.disturbed, *ends])

    def _unreachable_since(self) -> float | None:
        path, now = f"{NAMESPACE.path}/{CLUSTER}", self.loop.elapsed
        if not self.server.fault_of(path):
            return None
        return min(t.start for t in self.server.faults if t.start <= now < t.end and path.startswith(t.prefix))

    def _owners_refused(self) -> bool:
        now = self.loop.elapsed
        return any(
            t.how == "403"
            and max(t.start, self.product.started) + REFUSED_SECONDS <= now <= t.end + NEWS_SECONDS
            and any(kind.path.startswith(t.prefix) for kind in (POD, REPLICASET, JOB))
            for t in self.server.faults
        )

    def _slow_news(self) -> bool:
        now = self.loop.elapsed
        recent = (t for t in self.server.faults if t.start <= now and now - t.end < UNAVAILABLE_SECONDS)
        return any(t.how in SLOW_NEWS for t in recent)

    def _unreadable(self) -> bool:
        now = self.loop.elapsed
        return any(
            t.how in {"unread", "down", "disabled"}
            and t.start + UNAVAILABLE_SECONDS <= now
            and now - t.end < 3_600
            and t.end - t.start >= UNAVAILABLE_SECONDS
            for t in self.hub.faults
        )


Story = Callable[[World], Awaitable[None]]


def play(story: Story, *, seed: str, **spec: Any) -> Outcome:
    """Run one world from its start to the end of the story."""
    prepare()
    began = time.perf_counter()

    async def work(loop: Loop) -> Outcome:
        world = World(loop, seed, **spec)
        try:
            await story(world)
        finally:
            await world.stop()
        return Outcome(
            broken=world.oracle.broken,
            journal=[one.line for one in world.hub.journal],
            days=loop.elapsed / 86_400,
            events=world.server.events,
            faults=len(world.server.faults) + len(world.hub.faults) + world.product.starts - 1,
            imports=len(world.hub.journal),
            allowed=dict(world.oracle.allowed),
        )

    outcome = run(work, seed=seed)
    outcome.seconds = time.perf_counter() - began
    return outcome
