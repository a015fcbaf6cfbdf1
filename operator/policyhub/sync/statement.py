"""The last results of one source object about Pods, ReplicaSets and Jobs, and the claims after roll-up.

`StatementIndex` serves source objects with many results: only the results of objects that move are rolled up again.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Collection, Sequence

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.rollup import is_rolled_up, merged, merged_by_identity, rolled_up
from policyhub.model.violation import Identity, Subject, Violation
from policyhub.sync.owners import Unresolved
from policyhub.sync.reported import PolicySet

Claim = tuple[Violation, WallMs | None]
"""A violation, and the time when it was observed (Unix ms)."""
Covered = tuple[tuple[Subject, PolicySet], ...]


class StatementIndex:
    """For a source object with many results: where each object is in it, and the claims after roll-up."""

    def __init__(self, statement: "Statement") -> None:
        self.at: dict[Subject, list[int]] = {}
        """Positions of each Pod, ReplicaSet or Job in `results`."""
        self.claims: dict[Identity, Claim] = {claim[0].identity: claim for claim in statement.claims_made}
        self._counts: dict[Identity, dict[Violation, int]] = {}
        """By finding identity: distinct rolled-up results with their counts; siblings mostly have equal ones."""
        self._added: dict[Identity, list[Claim]] = {}
        self._lost_results: set[Identity] = set()
        """Identities that have lost a distinct result."""
        for number, ((violation, _), subject) in enumerate(zip(statement.results, statement.subjects, strict=True)):
            if is_rolled_up(violation.subject):
                self.at.setdefault(violation.subject, []).append(number)
            if isinstance(subject, Subject):
                self._add(rolled_up(violation, subject))

    def _add(self, violation: Violation) -> None:
        counts = self._counts.setdefault(violation.identity, {})
        counts[violation] = counts.get(violation, 0) + 1

    def add_result(self, violation: Violation, observed: WallMs | None) -> None:
        self._add(violation)
        self._added.setdefault(violation.identity, []).append((violation, observed))

    def remove_result(self, violation: Violation) -> None:
        identity = violation.identity
        counts = self._counts[identity]
        counts[violation] -= 1
        if counts[violation]:
            return
        del counts[violation]
        if not counts:
            del self._counts[identity]
        self._lost_results.add(identity)

    def changes(self) -> tuple[list[Claim], list[Violation]]:
        """The claims that may have changed since the last call, and those that have ended."""
        changed: list[Claim] = []
        lost: list[Violation] = []
        for identity in self._lost_results | self._added.keys():
            before, added = self.claims.get(identity), self._added.get(identity, [])
            counts = self._counts.get(identity)
            if counts is None:
                if before is not None:
                    lost.append(self.claims.pop(identity)[0])
                continue
            stays = [before] if before is not None and before[0] in counts else []
            if not stays:  # the representative is gone: choose among the others
                since = before[1] if before is not None else None
                added = [*added, *((violation, since) for violation in counts)]
            claim = self.claims[identity] = merged([*stays, *added])
            changed.append(claim)
        self._added, self._lost_results = {}, set()
        return changed, lost


class Statement(msgspec.Struct):
    """The last results of one source object about objects that roll up to others."""

    results: tuple[Claim, ...]
    subjects: list[Subject | Unresolved]
    """What each of `results` rolls up to."""
    claims_made: list[Claim]
    """The claims after roll-up, while there is no index."""
    covered: Covered
    backlog: bool = False
    """Whether the results may be old: they came with the first listing."""
    index: StatementIndex | None = None
    found: set[Identity] | None = None
    """Of a backlog: claims whose rollup target was unknown until now. `take_found` returns them."""

    @property
    def claims(self) -> list[Claim]:
        """The claims after roll-up."""
        return self.claims_made if self.index is None else list(self.index.claims.values())

    @property
    def objects(self) -> set[Subject]:
        """The Pods, ReplicaSets and Jobs that it reports on."""
        return {v.subject for v, _ in self.results if is_rolled_up(v.subject)} | {of for of, _ in self.covered}

    def same(self, results: Sequence[Claim], subjects: list[Subject | Unresolved], covered: Covered) -> bool:
        """Whether nothing but times has changed."""
        return (
            self.covered == covered
            and self.subjects == subjects
            and all(new[0] == old[0] for new, old in zip(results, self.results, strict=True))
        )

    def recount(self, subjects: list[Subject | Unresolved]) -> tuple[list[Claim], list[Violation]]:
        """Roll up to these subjects; returns the claims, and those that have ended."""
        claims = claims_of(self.results, subjects)
        for (violation, _), before, subject in zip(self.results, self.subjects, subjects, strict=True):
            self._note_found(violation, before, subject)
        still = {v.identity for v, _ in claims}
        lost = [v for v, _ in self.claims if v.identity not in still]
        self.subjects, self.claims_made, self.index = subjects, claims, None
        return claims, lost

    def indexed(self) -> StatementIndex:
        """The index, created if needed."""
        if self.index is None:
            self.index, self.claims_made = StatementIndex(self), []
        return self.index

    def move(self, at: int, subject: Subject | Unresolved) -> bool:
        """One of `results` rolls up to this subject now; returns whether that is new. `StatementIndex.changes` returns
        the effect.
        """
        before, (violation, observed) = self.subjects[at], self.results[at]
        if before == subject:
            return False
        index = self.indexed()
        self.subjects[at] = subject
        self._note_found(violation, before, subject)
        if isinstance(before, Subject):
            index.remove_result(rolled_up(violation, before))
        if isinstance(subject, Subject):
            index.add_result(rolled_up(violation, subject), observed)
        return True

    def _note_found(self, violation: Violation, before: Subject | Unresolved, subject: Subject | Unresolved) -> None:
        if self.backlog and before is Unresolved.UNKNOWN and isinstance(subject, Subject):
            self.found = self.found or set()
            self.found.add(rolled_up(violation, subject).identity)

    def take_found(self) -> Collection[Identity]:
        """The claims of a backlog whose rollup target has become known since the last call."""
        found, self.found = self.found or (), None
        return found


def claims_of(results: Sequence[Claim], subjects: Sequence[Subject | Unresolved]) -> list[Claim]:
    """The claims after roll-up to these subjects."""
    pairs = zip(results, subjects, strict=True)
    return merged_by_identity((rolled_up(v, subject), at) for (v, at), subject in pairs if isinstance(subject, Subject))
