"""Work that waits, by namespace: namespaces take turns, and each has a work budget.

| what                                               | units                                                        |
|----------------------------------------------------|--------------------------------------------------------------|
| the budget of a namespace                          | `BURST` at once, then `PER_SECOND` a second                  |
| the budget where more than `FULL_RATE_NAMESPACES`  | proportionally less                                          |
| namespaces have used some of theirs                |                                                              |

So all namespaces together get at most `FULL_RATE_NAMESPACES` times the budget of one, and a namespace that has used
nothing never waits for others.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Hashable, KeysView
from typing import Final, Generic, TypeVar

from policyhub.clock import SteadyMs

T = TypeVar("T", bound=Hashable)

BURST: Final = 20_000
PER_SECOND: Final = 1_000
"""A unit is one claim that moves to another target: some 60 µs."""
FULL_RATE_NAMESPACES: Final = 5


class FairQueue(Generic[T]):
    """Items by namespace, each once."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[T, None]] = {}
        """Namespace → items; the namespace whose turn is next comes first."""

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
        """The item that has waited longest."""
        return next(iter(self._waiting.get(namespace, ())), None)

    def next_namespace(self, budget: "WorkBudget", *, now: SteadyMs) -> str | None:
        """The next namespace that has budget left; it moves to the end of the order."""
        for namespace in self._waiting:
            if budget.has(namespace, now=now):
                self._waiting[namespace] = self._waiting.pop(namespace)
                return namespace
        return None


class WorkBudget:
    """How much work each namespace may cause, in units."""

    def __init__(self) -> None:
        self._used_units: dict[str, tuple[float, SteadyMs]] = {}
        """Namespace → (units used, at that time). `tidy` drops namespaces with a full budget."""

    def has(self, namespace: str, *, now: SteadyMs) -> bool:
        """Whether it has budget left."""
        return namespace not in self._used_units or self._units_used(namespace, now=now) < BURST * self._fraction

    def charge(self, namespace: str, units: float, *, now: SteadyMs) -> None:
        self._used_units[namespace] = (self._units_used(namespace, now=now) + units, now)

    def tidy(self, *, now: SteadyMs) -> None:
        """Forget namespaces whose budget is full again."""
        for namespace in [name for name in self._used_units if not self._units_used(name, now=now)]:
            del self._used_units[namespace]

    @property
    def _fraction(self) -> float:
        return min(1.0, FULL_RATE_NAMESPACES / max(1, len(self._used_units)))

    def _units_used(self, namespace: str, *, now: SteadyMs) -> float:
        units, at = self._used_units.get(namespace, (0.0, now))
        return max(0.0, units - (now - at) * PER_SECOND * self._fraction / 1000)
