"""The guard: a source that loses many findings at once is more likely broken than mended.

Losses on evidence that is less than certain (reports or results that went, lists that got shorter, settings that no
longer ask) are counted for each engine within one archive delay, since that long each of them waits. Beyond a
threshold all of the engine's losses are held until a person approves them, or until what was missing comes back.

| held when it would archive                                | because                                               |
|-----------------------------------------------------------|-------------------------------------------------------|
| all of an engine's findings, where there are 20 or more   | the engine was removed, or its reports are being made |
|                                                           | anew                                                  |
| more than 50, and more than 30 % of them                  | a policy set or a tenant went by mistake              |
| more than 5,000                                           | even a small share of a large fleet is worth a look   |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter

import msgspec

ALL_FROM = 20
SOME_ABOVE = 50
SHARE_ABOVE = 0.3
MANY_ABOVE = 5_000


class Hold(msgspec.Struct, frozen=True):
    """Why a source's losses are held."""

    since: int
    lost: int
    total: int

    @property
    def reason(self) -> str:
        return trips(self.lost, self.total) or "what was missing has come back in part"


def trips(lost: int, total: int) -> str:
    """Why this many losses of this many active findings are too many at once; empty if they are not."""
    if lost >= ALL_FROM and lost >= total:
        return "these are all of its findings"
    if lost > SOME_ABOVE and lost > SHARE_ABOVE * total:
        return f"these are {100 * lost // total} % of its findings"
    if lost > MANY_ABOVE:
        return f"these are more than {MANY_ABOVE:,}"
    return ""


class Guard:
    """Counts, by source, what waits to be archived on evidence that may err."""

    def __init__(self) -> None:
        self.active: Counter[str] = Counter()
        """Findings that are active in Security Hub."""
        self.held: dict[str, Hold] = {}
        self.released: dict[str, int] = {}
        """When a hold ended by itself: the archive delay begins anew, for what comes back may come back in pieces."""
        self.approved: dict[str, int] = {}
        """Until when a person has approved of the losses of a source."""
        self._waiting: dict[str, str] = {}
        self._lost: Counter[str] = Counter()
        self._refused: set[str] = set()
        """Sources of which something was not archived since they were weighed: what was put aside is decided again
        when they turn out not to be held."""

    def count(self, source: str, change: int) -> None:
        """Findings of a source became active or ceased to be."""
        self.active[source] += change
        if not self.active[source]:
            del self.active[source]

    def wait(self, id_: str, source: str) -> None:
        """A finding waits to be archived."""
        if id_ not in self._waiting:
            self._waiting[id_] = source
            self._lost[source] += 1

    def forget(self, id_: str) -> None:
        """It does so no longer: it came back, was archived, or better or no evidence was found."""
        source = self._waiting.pop(id_, None)
        if source is not None:
            self._lost[source] -= 1

    def knows(self, id_: str) -> bool:
        return id_ in self._waiting

    def lost(self, source: str) -> int:
        return self._lost[source]

    def closed(self, source: str, *, now: int) -> bool:
        """Whether the losses of a source may not be archived now."""
        if self.approved.get(source, 0) > now:
            return False
        shut = source in self.held or bool(trips(self._lost[source], self.active[source]))
        if shut:
            self._refused.add(source)
        return shut

    def weigh(self, *, now: int) -> tuple[set[str], set[str]]:
        """Note which sources are held; returns those newly held, and those released (by themselves or approved)."""
        held, released = set(), set()
        for source, lost in list(self._lost.items()):
            approved = self.approved.get(source, 0) > now
            over = bool(trips(lost, self.active[source])) and not approved
            before = self.held.get(source)
            if over and before is None:
                held.add(source)
            if over:
                since = now if before is None else before.since
                self.held[source] = Hold(since=since, lost=lost, total=self.active[source])
            elif before is not None or source in self._refused:
                self.held.pop(source, None)
                released.add(source)
                if not approved:
                    self.released[source] = now
        self._refused.clear()
        for source in [source for source, lost in self._lost.items() if not lost and source not in self.held]:
            del self._lost[source]
        return held, released

    def waiting(self, source: str) -> list[str]:
        return [id_ for id_, s in self._waiting.items() if s == source]
