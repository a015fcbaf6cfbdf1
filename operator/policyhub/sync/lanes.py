"""The order in which differences are sent: urgent ones first, and no namespace before its turn.

Two rules, so that whoever makes much work delays only their own:

* **Lanes** say what matters more. They share each call: an urgent flood leaves room for changes, changes for a backlog
  (`RESERVED`); what one lane does not need goes to the others, the most urgent first.
* **Turns**: within a lane the namespaces take turns, one finding each. A namespace with 200,000 pending findings and
  one with a single finding are served alike.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator
from enum import IntEnum


class Lane(IntEnum):
    """What goes out first."""

    URGENT = 0
    """A violation that is new, came back or is gone."""
    CHANGED = 1
    """A violation that reads otherwise than Security Hub has it."""
    BACKLOG = 2
    """What the first listing brought."""
    REFRESH = 3
    """Unchanged findings that Security Hub would forget, and those that an older renderer wrote."""


RESERVED: dict[Lane, int] = {Lane.CHANGED: 20, Lane.BACKLOG: 10, Lane.REFRESH: 5}
"""Of the 100 findings of a call: what a lane may have although a more urgent one would fill the call."""


class Turns:
    """Ids by namespace; iterated so that each namespace has its turn: one id each, in the order of its arrival."""

    __slots__ = ("_next", "_of")

    def __init__(self) -> None:
        self._of: dict[str, dict[str, None]] = {}
        self._next = 0
        """Which of them begins the next call."""

    def add(self, id_: str, namespace: str) -> None:
        self._of.setdefault(namespace, {})[id_] = None

    def discard(self, id_: str, namespace: str) -> None:
        ids = self._of[namespace]
        del ids[id_]
        if not ids:
            del self._of[namespace]

    def take(self, limit: int) -> list[str]:
        """At most this many ids, none of them removed. The next call begins with another namespace."""
        taken: list[str] = []
        names = list(self._of)
        if not names:
            return taken
        start = self._next % len(names)
        self._next = start + min(limit, len(names))
        queues = [iter(self._of[name]) for name in (*names[start:], *names[:start])]
        while queues and len(taken) < limit:
            left = []
            for queue in queues:
                id_ = next(queue, None)
                if id_ is None:
                    continue
                taken.append(id_)
                left.append(queue)
                if len(taken) == limit:
                    break
            queues = left
        return taken

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __iter__(self) -> Iterator[str]:
        for ids in self._of.values():
            yield from ids

    def __contains__(self, id_: object) -> bool:
        return any(id_ in ids for ids in self._of.values())


class Queue:
    """Ids that wait for one thing, each once; the namespaces take turns."""

    __slots__ = ("_namespace", "_turns")

    def __init__(self) -> None:
        self._namespace: dict[str, str] = {}
        self._turns = Turns()

    def add(self, id_: str, namespace: str) -> None:
        if id_ not in self._namespace:
            self._namespace[id_] = namespace
            self._turns.add(id_, namespace)

    def discard(self, id_: str) -> None:
        namespace = self._namespace.pop(id_, None)
        if namespace is not None:
            self._turns.discard(id_, namespace)

    def take(self, limit: int) -> list[str]:
        """At most this many ids, which wait no longer."""
        taken = self._turns.take(limit)
        for id_ in taken:
            self.discard(id_)
        return taken

    def clear(self) -> None:
        self._namespace = {}
        self._turns = Turns()

    def __contains__(self, id_: object) -> bool:
        return id_ in self._namespace

    def __iter__(self) -> Iterator[str]:
        return iter(self._namespace)

    def __len__(self) -> int:
        return len(self._namespace)


class Dirty:
    """Ids to be decided again, each in one lane and in its namespace's queue there."""

    __slots__ = ("_lanes", "_place", "_places")

    def __init__(self) -> None:
        self._place: dict[str, tuple[Lane, str]] = {}
        self._places: dict[tuple[Lane, str], tuple[Lane, str]] = {}
        """Each of them once, for all ids to share."""
        self._lanes: tuple[Turns, ...] = tuple(Turns() for _ in Lane)

    def add(self, id_: str, lane: Lane, namespace: str = "") -> None:
        """An id that is there already keeps its place, unless it changes lanes."""
        before = self._place.get(id_)
        if before is not None:
            if before[0] is lane:
                return
            self._lanes[before[0]].discard(id_, before[1])
        place = (lane, namespace)
        self._place[id_] = self._places.setdefault(place, place)
        self._lanes[lane].add(id_, namespace)

    def discard(self, id_: str) -> None:
        place = self._place.pop(id_, None)
        if place is not None:
            self._lanes[place[0]].discard(id_, place[1])
            if not self._place:
                self.clear()

    def clear(self) -> None:
        """Also gives back the tables of a backlog: a dict that was large stays large."""
        self._place, self._places = {}, {}
        self._lanes = tuple(Turns() for _ in Lane)

    def queue(self, lane: Lane) -> Turns:
        """The ids of one lane; not to be changed."""
        return self._lanes[lane]

    def __contains__(self, id_: object) -> bool:
        return id_ in self._place

    def __len__(self) -> int:
        return len(self._place)

    def __iter__(self) -> Iterator[str]:
        for lane in self._lanes:
            yield from lane
