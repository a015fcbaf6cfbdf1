"""The order in which differences are sent: by urgency, and fairly between namespaces.

Two rules, so that a namespace with much work delays only itself:

* **Lanes** are priorities that share each request: a flood of urgent findings leaves room for changes, and changes for
  the backlog (`RESERVED`). Room that one lane does not need goes to the others, the most urgent first.
* **Round robin**: within a lane the namespaces take turns, one finding each. A namespace with 200,000 pending findings
  and one with a single finding get the same share.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator
from enum import IntEnum


class Lane(IntEnum):
    """Priorities, the first one first."""

    URGENT = 0
    """A violation that is new, came back or is gone."""
    CHANGED = 1
    """A violation whose text or severity differs from what Security Hub holds."""
    BACKLOG = 2
    """Violations that the first listing brought."""
    REFRESH = 3
    """Unchanged findings that Security Hub would delete, and those that an older renderer wrote."""


RESERVED: dict[Lane, int] = {Lane.CHANGED: 20, Lane.BACKLOG: 10, Lane.REFRESH: 5}
"""Of the 100 findings of a request: how many are reserved for a lane although a more urgent one could fill it."""


class RoundRobin:
    """Ids by namespace. `take` serves the namespaces in turn, one id each, in the order in which the ids came."""

    __slots__ = ("_by_namespace", "_next")

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, None]] = {}
        self._next = 0
        """Index of the namespace that the next call begins with."""

    def add(self, id_: str, namespace: str) -> None:
        self._by_namespace.setdefault(namespace, {})[id_] = None

    def discard(self, id_: str, namespace: str) -> None:
        ids = self._by_namespace[namespace]
        del ids[id_]
        if not ids:
            del self._by_namespace[namespace]

    def take(self, limit: int) -> list[str]:
        """At most `limit` ids, which stay in the queue. The next call begins with another namespace."""
        taken: list[str] = []
        names = list(self._by_namespace)
        if not names:
            return taken
        start = self._next % len(names)
        self._next = start + min(limit, len(names))
        queues = [iter(self._by_namespace[name]) for name in (*names[start:], *names[:start])]
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
        return sum(map(len, self._by_namespace.values()))

    def __iter__(self) -> Iterator[str]:
        for ids in self._by_namespace.values():
            yield from ids

    def __contains__(self, id_: object) -> bool:
        return any(id_ in ids for ids in self._by_namespace.values())


class Queue:
    """Ids, each once; the namespaces take turns."""

    __slots__ = ("_ids", "_namespace")

    def __init__(self) -> None:
        self._namespace: dict[str, str] = {}
        self._ids = RoundRobin()

    def add(self, id_: str, namespace: str) -> None:
        if id_ not in self._namespace:
            self._namespace[id_] = namespace
            self._ids.add(id_, namespace)

    def discard(self, id_: str) -> None:
        namespace = self._namespace.pop(id_, None)
        if namespace is not None:
            self._ids.discard(id_, namespace)

    def take(self, limit: int) -> list[str]:
        """Remove and return at most `limit` ids."""
        taken = self._ids.take(limit)
        for id_ in taken:
            self.discard(id_)
        return taken

    def clear(self) -> None:
        self._namespace = {}
        self._ids = RoundRobin()

    def __contains__(self, id_: object) -> bool:
        return id_ in self._namespace

    def __iter__(self) -> Iterator[str]:
        return iter(self._namespace)

    def __len__(self) -> int:
        return len(self._namespace)


class Dirty:
    """Ids to decide again, each in one lane and in its namespace's queue there."""

    __slots__ = ("_lanes", "_queue_keys", "_queue_of")

    def __init__(self) -> None:
        self._queue_of: dict[str, tuple[Lane, str]] = {}
        self._queue_keys: dict[tuple[Lane, str], tuple[Lane, str]] = {}
        """The keys themselves: all ids with the same key share one tuple."""
        self._lanes: tuple[RoundRobin, ...] = tuple(RoundRobin() for _ in Lane)

    def add(self, id_: str, lane: Lane, namespace: str = "") -> None:
        """An id that is queued already keeps its position, unless it changes lanes."""
        before = self._queue_of.get(id_)
        if before is not None:
            if before[0] is lane:
                return
            self._lanes[before[0]].discard(id_, before[1])
        key = (lane, namespace)
        self._queue_of[id_] = self._queue_keys.setdefault(key, key)
        self._lanes[lane].add(id_, namespace)

    def discard(self, id_: str) -> None:
        key = self._queue_of.pop(id_, None)
        if key is not None:
            self._lanes[key[0]].discard(id_, key[1])
            if not self._queue_of:
                self.clear()

    def clear(self) -> None:
        """Also frees the memory of a backlog: a dict that was large stays large."""
        self._queue_of, self._queue_keys = {}, {}
        self._lanes = tuple(RoundRobin() for _ in Lane)

    def queue(self, lane: Lane) -> RoundRobin:
        """The ids of one lane; the caller must not change it."""
        return self._lanes[lane]

    def __contains__(self, id_: object) -> bool:
        return id_ in self._queue_of

    def __len__(self) -> int:
        return len(self._queue_of)

    def __iter__(self) -> Iterator[str]:
        for lane in self._lanes:
            yield from lane
