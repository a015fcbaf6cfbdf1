"""The ledger of one monitored cluster: what is desired, what is observed, what is known of the sources, what is to do.

One ledger per monitored cluster (docs/decisions/0003). It is the one face of four objects, each of which is written by
its own methods only:

| object     | knows                                                                                                  |
|------------|--------------------------------------------------------------------------------------------------------|
| `desired`  | what the cluster reports, by source object and by finding                                              |
| `observed` | what Security Hub holds, what is to be read from it                                                    |
| `sources`  | what the sources' silence is worth, and who else can tell: coverage, audits, ownership, existence      |
| `agenda`   | what is to be decided, what is held and why, what is in a call, timers                                 |

What to do about a difference is decided in `plan`, from one entry and the evidence about it. Invariant: the dirty set
is never smaller than the set of ids that the full comparison would act on (a property test says so).

Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

import msgspec

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sources.filter import namespace_of
from policyhub.sources.violation import Severity
from policyhub.sync import grading
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.agenda import Agenda
from policyhub.sync.desired import Desired
from policyhub.sync.entry import Entry
from policyhub.sync.evidence import Sources
from policyhub.sync.existence import PolicyName, Referent
from policyhub.sync.guard import Guard, Unit
from policyhub.sync.holds import HELD_FOR, WITHOUT_EVIDENCE, Hold, News
from policyhub.sync.in_flight import InFlight, lane_of
from policyhub.sync.intake import Intake
from policyhub.sync.observed import Observed
from policyhub.sync.plan import DAY_MS, GUARDED, Change, Decision, Evidence, Grade, Rules, Wait, decide, refresh_due
from policyhub.sync.refusals import Refusals
from policyhub.sync.shares import Limits, Shares
from policyhub.sync.standings import Standings
from policyhub.sync.superseded import Reports

REPORT_SILENT_MS = 60_000
ASK_AGAIN_MS = 15 * 60_000
"""Between two questions whether the object of a finding that waits for its engine still exists."""
STEADY_MS = 6 * 60 * 60_000
"""Security Hub forgets after 90 days, and findings are refreshed after 25: hours do not matter."""

_NOT_LATE = (None, Hold.WORDING)
"""What is meant to wait tells nothing of how fast findings are delivered."""


def _any(_: Entry) -> bool:
    return True


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
        """`acknowledged` is what Security Hub has lately confirmed to others of this account and Region; `started` is
        now: nothing is refreshed for `STEADY_MS`, since the clock may yet be corrected.
        """
        self.started = started
        self.cluster_id = cluster_id
        self.cluster_uid = cluster_uid
        self.entries: dict[str, Entry] = {}
        self.guard = Guard()
        self.shares = Shares(limits or Limits())
        """What each namespace takes."""
        self.refusals = Refusals()
        """What of the cluster's input was refused, cut or not understood."""
        self.standings = Standings(default_severity=default_severity)
        self.agenda = Agenda(on_dirty=on_dirty)
        self.sources = Sources(entries=self.entries, free=self._free, enqueue=self._enqueue)
        self.desired = Desired(
            cluster_id=cluster_id,
            entries=self.entries,
            standings=self.standings,
            shares=self.shares,
            on_new=self._recall,
            on_claimed=self._claimed_again,
            on_loss=self._unclaimed,
            enqueue=self._enqueue,
        )
        self.observed = Observed(
            cluster_id=cluster_id,
            cluster_uid=cluster_uid,
            entries=self.entries,
            standings=self.standings,
            on_active=self._count_active,
            on_stored=self._stored,
            on_lookup=on_dirty,
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
        )
        self.read, self.mark_unread, self.move_claims = intake.read, intake.mark_unread, intake.move_claims
        self.forget, self.clear, self.repeat = intake.forget, intake.clear, intake.repeat
        calls = InFlight(
            observed=self.observed,
            standings=self.standings,
            agenda=self.agenda,
            guard=self.guard,
            scans=self.sources.scans,
            enqueue=self._enqueue,
        )
        self.mark_in_flight, self.release = calls.mark_in_flight, calls.release
        self.acknowledge, self.reject, self.unanswered = calls.acknowledge, calls.reject, calls.unanswered
        self.take_body, self.take_foreign = calls.take_body, calls.take_foreign
        self._units: dict[Unit, Unit] = {}
        """Each of them once, for all entries to share."""
        self._approved: frozenset[str] = frozenset()
        self._silent_reported_at = NEVER
        self._decided_at = NEVER
        self._asked: dict[Referent, set[str]] = {}
        """Findings that wait for an answer of the API server about this."""

    # -- what the sources say -------------------------------------------------------------------------------------

    def supersede(self, superseded: frozenset[Reports], *, now: SteadyMs) -> None:
        """Take which reports are left behind by their engine."""
        self.desired.supersede(superseded, now=now)

    def _recall(self, entry: Entry, now: SteadyMs) -> None:
        self.observed.recall(entry, now=now)

    def _claimed_again(self, entry: Entry) -> None:
        self.guard.forget(entry.id)
        self.sources.scans.forget(entry.id)

    def _unclaimed(self, entry: Entry) -> None:
        if entry.constraint is not None:
            entry.last_audit_with = self.sources.constraints.audits.get(entry.constraint, 0)
        self._lost(entry)

    def _lost(self, entry: Entry) -> None:
        self.sources.constraints.await_audit(entry)
        of = entry.subject
        if of is not None and entry.constraint is None:
            self.sources.scans.expect(entry.id, entry.source, of)

    # -- what Security Hub says -----------------------------------------------------------------------------------

    def namespace(self, id_: str) -> str:
        """Whose turn and budget a finding takes."""
        of = self.entries[id_].subject if id_ in self.entries else None
        return "" if of is None else namespace_of(of)

    def finish_inventory(self) -> None:
        """Every part of the inventory was read."""
        self.observed.finish_inventory()
        self._free(News.INVENTORY)

    def _stored(self, entry: Entry) -> None:
        """Security Hub has it, and nobody reports it."""
        if entry.observed is not None and not entry.observed.archived:
            self.sources.stored(entry)
            self._lost(entry)

    def _count_active(self, entry: Entry, change: int) -> None:
        if change > 0:
            unit = entry.source, self.namespace(entry.id)
            entry.counted_in = self._units.setdefault(unit, unit)
            self.guard.count(unit, 1)
        elif entry.counted_in is not None:
            self.guard.count(entry.counted_in, -1)
            entry.counted_in = None

    # -- deciding -------------------------------------------------------------------------------------------------

    def evidence(self, entry: Entry, *, rules: Rules, now: SteadyMs, wall: WallMs) -> Evidence:
        """All that decides about the finding, at this moment."""
        if entry.id in self.observed.quarantine.ids:
            return Evidence(quarantined=True)
        blocked = self._blocked(entry, now=now)
        observed = entry.observed
        if entry.desired:
            return Evidence(
                not_before=NEVER if entry.constraint is not None else self.sources.listening_until,
                settled=self.sources.settled(entry),
                wording=self.observed.outcomes.wording(entry),
                refresh=observed is not None
                and wall >= refresh_due(entry.id, observed.updated_at)
                and now - entry.acknowledged_at >= DAY_MS
                and now >= self.started + STEADY_MS,
                blocked=blocked,
            )
        if observed is None or observed.archived:
            return Evidence()
        if self.observed.suspect:
            return Evidence(hold=Hold.GUARD)
        found = grading.of_lost(entry, sources=self.sources, guard=self.guard, rules=rules, now=now, wall=wall)
        since, not_before, closed = found.since, found.not_before, False
        if found.grade in GUARDED and entry.counted_in is not None:
            since = max(since, now if entry.blocked else entry.unblocked_at)
            closed = not self.observed.whole or self.guard.closed(entry.counted_in, now=now)
            if released := self.guard.released.get(entry.counted_in):
                not_before = max(not_before, released + rules.archive_delay_ms)
        if found.grade is not Grade.NONE:
            since = since + self.observed.outcomes.damping(entry.id, now=now)
        listing = self.sources.is_being_listed(entry)
        return msgspec.structs.replace(
            found, since=since, not_before=not_before, closed=closed, listing=listing, blocked=blocked
        )

    def _blocked(self, entry: Entry, *, now: SteadyMs) -> Wait | None:
        if (until := self.observed.outcomes.postponed(entry.id)) > now:
            return Wait(until, Hold.FAILED)
        if self.shares.tight and (until := self.shares.spent(entry.subject, now=now)):
            return Wait(until, Hold.BUDGET)
        return None

    def decide(self, entry: Entry, *, rules: Rules, now: SteadyMs, wall: WallMs) -> tuple[Decision, Evidence]:
        """What to do about the finding. All that are lost together are counted before the first of them is archived:
        one that the guard does not know yet waits until it does.
        """
        self._decided_at = now
        if entry.observed is None and entry.id not in self.observed.quarantine.ids:
            self.observed.recall(entry, now=now)  # another ledger's call may have been answered since
        evidence = self.evidence(entry, rules=rules, now=now, wall=wall)
        if entry.blocked and evidence.grade in GUARDED:
            entry.blocked, entry.unblocked_at = False, now
        decision = decide(entry, evidence, rules, now)
        if decision is Change.ARCHIVED and evidence.grade in GUARDED and not self.guard.knows(entry.id):
            return Wait(now), evidence
        return decision, evidence

    def mark_decided(self, entry: Entry, decision: Hold | Wait | None, *, lost: bool = False) -> None:
        """Nothing is done about it now. `lost`: the guard counts it."""
        hold = decision.hold if isinstance(decision, Wait) else decision
        if lost and entry.counted_in is not None and not entry.desired:
            self.guard.wait(entry.id, entry.counted_in)
        else:
            self.guard.forget(entry.id)
        if hold is not Hold.PRESENCE:
            entry.asking_since = NEVER
        elif not entry.asking_since and isinstance(decision, Wait):
            entry.asking_since = decision.until - grading.UNANSWERED_MS
        entry.pending_since = NEVER if hold in _NOT_LATE else entry.pending_since
        if hold is not None:
            entry.blocked = hold in WITHOUT_EVIDENCE and not entry.desired
            self.agenda.hold(entry.id, hold, self.namespace(entry.id))
            if isinstance(decision, Wait):
                self.agenda.set_timer(entry.id, decision.until)
            elif hold is Hold.UNREPORTED:  # its object may be deleted without a word to anybody
                self.agenda.set_timer(entry.id, self._decided_at + ASK_AGAIN_MS)
            if hold is Hold.PRESENCE and entry.subject is not None:
                for thing in (entry.subject, PolicyName(entry.source, entry.policy)):
                    self._asked.setdefault(thing, set()).add(entry.id)
            return
        self.agenda.mark_done(entry.id)
        if not entry.claims:
            self._retire(entry)

    def _retire(self, entry: Entry) -> None:
        """Nobody reports it, and nothing is to be done about it."""
        if entry.observed is None:
            self._drop(entry)
        elif entry.observed.archived:
            self.observed.archive.put(entry.id)

    def _enqueue(self, entry: Entry) -> None:
        alive = bool(entry.claims) or (entry.observed is not None and not entry.observed.archived)
        if alive != (entry.share is not None):
            self._account(entry, alive=alive)
        if entry.in_flight:  # landing touches it
            return
        if self.observed.awaits(entry):
            if entry.desired:
                self.observed.await_reading(entry)
            else:  # never sent, no longer desired; the inventory brings it back if Security Hub has it
                self.observed.forget(entry.id)
                if not entry.claims:
                    self._drop(entry)
            return
        self.agenda.enqueue(entry.id, lane_of(entry), entry.share or "")

    def _account(self, entry: Entry, *, alive: bool) -> None:
        """It begins or ends to take room in its namespace."""
        if entry.share is not None:
            self.shares.findings.add(entry.share, -1)
        entry.share = self.namespace(entry.id) if alive else None
        if alive:
            self.observed.archive.leave(entry.id)
        if entry.share is not None:
            self.shares.findings.add(entry.share, 1)

    def _forget_archived(self, *, now: SteadyMs) -> None:
        """Keep only the latest of what is archived and nobody reports."""
        for id_ in self.observed.archive.excess():
            entry = self.entries.get(id_)
            if entry is None or entry.claims or entry.observed is None or not entry.observed.archived:
                continue
            if entry.in_flight or id_ in self.agenda.dirty:
                continue  # it is put back when it has been decided
            self._drop(entry)
            self.observed.archive.drop(id_, now=now)

    def _drop(self, entry: Entry) -> None:
        del self.entries[entry.id]
        self.agenda.forget(entry.id)
        self.observed.forget(entry.id)
        self.sources.scans.forget(entry.id)
        if entry.share is not None:
            self._account(entry, alive=False)

    def _free(
        self,
        news: News,
        *,
        namespaces: Collection[str] | None = None,
        where: Callable[[Entry], bool] = _any,
    ) -> None:
        """Decide again what is held for want of such news."""
        for id_ in self.agenda.waiting(HELD_FOR[news], namespaces):
            entry = self.entries[id_]
            if where(entry):
                self._enqueue(entry)

    def wake(self, now: SteadyMs) -> SteadyMs | None:
        """Move what is due to the dirty set and the look-ups; returns when the next timer is due."""
        self.observed.due(now)
        for id_ in self.agenda.due(now):
            entry = self.entries.get(id_)
            if entry is not None and not entry.in_flight:
                self._enqueue(entry)
        return min(
            (due for due in (self.agenda.next_timer, self.observed.lookups.next) if due is not None), default=None
        )

    def unclaimed(self) -> bool:
        """Whether Security Hub has an active finding that nobody reports."""
        return any(not e.desired and e.observed is not None and not e.observed.archived for e in self.entries.values())

    def refresh(self, *, wall: WallMs, now: SteadyMs) -> None:
        """Look at every finding that stands as desired: those last sent too long ago are to be decided again."""
        for entry in self.entries.values():
            observed = entry.observed
            if entry.desired and observed is not None and refresh_due(entry.id, observed.updated_at) <= wall:
                self._enqueue(entry)
        self.sources.constraints.recount_kinds()
        self.observed.outcomes.forget_old(now=now)

    def answered(self, thing: Referent) -> None:
        """The API server has answered: what waited for it is decided again."""
        for id_ in self._asked.pop(thing, ()):
            if self.agenda.hold_of(id_) in HELD_FOR[News.ANSWER]:
                self._enqueue(self.entries[id_])

    # -- the guard ------------------------------------------------------------------------------------------------

    def approve(self, until: Mapping[str, SteadyMs], *, now: SteadyMs) -> None:
        """Take until when a person approves of what each source has lost."""
        self.guard.approve(until, now=now)
        approved = frozenset(until)
        if new := approved - self._approved:
            self._free(News.PERSON, where=lambda entry: entry.source in new)
        self._approved = approved

    def _report_silent(self, *, now: SteadyMs) -> None:
        """Tell the guard, once a minute, what has waited for its engine for so long that a person should know."""
        if now - self._silent_reported_at < REPORT_SILENT_MS:
            return
        self._silent_reported_at = now
        waiting = (self.entries[id_] for id_ in self.agenda.waiting((Hold.UNREPORTED,)))
        self.guard.report_silent(
            Counter(e.source for e in waiting if not e.desired and now - e.unclaimed_since > grading.SILENT_MS), now=now
        )

    def evaluate_guard(self, *, now: SteadyMs) -> tuple[set[str], set[str]]:
        """Note what the guard holds; returns the sources newly held and newly released."""
        self._report_silent(now=now)
        self._forget_archived(now=now)
        self.observed.send_unread(now=now)
        held, released = self.guard.evaluate(now=now)
        for unit in released:
            for id_ in self.guard.waiting(unit):
                if (entry := self.entries.get(id_)) is not None:
                    self._enqueue(entry)
        return {source for source, _ in held}, {source for source, _ in released}
