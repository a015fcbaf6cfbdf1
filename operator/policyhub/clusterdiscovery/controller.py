"""Handles ClusterDiscoveries: searches for EKS clusters, creates MonitoredClusters and writes the status.

Each place (an account in a Region) has its own task and interval, so one that does not answer delays no other. After a
search, MonitoredClusters are created for clusters of this place that the search has described, and the status is
written for all places (`plan`). The `register` prevents two ClusterDiscoveries from creating one for the same cluster.

| a search                  | the next one follows after                                              |
|---------------------------|-------------------------------------------------------------------------|
| could list the clusters   | the interval                                                            |
| could not                 | a fifth of it, then twice as long each time, at most the interval       |

An edit of a ClusterDiscovery ends its tasks and starts new ones. Its status is the only state that is kept, and only
the times of its conditions are read from there: a status that cannot be understood stops nothing. Only the active
replica does all this (`app.work`).
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from pydantic import ValidationError

from policyhub.api import selector
from policyhub.api.clusterdiscovery import DISCOVERED_BY, KIND, PLURAL, ClusterDiscovery, DiscoveryStatus, status_patch
from policyhub.api.monitoredcluster import GROUP, VERSION
from policyhub.api.reason import Cause, Reason, Trait
from policyhub.api.scalar import format_time
from policyhub.api.status import Condition
from policyhub.cancellation import TaskGroup
from policyhub.clusterdiscovery import report
from policyhub.clusterdiscovery.place import Place, Sleep
from policyhub.clusterdiscovery.plan import UNDESCRIBED, Answer, Decision, document, plan
from policyhub.clusterdiscovery.register import Register
from policyhub.clusterdiscovery.report import Seen
from policyhub.control.events import EventType
from policyhub.control.monitored import conditions, list_pages
from policyhub.control.reporter import TIMES_SECONDS, event
from policyhub.eks.connector import EksClusters
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.model.text import clean
from policyhub.settings import Settings

log = structlog.get_logger(__name__)

RESOURCE = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
COMPARE_SECONDS = 10.0
RETRY_SECONDS = 15.0
"""Seconds between two attempts to write a status."""
ATTEMPTS = 4
"""Attempts to write a status after a search. A status that is never accepted must not end the searches."""
FAILED_POSTS = 3
"""After this many failed creations in a row the remaining ones wait for the next search."""
MAX_SEARCHES = 32
"""Maximum number of searches at once: they share threads with the connections to clusters (`eks.connector.WORKERS`)."""
STATES = ("found", "made", "skipped", "gone")

_FAULTS = (Refused, Unreachable, msgspec.MsgspecError, RecursionError)


class Discoveries:
    """All ClusterDiscoveries that this operator handles."""

    def __init__(
        self,
        *,
        home: Connection,
        eks: EksClusters,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._home = home
        self._eks = eks
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._selector = selector.parse(settings.watch_selector or "")
        self._tasks: dict[str, tuple[tuple[str, int], asyncio.Task[None]]] = {}
        """Name → uid and generation, and the task that handles that state."""
        self._register = Register(home)
        self._searches = asyncio.Semaphore(MAX_SEARCHES)
        self._unlisted = ""
        """Why ClusterDiscoveries could not be listed the last time; empty: they could."""

    async def run(self) -> None:
        """Until cancelled; does nothing unless the settings enable cluster discovery."""
        if not self._settings.cluster_discovery:
            await asyncio.Event().wait()
        try:
            while True:
                await self._compared()
                await self._sleep(min(COMPARE_SECONDS, self._settings.cluster_discovery_interval))
        finally:
            for _, task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)

    async def _compared(self) -> None:
        try:
            await self._compare()
            self._unlisted = ""
        except _FAULTS as error:
            if self._unlisted != (message := clean(str(error))):
                self._unlisted = message
                log.warning("cluster_discoveries_not_listed", message=message)
        except Exception:  # outermost loop: if it ended, the process would end
            log.exception("cluster_discovery_compare_failed")

    async def _compare(self) -> None:
        """Raises _FAULTS."""
        listed = [msgspec.json.decode(item) for item in await list_pages(self._home, RESOURCE)]
        there = {body["metadata"]["name"]: body for body in listed if self._is_ours(body["metadata"])}
        for name in [*self._tasks]:
            if name not in there or self._tasks[name][0] != _state(there[name]) or _failed(name, self._tasks[name][1]):
                _, task = self._tasks.pop(name)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                for state in STATES:
                    self._metrics.discovery_clusters.remove_by_labels({"discovery": name, "state": state})
        for name, body in there.items():
            if name not in self._tasks:
                work = asyncio.create_task(self._work(body), name=f"discovery {name}")
                self._tasks[name] = _state(body), work

    def _is_ours(self, metadata: Mapping[str, Any]) -> bool:
        return not metadata.get("deletionTimestamp") and self._selector.matches(metadata.get("labels") or {})

    async def _work(self, body: Mapping[str, Any]) -> None:
        writer = StatusWriter(body, home=self._home, clock=self._clock)
        try:
            read = ClusterDiscovery.model_validate({"metadata": body["metadata"], "spec": body.get("spec")})
        except ValidationError as error:
            await self._refuse(writer, error)
            return
        discovery = Discovery(
            read,
            writer,
            register=self._register,
            watched=self._selector.matches({**read.spec.template.metadata.labels, DISCOVERED_BY: writer.name}),
            eks=self._eks,
            metrics=self._metrics,
            sleep=self._sleep,
        )
        interval = self._settings.cluster_discovery_interval
        async with TaskGroup() as group:
            for place in discovery.places:
                group.create_task(self._keep(discovery, place, interval), name=f"{writer.name} {place.name}")

    async def _refuse(self, writer: "StatusWriter", error: ValidationError) -> None:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        why = Cause(
            Reason.INVALID_SPEC,
            f"{'; '.join(problems)}. The operator does not search for clusters; existing MonitoredClusters stay",
            "Correct the field, and apply the CRDs of this version of the operator",
        )
        while not await writer.write(lambda now: writer.invalid(why, now)):
            await self._sleep(RETRY_SECONDS)

    async def _keep(self, discovery: "Discovery", place: Place, interval: float) -> None:
        failures = 0
        while True:
            listed = False
            try:
                async with self._searches:
                    listed = await discovery.search(place)
                await discovery.make(place)
                for _ in range(ATTEMPTS):
                    if await discovery.report_status():
                        break
                    await self._sleep(RETRY_SECONDS)
            except _FAULTS as error:
                log.warning("cluster_discovery_delayed", discovery=discovery.name, message=clean(str(error)))
            except Exception:  # outermost loop: an unexpected error in one place must not stop the others
                log.exception("cluster_discovery_failed", discovery=discovery.name, place=place.name)
            failures = 0 if listed else min(failures + 1, 4)
            await self._sleep(interval if listed else min(interval, interval / 5 * 2 ** (failures - 1)))


def _failed(name: str, task: asyncio.Task[None]) -> bool:
    """Whether an unexpected error ended the task: the comparison then starts it again."""
    error = task.exception() if task.done() and not task.cancelled() else None
    if error is not None:
        log.error("cluster_discovery_failed", discovery=name, exc_info=error)
    return error is not None


class Discovery:
    """Handles one state of a ClusterDiscovery."""

    def __init__(
        self,
        read: ClusterDiscovery,
        writer: "StatusWriter",
        *,
        register: Register,
        watched: bool,
        eks: EksClusters,
        metrics: Metrics,
        sleep: Sleep,
    ) -> None:
        """`watched`: whether this operator handles MonitoredClusters that are created from the template."""
        self.name = read.metadata.name
        self._spec = read.spec
        self._writer = writer
        self._register = register
        self._watched = watched
        self._eks = eks
        self._metrics = metrics
        self._writing = asyncio.Lock()
        self._accounts = {account.account_id: account for account in read.spec.accounts}
        self.places = [
            Place(self._opener(account.role_arn, account.external_id, region), account, region, sleep=sleep)
            for account, region in itertools.product(read.spec.accounts, read.spec.regions)
        ]

    def _opener(self, role_arn: str | None, external_id: str | None, region: str) -> Callable[[], Any]:
        return lambda: self._eks.identity(region, role_arn or "", external_id or "")

    async def search(self, place: Place) -> bool:
        """Search one place. Returns whether EKS listed its clusters. Raises _FAULTS of the home API server."""
        await self._register.read()
        monitored = self._register.now()
        return await place.search(
            monitored={one.arn for one in monitored},
            made={one.arn for one in monitored if one.discovered_by == self.name},
        )

    async def make(self, place: Place) -> None:
        """Create MonitoredClusters for clusters that the last search has described. Raises _FAULTS if the existing ones
        cannot be listed.
        """
        if place.fault is not None or not self._to_make(place):
            return
        await self._register.read()
        failed = 0
        for decision in self._to_make(place):
            why = await self._carry_out(decision) if failed < FAILED_POSTS else _NOT_TRIED
            failed = failed + 1 if why.reason is Reason.NOT_CREATED else 0
            place.unmade[_name(decision)] = why

    def _to_make(self, place: Place) -> list[Decision]:
        """What to create in this place. Also notes the selected clusters without a MonitoredCluster: each search
        describes them again.
        """
        answers = [one.answer if one is place else _old(one.answer) for one in self.places if one.listed]
        decided = plan(self.name, self._spec, answers, self._register.now())
        here = [one for one in decided if place.has(one.arn)]
        place.unmade = {
            _name(one): place.unmade.get(_name(one), UNDESCRIBED) if one.state == "Make" else one.why
            for one in here
            if one.state == "Make" or one.why is UNDESCRIBED or Trait.UNMADE in one.why.reason.traits
        }
        return [one for one in here if one.state == "Make"]

    async def report_status(self) -> bool:
        """Write the status of all places. Returns whether that succeeded."""
        async with self._writing:
            answers = [_old(place.answer) for place in self.places if place.listed]
            decisions = plan(self.name, self._spec, answers, self._register.now())
            seen = [place.seen for place in self.places]
            written = await self._writer.write(lambda now: self._writer.status(decisions, seen, now))
            for state, number in zip(STATES, self._writer.numbers, strict=True):
                self._metrics.discovery_clusters.labels(self.name, state).set(number)
            return written

    async def _carry_out(self, decision: Decision) -> Cause:
        """Create the MonitoredCluster. Returns why there is none; UNDESCRIBED if there is one: if it is deleted, EKS is
        asked before another one is created.
        """
        if not self._watched:
            return _NOT_SELECTED
        account = self._accounts[decision.arn.split(":")[4]]
        try:
            other = await self._register.make(decision.arn, document(self.name, self._spec, account, decision))
        except (Refused, Unreachable) as error:
            why = _refused(error, decision)
            log.warning(
                "cluster_not_made", discovery=self.name, arn=decision.arn, reason=why.reason.value, message=why.message
            )
            return why
        if other is None:
            log.info("cluster_created", discovery=self.name, cluster=decision.monitored, arn=decision.arn)
        return UNDESCRIBED


_WAIT = "Wait: the next search tries again; if it lasts, check the API server and its admission webhooks"
_NOT_TRIED = Cause(
    Reason.NOT_CREATED,
    f"its creation was not tried, because the API server had failed to create {FAILED_POSTS} others",
    _WAIT,
)
_NOT_SELECTED = Cause(
    Reason.NOT_SELECTED,
    "the labels in spec.template.metadata.labels do not match the operator's watchSelector: the operator would ignore"
    " the MonitoredCluster",
    "Set the labels of the operator's watchSelector in spec.template.metadata.labels",
)


def _name(decision: Decision) -> str:
    return decision.arn.rpartition("/")[2]


def _old(answer: Answer) -> Answer:
    """The same answer, as one for which no MonitoredCluster is created."""
    return replace(answer, fresh=frozenset())


def _refused(error: Refused | Unreachable, decision: Decision) -> Cause:
    """Why the API server did not accept a MonitoredCluster."""
    if isinstance(error, Unreachable):
        message = f"the API server did not answer the request to create {decision.monitored}: {error}"
        return Cause(Reason.NOT_CREATED, message, _WAIT)
    message = f"the API server rejects the MonitoredCluster {decision.monitored}: {error}"
    if error.status == 409:
        return Cause(Reason.NAME_CLASH, message, "Wait: somebody else has just created it; the next search checks it")
    if error.status == 403 and "cannot create resource" in error.message:
        grant = "Allow the operator to create MonitoredClusters (chart: clusterDiscovery.enabled with rbac.create)"
        return Cause(Reason.CREATE_FORBIDDEN, message, grant)
    if error.status in {400, 403, 404, 422}:
        return Cause(
            Reason.TEMPLATE_REFUSED,
            message,
            "Correct spec.template; kubectl explain monitoredcluster.spec describes its fields",
        )
    return Cause(Reason.NOT_CREATED, message, _WAIT)


class StatusWriter:
    """Writes the status of a ClusterDiscovery, and an Event when its condition Ready changes."""

    def __init__(self, body: Mapping[str, Any], *, home: Connection, clock: Callable[[], float]) -> None:
        metadata = body["metadata"]
        self.name: str = metadata["name"]
        self._uid: str = metadata["uid"]
        self._generation: int = metadata.get("generation", 0)
        self._conditions = conditions(body)
        self._home = home
        self._clock = clock
        self._written: object = None
        self._written_at = 0.0
        self.numbers = (0, 0, 0, 0)
        """The numbers of the last status that was built, in the order of STATES."""

    def invalid(self, why: Cause, now: datetime) -> DiscoveryStatus:
        return report.invalid(why, previous=self._conditions, generation=self._generation, now=now)

    def status(self, decisions: Sequence[Decision], seen: Sequence[Seen], now: datetime) -> DiscoveryStatus:
        return report.build(decisions, seen, previous=self._conditions, generation=self._generation, now=now)

    async def write(self, build: Callable[[datetime], DiscoveryStatus]) -> bool:
        """Write the status if it has changed or is old (`TIMES_SECONDS`). Returns False if another attempt is due."""
        fresh = build(datetime.now(UTC))
        self.numbers = (fresh.found or 0, fresh.made or 0, fresh.skipped or 0, fresh.gone or 0)
        patch = status_patch(fresh)
        settled = _without_times(patch)
        if settled == self._written and self._clock() - self._written_at < TIMES_SECONDS:
            return True
        try:
            await self._home.patch(f"{RESOURCE}/{self.name}/status", patch)
        except (Refused, Unreachable) as error:
            log.warning("cluster_discovery_status_not_written", discovery=self.name, message=clean(str(error)))
            return isinstance(error, Refused) and error.status == 404
        self._written, self._written_at = settled, self._clock()
        before, self._conditions = self._conditions, {one.type: one for one in fresh.conditions}
        await self._announce(before.get("Ready"), self._conditions["Ready"])
        return True

    async def _announce(self, before: Condition | None, ready: Condition) -> None:
        if before is not None and (before.status, before.reason) == (ready.status, ready.reason):
            return
        log.info("cluster_discovery_condition", discovery=self.name, status=ready.status, reason=ready.reason)
        if ready.status == "Unknown":
            return
        about, moment = (KIND, self.name, self._uid), format_time(datetime.now(UTC))
        type_: EventType = "Warning" if ready.status == "False" else "Normal"
        message = f"Ready={ready.status}: {ready.message}"
        body = event(about, type_, reason=ready.reason, message=message, moment=moment)
        with suppress(Refused, Unreachable):  # best effort: the status has the same message
            await self._home.post("/api/v1/namespaces/default/events", body)


def _state(body: Mapping[str, Any]) -> tuple[str, int]:
    return body["metadata"]["uid"], body["metadata"].get("generation", 0)


def _without_times(patch: Mapping[str, Any]) -> object:
    status = patch["status"]
    places = [{name: value for name, value in one.items() if name != "lastListed"} for one in status["places"]]
    return {**status, "places": places}
