"""Findings in calls to Security Hub: which are, and what becomes of each when its call has ended.

A finding is in one call at most, and is not decided again before that has *landed*. Whatever the answer is, landing
touches it: then it is decided anew. Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable
from typing import Any

from policyhub.clocks import NEVER, SteadyMs
from policyhub.findings.truncation import alike
from policyhub.sync.agenda import Agenda
from policyhub.sync.entry import Entry, Known, Loss
from policyhub.sync.guard import Guard
from policyhub.sync.lanes import Lane
from policyhub.sync.observed import Observed
from policyhub.sync.scans import Scans
from policyhub.sync.standings import Standings


class Calls:
    """Of one monitored cluster."""

    def __init__(
        self,
        *,
        observed: Observed,
        standings: Standings,
        agenda: Agenda,
        guard: Guard,
        scans: Scans,
        touch: Callable[[Entry], None],
    ) -> None:
        self._observed = observed
        self._standings = standings
        self._agenda = agenda
        self._guard = guard
        self._scans = scans
        self._touch = touch

    def acknowledge(self, entry: Entry, known: Known, *, now: SteadyMs) -> None:
        """Security Hub took the import."""
        self._land(entry)
        self._begin(entry)
        self._standings.renew(entry, known)
        if entry.known is not None and entry.known.archived and not known.archived:
            self._observed.outcomes.relapse(entry.id, now=now)
        elif _reworded(entry, known):
            self._observed.outcomes.reword(entry, now=now)
        entry.acknowledged = now
        self._observed.outcomes.forget(entry.id)
        entry.backlog = False
        entry.body = None
        entry.rejected = ""
        entry.unanswered = None
        entry.pending_since = NEVER
        self._observed.know(entry, known)
        if known.archived and not entry.wanted:
            self._guard.forget(entry.id)
            self._scans.forget(entry.id)
            entry.passes = entry.blocked = False
            entry.own = None
            entry.freed = entry.heard = NEVER
            entry.voice = None
            entry.observed = None
            entry.loss = Loss.SILENT
        self._touch(entry)

    @staticmethod
    def _begin(entry: Entry) -> None:
        """What becomes active by our own import was reported by nobody else before."""
        if entry.own is None and (entry.known is None or entry.known.archived):
            entry.own = False

    def reject(self, entry: Entry, sent_digest: str) -> None:
        """Security Hub refuses this content for good: it is not sent again until it changes."""
        self._land(entry)
        self._observed.outcomes.forget(entry.id)
        entry.rejected = sent_digest
        self._touch(entry)

    def unanswered(self, entry: Entry, known: Known) -> None:
        """The import may or may not have been written."""
        self._land(entry)
        self._begin(entry)
        self._observed.unanswered(entry, known)
        self._touch(entry)

    def release(self, entry: Entry) -> None:
        """The import was not written (throttled, refused as a whole, failed by name): it stays to be done."""
        self._land(entry)
        self._touch(entry)

    def take_body(self, entry: Entry, body: dict[str, Any] | None, known: Known | None) -> None:
        """Take the finding as read by id before archiving: None where Security Hub has it no longer."""
        self._land(entry)
        self._observed.know(entry, known)
        entry.body = body
        self._touch(entry)

    def meet_foreign(self, entry: Entry, uid: str, *, archived: bool, now: SteadyMs) -> None:
        """A finding read by id before archiving turned out to be another cluster's: it is not ours to touch."""
        self._land(entry)
        self._observed.know(entry, None)
        self._observed.meet(entry.id, uid, archived=archived, now=now)
        self._touch(entry)

    def launch(self, entry: Entry) -> None:
        """The entry is in a call from now on: it is not decided again before the call has landed."""
        entry.in_flight = True
        self._agenda.launch(entry.id, lane_of(entry))

    def _land(self, entry: Entry) -> None:
        entry.in_flight = False
        self._agenda.land(entry.id)


def _reworded(entry: Entry, known: Known) -> bool:
    """Whether an import that was taken has changed nothing but the words."""
    before = entry.known
    return (
        before is not None
        and not (before.archived or known.archived)
        and "" not in (before.digest, before.gist)
        and before.digest != known.digest
        and before.gist == known.gist
        and before.renderer == known.renderer  # another version's words are no doing of the producer
    )


def lane_of(entry: Entry) -> Lane:
    """Where a difference waits; what was decided wrongly here is sent all the same."""
    known = entry.known
    if not entry.wanted:
        return Lane.URGENT
    if known is None or known.archived or entry.unanswered is not None:
        return Lane.BACKLOG if entry.backlog else Lane.URGENT
    return Lane.REFRESH if alike(known.digest, entry.digest) else Lane.CHANGED
