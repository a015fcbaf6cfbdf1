"""The evidence of Gatekeeper's constraints: what each audit omitted, and which kinds of constraints exist.

| a constraint …                                 | then                                                               |
|------------------------------------------------|--------------------------------------------------------------------|
| omits an object that it listed                 | the finding is resolved once a later audit has omitted it too      |
| is truncated, and ends before that object      | the omission is unknown and is taken back                          |
| is deleted                                     | another constraint of its name has its own audits                  |
| is of a kind that two discoveries lack         | the kind was deleted, and the constraint with it                   |

Pure: no I/O, no clock; audits are Unix seconds as Gatekeeper writes them, other times Unix milliseconds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import ObjectRef, SourceKey, Subject, Violation, below
from policyhub.sync.entry import Entry
from policyhub.sync.holds import Requeue, Trigger
from policyhub.sync.ownership import Ownership

POD = ("", "Pod")

SEVERAL = 2
AUDITS_KEPT = 1_000

Kind = tuple[str, str]
"""(group, kind)."""


class Audits:
    """The audits of one cluster."""

    def __init__(
        self,
        *,
        entries: dict[str, Entry],
        requeue: Requeue,
        enqueue: Callable[[Entry], None],
        ownership: Callable[[], Ownership | None],
    ) -> None:
        self._entries = entries
        self._requeue = requeue
        self._enqueue = enqueue
        self._ownership = ownership
        self._first_missing: dict[tuple[Kind, int], set[Subject]] = {}
        """(kind, audit) → some of the objects that this audit was the first to omit."""
        self.audits: dict[SourceKey, int] = {}
        """The last audit (Unix seconds; 0: none yet) of each existing constraint."""
        self._awaiting: defaultdict[SourceKey, set[str]] = defaultdict(set)
        """Constraint → unreported findings that it would list."""
        self._kinds_listed_by: dict[SourceKey, frozenset[Kind]] = {}
        """Constraint → kinds of the objects that it lists now."""
        self._listed_by: defaultdict[Kind, set[SourceKey]] = defaultdict(set)
        self.absent: dict[str, SteadyMs] = {}
        """Constraint kind with findings → since when complete discoveries lack it."""
        self.kinds_read = NEVER
        """When the last complete discovery of constraint kinds began."""
        self._kinds: set[str] = set()
        """Constraint kinds that have unreported findings."""

    def read_kinds(self, served: Iterable[str], *, now: SteadyMs) -> None:
        """A complete discovery of constraint kinds, as source APIs. A kind with findings that is missing in two of
        them, an archive delay apart, was deleted.
        """
        self.kinds_read = now
        served_kinds = frozenset(served)
        for source_api in self._kinds:
            if source_api in served_kinds:
                self.absent.pop(source_api, None)
            else:
                self.absent.setdefault(source_api, now)
        self._requeue(Trigger.DISCOVERY, where=lambda entry: entry.constraint is not None)

    def recount_kinds(self) -> None:
        """Forget constraint kinds without an unreported finding."""
        self._kinds = {e.source_api for e in self._entries.values() if not e.desired and e.constraint is not None}
        self.absent = {source_api: since for source_api, since in self.absent.items() if source_api in self._kinds}

    def await_audit(self, entry: Entry) -> None:
        """The finding is no longer reported: wait for its constraint's audits."""
        constraint = entry.constraint
        if constraint is not None:
            self._kinds.add(entry.source_api)
            self._awaiting[constraint].add(entry.id)

    def awaits(self, key: SourceKey) -> bool:
        """Whether an unreported finding waits for an audit of this constraint."""
        return bool(self._awaiting.get(key))

    def audit(
        self, key: SourceKey, audited: int, *, lists: Iterable[Violation], complete: bool, boundary: ObjectRef | None
    ) -> None:
        """Take one audit. What the constraint omits is resolved once a later audit has omitted it too."""
        self.audits[key] = audited
        self._record_kinds(key, frozenset((v.subject.group, v.subject.kind) if v.own else POD for v in lists))
        for id_ in list(self._awaiting.get(key, ())):
            entry = self._entries.get(id_)
            if entry is None or entry.claims or entry.constraint != key:
                self._awaiting[key].discard(id_)
                continue
            before = entry.first_audit_without, entry.confirmed_by_audit
            if self.unaudited(entry) or (not complete and not self.would_list(entry, boundary)):
                # The audit may have missed or not listed an object that violates again.
                entry.first_audit_without, entry.confirmed_by_audit = None, False
            elif entry.first_audit_without is None:
                entry.first_audit_without = audited
                self._note_missing(entry, audited)
            elif audited > entry.first_audit_without:
                entry.confirmed_by_audit = True
            if before != (entry.first_audit_without, entry.confirmed_by_audit):
                self._enqueue(entry)
        self._requeue(Trigger.AUDIT, where=lambda entry: entry.constraint == key)

    def _record_kinds(self, key: SourceKey, kinds: frozenset[Kind]) -> None:
        before = self._kinds_listed_by.get(key, frozenset())
        for kind in before - kinds:
            self._listed_by[kind].discard(key)
            if not self._listed_by[kind]:
                del self._listed_by[kind]
        for kind in kinds - before:
            self._listed_by[kind].add(key)
        if kinds:
            self._kinds_listed_by[key] = kinds
        else:
            self._kinds_listed_by.pop(key, None)

    def _note_missing(self, entry: Entry, audited: int) -> None:
        subject = entry.subject
        if subject is None:
            return
        key = kind_of(entry), audited
        subjects = self._first_missing.setdefault(key, set())
        if len(subjects) < SEVERAL:
            subjects.add(subject)
        if len(self._first_missing) > AUDITS_KEPT:
            del self._first_missing[next(iter(self._first_missing))]

    def lost_together(self, kind: Kind, audited: int) -> bool:
        """Whether this audit was the first to omit several objects of the kind."""
        return len(self._first_missing.get((kind, audited), ())) >= SEVERAL

    def listed_by_audit(self, kind: Kind, audited: int) -> bool:
        """Whether an audit at that second or later has found a violation of an object of this kind. Gatekeeper silently
        skips kinds that it cannot list.
        """
        return any(self.audits.get(key, 0) >= audited for key in self._listed_by.get(kind, ()))

    def drop(self, key: SourceKey) -> None:
        self.audits.pop(key, None)
        self._record_kinds(key, frozenset())
        for id_ in self._awaiting.get(key, ()):
            if (entry := self._entries.get(id_)) is not None and not entry.claims:
                # Another constraint of the same name has its own audits.
                entry.first_audit_without, entry.confirmed_by_audit = None, False
                self._enqueue(entry)

    def unaudited(self, entry: Entry) -> bool:
        """Whether an object rolls up to the finding that the constraint's last audit may have missed, such as a new
        Pod.
        """
        subject, constraint = entry.subject, entry.constraint
        if (ownership := self._ownership()) is None or subject is None or constraint is None:
            return False
        return ownership.unaudited(subject, constraint, self.audits.get(constraint, 0))

    def would_list(self, entry: Entry, boundary: ObjectRef | None) -> bool:
        """Whether a truncated constraint would list every object that the finding may be about, if it still violated
        it.
        """
        if boundary is None:
            return False
        representative = entry.representative
        listed = representative.object_ref if representative is not None else entry.object_ref
        object_refs = [] if representative is not None and not representative.own else [listed]
        subject, constraint = entry.subject, entry.constraint
        if (ownership := self._ownership()) is not None and subject is not None and constraint is not None:
            object_refs += ownership.object_refs(subject, constraint)
        return all(key is not None and below(key, boundary) for key in object_refs)


def kind_of(entry: Entry) -> Kind:
    """The kind of the objects that a constraint lists for the finding."""
    subject = entry.subject
    if subject is None or (entry.representative is not None and not entry.representative.own):
        return POD
    return subject.group, subject.kind
