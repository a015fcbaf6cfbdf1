"""What each source object says, once its results count for the controllers of their objects.

Between the views and the ledger: a result on a Pod, ReplicaSet or Job is kept as it was said and handed on as a call
for what it counts for (`owners`); where that changes, the call moves, without the source object having changed.
It also knows which of them each policy has reported on, so that a rollout under an engine that scans once an hour ends
no finding (`reported`, `rollup_members`).

| a truncated constraint lacks a Pod that it listed  | then                                                   |
|----------------------------------------------------|--------------------------------------------------------|
| the Pod is gone, or below the boundary             | the call ends                                          |
| else                                               | it stands: it may be there, unlisted                   |

An object that moves costs what its own results cost: of a source object with many of them only those are looked at
again (`statement`), in slices where they are many (`moves`). What decisions ask is counted as it changes
(`rollup_members`).

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from policyhub.clock import NEVER, SteadyMs, WallMs, from_seconds
from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import is_rolled_up, merged_by_identity, normalized_identity, rolled_up
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.violation import Identity, ObjectRef, ParsedReport, SourceKey, Subject, Violation, below
from policyhub.sync.ledger import Ledger
from policyhub.sync.moves import MAX_UNINDEXED, MAX_UNITS_PER_CALL, Moves
from policyhub.sync.owners import Owners, Unresolved, object_ref
from policyhub.sync.reported import NO_POLICIES, PolicySet
from policyhub.sync.statement import Claim, Covered, Statement, claims_of

MOST_KEPT = 10_000
"""Calls of one source object, with those that it may still make although it no longer lists them: twice what one report
may have."""
OWNERS = "owners"
"""What namespaces wait for whose results have yet to move; beside the source APIs that they wait for."""


class Rollup:
    """Of one monitored cluster."""

    def __init__(self, *, ledger: Ledger, owners: Owners) -> None:
        self.owners = owners
        self._ledger = ledger
        self._statements: dict[SourceKey, Statement] = {}
        self._about: dict[Subject, dict[SourceKey, None] | tuple[SourceKey, ...]] = {}
        """The source objects that say something of a Pod, ReplicaSet or Job; as a dict where they are many."""
        self._listed: dict[SourceKey, set[str]] = {}
        """Of which kinds of objects each constraint has listed some."""
        self._news: set[str] | None = set()
        """Of which namespaces something came; None: of all."""
        owners.on_stream_started(ledger.sources.stream_started_at.__setitem__)
        self._moves = Moves(
            statements=self._statements,
            about=self._about,
            resolve=owners.resolve,
            apply=self._apply,
            budget=owners.budget,
        )

    @property
    def news(self) -> bool:
        """Whether something came that may decide what was held; whoever acts on it calls `take_news`."""
        return self._news is None or bool(self._news)

    def take_news(self) -> tuple[Collection[str], Collection[str]] | None:
        """Of which namespaces, and of which sources everywhere (none), something came since the last call; None: of
        all.
        """
        news, self._news = self._news, set()
        return None if news is None else (news, ())

    # -- from the views to the ledger -----------------------------------------------------------------------------

    def take(
        self, reading: ParsedReport, results: Sequence[Claim], passed: Callable[[], frozenset[Identity]] = frozenset
    ) -> tuple[list[Claim], frozenset[str]]:
        """What a source object now calls for, and the ids whose calls by it have ended although it is incomplete.
        `passed` tells what it reads as passing.
        """
        key = reading.key
        before = self._statements.get(key)
        ended: list[int] = []
        covered = self._learn(reading)
        if key.group == CONSTRAINTS:
            self._listed.setdefault(key, set()).update(v.subject.kind for v, _ in results)
        if before is not None and self._moves:  # what moves is lost in silence, whatever the source object says
            self._moves.recount(key, before)
        if before is not None and not reading.complete:
            results, ended = self._kept(before, results, reading.boundary, passed())
        if before is None and not covered and not any(is_rolled_up(v.subject) for v, _ in results):
            return merged_by_identity((rolled_up(v, v.subject), at) for v, at in results), frozenset()
        subjects = [self.owners.resolve(v.subject) for v, _ in results]
        if before is not None and not ended and before.same(results, subjects, covered):
            return before.claims, frozenset()
        claims = claims_of(results, subjects)
        lost: frozenset[str] = frozenset()
        if before is not None and ended:
            lost = self._ids(before, ended) - {finding_id(self._ledger.cluster_id, v.identity) for v, _ in claims}
        self._keep(key, before, Statement(tuple(results), subjects, claims, covered))
        return claims, lost

    def _learn(self, reading: ParsedReport) -> Covered:
        reported = self.owners.members.reported
        for namespace, by in reading.passing:
            if reported.learn_passing(namespace, by) and self._news is not None:
                self._news.add(namespace)
        return tuple((of, reported.policy_set(of.namespace, by)) for of, by in reading.covered)

    def stands(self, key: SourceKey) -> bool:
        """Whether what a report said when it was last read, said again, comes to the same."""
        before = self._statements.get(key)
        return before is None or (
            all(policies is not NO_POLICIES for _, policies in before.covered)
            and before.subjects == [self.owners.resolve(violation.subject) for violation, _ in before.results]
        )

    def forget(self, key: SourceKey) -> None:
        """A source object no longer exists."""
        self._listed.pop(key, None)
        self._forget(key)

    def _forget(self, key: SourceKey) -> None:
        before = self._statements.pop(key, None)
        if before is not None:
            self._index(key, before, None)

    def keys(self) -> Iterable[SourceKey]:
        """The source objects that are known here, also those that call for nothing."""
        return self._statements.keys()

    def passed(self, identities: Iterable[Identity]) -> frozenset[Identity]:
        """Of what a source object reads as passing: what its objects say of themselves. That one Pod passes is no
        evidence of the others.
        """
        own = []
        for identity in identities:
            subject = identity.subject
            if not is_rolled_up(subject) or self.owners.resolve(subject) == subject:
                own.append(normalized_identity(identity))
        return frozenset(own)

    def shift(self, objects: set[Subject] | None, *, now: SteadyMs) -> None:
        """These objects may count for others now (None: any of them): what there is room for is done at once, the rest
        by `catch_up`.
        """
        if objects is None:
            self._moves.add_all()
            self._news = None
        else:
            if self._news is not None:
                self._news.update(of.namespace for of in objects)
            self._moves.add(objects, now=now)
        self._publish(())

    def catch_up(self, *, now: SteadyMs) -> Iterator[None]:
        """Do what is late, slice by slice, as far as there is room. To be called every second or so, and to be left
        from time to time.
        """
        units, done = 0, True
        self.owners.budget.tidy(now=now)
        while done and units < MAX_UNITS_PER_CALL:
            waiting = set(self._moves.waiting.namespaces)
            is_full_pass = self._moves.is_full_pass
            moved = self._moves.advance(now=now)
            worked_out = self.owners.advance()
            units += moved + worked_out
            done = moved + worked_out > 0
            self._publish(waiting)
            if is_full_pass and not self._moves.is_full_pass:
                self._news = None
            if done:
                yield

    def finish(self) -> None:
        """Move all that is late, at once: where nobody waits."""
        self._moves.finish()
        self._publish(())

    def _publish(self, before: Collection[str]) -> None:
        """Whose results have yet to move; `before`: whose had."""
        waiting = self._moves.waiting.namespaces
        if self._news is not None:
            self._news.update(namespace for namespace in before if namespace not in waiting)
        self._ledger.sources.set_waiting(OWNERS, frozenset(waiting))

    def _apply(self, key: SourceKey, claims: list[Claim], lost: list[Violation], backlog: bool) -> int:  # noqa: FBT001  (a callback)
        self._ledger.move_claims(key, claims, lost, now=self.owners.now(), backlog=backlog)
        return len(self._ledger.desired.objects.get(key, ()))

    def _kept(
        self, before: Statement, results: Sequence[Claim], boundary: ObjectRef | None, passed: frozenset[Identity]
    ) -> tuple[list[Claim], list[int]]:
        """With what an incomplete source object may still call for; and the places in `before` of what has ended."""
        kept, ended = list(results), []
        there = {v.identity for v, _ in results}
        for index, claim in enumerate(before.results):
            violation = claim[0]
            if violation.identity in there or not is_rolled_up(violation.subject):
                continue
            gone = self.owners.resolve(violation.subject) is Unresolved.GONE
            if gone or violation.identity in passed or (boundary is not None and below(violation.object_ref, boundary)):
                ended.append(index)
            elif len(kept) < MOST_KEPT:  # of more the ledger knows that they may stand
                kept.append(claim)
        return kept, ended

    def _ids(self, before: Statement, ended: list[int]) -> frozenset[str]:
        ids = set()
        for index in ended:
            subject = before.subjects[index]
            if isinstance(subject, Subject):
                violation = rolled_up(before.results[index][0], subject)
                ids.add(finding_id(self._ledger.cluster_id, violation.identity))
        return frozenset(ids)

    def _keep(self, key: SourceKey, before: Statement | None, statement: Statement) -> None:
        if statement.covered or any(is_rolled_up(v.subject) for v, _ in statement.results):
            self._statements[key] = statement
            self._index(key, before, statement)
        else:
            self._forget(key)

    def _index(self, key: SourceKey, before: Statement | None, statement: Statement | None) -> None:
        old = set() if before is None else before.objects
        new = set() if statement is None else statement.objects
        for of in old - new:
            self._about_less(of, key)
        for of in new - old:
            about = self._about.get(of, ())
            if isinstance(about, dict):
                about[key] = None
            elif len(about) < MAX_UNINDEXED:
                self._about[of] = (*about, key)
            else:
                self._about[of] = dict.fromkeys((*about, key))
        covered = () if statement is None else statement.covered
        if before is None or covered != before.covered:
            self._record_reports(set() if before is None else set(before.covered), set(covered))
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

    def _record_reports(self, before: set[tuple[Subject, PolicySet]], covered: set[tuple[Subject, PolicySet]]) -> None:
        members = self.owners.members
        for of, policies in covered - before:
            members.record(of, policies, self.owners.target(of))
        for of, policies in before - covered:
            members.withdraw(of, policies, self.owners.target(of))

    # -- the evidence ---------------------------------------------------------------------------------------------

    @property
    def since(self) -> SteadyMs:
        """Since when it is known of everything what it counts for; NEVER: it is not."""
        if self._moves.is_full_pass:
            return NEVER
        return SteadyMs(1) if self.owners.forbidden else self.owners.since

    def _unsettled(self, namespace: str) -> bool:
        return self.owners.has_unknown(namespace) or namespace in self._moves.waiting

    def unreported(self, source: str, policy: str, of: Subject) -> bool:
        """Whether something lives that counts for the object, of a kind that the policy (empty: any of the source) has
        reported on in that namespace, and that it has not reported on yet; or something of which it is not known yet
        what it counts for. Of an engine that writes violations only in the namespace, silence says that there is none.
        """
        owners = self.owners
        if owners.forbidden:
            return False
        if self._unsettled(of.namespace):
            return True
        members, by = owners.members, (source, policy)
        kinds = members.reported.kinds(of.namespace, by)
        if not kinds or not self.reports_passes(source, "", of.namespace):
            return False
        itself = is_rolled_up(of) and owners.target(of) == of and of.kind in kinds
        return (itself and not members.is_reported(of, by)) or members.unreported(of, by, kinds)

    def creation_times(self, source: str, policy: str, of: Subject) -> tuple[WallMs, WallMs] | None:
        """When the oldest and the newest was made of what counts for the object and is of a kind that the policy has
        reported on; None: there is nothing.
        """
        kinds = self.owners.members.reported.kinds(of.namespace, (source, policy))
        oldest, newest = self.owners.members.oldest(of, kinds), self.owners.members.newest(of, kinds)
        return None if oldest is None or newest is None else (from_seconds(oldest), from_seconds(newest))

    def reports_passes(self, source: str, policy: str, namespace: str) -> bool:
        """Whether the policy (empty: any of the source) has written a result in the namespace that is no violation. An
        engine that is told to write failures only never does, and says nothing of an object that is clean.
        """
        return self.owners.members.reported.passes(namespace, (source, policy))

    def reports_descendants(self, source: str, policy: str, namespace: str) -> bool:
        """Whether the policy has reported on any Pod, ReplicaSet or Job in the namespace."""
        return bool(self.owners.members.reported.kinds(namespace, (source, policy)))

    def has_descendants(self, of: Subject) -> bool:
        """Whether anything lives that rolls up to the object."""
        return of in self.owners.members

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool:
        """Whether something lives that counts for the object, the like of which the constraint lists, and that an audit
        which began then (Unix seconds) may not have seen; or something of which it is not known what it counts for.
        """
        owners = self.owners
        if owners.forbidden:
            return False
        if owners.created(of) >= audited or self._unsettled(of.namespace):
            return True
        newest = owners.members.newest(of, self._listed.get(constraint))
        return newest is not None and newest >= audited

    def deleted(self, of: Subject) -> bool:
        """Whether the object is known to be gone: a Pod, ReplicaSet or Job that is not there any more."""
        return self.owners.is_deleted(of)

    def object_refs(self, of: Subject, constraint: SourceKey) -> list[ObjectRef]:
        """Where in Gatekeeper's order what lives and counts for the object stands, itself left out: the first of each
        kind that the constraint lists the like of, of all kinds where it has listed nothing yet.
        """
        return [object_ref(thing) for thing in self.owners.members.first(of, self._listed.get(constraint))]
