"""The control plane: starts and stops a data plane for each MonitoredCluster, and has its status written.

kopf watches, and an event handler passes each object on. kopf does not report deletions while its watch was down, so
the supervisor also lists MonitoredClusters once a minute. `versions` ignores states that arrive late. The supervisor
sets no annotation, and a finalizer only for `deletionPolicy: Archive` (`finalizer`).

| a MonitoredCluster                       | then                                                                      |
|------------------------------------------|---------------------------------------------------------------------------|
| is deleted, but any finalizer keeps it   | nothing new is sent for it                                                |
| lacks the labels of the watchSelector    | another operator handles it: nothing is written to it                     |
| loses these labels                       | its findings stay; our finalizer is removed (another operator sets it)    |
| shares identity and hub with any other   | only the oldest one sends (`oldest`), once all have been listed           |
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from botocore.exceptions import BotoCoreError, UnknownRegionError
from pydantic import ValidationError

from policyhub.api import selector
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.cancellation import run_forever
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.conflict import ADOPT_ANNOTATION
from policyhub.cluster.contact import Connect
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.site import Site
from policyhub.control import finalizer
from policyhub.control.deletion import rivals
from policyhub.control.destination import destination, unknown_region
from policyhub.control.finalization import Finalization, deletion_intent, sent_by
from policyhub.control.hub_registry import Hubs
from policyhub.control.monitored import (
    MonitoredClusters,
    NotIdentifiable,
    ObjectVersion,
    conditions,
    failed,
    invalid,
    object_version,
    recorded_status,
)
from policyhub.control.oldest import Claims, made_no_claim
from policyhub.control.reporter import YOUNGEST, Reporter, Watched
from policyhub.control.routes import Routes
from policyhub.control.versions import Freshness, Versions
from policyhub.eks.connector import EksClusters
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.model.text import clean
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.target import HubTarget
from policyhub.settings import Settings
from policyhub.sync.engine import Engine
from policyhub.sync.predecessor import Predecessor

log = structlog.get_logger(__name__)

COMPARE_SECONDS = 60.0
LIST_SECONDS = 5.0
"""Between attempts, until the first listing of MonitoredClusters has succeeded."""
READINGS = 3
"""Attempts to read an object that changes while it is read."""


class Supervisor:
    """The control plane of one process."""

    def __init__(
        self,
        *,
        home: Connection,
        hubs: Hubs,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        clock: Callable[[], float],
        rng: random.Random,
        open_home: Connect,
        eks: EksClusters,
    ) -> None:
        """`home` reads and writes our own objects; `open_home` opens another connection to the home cluster."""
        self._home = home
        self._objects = MonitoredClusters(home)
        self._hubs = hubs
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._rng = rng
        self._routes = Routes(home=home, open_home=open_home, eks=eks)
        self.predecessor: Predecessor | None = None
        """The process that handled, before this one, the MonitoredClusters that exist at the start."""
        self._selector = selector.parse(settings.watch_selector or "")
        self.watched: dict[str, Watched] = {}
        self._claims = Claims(self.watched, wall=wall)
        self._versions = Versions()
        self._listed = False
        """Whether all MonitoredClusters have been listed once."""
        self._reporter = Reporter(self.watched, home=home, metrics=metrics, now=now, wall=wall, clock=clock)
        self._finalization = Finalization(
            home=home,
            settings=settings,
            metrics=metrics,
            announce=self._reporter.announce,
            now=now,
            wall=wall,
            rng=rng,
        )
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # -- changes of MonitoredClusters -----------------------------------------------------------------------------

    async def observe(self, body: Mapping[str, Any], *, requested_at: int | None = None) -> None:
        """Apply a state of a MonitoredCluster. `requested_at`: the `Versions` moment of the request; None: an event."""
        try:
            named = object_version(body)
        except NotIdentifiable as error:
            log.warning("monitored_cluster_unreadable", message=str(error))
            return
        match self._versions.classify(*named, requested_at=requested_at):
            case Freshness.UNCERTAIN:
                await self._read_again(named.name, named.uid)
            case Freshness.OUTDATED:
                log.info("monitored_cluster_outdated", cluster=named.name, uid=named.uid, version=named.version)
            case Freshness.CURRENT:
                await self._admit(named, body, from_event=requested_at is None)

    async def _admit(self, named: ObjectVersion, body: Mapping[str, Any], *, from_event: bool) -> None:
        """Apply one state of a name at a time, since kopf has a worker for each uid. An error affects only this one."""
        self._versions.record(*named, from_event=from_event)
        async with self._turns[named.name]:
            if not self._versions.is_newest(*named):  # a newer one came while this one waited
                return
            try:
                await self._take(named.name, body)
            except Exception as error:  # outermost: a bug that one triggers must not stop the others
                log.exception("monitored_cluster_failed", cluster=named.name)
                self._fail(named.name, named.uid, error)

    async def _read_again(self, name: str, uid: str) -> bool:
        """Read the object again and apply it: what arrived about this uid contradicts what is known about the name.
        False: it cannot be read, or changes each time; nothing is done, and the next comparison tries again.
        """
        for _ in range(READINGS):
            requested_at, known = self._versions.moment(), self._versions.uid(name)
            try:
                read = await self._objects.get(name)
            except (Refused, Unreachable, NotIdentifiable, msgspec.MsgspecError, RecursionError) as error:
                log.warning("monitored_cluster_not_read", cluster=name, message=clean(str(error)))
                return False
            for gone in {uid, known} - {None, *(named.uid for named, _ in read)}:
                await self.forget(name, str(gone))
            if not read:
                return True
            (named, body), *_ = read
            overtaken = self._versions.recorded_since(requested_at, name, named.uid)
            if not overtaken or self._versions.classify(*named, requested_at=requested_at) is Freshness.CURRENT:
                await self._admit(named, body, from_event=False)
                return True
        return False

    async def _take(self, name: str, body: Mapping[str, Any]) -> None:
        ours = self._selector.matches(body["metadata"].get("labels") or {})
        if self._claims.note(body, ours=ours):
            self._claim()
        if ours:
            if finalizer.is_deleted(body):
                await self._leave(name, body)
            else:
                await self._observe(name, body)
                await self._finalization.finalize(self.watched[name], body)
        elif name in self.watched:
            await self._stop(name)
            uid = self.watched.pop(name).uid
            self._metrics.forget_status(name)
            self._claim()
            log.info("monitored_cluster_given_up", cluster=name)
            await self._finalization.hand_over(name, uid, body)

    def _fail(self, name: str, uid: str, error: Exception) -> None:
        """Show the error in the status; the next comparison tries again."""
        watched = self.watched.get(name)
        if watched is None:
            watched = self.watched[name] = Watched(
                name=name, uid=uid, intent=None, generation=0, conditions={}, predecessor=self.predecessor
            )
        if watched.plane is None:
            watched.intent = None
            watched.fault = failed(error)

    async def _observe(self, name: str, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        uid = metadata.get("uid", "")
        intent = (uid, body.get("spec"), (metadata.get("annotations") or {}).get(ADOPT_ANNOTATION))
        watched = self.watched.get(name)
        if watched is not None and watched.intent == intent:
            watched.generation = metadata.get("generation", 0)
            if watched.plane is not None:
                watched.plane.annotate(metadata.get("annotations") or {})
            return
        written, known = conditions(body), recorded_status(body)
        predecessor = Predecessor(started=self._wall()) if self._listed else self.predecessor
        if watched is not None and watched.uid == uid:
            written, predecessor = watched.conditions, watched.predecessor
            known = known if known.cluster_uid else watched.recorded  # not written yet, or not seen yet
        if made_no_claim(watched, uid, written):
            predecessor = self._claims.took_over()
        before = await self._halt(name)
        watched = Watched(
            name=name,
            uid=uid,
            intent=intent,
            conditions=written,
            generation=metadata.get("generation", 0),
            created=metadata.get("creationTimestamp") or YOUNGEST,
            recorded=known,
            predecessor=predecessor,
        )
        self.watched[name] = watched
        try:
            self._begin(watched, body)
        finally:  # after the new one has started: most changes keep the hub, which so stays open
            if before is not None:
                self._hubs.release(before)
        self._claim()

    def _begin(self, watched: Watched, body: Mapping[str, Any]) -> None:
        try:
            monitored = MonitoredCluster.model_validate(body)
        except ValidationError as error:
            watched.fault = invalid(error)
            log.warning("monitored_cluster_invalid", cluster=watched.name, message=clean(watched.fault.message))
        else:
            watched.claims = monitored.spec.mode != "DryRun"
            self._start(watched, monitored)

    async def forget(self, name: str, uid: str) -> None:
        """The MonitoredCluster with this uid is gone: its findings stay as they are."""
        self._versions.mark_gone(name, uid)
        async with self._turns[name]:
            if self._claims.forget(name, uid):
                self._claim()
            if (watched := self.watched.get(name)) is None or watched.uid != uid:
                return
            await self._stop(name)
            del self.watched[name]
            self._metrics.forget_status(name)
            self._claim()
            log.info("monitored_cluster_gone", cluster=name)

    def _start(self, watched: Watched, monitored: MonitoredCluster) -> None:
        target = destination(monitored, self._settings, recorded=watched.recorded.hub)
        if isinstance(target, Cause):
            watched.fault = target
            return
        opened = self._open(watched, target, monitored)
        if opened is None:
            return
        client, engine = opened
        site = Site(
            monitored=monitored,
            account=target.account,
            region=target.region,
            hub=client,
            engine=engine,
            settings=self._settings,
            metrics=self._metrics,
            now=self._now,
            wall=self._wall,
            rng=self._rng,
            predecessor=watched.predecessor,
        )
        connect, explain, eks_arn = self._routes.of(monitored)
        rival = rivals(
            self._home, own=watched.uid, identity=monitored.identity, hub=target.place, settings=self._settings
        )
        plane = DataPlane(site, connect=connect, explain=explain, eks_arn=eks_arn, rival=rival)
        watched.plane = plane
        watched.claim = (*target.place, monitored.identity)
        watched.task = asyncio.create_task(self._keep(plane), name=f"data plane {plane.name}")
        self._reporter.start()
        log.info("monitored_cluster_started", cluster=plane.name, identity=monitored.identity, hub=engine.hub_name)

    def _open(
        self, watched: Watched, target: HubTarget, monitored: MonitoredCluster
    ) -> tuple[HubClient, Engine] | None:
        """Open the hub; its target must be released. None: it failed, and `watched.fault` has the reason."""
        try:
            opened = self._hubs.open(target)
        except UnknownRegionError:
            watched.fault = unknown_region(monitored, target.region)
            return None
        except BotoCoreError as error:
            watched.fault = Cause(Reason.AWS_CONFIGURATION, f"the operator's AWS configuration cannot be used: {error}")
            return None
        watched.target = target
        return opened

    async def _leave(self, name: str, body: Mapping[str, Any]) -> None:
        """The MonitoredCluster is deleted, and a finalizer keeps it."""
        uid, intent, watched = body["metadata"]["uid"], deletion_intent(body), self.watched.get(name)
        generation = body["metadata"].get("generation", 0)
        if watched is not None and watched.intent == intent:
            watched.generation = generation
            return
        known = watched if watched is not None and watched.uid == uid else None
        sent = sent_by(known)
        before = await self._halt(name)
        watched = self.watched[name] = Watched(
            name=name,
            uid=uid,
            intent=intent,
            conditions=known.conditions if known is not None else conditions(body),
            generation=generation,
            recorded=known.recorded if known is not None and known.recorded.cluster_uid else recorded_status(body),
        )
        try:
            self._finalization.begin(
                watched, body, sent=sent, open_=lambda target, read: self._open(watched, target, read)
            )
        finally:
            if before is not None:
                self._hubs.release(before)
        self._claim()

    async def _keep(self, plane: DataPlane) -> None:
        await run_forever(
            plane.run, on_failure=lambda error: log.error("data_plane_failed", cluster=plane.name, exc_info=error)
        )

    async def _halt(self, name: str) -> HubTarget | None:
        """End the task of a MonitoredCluster. Returns its hub, which is still open, for the caller to release."""
        watched = self.watched.get(name)
        if watched is None:
            return None
        if watched.task is not None:
            watched.task.cancel()
            await asyncio.gather(watched.task, return_exceptions=True)
        target, watched.target = watched.target, None
        return target

    async def _stop(self, name: str) -> None:
        target = await self._halt(name)
        if target is not None:
            self._hubs.release(target)

    def _claim(self) -> None:
        self._claims.decide(listed=self._listed)

    async def compare(self) -> None:
        """Compare with the list at once, and then once a minute, until cancelled."""
        while True:
            await self.confirm()
            await asyncio.sleep(COMPARE_SECONDS if self._listed else LIST_SECONDS)

    async def confirm(self) -> bool:
        """Apply the list of MonitoredClusters, and forget those that it lacks. Returns whether all could be read."""
        try:
            return await self._compare()
        except (Refused, Unreachable, msgspec.MsgspecError, RecursionError) as error:
            log.warning("monitored_clusters_not_listed", message=clean(str(error)))
        except Exception:  # outermost: a bug must not end the process
            log.exception("compare_failed")
        return False

    async def _compare(self) -> bool:
        """Whether each could be read. Raises Refused, Unreachable; for the list MsgspecError, RecursionError."""
        requested_at = self._versions.moment()
        there = await self._objects.list_all()
        whole = True
        for name, uid in self._versions.missing(there, requested_at=requested_at):
            whole &= await self._read_again(name, uid)
        for body in sorted(there.values(), key=lambda body: str(body["metadata"].get("creationTimestamp") or YOUNGEST)):
            await self.observe(body, requested_at=requested_at)
        if not self._listed:
            self._listed = True
            self._claim()
            for body in there.values():  # sets finalizers: none was set before the oldest was known
                await self.observe(body, requested_at=requested_at)
        return whole

    async def report(self) -> None:
        """Write each status when it has changed. Runs until cancelled."""
        await self._reporter.run()

    async def close(self) -> None:
        """Stop every data plane. Pending findings should have been sent before."""
        for name in list(self.watched):
            await self._stop(name)
        self._routes.close()
