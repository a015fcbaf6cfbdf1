"""The order in which differences are sent: fresh news never waits behind a backlog.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator
from enum import IntEnum


class Lane(IntEnum):
    """What goes out first; within a lane, what became dirty first."""

    URGENT = 0
    """A violation that is new, came back or is gone."""
    CHANGED = 1
    """A violation that reads otherwise than Security Hub has it."""
    BACKLOG = 2
    """What the first listing brought."""
    REFRESH = 3
    """Unchanged findings that Security Hub would forget, and those that an older renderer wrote."""


class Dirty:
    """Ids to be decided again, each in one lane; iterated in the order in which they are to be sent."""

    __slots__ = ("_lane", "_queues")

    def __init__(self) -> None:
        self._lane: dict[str, Lane] = {}
        self._queues: tuple[dict[str, None], ...] = tuple({} for _ in Lane)

    def add(self, id_: str, lane: Lane) -> None:
        """An id that is there already keeps its place, unless it changes lanes."""
        before = self._lane.get(id_)
        if before is lane:
            return
        if before is not None:
            del self._queues[before][id_]
        self._lane[id_] = lane
        self._queues[lane][id_] = None

    def discard(self, id_: str) -> None:
        lane = self._lane.pop(id_, None)
        if lane is not None:
            del self._queues[lane][id_]
            if not self._lane:
                self.clear()

    def clear(self) -> None:
        """Also gives back the tables of a backlog: a dict that was large stays large."""
        self._lane = {}
        self._queues = tuple({} for _ in Lane)

    def queue(self, lane: Lane) -> dict[str, None]:
        """The ids of one lane, in order; not to be changed."""
        return self._queues[lane]

    def __contains__(self, id_: object) -> bool:
        return id_ in self._lane

    def __len__(self) -> int:
        return len(self._lane)

    def __iter__(self) -> Iterator[str]:
        for queue in self._queues:
            yield from queue
