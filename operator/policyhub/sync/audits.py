"""What Gatekeeper's constraints are worth: what they lacked at which audit, and which kinds of them there are.

| a constraint …                                | then                                                                |
|-----------------------------------------------|---------------------------------------------------------------------|
| lacks what it listed                          | it counts once a later audit has lacked it too                      |
| lists not all, and ends before it             | nobody knows: what the constraint lacked is taken back              |
| is deleted                                    | another of its name has its own audits                              |
| is of a kind that two discoveries lack        | the kind was deleted, and the constraint with it                    |

Pure: no I/O, no clock; audits are Unix seconds as Gatekeeper writes them, other times Unix milliseconds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.violation import ObjectRef, SourceKey, Subject, Violation, below
from policyhub.sync.entry import Entry
from policyhub.sync.holds import Free, News
from policyhub.sync.ownership import Ownership

POD = ("", "Pod")

TOGETHER = 2
AUDITS_KEPT = 1_000

Kind = tuple[str, str]
"""Group and kind."""


class Audits:
    """Of one monitored cluster."""

    def __init__(
        self,
        *,
        entries: dict[str, Entry],
        free: Free,
        enqueue: Callable[[Entry], None],
        ownership: Callable[[], Ownership | None],
    ) -> None:
        self._entries = entries
        self._free = free
        self._enqueue = enqueue
        self._ownership = ownership
        self._went: dict[tuple[Kind, int], set[Subject]] = {}
        """(kind, audit) → some of the objects that this audit was the first to lack."""
        self.audits: dict[SourceKey, int] = {}
        """The last audit (Unix seconds; 0: none yet) of every constraint that there is."""
        self._awaiting: defaultdict[SourceKey, set[str]] = defaultdict(set)
        """Findings that nobody reports, by the constraint that would list them."""
        self._lists: dict[SourceKey, frozenset[Kind]] = {}
        """Of which kinds of objects each constraint lists some now."""
        self._listing: defaultdict[Kind, set[SourceKey]] = defaultdict(set)
        self.absent: dict[str, SteadyMs] = {}
        """Since when complete discoveries lack a constraint kind that has findings."""
        self.kinds_read = NEVER
        """When the last complete discovery of constraint kinds began."""
        self._kinds: set[str] = set()
        """Constraint kinds that have findings nobody reports."""

    def read_kinds(self, served: Iterable[str], *, now: SteadyMs) -> None:
        """A complete discovery of constraint kinds (their origins): those that have findings and are absent from two
        of them, an archive delay apart, were deleted.
        """
        self.kinds_read = now
        there = frozenset(served)
        for origin in self._kinds:
            if origin in there:
                self.absent.pop(origin, None)
            else:
                self.absent.setdefault(origin, now)
        self._free(News.DISCOVERY, where=lambda entry: entry.constraint is not None)

    def recount_kinds(self) -> None:
        """Constraint kinds without a finding need not be known."""
        self._kinds = {e.source_api for e in self._entries.values() if not e.desired and e.constraint is not None}
        self.absent = {origin: since for origin, since in self.absent.items() if origin in self._kinds}

    def lose(self, entry: Entry) -> None:
        """Nobody reports it: who can still speak of it."""
        constraint = entry.constraint
        if constraint is not None:
            self._kinds.add(entry.source_api)
            self._awaiting[constraint].add(entry.id)

    def awaits(self, key: SourceKey) -> bool:
        """Whether nobody reports a finding that the constraint would list."""
        return bool(self._awaiting.get(key))

    def audit(
        self, key: SourceKey, audited: int, *, lists: Iterable[Violation], complete: bool, boundary: ObjectRef | None
    ) -> None:
        """What a constraint lacks counts once a later audit has lacked it too."""
        self.audits[key] = audited
        self._list(key, frozenset((v.subject.group, v.subject.kind) if v.own else POD for v in lists))
        for id_ in list(self._awaiting.get(key, ())):
            entry = self._entries.get(id_)
            if entry is None or entry.claims or entry.constraint != key:
                self._awaiting[key].discard(id_)
                continue
            before = entry.first_audit_without, entry.confirmed_by_audit
            if self.unaudited(entry) or (not complete and not self.below(entry, boundary)):
                entry.first_audit_without, entry.confirmed_by_audit = (
                    None,
                    False,
                )  # it may be there again, unseen or unlisted
            elif entry.first_audit_without is None:
                entry.first_audit_without = audited
                self._note(entry, audited)
            elif audited > entry.first_audit_without:
                entry.confirmed_by_audit = True
            if before != (entry.first_audit_without, entry.confirmed_by_audit):
                self._enqueue(entry)
        self._free(News.AUDIT, where=lambda entry: entry.constraint == key)

    def _list(self, key: SourceKey, kinds: frozenset[Kind]) -> None:
        before = self._lists.get(key, frozenset())
        for kind in before - kinds:
            self._listing[kind].discard(key)
            if not self._listing[kind]:
                del self._listing[kind]
        for kind in kinds - before:
            self._listing[kind].add(key)
        if kinds:
            self._lists[key] = kinds
        else:
            self._lists.pop(key, None)

    def _note(self, entry: Entry, audited: int) -> None:
        of = entry.subject
        if of is None:
            return
        place = kind_of(entry), audited
        went = self._went.setdefault(place, set())
        if len(went) < TOGETHER:
            went.add(of)
        if len(self._went) > AUDITS_KEPT:
            del self._went[next(iter(self._went))]

    def lost_together(self, kind: Kind, audited: int) -> bool:
        """Whether this audit was the first to lack several objects of the kind."""
        return len(self._went.get((kind, audited), ())) >= TOGETHER

    def listed_by_audit(self, kind: Kind, audited: int) -> bool:
        """Whether an audit of that second or a later one has found anything in objects of this kind. A kind that
        Gatekeeper cannot list is left out of the audit, without a word.
        """
        return any(self.audits.get(key, 0) >= audited for key in self._listing.get(kind, ()))

    def drop(self, key: SourceKey) -> None:
        self.audits.pop(key, None)
        self._list(key, frozenset())
        for id_ in self._awaiting.get(key, ()):
            if (entry := self._entries.get(id_)) is not None and not entry.claims:
                entry.first_audit_without, entry.confirmed_by_audit = (
                    None,
                    False,
                )  # another of its name has its own audits
                self._enqueue(entry)

    def unaudited(self, entry: Entry) -> bool:
        """Whether something rolls up to a constraint's finding that its last audit may not have seen: new Pods."""
        of, constraint = entry.subject, entry.constraint
        if (ownership := self._ownership()) is None or of is None or constraint is None:
            return False
        return ownership.unaudited(of, constraint, self.audits.get(constraint, 0))

    def below(self, entry: Entry, boundary: ObjectRef | None) -> bool:
        """Whether a truncated constraint would list all that may stand behind the finding, if it still violated it."""
        if boundary is None:
            return False
        voice = entry.representative
        own = voice.object_ref if voice is not None else entry.object_ref
        places = [] if voice is not None and not voice.own else [own]
        of, constraint = entry.subject, entry.constraint
        if (ownership := self._ownership()) is not None and of is not None and constraint is not None:
            places += ownership.places(of, constraint)
        return all(place is not None and below(place, boundary) for place in places)


def kind_of(entry: Entry) -> Kind:
    """Of the objects that a constraint lists for the finding."""
    of = entry.subject
    if of is None or (entry.representative is not None and not entry.representative.own):
        return POD
    return of.group, of.kind
