"""Which namespaces exist, and since when the others are deleted.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import ObjectRef

NAMESPACES = "namespaces"
"""Their group resource: the key of their stream in `Sources.stream_started_at`."""


class KnownNamespaces:
    """The namespaces of one cluster."""

    def __init__(self) -> None:
        self._names: frozenset[str] | None = None
        """The existing ones; None before they were listed."""
        self._deleted_at: dict[str, SteadyMs] = {}
        """Name → when its deletion was seen."""
        self._live_since = NEVER
        """Since when they are listed and watched; 0: they are not, and a missing namespace is no evidence."""

    def list(self, names: frozenset[str], *, now: SteadyMs) -> frozenset[str]:
        """Take a complete listing. Returns the names that came or went."""
        before = self._names if self._names is not None else frozenset()
        self._names = names
        self._deleted_at = {name: at for name, at in self._deleted_at.items() if name not in names}
        if self._live_since:
            self._live_since = now
        return before ^ names

    def add(self, name: str) -> bool:
        """Returns whether the namespace is new."""
        if self._names is None or name in self._names:
            return False
        self._deleted_at.pop(name, None)
        self._names |= {name}
        return True

    def remove(self, name: str, *, now: SteadyMs) -> None:
        self._deleted_at[name] = now
        if self._names is not None:
            self._names -= {name}

    def live(self, *, live: bool, now: SteadyMs) -> bool:
        """Take whether they are listed and watched. Returns whether that has changed."""
        if live == bool(self._live_since):
            return False
        self._live_since = now if live else NEVER
        return True

    def deleted(self, ref: ObjectRef | None) -> SteadyMs | None:
        """Since when the namespace of an object (or the object, if it is a namespace) is deleted; None: it is not."""
        if self._names is None or not self._live_since or ref is None:
            return None
        name = ref.name if ref.kind == "Namespace" and not ref.group else ref.namespace
        if not name or name in self._names:
            return None
        return self._deleted_at.get(name, self._live_since)
