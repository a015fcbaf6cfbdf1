"""The ledger of one monitored cluster: desired findings, observed findings, evidence, and what is to be decided.

One ledger per monitored cluster (docs/decisions/0003). It is the facade of four objects. Only their own methods change
them:

| object     | holds                                                                                                  |
|------------|--------------------------------------------------------------------------------------------------------|
| `desired`  | what the cluster reports, by source object and by finding                                              |
| `observed` | what Security Hub holds, and what has to be read from it                                               |
| `sources`  | whether silence of a source is evidence, and other evidence: audits, ownership, existence              |
| `agenda`   | what is to be decided, what is held and why, what is in flight, timers                                 |

`plan` decides about one entry by its evidence. Invariant: the dirty set contains every id that a full comparison would
act on (a property test checks it).

Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

import msgspec

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.model.violation import Severity
from policyhub.sources.filter import namespace_of
from policyhub.sync import grading
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.agenda import Agenda
from policyhub.sync.desired import Desired
from policyhub.sync.entry import Entry
from policyhub.sync.evidence import Sources
from policyhub.sync.existence import PolicyName, Referent
from policyhub.sync.finding_counts import FindingCounts
from policyhub.sync.guard import Guard, GuardScope
from policyhub.sync.holds import HELD_FOR, WITHOUT_EVIDENCE, Hold, Trigger
from policyhub.sync.in_flight import InFlight, lane_of
from policyhub.sync.intake import Intake
from policyhub.sync.observed import Observed
from policyhub.sync.plan import DAY_MS, GUARDED, Change, Decision, Evidence, Grade, Rules, Wait, decide, refresh_due
from policyhub.sync.refusals import Refusals
from policyhub.sync.second_read import SecondRead
from policyhub.sync.superseded import Reports
from policyhub.sync.usage import Limits, Usage

REPORT_SILENT_MS = 60_000
RECHECK_MS = 15 * 60_000
"""Between two lookups whether the object of a finding that waits for its engine still exists."""
REFRESH_AFTER_START_MS = 6 * 60 * 60_000
"""The clock may still be corrected after a start. Security Hub deletes findings after 90 days, and they are refreshed
after 25: hours do not matter."""

_NOT_LATE = (None, Hold.WORDING)  # intended waits do not count as delivery latency


class Ledger:
    """Desired and observed findings of one monitored cluster."""

    def __init__(
        self,
        *,
        cluster_id: str,
        cluster_uid: str,
        default_severity: Severity,
        on_dirty: Callable[[], None],
        limits: Limits | None = None,
        acknowledged: Acknowledged | None = None,
        started: SteadyMs = NEVER,
    ) -> None:
        """`acknowledged`: what Security Hub recently confirmed in this account and Region; `started`: now."""
        self.started = started
        self.cluster_id = cluster_id
        self.cluster_uid = cluster_uid
        self.entries: dict[str, Entry] = {}
        self.guard = Guard()
        self.usage = Usage(limits or Limits())
        self.refusals = Refusals()
        """Input of the cluster that was rejected, truncated or not understood."""
        self.finding_counts = FindingCounts(default_severity=default_severity)
        self.agenda = Agenda(on_dirty=on_dirty)
        self.sources = Sources(entries=self.entries, requeue=self._requeue, enqueue=self._enqueue)
        self.desired = Desired(
            cluster_id=cluster_id,
            entries=self.entries,
            finding_counts=self.finding_counts,
            usage=self.usage,
            on_new=lambda entry, now: self.observed.take_acknowledged(entry, now=now),
            on_claimed=self._claimed_again,
            on_loss=self._unclaimed,
            enqueue=self._enqueue,
        )
        self.observed = Observed(
            cluster_id=cluster_id,
            cluster_uid=cluster_uid,
            entries=self.entries,
            finding_counts=self.finding_counts,
            on_active=self._count_active,
            on_stored=self._stored,
            on_lookup=on_dirty,
            second_read=SecondRead(started=started, on_end=lambda: self._requeue(Trigger.SECOND_READ)),
            namespace=self.namespace,
            enqueue=self._enqueue,
            acknowledged=acknowledged,
        )
        intake = Intake(
            entries=self.entries,
            desired=self.desired,
            sources=self.sources,
            guard=self.guard,
            refusals=self.refusals,
            enqueue=self._enqueue,
            on_event=self.observed.progress.second_read.note_event,
        )
        self.read, self.mark_unread, self.move_claims = intake.read, intake.mark_unread, intake.move_claims
        self.forget, self.mark_passed, self.repeat = intake.forget, intake.mark_passed, intake.repeat
        in_flight = InFlight(
            observed=self.observed,
            finding_counts=self.finding_counts,
            agenda=self.agenda,
            guard=self.guard,
            scans=self.sources.scans,
            enqueue=self._enqueue,
        )
        self.mark_in_flight, self.release = in_flight.mark_in_flight, in_flight.release
        self.acknowledge, self.reject = in_flight.acknowledge, in_flight.reject
        self.mark_unanswered = in_flight.mark_unanswered
        self.take_body, self.take_foreign = in_flight.take_body, in_flight.take_foreign
        self._scopes: dict[GuardScope, GuardScope] = {}
        """Each scope once, shared by all entries."""
        self._approved: frozenset[str] = frozenset()
        self._silent_reported_at = NEVER
        self._decided_at = NEVER
        self._awaiting_answer: dict[Referent, set[str]] = {}
        """Findings that wait for the lookup of each referent."""

    # -- the cluster ----------------------------------------------------------------------------------------------

    def supersede(self, superseded: frozenset[Reports], *, now: SteadyMs) -> None:
        """Set the reports that their engine no longer updates."""
        self.desired.supersede(superseded, now=now)

    def _claimed_again(self, entry: Entry) -> None:
        self.guard.forget(entry.id)
        self.sources.scans.forget(entry.id)

    def _unclaimed(self, entry: Entry) -> None:
        if entry.constraint is not None:
            entry.last_audit_with = self.sources.constraints.audits.get(entry.constraint, 0)
        self._lost(entry)

    def _lost(self, entry: Entry) -> None:
        self.sources.constraints.await_audit(entry)
        subject = entry.subject
        if subject is not None and entry.constraint is None:
            self.sources.scans.expect(entry.id, entry.source, subject)

    # -- Security Hub ---------------------------------------------------------------------------------------------

    def namespace(self, id_: str) -> str:
        """Whose turn and limits apply to a finding."""
        subject = self.entries[id_].subject if id_ in self.entries else None
        return "" if subject is None else namespace_of(subject)

    def finish_inventory(self) -> None:
        """Every part of the inventory was read."""
        self.observed.finish_inventory()
        self._requeue(Trigger.INVENTORY)

    def _stored(self, entry: Entry) -> None:
        """Security Hub holds the finding, and nobody reports it."""
        if entry.observed is not None and not entry.observed.archived:
            self.sources.note_stored(entry)
            self._lost(entry)

    def _count_active(self, entry: Entry, change: int) -> None:
        if change > 0:
            scope = entry.source, self.namespace(entry.id)
            entry.counted_in = self._scopes.setdefault(scope, scope)
            self.guard.count(scope, 1)
        elif entry.counted_in is not None:
            self.guard.count(entry.counted_in, -1)
            entry.counted_in = None

    # -- deciding -------------------------------------------------------------------------------------------------

    def evidence(self, entry: Entry, *, rules: Rules, now: SteadyMs, wall_clock: WallMs) -> Evidence:
        """Everything that `plan.decide` needs beside the entry, at this moment."""
        if entry.id in self.observed.quarantine.ids:
            return Evidence(quarantined=True)
        wait = self._import_wait(entry, now=now)
        observed = entry.observed
        if entry.desired:
            return Evidence(
                not_before=NEVER if entry.constraint is not None else self.sources.new_findings_wait_until,
                changes_wait_until=self.sources.changes_wait_until(entry),
                rewording_waits_until=self.observed.outcomes.rewording_waits_until(entry),
                refresh=observed is not None
                and wall_clock >= refresh_due(entry.id, observed.updated_at)
                and now - entry.acknowledged_at >= DAY_MS
                and now >= self.started + REFRESH_AFTER_START_MS,
                import_wait=wait,
            )
        if observed is None or observed.archived:
            return Evidence()
        if self.observed.hub_was_disabled:
            return Evidence(hold=Hold.GUARD)
        found = grading.evidence_of_loss(
            entry, sources=self.sources, guard=self.guard, rules=rules, now=now, wall_clock=wall_clock
        )
        since, not_before, closed = found.since, found.not_before, False
        if found.grade in GUARDED and entry.counted_in is not None:
            since = max(since, now if entry.lacked_evidence else entry.evidence_since)
            closed = not self.observed.progress.complete or self.guard.is_closed(entry.counted_in, now=now)
            if released := self.guard.released.get(entry.counted_in):
                not_before = max(not_before, released + rules.archive_delay_ms)
        if found.grade is not Grade.NONE:
            since = since + self.observed.outcomes.damping(entry.id, now=now)
        listing = self.sources.is_being_listed(entry)
        return msgspec.structs.replace(
            found, since=since, not_before=not_before, held_by_guard=closed, listing=listing, import_wait=wait
        )

    def _import_wait(self, entry: Entry, *, now: SteadyMs) -> Wait | Hold | None:
        if self.observed.progress.second_read.concerns(entry):
            return Hold.SECOND_READ
        if (until := self.observed.outcomes.postponed_until(entry.id)) > now:
            return Wait(until, Hold.FAILED)
        if self.usage.any_exhausted and (until := self.usage.exhausted_until(entry.subject, now=now)):
            return Wait(until, Hold.BUDGET)
        return None

    def decide(self, entry: Entry, *, rules: Rules, now: SteadyMs, wall_clock: WallMs) -> tuple[Decision, Evidence]:
        """What to do about the finding. Findings lost together are all counted before the first is archived: one that
        the guard has not counted yet waits.
        """
        self._decided_at = now
        if entry.observed is None and entry.id not in self.observed.quarantine.ids:
            self.observed.take_acknowledged(entry, now=now)  # another ledger may have sent it since
        evidence = self.evidence(entry, rules=rules, now=now, wall_clock=wall_clock)
        if entry.lacked_evidence and evidence.grade in GUARDED:
            entry.lacked_evidence, entry.evidence_since = False, now
        decision = decide(entry, evidence, rules, now)
        if decision is Change.ARCHIVED and evidence.grade in GUARDED and not self.guard.counts(entry.id):
            return Wait(now), evidence
        return decision, evidence

    def mark_decided(self, entry: Entry, decision: Hold | Wait | None, *, lost: bool = False) -> None:
        """Record that nothing is sent now. `lost`: the guard counts it."""
        hold = decision.hold if isinstance(decision, Wait) else decision
        if lost and entry.counted_in is not None and not entry.desired:
            self.guard.add_lost(entry.id, entry.counted_in)
        else:
            self.guard.forget(entry.id)
        if hold is not Hold.PRESENCE:
            entry.existence_asked_at = NEVER
        elif not entry.existence_asked_at and isinstance(decision, Wait):
            entry.existence_asked_at = decision.until - grading.UNANSWERED_MS
        entry.pending_since = NEVER if hold in _NOT_LATE else entry.pending_since
        if hold is not None:
            entry.lacked_evidence = hold in WITHOUT_EVIDENCE and not entry.desired
            self.agenda.hold(entry.id, hold, self.namespace(entry.id))
            if isinstance(decision, Wait):
                self.agenda.set_timer(entry.id, decision.until)
            elif hold is Hold.UNREPORTED:  # its object may be deleted without any event here
                self.agenda.set_timer(entry.id, self._decided_at + RECHECK_MS)
            if hold is Hold.PRESENCE and entry.subject is not None:
                for referent in (entry.subject, PolicyName(entry.source, entry.policy)):
                    self._awaiting_answer.setdefault(referent, set()).add(entry.id)
            return
        self.agenda.mark_done(entry.id)
        if not entry.claims:
            self._retire(entry)

    def _retire(self, entry: Entry) -> None:
        """Nobody reports the finding, and nothing is to be sent for it."""
        if entry.observed is None:
            self._drop(entry)
        elif entry.observed.archived:
            self.observed.archive.add(entry.id)

    def _enqueue(self, entry: Entry) -> None:
        alive = bool(entry.claims) or (entry.observed is not None and not entry.observed.archived)
        if alive != (entry.charged_to is not None):
            self._charge(entry, alive=alive)
        if entry.in_flight:  # the end of the call enqueues it
            return
        if self.observed.progress.must_be_read(entry):
            if entry.desired:
                self.observed.progress.await_read(entry)
            else:  # not sent, no longer desired; the inventory adds it again if Security Hub holds it
                self.observed.forget(entry.id)
                if not entry.claims:
                    self._drop(entry)
            return
        self.agenda.enqueue(entry.id, lane_of(entry), entry.charged_to or "")

    def _charge(self, entry: Entry, *, alive: bool) -> None:
        """Start or stop counting it against the limits of its namespace."""
        if entry.charged_to is not None:
            self.usage.findings.add(entry.charged_to, -1)
        entry.charged_to = self.namespace(entry.id) if alive else None
        if alive:
            self.observed.archive.discard(entry.id)
        if entry.charged_to is not None:
            self.usage.findings.add(entry.charged_to, 1)

    def _forget_archived(self, *, now: SteadyMs) -> None:
        """Keep as entries only the latest findings that are archived and that nobody reports."""
        for id_ in self.observed.archive.pop_excess():
            entry = self.entries.get(id_)
            if entry is None or entry.claims or entry.observed is None or not entry.observed.archived:
                continue
            if entry.in_flight or id_ in self.agenda.dirty:
                continue  # the next decision adds it to the archive again
            self._drop(entry)
            self.observed.archive.drop(id_, now=now)

    def _drop(self, entry: Entry) -> None:
        del self.entries[entry.id]
        self.agenda.forget(entry.id)
        self.observed.forget(entry.id)
        self.sources.scans.forget(entry.id)
        if entry.charged_to is not None:
            self._charge(entry, alive=False)

    def _requeue(
        self,
        trigger: Trigger,
        *,
        namespaces: Collection[str] | None = None,
        where: Callable[[Entry], bool] | None = None,
    ) -> None:
        """Enqueue the findings whose hold such an event may end."""
        for id_ in self.agenda.waiting(HELD_FOR[trigger], namespaces):
            entry = self.entries[id_]
            if where is None or where(entry):
                self._enqueue(entry)

    def wake(self, now: SteadyMs) -> SteadyMs | None:
        """Move what is due to the dirty set and the lookups; returns when the next timer is due."""
        self.observed.wake_lookups(now)
        for id_ in self.agenda.due(now):
            entry = self.entries.get(id_)
            if entry is not None and not entry.in_flight:
                self._enqueue(entry)
        return min(
            (due for due in (self.agenda.next_timer, self.observed.lookups.next_due) if due is not None), default=None
        )

    def has_unclaimed(self) -> bool:
        """Whether Security Hub holds an active finding that nobody reports."""
        return any(not e.desired and e.observed is not None and not e.observed.archived for e in self.entries.values())

    def refresh(self, *, wall_clock: WallMs, now: SteadyMs) -> None:
        """Enqueue the desired findings that were last sent too long ago."""
        for entry in self.entries.values():
            observed = entry.observed
            if entry.desired and observed is not None and refresh_due(entry.id, observed.updated_at) <= wall_clock:
                self._enqueue(entry)
        self.sources.constraints.recount_kinds()
        self.observed.outcomes.forget_old(now=now)

    def requeue_answered(self, referent: Referent) -> None:
        """The lookup of the referent was answered: enqueue the findings that waited for it."""
        for id_ in self._awaiting_answer.pop(referent, ()):
            if self.agenda.hold_of(id_) in HELD_FOR[Trigger.ANSWER]:
                self._enqueue(self.entries[id_])

    # -- the guard ------------------------------------------------------------------------------------------------

    def approve(self, until: Mapping[str, SteadyMs], *, now: SteadyMs) -> None:
        """Set until when the losses of each source are approved."""
        self.guard.approve(until, now=now)
        approved = frozenset(until)
        if new := approved - self._approved:
            self._requeue(Trigger.APPROVAL, where=lambda entry: entry.source in new)
        self._approved = approved

    def _report_silent(self, *, now: SteadyMs) -> None:
        """Report to the guard, once a minute, how many findings have waited long for their engine."""
        if now - self._silent_reported_at < REPORT_SILENT_MS:
            return
        self._silent_reported_at = now
        waiting = (self.entries[id_] for id_ in self.agenda.waiting((Hold.UNREPORTED,)))
        self.guard.report_silent(
            Counter(e.source for e in waiting if not e.desired and now - e.unclaimed_since > grading.SILENT_AFTER_MS),
            now=now,
        )

    def evaluate_guard(self, *, now: SteadyMs) -> tuple[set[str], set[str]]:
        """Update what the guard holds; returns the sources newly held and newly released."""
        self._report_silent(now=now)
        self._forget_archived(now=now)
        self.observed.progress.send_unread(now=now)
        held, released = self.guard.evaluate(now=now)
        for scope in released:
            for id_ in self.guard.lost_in(scope):
                if (entry := self.entries.get(id_)) is not None:
                    self._enqueue(entry)
        return {source for source, _ in held}, {source for source, _ in released}
