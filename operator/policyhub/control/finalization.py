"""Sets and removes the finalizer of MonitoredClusters, and starts the work of a deletion.

`finalizer` describes when the finalizer is set and removed, `deletion` what a deletion then does.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.archiving import Sent
from policyhub.control import finalizer
from policyhub.control.deletion import API_ERRORS, Announce, Deletion, parsed, recorded_destination
from policyhub.control.reporter import Watched
from policyhub.kube.connection import Connection
from policyhub.metrics.definitions import Metrics
from policyhub.model.text import clean, line
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.target import HubTarget
from policyhub.settings import Settings
from policyhub.sync.engine import Engine

log = structlog.get_logger(__name__)

RETRY_MS = 60_000
"""Between two attempts to write a finalizer, if the API server refuses it."""

Open = Callable[[HubTarget, MonitoredCluster], tuple[HubClient, Engine] | None]
"""Opens a hub for a MonitoredCluster. None: it failed, and `Watched.fault` has the reason."""


class Finalization:
    """The finalizers of all MonitoredClusters of one supervisor."""

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
        """The MonitoredCluster is deleted: start the task that retains or archives its findings."""
        if not finalizer.is_set(body):
            others = line(", ".join(map(str, body["metadata"].get("finalizers") or ())))
            watched.fault = Cause(
                Reason.DELETED, f"deleted: nothing is sent for it any more. Its finalizers keep the object: {others}"
            )
            return
        deletion = Deletion(
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
        if not finalizer.is_wanted(body):
            watched.start(deletion.retain(), "retain")
            return
        monitored = parsed(body)
        if isinstance(monitored, Cause):
            watched.fault = monitored
            return
        target = recorded_destination(monitored, self._settings, recorded=watched.recorded.hub)
        if isinstance(target, Cause):
            watched.fault = target
        elif (opened := open_(target, monitored)) is not None:
            client, engine = opened
            watched.start(deletion.archive(client, engine.acknowledged, sent), "retire")

    async def finalize(self, watched: Watched, body: Mapping[str, Any]) -> None:
        """Set or remove the finalizer of a MonitoredCluster that is not deleted."""
        requested, plane = finalizer.is_wanted(body), watched.plane
        if requested and (plane is None or plane.unlisted or plane.restarts):
            return
        wanted = requested and plane is not None
        is_set = finalizer.is_set(body)
        if wanted and plane is not None and plane.claimed_twice:
            wanted = is_set  # the older one may never send; a deletion looks for a writer
        if wanted == is_set:
            watched.finalizer_failed_at = None
            return
        now = self._now()
        if watched.finalizer_failed_at is not None and now - watched.finalizer_failed_at < RETRY_MS:
            return  # each status update causes an event, and so a call of this method
        try:
            await finalizer.write(self._home, watched.name, watched.uid, present=wanted)
        except API_ERRORS as error:  # the next comparison tries again
            log.warning("finalizer_not_written", cluster=watched.name, present=wanted, message=clean(str(error)))
            first, watched.finalizer_failed_at = watched.finalizer_failed_at is None, now
            if wanted and first:
                message = (
                    "the finalizer of deletionPolicy Archive cannot be set, so a deletion would leave the findings as"
                    f" they are: {error}. Allow the operator to patch MonitoredClusters (the chart's rbac.finalizers)"
                )
                await self._announce(watched, "Warning", reason="FinalizerNotSet", message=message)

    async def hand_over(self, name: str, uid: str, body: Mapping[str, Any]) -> None:
        """Another operator takes the MonitoredCluster over: remove the finalizer, which that operator sets again if
        needed. If the object is already deleted, a finalizer cannot be set again: so it stays, and the other operator
        archives.
        """
        if not finalizer.is_set(body) or finalizer.is_deleted(body):
            return
        try:
            await finalizer.write(self._home, name, uid, present=False)
        except API_ERRORS as error:
            log.warning("finalizer_not_written", cluster=name, present=False, message=clean(str(error)))


def deletion_intent(body: Mapping[str, Any]) -> object:
    """The fields of a deleted object that decide what is done; the work restarts if they change. Pure."""
    metadata = body["metadata"]
    return "deleted", metadata["uid"], finalizer.is_set(body), finalizer.is_wanted(body), body.get("spec")


def sent_by(watched: Watched | None) -> Sent:
    """What this process has sent for the MonitoredCluster. Call it before its data plane ends."""
    if watched is None or watched.plane is None:
        return Sent(ledger=None, sure=False)
    return Sent(ledger=watched.plane.ledger, sure=not watched.plane.site.sent_shortly_before)
