"""The gauges of one monitored cluster, updated every second from its ledger and sources, and after each count of ages.

Authors of reports choose the names of engines and policies. So the number of names is limited, and the names of one
author never displace those of others (`policyhub.sync.admission`). Violations of policies without their own series are
summed under the policy `(other)`; none is lost.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import Gauge

from policyhub.api.reason import Reason
from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.metrics.ages import DAY
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import SEVERITIES
from policyhub.sync import figures
from policyhub.sync.admission import Admission
from policyhub.sync.age_statistics import AgeStatistics
from policyhub.sync.entry import WORKFLOW
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.usage import Excess

SERIES = 5_000
"""Series of violations of one cluster: enough for 100 policies in 50 namespaces. A broken producer may create a policy
for each report."""
SERIES_EACH = 500
"""Of these, the maximum for policies that only one namespace violates. The largest public collections of policies have
300."""
REWORDED = 50
"""Series for findings whose text keeps changing."""
OTHER = "(other)"

Labels = tuple[str, ...]
Key = TypeVar("Key", bound=Labels)


@dataclass(frozen=True, slots=True)
class SourceGauges:
    """The values of the gauges of one source API."""

    source_api: str
    problem: str = ""
    """The reason why it is not complete and live; empty if it is."""
    last_listed: WallMs = UNDATED
    """UNDATED: never."""
    newest_by: Mapping[str, int] | None = None
    """Engine → the newest time in its reports (Unix s)."""
    constraint_kind: str = ""
    unlisted: int = 0


class Gauges:
    """The gauges of one cluster."""

    def __init__(
        self, metrics: Metrics, *, cluster: str, hub: str, sla_days: Mapping[str, int], clock: Callable[[], SteadyMs]
    ) -> None:
        self._metrics = metrics
        self._cluster = cluster
        self._hub = hub
        self._sla_days = sla_days
        self._clock = clock
        self.shown: Admission[Labels] = Admission(total=SERIES, each=SERIES_EACH)
        """Label sets of violations that have a series of their own."""
        self._values: dict[Gauge, dict[Labels, float]] = {}
        self._oldest: SteadyMs | None = None
        self._oldest_refresh_at = NEVER

    def forget(self) -> None:
        """The cluster is no longer monitored."""
        self._metrics.forget_cluster(self._cluster)
        self._values.clear()

    def count(self, statistics: AgeStatistics) -> None:
        """Set the gauges that need a count over all entries."""
        m, cluster = self._metrics, self._cluster
        m.violation_age.set(cluster, statistics.ages)
        self._show(m.violations_past_sla, {(s,): n for s, n in statistics.past_sla.items()})
        for severity, days in self._sla_days.items():
            m.sla.labels(cluster, severity).set(days * DAY)
        if m.namespaces:
            self.shown.retain(statistics.tallies)
            self._show(m.violations, folded(statistics.tallies, self.shown))

    def findings(self, ledger: Ledger, *, in_sync: bool, sends: bool, inventory: WallMs) -> None:
        """`sends` is False in mode DryRun: then nothing waits. `inventory` is when the last complete inventory began;
        UNDATED: there is none.
        """
        m, cluster, hub = self._metrics, self._cluster, self._hub
        if not m.namespaces:
            self.shown.retain(ledger.finding_counts.violations)
            self._show(m.violations, folded(ledger.finding_counts.violations, self.shown))
        for lane, number in figures.waiting(ledger).items():
            m.findings_pending.labels(cluster, hub, lane).set(number)
        oldest = self._oldest_pending(ledger) if sends else None
        waited = 0 if oldest is None else max(0, self._clock() - oldest) / 1000
        m.oldest_pending_seconds.labels(cluster, hub).set(waited)
        m.in_sync.labels(cluster).set(in_sync)
        self._show(m.archives_held, {(str(reason),): number for reason, number in figures.held_reasons(ledger).items()})
        self._show(m.findings_reworded, dict(ledger.observed.outcomes.flapping().most_common(REWORDED)))
        m.findings_refused.labels(cluster).set(figures.rejected(ledger))
        left_out = ledger.refusals.left_out() + Counter({Excess.IMPORTS: ledger.agenda.count(Hold.BUDGET)})
        for limit in Excess:
            m.violations_left_out.labels(cluster, limit).set(left_out[limit])
        m.findings_quarantined.labels(cluster).set(len(ledger.observed.quarantine.ids))
        if inventory:
            m.inventory.labels(cluster, hub).set(inventory / 1000)
            triage = {
                (status, severity): 0 for status in WORKFLOW for severity in SEVERITIES
            } | ledger.finding_counts.triage
            self._show(m.findings, {(hub, *key): number for key, number in triage.items()})

    def sources(self, sources: Iterable[SourceGauges], *, unknown: Iterable[str]) -> None:
        """`unknown` are API groups whose discovery failed."""
        m = self._metrics
        complete: dict[Labels, int] = {(group, Reason.DISCOVERY_FAILED.value): 0 for group in unknown}
        listed: dict[Labels, float] = {}
        newest: dict[Labels, int] = {}
        unlisted: Counter[Labels] = Counter()
        for seen in sources:
            complete[seen.source_api, seen.problem] = int(not seen.problem)
            if seen.last_listed:
                listed[seen.source_api,] = seen.last_listed / 1000
            newest |= {(seen.source_api, name): at for name, at in (seen.newest_by or {}).items()}
            if seen.constraint_kind:
                unlisted[seen.constraint_kind,] += seen.unlisted
        self._show(m.source_complete, complete)
        self._show(m.last_complete_listing, listed)
        self._show(m.newest_result, newest)
        self._show(m.constraint_violations_unlisted, unlisted)

    def _show(self, gauge: Gauge, series: Mapping[Labels, float]) -> None:
        """Set these series and remove all others of the gauge. Keys are the labels after the cluster's."""
        before = self._values.get(gauge, {})
        for labels, number in series.items():
            if before.get(labels) != number:
                gauge.labels(self._cluster, *labels).set(number)
        for labels in before.keys() - series.keys():
            gauge.remove(self._cluster, *labels)
        self._values[gauge] = dict(series)

    def _oldest_pending(self, ledger: Ledger) -> SteadyMs | None:
        """When the oldest pending finding began to wait. The search uses at most one hundredth of the time."""
        now = self._clock()
        if now >= self._oldest_refresh_at:
            self._oldest = figures.oldest_pending(ledger)
            self._oldest_refresh_at = now + 100 * (self._clock() - now)
        return self._oldest if figures.pending(ledger) else None


def folded(tallies: Mapping[Key, int], shown: Admission[Labels], *, few: int = SERIES_EACH) -> dict[Labels, int]:
    """Counts by (source, policy, severity, …): all if there are few; else those in `shown`, and the rest by severity
    only.
    """
    if len(tallies) <= few:
        return {key: tally for key, tally in tallies.items()}  # noqa: C416  (the type of its keys is wider)
    found: dict[Labels, int] = {}
    rest: Counter[str] = Counter()
    for key, tally in tallies.items():  # there may be very many
        rest[key[2]] += tally
    for key in tallies.keys() & shown.names:
        found[key] = tallies[key]
        rest[key[2]] -= tallies[key]
    more = next((len(key) for key in tallies), 3) - 3
    for severity, tally in rest.items():
        if tally:
            other = (OTHER, OTHER, severity, *([""] * more))
            found[other] = found.get(other, 0) + tally
    return found
