"""What is archived in Security Hub and that nobody reports: only the latest of it is kept whole.

Security Hub keeps archived findings for 30 days, and a cluster in which much comes and goes has more of them than
active ones. The `LATEST` of them are kept as entries, so that one that comes back is sent at once. Of the others the
ids are kept, as numbers: one that comes back is read by its id first, since a finding keeps its `CreatedAt`.

Of more than `MOST` ids the oldest are forgotten: one of these that comes back is sent with a new `CreatedAt`.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Iterator

from policyhub.clocks import SteadyMs

DAY_MS = 24 * 60 * 60_000
DAYS = 31
"""For which ids are kept: a day more than Security Hub keeps the findings."""
LATEST = 10_000
"""Entries (about 0.7 kB each)."""
MOST = 1_000_000
"""Ids (about 90 bytes each)."""


class Archive:
    """Of one monitored cluster."""

    def __init__(self, *, latest: int = LATEST, most: int = MOST) -> None:
        self._latest = latest
        self._most = most
        self._whole: dict[str, None] = {}
        """Those that are kept whole, the oldest first."""
        self._days: dict[int, set[int]] = {}
        """Ids of the others by the day on which they were dropped, the oldest first."""

    def __contains__(self, id_: str) -> bool:
        """Whether it is archived, or was, and is not kept whole."""
        return bool(self._days) and any(_number(id_) in day for day in self._days.values())

    def put(self, id_: str) -> None:
        """It is archived, and nobody reports it."""
        self._whole.pop(id_, None)
        self._whole[id_] = None

    def take(self, id_: str) -> None:
        """It is no longer so, or what Security Hub has of it is known."""
        self._whole.pop(id_, None)
        for day in self._days.values():
            day.discard(_number(id_))

    def excess(self) -> Iterator[str]:
        """Those that are not to be kept whole, as far as they are archived still."""
        for id_ in list(self._whole)[: max(0, len(self._whole) - self._latest)]:
            del self._whole[id_]
            yield id_

    def drop(self, id_: str, *, now: SteadyMs) -> None:
        """It is not kept whole any more, or was read again and is not to be."""
        today = now // DAY_MS
        self._days.setdefault(today, set()).add(_number(id_))
        while len(self._days) > 1 and (min(self._days) <= today - DAYS or len(self) > self._most):
            del self._days[min(self._days)]
        if len(self) > self._most:
            self._days.clear()

    def __len__(self) -> int:
        return sum(len(day) for day in self._days.values())


def _number(id_: str) -> int:
    """Sixty of the 128 bits of an id: two that share them cost a look-up."""
    return int(id_.rpartition("/")[2][:15], 16)
