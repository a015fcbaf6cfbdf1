"""When each finding is to be decided: *dirty* findings by lane and namespace, held findings with the reason, findings
in flight, and timers.

Held findings are indexed by hold and namespace, so that an event visits only those that it may release.
Pure: no I/O, no clock; times are Unix milliseconds.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from policyhub.clock import SteadyMs
from policyhub.sync.holds import Hold
from policyhub.sync.lanes import Dirty, Lane

SPARE_TIMERS = 10_000
"""Heap entries allowed beyond four for each timer; then outdated ones are removed."""


class Agenda:
    """Of one monitored cluster."""

    def __init__(self, *, on_dirty: Callable[[], None]) -> None:
        self._on_dirty = on_dirty
        self.dirty = Dirty()
        self._in_flight: dict[str, Lane] = {}
        self._held: dict[str, tuple[Hold, str]] = {}
        self._hold_keys: dict[tuple[Hold, str], tuple[Hold, str]] = {}
        """Each key once, shared by all ids."""
        self._by_hold: dict[Hold, dict[str, dict[str, None]]] = {hold: {} for hold in Hold}
        """Hold → namespace → ids."""
        self._timers: list[tuple[SteadyMs, str]] = []
        self._due: dict[str, SteadyMs] = {}
        """The valid timer of each id."""

    def enqueue(self, id_: str, lane: Lane, namespace: str) -> Hold | None:
        """The finding is to be decided again; returns why it was held."""
        before = self._unhold(id_)
        self.dirty.add(id_, lane, namespace)
        self._on_dirty()
        return before

    def hold(self, id_: str, hold: Hold, namespace: str) -> None:
        """The finding was decided, and waits."""
        self.dirty.discard(id_)
        self._unhold(id_)
        key = (hold, namespace)
        self._held[id_] = self._hold_keys.setdefault(key, key)
        self._by_hold[hold].setdefault(namespace, {})[id_] = None

    def mark_done(self, id_: str) -> None:
        """The finding was decided, and nothing differs."""
        self.dirty.discard(id_)
        self._unhold(id_)

    def _unhold(self, id_: str) -> Hold | None:
        key = self._held.pop(id_, None)
        if key is None:
            return None
        hold, namespace = key
        ids = self._by_hold[hold][namespace]
        del ids[id_]
        if not ids:
            del self._by_hold[hold][namespace]
            self._hold_keys.pop(key, None)
        return hold

    # -- what is held ---------------------------------------------------------------------------------------------

    @property
    def held(self) -> Mapping[str, Hold]:
        """Why each held id waits: for tests and status."""
        return {id_: hold for id_, (hold, _) in self._held.items()}

    def hold_of(self, id_: str) -> Hold | None:
        key = self._held.get(id_)
        return None if key is None else key[0]

    def count(self, hold: Hold) -> int:
        return sum(map(len, self._by_hold[hold].values()))

    def waiting(self, holds: Iterable[Hold], namespaces: Collection[str] | None = None) -> Iterator[str]:
        """Ids with these holds, in these namespaces (None: all). Holds may change during iteration."""
        for hold in holds:
            by_namespace = self._by_hold[hold]
            names = list(by_namespace) if namespaces is None else [name for name in namespaces if name in by_namespace]
            for name in names:
                yield from list(by_namespace.get(name, ()))

    def __len__(self) -> int:
        return len(self._held)

    # -- calls ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> Mapping[str, Lane]:
        """Ids in a call to Security Hub, with the lane that they came from."""
        return self._in_flight

    def mark_in_flight(self, id_: str, lane: Lane) -> None:
        self._in_flight[id_] = lane
        self.dirty.discard(id_)

    def mark_returned(self, id_: str) -> None:
        del self._in_flight[id_]

    # -- time -----------------------------------------------------------------------------------------------------

    def set_timer(self, id_: str, until: SteadyMs) -> None:
        """Decide the finding again at this time."""
        if self._due.get(id_) == until:
            return
        self._due[id_] = until
        heapq.heappush(self._timers, (until, id_))
        if len(self._timers) > SPARE_TIMERS + 4 * len(self._due):  # most of them are outdated
            self._timers = [(due, id_) for id_, due in self._due.items()]
            heapq.heapify(self._timers)

    def forget(self, id_: str) -> None:
        """The entry was dropped."""
        self.mark_done(id_)
        self._due.pop(id_, None)

    def due(self, now: SteadyMs) -> Iterator[str]:
        """Ids whose timer has expired, each once."""
        while self._timers and self._timers[0][0] <= now:
            until, id_ = heapq.heappop(self._timers)
            if self._due.get(id_) == until:
                del self._due[id_]
                yield id_

    @property
    def next_timer(self) -> SteadyMs | None:
        return self._timers[0][0] if self._timers else None
