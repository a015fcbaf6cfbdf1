"""How fast one namespace's reports are read, so that rewriting them at full speed slows down nobody else.

Reports of all namespaces come by one watch, in one order. A namespace that writes more than it is given has its events
put aside, the latest of each object only, and read when it has units again; what comes from others is read at once.

| what                      | units                                                  |
|---------------------------|--------------------------------------------------------|
| an event                  | its bytes / 4,000                                      |
| a violation that changed  | 1 more, for each violation of the report               |
| what a namespace is given | 20,000 at once, then 1,000 a second                    |

A violation that changed costs some 70 µs, reading a megabyte some 60 ms, so one namespace takes at most a quarter of a
core for long. Security Hub takes 800 findings a second: who has to wait here would have to wait there. Pages of
listings are not held back; events that come while one is read are.

| an event that was put aside | while a listing is read      | once it is complete           | where it failed        |
|-----------------------------|------------------------------|-------------------------------|------------------------|
| before the listing began    | waits: a page brings what is | is dropped: its object was    | is read as before      |
|                             | newer                        | listed, or is gone            |                        |
| since                       | is read as ever              | stands: no page has brought   | stands                 |
|                             |                              | the object                    |                        |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Iterator
from typing import Final

from policyhub.clock import SteadyMs
from policyhub.sources.violation import SourceKey

_NONE: Final[frozenset[str]] = frozenset()
BURST: Final = 20_000
PER_SECOND: Final = 1_000
_BYTES: Final = 4_000
HELD_BYTES: Final = 16 * 1024 * 1024
"""Of events that one namespace may have put aside; beyond it a new listing brings what is dropped."""


class Throttle:
    """Of one source API."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, SteadyMs]] = {}
        """By namespace: units that are used up, and when that was so; without those that have all of theirs."""
        self._over: set[str] = set()
        """Those that have had none left since events were last read."""
        self._later: dict[str, dict[SourceKey, bytes]] = {}
        """The events that were put aside, by namespace."""
        self._before: dict[str, dict[SourceKey, bytes]] = {}
        """Those from before the listing under way."""
        self._bytes: dict[str, int] = {}
        """Of both."""
        self.dropped: set[str] = set()
        """Namespaces of which an event was dropped: a listing has to bring its object."""
        self._dropped_before: set[str] = set()
        """Those of them that the listing under way brings."""

    @property
    def strained(self) -> bool:
        """Whether any namespace has none left; else nothing needs to be asked of an event."""
        return bool(self._over)

    def charge(self, namespace: str, *, size: int, violations: int, now: SteadyMs) -> None:
        """An event of this many bytes was read, and this many violations taken anew. Who writes outside of namespaces
        is trusted.
        """
        if namespace:
            units = self._used(namespace, now=now) + size / _BYTES + violations
            self._spent[namespace] = (units, now)
            if units >= BURST:
                self._over.add(namespace)

    def waits(self, namespace: str, *, now: SteadyMs) -> bool:
        """Whether the next event of this namespace is to be put aside."""
        return namespace in self._later or self._used(namespace, now=now) >= BURST

    def put_aside(self, key: SourceKey, raw: bytes) -> None:
        """The latest event of an object."""
        self.forget(key)
        events = self._later.setdefault(key.namespace, {})
        size = self._bytes.get(key.namespace, 0) + len(raw)
        if size > HELD_BYTES:
            self.dropped.add(key.namespace)
            self._dropped_before.discard(key.namespace)
            size -= len(raw)
        else:
            events[key] = raw
        self._bytes[key.namespace] = size

    def forget(self, key: SourceKey) -> None:
        """Something later is known of the object."""
        for held in (self._later, self._before):
            events = held.get(key.namespace)
            if events is not None and (raw := events.pop(key, None)) is not None:
                self._bytes[key.namespace] -= len(raw)

    def begin(self) -> None:
        """A listing begins."""
        self._before, self._later = self._later, {}
        self._dropped_before = set(self.dropped)

    def finish(self) -> None:
        """It has brought all objects as they were when it began, or later."""
        self._before = {}
        self._bytes = {namespace: sum(map(len, events.values())) for namespace, events in self._later.items()}
        self.dropped -= self._dropped_before
        self._dropped_before = set()

    def abort(self) -> None:
        """It has replaced nothing."""
        for namespace, events in self._before.items():
            self._later[namespace] = events | self._later.get(namespace, {})
        self._before, self._dropped_before = {}, set()

    def due(self, *, now: SteadyMs) -> Iterator[bytes]:
        """Events that may be read now, each taken; whoever reads one charges it before the next. Between two of them
        anything may happen, the end of a listing too.
        """
        for namespace in list(self._later):
            while (events := self._later.get(namespace)) and self._used(namespace, now=now) < BURST:
                key = next(iter(events))
                raw = events.pop(key)
                self._bytes[namespace] -= len(raw)
                yield raw
            if not self._later.get(namespace) and self._used(namespace, now=now) < BURST:
                self._later.pop(namespace, None)
                if namespace not in self._before:
                    self._bytes.pop(namespace, None)
        self._over = {name for name in self._over if self._used(name, now=now) >= BURST}
        for namespace in [name for name in self._spent if not self._used(name, now=now)]:
            del self._spent[namespace]

    def waiting(self) -> frozenset[str]:
        """Namespaces that have events put aside: what they say is not known yet."""
        if not (self._later or self._before or self.dropped):
            return _NONE
        return frozenset(self._later) | frozenset(self._before) | self.dropped

    def _used(self, namespace: str, *, now: SteadyMs) -> float:
        units, at = self._spent.get(namespace, (0.0, now))
        return max(0.0, units - (now - at) * PER_SECOND / 1000)
