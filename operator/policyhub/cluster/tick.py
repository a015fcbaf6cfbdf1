"""The work that is done for a cluster once a second: deferred events, coverage, the guard, refreshes, gauges.

Ages and deadlines are counted in parallel. Both yield to the event loop, so a large cluster does not block the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import structlog

from policyhub.clock import NEVER, SteadyMs
from policyhub.cluster import approval
from policyhub.cluster.context import Context
from policyhub.cluster.gauges import Gauges, SourceGauges
from policyhub.cluster.inventory import InventoryReader
from policyhub.cluster.site import Site
from policyhub.cluster.sources import Source, Sources
from policyhub.model.engines import has_fixed_times
from policyhub.sources.event_logs import is_event_log
from policyhub.sync.age_statistics import AgeStatistics
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.plan import Change

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
REFRESH_SECONDS = 3600.0
"""Seconds between two searches for findings that have to be refreshed."""
CLOCK_SLACK_MS = 5 * 60_000
"""A correction of the wall clock by at most this much does no harm."""
CLOCK_SHOWN_MS = 60 * 60_000
EVIDENCE_MS = 10 * 60_000
"""Minimum time between two extra listings because of superseded reports: anyone who writes reports can cause them."""
COUNT_SECONDS = 15.0
"""Seconds between two counts of what changes with time alone."""
COUNT_AT_ONCE = 5_000
"""Entries that are counted before the event loop continues (about 5 ms)."""


class Tick:
    """The periodic work for one cluster, from the time when its uid is known."""

    def __init__(
        self,
        site: Site,
        *,
        feed: ClusterQueue,
        sources: Sources,
        context: Context,
        inventory: InventoryReader,
        annotations: Callable[[], Mapping[str, str]],
        gate: Callable[[], None],
        in_sync: Callable[[], bool],
    ) -> None:
        """`annotations` returns the current ones of the MonitoredCluster; `gate` decides again whether anything may be
        sent; `in_sync` returns whether Security Hub matches the cluster.
        """
        self.preview: Counter[Change] | None = None
        """In mode DryRun: what would be sent; None before everything that decides it has been read."""
        self.past_sla: int | None = None
        """Number of violations that are older than their deadline; None: not counted yet."""
        self.gauges = Gauges(
            site.metrics,
            cluster=site.name,
            hub=site.engine.hub_name,
            sla_days=site.spec.sla_days.over(site.settings.sla_days),
            clock=site.now,
        )
        self._sla_days = site.spec.sla_days.over(site.settings.sla_days)
        """Severity → days until the deadline; without severities that have none."""
        self._site = site
        self._feed = feed
        self._ledger = feed.ledger
        self._sources = sources
        self._context = context
        self._inventory = inventory
        self._annotations = annotations
        self._gate = gate
        self._in_sync = in_sync
        self._drift = int(site.wall()) - int(site.now())
        self._moved = 0
        self._moved_at = NEVER
        self._preview_due = NEVER
        self._refreshed_at = NEVER
        self._evidence_requested_at = NEVER

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._sources.catch_up()
            self._sources.update_report_apis()
            self._gate()
            self._compare_clocks()
            self._request_evidence()
            self._evaluate_guard()
            self._sources.reread()
            self._context.update()
            self._inventory.refresh()
            self._preview()
            self._refresh()
            self._export()
            await asyncio.sleep(TICK_SECONDS)

    async def count(self) -> None:
        """Count ages and deadlines, in at most 1 % of the time. Until cancelled."""
        site, ledger = self._site, self._ledger
        while True:
            started = site.now()
            statistics = AgeStatistics(
                sla_days=self._sla_days,
                now=started,
                wall_clock=site.wall(),
                namespaces=site.metrics.namespaces,
                shown=self.gauges.shown,
            )
            for number, entry in enumerate(list(ledger.entries.values())):
                statistics.count(entry)
                if number % COUNT_AT_ONCE == 0:
                    await asyncio.sleep(0)
            self.gauges.count(statistics)
            if ledger.sources.reports_listed:
                self.past_sla = statistics.past_sla.total()
            seconds = COUNT_SECONDS if ledger.sources.reports_listed else TICK_SECONDS
            await asyncio.sleep(max(seconds, (site.now() - started) / 10))

    @property
    def clock_moved(self) -> int:
        """By how much (ms) the wall clock was changed within the last hour; 0: it was not."""
        return self._moved if self._site.now() - self._moved_at < CLOCK_SHOWN_MS else 0

    def _compare_clocks(self) -> None:
        drift = int(self._site.wall()) - int(self._site.now())
        if abs(drift - self._drift) > CLOCK_SLACK_MS:
            self._moved, self._moved_at = drift - self._drift, self._site.now()
            log.warning("clock_moved", cluster=self._site.name, seconds=self._moved // 1000)
            self._drift = drift

    def _request_evidence(self) -> None:
        """After an inventory, or when reports were superseded, request one more listing of all reports: results that
        pass are evidence about findings that nobody reports.
        """
        now = self._site.now()
        again = self._sources.evidence_due and now - self._evidence_requested_at >= EVIDENCE_MS
        if not (self._inventory.evidence_due or again) or not self._ledger.sources.reports_listed:
            return
        self._inventory.evidence_due = self._sources.evidence_due = False
        if self._ledger.has_unclaimed():
            self._evidence_requested_at = now
            self._sources.request_evidence()

    def _evaluate_guard(self) -> None:
        ledger, name = self._ledger, self._site.name
        ledger.approve(self._approvals(), now=self._site.now())
        held, released = ledger.evaluate_guard(now=self._site.now())
        for engine in held:
            hold = ledger.guard.held[engine]
            log.warning("archive_held", cluster=name, source=engine, lost=hold.lost, of=hold.total, reason=hold.reason)
        for engine in released:
            log.info("archive_released", cluster=name, source=engine)

    def _approvals(self) -> dict[str, SteadyMs]:
        """Engine → until when an admin has approved its losses."""
        approvals = approval.parse(self._annotations().get(approval.ANNOTATION, ""))
        wall, now = self._site.wall(), self._site.now()
        return {engine: now + min(until - wall, approval.LONGEST_MS) for engine, until in approvals.items()}

    def _preview(self) -> None:
        now = self._site.now()
        read = self._inventory.began_at and self._ledger.sources.reports_listed
        if self._site.spec.mode == "DryRun" and read and now >= self._preview_due:
            self.preview = self._site.engine.preview(self._feed)
            self._preview_due = now + 20 * (self._site.now() - now)  # at most 5 % of the time

    def _refresh(self) -> None:
        now = self._site.now()
        if now - self._refreshed_at > REFRESH_SECONDS * 1000:
            self._refreshed_at = now
            self._ledger.refresh(wall_clock=self._site.wall(), now=now)

    def _export(self) -> None:
        """Set this cluster's gauges."""
        self.gauges.findings(
            self._ledger,
            in_sync=self._in_sync(),
            sends=self._site.spec.mode != "DryRun",
            inventory=self._inventory.began_at,
        )
        excluded = frozenset(name.strip().casefold() for name in self._site.spec.sources.exclude)
        events = self._site.spec.sources.event_logs
        seen = [
            _seen(source, excluded, events=events)
            for source in self._sources.watched.values()
            if not source.forgettable
        ]
        self.gauges.sources(seen, unknown=self._sources.unknown)


def _seen(source: Source, excluded: frozenset[str], *, events: bool = True) -> SourceGauges:
    """The gauges of a source, without excluded engines and those whose times do not show whether they run."""
    fault, view = source.fault(), source.view

    def counts(name: str) -> bool:
        left_out = name.casefold() in excluded or (not events and is_event_log(name))
        return not left_out and not has_fixed_times(name)

    return SourceGauges(
        source_api=source.resource.group_resource,
        problem=fault.reason.value if fault else "",
        last_listed=view.listed_at,
        newest_by={name: at for name, at in view.newest_by.items() if counts(name)},
        constraint_kind=source.resource.kind if source.constraints else "",
        unlisted=sum(view.unlisted.values()),
    )
