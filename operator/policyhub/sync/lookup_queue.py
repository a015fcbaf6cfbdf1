"""Findings to be read by id: now (each once, namespaces take turns), or at a later time.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

import heapq
from collections.abc import Callable, Iterator

from policyhub.clock import SteadyMs
from policyhub.sync.lanes import Queue

REREAD_MS = 60_000
"""Findings of a call without an answer are read at once, and again after this time: it may have been written late."""


class LookupQueue:
    """For one monitored cluster."""

    def __init__(self, *, namespace: Callable[[str], str], on_new: Callable[[], None]) -> None:
        """`namespace` returns the namespace of an id, for the turns; `on_new` is called for each added id."""
        self._now = Queue()
        self._in_flight: set[str] = set()
        self._later: list[tuple[SteadyMs, str]] = []
        self._namespace = namespace
        self._on_new = on_new

    def add(self, id_: str) -> None:
        """Read the finding now."""
        if id_ not in self._in_flight:
            self._now.add(id_, self._namespace(id_))
            self._on_new()

    def discard(self, id_: str) -> None:
        """The finding need not be read now."""
        self._now.discard(id_)

    def clear(self) -> None:
        self._now.clear()

    def take(self, limit: int) -> list[str]:
        """Take up to `limit` ids; call `mark_done` for each after the read."""
        ids = self._now.take(limit)
        self._in_flight.update(ids)
        return ids

    def mark_done(self, id_: str) -> None:
        """The finding was read, or the read failed."""
        self._in_flight.discard(id_)

    def __len__(self) -> int:
        return len(self._now)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._now

    # -- later ----------------------------------------------------------------------------------------------------

    def add_at(self, id_: str, *, at: SteadyMs) -> None:
        """Read the finding at this time."""
        heapq.heappush(self._later, (at, id_))

    def pop_due(self, now: SteadyMs) -> Iterator[str]:
        """Remove and return the ids whose time has come."""
        while self._later and self._later[0][0] <= now:
            yield heapq.heappop(self._later)[1]

    @property
    def next_due(self) -> SteadyMs | None:
        """When the next id is due; None: there is none."""
        return self._later[0][0] if self._later else None
