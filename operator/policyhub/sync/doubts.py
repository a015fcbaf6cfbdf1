"""Ids that are to be read by id later, each at its time. Pure: no I/O, no clock."""

import heapq
from collections.abc import Iterator

from policyhub.clocks import SteadyMs

LATE_MS = 60_000
"""After a call that was given up its findings are read at once, and once more: it may have been written late."""


class Doubts:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._heap: list[tuple[SteadyMs, str]] = []

    def add(self, id_: str, *, at: SteadyMs) -> None:
        heapq.heappush(self._heap, (at, id_))

    def due(self, now: SteadyMs) -> Iterator[str]:
        """Those whose time has come; they are taken out."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    @property
    def next(self) -> SteadyMs | None:
        """When the next one is due; None where none is."""
        return self._heap[0][0] if self._heap else None
