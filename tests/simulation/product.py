"""The operator's own code on the two simulated edges: the only module that knows how the operator is assembled.

A start makes a new DataPlane and Engine, as a new process would; a stop cancels their tasks. What a process takes from
the machine (clocks, random numbers, settings) is given here.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import structlog
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.status import Condition
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster import approval, context, tick
from policyhub.cluster.capture import snapshot_of
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.site import Site
from policyhub.control import status
from policyhub.kube.connection import Connection as RealConnection
from policyhub.kube.reflector import Reflector
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub import inventory
from policyhub.securityhub.client import HubClient as RealHubClient
from policyhub.securityhub.inventory import Inventory
from policyhub.settings import Settings
from policyhub.sync.engine import Engine
from policyhub.sync.plan import Change, decide
from policyhub.sync.predecessor import Predecessor
from tests.simulation.edges import Connection, HubClient
from tests.simulation.hub import ACCOUNT, REGION, Hub
from tests.simulation.loop import Loop
from tests.simulation.server import Server

QUICK, SLOW = (20.0, 60.0, 600.0), (300.0, 600.0, 7_200.0)
"""Seconds between two ticks, two discoveries and two counts of the data plane, during activity and without: the
operator's own intervals would make a simulated week take minutes.
"""


class Product:
    def __init__(self, loop: Loop, server: Server, hub: Hub, rng: random.Random, **spec: Any) -> None:
        self.loop = loop
        self.server = server
        self.hub = hub
        self.rng = rng
        self.spec: dict[str, Any] = {"connection": {"inCluster": {}}, "archiveDelay": "10m", **spec}
        self.annotations: dict[str, str] = {}
        self.skew_ms = 0
        """How far the wall clock of the machine is ahead."""
        self.now: Callable[[], SteadyMs] = lambda: SteadyMs(int(self.wall()))
        """The operator's monotonic clock."""
        self._inconsistency = ""
        self.plane: DataPlane | None = None
        self.engine: Engine | None = None
        self.starts = 0
        self.started = 0.0
        self._settings = Settings()
        self._site: Site | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._conditions: dict[str, Condition] = {}

    def wall(self) -> WallMs:
        return WallMs(self.loop.wall_ms + self.skew_ms)

    async def respec(self, **spec: Any) -> None:
        """Change the spec of the MonitoredCluster: the process continues with a new data plane."""
        self.spec |= spec
        self.conditions()
        engine, plane = self._tasks
        plane.cancel()
        await asyncio.gather(plane, return_exceptions=True)
        assert self._site is not None
        site = replace(self._site, monitored=self._monitored())
        self.plane = DataPlane(site, connect=self._connect)
        self.plane.record()
        self._tasks = [engine, self.loop.create_task(self.plane.run())]

    def _monitored(self) -> MonitoredCluster:
        conditions_json = [condition.model_dump(mode="json", by_alias=True) for condition in self._conditions.values()]
        body = {
            "metadata": {"name": "alpha", "uid": "mc", "annotations": dict(self.annotations)},
            "spec": self.spec,
            "status": {"conditions": conditions_json},
        }
        return MonitoredCluster.model_validate(body)

    async def _connect(self) -> RealConnection:
        return cast(RealConnection, Connection(self.server))

    def start(self) -> None:
        self.starts += 1
        self.started = self.loop.elapsed
        offset = int(self.wall()) - round(self.loop.elapsed * 1000)

        def now() -> SteadyMs:
            return SteadyMs(offset + round(self.loop.elapsed * 1000))

        self.now = now
        metrics = Metrics(CollectorRegistry())
        rng = random.Random(self.rng.random())
        client = cast(RealHubClient, HubClient(self.hub))
        self.engine = Engine(
            hub=client, hub_name="hub", metrics=metrics, now=now, wall_clock=self.wall, clock=self.loop.time, rng=rng
        )

        self._site = Site(
            monitored=self._monitored(),
            account=ACCOUNT,
            region=REGION,
            hub=client,
            engine=self.engine,
            settings=self._settings,
            metrics=metrics,
            now=now,
            wall=self.wall,
            rng=rng,
            predecessor=Predecessor(started=self.wall()),
        )
        self.plane = DataPlane(self._site, connect=self._connect)
        self.plane.record()  # `stop` keeps the status
        self._tasks = [self.loop.create_task(self.engine.run()), self.loop.create_task(self.plane.run())]

    async def stop(self) -> None:
        """As kill -9: nothing more is sent; imports in flight may have been written. The status remains."""
        self.conditions()
        tasks, self._tasks = self._tasks, []
        self.plane = self.engine = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def running(self) -> bool:
        return self.plane is not None

    def crashed(self) -> str:
        """Why a task that should never end has ended."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                return repr(task.exception())
        return ""

    def inconsistent(self) -> str:
        """A contradiction in the ledger's counters that is there now and was there at the last check: the next tick may
        still have to process new input.
        """
        before, self._inconsistency = self._inconsistency, self._books()
        return self._inconsistency if self._inconsistency == before else ""

    def _books(self) -> str:
        work = self.plane.work if self.plane is not None else None
        if work is None or self.engine is None:
            return ""
        ledger, rules, now, wall_clock = work.queue.ledger, work.queue.rules, self.now(), self.wall()
        ledger.wake(now)
        entries = ledger.entries.values()
        active = [entry for entry in entries if entry.observed is not None and not entry.observed.archived]
        if ledger.finding_counts.violations.total() != sum(entry.desired for entry in entries):
            return "desired findings are miscounted"
        if +ledger.finding_counts.triage != Counter(entry.triage for entry in active) or ledger.guard.total() != len(
            active
        ):
            return "active findings are miscounted"
        if {i for ids in ledger.desired.objects.values() for i in ids} != {e.id for e in entries if e.claims}:
            return "claims and source objects differ"
        for entry in entries:
            if entry.in_flight or ledger.observed.progress.must_be_read(entry):
                continue
            evidence = ledger.evidence(entry, rules=rules, now=now, wall_clock=wall_clock)
            decision = decide(entry, evidence, rules, now)
            if (
                isinstance(decision, Change)
                and decision is not Change.REFRESHED
                and entry.id not in ledger.agenda.dirty
            ):
                return f"{entry.id} would be {decision}, and is not to be decided ({ledger.agenda.hold_of(entry.id)})"
        return ""

    def pace(self, *, quick: bool) -> None:
        seconds, discovery, count = QUICK if quick else SLOW
        tick.TICK_SECONDS = context.IDLE_SECONDS = seconds
        tick.COUNT_SECONDS = count
        vars(self._settings)["discovery_interval"] = discovery  # read-only for all other code

    def annotate(self, **annotations: str) -> None:
        self.annotations |= annotations
        if self.plane is not None:
            self.plane.annotate(self.annotations)

    def approve(self, source: str, *, hours: float = 12) -> None:
        """A person approves the held bulk archive of an engine."""
        until = self.wall() + round(hours * 3_600_000)
        text = self.annotations.get(approval.ANNOTATION, "")
        merged = approval.merged(text, source=source, until=until, now=self.wall())
        self.annotate(**{approval.ANNOTATION: merged})

    def guarded(self) -> frozenset[str]:
        """Engines whose lost findings wait for an approval."""
        return frozenset(self.plane.guarded) if self.plane is not None else frozenset()

    def conditions(self) -> dict[str, str]:
        """Conditions that report a problem, as an admin sees them: condition → reason."""
        if self.plane is None:
            return {"Ready": "NotRunning"}
        seen = snapshot_of(self.plane, now=self.now())
        built = status.build(seen, previous=self._conditions, generation=1, now=self.now(), wall=self.wall())
        self._conditions = {condition.type: condition for condition in built.conditions}
        bad_when = {"ArchiveHeld": "True", "IdentityConflict": "True"}
        return {
            name: condition.reason
            for name, condition in self._conditions.items()
            if (condition.status == "True") == (bad_when.get(name, "False") == "True")
        }

    def held(self) -> dict[str, str]:
        """For the last line of a story: what is held, and why."""
        ledger = self.plane.ledger if self.plane is not None else None
        return {} if ledger is None else {id_[-8:]: str(hold) for id_, hold in ledger.agenda.held.items()}


WATCH_SECONDS = (480.0, 960.0)
"""Timeout of a watch: twice the operator's own, because each new watch costs real time."""

UNSPLIT_BELOW = 60
"""From this many findings on, an inventory is read in sixteen parts, so that a small cluster behaves like a large one.
A sample estimates the number of findings, and a small cluster needs a larger sample.
"""
SAMPLE, SAMPLES = "0", 16


def prepare() -> None:
    """Replace the product's defaults that are not parameters."""
    defaults = Reflector.__init__.__kwdefaults__
    assert defaults is not None
    defaults["watch_seconds"] = WATCH_SECONDS
    defaults = Inventory.__init__.__kwdefaults__
    assert defaults is not None
    defaults["unsplit_below"] = defaults["split_above"] = UNSPLIT_BELOW
    inventory._SAMPLE, inventory._SAMPLES = SAMPLE, SAMPLES

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
