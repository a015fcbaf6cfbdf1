"""The ledger: what one monitored cluster calls for, and what Security Hub last confirmed of it.

One ledger per monitored cluster (docs/decisions/0003). Per finding id it holds

* **wanted**: the calls of the source objects, the voice that speaks for them, and its digest;
* **known**: digest, times and record state as Security Hub last confirmed them, or *unread* before the inventory has
  reached the id.

What to do about a difference is decided in `plan`, from one entry alone; the ledger keeps the *dirty* set (ids whose
decision may have changed) and the timers (ids whose decision changes by time alone). Invariants:

* the dirty set is never smaller than the set of ids that the full comparison would act on (a property test says so);
* an entry's calls end only by what its own source object says, never by a failed or partial view;
* an import without an answer counts as possibly written: it is archived later if the violation is gone by then.

Pure: no I/O, no clock; `now` is Unix time in milliseconds.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.findings.voice import voice
from policyhub.sources.violation import Identity, Severity, SourceKey, Violation

ACK_OVERRULES_MS = 15 * 60 * 1000
"""GetFindings is eventually consistent: what it says never overrules an acknowledgement younger than this."""


UNLISTED = "violations_unlisted"
"""The hold of a finding that an incomplete source object may call for without listing it."""
UNCONFIRMED = "unconfirmed"
"""The hold of a finding that waits for a discovery to confirm its API."""


class Known(msgspec.Struct, frozen=True):
    """A finding as Security Hub last confirmed it. An empty digest: it may be there, its content is not known."""

    digest: str
    created_at: int
    updated_at: int
    archived: bool


class Held(msgspec.Struct, frozen=True):
    """A finding as the inventory found it."""

    id: str
    known: Known
    cluster_uid: str
    origin: str
    rule: str


class Coverage(msgspec.Struct, frozen=True):
    """Whether one source API is seen whole and live, and since when (the end of the first complete listing since)."""

    live: bool
    since: int = 0
    resumed: int = 0
    """When a watch that had been cut went on from where it was; 0 if it was never cut."""


class Entry:
    """All that is known of one finding id."""

    __slots__ = (
        "acknowledged",
        "body",
        "called",
        "calls",
        "cleared",
        "digest",
        "id",
        "in_flight",
        "known",
        "observed",
        "origin",
        "pending_since",
        "rejected",
        "rule",
        "tally",
        "timer",
        "unanswered",
        "uncalled",
        "voice",
    )

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.calls: tuple[tuple[SourceKey, Violation], ...] = ()
        self.called = False
        """Whether anybody has called for it in this process: then its end is known, not inferred from silence."""
        self.voice: Violation | None = None
        """Who speaks; kept when the last call is gone, as the body to archive with."""
        self.digest = ""
        self.observed: int | None = None
        self.origin = ""
        self.rule = ""
        self.known: Known | None = None
        self.acknowledged = 0
        """When Security Hub acknowledged our last import of it; 0 never."""
        self.uncalled = 0
        """Since when nobody calls for it (meaningful without calls only)."""
        self.cleared = False
        """Positive evidence: the object's result now reads pass or skip."""
        self.rejected = ""
        """The digest that Security Hub refused for good."""
        self.body: dict[str, Any] | None = None
        """The finding as read back from Security Hub, for archiving what this process never rendered."""
        self.in_flight = False
        self.pending_since = 0
        self.timer = 0
        self.unanswered: Known | None = None
        """The last import that got no answer: what it would be known as."""
        self.tally: tuple[str, str, Severity] | None = None

    @property
    def wanted(self) -> bool:
        return bool(self.calls)


class Ledger:
    """Wanted and known findings of one monitored cluster."""

    def __init__(
        self, *, cluster_id: str, cluster_uid: str, default_severity: Severity, on_dirty: Callable[[], None]
    ) -> None:
        self.cluster_id = cluster_id
        self.cluster_uid = cluster_uid
        self.default_severity = default_severity
        self._on_dirty = on_dirty
        self.entries: dict[str, Entry] = {}
        self.objects: dict[SourceKey, tuple[str, ...]] = {}
        """The ids that each source object calls for; objects that call for none are not in it."""
        self.incomplete: set[SourceKey] = set()
        """Source objects whose silence is no evidence (truncated or never audited constraints, unreadable results)."""
        self.incomplete_origins: Counter[str] = Counter()
        """How many of them each source API has."""
        self.blind: set[str] = set()
        """Source APIs whose last listing held an object that could not be read: it may call for anything."""
        self.coverage: dict[str, Coverage] = {}
        self.reports_listed = False
        """Whether every report API that is served has been listed once: before, one that was not may still call for
        what another has dropped (the same violation comes through wgpolicyk8s.io and openreports.io)."""
        self.confirmed: dict[str, int] = {}
        """When each source API was last seen to be served by the very cluster (discovery, its uid checked)."""
        self.opened: dict[str, int] = {}
        """When the listing or watch that now speaks for each source API began: until a discovery has confirmed it, it
        may be another cluster's that answers at the old address."""
        self.dirty: dict[str, None] = {}
        self.held: dict[str, str] = {}
        """Ids whose wanted and known differ and that nothing is done about now, with the reason."""
        self.timers: list[tuple[int, str]] = []
        self.unread: set[str] = set()
        """Wanted ids that the inventory has not reached: not sent before it has."""
        self.parts: set[str] = set()
        """Id prefixes that the inventory has read to the end."""
        self.foreign: Counter[str] = Counter()
        """Findings under this cluster's prefix that carry another cluster's uid, by that uid."""
        self._counted: Counter[str] = Counter()
        self.adopted: frozenset[str] = frozenset()
        """Former uids of this cluster (a rebuilt cluster), released by the admin."""
        self.violations: Counter[tuple[str, str, Severity]] = Counter()
        """Wanted findings by (source, policy, severity)."""
        self.active = 0
        self.flying: set[str] = set()
        """Ids that are in a call to Security Hub."""

    @property
    def uids(self) -> frozenset[str]:
        """The cluster uids whose findings are ours."""
        return self.adopted | {self.cluster_uid}

    # -- what the sources say -------------------------------------------------------------------------------------

    def read(
        self,
        key: SourceKey,
        calls: Iterable[tuple[Violation, int | None]],
        *,
        complete: bool,
        passed: Callable[[], frozenset[Identity]],
        now: int,
    ) -> bool:
        """Take what one source object now calls for; says whether anything of meaning changed.

        `calls` are (violation, observed Unix ms or None). `passed` is asked for the object's pass and skip results only
        if something that it called for is missing now. An incomplete object adds and changes, and ends nothing.
        """
        new: dict[str, tuple[Violation, int | None]] = {}
        for violation, observed in calls:
            new[finding_id(self.cluster_id, violation.identity)] = (violation, observed)
        old = self.objects.get(key, ())
        if complete:
            self._complete(key, now=now)
        else:
            self._incomplete(key)
        changed = False
        for id_, (violation, observed) in new.items():
            changed |= self._call(id_, key, violation, observed=observed, now=now)
        lost = [id_ for id_ in old if id_ not in new]
        kept: tuple[str, ...] = ()
        if lost and not complete:
            kept, lost = tuple(lost), []
        if lost:
            changed = True
            positive = {finding_id(self.cluster_id, identity) for identity in passed()}
            for id_ in lost:
                self._uncall(id_, key, cleared=id_ in positive, now=now)
        if new or kept:
            self.objects[key] = (*new, *kept)
        else:
            self.objects.pop(key, None)
        return changed

    def gone(self, key: SourceKey, *, now: int) -> bool:
        """Take that a source object no longer exists; says whether it called for anything."""
        self._complete(key, now=now)
        ids = self.objects.pop(key, ())
        for id_ in ids:
            self._uncall(id_, key, cleared=False, now=now)
        return bool(ids)

    def clear(self, identities: Iterable[Identity], *, origin: str) -> None:
        """Take positive evidence of one API for its own findings that nobody calls for, the inventory's among them.

        Only right once `reports_listed`: before, somebody may call for them who was not heard yet.
        """
        for identity in identities:
            entry = self.entries.get(finding_id(self.cluster_id, identity))
            if entry is not None and not entry.calls and not entry.cleared and entry.origin == origin:
                entry.cleared = True
                self._touch(entry)

    def cover(self, origin: str, coverage: Coverage) -> None:
        """Take whether a source API is seen whole and live."""
        if self.coverage.get(origin) == coverage:
            return
        self.coverage[origin] = coverage
        self._retouch(origin)

    def _retouch(self, origin: str) -> None:
        for entry in self.entries.values():
            if not entry.calls and entry.known is not None and entry.origin == origin:
                self._touch(entry)

    def confirm(self, origins: Iterable[str], *, now: int) -> None:
        """A discovery has seen these APIs served by the very cluster: findings that waited for it are decided again."""
        for origin in origins:
            self.confirmed[origin] = now
        waiting = [id_ for id_, hold in self.held.items() if hold == UNCONFIRMED]
        for id_ in waiting:
            if self.confirmed.get(self.entries[id_].origin, 0) >= now:
                self._touch(self.entries[id_])

    def set_blind(self, origin: str, *, blind: bool) -> None:
        """Whether the last listing of an API held an object that could not be read at all."""
        if blind == (origin in self.blind):
            return
        (self.blind.add if blind else self.blind.discard)(origin)
        self._retouch(origin)

    def list_reports(self, *, listed: bool) -> None:
        """Take whether every report API that is served has been listed."""
        if listed == self.reports_listed:
            return
        self.reports_listed = listed
        for entry in self.entries.values():
            if not entry.calls and entry.known is not None:
                self._touch(entry)

    def uncalled(self) -> bool:
        """Whether Security Hub has an active finding that nobody calls for."""
        return any(not e.calls and e.known is not None and not e.known.archived for e in self.entries.values())

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
        for id_ in list(self.held):
            entry = self.entries[id_]
            concerned = entry.rule == key.name or self.held[id_] == UNLISTED  # a constraint's own, or any report's
            if not entry.calls and entry.origin == key.origin and concerned:
                entry.uncalled = now
                self._touch(entry)

    def _call(self, id_: str, key: SourceKey, violation: Violation, *, observed: int | None, now: int) -> bool:
        entry = self.entries.get(id_)
        if entry is None:
            entry = self.entries[id_] = Entry(id_)
        before = entry.calls
        entry.called = True
        if (key, violation) in before:
            return False
        entry.calls = (*(c for c in before if c[0] != key), (key, violation))
        if observed is not None and (entry.observed is None or observed < entry.observed):
            entry.observed = observed
        entry.cleared = False
        entry.body = None
        self._speak(entry)
        if entry.pending_since == 0:
            entry.pending_since = now
        self._touch(entry)
        return True

    def _uncall(self, id_: str, key: SourceKey, *, cleared: bool, now: int) -> None:
        entry = self.entries[id_]
        entry.calls = tuple(c for c in entry.calls if c[0] != key)
        if entry.calls:
            self._speak(entry)
        else:
            entry.uncalled = now
            entry.cleared = cleared
            entry.origin = key.origin
            entry.pending_since = now
            self._count(entry)
        self._touch(entry)

    def _speak(self, entry: Entry) -> None:
        violation = voice(dict(entry.calls))
        entry.voice = violation
        entry.origin = min(key.origin for key, said in entry.calls if said == violation)
        entry.rule = violation.rule
        entry.digest = digest(violation, default_severity=self.default_severity)
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        tally = None
        if entry.calls and entry.voice is not None:
            v = entry.voice
            tally = (v.source, v.policy, v.severity or self.default_severity)
        if tally == entry.tally:
            return
        if entry.tally is not None:
            self.violations[entry.tally] -= 1
            if not self.violations[entry.tally]:
                del self.violations[entry.tally]
        if tally is not None:
            self.violations[tally] += 1
        entry.tally = tally

    # -- what Security Hub says -----------------------------------------------------------------------------------

    def is_read(self, id_: str) -> bool:
        digits = id_.rpartition("/")[2]
        return any(digits[:n] in self.parts for n in range(5))  # the inventory's parts have up to four digits

    def take_part(self, digits: str, findings: Iterable[Held], *, now: int) -> None:
        """Take one completely read part of the inventory: the ids that start with `digits`."""
        found: dict[str, Held] = {}
        for held in findings:
            if held.cluster_uid in self.uids:
                found[held.id] = held
            else:
                self._counted[held.cluster_uid] += 1
                self.foreign[held.cluster_uid] = max(self.foreign[held.cluster_uid], self._counted[held.cluster_uid])
        prefix = f"policyhub/{self.cluster_id}/{digits}"
        for id_ in [
            i for i, e in self.entries.items() if i.startswith(prefix) and i not in found and e.known is not None
        ]:
            entry = self.entries[id_]
            if now - entry.acknowledged > ACK_OVERRULES_MS and not entry.in_flight:
                self._miss(entry)
        for held in found.values():
            self._take(held, now=now)
        self.parts.add(digits)
        for id_ in [i for i in self.unread if i.startswith(prefix)]:
            self.unread.discard(id_)
            self._touch(self.entries[id_])

    def _take(self, held: Held, *, now: int) -> None:
        entry = self.entries.get(held.id)
        if entry is None:
            entry = self.entries[held.id] = Entry(held.id)
        if entry.in_flight or now - entry.acknowledged <= ACK_OVERRULES_MS:
            return
        known = held.known
        if held.cluster_uid != self.cluster_uid:  # adopted: its uid must be written anew
            known = msgspec.structs.replace(known, digest="")
        self._know(entry, known)
        if not entry.calls:
            entry.origin, entry.rule = held.origin, held.rule
            entry.uncalled = entry.uncalled or now
        self._touch(entry)

    def _miss(self, entry: Entry) -> None:
        """An inventory lacked it: deleted, or skipped by pages that shifted while they were read. Sent again with its
        first time where it is wanted; where it is not, it is asked for by id before it is archived.
        """
        known = entry.known
        if known is None:
            return
        if known.archived and not entry.calls:
            self._know(entry, None)
        elif entry.calls:
            self._know(entry, msgspec.structs.replace(known, digest="", archived=False))
        self._touch(entry)

    def take_found(self, findings: Iterable[Held], *, now: int) -> None:
        """Take findings read outside an inventory: what is not among them says nothing."""
        for held in findings:
            if held.cluster_uid not in self.uids:
                self.foreign[held.cluster_uid] += 1
            else:
                self._take(held, now=now)

    def finish_inventory(self) -> None:
        """Every part was read: foreign findings that it did not find again are gone."""
        self.foreign, self._counted = self._counted, Counter()

    def acknowledge(self, entry: Entry, known: Known, *, now: int) -> None:
        """Security Hub took the import."""
        self._land(entry)
        entry.acknowledged = now
        entry.body = None
        entry.rejected = ""
        entry.unanswered = None
        entry.pending_since = 0
        self._know(entry, known)
        if known.archived and not entry.calls:
            entry.voice = None
            entry.observed = None
            entry.cleared = False
        self._touch(entry)

    def reject(self, entry: Entry, sent_digest: str) -> None:
        """Security Hub refuses this content for good: it is not sent again until it changes."""
        self._land(entry)
        entry.rejected = sent_digest
        self._touch(entry)

    def unanswered(self, entry: Entry, known: Known) -> None:
        """The import may or may not have been written: taken as written, so that it is archived if the violation ends,
        and sent again with the same times, which Security Hub ignores if it was.
        """
        self._land(entry)
        entry.unanswered = known
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

    def meet_foreign(self, entry: Entry, uid: str) -> None:
        """A finding read by id turned out to be another cluster's: it is counted, and no longer ours to touch."""
        self._land(entry)
        self._know(entry, None)
        self.foreign[uid] += 1
        self._touch(entry)

    def launch(self, entry: Entry) -> None:
        """The entry is in a call from now on: it is not decided again before the call has landed."""
        entry.in_flight = True
        self.flying.add(entry.id)
        self.dirty.pop(entry.id, None)

    def _land(self, entry: Entry) -> None:
        entry.in_flight = False
        self.flying.remove(entry.id)

    def _know(self, entry: Entry, known: Known | None) -> None:
        self.active += (known is not None and not known.archived) - (
            entry.known is not None and not entry.known.archived
        )
        entry.known = known

    # -- what is to be decided again ------------------------------------------------------------------------------

    def _touch(self, entry: Entry) -> None:
        if entry.in_flight:  # landing touches it
            return
        if entry.known is None and not self.is_read(entry.id):
            if entry.calls:
                self.unread.add(entry.id)
            else:  # never sent, no longer wanted; the inventory brings it back if Security Hub has it
                self.unread.discard(entry.id)
                del self.entries[entry.id]
            return
        self.held.pop(entry.id, None)
        self.dirty[entry.id] = None
        self._on_dirty()

    def settle(self, entry: Entry, *, hold: str = "", until: int | None = None) -> None:
        """Nothing to do about it now; `hold` says why although something differs; decide again at `until` (Unix ms)."""
        self.dirty.pop(entry.id, None)
        if hold:
            self.held[entry.id] = hold
        if until is not None:
            if entry.timer != until:
                entry.timer = until
                heapq.heappush(self.timers, (until, entry.id))
        elif not hold and not entry.calls and entry.known is None:
            del self.entries[entry.id]
        if not hold:
            entry.pending_since = 0

    def wake(self, now: int) -> int | None:
        """Move what is due to the dirty set; returns when the next timer is due."""
        while self.timers and self.timers[0][0] <= now:
            _, id_ = heapq.heappop(self.timers)
            entry = self.entries.get(id_)
            if entry is not None:
                entry.timer = 0
                if not entry.in_flight:
                    self._touch(entry)
        return self.timers[0][0] if self.timers else None

    @property
    def pending(self) -> int:
        """Findings that Security Hub does not have as wanted yet (an upper bound while decisions are outstanding)."""
        return len(self.dirty) + len(self.unread) + len(self.flying)

    def refresh(self, due: Callable[[str, int], int], *, now: int) -> None:
        """Look at every finding that stands as wanted: those last sent too long ago are to be decided again."""
        for entry in self.entries.values():
            if entry.calls and entry.known is not None and due(entry.id, entry.known.updated_at) <= now:
                self._touch(entry)

    def held_reasons(self) -> Counter[str]:
        """How many findings nobody calls for wait, by reason."""
        return Counter(reason for id_, reason in self.held.items() if not self.entries[id_].calls)

    @property
    def rejected(self) -> int:
        """Findings that Security Hub refused for good, as they are now."""
        return sum(1 for reason in self.held.values() if reason == "rejected")

    def oldest_pending(self) -> int | None:
        """Since when (Unix ms) the oldest pending finding waits."""
        ids = [*self.dirty, *self.unread, *self.flying]
        times = [self.entries[i].pending_since for i in ids if self.entries[i].pending_since]
        return min(times, default=None)

    def severities(self) -> Mapping[Severity, int]:
        """Wanted findings by severity."""
        counts: Counter[Severity] = Counter()
        for (_, _, severity), number in self.violations.items():
            counts[severity] += number
        return counts
