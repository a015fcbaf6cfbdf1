"""What each source object says, once its results count for the controllers of their objects.

Between the views and the ledger: a result on a Pod, ReplicaSet or Job is kept as it was said and handed on as a call
for what it counts for (`owners`); where that changes, the call moves, without the source object having changed.
It also knows which of them each source has reported on, so that a rollout under an engine that scans once an hour ends
no finding.

| a truncated constraint lacks a Pod that it listed  | then                                                   |
|----------------------------------------------------|--------------------------------------------------------|
| the Pod is gone, or below the boundary             | the call ends                                          |
| else                                               | it stands: it may be there, unlisted                   |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import grouped, identity_of, is_rolled, rolled
from policyhub.sources.constraints import GROUP as CONSTRAINTS
from policyhub.sources.violation import Identity, Place, Reading, SourceKey, Subject, Violation, below
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import Owners, Unresolved, place

Call = tuple[Violation, int | None]
"""With when it was observed (Unix ms)."""


class Told(msgspec.Struct, frozen=True):
    """What one source object said last of objects that count for others."""

    said: tuple[Call, ...]
    subjects: tuple[Subject | Unresolved, ...]
    """What each of `said` counts for."""
    calls: list[Call]
    """What that comes to."""
    spoke: tuple[tuple[Subject, str], ...]


class Rollup:
    """Of one monitored cluster."""

    def __init__(self, *, ledger: Ledger, owners: Owners) -> None:
        self.owners = owners
        self._ledger = ledger
        self._told: dict[SourceKey, Told] = {}
        self._about: dict[Subject, tuple[SourceKey, ...]] = {}
        """The source objects that say something of a Pod, ReplicaSet or Job."""
        self._listed: dict[SourceKey, set[str]] = {}
        """Of which kinds of objects each constraint has listed some."""
        self._kinds: set[tuple[str, str]] = set()
        """(source, kind) of what sources have reported on."""
        self.news = False
        """Whether something came that may decide what was held; whoever acts on it takes it back."""

    # -- from the views to the ledger -----------------------------------------------------------------------------

    def take(
        self, reading: Reading, said: Sequence[Call], passed: Callable[[], frozenset[Identity]] = frozenset
    ) -> tuple[list[Call], frozenset[str]]:
        """What a source object now calls for, and the ids whose calls by it have ended although it is incomplete.
        `passed` tells what it reads as passing.
        """
        key = reading.key
        before = self._told.get(key)
        ended: list[int] = []
        if key.group == CONSTRAINTS:
            self._listed.setdefault(key, set()).update(v.subject.kind for v, _ in said)
        if before is not None and not reading.complete:
            said, ended = self._kept(before, said, reading.boundary, passed())
        if before is None and not reading.spoke and not any(is_rolled(v.subject) for v, _ in said):
            return grouped((rolled(v, v.subject), at) for v, at in said), frozenset()
        subjects = tuple(self.owners.subject(v.subject) for v, _ in said)
        if before is not None and not ended and _same(before, said, subjects, reading.spoke):
            return before.calls, frozenset()
        calls = _calls(said, subjects)
        lost: frozenset[str] = frozenset()
        if before is not None and ended:
            lost = self._ids(before, ended) - {finding_id(self._ledger.cluster_id, v.identity) for v, _ in calls}
        self._keep(key, before, Told(tuple(said), subjects, calls, reading.spoke))
        return calls, lost

    def gone(self, key: SourceKey) -> None:
        """A source object no longer exists."""
        self._listed.pop(key, None)
        self._forget(key)

    def _forget(self, key: SourceKey) -> None:
        before = self._told.pop(key, None)
        if before is not None:
            self._index(key, before, None)

    def keys(self) -> Iterable[SourceKey]:
        """The source objects that are known here, also those that call for nothing."""
        return self._told.keys()

    def passed(self, identities: Iterable[Identity]) -> frozenset[Identity]:
        """Of what a source object reads as passing: what its objects say of themselves. That one Pod passes is no
        evidence of the others.
        """
        own = []
        for identity in identities:
            _, _, _, group, kind, namespace, name, _ = identity
            subject = Subject(group, kind, namespace, name)
            if not is_rolled(subject) or self.owners.subject(subject) == subject:
                own.append(identity_of(identity))
        return frozenset(own)

    def shift(self, objects: set[Subject] | None, *, now: int) -> None:
        """These objects may count for others now (None: any of them)."""
        self.news = True
        keys = list(self._told) if objects is None else {key for o in objects for key in self._about.get(o, ())}
        for key in keys:
            before = self._told[key]
            subjects = tuple(self.owners.subject(v.subject) for v, _ in before.said)
            if subjects == before.subjects:
                continue
            calls = _calls(before.said, subjects)
            self._told[key] = Told(before.said, subjects, calls, before.spoke)
            still = {v.identity for v, _ in calls}
            lost = [v for v, _ in before.calls if v.identity not in still]
            self._ledger.shift(key, calls, lost, now=now, backlog=objects is None)

    def _kept(
        self, before: Told, said: Sequence[Call], boundary: Place | None, passed: frozenset[Identity]
    ) -> tuple[list[Call], list[int]]:
        """With what an incomplete source object may still call for; and the places in `before` of what has ended."""
        kept, ended = list(said), []
        there = {v.identity for v, _ in said}
        for index, call in enumerate(before.said):
            violation = call[0]
            if violation.identity in there or not is_rolled(violation.subject):
                continue
            gone = self.owners.subject(violation.subject) is Unresolved.GONE
            if gone or violation.identity in passed or (boundary is not None and below(violation.place, boundary)):
                ended.append(index)
            else:
                kept.append(call)
        return kept, ended

    def _ids(self, before: Told, ended: list[int]) -> frozenset[str]:
        ids = set()
        for index in ended:
            subject = before.subjects[index]
            if isinstance(subject, Subject):
                violation = rolled(before.said[index][0], subject)
                ids.add(finding_id(self._ledger.cluster_id, violation.identity))
        return frozenset(ids)

    def _keep(self, key: SourceKey, before: Told | None, told: Told) -> None:
        if told.spoke or any(is_rolled(v.subject) for v, _ in told.said):
            self._told[key] = told
            self._index(key, before, told)
        else:
            self._forget(key)

    def _index(self, key: SourceKey, before: Told | None, told: Told | None) -> None:
        old, new = _objects(before), _objects(told)
        for of in old - new:
            left = tuple(k for k in self._about[of] if k != key)
            if left:
                self._about[of] = left
            else:
                del self._about[of]
        for of in new - old:
            self._about[of] = (*self._about.get(of, ()), key)
        if told is not None and (before is None or told.spoke != before.spoke):
            self._kinds.update((source, of.kind) for of, source in told.spoke)
        self.news = True

    # -- the evidence ---------------------------------------------------------------------------------------------

    @property
    def since(self) -> int:
        """Since when (Unix ms) it is known of everything what it counts for; 0: it is not."""
        return 1 if self.owners.forbidden else self.owners.since

    def unreported(self, source: str, of: Subject) -> bool:
        """Whether something lives that counts for the object, of a kind that the source reports on, and that it has
        not reported on yet.
        """
        return not self.owners.forbidden and any(
            (source, thing.kind) in self._kinds and not self._reported(source, thing) for thing in self._living(of)
        )

    def _living(self, of: Subject) -> Iterator[Subject]:
        if is_rolled(of) and self.owners.subject(of) == of:
            yield of
        yield from self.owners.below(of)

    def _reported(self, source: str, of: Subject) -> bool:
        return any((of, source) in self._told[key].spoke for key in self._about.get(of, ()))

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool:
        """Whether something lives that counts for the object, the like of which the constraint lists, and that an audit
        which began then (Unix seconds) may not have seen.
        """
        return not self.owners.forbidden and any(
            self.owners.created(thing) >= audited for thing in self._listable(of, constraint) | {of}
        )

    def deleted(self, of: Subject, *, orphaned: bool) -> bool:
        """Whether the object is known to be gone: it is not there any more, or, where its own report has gone too,
        nothing is left of what it owned.
        """
        return self.owners.gone(of) or (orphaned and self.owners.extinct(of))

    def places(self, of: Subject, constraint: SourceKey) -> list[Place]:
        """Where in Gatekeeper's order what lives and counts for the object stands, itself left out: what the constraint
        lists the like of, all where it has listed nothing yet.
        """
        return [place(thing) for thing in self._listable(of, constraint)]

    def _listable(self, of: Subject, constraint: SourceKey) -> set[Subject]:
        kinds = self._listed.get(constraint)
        return {thing for thing in self.owners.below(of) if not kinds or thing.kind in kinds}


def _calls(said: Sequence[Call], subjects: Sequence[Subject | Unresolved]) -> list[Call]:
    pairs = zip(said, subjects, strict=True)
    return grouped((rolled(v, subject), at) for (v, at), subject in pairs if isinstance(subject, Subject))


def _same(
    before: Told,
    said: Sequence[Call],
    subjects: tuple[Subject | Unresolved, ...],
    spoke: tuple[tuple[Subject, str], ...],
) -> bool:
    """Whether nothing but times has changed."""
    return (
        before.spoke == spoke
        and before.subjects == subjects
        and all(new[0] == old[0] for new, old in zip(said, before.said, strict=True))
    )


def _objects(told: Told | None) -> set[Subject]:
    if told is None:
        return set()
    return {v.subject for v, _ in told.said if is_rolled(v.subject)} | {of for of, _ in told.spoke}
