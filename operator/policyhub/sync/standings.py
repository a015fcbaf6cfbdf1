"""What findings are counted by: the desired ones by source, policy and severity, the active ones by their triage.

An entry carries both in one object that many entries share; the counters move with it. Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Mapping

from policyhub.sources.violation import Severity
from policyhub.sync.entry import NEW, SUPPRESSED, Entry, ObservedFinding, Standing, Tally, Triage

STANDINGS = 10_000
"""Standings that are kept to be shared although no entry may have them any more."""


class Standings:
    """Of one monitored cluster."""

    def __init__(self, *, default_severity: Severity) -> None:
        self.default_severity = default_severity
        self.violations: Counter[Tally] = Counter()
        """Desired findings."""
        self.triage: Counter[Triage] = Counter()
        """Findings that are active in Security Hub, by what analysts have done with them."""
        self._shared: dict[Standing, Standing] = {}
        """Each of them once."""

    def recount(self, entry: Entry) -> None:
        """What it says, or whether it is desired, may have changed."""
        tally = None
        if entry.desired and entry.representative is not None:
            v = entry.representative
            tally = (v.source, v.policy, v.label(self.default_severity))
        before, triage = entry.standing
        if tally == before:
            return
        if before is not None:
            self.violations[before] -= 1
            if not self.violations[before]:
                del self.violations[before]
        if tally is not None:
            self.violations[tally] += 1
            if before is not None and triage is not None and triage[1] == before[2]:
                self.sort(entry, (triage[0], tally[2]))  # no analyst has changed it: it follows the engine
        self._stand(entry, tally, entry.triage)

    def sort(self, entry: Entry, triage: Triage) -> Triage:
        """Take how Security Hub shows it."""
        if entry.triage is not None and entry.observed is not None and not entry.observed.archived:
            self.triage[entry.triage] -= 1
            self.triage[triage] += 1
        self._stand(entry, entry.tally, triage)
        return triage

    def activate(self, entry: Entry, change: int) -> None:
        """It becomes active (1) or ceases to be (-1)."""
        self.triage[entry.triage or self.sort(entry, (NEW, severity(entry)))] += change

    def renew(self, entry: Entry, observed: ObservedFinding) -> None:
        """Security Hub makes a finding NEW that it is sent for the first time or again, but for a suppressed one."""
        before = entry.observed
        if observed.archived or (before is not None and not before.archived):
            return
        if before is None or entry.triage is None:
            self.sort(entry, (NEW, severity(entry)))
        elif entry.triage[0] != SUPPRESSED:
            self.sort(entry, (NEW, entry.triage[1]))

    def _stand(self, entry: Entry, tally: Tally | None, triage: Triage | None) -> None:
        standing = (tally, triage)
        if len(self._shared) > STANDINGS + 2 * len(self.violations):  # mostly of what is gone
            self._shared = {}
        entry.standing = self._shared.setdefault(standing, standing)

    def severities(self) -> Mapping[Severity, int]:
        """Desired findings by severity."""
        counts: Counter[Severity] = Counter()
        for (_, _, level), number in self.violations.items():
            counts[level] += number
        return counts


def severity(entry: Entry) -> str:
    """As the engine says; empty where nothing reports it."""
    return entry.tally[2] if entry.tally is not None else ""
