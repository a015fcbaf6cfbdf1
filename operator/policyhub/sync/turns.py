"""What waits to be worked off, by namespace: namespaces take turns, and each has an allowance.

| what                                                                   | units                                    |
|------------------------------------------------------------------------|------------------------------------------|
| what a namespace is given                                              | `BURST` at once, then `PER_SECOND` a     |
|                                                                        | second                                   |
| what each of more than `ALL` namespaces is given that use theirs       | as much less as they are more            |

So all of them together are given no more than `ALL` times what one is, and who has used nothing never waits for them.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Hashable, KeysView
from typing import Final, Generic, TypeVar

from policyhub.clock import SteadyMs

T = TypeVar("T", bound=Hashable)

BURST: Final = 20_000
PER_SECOND: Final = 1_000
"""A unit is the claim of a source object that moves: some 60 µs."""
ALL: Final = 5


class Turns(Generic[T]):
    """Things, each once."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[T, None]] = {}
        """By namespace, whose turn is next first."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._waiting

    @property
    def namespaces(self) -> KeysView[str]:
        return self._waiting.keys()

    def add(self, namespace: str, item: T) -> None:
        self._waiting.setdefault(namespace, {})[item] = None

    def discard(self, namespace: str, item: T) -> None:
        waiting = self._waiting.get(namespace)
        if waiting is not None:
            waiting.pop(item, None)
            if not waiting:
                del self._waiting[namespace]

    def first(self, namespace: str) -> T | None:
        """The one that has waited longest."""
        return next(iter(self._waiting.get(namespace, ())), None)

    def turn(self, allowance: "Allowance", *, now: SteadyMs) -> str | None:
        """The namespace whose turn it is, of those that have units left; it is the last from then on."""
        for namespace in self._waiting:
            if allowance.has(namespace, now=now):
                self._waiting[namespace] = self._waiting.pop(namespace)
                return namespace
        return None


class Allowance:
    """How many units each namespace has."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, SteadyMs]] = {}
        """Units that are used up, and when that was so; without those that have all of theirs, once tidied."""

    def has(self, namespace: str, *, now: SteadyMs) -> bool:
        """Whether it may have something done now."""
        return namespace not in self._spent or self._used(namespace, now=now) < BURST * self._share

    def charge(self, namespace: str, units: float, *, now: SteadyMs) -> None:
        self._spent[namespace] = (self._used(namespace, now=now) + units, now)

    def tidy(self, *, now: SteadyMs) -> None:
        """Forget who has all of his units again."""
        for namespace in [name for name in self._spent if not self._used(name, now=now)]:
            del self._spent[namespace]

    @property
    def _share(self) -> float:
        return min(1.0, ALL / max(1, len(self._spent)))

    def _used(self, namespace: str, *, now: SteadyMs) -> float:
        units, at = self._spent.get(namespace, (0.0, now))
        return max(0.0, units - (now - at) * PER_SECOND * self._share / 1000)
