"""Objects that count for others now, and whose results have yet to move: in slices, namespaces taking turns.

One event can move much: a Pod with 50,000 results that is given another owner, a Deployment with thousands of Pods that
is deleted. What a namespace has an allowance for (`turns`) is done at once, up to `AT_ONCE`; the rest when
`Rollup.catch_up` is called, with the event loop let go between two slices.

| unit                                                                | is                                      |
|---------------------------------------------------------------------|-----------------------------------------|
| a result whose object moves                                         | 1                                       |
| `LOOKED` results that are looked at, or findings of a source object | 1                                       |

Until all of it is done, results call for what they called for, and what they will call for is not known to all: nothing
of their namespace is archived (`Sources.set_waiting`). After a change that may concern everything, nothing at all is.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import msgspec

from policyhub.clock import SteadyMs
from policyhub.sources.violation import SourceKey, Subject, Violation
from policyhub.sync.owners import Unresolved
from policyhub.sync.statement import Claim, Statement
from policyhub.sync.turns import Allowance, Turns

AT_ONCE: Final = 500
"""Units with an event."""
SLICE: Final = 200
"""Units of one turn."""
TOGETHER: Final = 5_000
"""Units of all turns of a second or so: a third of a core."""
LOOKED: Final = 50
FEW: Final = 16
"""Results of one source object that are looked at one by one; more are indexed once something moves."""

Apply = Callable[[SourceKey, list[Claim], list[Violation], bool], int]


class _Way(msgspec.Struct):
    """How far one object is."""

    keys: list[SourceKey]
    """Source objects that speak of it, and have yet to be looked at."""
    at: int = 0
    """Results on it in the last of them that have been."""


class Moves:
    """Of one cluster."""

    def __init__(
        self,
        *,
        statement: Mapping[SourceKey, Statement],
        about: Mapping[Subject, Collection[SourceKey]],
        subject: Callable[[Subject], Subject | Unresolved],
        apply: Apply,
        allowance: Allowance,
    ) -> None:
        """`about` are the source objects that speak of an object; `apply` takes what one calls for now and what no
        more, and whether all of it was asked for at once, and tells of how many findings it speaks.
        """
        self.waiting: Turns[Subject] = Turns()
        self._all: dict[SourceKey, None] = {}
        """To be looked at as a whole."""
        self._told = statement
        self._about = about
        self._subject = subject
        self._apply = apply
        self._allowance = allowance
        self._ways: dict[Subject, _Way] = {}

    def __bool__(self) -> bool:
        return bool(self._all or self.waiting)

    @property
    def everything(self) -> bool:
        """Whether what concerns everything is not done yet."""
        return bool(self._all)

    def add_all(self) -> None:
        """Any object may count for another."""
        self._all = dict.fromkeys(self._told)
        self._do_all(AT_ONCE)

    def add(self, objects: Iterable[Subject], *, now: SteadyMs) -> None:
        """These may."""
        namespaces: dict[str, None] = {}
        for of in objects:
            if of in self._about:
                self._ways.pop(of, None)
                self.waiting.add(of.namespace, of)
                namespaces[of.namespace] = None
        left = AT_ONCE
        for namespace in namespaces:
            if left > 0 and self._allowance.has(namespace, now=now):
                left -= self._do(namespace, left, now=now)

    def advance(self, *, now: SteadyMs) -> int:
        """One slice; its units, 0 where nothing may be done now."""
        if self._all:
            self._do_all(AT_ONCE)
            return 1  # nobody in a namespace has asked for it
        namespace = self.waiting.turn(self._allowance, now=now)
        return 0 if namespace is None else self._do(namespace, SLICE, now=now)

    def finish(self) -> None:
        """All of it, at once."""
        while self._all:
            self._do_all(AT_ONCE)
        for namespace in list(self.waiting.namespaces):
            while namespace in self.waiting:
                self._do(namespace, AT_ONCE, now=None)

    def settle(self, key: SourceKey, statement: Statement) -> int:
        """Look at all of one source object; its units."""
        subjects = [self._subject(violation.subject) for violation, _ in statement.results]
        units = 1 + len(subjects) // LOOKED
        if subjects == statement.subjects:
            return units
        calls, lost = statement.recount(subjects)
        self._apply(key, calls, lost, key in self._all)
        return units + len(subjects)

    def _do_all(self, units: int) -> None:
        while units > 0 and self._all:
            key = next(iter(self._all))
            statement = self._told.get(key)
            if statement is not None:
                units -= self.settle(key, statement)
            del self._all[key]

    def _do(self, namespace: str, most: int, *, now: SteadyMs | None) -> int:
        touched: dict[SourceKey, Statement] = {}
        units = 0
        while units < most and (of := self.waiting.first(namespace)) is not None:
            way = self._ways.setdefault(of, _Way(list(self._about.get(of, ()))))
            units += 1 + self._go(of, way, most - units, touched)
            if not way.keys:
                del self._ways[of]
                self.waiting.discard(namespace, of)
        for key, statement in touched.items():
            if statement.index is None:
                continue
            changed, lost = statement.index.changes()
            if changed or lost:
                units += self._apply(key, changed, lost, False) // LOOKED
        if now is not None:
            self._allowance.charge(namespace, units, now=now)
        return units

    def _go(self, of: Subject, way: _Way, most: int, touched: dict[SourceKey, Statement]) -> int:
        """The results on one object, as far as the units allow."""
        units, looked, subject = 0, 0, self._subject(of)
        while way.keys and units + looked // LOOKED < most:
            key = way.keys[-1]
            statement = self._told.get(key)
            if statement is not None and len(statement.results) <= FEW:
                units += self.settle(key, statement)
            elif statement is not None:
                if statement.index is None:
                    looked += len(statement.results)
                places = statement.indexed().at.get(of, ())
                touched[key] = statement
                while way.at < len(places) and units + looked // LOOKED < most:
                    units += statement.move(places[way.at], subject)
                    looked += 1
                    way.at += 1
                if way.at < len(places):
                    break
            way.keys.pop()
            way.at = 0
        return units + looked // LOOKED
