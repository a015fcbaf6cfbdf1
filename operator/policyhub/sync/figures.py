"""The numbers of a ledger for status and metrics. Pure: no I/O, no clock; times are Unix milliseconds."""

from collections import Counter
from collections.abc import Mapping

from policyhub.clock import SteadyMs
from policyhub.sync.holds import Hold
from policyhub.sync.lanes import Lane
from policyhub.sync.ledger import Ledger

FAILED = "failed"
"""The lane name of findings that Security Hub failed."""


def waiting(ledger: Ledger) -> Mapping[str, int]:
    """Findings that Security Hub does not hold as desired yet, by lane (an upper bound while decisions are
    outstanding).
    """
    lanes = {lane.name.lower(): len(ledger.agenda.dirty.queue(lane)) for lane in Lane}
    for lane in ledger.agenda.in_flight.values():
        lanes[lane.name.lower()] += 1
    unread = len(ledger.observed.progress.unread) + ledger.agenda.count(Hold.SECOND_READ)
    return {**lanes, "unread": unread, FAILED: ledger.agenda.count(Hold.FAILED)}


def pending(ledger: Ledger) -> int:
    return sum(waiting(ledger).values())


def oldest_pending(ledger: Ledger) -> SteadyMs | None:
    """Since when the oldest pending finding has waited."""
    observed, agenda = ledger.observed, ledger.agenda
    held = agenda.waiting((Hold.SECOND_READ,))
    ids = (*agenda.dirty, *observed.progress.unread, *held, *agenda.in_flight, *observed.outcomes.failed)
    times = [since for id_ in ids if (since := ledger.entries[id_].pending_since)]
    return min(times, default=None)


def held_reasons(ledger: Ledger) -> Counter[str]:
    """Held findings that nobody reports, by reason."""
    return Counter(hold for id_, hold in ledger.agenda.held.items() if not ledger.entries[id_].desired)


def rejected(ledger: Ledger) -> int:
    """Findings whose current content Security Hub permanently rejected."""
    return ledger.agenda.count(Hold.REJECTED)


def quarantined(ledger: Ledger) -> int:
    """Findings that the cluster reports and that belong to another cluster in Security Hub."""
    entries = ledger.entries
    return sum(1 for i in ledger.observed.quarantine.ids if (entry := entries.get(i)) is not None and entry.desired)
