"""How old the violations of a ledger are, which are past what their severity allows, and what lies in which namespace.

Ages change by time alone, so they are not kept but counted, entry by entry, every so often. A finding that an analyst
has suppressed has no deadline: it counts for no age. One that is resolved in Security Hub and still violated does.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

from policyhub.metrics import AGE_SECONDS, DAY, Ages
from policyhub.sources.filter import namespace_of
from policyhub.sync.entry import SUPPRESSED, Entry

Tally = tuple[str, str, str, str]
"""(source, policy, severity, namespace)."""


class Census:
    """One count of all entries, at one moment."""

    def __init__(self, *, sla_days: Mapping[str, int], wall: int, namespaces: bool) -> None:
        """`sla_days` by severity; `wall` by the clock on the wall, as findings' times are; `namespaces`: whether
        violations are counted by namespace too.
        """
        self.past_sla: Counter[str] = Counter(dict.fromkeys(sla_days, 0))
        """By severity; those that have a deadline only."""
        self.tallies: Counter[Tally] = Counter()
        self._limits = {severity: days * DAY for severity, days in sla_days.items()}
        self._wall = wall
        self._namespaces = namespaces
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
        if self._namespaces:
            of = entry.subject
            self.tallies[(*tally, "" if of is None else namespace_of(of))] += 1
        triage = entry.triage
        if triage is not None and triage[0] == SUPPRESSED:
            return
        severity = (triage[1] if triage is not None else "") or tally[2]
        age = (self._wall - min(first_seen(entry) or self._wall, self._wall)) // 1000
        self._counts[severity][bisect_left(AGE_SECONDS, age)] += 1
        self._seconds[severity] += age
        limit = self._limits.get(severity)
        if limit is not None and age > limit:
            self.past_sla[severity] += 1


def first_seen(entry: Entry) -> int:
    """When the violation was first seen; 0 where nothing tells."""
    if entry.known is not None and entry.known.created_at:
        return entry.known.created_at
    return entry.observed or entry.pending_since
