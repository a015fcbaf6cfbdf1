"""Counts of findings: desired findings by source, policy and severity; active findings by their triage.

Each entry holds its keys in one `CountKeys` that many entries share. A change of the keys moves the counters. Pure: no
I/O, no clock.
"""

from collections import Counter
from collections.abc import Mapping

from policyhub.model.violation import Severity
from policyhub.sync.entry import NEW, SUPPRESSED, CountKeys, Entry, ObservedFinding, Tally, Triage

SPARE_KEYS = 10_000
"""Keys kept for sharing beyond twice the number of tallies, although no entry may use them any more."""


class FindingCounts:
    """Of one monitored cluster."""

    def __init__(self, *, default_severity: Severity) -> None:
        self.default_severity = default_severity
        self.violations: Counter[Tally] = Counter()
        """Desired findings."""
        self.triage: Counter[Triage] = Counter()
        """Findings that are active in Security Hub."""
        self._shared: dict[CountKeys, CountKeys] = {}
        """Each distinct value once."""

    def recount(self, entry: Entry) -> None:
        """Follow a change of the representative claim, or of whether the finding is desired."""
        tally = None
        if entry.desired and entry.representative is not None:
            violation = entry.representative
            tally = Tally(violation.source, violation.policy, violation.label(self.default_severity))
        before, triage = entry.count_keys
        if tally == before:
            return
        if before is not None:
            self.violations[before] -= 1
            if not self.violations[before]:
                del self.violations[before]
        if tally is not None:
            self.violations[tally] += 1
            if before is not None and triage is not None and triage.severity == before.severity:
                # No analyst has changed the severity: it follows the engine.
                self.set_triage(entry, Triage(triage.status, tally.severity))
        self._set_keys(entry, tally, entry.triage)

    def set_triage(self, entry: Entry, triage: Triage) -> Triage:
        """Set the triage that Security Hub shows; returns it."""
        if entry.triage is not None and entry.observed is not None and not entry.observed.archived:
            self.triage[entry.triage] -= 1
            self.triage[triage] += 1
        self._set_keys(entry, entry.tally, triage)
        return triage

    def count_active(self, entry: Entry, change: int) -> None:
        """The finding became active (`change` 1) or is no longer active (-1)."""
        self.triage[entry.triage or self.set_triage(entry, Triage(NEW, severity(entry)))] += change

    def reset_triage(self, entry: Entry, observed: ObservedFinding) -> None:
        """A created or reactivated finding gets the workflow status NEW in Security Hub, unless it was SUPPRESSED."""
        before = entry.observed
        if observed.archived or (before is not None and not before.archived):
            return
        if before is None or entry.triage is None:
            self.set_triage(entry, Triage(NEW, severity(entry)))
        elif entry.triage.status != SUPPRESSED:
            self.set_triage(entry, Triage(NEW, entry.triage.severity))

    def _set_keys(self, entry: Entry, tally: Tally | None, triage: Triage | None) -> None:
        keys = CountKeys(tally, triage)
        if len(self._shared) > SPARE_KEYS + 2 * len(self.violations):  # most of them are unused
            self._shared = {}
        entry.count_keys = self._shared.setdefault(keys, keys)

    def severities(self) -> Mapping[Severity, int]:
        """Desired findings by severity."""
        counts: Counter[Severity] = Counter()
        for tally, number in self.violations.items():
            counts[tally.severity] += number
        return counts


def severity(entry: Entry) -> str:
    """The severity that the engine reports; empty if nothing reports the finding."""
    return entry.tally.severity if entry.tally is not None else ""
