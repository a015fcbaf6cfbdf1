"""Ids that are to be read by id: now, each once and the namespaces in turns, or later, each at its time.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

import heapq
from collections.abc import Callable, Iterator

from policyhub.clock import SteadyMs
from policyhub.sync.lanes import Queue

LATE_MS = 60_000
"""After a call that was given up its findings are read at once, and once more: it may have been written late."""


class Readings:
    """Of one monitored cluster."""

    def __init__(self, *, namespace: Callable[[str], str], on_new: Callable[[], None]) -> None:
        """`namespace` says whose turn an id takes."""
        self._now = Queue()
        self._under_way: set[str] = set()
        self._later: list[tuple[SteadyMs, str]] = []
        self._namespace = namespace
        self._on_new = on_new

    def add(self, id_: str) -> None:
        """It is to be read now."""
        if id_ not in self._under_way:
            self._now.add(id_, self._namespace(id_))
            self._on_new()

    def discard(self, id_: str) -> None:
        """It need not be read now."""
        self._now.discard(id_)

    def clear(self) -> None:
        self._now.clear()

    def take(self, limit: int) -> list[str]:
        """At most so many that are under way from now on; each is to be `done`."""
        ids = self._now.take(limit)
        self._under_way.update(ids)
        return ids

    def done(self, id_: str) -> None:
        """It was read, or could not be."""
        self._under_way.discard(id_)

    def __len__(self) -> int:
        return len(self._now)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._now

    # -- later ----------------------------------------------------------------------------------------------------

    def later(self, id_: str, *, at: SteadyMs) -> None:
        """It is to be read then."""
        heapq.heappush(self._later, (at, id_))

    def due(self, now: SteadyMs) -> Iterator[str]:
        """Those whose time has come; they are taken out."""
        while self._later and self._later[0][0] <= now:
            yield heapq.heappop(self._later)[1]

    @property
    def next(self) -> SteadyMs | None:
        """When the next one is due; None where none is."""
        return self._later[0][0] if self._later else None
