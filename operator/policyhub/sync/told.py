"""What one source object said last of Pods, ReplicaSets and Jobs, and what that comes to for what they count for.

Of one with many results only those are looked at again whose object moves (`Index`).

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Sequence

import msgspec

from policyhub.clocks import WallMs
from policyhub.findings.rollup import grouped, is_rolled, joined, rolled
from policyhub.sources.violation import Identity, Subject, Violation
from policyhub.sync.owners import Unresolved
from policyhub.sync.reported import Spoken

Call = tuple[Violation, WallMs | None]
"""With when it was observed (Unix ms)."""
Spoke = tuple[tuple[Subject, Spoken], ...]


class Index:
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

    def join(self, violation: Violation, observed: WallMs | None) -> None:
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
    index: Index | None = None

    @property
    def calls(self) -> list[Call]:
        """What that comes to."""
        return self.made if self.index is None else list(self.index.calls.values())

    @property
    def objects(self) -> set[Subject]:
        """The Pods, ReplicaSets and Jobs that it speaks of."""
        return {v.subject for v, _ in self.said if is_rolled(v.subject)} | {of for of, _ in self.spoke}

    def same(self, said: Sequence[Call], subjects: list[Subject | Unresolved], spoke: Spoke) -> bool:
        """Whether nothing but times has changed."""
        return (
            self.spoke == spoke
            and self.subjects == subjects
            and all(new[0] == old[0] for new, old in zip(said, self.said, strict=True))
        )

    def recount(self, subjects: list[Subject | Unresolved]) -> tuple[list[Call], list[Violation]]:
        """What it comes to now that its objects count for these, and what it comes to no more."""
        calls = called(self.said, subjects)
        still = {v.identity for v, _ in calls}
        lost = [v for v, _ in self.calls if v.identity not in still]
        self.subjects, self.made, self.index = subjects, calls, None
        return calls, lost

    def indexed(self) -> Index:
        """For what changes one by one."""
        if self.index is None:
            self.index, self.made = Index(self), []
        return self.index

    def turn(self, at: int, subject: Subject | Unresolved) -> bool:
        """One of `said` counts for this now; whether it has not before. `Index.settle` tells what that comes to."""
        before, (violation, observed) = self.subjects[at], self.said[at]
        if before == subject:
            return False
        index = self.indexed()
        self.subjects[at] = subject
        if isinstance(before, Subject):
            index.leave(rolled(violation, before))
        if isinstance(subject, Subject):
            index.join(rolled(violation, subject), observed)
        return True


def called(said: Sequence[Call], subjects: Sequence[Subject | Unresolved]) -> list[Call]:
    """What it comes to when its objects count for these."""
    pairs = zip(said, subjects, strict=True)
    return grouped((rolled(v, subject), at) for (v, at), subject in pairs if isinstance(subject, Subject))
