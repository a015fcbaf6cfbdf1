"""How old the violations of a ledger are, how many are past their SLA, and how many each namespace has.

The same pass admits the names that the metrics show individually (`policyhub.sync.admission`): an entry knows the
namespaces of its source objects, and a counter of those would cost more.

Ages change with time, so they are not stored: every entry is counted from time to time. A finding that an analyst has
suppressed has no deadline and is not counted. A finding that is resolved in Security Hub and still reported is counted.

Pure: no I/O, no clock.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

from policyhub.clock import SteadyMs, WallMs, to_wall_clock
from policyhub.metrics.ages import AGE_SECONDS, DAY, Ages
from policyhub.sources.filter import namespace_of
from policyhub.sync.admission import Admission
from policyhub.sync.entry import SUPPRESSED, Entry

Name = tuple[str, ...]
"""(source, policy, severity), and the namespace of the object if violations are counted by namespace."""


class AgeStatistics:
    """One count of all entries, at one moment."""

    def __init__(
        self,
        *,
        sla_days: Mapping[str, int],
        now: SteadyMs,
        wall_clock: WallMs,
        namespaces: bool,
        shown: Admission[Name] | None = None,
    ) -> None:
        """`sla_days` by severity; `now` and `wall_clock` are the same moment; `namespaces`: also count by namespace;
        `shown`: admits the names that are shown individually.
        """
        self.past_sla: Counter[str] = Counter(dict.fromkeys(sla_days, 0))
        """By severity, for severities with a deadline."""
        self.tallies: Counter[Name] = Counter()
        self._limits = {severity: days * DAY for severity, days in sla_days.items()}
        self._now = now
        self._wall_clock = wall_clock
        self._namespaces = namespaces
        self._shown = shown
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(AGE_SECONDS) + 1))
        self._seconds: Counter[str] = Counter()

    @property
    def ages(self) -> dict[str, Ages]:
        """By severity."""
        return {s: Ages(tuple(counts), float(self._seconds[s])) for s, counts in self._counts.items()}

    def count(self, entry: Entry) -> None:
        tally = entry.tally
        if tally is None:
            return
        name: Name = tally
        if self._namespaces:
            subject = entry.subject
            name = (*tally, "" if subject is None else namespace_of(subject))
            self.tallies[name] += 1
        shown = self._shown
        if shown is not None and name not in shown:
            any(shown.admit(name, claimant.namespace) for claimant, _ in entry.claims)
        triage = entry.triage
        if triage is not None and triage.status == SUPPRESSED:
            return
        severity = (triage.severity if triage is not None else "") or tally.severity
        age = max(0, self._wall_clock - self._first_seen(entry)) // 1000
        self._counts[severity][bisect_left(AGE_SECONDS, age)] += 1
        self._seconds[severity] += age
        limit = self._limits.get(severity)
        if limit is not None and age > limit:
            self.past_sla[severity] += 1

    def _first_seen(self, entry: Entry) -> WallMs:
        """Now, if it is not known."""
        if entry.observed is not None and entry.observed.created_at:
            return entry.observed.created_at
        return entry.observed_at or to_wall_clock(
            entry.pending_since or self._now, now=self._now, wall_clock=self._wall_clock
        )
