"""The data plane of one monitored cluster: connects, creates the parts, and starts again if another cluster answers.

There is one task per MonitoredCluster, which runs until it is cancelled. A failure is kept as a `Cause` for the status
and retried. Once the uid of the cluster is known, these run concurrently: the sources and the context, over one
connection after another; the inventory of Security Hub; the tick; and the count of ages and deadlines. All of them, and
the ledger, end when another cluster answers in place of this one.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from policyhub.cancellation import TaskGroup, raise_if_cancelled
from policyhub.cluster.clearance import Clearance, ClusterGone, Rival, nobody
from policyhub.cluster.conflict import adopted
from policyhub.cluster.contact import ClusterReplaced, Connect, Contact, Explain, Stale, from_error
from policyhub.cluster.context import Context
from policyhub.cluster.inventory import InventoryReader
from policyhub.cluster.site import Site
from policyhub.cluster.sources import Sources
from policyhub.cluster.state import State
from policyhub.cluster.tick import Tick
from policyhub.findings import asff
from policyhub.kube.connection import Connection
from policyhub.model.severity import DEFAULT_SEVERITY
from policyhub.model.source_apis import disabled
from policyhub.sync import figures
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.guard import GuardHold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Rules
from policyhub.sync.usage import Limits

log = structlog.get_logger(__name__)

REPLACED_AFTER_MS = 600_000
"""If a cluster ran at least this long before it was replaced, the back-off starts again. Faster replacements increase
it: an API server may answer with another uid each time."""
FORMER = 1_000
"""Maximum number of former uids that are remembered: the first ones, because those have findings."""
SETTLE_MS = 2_000
"""Minimum archive delay: losses with one cause arrive within seconds, and the guard has to evaluate them together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The parts for the cluster that answers now."""

    queue: ClusterQueue
    context: Context
    sources: Sources
    inventory: InventoryReader
    tick: Tick


class DataPlane:
    """The data plane of one MonitoredCluster."""

    def __init__(
        self,
        site: Site,
        *,
        connect: Connect,
        explain: Explain = from_error,
        eks_arn: str = "",
        rival: Rival | None = None,
    ) -> None:
        """`connect` makes a new connection to the monitored cluster; `explain` as for `Contact`; `eks_arn` and `rival`
        as for `Clearance`, which archives nothing without them.
        """
        self.site = site
        self.eks_arn = eks_arn
        self.state = State()
        self.work: Work | None = None
        """None: the uid of the cluster is not known yet."""
        self.claimed_twice = ""
        """An older MonitoredCluster with the same identity and hub: this one sends nothing. Empty: there is none."""
        self.rivals: tuple[str, ...] = ()
        """Younger MonitoredClusters with the same identity and hub: they send nothing."""
        self.recorded = site.worked_on
        """Whether the status shows that a process handles this MonitoredCluster. Nothing is sent before: a process that
        takes it over would not know that findings were sent. True also if the status could not be written.
        """
        self.unlisted = False
        """Whether some MonitoredClusters have not been listed yet: an older one may exist, so nothing is sent."""
        self.restarts = False
        """Whether it waits for its restart, after an older one of another operator: nothing is sent before."""
        self._annotations: Mapping[str, str] = site.monitored.metadata.annotations
        status = site.monitored.status
        before = status.cluster_uid if status is not None else None
        self._former = {before} if before else set()
        """Uids that the cluster of this MonitoredCluster has or had; at most `FORMER`."""
        self._reached: set[str] = set()
        """Those of them that its API server has reported to this data plane."""
        self._clearance = Clearance(
            site,
            eks_arn=eks_arn if rival is not None else "",
            uid=lambda: self.state.cluster_uid,
            earlier=lambda: self._reached,
            annotations=lambda: self._annotations,
            claimed=self._claimed,
            rival=rival or nobody,
        )
        self._contact = Contact(site, self.state, self._clearance, connect=connect, explain=explain)

    @property
    def name(self) -> str:
        return self.site.name

    @property
    def ledger(self) -> Ledger | None:
        return self.work.queue.ledger if self.work is not None else None

    @property
    def guarded(self) -> dict[str, GuardHold]:
        """Engines whose losses are held until an admin approves them, with the numbers."""
        return self.ledger.guard.held if self.ledger is not None else {}

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Set the annotations of the MonitoredCluster, which may change while it runs."""
        self._annotations = annotations

    def record(self) -> None:
        """The first status was written, or could not be."""
        self.recorded = True
        self._gate()

    def claim(self, *, older: str, younger: tuple[str, ...], unlisted: bool, restarts: bool = False) -> None:
        """Set which other MonitoredClusters have the same identity and hub: only the oldest sends."""
        self.claimed_twice, self.rivals, self.unlisted, self.restarts = older, younger, unlisted, restarts
        self._gate()

    async def run(self) -> None:
        """Until cancelled."""
        replaced = 0
        while True:
            began, wait, gone = self.site.now(), 0.0, False
            try:
                connection = await self._contact.reach()
                began = self.site.now()
                await self._work(connection)
            except* ClusterReplaced as group:
                log.warning("cluster_replaced", cluster=self.name, message=str(_first(group)))
                replaced = 1 if self.site.now() - began >= REPLACED_AFTER_MS else replaced + 1
                wait = self.site.backoff(replaced)
            except* ClusterGone:
                gone = True
            raise_if_cancelled()
            if gone:
                wait = await self._clearance.round()
            await asyncio.sleep(wait)

    async def _work(self, connection: Connection) -> None:
        """Run all parts for the cluster that answers now. Raises ClusterReplaced if another one answers, ClusterGone if
        the findings have to be archived.
        """
        work = self.begin()
        self._clearance.ledger = work.queue.ledger
        self.site.engine.attach(work.queue)
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(self._serve(work, connection))
                tasks.create_task(work.inventory.run())
                tasks.create_task(work.tick.run())
                tasks.create_task(work.tick.count())
        finally:
            self.site.engine.detach(work.queue)
            self.work = None
            self.state.restart()
            work.tick.gauges.forget()

    def begin(self) -> Work:
        """Create all parts, for the cluster with the uid that is known now."""
        feed = self._feed()
        context = Context(self.site, feed.ledger)
        sources = Sources(self.site, self.state, feed, context)
        inventory = InventoryReader(self.site, self.state, feed.ledger, on_change=self._gate)
        tick = Tick(
            self.site,
            feed=feed,
            sources=sources,
            context=context,
            inventory=inventory,
            annotations=lambda: self._annotations,
            gate=self._gate,
            in_sync=lambda: self.in_sync,
        )
        self.work = Work(queue=feed, context=context, sources=sources, inventory=inventory, tick=tick)
        return self.work

    def _feed(self) -> ClusterQueue:
        site, spec, uid = self.site, self.site.spec, self.state.cluster_uid
        settings = site.settings
        ledger = Ledger(
            cluster_id=site.monitored.identity,
            cluster_uid=uid,
            default_severity=DEFAULT_SEVERITY,
            on_dirty=site.engine.wake,
            acknowledged=site.engine.acknowledged,
            started=site.now(),
            limits=Limits(
                report_bytes=settings.limit_report_bytes,
                report_results=settings.limit_report_results,
                namespace_findings=settings.limit_namespace_findings,
                cluster_findings=settings.limit_cluster_findings,
                namespace_imports=settings.limit_namespace_imports,
            ),
        )
        progress = ledger.observed.progress
        # the preview of DryRun counts at once what the inventory shows: nothing is sent because of it
        rereads = spec.mode != "DryRun" and site.sent_shortly_before
        progress.recheck_backlog = progress.second_read.due = rereads
        ledger.sources.disabled_groups = disabled(spec.sources)
        ledger.observed.adopted = adopted(site.monitored.metadata.annotations)
        ledger.observed.quarantine.former = frozenset(self._former) - ledger.observed.uids
        if len(self._former) < FORMER:
            self._former.add(uid)
            self._reached.add(uid)
        return ClusterQueue(
            name=self.name,
            ledger=ledger,
            cluster=asff.Cluster(
                id=site.monitored.identity,
                name=self.name,
                arn=spec.cluster_arn,
                uid=uid,
                account=site.account,
                region=site.region,
                partition=site.hub.partition,
                product_arn=site.hub.product_arn,
            ),
            rules=Rules(
                archive_delay_ms=max(SETTLE_MS, int(spec.archive_delay.total_seconds() * 1000)),
                archive=spec.mode != "NoArchive",
            ),
            sends=False,
        )

    async def _serve(self, work: Work, connection: Connection) -> None:
        """Watch the cluster, over a new connection if the API server refuses the credentials or does not answer: the
        kubeconfig may have changed.
        """
        while True:
            try:
                async with connection, TaskGroup() as tasks:
                    work.context.watch(connection, tasks)
                    tasks.create_task(work.sources.run(connection, tasks, contact=self._contact))
            except* Stale:
                log.info("reconnecting", cluster=self.name)
            raise_if_cancelled()
            work.sources.disconnect()
            uid = self.state.cluster_uid
            connection = await self._contact.reach()
            if self.state.cluster_uid != uid:
                await connection.close()
                raise ClusterReplaced(f"kube-system has uid {self.state.cluster_uid}, it was {uid}")

    def _claimed(self) -> str:
        """Why another claim to the same identity and hub keeps this one from sending; empty: none does."""
        if self.unlisted:
            return "not all MonitoredClusters have been listed yet"
        if self.restarts:
            return "an older MonitoredCluster of another operator had the same identity and hub until now"
        if self.claimed_twice:
            return f"MonitoredCluster {self.claimed_twice} has the same identity and hub"
        return ""

    def _gate(self) -> None:
        """Decide again whether findings of this cluster may be sent."""
        if self.work is None:
            return
        feed = self.work.queue
        sends = (
            self.site.spec.mode != "DryRun"
            and self.recorded
            and self.state.account is None
            and not feed.ledger.observed.quarantine.conflict
            and not self.claimed_twice
            and not self.unlisted
            and not self.restarts
        )
        if sends != feed.sends:
            feed.sends = sends
            self.site.engine.wake()

    @property
    def sends(self) -> bool:
        """Whether findings of this cluster may be sent now."""
        return self.work is not None and self.work.queue.sends

    @property
    def in_sync(self) -> bool:
        """Whether Security Hub exactly matches the cluster, as far as is known."""
        return (
            self.work is not None
            and self.sends
            and self.state.connection is None
            and self.state.inventory is None
            and self.state.discovery is None
            and not self.work.sources.faults()
            and not figures.pending(self.work.queue.ledger)
            and not figures.rejected(self.work.queue.ledger)
            and not figures.quarantined(self.work.queue.ledger)
        )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
