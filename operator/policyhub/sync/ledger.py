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

Pure: no I/O, no clock; `now` is Unix time in milliseconds by a clock that never jumps.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from policyhub.sources.constraints import GROUP as CONSTRAINTS
from policyhub.sources.filter import namespace_of
from policyhub.sources.violation import Identity, Place, Severity, SourceKey, Subject, Violation
from policyhub.sync import grading
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.agenda import Agenda
from policyhub.sync.desired import Call, Desired, Reports
from policyhub.sync.entry import Entry, Known, Loss
from policyhub.sync.evidence import Sources
from policyhub.sync.existence import PolicyName, Thing
from policyhub.sync.guard import Guard, Unit
from policyhub.sync.holds import HELD_FOR, WITHOUT_EVIDENCE, Hold, News
from policyhub.sync.lanes import Lane
from policyhub.sync.observed import Observed
from policyhub.sync.plan import DAY_MS, GUARDED, Change, Decision, Evidence, Grade, Rules, Wait, decide, refresh_due
from policyhub.sync.refusals import Refusal, Refusals
from policyhub.sync.shares import Excess, Limits, Shares
from policyhub.sync.standings import Standings


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
    ) -> None:
        """`acknowledged` is what Security Hub has lately told other ledgers of the same account and Region."""
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
        self.sources = Sources(entries=self.entries, free=self._free, touch=self._touch)
        self.desired = Desired(
            cluster_id=cluster_id,
            entries=self.entries,
            standings=self.standings,
            shares=self.shares,
            on_new=self._recall,
            on_want=self._wanted,
            on_loss=self._unclaimed,
            touch=self._touch,
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
            touch=self._touch,
            acknowledged=acknowledged,
        )
        self._units: dict[Unit, Unit] = {}
        """Each of them once, for all entries to share."""
        self._approved: frozenset[str] = frozenset()
        self._asked: dict[Thing, set[str]] = {}
        """Findings that wait for an answer of the API server about this."""

    # -- what the sources say -------------------------------------------------------------------------------------

    def read(
        self,
        key: SourceKey,
        calls: Iterable[Call],
        *,
        complete: bool,
        passed: Callable[[], frozenset[Identity]],
        now: int,
        audited: int | None = None,
        boundary: Place | None = None,
        backlog: bool = False,
        ended: frozenset[str] = frozenset(),
        unevaluated: Iterable[Identity] = (),
        newest: Collection[tuple[str, int]] = (),
        about: Iterable[tuple[Subject, str]] = (),
        on_excess: Callable[[Counter[Excess]], None] | None = None,
    ) -> bool:
        """Take what one source object now reports; says whether anything of meaning changed.

        `calls` are (violation, observed Unix ms or None). `passed` is asked for the object's pass and skip results only
        if something that it reported is missing now. An incomplete object adds and changes, and ends nothing but what
        it passes, a truncated constraint's objects below `boundary` and the ids of `ended`. `backlog`: it comes by the
        source's first listing. `unevaluated` are findings that a report could not evaluate: it neither reports nor
        ends them. `newest` and `about`: the newest time (Unix s) of each source, and which source speaks of which
        object. `on_excess` is told how many were left out, by the limit that leaves no room: then the object counts as
        incomplete.
        """
        new = self.desired.ids(calls)
        old = self.desired.objects.get(key, ())
        excess = self.desired.admit(key, new, frozenset(old))
        if on_excess is not None and excess:
            on_excess(excess)
        complete = complete and not excess
        (self.sources.mark_complete if complete else self.sources.mark_incomplete)(key)
        changed = False
        for id_, call in new.items():
            changed |= self.desired.claim(id_, key, call, now=now, backlog=backlog)
        unknown = self.sources.set_unevaluated(key, self.desired.named(unevaluated) if unevaluated else frozenset())
        lost = [id_ for id_ in old if id_ not in new]
        positive = self.desired.passing(key, passed()) if lost else set()
        ends = positive | ended
        kept = tuple(
            i
            for i in lost
            if i in unknown or not (complete or i in ends or self.sources.below(self.entries[i], boundary))
        )
        times = dict(newest)
        for id_ in lost:
            if id_ not in kept:
                changed = True
                self._withdraw(id_, key, loss=Loss.PASSED if id_ in positive else Loss.OMITTED, now=now, times=times)
        self.desired.keep(key, (*new, *kept))
        if key.group == CONSTRAINTS:
            lists = [violation for violation, _ in new.values()]
            self.sources.audit(key, audited or 0, lists=lists, complete=complete, boundary=boundary)
        else:
            counts = [(of, source) for of, source in about if self.desired.counts(source, key)]
            self.sources.reported(key, newest=newest, about=counts, changed=changed, now=now)
        return changed

    def _withdraw(
        self, id_: str, key: SourceKey, *, loss: Loss, now: int, times: Mapping[str, int] | None = None
    ) -> None:
        entry = self.entries[id_]
        self.desired.withdraw(id_, key, loss=loss, now=now)
        of, said = entry.subject, times or {}
        if (
            loss is Loss.OMITTED
            and entry.source in said
            and of is not None
            and id_ in self.entries
            and not entry.wanted
        ):
            self.sources.scans.expect(id_, entry.source, of, omitted_at=said[entry.source])

    def doubt(self, key: SourceKey) -> None:
        """Take that a source object was not read: what it reported stands, and its silence is no evidence."""
        self.sources.mark_incomplete(key)

    def shift(
        self, key: SourceKey, calls: Iterable[Call], lost: Iterable[Violation], *, now: int, backlog: bool
    ) -> None:
        """Take that what a source object said rolls up to others now: all its calls, and those that it no longer makes.
        That is no word of its own: the loss is silent. `backlog`: as of `read`.
        """
        new = self.desired.ids(calls)
        old = self.desired.objects.get(key, ())
        excess = self.desired.admit(key, new, frozenset(old))
        if excess:
            self.sources.mark_incomplete(key)
            refusals = tuple(Refusal(limit, len(new) + number, len(new)) for limit, number in excess.items())
            self.refusals.put(key.origin, key.namespace, key.name, refusals)
        gone = self.desired.named(violation.identity for violation in lost)
        for id_, call in new.items():
            self.desired.claim(id_, key, call, now=now, backlog=backlog)
        for id_ in old:
            if id_ in gone:
                self._withdraw(id_, key, loss=Loss.SILENT, now=now)
        self.desired.keep(key, tuple(dict.fromkeys((*new, *(id_ for id_ in old if id_ not in gone)))))

    def gone(self, key: SourceKey, *, now: int) -> bool:
        """Take that a source object no longer exists; says whether it reported anything."""
        self.sources.mark_complete(key)
        self.sources.set_unevaluated(key, frozenset())
        self.sources.scans.drop(key)
        ids = self.desired.objects.get(key, ())
        self.desired.keep(key, ())
        loss = Loss.OMITTED if key.group == CONSTRAINTS else Loss.SILENT
        for id_ in ids:
            self._withdraw(id_, key, loss=loss, now=now)
        if key.group == CONSTRAINTS:
            self.sources.drop_constraint(key)
        return bool(ids)

    def clear(self, identities: Iterable[Identity], *, key: SourceKey) -> None:
        """Take positive evidence of one source object for findings that nobody reports, the inventory's among them,
        whichever API reported them before: the one that speaks of them now counts.

        Only right once `reports_listed`: before, somebody may report them who was not heard yet.
        """
        for id_ in self.desired.passing(key, identities):
            entry = self.entries.get(id_)
            if entry is not None and not entry.wanted and not entry.cleared:
                entry.loss, entry.origin = Loss.PASSED, key.origin
                self.guard.forget(entry.id)
                self._touch(entry)

    def supersede(self, superseded: frozenset[Reports], *, now: int) -> None:
        """Take which reports are left behind by their engine."""
        self.desired.supersede(superseded, now=now)

    def _recall(self, entry: Entry, now: int) -> None:
        self.observed.recall(entry, now=now)

    def _wanted(self, entry: Entry) -> None:
        self.guard.forget(entry.id)
        self.sources.scans.forget(entry.id)

    def _unclaimed(self, entry: Entry) -> None:
        if entry.constraint is not None:
            entry.listed = self.sources.audits.get(entry.constraint, 0)
        self._lost(entry)

    def _lost(self, entry: Entry) -> None:
        self.sources.lose(entry)
        of = entry.subject
        if of is not None and entry.constraint is None:
            self.sources.scans.expect(entry.id, entry.source, of)

    # -- namespaces -----------------------------------------------------------------------------------------------

    @property
    def opened(self) -> dict[str, int]:
        """Origin → when its last listing or watch was accepted."""
        return self.sources.opened

    def list_namespaces(self, names: frozenset[str], *, now: int) -> None:
        """All namespaces that there are."""
        self._decide_again(self.sources.spaces.list(names, now=now))
        self._decide_deleted()

    def namespace_came(self, name: str) -> None:
        if self.sources.spaces.came(name):
            self._decide_again({name})

    def namespace_gone(self, name: str, *, now: int) -> None:
        """A namespace was deleted."""
        self.sources.spaces.gone(name, now=now)
        self._decide_again({name})

    def namespaces_live(self, *, live: bool, now: int) -> None:
        """Whether namespaces are seen whole and live."""
        if self.sources.spaces.live(live=live, now=now) and live:
            self._decide_deleted()

    def _decide_deleted(self) -> None:
        for id_ in list(self.agenda.waiting(Hold)):
            entry = self.entries[id_]
            if not entry.wanted and self.sources.spaces.deleted(entry.place) is not None:
                self._touch(entry)

    def _decide_again(self, namespaces: Collection[str]) -> None:
        for id_ in list(self.agenda.waiting(Hold, namespaces)):
            self._touch(self.entries[id_])

    # -- what Security Hub says -----------------------------------------------------------------------------------

    def namespace(self, id_: str) -> str:
        """Whose turn and budget a finding takes."""
        of = self.entries[id_].subject if id_ in self.entries else None
        return "" if of is None else namespace_of(of)

    def finish_inventory(self) -> None:
        """Every part of the inventory was read."""
        self.observed.finish_inventory()
        self._free(News.INVENTORY)

    def acknowledge(self, entry: Entry, known: Known, *, now: int) -> None:
        """Security Hub took the import."""
        self._land(entry)
        self.observed.acknowledge(entry, known, now=now)
        if known.archived and not entry.wanted:
            self.guard.forget(entry.id)
            self.sources.scans.forget(entry.id)
            entry.passes = entry.blocked = False
            entry.own = None
            entry.freed = entry.heard = 0
            entry.voice = None
            entry.observed = None
            entry.loss = Loss.SILENT
        self._touch(entry)

    def reject(self, entry: Entry, sent_digest: str) -> None:
        """Security Hub refuses this content for good: it is not sent again until it changes."""
        self._land(entry)
        self.observed.reject(entry, sent_digest)
        self._touch(entry)

    def unanswered(self, entry: Entry, known: Known) -> None:
        """The import may or may not have been written."""
        self._land(entry)
        self.observed.unanswered(entry, known)
        self._touch(entry)

    def release(self, entry: Entry) -> None:
        """The import was not written (throttled, refused as a whole, failed by name): it stays to be done."""
        self._land(entry)
        self._touch(entry)

    def take_body(self, entry: Entry, body: dict[str, Any] | None, known: Known | None) -> None:
        """Take the finding as read by id before archiving: None where Security Hub has it no longer."""
        self._land(entry)
        self.observed.know(entry, known)
        entry.body = body
        self._touch(entry)

    def meet_foreign(self, entry: Entry, uid: str, *, archived: bool, now: int) -> None:
        """A finding read by id before archiving turned out to be another cluster's: it is not ours to touch."""
        self._land(entry)
        self.observed.know(entry, None)
        self.observed.meet(entry.id, uid, archived=archived, now=now)
        self._touch(entry)

    def launch(self, entry: Entry) -> None:
        """The entry is in a call from now on: it is not decided again before the call has landed."""
        entry.in_flight = True
        self.agenda.launch(entry.id, lane_of(entry))

    def _land(self, entry: Entry) -> None:
        entry.in_flight = False
        self.agenda.land(entry.id)

    def _stored(self, entry: Entry) -> None:
        """Security Hub has it, and nobody reports it."""
        if entry.known is not None and not entry.known.archived:
            self._lost(entry)

    def _count_active(self, entry: Entry, change: int) -> None:
        if change > 0:
            unit = entry.source, self.namespace(entry.id)
            entry.counted = self._units.setdefault(unit, unit)
            self.guard.count(unit, 1)
        elif entry.counted is not None:
            self.guard.count(entry.counted, -1)
            entry.counted = None

    # -- deciding -------------------------------------------------------------------------------------------------

    def evidence(self, entry: Entry, *, rules: Rules, now: int, wall: int) -> Evidence:
        """All that decides about the finding, at this moment. `wall` is Unix milliseconds by the wall clock."""
        if entry.id in self.observed.quarantine.ids:
            return Evidence(quarantined=True)
        blocked = self._blocked(entry, now=now)
        known = entry.known
        if entry.wanted:
            return Evidence(
                not_before=0 if entry.constraint is not None else self.sources.listening_until,
                settled=self.sources.settled(entry),
                refresh=known is not None
                and wall >= refresh_due(entry.id, known.updated_at)
                and now - entry.acknowledged >= DAY_MS,
                blocked=blocked,
            )
        if known is None or known.archived:
            return Evidence()
        found = grading.of_lost(entry, sources=self.sources, guard=self.guard, rules=rules, now=now)
        since, not_before, closed = found.since, found.not_before, False
        if found.grade in GUARDED and entry.counted is not None:
            since = max(since, now if entry.blocked else entry.freed)
            closed = not self.observed.whole or self.guard.closed(entry.counted, now=now)
            if released := self.guard.released.get(entry.counted):
                not_before = max(not_before, released + rules.archive_delay_ms)
        if found.grade is not Grade.NONE:
            since += self.observed.damping(entry.id, now=now)
        return msgspec.structs.replace(found, since=since, not_before=not_before, closed=closed, blocked=blocked)

    def _blocked(self, entry: Entry, *, now: int) -> Wait | None:
        if (until := self.observed.postponed(entry.id)) > now:
            return Wait(until, Hold.FAILED)
        if self.shares.tight and (until := self.shares.spent(entry.subject, now=now)):
            return Wait(until, Hold.BUDGET)
        return None

    def decide(self, entry: Entry, *, rules: Rules, now: int, wall: int) -> tuple[Decision, Evidence]:
        """What to do about the finding. All that are lost together are counted before the first of them is archived:
        one that the guard does not know yet waits until it does.
        """
        if entry.known is None:  # another ledger's call may have been answered since
            self.observed.recall(entry, now=now)
        evidence = self.evidence(entry, rules=rules, now=now, wall=wall)
        if entry.blocked and evidence.grade in GUARDED:
            entry.blocked, entry.freed = False, now
        decision = decide(entry, evidence, rules, now)
        if decision is Change.ARCHIVED and evidence.grade in GUARDED and not self.guard.knows(entry.id):
            return Wait(now), evidence
        return decision, evidence

    def settle(self, entry: Entry, decision: Hold | Wait | None, *, lost: bool = False) -> None:
        """Nothing is done about it now. `lost`: the guard counts it."""
        hold = decision.hold if isinstance(decision, Wait) else decision
        if lost and entry.counted is not None and not entry.wanted:
            self.guard.wait(entry.id, entry.counted)
        else:
            self.guard.forget(entry.id)
        if hold is not None:
            entry.blocked = hold in WITHOUT_EVIDENCE and not entry.wanted
            self.agenda.hold(entry.id, hold, self.namespace(entry.id))
            if isinstance(decision, Wait):
                self.agenda.set_timer(entry.id, decision.until)
            elif hold is Hold.PRESENCE and entry.subject is not None:
                for thing in (entry.subject, PolicyName(entry.source, entry.policy)):
                    self._asked.setdefault(thing, set()).add(entry.id)
            return
        self.agenda.done(entry.id)
        entry.pending_since = 0
        if not entry.calls and entry.known is None:
            self._drop(entry)

    def _touch(self, entry: Entry) -> None:
        alive = bool(entry.calls) or (entry.known is not None and not entry.known.archived)
        if alive != (entry.share is not None):
            self._account(entry, alive=alive)
        if entry.in_flight:  # landing touches it
            return
        if self.observed.awaits(entry):
            if entry.wanted:
                self.observed.await_reading(entry)
            else:  # never sent, no longer desired; the inventory brings it back if Security Hub has it
                self.observed.forget(entry.id)
                if not entry.calls:
                    self._drop(entry)
            return
        self.agenda.enqueue(entry.id, lane_of(entry), entry.share or "")

    def _account(self, entry: Entry, *, alive: bool) -> None:
        """It begins or ends to take room in its namespace."""
        if entry.share is not None:
            self.shares.findings.add(entry.share, -1)
        entry.share = self.namespace(entry.id) if alive else None
        if entry.share is not None:
            self.shares.findings.add(entry.share, 1)

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
                self._touch(entry)

    def wake(self, now: int) -> int | None:
        """Move what is due to the dirty set and the look-ups; returns when the next timer is due."""
        self.observed.due(now)
        for id_ in self.agenda.due(now):
            entry = self.entries.get(id_)
            if entry is not None and not entry.in_flight:
                self._touch(entry)
        return min((due for due in (self.agenda.next_timer, self.observed.next_doubt) if due is not None), default=None)

    def unclaimed(self) -> bool:
        """Whether Security Hub has an active finding that nobody reports."""
        return any(not e.wanted and e.known is not None and not e.known.archived for e in self.entries.values())

    def refresh(self, *, wall: int, now: int) -> None:
        """Look at every finding that stands as desired: those last sent too long ago are to be decided again."""
        for entry in self.entries.values():
            known = entry.known
            if entry.wanted and known is not None and refresh_due(entry.id, known.updated_at) <= wall:
                self._touch(entry)
        self.sources.recount_kinds()
        self.observed.forget_relapses(now=now)

    def answered(self, thing: Thing) -> None:
        """The API server has answered: what waited for it is decided again."""
        for id_ in self._asked.pop(thing, ()):
            if self.agenda.why(id_) in HELD_FOR[News.ANSWER]:
                self._touch(self.entries[id_])

    # -- the guard ------------------------------------------------------------------------------------------------

    def approve(self, until: Mapping[str, int]) -> None:
        """Take until when (Unix ms) a person approves of what each source has lost."""
        self.guard.approved = dict(until)
        approved = frozenset(until)
        if new := approved - self._approved:
            self._free(News.PERSON, where=lambda entry: entry.source in new)
        self._approved = approved

    def weigh(self, *, now: int) -> tuple[set[str], set[str]]:
        """Note what the guard holds; returns the sources newly held and newly released."""
        held, released = self.guard.weigh(now=now)
        for unit in released:
            for id_ in self.guard.waiting(unit):
                if (entry := self.entries.get(id_)) is not None:
                    self._touch(entry)
        return {source for source, _ in held}, {source for source, _ in released}


def lane_of(entry: Entry) -> Lane:
    """Where a difference waits; what was decided wrongly here is sent all the same."""
    known = entry.known
    if not entry.wanted:
        return Lane.URGENT
    if known is None or known.archived or entry.unanswered is not None:
        return Lane.BACKLOG if entry.backlog else Lane.URGENT
    return Lane.REFRESH if known.digest == entry.digest else Lane.CHANGED
