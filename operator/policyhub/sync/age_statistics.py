"""How old the violations of a ledger are, which are past what their severity allows, and what lies in which namespace.

On the way it admits the names that the metrics show one by one (`policyhub.sync.admission`): an entry knows which
namespaces its source objects lie in, and no counter could keep that at so little cost.

Ages change by time alone, so they are not kept but counted, entry by entry, every so often. A finding that an analyst
has suppressed has no deadline: it counts for no age. One that is resolved in Security Hub and still violated does.

Pure: no I/O, no clock.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

from policyhub.ages import AGE_SECONDS, DAY, Ages
from policyhub.clock import SteadyMs, WallMs, to_wall_clock
from policyhub.sources.filter import namespace_of
from policyhub.sync.admission import Admission
from policyhub.sync.entry import SUPPRESSED, Entry

Name = tuple[str, ...]
"""(source, policy, severity), and the namespace of the object where violations are counted by namespace."""


class AgeStatistics:
    """One count of all entries, at one moment."""

    def __init__(
        self,
        *,
        sla_days: Mapping[str, int],
        now: SteadyMs,
        wall: WallMs,
        namespaces: bool,
        shown: Admission[Name] | None = None,
    ) -> None:
        """`sla_days` by severity; `now` and `wall` are one moment; `namespaces`: whether
        violations are counted by namespace too; `shown`: where the names that are shown one by one are admitted.
        """
        self.past_sla: Counter[str] = Counter(dict.fromkeys(sla_days, 0))
        """By severity; those that have a deadline only."""
        self.tallies: Counter[Name] = Counter()
        self._limits = {severity: days * DAY for severity, days in sla_days.items()}
        self._now = now
        self._wall = wall
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
            of = entry.subject
            name = (*tally, "" if of is None else namespace_of(of))
            self.tallies[name] += 1
        shown = self._shown
        if shown is not None and name not in shown:
            any(shown.admit(name, caller.namespace) for caller, _ in entry.claims)
        triage = entry.triage
        if triage is not None and triage[0] == SUPPRESSED:
            return
        severity = (triage[1] if triage is not None else "") or tally[2]
        age = max(0, self._wall - self._first_seen(entry)) // 1000
        self._counts[severity][bisect_left(AGE_SECONDS, age)] += 1
        self._seconds[severity] += age
        limit = self._limits.get(severity)
        if limit is not None and age > limit:
            self.past_sla[severity] += 1

    def _first_seen(self, entry: Entry) -> WallMs:
        """Now, where nothing tells."""
        if entry.observed is not None and entry.observed.created_at:
            return entry.observed.created_at
        return entry.observed_at or to_wall_clock(entry.pending_since or self._now, now=self._now, wall=self._wall)
