"""When items are to be processed again: at most one timer for each item.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

import heapq
from itertools import count
from typing import Final, Generic, TypeVar

from policyhub.clock import SteadyMs

T = TypeVar("T")

_SLACK: Final = 1_000
"""Outdated heap entries allowed beyond one for each timer."""


class Timers(Generic[T]):
    def __init__(self) -> None:
        self._due: dict[T, SteadyMs] = {}
        self._heap: list[tuple[SteadyMs, int, T]] = []
        self._number = count()

    def __len__(self) -> int:
        return len(self._due)

    def set(self, item: T, due: SteadyMs) -> None:
        """Keep the earliest requested time; an item that is processed too early sets its timer again."""
        before = self._due.get(item)
        if before is not None and before <= due:
            return
        self._due[item] = due
        heapq.heappush(self._heap, (due, next(self._number), item))
        if len(self._heap) > _SLACK + 2 * len(self._due):
            self._heap = [(at, next(self._number), one) for one, at in self._due.items()]
            heapq.heapify(self._heap)

    def drop(self, item: T) -> None:
        self._due.pop(item, None)

    def pop(self, now: SteadyMs) -> T | None:
        """Remove and return an item that is due; None: there is none."""
        while self._heap and self._heap[0][0] <= now:
            due, _, item = heapq.heappop(self._heap)
            if self._due.get(item) == due:
                del self._due[item]
                return item
        return None
