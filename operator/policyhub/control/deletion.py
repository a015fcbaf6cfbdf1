"""Archives the findings of a MonitoredCluster that is deleted with `deletionPolicy: Archive`.

Its data plane has already stopped, so nothing new is sent. Until the finalizer is removed:

| state                                                        | action                                                |
|--------------------------------------------------------------|-------------------------------------------------------|
| the policy is no longer Archive, or the mode not Sync        | remove the finalizer; archive nothing                 |
| another MonitoredCluster, not deleted, has identity and hub  | remove the finalizer; the findings belong to the      |
|                                                              | other one now, even if it appears halfway through     |
| the uid of the cluster was never known                       | remove the finalizer; no finding has this uid         |
| active findings of this identity and uid                     | archive them (`securityhub.retirement`)               |
| some are refused, the hub does not answer, or a permission   | show it in the status; retry with back-off            |
|   is missing                                                 |                                                       |
| calls are in flight, or confirmed changes do not show yet    | read again: GetFindings lags                          |
| nothing is left                                              | remove the finalizer                                  |

A deletion allows archiving the findings of this cluster only: the uid of each finding is checked. If the cluster was
rebuilt and nobody has adopted the former one's findings, both uids are its own. The object with its spec and status
holds everything that is needed, so another process can continue after a restart.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog
from pydantic import ValidationError

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Hub
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.archiving import Archiving, IncompleteError, Round, Sent
from policyhub.cluster.clearance import Rival
from policyhub.cluster.conflict import adopted
from policyhub.cluster.formatting import counted, retire_command
from policyhub.control import finalizer
from policyhub.control.destination import destination
from policyhub.control.events import EventType
from policyhub.control.monitored import (
    MonitoredClusters,
    NotIdentifiable,
    conditions,
    identity_of,
    is_dry_run,
    recorded_status,
)
from policyhub.control.reporter import Watched
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.model.text import clean, line
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.errors import HubError
from policyhub.securityhub.target import HubTarget, named_in, resolve
from policyhub.settings import Settings
from policyhub.sync.acknowledged import Acknowledged

log = structlog.get_logger(__name__)

REREAD_SECONDS = 2.0
"""From one reading to the next while Security Hub does not yet show everything that was sent."""
RETRY_SECONDS = (5.0, 300.0)
"""From one attempt to the next after a failure: the shortest and the longest wait."""
GIVE_UP = (
    "To give up and leave the findings as they are: kubectl patch monitoredcluster {name} --type=merge"
    ' -p \'{{"spec":{{"deletionPolicy":"Retain"}}}}\''
)

API_ERRORS = (Refused, Unreachable, NotIdentifiable, msgspec.MsgspecError, RecursionError)
"""Errors of reading and writing MonitoredClusters."""


class Announce(Protocol):
    def __call__(self, watched: Watched, type_: EventType, *, reason: str, message: str) -> Awaitable[None]: ...


@dataclass(slots=True, kw_only=True)
class Deletion:
    """Of one MonitoredCluster."""

    watched: Watched
    """The status shows its `fault`."""
    body: Mapping[str, Any]
    home: Connection
    settings: Settings
    metrics: Metrics
    announce: Announce
    now: Callable[[], SteadyMs]
    wall: Callable[[], WallMs]
    rng: random.Random
    announced: set[str] = field(default_factory=set)
    """What was already published as an Event: each message once, however often the attempt is repeated."""

    # -- without a hub ------------------------------------------------------------------------------------------------

    async def remove_finalizer(self, why: str, *, archived: int = 0) -> None:
        """Remove the finalizer. Raises API_ERRORS. The Event comes first: afterwards the object is gone, and this task
        is cancelled.
        """
        watched = self.watched
        if why not in self.announced:
            self.announced.add(why)
            log.info("monitored_cluster_retired", cluster=watched.name, archived=archived, message=why)
            await self.announce(watched, "Normal", reason="Retired", message=f"Retired: {why}")
        await finalizer.write(self.home, watched.name, watched.uid, present=False)

    async def retain(self) -> None:
        """The spec no longer asks to archive: retry until the finalizer is removed."""
        await self._until_done(self._retain)

    async def _retain(self) -> bool:
        await self.remove_finalizer(
            "its findings stay as they are: spec.deletionPolicy is Retain, or spec.mode is not Sync"
        )
        return True

    # -- with it ------------------------------------------------------------------------------------------------------

    async def archive(self, hub: HubClient, acknowledged: Acknowledged, sent: Sent) -> None:
        """Repeat until all findings are archived and the finalizer is removed."""
        name = self.watched.name
        identity = identity_of(self.body)
        uid = sent.ledger.cluster_uid if sent.ledger is not None else self.watched.recorded.cluster_uid or ""
        if uid and not self.watched.recorded.cluster_uid:  # deleted before its first status: recorded for a restart
            own = {"identity": identity, "cluster_uid": uid, "hub": Hub(account_id=hub.account, region=hub.region)}
            self.watched.recorded = self.watched.recorded.model_copy(update=own)
        uids = frozenset({uid, self.watched.recorded.cluster_uid or uid}) | adopted(
            self.body["metadata"].get("annotations") or {}
        )

        writes = rivals(
            self.home,
            own=self.watched.uid,
            identity=identity,
            hub=(hub.account, hub.region),
            settings=self.settings,
        )

        async def rival() -> str:
            return await writes(uids)

        archiving = Archiving(
            hub,
            acknowledged,
            self.metrics,
            identity=identity,
            uid=uid,
            uids=uids,
            sent=sent,
            rival=rival,
            now=self.now,
            wall=self.wall,
        )
        message = f"deleted with deletionPolicy Archive: the active findings {archiving.where} are archived"
        self.watched.fault = Cause(Reason.RETIRING, message)
        await self.announce(self.watched, "Normal", reason="Retiring", message=f"Retiring: {message}")
        log.info("monitored_cluster_retiring", cluster=name, identity=identity, uid=uid)

        def retire() -> str:  # the object is gone then, so the command must name what its spec and status did
            target = self.watched.target
            role, external = (target.role_arn, target.external_id) if target is not None else ("", "")
            return retire_command(identity, account=hub.account, region=hub.region, role_arn=role, external_id=external)

        async def once() -> bool:
            if other := await rival():
                await self.remove_finalizer(_taken_over_message(archiving, other), archived=archiving.archived)
                return True
            if not uid:
                await self.remove_finalizer(
                    "nothing was archived: the operator never learned the uid of this cluster. If there are findings,"
                    f" {retire()} counts them"
                )
                return True
            match await archiving.round():
                case Round.OVERTAKEN:
                    return False
                case Round.LAGS:
                    self.watched.fault = Cause(
                        Reason.RETIRING,
                        f"{counted(archiving.archived, 'finding')} {archiving.where} archived; Security Hub may not"
                        " return the last changes yet, so its findings are read again within a minute or two",
                    )
                    return False
            await self.remove_finalizer(_finished_message(archiving, retire()), archived=archiving.archived)
            return True

        await self._until_done(once)

    # -- retries ------------------------------------------------------------------------------------------------------

    async def _until_done(self, once: Callable[[], Awaitable[bool]]) -> None:
        failures = 0
        while True:
            try:
                if await once():
                    return
                failures, wait = 0, REREAD_SECONDS
            except (HubError, IncompleteError, *API_ERRORS) as error:
                failures += 1
                wait = self._backoff(failures)
                message = self._blocked(error)
                self.watched.fault = Cause(Reason.RETIRE_FAILED, message)
                log.warning("retire_failed", cluster=self.watched.name, message=message, seconds=round(wait, 1))
                trouble = f"{type(error).__name__} {getattr(error, 'code', '') or getattr(error, 'status', '')}"
                if trouble not in self.announced:  # one Event for each trouble, not for each attempt with its numbers
                    self.announced.add(trouble)
                    await self.announce(self.watched, "Warning", reason="RetireFailed", message=message)
            except Exception:  # outermost: a bug must not end the task unnoticed
                log.exception("retire_failed", cluster=self.watched.name)
                self.watched.fault = Cause(Reason.RETIRE_FAILED, self._blocked(None))
                wait = RETRY_SECONDS[1]
            await asyncio.sleep(wait)

    def _blocked(self, error: Exception | None) -> str:
        if isinstance(error, API_ERRORS):
            return (
                "deleted, and the operator cannot read or write MonitoredClusters in its own cluster:"
                f" {line(str(error), 1_000).rstrip('.')}. The object stays until this is fixed, and the operator tries"
                f" again within {RETRY_SECONDS[1] / 60:.0f} minutes. Allow the operator to list and patch"
                " MonitoredClusters (the chart's rbac.create and rbac.finalizers)"
            )
        what = (
            line(str(error), 1_000)
            if error is not None
            else "an error inside the operator (see its log, and report it)"
        )
        return (
            f"deleted with deletionPolicy Archive, and not all of its findings are archived yet: {what.rstrip('.')}."
            f" The operator tries again within {RETRY_SECONDS[1] / 60:.0f} minutes. The object stays until it succeeds."
            f" Fix the cause. {GIVE_UP.format(name=self.watched.name)}"
        )

    def _backoff(self, failures: int) -> float:
        return min(RETRY_SECONDS[1], RETRY_SECONDS[0] * 2.0 ** min(failures - 1, 10)) * self.rng.uniform(0.5, 1.0)


def _taken_over_message(archiving: Archiving, other: str) -> str:
    so_far = f"only {counted(archiving.archived, 'finding')} archived" if archiving.archived else "nothing was archived"
    return f"{so_far}, because MonitoredCluster {other} has the same identity and hub"


def _finished_message(archiving: Archiving, command: str) -> str:
    why = f"{counted(archiving.archived, 'finding')} {archiving.where} archived"
    if not archiving.others:
        return why
    others = counted(archiving.others, "active finding")
    return f"{why}. Another cluster's uid is in {others} of this identity: {command} counts them"


def parsed(body: Mapping[str, Any]) -> MonitoredCluster | Cause:
    """The object as this version of the operator reads it. Pure."""
    try:
        return MonitoredCluster.model_validate(body)
    except ValidationError as error:
        why, give_up = line(str(error), 500), GIVE_UP.format(name=body["metadata"]["name"])
        return Cause(
            Reason.RETIRE_FAILED,
            f"deleted with deletionPolicy Archive, and the operator cannot use its spec ({why}). Apply the CRD of this"
            f" version of the operator. {give_up}",
        )


def recorded_destination(monitored: MonitoredCluster, settings: Settings, *, recorded: Hub | None) -> HubTarget | Cause:
    """Where the findings are. Pure."""
    if recorded is None:
        return destination(monitored, settings, recorded=None)
    return resolve(monitored.spec.security_hub, settings, recorded=recorded)


def rivals(home: Connection, *, own: str, identity: str, hub: tuple[str, str], settings: Settings) -> Rival:
    """A function that looks for a `writer` among all MonitoredClusters, of any operator, except that with uid `own`."""

    async def rival(uids: Collection[str]) -> str:
        try:
            there = await MonitoredClusters(home).list_all()
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unreachable(f"the MonitoredClusters cannot be read: {clean(str(error))}") from None
        others = [body for (_, uid), body in there.items() if uid != own]
        return writer(others, identity=identity, hub=hub, uids=uids, settings=settings)

    return rival


def writer(
    there: Iterable[Mapping[str, Any]],
    *,
    identity: str,
    hub: tuple[str, str],
    uids: Collection[str],
    settings: Settings,
) -> str:
    """The name of a MonitoredCluster, not deleted, that sends findings of this identity and one of these uids to this
    hub; empty if there is none. A MonitoredCluster sends findings with its own uid and with those that it has adopted.
    If its hub or uid is not known, it counts as the same. While its identity is in conflict with another cluster's, it
    sends nothing, and the uid in its status is a former one. Pure.
    """
    for body in there:
        if identity_of(body) != identity or finalizer.is_deleted(body) or is_dry_run(body):
            continue
        known = recorded_status(body)
        account, region = resolve(named_in(body), settings, recorded=known.hub).place
        takes = adopted(body["metadata"].get("annotations") or {})
        may_take = not takes.isdisjoint(uids) or (
            not _is_barred(body) and (known.cluster_uid is None or known.cluster_uid in uids)
        )
        if (account or hub[0], region or hub[1]) == hub and may_take:
            return str(body["metadata"]["name"])
    return ""


def _is_barred(body: Mapping[str, Any]) -> bool:
    """Whether nothing is sent for it, because findings of its identity are another cluster's."""
    conflict = conditions(body).get("IdentityConflict")
    return conflict is not None and (conflict.status, conflict.reason) == ("True", Reason.OTHER_CLUSTER)
