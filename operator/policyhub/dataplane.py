"""The data plane of one monitored cluster: its connection, its sources, its ledger, and its place at the hub.

It runs as one task per MonitoredCluster, for ever; what goes wrong is kept as a `Fault` for the status and tried again.
Three loops run side by side once the cluster has told who it is:

* discovery: which source APIs are served, one reflector each; it also confirms that it is still the same cluster;
* the inventory of what Security Hub holds under the cluster's prefix, and its repetition once a day;
* the tick: whether findings may be sent, what the guard holds, which reports are frozen, what is due for a refresh,
  gauges; and beside it the count of what grows old.

Nothing is archived on missing evidence: a source that fails, vanishes or belongs to another cluster only ever loses its
coverage, its findings stay (`sync.plan`).
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from policyhub import approval
from policyhub.api.monitoredcluster import MinimumSeverity, MonitoredCluster
from policyhub.findings import asff
from policyhub.gauges import Gauges, Seen
from policyhub.hub.client import HubClient
from policyhub.hub.errors import AccessLost, HubError
from policyhub.hub.inventory import Held as Found
from policyhub.hub.inventory import Inventory
from policyhub.hub.inventory import held as found_as
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.discovery import Discovery, discover, served_kinds
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.kube.reflector import Reflector
from policyhub.kube.resource import GATEKEEPER, OPEN_REPORTS, POLICY_REPORTS, Resource
from policyhub.metrics import Metrics
from policyhub.settings import Settings
from policyhub.sources.filter import Filter
from policyhub.sources.severity import DEFAULT_SEVERITY
from policyhub.sources.text import line
from policyhub.sources.violation import Severity
from policyhub.sync import figures, namespaces, owners
from policyhub.sync.asker import Asker
from policyhub.sync.census import Census
from policyhub.sync.engine import Engine, Feed, Trouble, held_as
from policyhub.sync.existence import Existence
from policyhub.sync.guard import Hold as Guarded
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.library import Library
from policyhub.sync.namespaces import Namespaces
from policyhub.sync.owners import Owners, Stray
from policyhub.sync.plan import Change, Rules
from policyhub.sync.policies import Policies, concerns
from policyhub.sync.refusals import Refusal
from policyhub.sync.rollup import Rollup
from policyhub.sync.shares import Limits
from policyhub.sync.view import View

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
RETRY_SECONDS = (1.0, 60.0)
"""Back-off between attempts to reach a cluster or the hub's account: full jitter up to a ceiling that doubles."""
SECOND_LOOKS = (60.0, 840.0)
"""Seconds between the inventory, the second look and the third."""
LOOK_ATTEMPTS = 5
SHORTLY_MS = 300_000
"""How far before an inventory its second look begins: what GetFindings may lag behind, and clocks differ by."""
SEVERITIES: dict[MinimumSeverity, Severity] = {
    "informational": "INFORMATIONAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "critical": "CRITICAL",
}
STALE_AFTER = 6
"""Failed attempts in a row, a minute at the default pace, after which a fresh connection is made."""
REFRESH_SECONDS = 3600.0
"""How often findings are looked through for those to be refreshed."""
START_JITTER_SECONDS = 2.0
"""Operators of one account that start together do not ask at the same moment."""
OWN_LOOK_MS = 5_000
"""How long after the start, by our clock, a former holder may have written by its own. What is later is ours: a first
sync writes 800 a second."""
UNAVAILABLE_MS = 15 * 60_000
"""After this long without a page of the inventory, findings are sent without it."""
FROZEN_AFTER_SECONDS = 3 * 3600
"""A source's reports of one API group that are this much older than its newest of the other are updated no more."""
COUNT_SECONDS = 15.0
"""Between two counts of what changes by time alone."""
COUNT_AT_ONCE = 5_000
"""Entries between two looks at the event loop (about 5 ms)."""
MALFORMED = "malformed-object"
"""The reason of an object that cannot be read at all."""
DROPPED_MS = 10 * 60_000
"""Between two listings that bring what a namespace has written too fast to be kept."""
KIND_SECONDS = 0.25
"""Between two questions about kinds that tenants name."""
SOURCES = 3_000
"""Source APIs of one cluster that are or were served: three times as many kinds of constraints as are read at once. A
server that names others at each discovery must not fill the memory."""
SETTLE_MS = 2_000
"""The least archive delay: what a source loses together arrives within seconds, and is weighed together."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, fit for a condition: a CamelCase reason and a message that says how to mend it."""

    reason: str
    message: str


class _Stale(Exception):  # noqa: N818  (it says what happened)
    """A fresh connection is needed: the credentials ended, or the server has not answered for long."""


class ClusterReplaced(Exception):  # noqa: N818  (it says what happened)
    """Another cluster answers where the monitored one was."""


Connect = Callable[[], Awaitable[Connection]]


@dataclass(slots=True)
class Source:
    """One source API that is or was served."""

    resource: Resource
    view: View
    reflector: Reflector
    task: asyncio.Task[None]
    vanished: bool = False
    vanished_at: int = 0
    """When a discovery first lacked it (Unix ms)."""
    asked_at: int = 0
    """When a listing was last asked for because of events that were dropped."""
    forgotten: bool = False
    """Whether its constraints have been taken as deleted since."""

    @property
    def forgettable(self) -> bool:
        """A constraint kind whose template was deleted: an ordinary act."""
        return self.vanished and self.resource.group == GATEKEEPER

    def stop(self) -> None:
        """No longer watched: what it called for stands, and its silence is no evidence."""
        self.task.cancel()
        self.view.abort()
        self.view.live(live=False)


@dataclass(slots=True)
class State:
    """What the status is made of; None where all is well."""

    connection: Fault | None = field(default_factory=lambda: Fault("Connecting", "the first connection is being made"))
    account: Fault | None = field(default_factory=lambda: Fault("NotVerified", "the AWS account was not asked yet"))
    discovery: Fault | None = field(default_factory=lambda: Fault("Discovering", "the served APIs were not read yet"))
    inventory: Fault | None = field(
        default_factory=lambda: Fault("InventoryIncomplete", "what Security Hub holds is still being read")
    )
    reading: Fault | None = None
    """Why the inventory is refused, as the last attempt found; sending goes on where ids have been read."""
    cluster_uid: str = ""


class DataPlane:
    """One monitored cluster at work."""

    def __init__(  # noqa: PLR0915  (each attribute with what it is for)
        self,
        *,
        monitored: MonitoredCluster,
        account: str,
        region: str,
        connect: Connect,
        hub: HubClient,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], int],
        wall: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps, `wall` by the one on the wall; `connect` a fresh
        connection to the monitored cluster.
        """
        self.monitored = monitored
        self.account = account
        self.region = region
        self.state = State()
        self.sources: dict[str, Source] = {}
        """By origin."""
        self.owners: tuple[Reflector, ...] = ()
        """Of Pods, ReplicaSets and Jobs and of the controllers that they are verified by, while they are watched."""
        self.feed: Feed | None = None
        self.claimed_twice = ""
        """An older MonitoredCluster that claims the same identity at the same hub: this one sends nothing."""
        self.rivals: tuple[str, ...] = ()
        """Younger MonitoredClusters that claim the same and send nothing."""
        self.unlisted = False
        """Whether an older MonitoredCluster may be there that was not heard of yet: nothing is sent before."""
        self._connect = connect
        self._hub = hub
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._rng = rng
        self._annotations: Mapping[str, str] = monitored.metadata.annotations
        self._started = 0
        self._progress_at = 0
        """When the inventory last brought a page, or began."""
        before = monitored.status.cluster_uid if monitored.status is not None else None
        self._former = {before} if before else set()
        """Uids that the cluster of this MonitoredCluster has had."""
        self._rollup: Rollup | None = None
        self._existence: Existence
        self._policies: Policies | None = None
        self.library: Library | None = None
        """Of the policy objects, where they are asked for."""
        self._unknown: dict[str, str] = {}
        self._refreshed_at = 0
        self._ungraded = False
        self._inventory: Inventory | None = None
        self._missing: Counter[str] = Counter()
        """Findings held because their API is not served, by origin: it was before this process began."""
        self.preview: Counter[Change] = Counter()
        """In mode DryRun: what would be sent."""
        self._refused: dict[tuple[str, str], int] = {}
        """Objects beside the reports that could not be read, by origin and reason, and when that was last so."""
        self._preview_due = 0
        self.inventory_at = 0
        """When the last complete inventory began (Unix ms by the clock on the wall); 0: none is complete."""
        self.sla_days = monitored.spec.sla_days.over(settings.sla_days)
        """By severity; those that have a deadline only."""
        self.past_sla: int | None = None
        """Violations that are older; None before they were counted."""
        self._gauges = Gauges(
            metrics, cluster=monitored.metadata.name, hub=engine.hub_name, sla_days=self.sla_days, clock=now
        )

    @property
    def name(self) -> str:
        return self.monitored.metadata.name

    @property
    def ledger(self) -> Ledger | None:
        return self.feed.ledger if self.feed is not None else None

    @property
    def hub_trouble(self) -> Trouble | None:
        """Why the hub takes or tells nothing now; shared by all clusters that write there."""
        return self._engine.trouble or self._engine.reading

    @property
    def strays(self) -> Mapping[str, Stray]:
        """By namespace, the objects whose controller cannot be verified: each counts for itself."""
        return self._rollup.owners.strays if self._rollup is not None else {}

    @property
    def guarded(self) -> dict[str, Guarded]:
        """The engines whose losses are held until somebody approves, with the numbers."""
        return self.ledger.guard.held if self.ledger is not None else {}

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Take what may change while at work."""
        self._annotations = annotations

    def claim(self, *, older: str, younger: tuple[str, ...], unlisted: bool) -> None:
        """Take who else claims the same identity at the same hub: only the oldest sends."""
        self.claimed_twice, self.rivals, self.unlisted = older, younger, unlisted
        if self.feed is not None:
            self._gate()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            connection = await self._reach()
            try:
                await self._work(connection)
            except* ClusterReplaced as group:
                log.warning("cluster_replaced", cluster=self.name, message=str(_first(group)))

    async def _reach(self) -> Connection:
        """A connection to an API server that has told which cluster it is."""
        failures = 0
        while True:
            try:
                connection = await self._connect()
                try:
                    self.state.cluster_uid = await connection.cluster_uid()
                except BaseException:
                    await connection.close()
                    raise
            except (Refused, Unreachable, KubeconfigError) as error:
                self._lost(error)
                failures += 1
                await self._pause(failures)
                continue
            self.state.connection = None
            return connection

    async def _pause(self, failures: int) -> None:
        ceiling = min(RETRY_SECONDS[1], RETRY_SECONDS[0] * 2 ** min(failures, 6))
        await asyncio.sleep(self._rng.uniform(RETRY_SECONDS[0] / 2, ceiling))

    def _lost(self, error: Exception) -> None:
        fault = connection_fault(error)
        if fault != self.state.connection:
            log.warning("cluster_unreachable", cluster=self.name, reason=fault.reason, message=fault.message)
        self.state.connection = fault

    async def _work(self, connection: Connection) -> None:
        """Everything about the cluster that answers now; ends when another answers in its place (ClusterReplaced)."""
        spec, uid = self.monitored.spec, self.state.cluster_uid
        ledger = Ledger(
            cluster_id=self.monitored.identity,
            cluster_uid=uid,
            default_severity=DEFAULT_SEVERITY,
            on_dirty=self._engine.wake,
            limits=Limits(
                report_bytes=self._settings.limit_report_bytes,
                report_results=self._settings.limit_report_results,
                namespace_findings=self._settings.limit_namespace_findings,
                cluster_findings=self._settings.limit_cluster_findings,
                namespace_imports=self._settings.limit_namespace_imports,
            ),
        )
        wanted = spec.sources
        asked = {
            POLICY_REPORTS: wanted.policy_reports,
            OPEN_REPORTS: wanted.open_reports,
            GATEKEEPER: wanted.gatekeeper,
        }
        ledger.sources.disabled = frozenset(group for group, asks in asked.items() if not asks)
        self._started, self._progress_at = self._wall(), self._now()
        ledger.observed.adopted = adopted(self.monitored.metadata.annotations)
        self.feed = Feed(
            name=self.name,
            ledger=ledger,
            cluster=asff.Cluster(
                id=self.monitored.identity,
                name=self.name,
                arn=spec.cluster_arn,
                uid=uid,
                account=self.account,
                region=self.region,
                partition=self._hub.partition,
                product_arn=self._hub.product_arn,
            ),
            rules=Rules(
                archive_delay_ms=max(SETTLE_MS, int(spec.archive_delay.total_seconds() * 1000)),
                archive=spec.mode != "NoArchive",
            ),
            sends=False,
        )
        self._rollup = self._roll_up(ledger) if spec.roll_up else None
        if spec.enrichment:
            self._policies = Policies(
                now=self._now, on_malformed=lambda origin, why: self._policy_malformed(ledger, origin, why)
            )
            self.library = Library(
                self._policies,
                reports=wanted.policy_reports or wanted.open_reports,
                gatekeeper=wanted.gatekeeper,
                relist_interval=self._settings.relist_interval,
                discovery_interval=self._settings.discovery_interval,
                now=self._now,
                rng=self._rng,
            )
        self._existence = Existence(now=self._now, on_answer=ledger.answered)
        ledger.sources.existence = self._existence
        ledger.observed.quarantine.former = frozenset(self._former) - ledger.observed.uids
        self._former.add(uid)
        self._engine.attach(self.feed)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._serve(connection))
                tasks.create_task(self._take_inventory(ledger))
                tasks.create_task(self._tick())
                tasks.create_task(self._count(ledger))
        finally:
            self._engine.detach(self.feed)
            self.feed = self._rollup = self._policies = self.library = None
            self._refused.clear()
            self.sources.clear()
            self.state.discovery = State().discovery
            self.state.inventory = State().inventory
            self.inventory_at, self.past_sla = 0, None
            self._gauges.forget()

    def _roll_up(self, ledger: Ledger) -> Rollup:
        rollup = Rollup(
            ledger=ledger,
            owners=Owners(
                now=self._now,
                on_change=lambda objects: rollup.shift(objects, now=self._now()),
                on_malformed=lambda origin, why: self._owner_malformed(ledger, origin, why),
            ),
        )
        rollup.owners.confirmed = 0
        ledger.sources.ownership = rollup
        return rollup

    def _policy_malformed(self, ledger: Ledger, origin: str, why: str) -> None:
        if self._refuse(ledger, origin, why):
            log.warning("policy_malformed", cluster=self.name, resource=origin, message=why)

    def _owner_malformed(self, ledger: Ledger, origin: str, why: str) -> None:
        if self._refuse(ledger, origin, why):
            log.warning("owner_malformed", cluster=self.name, resource=origin, message=why)

    def _refuse(self, ledger: Ledger, origin: str, why: str) -> bool:
        """An object beside the reports cannot be read; it is told until two listings have not brought it again. Whether
        that is news.
        """
        self._metrics.source_objects_malformed.labels(self.name, origin, MALFORMED).inc()
        self._refused[origin, line(why)] = self._now()
        return ledger.refusals.put(origin, "", line(why), (Refusal(MALFORMED),))

    def _forget_refused(self, ledger: Ledger) -> None:
        old = self._now() - int(2000 * self._settings.relist_interval)
        for origin, why in [key for key, at in self._refused.items() if at < old]:
            del self._refused[origin, why]
            ledger.refusals.drop(origin, "", why)

    # -- sources --------------------------------------------------------------------------------------------------

    async def _serve(self, connection: Connection) -> None:
        """Watch the sources; by a fresh connection when the API server refuses the credentials or stays away: the
        kubeconfig may have changed.
        """
        while True:
            try:
                async with connection, asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._discover(connection, tasks))
            except* _Stale:
                log.info("reconnecting", cluster=self.name)
            for source in self.sources.values():
                source.view.live(live=False)
            self.sources.clear()
            self._unknown = {}
            self.state.discovery = State().discovery
            uid = self.state.cluster_uid
            connection = await self._reach()
            if self.state.cluster_uid != uid:
                await connection.close()
                raise ClusterReplaced(f"kube-system has uid {self.state.cluster_uid}, it was {uid}")

    async def _discover(self, connection: Connection, tasks: asyncio.TaskGroup) -> None:
        wanted = self.monitored.spec.sources
        tasks.create_task(self._watch_namespaces(connection))
        tasks.create_task(self._watch_owners(connection))
        asker = Asker(self._existence, cluster=self.name, now=self._now)
        tasks.create_task(asker.run(connection))
        if self.library is not None:
            tasks.create_task(self.library.run(connection))
        unreachable = 0
        lost = False
        while True:
            started = self._now()
            try:
                uid = await connection.cluster_uid()
            except (Refused, Unreachable) as error:
                self._lost(error)
                lost = True
                unreachable += isinstance(error, Unreachable)
                if unreachable == STALE_AFTER or (isinstance(error, Refused) and error.status == 401):
                    raise _Stale from error
            else:
                unreachable = 0
                self.state.connection = None
                if uid != self.state.cluster_uid:
                    raise ClusterReplaced(f"kube-system has uid {uid}, it was {self.state.cluster_uid}")
                found = await discover(
                    connection,
                    policy_reports=wanted.policy_reports,
                    open_reports=wanted.open_reports,
                    gatekeeper=wanted.gatekeeper,
                )
                if self.library is None or self.library.settled:
                    self._apply(found, connection, tasks, started=started)
                if lost:
                    self._nudge()
                lost = bool(found.unknown)
            seconds = self._settings.discovery_interval * self._rng.uniform(0.9, 1.1)
            if self.library is None or self.library.settled:
                await asyncio.sleep(seconds)
            else:  # what they say is known before anything is rendered
                self.state.discovery = Fault("Discovering", "the policies are read first")
                await self.library.settle(seconds=seconds)

    async def _watch_namespaces(self, connection: Connection) -> None:
        """Where it is not allowed, findings of deleted namespaces are archived on lesser evidence."""
        view = Namespaces(self._feed().ledger, cluster=self.name, now=self._now)
        reflector = Reflector(
            connection,
            namespaces.RESOURCE,
            view,
            relist_interval=self._settings.relist_interval,
            forbidden_cap=namespaces.FORBIDDEN_CAP,
        )
        try:
            await reflector.run()
        finally:
            view.live(live=False)

    async def _watch_owners(self, connection: Connection) -> None:
        """Where it is not allowed, every object counts for itself."""
        if self._rollup is None:
            return
        sinks = {**self._rollup.owners.sinks, **self._rollup.owners.verifiers}
        self.owners = tuple(
            Reflector(
                connection,
                resource,
                sink,
                relist_interval=self._settings.relist_interval,
                forbidden_cap=owners.FORBIDDEN_CAP,
                select=owners.RESOURCES.get(resource),
                metadata=True,
            )
            for resource, sink in sinks.items()
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._verify_kinds(connection, self._rollup.owners))
                for reflector in self.owners:
                    tasks.create_task(reflector.run())
        finally:
            self.owners = ()
            for sink in sinks.values():
                sink.end()

    async def _verify_kinds(self, connection: Connection, owners: Owners) -> None:
        """Ask for the kinds of custom resources that objects name as their controllers, one by one."""
        while True:
            question = owners.question()
            if question is not None:
                owners.answer(*question, await served_kinds(connection, *question))
            await asyncio.sleep(KIND_SECONDS if question is not None else TICK_SECONDS)

    def _nudge(self) -> None:
        """The API server is back: reflectors that wait for their next attempt, up to a minute, need not."""
        known = self.library.reflectors.values() if self.library is not None else ()
        for reflector in (*(source.reflector for source in self.sources.values()), *self.owners, *known):
            if reflector.state.phase == "failed":
                reflector.request_relist()

    def _apply(self, found: Discovery, connection: Connection, tasks: asyncio.TaskGroup, *, started: int) -> None:
        ledger = self._feed().ledger
        for group, reason in found.unknown.items():
            if self._unknown.get(group) != reason:
                log.warning("discovery_failed", cluster=self.name, group=group, reason=reason)
        self._unknown = found.unknown
        self._start_served(found, connection, tasks)
        for origin, source in self.sources.items():
            if not source.vanished and found.absent(source.resource):
                source.vanished, source.vanished_at = True, started
                source.stop()
                log.warning("source_vanished", cluster=self.name, source=origin)
        ledger.sources.confirm((r.origin for r in found.served if r.origin not in found.ending), now=started)
        if self._rollup is not None:
            self._rollup.owners.confirmed = started
        if GATEKEEPER not in found.unknown and self.monitored.spec.sources.gatekeeper:
            self._forget_kinds(started)
            ledger.sources.read_kinds((r.origin for r in found.served if r.group == GATEKEEPER), now=started)
        self.state.discovery = None
        self._freeze(ledger)
        self._cover()

    def _start_served(self, found: Discovery, connection: Connection, tasks: asyncio.TaskGroup) -> None:
        """Watch what is served and not watched yet, in its version."""
        for resource in found.served:
            source = self.sources.get(resource.origin)
            if source is None and len(self.sources) >= SOURCES:
                self._unknown = {**found.unknown, resource.group: f"more than {SOURCES} kinds have come and gone"}
                continue
            if source is None or source.vanished or source.resource != resource:
                if source is not None:
                    source.stop()
                self.sources[resource.origin] = self._start(resource, connection, tasks)
                log.info("source_started", cluster=self.name, source=resource.origin, version=resource.version)

    def _forget_kinds(self, started: int) -> None:
        """A constraint kind that was absent for an archive delay is deleted, and its constraints with it, although its
        watch did not tell.
        """
        feed = self._feed()
        delay = feed.rules.archive_delay_ms
        for origin, source in self.sources.items():
            if source.forgettable and not source.forgotten and started - source.vanished_at >= delay:
                source.forgotten = True
                for key in [
                    key for key in (*feed.ledger.desired.objects, *feed.ledger.sources.audits) if key.origin == origin
                ]:
                    source.view.forget(key)
        gone = [origin for origin, source in self.sources.items() if source.forgotten]
        for origin in gone[: max(0, len(self.sources) - SOURCES // 2)]:
            del self.sources[origin]
            self._metrics.forget_source(self.name, origin)

    def _start(self, resource: Resource, connection: Connection, tasks: asyncio.TaskGroup) -> Source:
        spec = self.monitored.spec
        view = View(
            cluster=self.name,
            group=resource.group,
            resource=resource.plural,
            ledger=self._feed().ledger,
            wanted=Filter(
                exclude_sources=spec.sources.exclude,
                include_namespaces=spec.namespaces.include,
                exclude_namespaces=spec.namespaces.exclude,
                results=frozenset(spec.results),
                minimum_severity=SEVERITIES[spec.minimum_severity],
                default_severity=DEFAULT_SEVERITY,
            ),
            metrics=self._metrics,
            now=self._now,
            wall=self._wall,
            rollup=self._rollup,
            policies=self._policies,
        )
        reflector = Reflector(connection, resource, view, relist_interval=self._settings.relist_interval)
        return Source(resource=resource, view=view, reflector=reflector, task=tasks.create_task(reflector.run()))

    def source_faults(self) -> dict[str, Fault]:
        """What keeps each source from being whole, by origin or group; empty when all is well."""
        faults = {group: Fault("DiscoveryFailed", reason) for group, reason in self._unknown.items()}
        for origin, number in self._missing.items():
            if origin.endswith(f".{GATEKEEPER}"):
                continue
            faults[origin] = Fault("Vanished", f"not served here; {number} findings that came from it are kept")
        for origin, source in self.sources.items():
            fault = source_fault(source)
            if fault is not None and not source.forgettable:
                faults[origin] = fault
        return faults

    def kept(self) -> int:
        """Findings of constraint kinds that are no longer served: kept, and no fault, since templates come and go."""
        origins = [origin for origin, source in self.sources.items() if source.forgettable]
        origins += [origin for origin in self._missing if origin.endswith(f".{GATEKEEPER}")]
        ledger = self.ledger
        if ledger is None or not origins:
            return 0
        return sum(1 for e in ledger.entries.values() if e.origin in origins and e.known and not e.known.archived)

    # -- the hub --------------------------------------------------------------------------------------------------

    async def _take_inventory(self, ledger: Ledger) -> None:
        jitter = self._rng.uniform(0, START_JITTER_SECONDS)
        failures = 0
        while True:
            try:
                await self._hub.verify_account()
            except HubError as error:
                fault = self._hub_fault(error, before=self.state.account)
                if isinstance(error, AccessLost) or self.state.account is not None:  # else: known to be ours, go on
                    self.state.account = fault
            else:
                self.state.account = None
                await asyncio.sleep(jitter)
                jitter = 0.0
                try:
                    await self._read_inventory(ledger)
                except HubError as error:
                    self.state.reading = self._hub_fault(error, before=self.state.reading)
                else:
                    self.state.reading = None
                    failures = 0
                    await self._look_again(ledger)
                    await asyncio.sleep(self._settings.inventory_interval * self._rng.uniform(0.9, 1.1))
                    continue
            failures += 1
            await self._pause(failures)

    def _hub_fault(self, error: HubError, *, before: Fault | None) -> Fault:
        reason = error.kind if isinstance(error, AccessLost) else type(error).__name__
        fault = Fault(reason, error.message)
        if fault != before:
            log.warning("hub_access", cluster=self.name, reason=reason, message=error.message)
        return fault

    async def _read_inventory(self, ledger: Ledger) -> None:
        inventory = Inventory(self._hub, cluster=ledger.cluster_id, seen=lambda found: self._look(ledger, found))
        self._inventory = inventory
        began = self._wall()
        root = len(f"policyhub/{ledger.cluster_id}/")
        number = 0
        while not inventory.complete:
            async for part in inventory.parts():
                number += len(part.findings)
                self._progress_at = self._now()
                ledger.observed.take_part(part.prefix[root:], map(held_as, part.findings), now=self._now())
                await asyncio.sleep(0)
        ledger.finish_inventory()
        self.state.inventory = None
        self.inventory_at = began
        self._ungraded = True
        log.info("inventory_read", cluster=self.name, findings=number)

    async def _look_again(self, ledger: Ledger) -> None:
        """Read what was updated around the start once more: GetFindings lags, a former holder may have been writing,
        and another operator of this identity may have started at the same moment. What was updated later is our own.
        """
        for seconds in SECOND_LOOKS:
            await asyncio.sleep(seconds)
            for attempt in range(1, LOOK_ATTEMPTS + 1):
                try:
                    await self._look_around(ledger, self._started)
                except HubError as error:
                    log.info("second_look_failed", cluster=self.name, code=error.code)
                    await self._pause(attempt)
                else:
                    break

    async def _look_around(self, ledger: Ledger, moment: int) -> None:
        filters = {
            "Id": [{"Value": f"policyhub/{ledger.cluster_id}/", "Comparison": "PREFIX"}],
            "UpdatedAt": [{"Start": asff.timestamp(moment - SHORTLY_MS), "End": asff.timestamp(moment + OWN_LOOK_MS)}],
        }
        async with aclosing(self._hub.find(filters)) as pages:
            async for page in pages:
                ledger.observed.take_found((held_as(found_as(finding)) for finding in page.findings), now=self._now())
                self._gate()

    def _look(self, ledger: Ledger, found: Found) -> None:
        """Each finding as its page arrives: another cluster at work stops the sending before any part is complete."""
        self._progress_at = self._now()
        if found.cluster_uid not in ledger.observed.uids and not ledger.observed.quarantine.conflict:
            archived = found.record_state == "ARCHIVED"
            ledger.observed.meet(found.id, found.cluster_uid, archived=archived, now=self._now(), inventory=True)
            self._gate()

    def _grade(self, ledger: Ledger) -> None:
        """After an inventory, one more listing for the positive evidence about what nobody calls for."""
        if not self._ungraded or not ledger.sources.reports_listed:
            return
        self._ungraded = False
        if not ledger.unclaimed():
            return
        for source in self.sources.values():
            if source.resource.group != GATEKEEPER and not source.vanished:
                source.view.grade = True
                source.reflector.request_relist()

    # -- the tick -------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            feed = self._feed()
            await self._catch_up()
            self._forget_refused(feed.ledger)
            self._freeze(feed.ledger)
            self._cover()
            self._gate()
            self._grade(feed.ledger)
            self._weigh(feed.ledger)
            self._reread(feed.ledger)
            if self._rollup is not None:
                self._rollup.owners.expire()
                if self._rollup.news:
                    feed.ledger.sources.reconsider(self._rollup.heed())
            if self.state.inventory is not None:
                self.state.inventory = self._unread(feed.ledger, self.state.inventory)
            now = self._now()
            if self.monitored.spec.mode == "DryRun" and now >= self._preview_due:
                self.preview = self._engine.preview(feed)
                self._preview_due = now + 20 * (self._now() - now)  # at most one second in twenty
            if now - self._refreshed_at > REFRESH_SECONDS * 1000:
                self._refreshed_at = now
                feed.ledger.refresh(wall=self._wall(), now=now)
            self._export()
            await asyncio.sleep(TICK_SECONDS)

    async def _catch_up(self) -> None:
        """Read the events that were put aside, since their namespace had written too much; move what is to be moved."""
        now = self._now()
        for _ in self._rollup.catch_up(now=now) if self._rollup is not None else ():
            await asyncio.sleep(0)
        for source in list(self.sources.values()):
            for _ in source.view.catch_up():
                await asyncio.sleep(0)
            if source.view.dropped and now - source.asked_at >= DROPPED_MS:
                source.asked_at = now
                source.reflector.request_relist()

    def _unread(self, ledger: Ledger, fault: Fault) -> Fault:
        """Why what Security Hub holds is not known yet; after long enough, findings go out all the same."""
        trouble = self._inventory.trouble if self._inventory is not None else None
        why = self.state.reading.message if self.state.reading is not None else trouble.message if trouble else ""
        if not ledger.observed.unavailable and self._now() - self._progress_at > UNAVAILABLE_MS:
            ledger.observed.give_up()
            log.warning("inventory_unavailable", cluster=self.name, message=why)
        if ledger.observed.unavailable:
            return Fault(
                "InventoryUnavailable",
                f"what Security Hub holds could not be read for 15 minutes ({why or 'no answer'}). Findings are sent"
                " without it, those that are there already once more; only what was sent since is archived",
            )
        if self.state.reading is None and trouble is not None:
            return Fault("InventoryDelayed", trouble.message)
        return fault

    def _freeze(self, ledger: Ledger) -> None:
        """Reports that an engine left behind in one API group when it switched to the other."""
        newest: dict[tuple[str, str], int] = {}
        for source in self.sources.values():
            if source.resource.group != GATEKEEPER and source.view.last_listed:
                for engine, at in source.view.newest_by.items():
                    which = engine, source.resource.group
                    newest[which] = max(at, newest.get(which, 0))
        other = {POLICY_REPORTS: OPEN_REPORTS, OPEN_REPORTS: POLICY_REPORTS}
        frozen = frozenset(
            (engine, group)
            for (engine, group), at in newest.items()
            if newest.get((engine, other[group]), 0) - at > FROZEN_AFTER_SECONDS
        )
        spoken = newest.keys() - frozen
        ledger.sources.speak_twice(frozenset(engine for engine, group in spoken if (engine, other[group]) in spoken))
        if frozen != ledger.desired.superseded:
            log.warning("frozen_reports", cluster=self.name, frozen=sorted("/".join(pair) for pair in frozen))
            ledger.supersede(frozen, now=self._now())

    def _weigh(self, ledger: Ledger) -> None:
        ledger.approve(self._approvals())
        held, released = ledger.weigh(now=self._now())
        for engine in held:
            hold = ledger.guard.held[engine]
            log.warning(
                "archive_held", cluster=self.name, source=engine, lost=hold.lost, of=hold.total, reason=hold.reason
            )
        for engine in released:
            log.info("archive_released", cluster=self.name, source=engine)

    def _reread(self, ledger: Ledger) -> None:
        """Policies that are violated say something else: whatever names them is rendered anew."""
        if self._policies is None:
            return
        changed = self._policies.changed((source, policy) for source, policy, _ in ledger.standings.violations)
        for source in self.sources.values() if changed else ():
            if not source.vanished and concerns(source.resource, changed):
                source.reflector.request_relist()

    def _approvals(self) -> dict[str, int]:
        """Until when a person approves of each engine's losses, by the clock that never jumps."""
        said, wall, now = approval.parse(self._annotations.get(approval.ANNOTATION, "")), self._wall(), self._now()
        return {engine: min(until - wall, approval.LONGEST_MS) + now for engine, until in said.items()}

    def _cover(self) -> None:
        """Tell the ledger whether every report API has been heard."""
        reports = [s for s in self.sources.values() if s.resource.group != GATEKEEPER]
        listed = {s.resource.group for s in reports if s.view.last_listed}
        unheard = [g for g in self._unknown if g != GATEKEEPER and g not in listed]
        ledger = self._feed().ledger
        if self.state.discovery is None:
            origins = (ledger.entries[id_].origin for id_, hold in ledger.agenda.held.items() if hold == Hold.SOURCE)
            self._missing = Counter(o for o in origins if o not in self.sources)
        ledger.sources.list_reports(
            listed=self.state.discovery is None and not unheard and all(s.view.last_listed for s in reports),
            groups=len({s.resource.group for s in reports if not s.vanished}),
            now=self._now(),
        )

    def _gate(self) -> None:
        """Whether findings of this cluster may be sent at all."""
        feed = self._feed()
        sends = (
            self.monitored.spec.mode != "DryRun"
            and self.state.account is None
            and not feed.ledger.observed.quarantine.conflict
            and not self.claimed_twice
            and not self.unlisted
        )
        if sends != feed.sends:
            feed.sends = sends
            self._engine.wake()

    @property
    def in_sync(self) -> bool:
        """Whether Security Hub has exactly what the cluster calls for, as far as can be seen."""
        return (
            self.feed is not None
            and self.feed.sends
            and self.state.connection is None
            and self.state.inventory is None
            and self.state.discovery is None
            and not self.source_faults()
            and not figures.pending(self.feed.ledger)
            and not figures.rejected(self.feed.ledger)
            and not figures.quarantined(self.feed.ledger)
        )

    def _export(self) -> None:
        """Set this cluster's gauges."""
        self._gauges.findings(self._feed().ledger, in_sync=self.in_sync, inventory=self.inventory_at)
        excluded = frozenset(name.strip().casefold() for name in self.monitored.spec.sources.exclude)
        seen = [_seen(source, excluded) for source in self.sources.values() if not source.forgettable]
        self._gauges.sources(seen, unknown=self._unknown)

    async def _count(self, ledger: Ledger) -> None:
        """Count ages and deadlines, for at most one second in a hundred."""
        while True:
            started = self._now()
            census = Census(
                sla_days=self.sla_days,
                wall=self._wall(),
                namespaces=self._metrics.namespaces,
                shown=self._gauges.shown,
            )
            for number, entry in enumerate(list(ledger.entries.values())):
                census.count(entry)
                if number % COUNT_AT_ONCE == 0:
                    await asyncio.sleep(0)
            self._gauges.count(census)
            if ledger.sources.reports_listed:
                self.past_sla = census.past_sla.total()
            seconds = COUNT_SECONDS if ledger.sources.reports_listed else TICK_SECONDS
            await asyncio.sleep(max(seconds, (self._now() - started) / 10))

    def _feed(self) -> Feed:
        if self.feed is None:
            raise RuntimeError("the data plane is not at work")
        return self.feed


ADOPT_ANNOTATION = "policyhub.dev/adopt-uid"
"""Set to the uid that the findings carry (several: with commas) to take them over: the cluster was rebuilt."""
ADOPT_NONE = "none"
"""Stands in it for findings that carry no uid."""


def adopted(annotations: Mapping[str, str]) -> frozenset[str]:
    """The uids whose findings are taken over; empty for findings that carry none."""
    words = (word.strip() for word in annotations.get(ADOPT_ANNOTATION, "").split(","))
    return frozenset("" if word == ADOPT_NONE else word for word in words if word)


def connection_fault(error: BaseException) -> Fault:
    """Why a cluster cannot be worked with, for the condition Connected."""
    match error:
        case Refused(status=401):
            return Fault("Unauthorized", f"the API server refuses the credentials: {error}; renew them")
        case Refused(status=403):
            return Fault("Forbidden", f"{error}; allow the operator to get the namespace kube-system")
        case Refused():
            return Fault("ApiError", str(error))
        case KubeconfigError():
            return Fault("KubeconfigInvalid", str(error))
        case _:
            return Fault("Unreachable", str(error))


def source_fault(source: Source) -> Fault | None:
    """What keeps one source from being whole."""
    if source.vanished:
        return Fault("Vanished", "it was served and is no longer; its findings are kept, nothing is archived")
    state = source.reflector.state
    if state.reason:
        return Fault(state.reason, state.message)
    if not source.view.last_listed:
        return Fault("Listing", "the first listing is not complete yet")
    return None


def _seen(source: Source, excluded: frozenset[str]) -> Seen:
    """For the gauges; without the engines that are excluded: nobody misses what they have not said."""
    fault, view = source_fault(source), source.view
    return Seen(
        origin=source.resource.origin,
        trouble=fault.reason if fault else "",
        last_listed=view.last_listed,
        newest_by={name: at for name, at in view.newest_by.items() if name.casefold() not in excluded},
        constraint_kind=source.resource.kind if source.resource.group == GATEKEEPER else "",
        unlisted=sum(view.unlisted.values()),
    )


def owner_faults(reflectors: Iterable[Reflector]) -> list[Fault]:
    """What keeps it from being known what counts for what, and from being verified."""
    faults: list[Fault] = []
    forbidden: list[str] = []
    for reflector in reflectors:
        state, what = reflector.state, reflector.resource.plural
        verifies = reflector.resource in owners.CONTROLLERS
        if state.reason == "ListingForbidden":
            if not verifies:
                message = f"{state.message}; {_ALLOW}. Until then every object counts for itself"
                faults.append(Fault("Forbidden", message))
            else:
                forbidden.append(what)
        elif verifies and state.reason == "Vanished":
            continue  # not served here: nothing can be one
        elif state.reason:
            faults.append(Fault(state.reason, f"{what}: {state.message}"))
        elif not state.live:
            faults.append(Fault("Listing", f"the first listing of {what} is not complete yet"))
    if forbidden:
        message = (
            f"the operator may not list {', '.join(forbidden)}: which of these owns what is believed and cannot be"
            f" verified, so that anybody can hide a Pod behind a name; {_ALLOW}"
        )
        faults.append(Fault("Forbidden", message))
    return faults


_ALLOW = (
    "let the operator list and watch pods, replicasets, jobs, deployments, statefulsets, daemonsets, cronjobs and"
    " replicationcontrollers (chart: rbac.rollUp)"
)


def policy_faults(library: Library) -> dict[str, Fault]:
    """What keeps which policies from being known, by origin or API group."""
    faults = {group: Fault("DiscoveryFailed", f"{group}: {reason}") for group, reason in library.unknown.items()}
    for origin, reflector in library.reflectors.items():
        state = reflector.state
        if state.reason == "ListingForbidden":
            told = (
                f"{state.message}; let the operator list and watch them (chart: rbac.enrichment). Until then findings"
            )
            faults[origin] = Fault("Forbidden", f"{told} say what the reports say")
        elif state.reason:
            faults[origin] = Fault(state.reason, f"{origin}: {state.message}")
        elif not state.live:
            faults[origin] = Fault("Listing", f"the first listing of {origin} is not complete yet")
    return faults


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
