"""The ledger: what one monitored cluster calls for, and what Security Hub last confirmed of it.

One ledger per monitored cluster (docs/decisions/0003). Per finding id it holds an `Entry`:

* **wanted**: the calls of the source objects, the voice that speaks for them, and its digest;
* **known**: digest, times and record state as Security Hub last confirmed them, or *unread* before the inventory has
  reached the id.

What to do about a difference is decided in `plan`, from one entry and the evidence kept here; the ledger keeps the
*dirty* set (ids whose decision may have changed), the *look-ups* (ids to be read from Security Hub by id) and the
timers (ids whose decision changes by time alone). Invariants:

* the dirty set is never smaller than the set of ids that the full comparison would act on (a property test says so);
* an entry's calls end only by what its own source object says, never by a failed or partial view;
* an import without an answer counts as possibly written: it is archived later if the violation is gone by then.

Pure: no I/O, no clock; `now` is Unix time in milliseconds by a clock that never jumps.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.sources.constraints import GROUP as CONSTRAINTS
from policyhub.sources.filter import namespace_of
from policyhub.sources.violation import Identity, Place, Severity, SourceKey, Subject, Violation, below
from policyhub.sync.claims import Claims, excluding, including, said, spoken
from policyhub.sync.entry import NEW, SUPPRESSED, Coverage, Entry, Grade, Held, Known, Standing, Tally, Triage
from policyhub.sync.guard import Guard
from policyhub.sync.lanes import Dirty, Lane, Queue
from policyhub.sync.quarantine import Quarantine
from policyhub.sync.refusals import Refusal, Refusals
from policyhub.sync.shares import Excess, Limits, Shares

ACK_OVERRULES_MS = 15 * 60 * 1000
"""GetFindings is eventually consistent: what it says never overrules an acknowledgement younger than this."""
LISTEN_MS = 60_000
"""Where two report APIs are served, what is new by one waits this long for the other's first listing: a report that
nobody updates any more may contradict a live one."""
MISSED_MANY = 100
"""Findings that one part of an inventory may lack and that are asked for by id; more are taken as lost at once, for a
hub that was emptied: 20 by a look-up are slower than 100 by an import."""
TIMERS = 10_000
"""Timers beside four for each entry; beyond them those that count no more are let go."""
STANDINGS = 10_000
"""Standings that are kept to be shared although no entry may have them any more."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
UNLISTED = "violations_unlisted"
"""The hold of a finding that an incomplete source object may call for without listing it."""
UNCONFIRMED = "unconfirmed"
"""The hold of a finding that waits for a discovery to confirm its API."""
FAILED = "failed"
"""The hold of a finding that Security Hub failed, and that is sent again later."""
BUDGET = "namespace_imports"
"""The hold of a finding whose namespace has used up its imports of the day."""
NAMESPACES = "namespaces"
"""The origin that tells of namespaces."""
OWNERS = ("pods", "replicasets.apps", "jobs.batch")
"""The origins that tell what counts for what."""
UNREPORTED = "unreported"
"""The hold of a finding of whose object something lives that its engine has not looked at yet."""
OWNERS_UNKNOWN = "owners_unknown"
"""The hold while it is not known what counts for what."""


class Lineage(Protocol):
    """What of a Rollup decides."""

    @property
    def since(self) -> int: ...

    def unreported(self, source: str, of: Subject) -> bool: ...

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool: ...

    def deleted(self, of: Subject, *, orphaned: bool) -> bool: ...

    def places(self, of: Subject, constraint: SourceKey) -> list[Place]: ...


class Ledger:
    """Wanted and known findings of one monitored cluster."""

    def __init__(  # noqa: PLR0915  (each attribute with what it is for)
        self,
        *,
        cluster_id: str,
        cluster_uid: str,
        default_severity: Severity,
        on_dirty: Callable[[], None],
        limits: Limits | None = None,
    ) -> None:
        self.cluster_id = cluster_id
        self.cluster_uid = cluster_uid
        self.default_severity = default_severity
        self._on_dirty = on_dirty
        self.entries: dict[str, Entry] = {}
        self.objects: dict[SourceKey, tuple[str, ...]] = {}
        """The ids that each source object calls for; objects that call for none are not in it."""
        self.dirty = Dirty()
        self.held: dict[str, str] = {}
        """Ids whose wanted and known differ and that nothing is done about now, with the reason."""
        self.unpaid: set[str] = set()
        """Those of them that wait for their namespace's next day of imports."""
        self.timers: list[tuple[int, str]] = []
        self.flying: set[str] = set()
        """Ids that are in a call to Security Hub."""
        self.violations: Counter[Tally] = Counter()
        """Wanted findings by (source, policy, severity)."""
        self.triage: Counter[Triage] = Counter()
        """Findings that are active in Security Hub, by what analysts have done with them."""
        self._standings: dict[Standing, Standing] = {}
        """Each of them once, for all entries to share."""
        self.guard = Guard()
        self.shares = Shares(limits or Limits())
        """What each namespace takes."""
        self.refusals = Refusals()
        """What of the cluster's input was refused, cut or not understood."""
        self._relapses: dict[str, tuple[int, ...]] = {}
        """When findings were activated again."""
        self._failed: dict[str, tuple[int, int]] = {}
        """Findings that Security Hub failed within a call that it took: how often in a row, and until when (Unix ms)
        they are not sent again."""

        # What the sources' silence is worth.
        self.incomplete: set[SourceKey] = set()
        """Source objects whose silence is no evidence (truncated or never audited constraints, unreadable results)."""
        self.incomplete_origins: Counter[str] = Counter()
        """How many of them each source API has."""
        self.blind: set[str] = set()
        """Source APIs whose last listing held an object that could not be read: it may call for anything."""
        self.audits: dict[SourceKey, int] = {}
        """The last audit (Unix seconds; 0: none yet) of every constraint that there is."""
        self._awaiting: defaultdict[SourceKey, set[str]] = defaultdict(set)
        """Findings that nobody calls for, by the constraint that would list them."""
        self.coverage: dict[str, Coverage] = {}
        self.unheard: dict[str, frozenset[str]] = {}
        """Namespaces whose reports wait to be read, by source API: their silence is no evidence meanwhile."""
        self.reports_listed = False
        """Whether every report API that is served has been listed once: before, one that was not may still call for
        what another has dropped (the same violation comes through wgpolicyk8s.io and openreports.io)."""
        self.listening_until = 0
        self._heard = False
        self.confirmed: dict[str, int] = {}
        """When each source API was last seen to be served by the very cluster (discovery, its uid checked)."""
        self.opened: dict[str, int] = {}
        """When the listing or watch that now speaks for each source API began: until a discovery has confirmed it, it
        may be another cluster's that answers at the old address."""
        self.absent: dict[str, int] = {}
        """Since when complete discoveries lack a constraint kind that has findings."""
        self.kinds_read = 0
        """When the last complete discovery of constraint kinds began."""
        self._kinds: set[str] = set()
        """Constraint kinds that have findings nobody calls for."""
        self.off: frozenset[str] = frozenset()
        """API groups that the MonitoredCluster says not to read."""
        self.frozen: frozenset[tuple[str, str]] = frozenset()
        """(source, API group) whose reports nobody updates any more: the source speaks through the other group."""
        self.twofold: frozenset[str] = frozenset()
        """Sources that speak through both report APIs: what passes in one may fail in the other, and be heard later."""
        self.lineage: Lineage | None = None
        """What counts for what; None where everything counts for itself."""
        self.namespaces: frozenset[str] | None = None
        """Those that there are; None before they were listed."""
        self._gone: dict[str, int] = {}
        """When namespaces were seen to be deleted."""
        self._namespaces_live = 0
        """Since when they are seen whole and live; 0: they are not, and their absence says nothing."""

        # What is known of Security Hub.
        self.unread: set[str] = set()
        """Wanted ids that the inventory has not reached: not sent before it has."""
        self.lookups = Queue()
        """Ids to be read from Security Hub by id: fresh violations that the inventory has not reached, and
        contradictions."""
        self.looking: set[str] = set()
        """Ids that are being read by id."""
        self._doubts: list[tuple[int, str]] = []
        """Ids to be read by id later: an inventory contradicted a fresh acknowledgement."""
        self._looked: set[str] = set()
        """Ids read by id before the inventory reached them."""
        self.parts: set[str] = set()
        """Id prefixes that the inventory has read to the end."""
        self.unavailable = False
        """Whether the inventory was given up for now: what is wanted is sent without having been read."""
        self.quarantine = Quarantine()
        """Findings under this cluster's prefix that carry another cluster's uid."""
        self._asked_again: set[str] = set()
        """Quarantined ids that are to be read by id later: their owner may have let them go."""
        self.adopted: frozenset[str] = frozenset()
        """Former uids of this cluster (a rebuilt cluster), released by the admin."""

    @property
    def uids(self) -> frozenset[str]:
        """The cluster uids whose findings are ours."""
        return self.adopted | {self.cluster_uid}

    @property
    def quarantined(self) -> int:
        """Findings that the cluster reports and that stand in Security Hub as another cluster's."""
        return sum(1 for i in self.quarantine.ids if (entry := self.entries.get(i)) is not None and entry.wanted)

    @property
    def active(self) -> int:
        """Findings that are active in Security Hub."""
        return self.guard.active.total()

    # -- what the sources say -------------------------------------------------------------------------------------

    def read(
        self,
        key: SourceKey,
        calls: Iterable[tuple[Violation, int | None]],
        *,
        complete: bool,
        passed: Callable[[], frozenset[Identity]],
        now: int,
        audited: int | None = None,
        boundary: Place | None = None,
        backlog: bool = False,
        ended: frozenset[str] = frozenset(),
        on_excess: Callable[[Counter[Excess]], None] | None = None,
    ) -> bool:
        """Take what one source object now calls for; says whether anything of meaning changed.

        `calls` are (violation, observed Unix ms or None). `passed` is asked for the object's pass and skip results only
        if something that it called for is missing now. An incomplete object adds and changes, and ends nothing but
        what it passes, a truncated constraint's objects below `boundary` and the ids of `ended`. `backlog`: it comes by
        the source's first listing. `on_excess` is told how many were left out, by the limit that leaves no room: then
        the object counts as incomplete.
        """
        new: dict[str, tuple[Violation, int | None]] = {}
        for violation, observed in calls:
            new[finding_id(self.cluster_id, violation.identity)] = (violation, observed)
        old = self.objects.get(key, ())
        excess = self._admit(key, new, frozenset(old))
        if on_excess is not None and excess:
            on_excess(excess)
        if complete and not excess:
            self._complete(key, now=now)
        else:
            self._incomplete(key)
        changed = False
        for id_, (violation, observed) in new.items():
            changed |= self._call(id_, key, violation, observed=observed, now=now, backlog=backlog)
        lost = [id_ for id_ in old if id_ not in new]
        kept: tuple[str, ...] = ()
        positive = self._positive(key, passed()) if lost else set()
        if lost and (excess or not complete):
            known = positive | ended
            kept = tuple(id_ for id_ in lost if id_ not in known and not self._below(self.entries[id_], boundary))
            lost = [id_ for id_ in lost if id_ not in kept]
        if lost:
            changed = True
            for id_ in lost:
                self._uncall(id_, key, grade=Grade.POSITIVE if id_ in positive else Grade.SPOKEN, now=now)
        if new or kept:
            self.objects[key] = (*new, *kept)
        else:
            self.objects.pop(key, None)
        if key.group == CONSTRAINTS:
            self._audit(key, audited or 0, complete=complete and not excess, boundary=boundary)
        return changed

    def _admit(
        self, key: SourceKey, new: dict[str, tuple[Violation, int | None]], old: frozenset[str]
    ) -> Counter[Excess]:
        """Leave out of `new` what its namespace or the cluster has no room for; how many, by the limit. What is there
        already keeps its place.
        """
        left_out: Counter[Excess] = Counter()
        if self.shares.findings.refuses(key.namespace, len(new)) is None:
            return left_out
        more = 0
        for id_ in list(new):
            entry = self.entries.get(id_)
            if id_ in old or (entry is not None and entry.share is not None):
                continue
            namespace = namespace_of(new[id_][0].subject)
            excess = self.shares.findings.refuses(namespace, more + 1, scoped=bool(key.namespace))
            if excess is None:
                more += 1
            else:
                left_out[excess] += 1
                del new[id_]
        return left_out

    def doubt(self, key: SourceKey) -> None:
        """Take that a source object was not read: what it called for stands, and its silence is no evidence."""
        self._incomplete(key)

    def _audit(self, key: SourceKey, audited: int, *, complete: bool, boundary: Place | None) -> None:
        """What a constraint lacks counts once a later audit has lacked it too."""
        self.audits[key] = audited
        for id_ in list(self._awaiting.get(key, ())):
            entry = self.entries.get(id_)
            if entry is None or entry.calls or entry.constraint != key:
                self._awaiting[key].discard(id_)
                continue
            before = entry.lacked, entry.repeated
            if self.unaudited(entry) or (not complete and not self._below(entry, boundary)):
                entry.lacked, entry.repeated = None, False  # it may be there again, unseen or unlisted
            elif entry.lacked is None:
                entry.lacked = audited
            elif audited > entry.lacked:
                entry.repeated = True
            if before != (entry.lacked, entry.repeated) or self.held.get(id_) == UNREPORTED:
                self._touch(entry)

    def unaudited(self, entry: Entry) -> bool:
        """Whether something counts for a constraint's finding that its last audit may not have seen: new Pods."""
        of, constraint = entry.subject, entry.constraint
        if self.lineage is None or of is None or constraint is None:
            return False
        return self.lineage.unaudited(of, constraint, self.audits.get(constraint, 0))

    def shift(
        self,
        key: SourceKey,
        calls: Iterable[tuple[Violation, int | None]],
        lost: Iterable[Violation],
        *,
        now: int,
        backlog: bool,
    ) -> None:
        """Take that what a source object said counts for others now: all its calls, and those that it no longer makes.
        That is no word of its own: the loss is silent. `backlog`: as of `read`.
        """
        new = {finding_id(self.cluster_id, v.identity): (v, observed) for v, observed in calls}
        excess = self._admit(key, new, frozenset(self.objects.get(key, ())))
        if excess:
            self._incomplete(key)
            refusals = tuple(Refusal(limit, len(new) + number, len(new)) for limit, number in excess.items())
            self.refusals.put(key.origin, key.namespace, key.name, refusals)
        gone = {finding_id(self.cluster_id, v.identity) for v in lost}
        for id_, (violation, observed) in new.items():
            self._call(id_, key, violation, observed=observed, now=now, backlog=backlog)
        old = self.objects.get(key, ())
        for id_ in old:
            if id_ in gone:
                self._uncall(id_, key, grade=Grade.SILENT, now=now)
        left = tuple(dict.fromkeys((*new, *(id_ for id_ in old if id_ not in gone))))
        if left:
            self.objects[key] = left
        else:
            self.objects.pop(key, None)

    def gone(self, key: SourceKey, *, now: int) -> bool:
        """Take that a source object no longer exists; says whether it called for anything."""
        self._complete(key, now=now)
        ids = self.objects.pop(key, ())
        constraint = key.group == CONSTRAINTS
        for id_ in ids:
            called = self.entries[id_]
            own = said(called.calls, key)
            called.orphaned |= own is not None and own.own
            self._uncall(id_, key, grade=Grade.SPOKEN if constraint else Grade.SILENT, now=now)
        if constraint:
            self.audits.pop(key, None)
            for id_ in self._awaiting.get(key, ()):
                if (entry := self.entries.get(id_)) is not None and not entry.calls:
                    entry.lacked, entry.repeated = None, False  # another of its name has its own audits
                    self._touch(entry)
        return bool(ids)

    def clear(self, identities: Iterable[Identity], *, key: SourceKey) -> None:
        """Take positive evidence of one source object for findings of its API that nobody calls for, the inventory's
        among them.

        Only right once `reports_listed`: before, somebody may call for them who was not heard yet.
        """
        for id_ in self._positive(key, identities):
            entry = self.entries.get(id_)
            if entry is not None and not entry.wanted and not entry.cleared and entry.origin == key.origin:
                entry.grade = Grade.POSITIVE
                self.guard.forget(entry.id)
                self._touch(entry)

    def _positive(self, key: SourceKey, identities: Iterable[Identity]) -> set[str]:
        """What a frozen report says is no evidence."""
        return {
            finding_id(self.cluster_id, identity)
            for identity in identities
            if not self.frozen or (identity[0], key.group) not in self.frozen
        }

    def cover(self, origin: str, coverage: Coverage) -> None:
        """Take whether a source API is seen whole and live."""
        if self.coverage.get(origin) == coverage:
            return
        self.coverage[origin] = coverage
        self._retouch(origin)
        if self.twofold:
            self._reconsider_sources(self.twofold)

    def speak_twice(self, sources: frozenset[str]) -> None:
        """Take which sources speak through both report APIs: what one of these lacks the other may call for."""
        changed = sources ^ self.twofold
        self.twofold = sources
        if changed:
            self._reconsider_sources(changed)

    def _reconsider_sources(self, sources: frozenset[str]) -> None:
        for id_ in list(self.held):
            entry = self.entries[id_]
            if not entry.wanted and entry.source in sources:
                self._touch(entry)

    def _retouch(self, origin: str) -> None:
        for entry in self.entries.values():
            if not entry.wanted and entry.known is not None and entry.origin == origin:
                self._touch(entry)

    def hear(self, origin: str, waiting: frozenset[str]) -> None:
        """Take which namespaces' reports of an API wait to be read."""
        before = self.unheard.get(origin, frozenset())
        if before == waiting:
            return
        if waiting:
            self.unheard[origin] = waiting
        else:
            del self.unheard[origin]
        heard = before - waiting
        for id_ in list(self.held) if heard else ():
            entry = self.entries[id_]
            if entry.share in heard and not entry.wanted:
                self._touch(entry)

    def unheard_of(self, entry: Entry) -> bool:
        """Whether reports of the finding's namespace wait to be read."""
        return any(entry.share in waiting for waiting in self.unheard.values())

    def confirm(self, origins: Iterable[str], *, now: int) -> None:
        """A discovery has seen these APIs served by the very cluster: findings that waited for it are decided again."""
        told = {*origins, NAMESPACES, *OWNERS}
        for origin in told:
            self.confirmed[origin] = now
        for id_ in [id_ for id_, hold in self.held.items() if hold == UNCONFIRMED]:
            entry = self.entries[id_]
            if entry.origin in told or self.deleted_since(entry) is not None:
                self._touch(entry)

    def read_kinds(self, served: Iterable[str], *, now: int) -> None:
        """A complete discovery of constraint kinds (their origins): those that have findings and are absent from two
        of them, an archive delay apart, were deleted.
        """
        self.kinds_read = now
        there = frozenset(served)
        for origin in self._kinds:
            if origin in there:
                if self.absent.pop(origin, None) is not None:
                    self._retouch(origin)
            elif origin not in self.absent:
                self.absent[origin] = now
                self._retouch(origin)
        for id_ in [id_ for id_, hold in self.held.items() if hold == UNCONFIRMED]:
            if self.entries[id_].origin in self.absent:
                self._touch(self.entries[id_])

    def set_blind(self, origin: str, *, blind: bool) -> None:
        """Whether the last listing of an API held an object that could not be read at all."""
        if blind == (origin in self.blind):
            return
        (self.blind.add if blind else self.blind.discard)(origin)
        self._retouch(origin)

    def list_reports(self, *, listed: bool, groups: int = 1, now: int = 0) -> None:
        """Take whether every report API that is served has been listed, and how many API groups they are of."""
        if listed:
            self._heard = True
            self.listening_until = 0
        elif groups > 1 and not self._heard:
            self._heard = True
            self.listening_until = now + LISTEN_MS
        if listed == self.reports_listed:
            return
        self.reports_listed = listed
        for id_ in list(self.held):
            self._touch(self.entries[id_])
        for entry in self.entries.values():
            if not entry.wanted and entry.known is not None:
                self._touch(entry)

    def freeze(self, frozen: frozenset[tuple[str, str]], *, now: int) -> None:
        """Take which (source, API group) are frozen: their callers count no longer, and their silence is no news."""
        changed = frozen ^ self.frozen
        self.frozen = frozen
        if not changed:
            return
        for entry in self.entries.values():
            if any((violation.source, key.group) in changed for key, violation in entry.calls):
                self._weigh(entry, grade=Grade.SILENT, now=now)

    def switched_off(self, origin: str) -> bool:
        """Whether the MonitoredCluster says not to read this API."""
        return bool(self.off) and origin.partition(".")[2] in self.off

    def uncalled(self) -> bool:
        """Whether Security Hub has an active finding that nobody calls for."""
        return any(not e.wanted and e.known is not None and not e.known.archived for e in self.entries.values())

    def _incomplete(self, key: SourceKey) -> None:
        if key not in self.incomplete:
            self.incomplete.add(key)
            self.incomplete_origins[key.origin] += 1

    def _complete(self, key: SourceKey, *, now: int) -> None:
        """Its silence is evidence from now on: what was held for it is decided again, and the delay begins."""
        if key not in self.incomplete:
            return
        self.incomplete.discard(key)
        self.incomplete_origins[key.origin] -= 1
        for id_, hold in list(self.held.items()):
            entry = self.entries[id_]
            concerned = entry.rule == key.name or hold == UNLISTED  # a constraint's own, or any report's
            if not entry.wanted and entry.origin == key.origin and concerned:
                entry.uncalled = now
                self._touch(entry)

    def _call(
        self, id_: str, key: SourceKey, violation: Violation, *, observed: int | None, now: int, backlog: bool
    ) -> bool:
        entry = self.entries.get(id_)
        if entry is None:
            entry = self.entries[id_] = Entry(id_)
            entry.backlog = backlog
        before = entry.calls
        entry.called = True
        entry.orphaned = False
        if violation.own:
            entry.passes = False
        if said(before, key) == violation:
            return False
        entry.calls = including(before, key, violation)
        if observed is not None and (entry.observed is None or observed < entry.observed):
            entry.observed = observed
        entry.source = violation.source
        self._weigh(entry, grade=Grade.SILENT, now=now)
        return True

    def _uncall(self, id_: str, key: SourceKey, *, grade: Grade, now: int) -> None:
        entry = self.entries[id_]
        entry.calls = excluding(entry.calls, key)
        self._weigh(entry, grade=grade, now=now, origin=key.origin)

    def _weigh(self, entry: Entry, *, grade: Grade, now: int, origin: str = "") -> None:
        """Its callers have changed: who of them counts, and who speaks. `grade` is for the loss of the last one."""
        calls = entry.calls
        if self.frozen:
            calls = tuple(c for c in calls if (c[1].source, c[0].group) not in self.frozen)
        before, entry.wanted = entry.wanted, bool(calls)
        if calls:
            self._want(entry, calls, before=before, now=now)
            entry.passes |= grade is Grade.POSITIVE
        elif before:
            entry.uncalled = entry.pending_since = now
            entry.grade = grade
            if origin:
                entry.origin = origin
            if entry.voice is not None:
                entry.place = entry.voice.place
                if entry.rejected == entry.digest:  # as it reads it was refused: it is archived as Security Hub has it
                    entry.voice = None
            self._count(entry)
            self._lose(entry)
        elif entry.grade < grade:
            entry.grade = grade
        elif entry.voice is None and entry.calls:  # only frozen callers, and Security Hub may have it
            entry.source = entry.calls[0][1].source
            entry.origin = entry.origin or entry.calls[0][0].origin
            entry.uncalled = entry.uncalled or now
        self._touch(entry)

    def _want(self, entry: Entry, calls: Claims, *, before: bool, now: int) -> None:
        spoke = entry.voice if before else None
        self._speak(entry, calls)
        entry.body = None
        entry.lacked, entry.repeated = None, False
        entry.grade = Grade.SILENT
        self.guard.forget(entry.id)
        if entry.pending_since == 0 and spoke != entry.voice:
            entry.pending_since = now
        if entry.voice is None or entry.voice.own:
            entry.deferred = 0
        elif spoke is not None and spoke.own:
            entry.deferred = now

    def _lose(self, entry: Entry) -> None:
        """Nobody calls for it: its constraint, or the kind of it, is what can speak."""
        constraint = entry.constraint
        if constraint is None:
            return
        self._kinds.add(entry.origin)
        self._awaiting[constraint].add(entry.id)

    def _speak(self, entry: Entry, calls: Claims) -> None:
        violation, entry.origin = spoken(calls)
        entry.voice = violation
        entry.rule = violation.rule
        text = digest(violation, default_severity=self.default_severity)
        known = entry.known.digest if entry.known is not None else ""
        entry.digest = known if known == text else text  # one text for both
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        tally = None
        if entry.wanted and entry.voice is not None:
            v = entry.voice
            tally = (v.source, v.policy, v.severity or self.default_severity)
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
                self._sort(entry, (triage[0], tally[2]))  # no analyst has changed it: it follows the engine
        self._stand(entry, tally, entry.triage)

    # -- what the owners and the namespaces say --------------------------------------------------------------------

    def list_namespaces(self, names: frozenset[str], *, now: int) -> None:
        """All namespaces that there are."""
        back = self._of_deleted() if self.namespaces is not None and names - self.namespaces else []
        self.namespaces = names
        self._gone = {name: at for name, at in self._gone.items() if name not in names}
        if self._namespaces_live:
            self._namespaces_live = now
            self._retouch_gone()
        for entry in back:
            self._touch(entry)

    def namespace_came(self, name: str) -> None:
        if self.namespaces is None or name in self.namespaces:
            return
        back = self._of_deleted()
        self._gone.pop(name, None)
        self.namespaces |= {name}
        for entry in back:
            self._touch(entry)

    def _of_deleted(self) -> list[Entry]:
        """What waits although its namespace is deleted: where that comes back, other evidence decides."""
        waiting = (self.entries[id_] for id_ in self.held)
        return [entry for entry in waiting if not entry.wanted and self._namespace_deleted(entry) is not None]

    def deleted_since(self, entry: Entry) -> int | None:
        """Since when the finding's object or its namespace is known to be deleted; None where neither is."""
        deletion = self.deletion(entry)
        return None if deletion is None else deletion[0]

    def deletion(self, entry: Entry) -> tuple[int, tuple[str, ...]] | None:
        """As `deleted_since`, and by which origins."""
        since = self._namespace_deleted(entry)
        if since is not None:
            return since, (NAMESPACES,)
        of = entry.subject
        orphaned = entry.orphaned
        if entry.voice is not None and not entry.voice.own:  # its Pods called, and whatever was read lacks it itself
            orphaned |= not self.incomplete_origins[entry.origin] and entry.origin not in self.blind
        if self.lineage is None or of is None or not self.lineage.deleted(of, orphaned=orphaned):
            return None
        return max(entry.uncalled, self.lineage.since), OWNERS

    def reconsider(self, news: tuple[Collection[str], Collection[str]] | None = None) -> None:
        """What counts for what has changed, or what was reported on: what was held for it is decided again. `news`: in
        these namespaces, and by these sources everywhere; None: anywhere.
        """
        for id_, hold in list(self.held.items()):
            entry = self.entries[id_]
            if news is not None and entry.namespace not in news[0] and entry.source not in news[1]:
                continue
            if not entry.wanted and (hold in {UNREPORTED, OWNERS_UNKNOWN} or self.deleted_since(entry) is not None):
                self._touch(entry)

    def _below(self, entry: Entry, boundary: Place | None) -> bool:
        """Whether a truncated constraint would list all that may stand behind the finding, if it still violated it."""
        if boundary is None:
            return False
        voice = entry.voice
        own = voice.place if voice is not None else entry.place
        places = [] if voice is not None and not voice.own else [own]
        of, constraint = entry.subject, entry.constraint
        if self.lineage is not None and of is not None and constraint is not None:
            places += self.lineage.places(of, constraint)
        return all(place is not None and below(place, boundary) for place in places)

    def _namespace_deleted(self, entry: Entry) -> int | None:
        if self.namespaces is None or not self._namespaces_live or entry.place is None:
            return None
        group, _, kind, namespace, name = entry.place
        name = name if kind == "Namespace" and not group else namespace
        if not name or name in self.namespaces:
            return None
        return self._gone.get(name, self._namespaces_live)

    def namespace_gone(self, name: str, *, now: int) -> None:
        """A namespace was deleted."""
        self._gone[name] = now
        if self.namespaces is not None:
            self.namespaces -= {name}
        self._retouch_gone()

    def namespaces_live(self, *, live: bool, now: int) -> None:
        """Whether namespaces are seen whole and live."""
        if live == bool(self._namespaces_live):
            return
        self._namespaces_live = now if live else 0
        if live:
            self._retouch_gone()

    def _retouch_gone(self) -> None:
        for id_ in list(self.held):
            entry = self.entries[id_]
            if not entry.wanted and self.deleted_since(entry) is not None:
                self._touch(entry)

    # -- the guard and damping ------------------------------------------------------------------------------------

    def weigh(self, *, now: int) -> tuple[set[str], set[str]]:
        """Note what the guard holds; returns the sources newly held and newly released."""
        held, released = self.guard.weigh(now=now)
        for source in released:
            for id_ in self.guard.waiting(source):
                if (entry := self.entries.get(id_)) is not None:
                    self._touch(entry)
        return held, released

    def damping(self, id_: str, *, now: int) -> int:
        """How much later (ms) than otherwise a finding is archived that came back twice or more within a day: an hour,
        doubling up to a day. A result that comes and goes must not reset an analyst's NOTIFIED each time.
        """
        times = self._relapses.get(id_)
        if not times:
            return 0
        recent = sum(1 for at in times if now - at < DAY_MS)
        return 0 if recent < 2 else min(DAY_MS, HOUR_MS << min(recent - 2, 5))

    # -- what Security Hub says -----------------------------------------------------------------------------------

    def is_read(self, id_: str) -> bool:
        if self.unavailable or id_ in self._looked or id_ in self.quarantine.ids:
            return True
        digits = id_.rpartition("/")[2]
        return any(digits[:n] in self.parts for n in range(5))  # the inventory's parts have up to four digits

    def take_part(self, digits: str, findings: Iterable[Held], *, now: int) -> None:
        """Take one completely read part of the inventory: the ids that start with `digits`."""
        found: dict[str, Held] = {}
        for held in findings:
            if self._is_ours(held, now=now, inventory=True):
                found[held.id] = held
        prefix = f"policyhub/{self.cluster_id}/{digits}"
        missed = [
            e
            for i, e in self.entries.items()
            if e.known is not None and not e.in_flight and i not in found and i.startswith(prefix)
        ]
        for entry in missed:
            self._miss(entry, many=len(missed) > MISSED_MANY, now=now)
        for held in found.values():
            self._take(held, now=now)
        self.parts.add(digits)
        reached = [i for i in self.unread if i.startswith(prefix)]
        self.unread.difference_update(reached)
        if not self.unread:
            self.unread = set()  # a set that was large stays large
        for id_ in reached:
            self.lookups.discard(id_)
            self._touch(self.entries[id_])

    def _is_ours(self, held: Held, *, now: int, inventory: bool = False) -> bool:
        """Whether the finding may be taken: as ours, or as one that another cluster has archived and left."""
        if held.cluster_uid in self.uids:
            if self.quarantine.release(held.id):
                self._free(held.id)
            return True
        self.meet(held.id, held.cluster_uid, archived=held.known.archived, now=now, inventory=inventory)
        return held.known.archived and not self.quarantine.conflict

    def meet(self, id_: str, uid: str, *, archived: bool, now: int, inventory: bool = False) -> None:
        """A finding carries the uid of another cluster. While it is active it is not ours to touch; it is read again
        from time to time, since its owner may archive or delete it. `inventory`: it was read by the one under way.
        """
        before = id_ in self.quarantine.ids
        self.quarantine.meet(id_, uid, archived=archived, inventory=inventory)
        if id_ not in self.quarantine.ids:
            if before:
                self._free(id_)
            return
        if id_ not in self._asked_again:
            self._asked_again.add(id_)
            heapq.heappush(self._doubts, (now + ACK_OVERRULES_MS + 1, id_))
        self.unread.discard(id_)
        self.lookups.discard(id_)
        entry = self.entries.get(id_)
        if entry is not None and not entry.in_flight:
            self._know(entry, None)
            entry.acknowledged = 0
            self._touch(entry)

    def _free(self, id_: str) -> None:
        """It is quarantined no longer, and it has been read."""
        self._looked.add(id_)
        entry = self.entries.get(id_)
        if entry is not None:
            self._touch(entry)

    def _take(self, held: Held, *, now: int) -> None:
        entry = self.entries.get(held.id)
        if entry is None:
            entry = self.entries[held.id] = Entry(held.id)
        if entry.in_flight:
            return
        if now - entry.acknowledged <= ACK_OVERRULES_MS:
            if entry.known != held.known:
                self._doubt(entry)
            else:
                self._sort(entry, held.triage)
            return
        self._sort(entry, held.triage)
        known = held.known
        if held.cluster_uid != self.cluster_uid:  # adopted: its uid must be written anew
            known = msgspec.structs.replace(known, digest="")
        elif known.digest == entry.digest:
            known = msgspec.structs.replace(known, digest=entry.digest)  # one text for both
        entry.source = entry.source or held.source
        self._know(entry, known)
        if not entry.wanted:
            entry.origin, entry.rule, entry.place = held.origin, held.rule, held.place
            entry.uncalled = entry.uncalled or now
            self._lose(entry)
        self._touch(entry)

    def _miss(self, entry: Entry, *, many: bool, now: int) -> None:
        """An inventory lacked it: deleted, or skipped by pages that shifted while they were read. Where it is wanted it
        is asked for by id, or sent again with its first time if many are missing; where it is not, it is asked for by
        id before it is archived.
        """
        known = entry.known
        if known is None:
            return
        if now - entry.acknowledged <= ACK_OVERRULES_MS:
            self._doubt(entry)
            return
        if known.archived and not entry.wanted:
            self._know(entry, None)
        elif entry.wanted and not many:
            self._look(entry.id)
            return
        elif entry.wanted:
            self._sort(entry, (NEW, _severity(entry)))  # it is created anew
            self._know(entry, msgspec.structs.replace(known, digest="", archived=False))
        self._touch(entry)

    def _doubt(self, entry: Entry) -> None:
        """GetFindings contradicts a fresh acknowledgement: it is asked again when that is fresh no longer."""
        heapq.heappush(self._doubts, (entry.acknowledged + ACK_OVERRULES_MS + 1, entry.id))

    def _look(self, id_: str) -> None:
        if id_ not in self.looking:
            self.lookups.add(id_, self.namespace(id_))
            self._on_dirty()

    def namespace(self, id_: str) -> str:
        """Whose turn and budget a finding takes."""
        of = self.entries[id_].subject if id_ in self.entries else None
        return "" if of is None else namespace_of(of)

    def look(self, limit: int) -> list[str]:
        """Ids to be read by id now; each is answered by `take_lookup` or `drop_lookup`."""
        ids = self.lookups.take(limit)
        self.looking.update(ids)
        return ids

    def drop_lookup(self, id_: str) -> None:
        """The look-up failed: it is to be done again."""
        self.looking.discard(id_)
        if id_ in self.entries or id_ in self.quarantine.ids:
            self._look(id_)

    def take_lookup(self, id_: str, held: Held | None, *, now: int) -> None:
        """Take what Security Hub says of one id; None: it does not have it."""
        self.looking.discard(id_)
        if held is not None:
            self._looked.add(id_)
            self.unread.discard(id_)
            self.take_found([held], now=now)
            return
        if self.quarantine.release(id_):
            self._free(id_)
        entry = self.entries.get(id_)
        if entry is None or entry.in_flight:
            return
        if entry.known is None:
            if entry.id in self.unread:
                self._looked.add(id_)
                self.unread.discard(id_)
                self._touch(entry)
        elif now - entry.acknowledged > ACK_OVERRULES_MS:
            if entry.wanted:
                self._sort(entry, (NEW, _severity(entry)))  # as above
                self._know(entry, msgspec.structs.replace(entry.known, digest="", archived=False))
            else:
                self._know(entry, None)
            self._touch(entry)

    def take_found(self, findings: Iterable[Held], *, now: int) -> None:
        """Take findings read outside an inventory: what is not among them says nothing."""
        for held in findings:
            if self._is_ours(held, now=now):
                self._take(held, now=now)

    def give_up(self) -> None:
        """The inventory cannot be read: what is wanted goes out unread, what only Security Hub knows stays unknown."""
        self.unavailable = True
        self._release_unread()

    def _release_unread(self) -> None:
        unread, self.unread = self.unread, set()
        self.lookups.clear()
        for id_ in unread:
            self._touch(self.entries[id_])

    def finish_inventory(self) -> None:
        """Every part was read: foreign findings that it did not find again are gone, or are asked for by id."""
        self.unavailable = False
        self._looked.clear()
        before = set(self.quarantine.ids)
        for id_ in self.quarantine.finish():
            self._look(id_)
        for id_ in before - self.quarantine.ids.keys():
            self._free(id_)

    def acknowledge(self, entry: Entry, known: Known, *, now: int) -> None:
        """Security Hub took the import."""
        self._land(entry)
        self._reset(entry, known)
        if entry.known is not None and entry.known.archived and not known.archived:
            self._relapses[entry.id] = (*self._relapses.get(entry.id, ())[-7:], now)
        entry.acknowledged = now
        self._failed.pop(entry.id, None)
        entry.backlog = False
        entry.body = None
        entry.rejected = ""
        entry.unanswered = None
        entry.pending_since = 0
        self._know(entry, known)
        if known.archived and not entry.wanted:
            self.guard.forget(entry.id)
            entry.passes = entry.orphaned = False
            entry.voice = None
            entry.observed = None
            entry.grade = Grade.SILENT
        self._touch(entry)

    def failures(self, id_: str) -> int:
        """How often in a row Security Hub failed the finding."""
        return self._failed.get(id_, (0, 0))[0]

    def postpone(self, entry: Entry, *, until: int) -> None:
        """Security Hub failed the finding once more: it is not sent again before `until` (Unix ms)."""
        self._failed[entry.id] = (self.failures(entry.id) + 1, until)

    def postponed(self, id_: str) -> int:
        """Until when (Unix ms) the finding is not sent; 0: it may be."""
        return self._failed[id_][1] if self._failed and id_ in self._failed else 0

    def reject(self, entry: Entry, sent_digest: str) -> None:
        """Security Hub refuses this content for good: it is not sent again until it changes."""
        self._land(entry)
        self._failed.pop(entry.id, None)
        entry.rejected = sent_digest
        self._touch(entry)

    def unanswered(self, entry: Entry, known: Known) -> None:
        """The import may or may not have been written: taken as written, so that it is archived if the violation ends,
        and sent again with the same times, which Security Hub ignores if it was.
        """
        self._land(entry)
        entry.unanswered = known
        self._reset(entry, known)
        self._know(entry, msgspec.structs.replace(known, digest="", archived=False))
        self._touch(entry)

    def release(self, entry: Entry) -> None:
        """The import was not written (throttled, refused as a whole): it stays to be done."""
        self._land(entry)
        self._touch(entry)

    def take_body(self, entry: Entry, body: dict[str, Any] | None, known: Known | None) -> None:
        """Take the finding as read by id before archiving: None where Security Hub has it no longer."""
        self._land(entry)
        self._know(entry, known)
        entry.body = body
        self._touch(entry)

    def meet_foreign(self, entry: Entry, uid: str, *, archived: bool, now: int) -> None:
        """A finding read by id before archiving turned out to be another cluster's: it is not ours to touch."""
        self._land(entry)
        self._know(entry, None)
        self.meet(entry.id, uid, archived=archived, now=now)
        self._touch(entry)

    def launch(self, entry: Entry) -> None:
        """The entry is in a call from now on: it is not decided again before the call has landed."""
        entry.in_flight = True
        self.flying.add(entry.id)
        self.dirty.discard(entry.id)

    def _land(self, entry: Entry) -> None:
        entry.in_flight = False
        self.flying.remove(entry.id)

    def _know(self, entry: Entry, known: Known | None) -> None:
        change = (known is not None and not known.archived) - (entry.known is not None and not entry.known.archived)
        if change:
            self.guard.count(entry.source, change)
            self.triage[entry.triage or self._sort(entry, (NEW, _severity(entry)))] += change
        entry.known = known

    def _reset(self, entry: Entry, known: Known) -> None:
        """Security Hub makes a finding NEW that it is sent for the first time or again, but for a suppressed one."""
        before = entry.known
        if known.archived or (before is not None and not before.archived):
            return
        if before is None or entry.triage is None:
            self._sort(entry, (NEW, _severity(entry)))
        elif entry.triage[0] != SUPPRESSED:
            self._sort(entry, (NEW, entry.triage[1]))

    def _sort(self, entry: Entry, triage: Triage) -> Triage:
        if entry.triage is not None and entry.known is not None and not entry.known.archived:
            self.triage[entry.triage] -= 1
            self.triage[triage] += 1
        self._stand(entry, entry.tally, triage)
        return triage

    def _stand(self, entry: Entry, tally: Tally | None, triage: Triage | None) -> None:
        standing = (tally, triage)
        if len(self._standings) > STANDINGS + 2 * len(self.violations):  # mostly of what is gone
            self._standings = {}
        entry.standing = self._standings.setdefault(standing, standing)

    # -- what is to be decided again ------------------------------------------------------------------------------

    def _touch(self, entry: Entry) -> None:
        alive = bool(entry.calls) or (entry.known is not None and not entry.known.archived)
        if alive != (entry.share is not None):
            self._account(entry, alive=alive)
        if entry.in_flight:  # landing touches it
            return
        if entry.known is None and not self.is_read(entry.id):
            if entry.wanted:
                self.unread.add(entry.id)
                if not entry.backlog:
                    self._look(entry.id)
            else:  # never sent, no longer wanted; the inventory brings it back if Security Hub has it
                self.unread.discard(entry.id)
                self.lookups.discard(entry.id)
                if not entry.calls:
                    self._drop(entry)
            return
        if self.held.pop(entry.id, None) == BUDGET:
            self.unpaid.discard(entry.id)
        self.dirty.add(entry.id, _lane(entry), entry.share or "")
        self._on_dirty()

    def _account(self, entry: Entry, *, alive: bool) -> None:
        """It begins or ends to take room in its namespace."""
        if entry.share is not None:
            self.shares.findings.add(entry.share, -1)
        entry.share = self.namespace(entry.id) if alive else None
        if entry.share is not None:
            self.shares.findings.add(entry.share, 1)

    def settle(self, entry: Entry, *, hold: str = "", until: int | None = None, weighs: bool = False) -> None:
        """Nothing to do about it now; `hold` says why although something differs; decide again at `until` (Unix ms).
        `weighs`: the guard counts it as lost.
        """
        self.dirty.discard(entry.id)
        if hold:
            self.held[entry.id] = hold
            if hold == BUDGET:
                self.unpaid.add(entry.id)
        if weighs:
            self.guard.wait(entry.id, entry.source)
        else:
            self.guard.forget(entry.id)
        if until is not None:
            if entry.timer != until:
                entry.timer = until
                heapq.heappush(self.timers, (until, entry.id))
                if len(self.timers) > TIMERS + 4 * len(self.entries):  # mostly of what was decided otherwise since
                    self.timers = [(e.timer, e.id) for e in self.entries.values() if e.timer]
                    heapq.heapify(self.timers)
        elif not hold and not entry.calls and entry.known is None:
            self._drop(entry)
        if not hold:
            entry.pending_since = 0

    def _drop(self, entry: Entry) -> None:
        del self.entries[entry.id]
        self._failed.pop(entry.id, None)
        if entry.share is not None:
            self._account(entry, alive=False)

    def wake(self, now: int) -> int | None:
        """Move what is due to the dirty set and the look-ups; returns when the next timer is due."""
        while self._doubts and self._doubts[0][0] <= now:
            _, id_ = heapq.heappop(self._doubts)
            self._asked_again.discard(id_)
            if id_ in self.entries or id_ in self.quarantine.ids:
                self._look(id_)
        while self.timers and self.timers[0][0] <= now:
            _, id_ = heapq.heappop(self.timers)
            entry = self.entries.get(id_)
            if entry is not None:
                entry.timer = 0
                if not entry.in_flight:
                    self._touch(entry)
        return min((heap[0][0] for heap in (self.timers, self._doubts) if heap), default=None)

    @property
    def pending(self) -> int:
        """Findings that Security Hub does not have as wanted yet (an upper bound while decisions are outstanding)."""
        return sum(self.waiting().values())

    def waiting(self) -> Mapping[str, int]:
        """The pending ones, by the lane that they wait in."""
        lanes = {lane.name.lower(): len(self.dirty.queue(lane)) for lane in Lane}
        for id_ in self.flying:
            lanes[_lane(self.entries[id_]).name.lower()] += 1
        failed = sum(1 for id_ in self._failed if self.held.get(id_) == FAILED)
        return {**lanes, "unread": len(self.unread), FAILED: failed}

    def refresh(self, due: Callable[[str, int], int], *, now: int) -> None:
        """Look at every finding that stands as wanted: those last sent too long ago are to be decided again."""
        for entry in self.entries.values():
            if entry.wanted and entry.known is not None and due(entry.id, entry.known.updated_at) <= now:
                self._touch(entry)
        self._kinds = {e.origin for e in self.entries.values() if not e.wanted and e.constraint is not None}
        self.absent = {origin: since for origin, since in self.absent.items() if origin in self._kinds}
        self._relapses = {id_: times for id_, times in self._relapses.items() if now - times[-1] < DAY_MS}

    def held_reasons(self) -> Counter[str]:
        """How many findings nobody calls for wait, by reason."""
        return Counter(reason for id_, reason in self.held.items() if not self.entries[id_].wanted)

    @property
    def rejected(self) -> int:
        """Findings that Security Hub refused for good, as they are now."""
        return sum(1 for reason in self.held.values() if reason == "rejected")

    def oldest_pending(self) -> int | None:
        """Since when (Unix ms) the oldest pending finding waits."""
        ids = [*self.dirty, *self.unread, *self.flying, *self._failed]
        times = [self.entries[i].pending_since for i in ids if self.entries[i].pending_since]
        return min(times, default=None)

    def severities(self) -> Mapping[Severity, int]:
        """Wanted findings by severity."""
        counts: Counter[Severity] = Counter()
        for (_, _, severity), number in self.violations.items():
            counts[severity] += number
        return counts


def _severity(entry: Entry) -> str:
    """As the engine says; empty where nothing calls for it."""
    return entry.tally[2] if entry.tally is not None else ""


def _lane(entry: Entry) -> Lane:
    """Where a difference waits; what was decided wrongly here is sent all the same."""
    known = entry.known
    if not entry.wanted:
        return Lane.URGENT
    if known is None or known.archived or entry.unanswered is not None:
        return Lane.BACKLOG if entry.backlog else Lane.URGENT
    return Lane.REFRESH if known.digest == entry.digest else Lane.CHANGED
