"""What each source object says, once its results count for the controllers of their objects.

Between the views and the ledger: a result on a Pod, ReplicaSet or Job is kept as it was said and handed on as a call
for what it counts for (`owners`); where that changes, the call moves, without the source object having changed.
It also knows which of them each policy has reported on, so that a rollout under an engine that scans once an hour ends
no finding (`reported`, `family`).

| a truncated constraint lacks a Pod that it listed  | then                                                   |
|----------------------------------------------------|--------------------------------------------------------|
| the Pod is gone, or below the boundary             | the call ends                                          |
| else                                               | it stands: it may be there, unlisted                   |

An object that moves costs what its own results cost: of a source object with many of them only those are looked at
again, and what decisions ask is counted as it changes (`family`).

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import grouped, identity_of, is_rolled, joined, rolled
from policyhub.sources.constraints import GROUP as CONSTRAINTS
from policyhub.sources.violation import Identity, Place, Reading, SourceKey, Subject, Violation, below
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import Owners, Unresolved, place
from policyhub.sync.reported import Spoken

MOST_KEPT = 10_000
"""Calls of one source object, with those that it may still make although it no longer lists them: twice what one report
may have."""
Call = tuple[Violation, int | None]
"""With when it was observed (Unix ms)."""
Spoke = tuple[tuple[Subject, Spoken], ...]

_FEW = 16
"""Results of one source object that are looked at one by one; more are indexed once something moves."""


class _Index:
    """Of what a source object with many results says: where each object is in it, and what its results come to."""

    def __init__(self, told: "Told") -> None:
        self.at: dict[Subject, list[int]] = {}
        """Where in `said` each Pod, ReplicaSet or Job is."""
        self.calls: dict[Identity, Call] = {call[0].identity: call for call in told.made}
        self._texts: dict[Identity, dict[Violation, int]] = {}
        """What the results of one call say, and how often: siblings mostly say the same."""
        self._added: dict[Identity, list[Call]] = {}
        self._left: set[Identity] = set()
        """Who has lost the one that spoke."""
        for number, ((violation, _), subject) in enumerate(zip(told.said, told.subjects, strict=True)):
            if is_rolled(violation.subject):
                self.at.setdefault(violation.subject, []).append(number)
            if isinstance(subject, Subject):
                self._add(rolled(violation, subject))

    def _add(self, violation: Violation) -> None:
        texts = self._texts.setdefault(violation.identity, {})
        texts[violation] = texts.get(violation, 0) + 1

    def join(self, violation: Violation, observed: int | None) -> None:
        self._add(violation)
        self._added.setdefault(violation.identity, []).append((violation, observed))

    def leave(self, violation: Violation) -> None:
        identity = violation.identity
        texts = self._texts[identity]
        texts[violation] -= 1
        if texts[violation]:
            return
        del texts[violation]
        if not texts:
            del self._texts[identity]
        self._left.add(identity)

    def settle(self) -> tuple[list[Call], list[Violation]]:
        """The calls that may have changed since the last time, and those that there are no more."""
        changed: list[Call] = []
        lost: list[Violation] = []
        for identity in self._left | self._added.keys():
            before, added = self.calls.get(identity), self._added.get(identity, [])
            texts = self._texts.get(identity)
            if texts is None:
                if before is not None:
                    lost.append(self.calls.pop(identity)[0])
                continue
            stays = [before] if before is not None and before[0] in texts else []
            if not stays:  # who spoke is gone: any of the others may
                since = before[1] if before is not None else None
                added = [*added, *((violation, since) for violation in texts)]
            call = self.calls[identity] = joined([*stays, *added])
            changed.append(call)
        self._added, self._left = {}, set()
        return changed, lost


class Told(msgspec.Struct):
    """What one source object said last of objects that count for others."""

    said: tuple[Call, ...]
    subjects: list[Subject | Unresolved]
    """What each of `said` counts for."""
    made: list[Call]
    """What that comes to, while there is no index."""
    spoke: Spoke
    index: _Index | None = None

    @property
    def calls(self) -> list[Call]:
        """What that comes to."""
        return self.made if self.index is None else list(self.index.calls.values())


class Rollup:
    """Of one monitored cluster."""

    def __init__(self, *, ledger: Ledger, owners: Owners) -> None:
        self.owners = owners
        self._ledger = ledger
        self._told: dict[SourceKey, Told] = {}
        self._about: dict[Subject, dict[SourceKey, None] | tuple[SourceKey, ...]] = {}
        """The source objects that say something of a Pod, ReplicaSet or Job; as a dict where they are many."""
        self._listed: dict[SourceKey, set[str]] = {}
        """Of which kinds of objects each constraint has listed some."""
        self._news: set[str] | None = set()
        """Of which namespaces something came; None: of all."""

    @property
    def news(self) -> bool:
        """Whether something came that may decide what was held; whoever acts on it calls `heed`."""
        return self._news is None or bool(self._news)

    def heed(self) -> tuple[Collection[str], Collection[str]] | None:
        """Of which namespaces, and of which sources everywhere (none), something came since the last call; None: of
        all.
        """
        news, self._news = self._news, set()
        return None if news is None else (news, ())

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
        spoke = self._learn(reading)
        if key.group == CONSTRAINTS:
            self._listed.setdefault(key, set()).update(v.subject.kind for v, _ in said)
        if before is not None and not reading.complete:
            said, ended = self._kept(before, said, reading.boundary, passed())
        if before is None and not spoke and not any(is_rolled(v.subject) for v, _ in said):
            return grouped((rolled(v, v.subject), at) for v, at in said), frozenset()
        subjects = [self.owners.subject(v.subject) for v, _ in said]
        if before is not None and not ended and _same(before, said, subjects, spoke):
            return before.calls, frozenset()
        calls = _calls(said, subjects)
        lost: frozenset[str] = frozenset()
        if before is not None and ended:
            lost = self._ids(before, ended) - {finding_id(self._ledger.cluster_id, v.identity) for v, _ in calls}
        self._keep(key, before, Told(tuple(said), subjects, calls, spoke))
        return calls, lost

    def _learn(self, reading: Reading) -> Spoke:
        reported = self.owners.families.reported
        for namespace, by in reading.passing:
            if reported.learn_passing(namespace, by) and self._news is not None:
                self._news.add(namespace)
        return tuple((of, reported.spoken(of.namespace, by)) for of, by in reading.spoke)

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
        if objects is None:
            self._news = None
            for key, told in self._told.items():
                self._recount(key, told, now=now, backlog=True)
            return
        if self._news is not None:
            self._news.update(of.namespace for of in objects)
        moved: dict[SourceKey, list[Subject]] = {}
        for of in objects:
            for key in self._about.get(of, ()):
                moved.setdefault(key, []).append(of)
        for key, some in moved.items():
            told = self._told[key]
            if len(told.said) > _FEW:
                self._reindex(key, told, some, now=now)
            else:
                self._recount(key, told, now=now, backlog=False)

    def _recount(self, key: SourceKey, told: Told, *, now: int, backlog: bool) -> None:
        """All of it again."""
        subjects = [self.owners.subject(v.subject) for v, _ in told.said]
        if subjects == told.subjects:
            return
        calls = _calls(told.said, subjects)
        still = {v.identity for v, _ in calls}
        lost = [v for v, _ in told.calls if v.identity not in still]
        told.subjects, told.made, told.index = subjects, calls, None
        self._ledger.shift(key, calls, lost, now=now, backlog=backlog)

    def _reindex(self, key: SourceKey, told: Told, objects: Iterable[Subject], *, now: int) -> None:
        """What it says of these objects again."""
        if told.index is None:
            told.index, told.made = _Index(told), []
        index = told.index
        for at in (at for of in objects for at in index.at.get(of, ())):
            violation, observed = told.said[at]
            before, subject = told.subjects[at], self.owners.subject(violation.subject)
            if before == subject:
                continue
            told.subjects[at] = subject
            if isinstance(before, Subject):
                index.leave(rolled(violation, before))
            if isinstance(subject, Subject):
                index.join(rolled(violation, subject), observed)
        changed, lost = index.settle()
        if changed or lost:
            self._ledger.shift(key, changed, lost, now=now, backlog=False)

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
            elif len(kept) < MOST_KEPT:  # of more the ledger knows that they may stand
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
            self._about_less(of, key)
        for of in new - old:
            about = self._about.get(of, ())
            if isinstance(about, dict):
                about[key] = None
            elif len(about) < _FEW:
                self._about[of] = (*about, key)
            else:
                self._about[of] = dict.fromkeys((*about, key))
        spoke = () if told is None else told.spoke
        if before is None or spoke != before.spoke:
            self._hear(set() if before is None else set(before.spoke), set(spoke))
        if self._news is not None:
            self._news.update(of.namespace for of in old | new)

    def _about_less(self, of: Subject, key: SourceKey) -> None:
        about = self._about[of]
        if isinstance(about, dict):
            del about[key]
        else:
            about = self._about[of] = tuple(k for k in about if k != key)
        if not about:
            del self._about[of]

    def _hear(self, before: set[tuple[Subject, Spoken]], spoke: set[tuple[Subject, Spoken]]) -> None:
        families = self.owners.families
        for of, spoken in spoke - before:
            families.hear(of, spoken, self.owners.home(of))
        for of, spoken in before - spoke:
            families.unhear(of, spoken, self.owners.home(of))

    # -- the evidence ---------------------------------------------------------------------------------------------

    @property
    def since(self) -> int:
        """Since when (Unix ms) it is known of everything what it counts for; 0: it is not."""
        return 1 if self.owners.forbidden else self.owners.since

    def unreported(self, source: str, policy: str, of: Subject) -> bool:
        """Whether something lives that counts for the object, of a kind that the policy (empty: any of the source) has
        reported on in that namespace, and that it has not reported on yet; or something of which it is not known yet
        what it counts for. Of a policy that writes violations only, silence says that there is none.
        """
        owners = self.owners
        if owners.forbidden:
            return False
        if owners.unsettled(of.namespace):
            return True
        families, by = owners.families, (source, policy)
        kinds = families.reported.kinds(of.namespace, by)
        if not kinds or not self.reports_passes(source, policy, of.namespace):
            return False
        itself = is_rolled(of) and owners.home(of) == of and of.kind in kinds
        return (itself and not families.heard(of, by)) or families.unheard(of, by, kinds)

    def reports_passes(self, source: str, policy: str, namespace: str) -> bool:
        """Whether the policy (empty: any of the source) has written a result in the namespace that is no violation. An
        engine that is told to write failures only never does, and says nothing of an object that is clean.
        """
        return self.owners.families.reported.passes(namespace, (source, policy))

    def reports_below(self, source: str, policy: str, namespace: str) -> bool:
        """Whether the policy has reported on any Pod, ReplicaSet or Job in the namespace."""
        return bool(self.owners.families.reported.kinds(namespace, (source, policy)))

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool:
        """Whether something lives that counts for the object, the like of which the constraint lists, and that an audit
        which began then (Unix seconds) may not have seen; or something of which it is not known what it counts for.
        """
        owners = self.owners
        if owners.forbidden:
            return False
        if owners.created(of) >= audited or owners.unsettled(of.namespace):
            return True
        newest = owners.families.newest(of, self._listed.get(constraint))
        return newest is not None and newest >= audited

    def deleted(self, of: Subject) -> bool:
        """Whether the object is known to be gone: a Pod, ReplicaSet or Job that is not there any more."""
        return self.owners.gone(of)

    def places(self, of: Subject, constraint: SourceKey) -> list[Place]:
        """Where in Gatekeeper's order what lives and counts for the object stands, itself left out: the first of each
        kind that the constraint lists the like of, of all kinds where it has listed nothing yet.
        """
        return [place(thing) for thing in self.owners.families.first(of, self._listed.get(constraint))]


def _calls(said: Sequence[Call], subjects: Sequence[Subject | Unresolved]) -> list[Call]:
    pairs = zip(said, subjects, strict=True)
    return grouped((rolled(v, subject), at) for (v, at), subject in pairs if isinstance(subject, Subject))


def _same(
    before: Told,
    said: Sequence[Call],
    subjects: list[Subject | Unresolved],
    spoke: Spoke,
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
