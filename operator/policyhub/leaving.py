"""What becomes of the findings of a MonitoredCluster that is deleted with `deletionPolicy: Archive`.

Its data plane has ended before this begins, so nothing new is sent. Then, until the finalizer is off:

| found                                                        | then                                                  |
|--------------------------------------------------------------|-------------------------------------------------------|
| the policy is not Archive any more, or the mode not Sync     | let go; nothing is archived                           |
| another MonitoredCluster, not deleted, has identity and hub  | let go; the findings are the other's now, also where  |
|                                                              | it comes in the middle                                |
| the uid of the cluster was never known                       | let go; nothing was written under it                  |
| active findings of this identity and uid                     | archived (`securityhub.retirement`)                   |
| some were refused, the hub is silent, a right is missing     | the status says so; tried again with back-off         |
| calls are under way, or what was confirmed is not shown yet  | read again: GetFindings lags                          |
| nothing is left                                              | let go                                                |

A deletion is a person's word for the findings of this cluster and for no other: the uid is compared with each finding.
All that is needed is in the object, its spec and its status, so another process goes on where this one ended.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog
from pydantic import ValidationError

from policyhub import finalizer
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Hub
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.archiving import Archiving, IncompleteError, Round, Sent
from policyhub.cluster.clearance import Rival
from policyhub.cluster.conflict import adopted
from policyhub.cluster.formatting import counted
from policyhub.destination import destination
from policyhub.events import EventType
from policyhub.hub_target import HubTarget, named_in, resolve
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics import Metrics
from policyhub.monitored import MonitoredClusters, Unreadable, kept
from policyhub.reporter import Watched
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.errors import HubError
from policyhub.settings import Settings
from policyhub.sources.text import clean, line
from policyhub.sync.acknowledged import Acknowledged

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""Between two readings while Security Hub does not show all that was sent."""
RETRY_SECONDS = (5.0, 300.0)
"""Between two attempts after a failure: the first, and the longest."""
GIVE_UP = (
    "To give up and leave the findings as they are: kubectl patch monitoredcluster {name} --type=merge"
    ' -p \'{{"spec":{{"deletionPolicy":"Retain"}}}}\''
)

UNREADABLE = (Refused, Unreachable, Unreadable, msgspec.MsgspecError, RecursionError)
"""What reading and writing our own objects raises."""


class Announce(Protocol):
    def __call__(self, watched: Watched, type_: EventType, *, reason: str, message: str) -> Awaitable[None]: ...


@dataclass(slots=True, kw_only=True)
class Leaving:
    """One MonitoredCluster on its way."""

    watched: Watched
    """Its fault is what the status says."""
    body: Mapping[str, Any]
    home: Connection
    settings: Settings
    metrics: Metrics
    announce: Announce
    now: Callable[[], SteadyMs]
    wall: Callable[[], WallMs]
    rng: random.Random
    told: set[str] = field(default_factory=set)
    """What Events have said: each thing once, however often it is tried."""

    # -- without a hub ------------------------------------------------------------------------------------------------

    async def let_go(self, why: str, *, archived: int = 0) -> None:
        """Take the finalizer off. Raises UNREADABLE. It is announced before: afterwards the object is gone, and with it
        this task.
        """
        watched = self.watched
        if why not in self.told:
            self.told.add(why)
            log.info("monitored_cluster_retired", cluster=watched.name, archived=archived, message=why)
            await self.announce(watched, "Normal", reason="Retired", message=f"Retired: {why}")
        await finalizer.write(self.home, watched.name, watched.uid, there=False)

    async def retain(self) -> None:
        """The spec does not ask for it any more: until the finalizer is off."""
        await self._until_done(self._retain)

    async def _retain(self) -> bool:
        await self.let_go("its findings stay as they are: spec.deletionPolicy is Retain, or spec.mode is not Sync")
        return True

    # -- with it ------------------------------------------------------------------------------------------------------

    async def archive(self, hub: HubClient, acknowledged: Acknowledged, sent: Sent) -> None:
        """Until all is archived and the finalizer is off."""
        name = self.watched.name
        identity = identity_of(self.body)
        uid = sent.ledger.cluster_uid if sent.ledger is not None else self.watched.kept.cluster_uid or ""
        if uid and not self.watched.kept.cluster_uid:  # deleted before its first status: it says so after a restart
            own = {"identity": identity, "cluster_uid": uid, "hub": Hub(account_id=hub.account, region=hub.region)}
            self.watched.kept = self.watched.kept.model_copy(update=own)
        uids = frozenset({uid}) | adopted(self.body["metadata"].get("annotations") or {})

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

        async def once() -> bool:
            if other := await rival():
                await self.let_go(_overtaken(archiving, other), archived=archiving.archived)
                return True
            if not uid:
                await self.let_go(
                    "nothing was archived: the operator never learned which cluster this is. Should there be findings,"
                    f" policyhub retire {name} counts them"
                )
                return True
            match await archiving.round():
                case Round.OVERTAKEN:
                    return False
                case Round.LAGS:
                    self.watched.fault = Cause(
                        Reason.RETIRING,
                        f"{counted(archiving.archived, 'finding')} {archiving.where} archived; Security Hub may not"
                        " show yet what was sent last, so it is read again within a minute or two",
                    )
                    return False
            await self.let_go(_finished(archiving, identity), archived=archiving.archived)
            return True

        await self._until_done(once)

    # -- again and again ----------------------------------------------------------------------------------------------

    async def _until_done(self, once: Callable[[], Awaitable[bool]]) -> None:
        failures = 0
        while True:
            try:
                if await once():
                    return
                failures, wait = 0, LOOK_SECONDS
            except (HubError, IncompleteError, *UNREADABLE) as error:
                failures += 1
                wait = self._backoff(failures)
                message = self._blocked(error)
                self.watched.fault = Cause(Reason.RETIRE_FAILED, message)
                log.warning("retire_failed", cluster=self.watched.name, message=message, seconds=round(wait, 1))
                trouble = f"{type(error).__name__} {getattr(error, 'code', '') or getattr(error, 'status', '')}"
                if trouble not in self.told:  # one Event for each trouble, not for each attempt with its numbers
                    self.told.add(trouble)
                    await self.announce(self.watched, "Warning", reason="RetireFailed", message=message)
            except Exception:  # outermost: a mistake of ours must not end in silence
                log.exception("retire_failed", cluster=self.watched.name)
                self.watched.fault = Cause(Reason.RETIRE_FAILED, self._blocked(None))
                wait = RETRY_SECONDS[1]
            await asyncio.sleep(wait)

    def _blocked(self, error: Exception | None) -> str:
        if isinstance(error, UNREADABLE):
            return (
                "deleted, and the operator cannot read or write MonitoredClusters in its own cluster:"
                f" {line(str(error), 1_000).rstrip('.')}. The object stays, with what it still asks for, and the"
                f" operator tries again within {RETRY_SECONDS[1] / 60:.0f} minutes. Let the operator list and patch"
                " MonitoredClusters (the chart's rbac.create and rbac.finalizers)"
            )
        what = (
            line(str(error), 1_000)
            if error is not None
            else "an error inside the operator (see its log, and report it)"
        )
        return (
            f"deleted with deletionPolicy Archive, and its findings are not all archived yet: {what.rstrip('.')}. The"
            f" operator tries again within {RETRY_SECONDS[1] / 60:.0f} minutes, and the object stays until it succeeds."
            f" Fix the cause. {GIVE_UP.format(name=self.watched.name)}"
        )

    def _backoff(self, failures: int) -> float:
        return min(RETRY_SECONDS[1], RETRY_SECONDS[0] * 2.0 ** min(failures - 1, 10)) * self.rng.uniform(0.5, 1.0)


def _overtaken(archiving: Archiving, other: str) -> str:
    so_far = f"only {counted(archiving.archived, 'finding')} archived" if archiving.archived else "nothing was archived"
    return f"{so_far}, since MonitoredCluster {other} has the same identity and hub"


def _finished(archiving: Archiving, identity: str) -> str:
    why = f"{counted(archiving.archived, 'finding')} {archiving.where} archived"
    if not archiving.others:
        return why
    others = counted(archiving.others, "active finding")
    return f"{why}. Another cluster's uid is in {others} of this identity: policyhub retire {identity} counts them"


def readable(body: Mapping[str, Any]) -> MonitoredCluster | Cause:
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


def place(monitored: MonitoredCluster, settings: Settings, *, recorded: Hub | None) -> HubTarget | Cause:
    """Where the findings are. Pure."""
    if recorded is None:
        return destination(monitored, settings, recorded=None)
    return resolve(monitored.spec.security_hub, settings, recorded=recorded)


def rivals(home: Connection, *, own: str, identity: str, hub: tuple[str, str], settings: Settings) -> Rival:
    """Whom to ask for a `writer` beside the MonitoredCluster with the uid `own`, whichever operator's."""

    async def rival(uids: Collection[str]) -> str:
        try:
            there = await MonitoredClusters(home).listed()
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
    """The name of a MonitoredCluster, not deleted, that writes findings of this identity and one of these uids at this
    hub; empty where there is none. It writes what carries its own uid or one that it has adopted. What is not known of
    it counts as the same. Pure.
    """
    for body in there:
        spec = body.get("spec") or {}
        if identity_of(body) != identity or finalizer.is_deleted(body) or spec.get("mode") == "DryRun":
            continue
        told = kept(body)
        account, region = resolve(named_in(body), settings, recorded=told.hub).place
        takes = adopted(body["metadata"].get("annotations") or {}) | {told.cluster_uid}
        if (account or hub[0], region or hub[1]) == hub and (told.cluster_uid is None or not takes.isdisjoint(uids)):
            return str(body["metadata"]["name"])
    return ""


def identity_of(body: Mapping[str, Any]) -> str:
    """As MonitoredCluster.identity, of an object that may not fit the model."""
    return str((body.get("spec") or {}).get("clusterArn") or body["metadata"]["name"])
