"""Rolls results on Pods, ReplicaSets and Jobs up to their controllers, between the report sinks and the ledger.

It keeps the results of each source object, and claims them for their rollup targets (`owners`). If a target changes,
the claims move, although the source object has not changed. It also knows on which objects each policy has reported, so
that a rollout does not end findings while an engine that scans once an hour has not seen the new Pods (`reported`,
`rollup_members`).

| a truncated constraint lacks a Pod that it listed  | then                                                   |
|----------------------------------------------------|--------------------------------------------------------|
| the Pod is gone, or below the boundary             | its claim ends                                         |
| else                                               | its claim stays: the violation may exist, unlisted     |

The cost of a move depends on the results on the object: in a source object with many results only these are rolled up
again (`statement`), in slices if there are many (`moves`). The figures that decisions need are updated with each change
(`rollup_members`).

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from policyhub.clock import NEVER, SteadyMs, WallMs, from_seconds
from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import is_rolled_up, merged_by_identity, normalized_identity, rolled_up
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.violation import Identity, ObjectRef, ParsedReport, SourceKey, Subject, Violation, below
from policyhub.sync.ledger import Ledger
from policyhub.sync.moves import MAX_UNINDEXED, MAX_UNITS_PER_CALL, Moves
from policyhub.sync.owners import Owners, Unresolved, object_ref
from policyhub.sync.reported import NO_POLICIES, PolicySet
from policyhub.sync.statement import Claim, Covered, Statement, claims_of

MAX_CLAIMS_KEPT = 10_000
"""Claims of one source object, with those that stay although it no longer lists them: twice the limit of one report."""
OWNERS = "owners"
"""The key in `Sources.set_waiting` of namespaces whose results have yet to move; other keys are source APIs."""


class Rollup:
    """The roll-up of one monitored cluster."""

    def __init__(self, *, ledger: Ledger, owners: Owners) -> None:
        self.owners = owners
        self._ledger = ledger
        self._statements: dict[SourceKey, Statement] = {}
        self._keys_of: dict[Subject, dict[SourceKey, None] | tuple[SourceKey, ...]] = {}
        """Pod, ReplicaSet or Job → the source objects that report on it; a dict if there are many."""
        self._listed: dict[SourceKey, set[str]] = {}
        """Constraint → the kinds of objects that it has listed."""
        self._changed_namespaces: set[str] | None = set()
        """Namespaces with new evidence; None: all."""
        owners.on_stream_started(ledger.sources.stream_started_at.__setitem__)
        self._moves = Moves(
            statements=self._statements,
            keys_of=self._keys_of,
            resolve=owners.resolve,
            apply=self._apply,
            budget=owners.budget,
        )

    @property
    def has_changes(self) -> bool:
        """Whether new evidence may decide held findings. To act on it, call `take_changes`."""
        return self._changed_namespaces is None or bool(self._changed_namespaces)

    def take_changes(self) -> tuple[Collection[str], Collection[str]] | None:
        """The namespaces with new evidence since the last call, and the sources with new evidence in all namespaces
        (always none); None: everything.
        """
        changed, self._changed_namespaces = self._changed_namespaces, set()
        return None if changed is None else (changed, ())

    # -- from the sinks to the ledger -----------------------------------------------------------------------------

    def take(
        self,
        parsed: ParsedReport,
        results: Sequence[Claim],
        passed: Callable[[], frozenset[Identity]] = frozenset,
        *,
        backlog: bool = False,
    ) -> tuple[list[Claim], frozenset[str]]:
        """The claims of a source object after roll-up, and the ids of its claims that have ended although it is
        incomplete. `passed` returns its pass and skip results. `backlog`: its results may be old.
        """
        key = parsed.key
        before = self._statements.get(key)
        ended: list[int] = []
        covered = self._learn(parsed)
        if key.group == CONSTRAINTS:
            self._listed.setdefault(key, set()).update(v.subject.kind for v, _ in results)
        if before is not None and self._moves:  # ends claims as SILENT
            self._moves.recount(key, before)
        if before is not None and not parsed.complete:
            results, ended = self._kept(before, results, parsed.boundary, passed())
        if before is None and not covered and not any(is_rolled_up(v.subject) for v, _ in results):
            return merged_by_identity((rolled_up(v, v.subject), at) for v, at in results), frozenset()
        subjects = [self.owners.resolve(v.subject) for v, _ in results]
        if before is not None and not ended and before.same(results, subjects, covered):
            return before.claims, frozenset()
        claims = claims_of(results, subjects)
        lost: frozenset[str] = frozenset()
        if before is not None and ended:
            lost = self._ids(before, ended) - {finding_id(self._ledger.cluster_id, v.identity) for v, _ in claims}
        self._store(key, before, Statement(tuple(results), subjects, claims, covered, backlog))
        return claims, lost

    def _learn(self, parsed: ParsedReport) -> Covered:
        reported = self.owners.members.reported
        for namespace, by in parsed.passing:
            if reported.learn_passing(namespace, by) and self._changed_namespaces is not None:
                self._changed_namespaces.add(namespace)
        return tuple((of, reported.policy_set(of.namespace, by)) for of, by in parsed.covered)

    def needs_no_reread(self, key: SourceKey) -> bool:
        """Whether the last results of a report, reported again, would give the same claims."""
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
        """The source objects that are known here, including those without claims."""
        return self._statements.keys()

    def passed(self, identities: Iterable[Identity]) -> frozenset[Identity]:
        """The pass results of a source object, without those on objects that roll up to another: a pass of one Pod is
        no evidence about the other Pods.
        """
        own = []
        for identity in identities:
            subject = identity.subject
            if not is_rolled_up(subject) or self.owners.resolve(subject) == subject:
                own.append(normalized_identity(identity))
        return frozenset(own)

    def shift(self, objects: set[Subject] | None, *, now: SteadyMs) -> None:
        """These objects may have new rollup targets (None: any object). As many as the budget allows move at once, the
        rest in `catch_up`.
        """
        if objects is None:
            self._moves.add_all()
            self._changed_namespaces = None
        else:
            if self._changed_namespaces is not None:
                self._changed_namespaces.update(of.namespace for of in objects)
            self._moves.add(objects, now=now)
        self._publish(())

    def catch_up(self, *, now: SteadyMs) -> Iterator[None]:
        """Move waiting objects, slice by slice, as far as the budget allows. Call it about every second; it yields
        between two slices.
        """
        units, done = 0, True
        self.owners.budget.tidy(now=now)
        while done and units < MAX_UNITS_PER_CALL:
            waiting = set(self._moves.waiting.namespaces)
            is_full_pass = self._moves.is_full_pass
            moved = self._moves.advance(now=now)
            resolved = self.owners.advance()
            units += moved + resolved
            done = moved + resolved > 0
            self._publish(waiting)
            if is_full_pass and not self._moves.is_full_pass:
                self._changed_namespaces = None
            if done:
                yield

    def finish(self) -> None:
        """Move all waiting objects at once, without slices."""
        self._moves.finish()
        self._publish(())

    def _publish(self, before: Collection[str]) -> None:
        """Publish the namespaces whose results have yet to move; `before`: these namespaces before the last slice."""
        waiting = self._moves.waiting.namespaces
        if self._changed_namespaces is not None:
            self._changed_namespaces.update(namespace for namespace in before if namespace not in waiting)
        self._ledger.sources.set_waiting(OWNERS, frozenset(waiting))

    def _apply(self, key: SourceKey, claims: list[Claim], lost: list[Violation], backlog: bool) -> int:  # noqa: FBT001  (a callback)
        statement = self._statements.get(key)
        found = statement.take_found() if statement is not None else ()
        self._ledger.move_claims(key, claims, lost, now=self.owners.now(), backlog=backlog, found=found)
        return len(self._ledger.desired.objects.get(key, ()))

    def _kept(
        self, before: Statement, results: Sequence[Claim], boundary: ObjectRef | None, passed: frozenset[Identity]
    ) -> tuple[list[Claim], list[int]]:
        """The results, with earlier ones that an incomplete source object may still have; and the indices in `before`
        of results that have ended.
        """
        kept, ended = list(results), []
        there = {v.identity for v, _ in results}
        for index, claim in enumerate(before.results):
            violation = claim[0]
            if violation.identity in there or not is_rolled_up(violation.subject):
                continue
            deleted = self.owners.resolve(violation.subject) is Unresolved.DELETED
            would_be_listed = boundary is not None and below(violation.object_ref, boundary)
            if deleted or would_be_listed or violation.identity in passed:
                ended.append(index)
            elif len(kept) < MAX_CLAIMS_KEPT:  # for more, the ledger keeps the claims
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

    def _store(self, key: SourceKey, before: Statement | None, statement: Statement) -> None:
        if statement.covered or any(is_rolled_up(v.subject) for v, _ in statement.results):
            self._statements[key] = statement
            self._index(key, before, statement)
        else:
            self._forget(key)

    def _index(self, key: SourceKey, before: Statement | None, statement: Statement | None) -> None:
        old = set() if before is None else before.objects
        new = set() if statement is None else statement.objects
        for of in old - new:
            self._remove_key(of, key)
        for of in new - old:
            keys = self._keys_of.get(of, ())
            if isinstance(keys, dict):
                keys[key] = None
            elif len(keys) < MAX_UNINDEXED:
                self._keys_of[of] = (*keys, key)
            else:
                self._keys_of[of] = dict.fromkeys((*keys, key))
        covered = () if statement is None else statement.covered
        if before is None or covered != before.covered:
            self._record_reports(set() if before is None else set(before.covered), set(covered))
        if self._changed_namespaces is not None:
            self._changed_namespaces.update(of.namespace for of in old | new)

    def _remove_key(self, of: Subject, key: SourceKey) -> None:
        keys = self._keys_of[of]
        if isinstance(keys, dict):
            del keys[key]
        else:
            keys = self._keys_of[of] = tuple(k for k in keys if k != key)
        if not keys:
            del self._keys_of[of]

    def _record_reports(self, before: set[tuple[Subject, PolicySet]], covered: set[tuple[Subject, PolicySet]]) -> None:
        members = self.owners.members
        for of, policies in covered - before:
            members.record(of, policies, self.owners.target(of))
        for of, policies in before - covered:
            members.withdraw(of, policies, self.owners.target(of))

    # -- the evidence ---------------------------------------------------------------------------------------------

    @property
    def since(self) -> SteadyMs:
        """Since when the rollup targets of all objects are known; NEVER: they are not."""
        if self._moves.is_full_pass:
            return NEVER
        return SteadyMs(1) if self.owners.forbidden else self.owners.since

    def _unsettled(self, namespace: str) -> bool:
        return self.owners.has_unknown(namespace) or namespace in self._moves.waiting

    def unreported(self, source: str, policy: str, of: Subject) -> bool:
        """Whether the policy (empty: any policy of the source) has yet to report on an existing object that rolls up to
        `of`. Only kinds that it has reported on in that namespace matter. Also True while rollup targets in the
        namespace are unknown. If an engine writes only violations in the namespace, its silence means that there is
        none: False.
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
        """The creation times of the oldest and the newest object that rolls up to `of`, of the kinds that the policy
        has reported on; None: there is no such object.
        """
        kinds = self.owners.members.reported.kinds(of.namespace, (source, policy))
        oldest, newest = self.owners.members.oldest(of, kinds), self.owners.members.newest(of, kinds)
        return None if oldest is None or newest is None else (from_seconds(oldest), from_seconds(newest))

    def reports_passes(self, source: str, policy: str, namespace: str) -> bool:
        """Whether the policy (empty: any policy of the source) has written a result in the namespace that is no
        violation. An engine that is configured to write only failures never does, and never reports an object without
        violations.
        """
        return self.owners.members.reported.passes(namespace, (source, policy))

    def reports_descendants(self, source: str, policy: str, namespace: str) -> bool:
        """Whether the policy has reported on any Pod, ReplicaSet or Job in the namespace."""
        return bool(self.owners.members.reported.kinds(namespace, (source, policy)))

    def has_descendants(self, of: Subject) -> bool:
        """Whether any existing object rolls up to it."""
        return of in self.owners.members

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool:
        """Whether an audit that began at `audited` (Unix seconds) may have missed `of` or an existing object that rolls
        up to it, of the kinds that the constraint lists. Also True while rollup targets in the namespace are unknown.
        """
        owners = self.owners
        if owners.forbidden:
            return False
        if owners.created(of) >= audited or self._unsettled(of.namespace):
            return True
        newest = owners.members.newest(of, self._listed.get(constraint))
        return newest is not None and newest >= audited

    def deleted(self, of: Subject) -> bool:
        """Whether the object is a Pod, ReplicaSet or Job that is known to be deleted."""
        return self.owners.is_deleted(of)

    def object_refs(self, of: Subject, constraint: SourceKey) -> list[ObjectRef]:
        """The objects that roll up to `of`, without itself: the first of each kind in Gatekeeper's order. Only kinds
        that the constraint lists; all kinds if it has listed nothing yet.
        """
        return [object_ref(subject) for subject in self.owners.members.first(of, self._listed.get(constraint))]
