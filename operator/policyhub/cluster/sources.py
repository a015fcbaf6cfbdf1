"""The report and constraint APIs of one cluster: which are served, and a reflector and a sink for each.

| discovery finds that                        | then                                                                   |
|---------------------------------------------|------------------------------------------------------------------------|
| an API is served in a version               | it is listed and watched in that version                               |
| an API that was served is absent            | *vanished*: it is no longer watched, its findings are kept             |
| a constraint kind is absent for an archive  | *forgotten*: its template was deleted, and its constraints with it,    |
| delay                                       | even if that happened while the API server was unreachable             |
| it cannot find out what a group serves      | what was served stays watched                                          |

Each discovery first confirms that the same cluster still answers. Missing evidence archives nothing: a source that
fails or vanishes only loses its coverage.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.cancellation import TaskGroup
from policyhub.clock import NEVER, SteadyMs
from policyhub.cluster.contact import Contact
from policyhub.cluster.context import Context
from policyhub.cluster.report_apis import Api, report_apis
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.cluster.site import Site
from policyhub.cluster.state import DISCOVERING, State
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import Discovery, discover
from policyhub.kube.reflector import Reflector
from policyhub.kube.resource import Resource
from policyhub.model.source_apis import CONSTRAINTS, enabled, is_constraint
from policyhub.sources.filter import filter_of
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.holds import Hold
from policyhub.sync.policy_metadata import concerns
from policyhub.sync.superseded import Superseded
from policyhub.sync.sweep import forget

log = structlog.get_logger(__name__)

POLICIES_FIRST = Cause(Reason.DISCOVERING, "the policies are being read before the reports")
"""The texts of policies are known before any finding is rendered."""
SETTLE_SECONDS = 5.0
"""How long the result of a discovery waits for the policies; after that discovery runs again."""
DROPPED_MS = 10 * 60_000
"""Minimum time between two listings of a source that replace dropped events of namespaces that write too fast."""
CONFIRMATIONS = 2
"""Discoveries that must confirm that an API is no longer served, before nothing waits for it."""
SOURCES = 3_000
"""Maximum number of source APIs of one cluster that are or were served: three times as many constraint kinds as are
read at once. An API server that lists other kinds at each discovery must not exhaust the memory."""


@dataclass(slots=True)
class Source:
    """One source API that is or was served."""

    resource: Resource
    view: ReportSink
    reflector: Reflector
    task: asyncio.Task[None]
    vanished: bool = False
    vanished_at: SteadyMs = NEVER
    """When the first discovery began that lacked it."""
    absences: int = 0
    """Number of discoveries that confirmed that it is not served."""
    relist_requested_at: SteadyMs = NEVER
    """When a listing was last requested because events were dropped."""

    @property
    def constraints(self) -> bool:
        return self.resource.group == CONSTRAINTS

    @property
    def forgettable(self) -> bool:
        """Whether it is a constraint kind whose template was deleted, which is nothing unusual."""
        return self.vanished and self.constraints

    @property
    def gone(self) -> bool:
        """Whether it is confirmed that it is no longer served."""
        return self.absences >= CONFIRMATIONS

    def note_absence(self, at: SteadyMs) -> None:
        """A discovery that began at this time has confirmed that it is not served."""
        self.absences += 1
        if not self.vanished:
            self.vanished, self.vanished_at = True, at
            self.stop()

    def stop(self) -> None:
        """Stop watching: its findings stay, and its silence is no evidence."""
        self.task.cancel()
        self.view.close()

    def fault(self) -> Cause | None:
        """Why it is not completely listed and watched; None: it is."""
        if self.vanished:
            return Cause(Reason.VANISHED, "the API is no longer served; its findings are kept and not archived")
        if (cause := self.reflector.state.cause) is not None:
            return cause
        if not self.view.last_listed:
            return Cause(Reason.LISTING, "the first listing is not complete yet")
        return None


class Sources:
    """The sources of one cluster, over one connection after another."""

    def __init__(self, site: Site, state: State, feed: ClusterQueue, context: Context) -> None:
        self.watched: dict[str, Source] = {}
        """By source API, including those that are no longer served."""
        self.unknown: dict[str, str] = {}
        """API group → why it is not known what it serves."""
        self.superseded = Superseded()
        """Reports that their engine no longer updates; kept across connections."""
        self.evidence_due = False
        """Whether findings lost their last report because it is superseded, so that reports have to be listed again:
        another report may have passed them earlier.
        """
        self.report_apis = report_apis((), discovered=False, unknown=())
        """Of the report APIs, as last passed to the ledger."""
        self._absent: dict[str, SteadyMs] = {}
        """Constraint kind that is not served but has constraints in the ledger → when the first discovery without it
        began.
        """
        self._missing: Counter[str] = Counter()
        """Source API that this connection has not seen served → number of findings that are held because of that."""
        self._site = site
        self._state = state
        self._queue = feed
        self._ledger = feed.ledger
        self._context = context

    # -- discovery ------------------------------------------------------------------------------------------------

    async def run(self, connection: Connection, tasks: TaskGroup, *, contact: Contact) -> None:
        """Discover and watch what is served, in these tasks, until cancelled. Raises what `Contact.confirm` raises."""
        wanted = enabled(self._site.spec.sources)
        lost = False
        while True:
            started = self._site.now()
            if await contact.confirm(connection):
                found = await discover(connection, wanted)
                if not self._context.settled and self._context.policy_watcher is not None:
                    self._state.discovery = POLICIES_FIRST
                    await self._context.policy_watcher.wait_until_ready(seconds=SETTLE_SECONDS)
                if self._context.settled:
                    self._apply(found, connection, tasks, started=started)
                if lost:
                    self._retry_failed()
                lost = bool(found.unknown)
            else:
                lost = True
            seconds = self._site.around(self._site.settings.discovery_interval)
            if self._context.policy_watcher is None or self._context.settled:
                await asyncio.sleep(seconds)
            else:  # their texts are known before any finding is rendered
                self._state.discovery = POLICIES_FIRST
                await self._context.policy_watcher.wait_until_ready(seconds=seconds)

    def disconnect(self) -> None:
        """The connection has ended: no source is watched until the next connection has discovered it."""
        for source in self.watched.values():
            source.view.close()
        self.watched.clear()
        self.unknown = {}
        self._state.discovery = DISCOVERING

    def _retry_failed(self) -> None:
        """The API server answers again: reflectors retry now instead of waiting up to a minute."""
        for reflector in (*(source.reflector for source in self.watched.values()), *self._context.reflectors()):
            if reflector.state.phase == "failed":
                reflector.request_relist()

    def _apply(self, found: Discovery, connection: Connection, tasks: TaskGroup, *, started: SteadyMs) -> None:
        ledger = self._ledger
        for group, reason in found.unknown.items():
            if self.unknown.get(group) != reason:
                log.warning("discovery_failed", cluster=self._site.name, group=group, reason=reason)
        self.unknown = found.unknown
        self._start_served(found, connection, tasks)
        for source_api, source in self.watched.items():
            if found.absent(source.resource):
                if not source.vanished:
                    log.warning("source_vanished", cluster=self._site.name, source=source_api)
                source.note_absence(started)
        ledger.sources.confirm(
            (r.group_resource for r in found.served if r.group_resource not in found.terminating), now=started
        )
        if self._context.rollup is not None:
            self._context.rollup.owners.confirmed = started
        if CONSTRAINTS in enabled(self._site.spec.sources) - found.unknown.keys():
            kinds = {resource.group_resource for resource in found.served if resource.group == CONSTRAINTS}
            self._forget_kinds(kinds, started)
            ledger.sources.constraints.read_kinds(kinds, now=started)
        self._state.discovery = None
        self.update_report_apis()

    def _start_served(self, found: Discovery, connection: Connection, tasks: TaskGroup) -> None:
        """Watch what is served and is not watched yet in that version."""
        for resource in found.served:
            source = self.watched.get(resource.group_resource)
            if source is None and len(self.watched) >= SOURCES:
                why = f"the cluster has served more than {SOURCES:,} kinds, which is the limit"
                self.unknown = {**found.unknown, resource.group: why}
                continue
            if source is None or source.vanished or source.resource != resource:
                if source is not None:
                    source.stop()
                self.watched[resource.group_resource] = self._start(resource, connection, tasks)
                log.info(
                    "source_started", cluster=self._site.name, source=resource.group_resource, version=resource.version
                )

    def _forget_kinds(self, served: set[str], started: SteadyMs) -> None:
        """A constraint kind that was absent for an archive delay was deleted, and its constraints with it, even if no
        watch reported that.
        """
        ledger, now, delay = self._ledger, self._site.now(), self._queue.rules.archive_delay_ms
        keys = [
            key
            for key in (*ledger.desired.objects, *ledger.sources.constraints.audits)
            if key.group == CONSTRAINTS and key.source_api not in served
        ]
        self._absent = {key.source_api: self._absent.get(key.source_api, started) for key in keys}
        for key in keys:
            if started - self._absent[key.source_api] >= delay:
                forget(key, ledger=ledger, rollup=self._context.rollup, now=now)
        old = [o for o, source in self.watched.items() if source.forgettable and started - source.vanished_at >= delay]
        for source_api in old[: max(0, len(self.watched) - SOURCES // 2)]:
            del self.watched[source_api]
            self._site.metrics.forget_source(self._site.name, source_api)

    def _start(self, resource: Resource, connection: Connection, tasks: TaskGroup) -> Source:
        view = ReportSink(
            cluster=self._site.name,
            group=resource.group,
            resource=resource.plural,
            ledger=self._ledger,
            filter_=filter_of(self._site.spec),
            metrics=self._site.metrics,
            now=self._site.now,
            wall_clock=self._site.wall,
            rollup=self._context.rollup,
            policies=self._context.policy_metadata,
            on_results=partial(self.superseded.note, resource.group),
        )
        relist = self._site.settings.relist_interval
        reflector = Reflector(connection, resource, view, relist_interval=relist)
        return Source(resource=resource, view=view, reflector=reflector, task=tasks.create_task(reflector.run()))

    # -- results --------------------------------------------------------------------------------------------------

    def update_report_apis(self) -> None:
        """Update the ledger: which reports are superseded, and whether every report API has been listed."""
        reports = [source for source in self.watched.values() if not source.constraints]
        discovered = self._state.discovery is None
        if discovered:
            waiting = self._ledger.agenda.waiting((Hold.SOURCE,))
            source_apis = (self._ledger.entries[id_].source_api for id_ in waiting)
            self._missing = Counter(source_api for source_api in source_apis if source_api not in self.watched)
        self.report_apis = summary = report_apis(
            (
                Api(
                    source_api=source.resource.group_resource,
                    group=source.resource.group,
                    listed=bool(source.view.last_listed),
                    live=source.view.liveness.live,
                    vanished=source.vanished,
                    gone=source.gone,
                )
                for source in reports
            ),
            discovered=discovered,
            unknown=self.unknown.keys() - {CONSTRAINTS},
        )
        self._supersede(reports, all_listed=summary.all_listed)
        self._ledger.sources.set_reports_listed(listed=summary.all_listed, groups=summary.groups, now=self._site.now())

    def _supersede(self, reports: list[Source], *, all_listed: bool) -> None:
        listed_at = min((source.view.last_listed for source in reports if not source.vanished), default=NEVER)
        if not self.superseded.evaluate(all_listed=all_listed, listed_at=listed_at):
            return
        self._ledger.sources.set_dual_apis(self.superseded.dual)
        superseded = self.superseded.reports
        if superseded != self._ledger.desired.superseded:
            named = sorted({f"{engine}/{group}" for engine, group, _ in superseded})
            log.warning("superseded_reports", cluster=self._site.name, frozen=named)
            self._ledger.supersede(superseded, now=self._site.now())
            self.evidence_due = True

    async def catch_up(self) -> None:
        """Read events that were deferred because their namespace writes too much, and move claims whose roll-up target
        has changed.
        """
        now = self._site.now()
        rollup = self._context.rollup
        for _ in rollup.catch_up(now=now) if rollup is not None else ():
            await asyncio.sleep(0)
        for source in list(self.watched.values()):
            for _ in source.view.catch_up():
                await asyncio.sleep(0)
            if source.view.dropped and now - source.relist_requested_at >= DROPPED_MS:
                source.relist_requested_at = now
                source.reflector.request_relist()

    def request_evidence(self) -> None:
        """Request another listing of all reports: results that pass are evidence about findings that nobody reports."""
        for source in self.watched.values():
            if not source.constraints and not source.vanished:
                source.view.grade = True
                source.reflector.request_relist()

    def reread(self) -> None:
        """If texts of violated policies have changed, request a listing of the sources that may name these policies."""
        policies = self._context.policy_metadata
        if policies is None:
            return
        changed = policies.changed((source, policy) for source, policy, _ in self._ledger.finding_counts.violations)
        for source in self.watched.values() if changed else ():
            if not source.vanished and concerns(source.resource, changed):
                source.reflector.request_relist()

    def faults(self) -> dict[str, Cause]:
        """Why sources are not completely listed and watched, by source API or API group; empty: all are."""
        faults = {group: Cause(Reason.DISCOVERY_FAILED, reason) for group, reason in self.unknown.items()}
        for source_api, number in self._missing.items():
            if is_constraint(source_api):
                continue
            faults[source_api] = Cause(
                Reason.VANISHED, f"the cluster does not serve this API; {number} findings from it are kept"
            )
        for source_api, source in self.watched.items():
            fault = source.fault()
            if fault is not None and not source.forgettable:
                faults[source_api] = fault
        return faults

    def kept_findings(self) -> int:
        """Number of findings of constraint kinds that are no longer served: no failure, because deleting a template is
        normal.
        """
        source_apis = [source_api for source_api, source in self.watched.items() if source.forgettable]
        source_apis += [source_api for source_api in self._missing if is_constraint(source_api)]
        if not source_apis:
            return 0
        entries = self._ledger.entries.values()
        return sum(1 for e in entries if e.source_api in source_apis and e.observed and not e.observed.archived)
