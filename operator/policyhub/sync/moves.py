"""Moves the results on objects that have a new rollup target, in slices, namespaces in turn.

One event can move much: a Pod with 50,000 results gets another owner, a Deployment with thousands of Pods is deleted.
What fits a namespace's work budget (`fair_queue`) moves at once, up to `MAX_AT_ONCE` units; the rest moves when
`Rollup.catch_up` is called, which yields to the event loop between two slices.

| unit                                                                        | is                              |
|-----------------------------------------------------------------------------|---------------------------------|
| a result whose object moves                                                 | 1                               |
| `CHECKS_PER_UNIT` results that are checked, or findings of a source object  | 1                               |

Until all of it has moved, results keep their old claims, and their new ones are not all known, so nothing in their
namespace is archived (`Sources.set_waiting`). After a change that may concern everything, nothing at all is archived.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import msgspec

from policyhub.clock import SteadyMs
from policyhub.model.violation import SourceKey, Subject, Violation
from policyhub.sync.fair_queue import FairQueue, WorkBudget
from policyhub.sync.owners import Unresolved
from policyhub.sync.statement import Claim, Statement

MAX_AT_ONCE: Final = 500
"""Units that one event may use."""
SLICE: Final = 200
"""Units of one slice."""
MAX_UNITS_PER_CALL: Final = 5_000
"""Units of all slices of one call, about once a second: a third of a core."""
CHECKS_PER_UNIT: Final = 50
MAX_UNINDEXED: Final = 16
"""Results of one source object that are checked one by one; more are indexed once an object moves."""

Apply = Callable[[SourceKey, list[Claim], list[Violation], bool], int]


class _Progress(msgspec.Struct):
    """How far the results on one object have moved."""

    keys: list[SourceKey]
    """Source objects that report on it and are yet to be checked."""
    position: int = 0
    """How many results of the last of `keys` are done."""


class Moves:
    """The moves of one cluster."""

    def __init__(
        self,
        *,
        statements: Mapping[SourceKey, Statement],
        keys_of: Mapping[Subject, Collection[SourceKey]],
        resolve: Callable[[Subject], Subject | Unresolved],
        apply: Apply,
        budget: WorkBudget,
    ) -> None:
        """`keys_of`: object → the source objects that report on it. `apply` takes a source object, its claims now, its
        claims that ended and whether all of it was requested at once; it returns the number of findings of the source
        object.
        """
        self.waiting: FairQueue[Subject] = FairQueue()
        self._all: dict[SourceKey, None] = {}
        """Source objects to check as a whole."""
        self._statements = statements
        self._keys_of = keys_of
        self._resolve = resolve
        self._apply = apply
        self._budget = budget
        self._progress: dict[Subject, _Progress] = {}

    def __bool__(self) -> bool:
        return bool(self._all or self.waiting)

    @property
    def is_full_pass(self) -> bool:
        """Whether a change that may concern everything is still being applied."""
        return bool(self._all)

    def add_all(self) -> None:
        """The target of any object may have changed."""
        self._all = dict.fromkeys(self._statements)
        self._check_all(MAX_AT_ONCE)

    def add(self, objects: Iterable[Subject], *, now: SteadyMs) -> None:
        """The targets of these objects may have changed."""
        namespaces: dict[str, None] = {}
        for subject in objects:
            if subject in self._keys_of:
                self._progress.pop(subject, None)
                self.waiting.add(subject.namespace, subject)
                namespaces[subject.namespace] = None
        remaining = MAX_AT_ONCE
        for namespace in namespaces:
            if remaining > 0 and self._budget.has(namespace, now=now):
                remaining -= self._move_namespace(namespace, remaining, now=now)

    def advance(self, *, now: SteadyMs) -> int:
        """Do one slice. Returns its units, 0 if no namespace has budget left."""
        if self._all:
            self._check_all(MAX_AT_ONCE)
            return 1  # no namespace has caused it
        namespace = self.waiting.next_namespace(self._budget, now=now)
        return 0 if namespace is None else self._move_namespace(namespace, SLICE, now=now)

    def finish(self) -> None:
        """Do everything at once."""
        while self._all:
            self._check_all(MAX_AT_ONCE)
        for namespace in list(self.waiting.namespaces):
            while namespace in self.waiting:
                self._move_namespace(namespace, MAX_AT_ONCE, now=None)

    def recount(self, key: SourceKey, statement: Statement) -> int:
        """Check all results of one source object. Returns the units."""
        targets = [self._resolve(violation.subject) for violation, _ in statement.results]
        units = 1 + len(targets) // CHECKS_PER_UNIT
        if targets == statement.subjects:
            return units
        claims, lost = statement.recount(targets)
        self._apply(key, claims, lost, key in self._all)
        return units + len(targets)

    def _check_all(self, units: int) -> None:
        while units > 0 and self._all:
            key = next(iter(self._all))
            statement = self._statements.get(key)
            if statement is not None:
                units -= self.recount(key, statement)
            del self._all[key]

    def _move_namespace(self, namespace: str, limit: int, *, now: SteadyMs | None) -> int:
        touched: dict[SourceKey, Statement] = {}
        units = 0
        while units < limit and (subject := self.waiting.first(namespace)) is not None:
            progress = self._progress.setdefault(subject, _Progress(list(self._keys_of.get(subject, ()))))
            units += 1 + self._move_one(subject, progress, limit - units, touched)
            if not progress.keys:
                del self._progress[subject]
                self.waiting.discard(namespace, subject)
        for key, statement in touched.items():
            if statement.index is None:
                continue
            changed, lost = statement.index.changes()
            if changed or lost:
                units += self._apply(key, changed, lost, False) // CHECKS_PER_UNIT
        if now is not None:
            self._budget.charge(namespace, units, now=now)
        return units

    def _move_one(self, subject: Subject, progress: _Progress, limit: int, touched: dict[SourceKey, Statement]) -> int:
        """Move the results on one object, as far as the units allow."""
        units, checked, target = 0, 0, self._resolve(subject)
        while progress.keys and units + checked // CHECKS_PER_UNIT < limit:
            key = progress.keys[-1]
            statement = self._statements.get(key)
            if statement is not None and len(statement.results) <= MAX_UNINDEXED:
                units += self.recount(key, statement)
            elif statement is not None:
                if statement.index is None:
                    checked += len(statement.results)
                places = statement.indexed().at.get(subject, ())
                touched[key] = statement
                while progress.position < len(places) and units + checked // CHECKS_PER_UNIT < limit:
                    units += statement.move(places[progress.position], target)
                    checked += 1
                    progress.position += 1
                if progress.position < len(places):
                    break
            progress.keys.pop()
            progress.position = 0
        return units + checked // CHECKS_PER_UNIT
