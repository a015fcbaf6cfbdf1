"""Findings in calls to Security Hub, and the outcome of each when its call has ended.

A finding is in at most one call, and is not decided again before that call has ended. The end of the call enqueues it,
whatever the answer: then it is decided again. Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable
from typing import Any

from policyhub.clock import NEVER, SteadyMs
from policyhub.findings.truncation import same_content
from policyhub.sync.agenda import Agenda
from policyhub.sync.entry import Entry, Loss, ObservedFinding
from policyhub.sync.finding_counts import FindingCounts
from policyhub.sync.guard import Guard
from policyhub.sync.lanes import Lane
from policyhub.sync.observed import Observed
from policyhub.sync.scans import Scans


class InFlight:
    """For one monitored cluster."""

    def __init__(
        self,
        *,
        observed: Observed,
        finding_counts: FindingCounts,
        agenda: Agenda,
        guard: Guard,
        scans: Scans,
        enqueue: Callable[[Entry], None],
    ) -> None:
        self._observed = observed
        self._finding_counts = finding_counts
        self._agenda = agenda
        self._guard = guard
        self._scans = scans
        self._enqueue = enqueue

    def acknowledge(self, entry: Entry, observed: ObservedFinding, *, now: SteadyMs) -> None:
        """Security Hub accepted the import."""
        self._mark_returned(entry)
        self._mark_own_import(entry)
        self._finding_counts.reset_triage(entry, observed)
        if entry.observed is not None and entry.observed.archived and not observed.archived:
            self._observed.outcomes.note_relapse(entry.id, now=now)
        elif _reworded(entry, observed):
            self._observed.outcomes.note_rewording(entry, now=now)
        entry.acknowledged_at = now
        self._observed.outcomes.forget(entry.id)
        entry.backlog = False
        entry.body = None
        entry.rejected = ""
        entry.unanswered = None
        entry.pending_since = NEVER
        self._observed.set_observed(entry, observed)
        if observed.archived and not entry.desired:
            self._guard.forget(entry.id)
            self._scans.forget(entry.id)
            entry.own_passes = entry.lacked_evidence = False
            entry.own = None
            entry.evidence_since = entry.reported_at = NEVER
            entry.representative = None
            entry.observed_at = None
            entry.loss = Loss.SILENT
        self._enqueue(entry)

    @staticmethod
    def _mark_own_import(entry: Entry) -> None:
        """A finding that becomes active by our import was not reported by its object's own result before."""
        if entry.own is None and (entry.observed is None or entry.observed.archived):
            entry.own = False

    def reject(self, entry: Entry, sent_digest: str) -> None:
        """Security Hub permanently rejects this content: it is not sent again until it changes."""
        self._mark_returned(entry)
        self._observed.outcomes.forget(entry.id)
        entry.rejected = sent_digest
        self._enqueue(entry)

    def mark_unanswered(self, entry: Entry, observed: ObservedFinding) -> None:
        """The import may or may not have been written."""
        self._mark_returned(entry)
        self._mark_own_import(entry)
        self._observed.mark_unanswered(entry, observed)
        self._enqueue(entry)

    def release(self, entry: Entry) -> None:
        """The import was not written (throttled, call refused, finding failed): it has to be sent again."""
        self._mark_returned(entry)
        self._enqueue(entry)

    def take_body(self, entry: Entry, body: dict[str, Any] | None, observed: ObservedFinding | None) -> None:
        """Take the finding as read by id before archiving; None: Security Hub no longer holds it."""
        self._mark_returned(entry)
        self._observed.set_observed(entry, observed)
        entry.body = body
        self._enqueue(entry)

    def take_foreign(self, entry: Entry, uid: str, *, archived: bool, now: SteadyMs) -> None:
        """A finding read by id before archiving belongs to another cluster: leave it alone."""
        self._mark_returned(entry)
        self._observed.set_observed(entry, None)
        self._observed.take_foreign(entry.id, uid, archived=archived, now=now)
        self._enqueue(entry)

    def mark_in_flight(self, entry: Entry) -> None:
        """The entry is in a call: it is not decided again before the call has ended."""
        entry.in_flight = True
        self._agenda.mark_in_flight(entry.id, lane_of(entry))

    def _mark_returned(self, entry: Entry) -> None:
        entry.in_flight = False
        self._agenda.mark_returned(entry.id)


def _reworded(entry: Entry, observed: ObservedFinding) -> bool:
    """Whether an accepted import has changed only the wording."""
    before = entry.observed
    return (
        before is not None
        and not (before.archived or observed.archived)
        and "" not in (before.digest, before.result_and_severity)
        and before.digest != observed.digest
        and before.result_and_severity == observed.result_and_severity
        and before.renderer == observed.renderer  # another renderer version, not the producer, changed the wording
    )


def lane_of(entry: Entry) -> Lane:
    """The lane of a difference. A wrong lane only changes the order of sending."""
    observed = entry.observed
    if not entry.desired:
        return Lane.URGENT
    if observed is None or observed.archived or entry.unanswered is not None:
        return Lane.BACKLOG if entry.backlog else Lane.URGENT
    return Lane.REFRESH if same_content(observed.digest, entry.digest) else Lane.CHANGED
