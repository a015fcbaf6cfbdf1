"""What one source object said last of Pods, ReplicaSets and Jobs, and what that comes to for what they count for.

Of one with many results only those are looked at again whose object moves (`Index`).

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Sequence

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.rollup import is_rolled_up, merged, merged_by_identity, rolled_up
from policyhub.sources.violation import Identity, Subject, Violation
from policyhub.sync.owners import Unresolved
from policyhub.sync.reported import PolicySet

Claim = tuple[Violation, WallMs | None]
"""With when it was observed (Unix ms)."""
Covered = tuple[tuple[Subject, PolicySet], ...]


class Index:
    """Of what a source object with many results says: where each object is in it, and what its results come to."""

    def __init__(self, statement: "Statement") -> None:
        self.at: dict[Subject, list[int]] = {}
        """Where in `results` each Pod, ReplicaSet or Job is."""
        self.claims: dict[Identity, Claim] = {claim[0].identity: claim for claim in statement.claims_made}
        self._texts: dict[Identity, dict[Violation, int]] = {}
        """What the results of one call say, and how often: siblings mostly say the same."""
        self._added: dict[Identity, list[Claim]] = {}
        self._left: set[Identity] = set()
        """Who has lost the one that spoke."""
        for number, ((violation, _), subject) in enumerate(zip(statement.results, statement.subjects, strict=True)):
            if is_rolled_up(violation.subject):
                self.at.setdefault(violation.subject, []).append(number)
            if isinstance(subject, Subject):
                self._add(rolled_up(violation, subject))

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

    def changes(self) -> tuple[list[Claim], list[Violation]]:
        """The calls that may have changed since the last time, and those that there are no more."""
        changed: list[Claim] = []
        lost: list[Violation] = []
        for identity in self._left | self._added.keys():
            before, added = self.claims.get(identity), self._added.get(identity, [])
            texts = self._texts.get(identity)
            if texts is None:
                if before is not None:
                    lost.append(self.claims.pop(identity)[0])
                continue
            stays = [before] if before is not None and before[0] in texts else []
            if not stays:  # who spoke is gone: any of the others may
                since = before[1] if before is not None else None
                added = [*added, *((violation, since) for violation in texts)]
            claim = self.claims[identity] = merged([*stays, *added])
            changed.append(claim)
        self._added, self._left = {}, set()
        return changed, lost


class Statement(msgspec.Struct):
    """What one source object said last of objects that count for others."""

    results: tuple[Claim, ...]
    subjects: list[Subject | Unresolved]
    """What each of `results` counts for."""
    claims_made: list[Claim]
    """What that comes to, while there is no index."""
    covered: Covered
    index: Index | None = None

    @property
    def claims(self) -> list[Claim]:
        """What that comes to."""
        return self.claims_made if self.index is None else list(self.index.claims.values())

    @property
    def objects(self) -> set[Subject]:
        """The Pods, ReplicaSets and Jobs that it speaks of."""
        return {v.subject for v, _ in self.results if is_rolled_up(v.subject)} | {of for of, _ in self.covered}

    def same(self, results: Sequence[Claim], subjects: list[Subject | Unresolved], covered: Covered) -> bool:
        """Whether nothing but times has changed."""
        return (
            self.covered == covered
            and self.subjects == subjects
            and all(new[0] == old[0] for new, old in zip(results, self.results, strict=True))
        )

    def recount(self, subjects: list[Subject | Unresolved]) -> tuple[list[Claim], list[Violation]]:
        """What it comes to now that its objects count for these, and what it comes to no more."""
        claims = claims_of(self.results, subjects)
        still = {v.identity for v, _ in claims}
        lost = [v for v, _ in self.claims if v.identity not in still]
        self.subjects, self.claims_made, self.index = subjects, claims, None
        return claims, lost

    def indexed(self) -> Index:
        """For what changes one by one."""
        if self.index is None:
            self.index, self.claims_made = Index(self), []
        return self.index

    def move(self, at: int, subject: Subject | Unresolved) -> bool:
        """One of `results` counts for this now; whether it has not before. `Index.changes` tells what that comes to."""
        before, (violation, observed) = self.subjects[at], self.results[at]
        if before == subject:
            return False
        index = self.indexed()
        self.subjects[at] = subject
        if isinstance(before, Subject):
            index.leave(rolled_up(violation, before))
        if isinstance(subject, Subject):
            index.join(rolled_up(violation, subject), observed)
        return True


def claims_of(results: Sequence[Claim], subjects: Sequence[Subject | Unresolved]) -> list[Claim]:
    """What it comes to when its objects count for these."""
    pairs = zip(results, subjects, strict=True)
    return merged_by_identity((rolled_up(v, subject), at) for (v, at), subject in pairs if isinstance(subject, Subject))
