"""Sets and takes off the finalizer of MonitoredClusters, and begins what a deletion asks for.

When it is set and taken off says `policyhub.finalizer`, what a deletion then does `policyhub.leaving`.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from policyhub import finalizer
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.archiving import Sent
from policyhub.hub_target import HubTarget
from policyhub.kube.connection import Connection
from policyhub.leaving import UNREADABLE, Announce, Leaving, place, readable
from policyhub.metrics import Metrics
from policyhub.reporter import Watched
from policyhub.securityhub.client import HubClient
from policyhub.settings import Settings
from policyhub.sources.text import clean, line
from policyhub.sync.engine import Engine

log = structlog.get_logger(__name__)

RETRY_MS = 60_000
"""Between two attempts to write a finalizer that the API server refuses."""

Open = Callable[[HubTarget, MonitoredCluster], tuple[HubClient, Engine] | None]
"""Opens a hub for a MonitoredCluster; None: its fault says why not."""


class Departures:
    """Of all MonitoredClusters of one supervisor."""

    def __init__(
        self,
        *,
        home: Connection,
        settings: Settings,
        metrics: Metrics,
        announce: Announce,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        rng: random.Random,
    ) -> None:
        self._home = home
        self._settings = settings
        self._metrics = metrics
        self._announce = announce
        self._now = now
        self._wall = wall
        self._rng = rng

    def begin(self, watched: Watched, body: Mapping[str, Any], *, sent: Sent, open_: Open) -> None:
        """Do what its deletion asks for, as its task."""
        if not finalizer.is_set(body):
            others = line(", ".join(map(str, body["metadata"].get("finalizers") or ())))
            watched.fault = Cause(
                Reason.DELETED, f"deleted: nothing is sent for it any more. Its finalizers keep the object: {others}"
            )
            return
        leaving = Leaving(
            watched=watched,
            body=body,
            home=self._home,
            settings=self._settings,
            metrics=self._metrics,
            announce=self._announce,
            now=self._now,
            wall=self._wall,
            rng=self._rng,
        )
        if not finalizer.asked(body):
            watched.start(leaving.retain(), "retain")
            return
        monitored = readable(body)
        if isinstance(monitored, Cause):
            watched.fault = monitored
            return
        target = place(monitored, self._settings, recorded=watched.kept.hub)
        if isinstance(target, Cause):
            watched.fault = target
        elif (opened := open_(target, monitored)) is not None:
            client, engine = opened
            watched.start(leaving.archive(client, engine.acknowledged, sent), "retire")

    async def finalize(self, watched: Watched, body: Mapping[str, Any]) -> None:
        """Set the finalizer of one that is not deleted, or take it off."""
        asked, plane = finalizer.asked(body), watched.plane
        if asked and (plane is None or plane.unlisted):
            return
        wanted = asked and plane is not None and not plane.claimed_twice
        if wanted == finalizer.is_set(body):
            watched.unkept = None
            return
        now = self._now()
        if watched.unkept is not None and now - watched.unkept < RETRY_MS:
            return  # each status that is written comes back as an event
        try:
            await finalizer.write(self._home, watched.name, watched.uid, there=wanted)
        except UNREADABLE as error:  # the next comparison tries again
            log.warning("finalizer_not_written", cluster=watched.name, there=wanted, message=clean(str(error)))
            first, watched.unkept = watched.unkept is None, now
            if wanted and first:
                message = (
                    "the finalizer of deletionPolicy Archive cannot be set, so a deletion would leave the findings as"
                    f" they are: {error}. Allow the operator to patch MonitoredClusters (the chart's rbac.finalizers)"
                )
                await self._announce(watched, "Warning", reason="FinalizerNotSet", message=message)

    async def hand_over(self, name: str, uid: str, body: Mapping[str, Any]) -> None:
        """It is another operator's from here on, which sets the finalizer again where it is wanted. In deletion nobody
        can set it again: it stays for the other one, which archives.
        """
        if not finalizer.is_set(body) or finalizer.is_deleted(body):
            return
        try:
            await finalizer.write(self._home, name, uid, there=False)
        except UNREADABLE as error:
            log.warning("finalizer_not_written", cluster=name, there=False, message=clean(str(error)))


def deletion(body: Mapping[str, Any]) -> object:
    """What of a deleted object decides what is done: another one begins it anew. Pure."""
    metadata = body["metadata"]
    return "deleted", metadata["uid"], finalizer.is_set(body), finalizer.asked(body), body.get("spec")


def sent_by(watched: Watched | None) -> Sent:
    """What this process has sent for it; asked before its data plane ends."""
    if watched is None or watched.plane is None:
        return Sent(ledger=None, sure=False)
    return Sent(ledger=watched.plane.ledger, sure=not watched.plane.site.sent_shortly_before)
