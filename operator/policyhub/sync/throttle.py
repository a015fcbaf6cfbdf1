"""How fast one namespace's reports are read, so that a namespace that rewrites them at full speed slows down no other.

One watch delivers the reports of all namespaces, in one order. When a namespace exceeds its budget, its events are
deferred, the latest of each object only, and read when it has budget again. Events of other namespaces are read at
once.

| what                      | units                                                  |
|---------------------------|--------------------------------------------------------|
| an event                  | its bytes / 4,000                                      |
| an event with a change    | 1 more for each violation of the report                |
| the budget of a namespace | 20,000 at once, then 1,000 a second                    |

A changed violation costs some 70 µs and reading a megabyte some 60 ms, so one namespace takes at most a quarter of a
core for long. Security Hub accepts 800 findings a second: what waits here would have to wait there. Pages of listings
are not deferred; events that come while a listing is read are.

| a deferred event         | while a listing is read      | once it is complete           | where it failed       |
|--------------------------|------------------------------|-------------------------------|-----------------------|
| from before the listing  | waits: a page brings         | is dropped: its object was    | is read as before     |
|                          | something newer              | listed, or is deleted         |                       |
| from during the listing  | is read as usual             | stays: no page has brought    | stays                 |
|                          |                              | the object                    |                       |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Iterator
from typing import Final

from policyhub.clock import SteadyMs
from policyhub.model.violation import SourceKey

_NONE: Final[frozenset[str]] = frozenset()
BURST: Final = 20_000
PER_SECOND: Final = 1_000
_BYTES_PER_UNIT: Final = 4_000
MAX_DEFERRED_BYTES: Final = 16 * 1024 * 1024
"""Bytes of events that one namespace may defer; what exceeds this is dropped, and a new listing brings it."""


class Throttle:
    """The throttle of one source API."""

    def __init__(self) -> None:
        self._used_units: dict[str, tuple[float, SteadyMs]] = {}
        """Namespace → (units used, at that time); namespaces with a full budget are dropped."""
        self._exhausted: set[str] = set()
        """Namespaces that have exhausted their budget since deferred events were last read."""
        self._deferred: dict[str, dict[SourceKey, bytes]] = {}
        """Namespace → deferred events."""
        self._deferred_before: dict[str, dict[SourceKey, bytes]] = {}
        """The deferred events from before the listing under way."""
        self._deferred_bytes: dict[str, int] = {}
        """Namespace → bytes of both."""
        self.dropped: set[str] = set()
        """Namespaces of which an event was dropped: a listing has to bring its object."""
        self._dropped_before: set[str] = set()
        """Those of them whose objects the listing under way brings."""

    @property
    def is_throttling(self) -> bool:
        """Whether any namespace has exhausted its budget. If none has, no event needs a closer look."""
        return bool(self._exhausted)

    def charge(self, namespace: str, *, size: int, violations: int, now: SteadyMs) -> None:
        """An event of `size` bytes was read, with so many violations that changed. Whoever writes outside of namespaces
        is trusted.
        """
        if namespace:
            units = self._units_used(namespace, now=now) + size / _BYTES_PER_UNIT + violations
            self._used_units[namespace] = (units, now)
            if units >= BURST:
                self._exhausted.add(namespace)

    def must_wait(self, namespace: str, *, now: SteadyMs) -> bool:
        """Whether the next event of this namespace has to be deferred."""
        return namespace in self._deferred or self._units_used(namespace, now=now) >= BURST

    def defer(self, key: SourceKey, raw: bytes) -> None:
        """Keep the latest event of an object for later."""
        self.forget(key)
        events = self._deferred.setdefault(key.namespace, {})
        size = self._deferred_bytes.get(key.namespace, 0) + len(raw)
        if size > MAX_DEFERRED_BYTES:
            self.dropped.add(key.namespace)
            self._dropped_before.discard(key.namespace)
            size -= len(raw)
        else:
            events[key] = raw
        self._deferred_bytes[key.namespace] = size

    def forget(self, key: SourceKey) -> None:
        """Something newer than the deferred event is known of the object."""
        for deferred in (self._deferred, self._deferred_before):
            events = deferred.get(key.namespace)
            if events is not None and (raw := events.pop(key, None)) is not None:
                self._deferred_bytes[key.namespace] -= len(raw)

    def begin(self) -> None:
        """A listing begins."""
        self._deferred_before, self._deferred = self._deferred, {}
        self._dropped_before = set(self.dropped)

    def finish(self) -> None:
        """The listing has brought all objects as they were when it began, or newer."""
        self._deferred_before = {}
        self._deferred_bytes = {
            namespace: sum(map(len, events.values())) for namespace, events in self._deferred.items()
        }
        self.dropped -= self._dropped_before
        self._dropped_before = set()

    def abort(self) -> None:
        """The listing failed and replaces nothing."""
        for namespace, events in self._deferred_before.items():
            self._deferred[namespace] = events | self._deferred.get(namespace, {})
        self._deferred_before, self._dropped_before = {}, set()

    def due(self, *, now: SteadyMs) -> Iterator[bytes]:
        """Remove and return, one by one, the events that may be read now. The caller charges each before it takes the
        next. Anything may happen between two of them, even the end of a listing.
        """
        for namespace in list(self._deferred):
            while (events := self._deferred.get(namespace)) and self._units_used(namespace, now=now) < BURST:
                key = next(iter(events))
                raw = events.pop(key)
                self._deferred_bytes[namespace] -= len(raw)
                yield raw
            if not self._deferred.get(namespace) and self._units_used(namespace, now=now) < BURST:
                self._deferred.pop(namespace, None)
                if namespace not in self._deferred_before:
                    self._deferred_bytes.pop(namespace, None)
        self._exhausted = {name for name in self._exhausted if self._units_used(name, now=now) >= BURST}
        for namespace in [name for name in self._used_units if not self._units_used(name, now=now)]:
            del self._used_units[namespace]

    def waiting(self) -> frozenset[str]:
        """Namespaces with deferred events: what they report is not known yet."""
        if not (self._deferred or self._deferred_before or self.dropped):
            return _NONE
        return frozenset(self._deferred) | frozenset(self._deferred_before) | self.dropped

    def _units_used(self, namespace: str, *, now: SteadyMs) -> float:
        units, at = self._used_units.get(namespace, (0.0, now))
        return max(0.0, units - (now - at) * PER_SECOND / 1000)
