"""Writes the status of MonitoredClusters, Events for changes that a person should know, and the metric of conditions.

A status is always written. If the real one cannot be built, or the API server rejects it, a status with Ready=False and
the reason StatusFailed replaces it, and the real one is retried every 15 seconds. The metric `policyhub_condition`
shows the same conditions, even if no status can be written. A status is written at least every three minutes, with its
time, so a reader can recognise a stale status.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from policyhub.api.monitoredcluster import GROUP, KIND, PLURAL, VERSION
from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Condition, Status, status_patch
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.capture import snapshot_of
from policyhub.cluster.runner import DataPlane
from policyhub.control import status
from policyhub.control.events import EventType, event_type
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.model.text import clean
from policyhub.securityhub.target import HubTarget
from policyhub.sync.predecessor import Predecessor

log = structlog.get_logger(__name__)

RESOURCE = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
STATUS_SECONDS = 2.0
"""A status is written at most this often."""
TIMES_SECONDS = 60.0
"""If only times have changed (last listed, newest result), a status is written at most this often."""
HEARTBEAT_SECONDS = 180.0
"""A status is written at least this often."""
RETRY_SECONDS = 15.0
"""Between attempts to write a status."""
REJECTED_CODES = frozenset({400, 413, 422})
"""HTTP codes with which the API server rejects the content of a status."""
EVENT_BYTES = 1_000
"""Bytes of an Event's message; events.k8s.io accepts 1,024."""
EVENT_NAME = 50
"""Characters of the MonitoredCluster's name in the name of an Event. A name of 253 would be too long with a suffix."""
YOUNGEST = "9999"
"""Sorts after every creation time; used if the creation time is missing."""


@dataclass(slots=True)
class Watched:
    """One MonitoredCluster."""

    name: str
    uid: str
    intent: object
    """The members of the object for which the data plane was started; if they change, it is restarted."""
    generation: int
    conditions: dict[str, Condition]
    plane: DataPlane | None = None
    fault: Cause | None = None
    """Why there is no data plane."""
    task: asyncio.Task[None] | None = None
    recorded: Status = field(default_factory=Status)
    """Identity, cluster uid and hub of earlier findings, from its status. A status without a data plane keeps them."""
    claim: tuple[str, str, str] = ("", "", "")
    """(account, Region, identity) of its findings; only one MonitoredCluster may send them."""
    claims: bool = False
    """Whether it claims them, if it has a data plane: its mode is not DryRun."""
    outranked: bool = False
    """An older MonitoredCluster of another operator sent these findings while this one was handled."""
    created: str = YOUNGEST
    """The creationTimestamp, as the API server writes it."""
    predecessor: Predecessor | None = None
    """The process that handled it before this one; None: there was none."""
    finalizer_failed_at: SteadyMs | None = None
    """When the API server last refused its finalizer; there was an Event for it."""
    target: HubTarget | None = None
    """The hub that it keeps open."""
    written: dict[str, Any] = field(default_factory=dict)
    written_at: float = 0.0
    retry_at: float = 0.0
    """After a failed write: when to retry."""
    broken: str = ""
    """Why its status cannot be built, or is rejected."""
    broken_until: float = 0.0
    """When to retry it."""

    def start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Start the only task of this MonitoredCluster."""
        self.task = asyncio.create_task(work, name=f"{what} {self.name}")

    @property
    def age(self) -> tuple[str, str, str]:
        """Sort key by age, oldest first; unique."""
        return self.created, self.uid, self.name


class Reporter:
    """Writes the status of each MonitoredCluster."""

    def __init__(
        self,
        watched: Mapping[str, Watched],
        *,
        home: Connection,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        clock: Callable[[], float],
    ) -> None:
        """`watched` is the supervisor's dict, by name; it changes."""
        self._watched = watched
        self._home = home
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._clock = clock
        self._started = asyncio.Event()

    def start(self) -> None:
        """A data plane was started: write its first status at once, since it sends nothing before."""
        self._started.set()

    async def run(self) -> None:
        """Write each status when it has changed. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._report_all(self._watched.values())
            due = loop.time() + STATUS_SECONDS
            while (seconds := due - loop.time()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._started.wait()
                if self._started.is_set():
                    self._started.clear()
                    await self._report_all(
                        one for one in self._watched.values() if one.plane and not one.plane.recorded
                    )

    async def _report_all(self, some: Iterable[Watched]) -> None:
        for watched in list(some):
            if self._watched.get(watched.name) is not watched:  # it was removed while another status was written
                continue
            plane = watched.plane
            try:
                await self._report(watched)
            except Exception:  # outermost loop: one status must not end the others
                log.exception("status_failed", cluster=watched.name)
            if plane is not None and not plane.recorded:
                plane.record()

    async def _report(self, watched: Watched) -> None:
        refused = watched.broken
        fresh, patch = self._built(watched)
        if not refused or watched.broken:  # after a rejection: logged once it is accepted
            self._log_conditions(watched, fresh)
        if not self._due(watched, patch):
            return
        error = await self._write(watched, patch)
        if isinstance(error, Refused) and error.status in REJECTED_CODES and not watched.broken:
            self._break(watched, f"the API server rejects it, {error}")
            fresh, patch = self._built(watched)
            self._log_conditions(watched, fresh)
            if not self._due(watched, patch, again=True):
                return
            error = await self._write(watched, patch)
        if error is None:
            self._log_conditions(watched, fresh)
            watched.written, watched.written_at = patch, self._clock()
            if self._watched.get(watched.name) is watched:
                self._metrics.status_written.labels(watched.name).set(self._wall() / 1000)
            await self._announce(watched, fresh)

    def _due(self, watched: Watched, patch: dict[str, Any], *, again: bool = False) -> bool:
        """`again`: another status was just rejected; this one is written without a delay."""
        age = self._clock() - watched.written_at
        settled = _without_times(patch) != _without_times(watched.written)
        times = _without_heartbeat(patch) != _without_heartbeat(watched.written) and age >= TIMES_SECONDS
        return (settled or times or age >= HEARTBEAT_SECONDS) and (again or self._clock() >= watched.retry_at)

    async def _announce(self, watched: Watched, fresh: Status) -> None:
        """Create Events for the changes in the status that was just written."""
        before, watched.conditions = watched.conditions, {c.type: c for c in fresh.conditions}
        for condition in fresh.conditions:
            old = before.get(condition.type)
            if old is None or (old.status, old.reason) != (condition.status, condition.reason):
                log.info(
                    "condition",
                    cluster=watched.name,
                    type=condition.type,
                    status=condition.status,
                    reason=condition.reason,
                    message=condition.message,
                )
            if (type_ := event_type(condition, old)) is not None:
                await self._event(watched, condition, type_)

    def _built(self, watched: Watched) -> tuple[Status, dict[str, Any]]:
        """The status and its patch; if it cannot be built, the status StatusFailed."""
        if self._clock() >= watched.broken_until:
            watched.broken = ""
            try:
                fresh = self._status(watched)
                return fresh, status_patch(fresh)
            except Exception as error:  # any: a status that is not updated would be wrong
                log.exception("status_failed", cluster=watched.name)
                self._break(watched, f"it cannot be built ({type(error).__name__})")
        fresh = status.failed(watched.generation, watched.broken, previous=watched.conditions, wall=self._wall())
        return fresh, status.failed_patch(fresh)

    def _break(self, watched: Watched, why: str) -> None:
        watched.broken, watched.broken_until = why, self._clock() + RETRY_SECONDS

    def _log_conditions(self, watched: Watched, fresh: Status) -> None:
        if self._watched.get(watched.name) is watched:  # else it was removed while its status was written
            self._metrics.set_conditions(watched.name, [(c.type, c.status, c.reason) for c in fresh.conditions])

    async def _write(self, watched: Watched, patch: dict[str, Any]) -> Refused | Unreachable | None:
        """None if the API server has accepted it."""
        try:
            await self._home.patch(f"{RESOURCE}/{watched.name}/status", patch)
        except (Refused, Unreachable) as error:
            watched.retry_at = self._clock() + RETRY_SECONDS
            if not (isinstance(error, Refused) and error.status == 404):  # gone: its event is on its way
                reason = str(error.status) if isinstance(error, Refused) else "Unreachable"
                if self._watched.get(watched.name) is watched:
                    self._metrics.status_write_failures.labels(watched.name, reason).inc()
                log.warning("status_not_written", cluster=watched.name, message=clean(str(error)))
            return error
        return None

    def _status(self, watched: Watched) -> Status:
        if watched.plane is None:
            fault = watched.fault or Cause(Reason.STARTING, "not started yet")
            return status.refused(
                watched.generation, fault, previous=watched.conditions, kept=watched.recorded, wall=self._wall()
            )
        now = self._now()
        seen = snapshot_of(watched.plane, planes=self._planes(), now=now)
        fresh = status.build(
            seen, previous=watched.conditions, generation=watched.generation, now=now, wall=self._wall()
        )
        fresh = status.to_record(fresh, seen, kept=watched.recorded)
        if fresh.cluster_uid is not None:
            watched.recorded = Status(
                identity=fresh.identity, cluster_uid=fresh.cluster_uid, eks_arn=fresh.eks_arn, hub=fresh.hub
            )
        return fresh

    def _planes(self) -> list[DataPlane]:
        return [watched.plane for watched in self._watched.values() if watched.plane is not None]

    async def _event(self, watched: Watched, condition: Condition, type_: EventType) -> None:
        message = f"{condition.type}={condition.status}: {condition.message}"
        await self.announce(watched, type_, reason=condition.reason, message=message)

    async def announce(self, watched: Watched, type_: EventType, *, reason: str, message: str) -> None:
        """Create an Event on the MonitoredCluster; best effort, in `default` as for all cluster-scoped objects."""
        about, moment = (KIND, watched.name, watched.uid), status.timestamp(self._wall())
        body = event(about, type_, reason=reason, message=message, moment=moment)
        try:
            await self._home.post("/api/v1/namespaces/default/events", body)
        except (Refused, Unreachable) as error:
            log.warning("event_not_written", cluster=watched.name, message=str(error))


def event(about: tuple[str, str, str], type_: EventType, *, reason: str, message: str, moment: str) -> dict[str, Any]:
    """An Event about one of our objects: kind, name and uid."""
    kind, name, uid = about
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{name[:EVENT_NAME].rstrip('.-')}-", "namespace": "default"},
        "involvedObject": {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "name": name, "uid": uid},
        "type": type_,
        "reason": reason,
        "message": cut(message, EVENT_BYTES),
        "source": {"component": "policyhub"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def cut(text: str, limit: int) -> str:
    """At most this many bytes of UTF-8; a text that was cut ends with an ellipsis."""
    whole = text.encode()
    return text if len(whole) <= limit else whole[: limit - 3].decode(errors="ignore") + "…"


def _without_heartbeat(patch: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (patch.get("status") or {}).items() if k != "lastHeartbeatTime"}


_TIMES = frozenset({"triageRead", "oldestPending"})


def _without_times(patch: Mapping[str, Any]) -> object:
    body = _without_heartbeat(patch)
    body["findings"] = {k: v for k, v in (body.get("findings") or {}).items() if k not in _TIMES}
    body["sources"] = [
        {k: v for k, v in source.items() if k not in {"lastListed", "newestResult"}}
        for source in body.get("sources") or ()
    ]
    return body
