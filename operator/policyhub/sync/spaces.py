"""Which namespaces there are, and since when others are deleted.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.violation import ObjectRef

ORIGIN = "namespaces"
"""The origin that tells of them."""


class Spaces:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._names: frozenset[str] | None = None
        """Those that there are; None before they were listed."""
        self._gone: dict[str, SteadyMs] = {}
        """When they were seen to be deleted."""
        self._live = NEVER
        """Since when they are seen whole and live; 0: they are not, and their absence says nothing."""

    def list(self, names: frozenset[str], *, now: SteadyMs) -> frozenset[str]:
        """Take all that there are; returns those that came and went."""
        before = self._names if self._names is not None else frozenset()
        self._names = names
        self._gone = {name: at for name, at in self._gone.items() if name not in names}
        if self._live:
            self._live = now
        return before ^ names

    def add(self, name: str) -> bool:
        """Whether that is news."""
        if self._names is None or name in self._names:
            return False
        self._gone.pop(name, None)
        self._names |= {name}
        return True

    def remove(self, name: str, *, now: SteadyMs) -> None:
        self._gone[name] = now
        if self._names is not None:
            self._names -= {name}

    def live(self, *, live: bool, now: SteadyMs) -> bool:
        """Take whether they are seen whole and live; returns whether that is news."""
        if live == bool(self._live):
            return False
        self._live = now if live else NEVER
        return True

    def deleted(self, place: ObjectRef | None) -> SteadyMs | None:
        """Since when the namespace of an object (or the object, if it is one) is deleted; None where it is not."""
        if self._names is None or not self._live or place is None:
            return None
        group, _, kind, namespace, name = place
        name = name if kind == "Namespace" and not group else namespace
        if not name or name in self._names:
            return None
        return self._gone.get(name, self._live)
