"""What is archived in Security Hub and that nobody reports: only the latest of it is kept whole.

Security Hub keeps archived findings for 30 days, and a cluster in which much comes and goes has more of them than
active ones. The `LATEST` of them are kept as entries, so that one that comes back is sent at once. Of the others the
ids are kept, as numbers: one that comes back is read by its id first, since a finding keeps its `CreatedAt`.

Of more than `MOST` ids the oldest are forgotten: one of these that comes back is sent with a new `CreatedAt`.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Iterator
from itertools import islice

from policyhub.clock import SteadyMs

KEPT_MS = 31 * 24 * 60 * 60_000
"""For which ids are kept: a day more than Security Hub keeps the findings."""
LATEST = 10_000
"""Entries (about 0.7 kB each)."""
MOST = 1_000_000
"""Ids (about 150 bytes each)."""


class Archive:
    """Of one monitored cluster."""

    def __init__(self, *, latest: int = LATEST, most: int = MOST) -> None:
        self._latest = latest
        self._most = most
        self._whole: dict[str, None] = {}
        """Those that are kept whole, the oldest first."""
        self._dropped: dict[int | str, SteadyMs] = {}
        """The others, and when each was dropped or read last, the oldest first."""

    def __contains__(self, id_: str) -> bool:
        """Whether it is archived, or was, and is not kept whole."""
        return bool(self._dropped) and _key(id_) in self._dropped

    def __len__(self) -> int:
        """How many are not kept whole."""
        return len(self._dropped)

    def put(self, id_: str) -> None:
        """It is archived, and nobody reports it; its place stays, if it has one."""
        self._whole.setdefault(id_)

    def leave(self, id_: str) -> None:
        """It is active, or reported."""
        self._whole.pop(id_, None)

    def know(self, id_: str) -> None:
        """What Security Hub has of it is known."""
        if self._dropped:
            self._dropped.pop(_key(id_), None)

    def excess(self) -> Iterator[str]:
        """Those that are not to be kept whole, as far as they are archived still."""
        for id_ in list(islice(self._whole, max(0, len(self._whole) - self._latest))):
            del self._whole[id_]
            yield id_

    def drop(self, id_: str, *, now: SteadyMs) -> None:
        """It is not kept whole any more, or was read again and is not to be."""
        key = _key(id_)
        self._dropped.pop(key, None)
        self._dropped[key] = now
        while len(self._dropped) > self._most or now - self._dropped[next(iter(self._dropped))] > KEPT_MS:
            del self._dropped[next(iter(self._dropped))]


def _key(id_: str) -> int | str:
    """Sixty of the 128 bits of an id: two that share them cost a look-up. Whoever may import findings can give any."""
    try:
        return int(id_.rpartition("/")[2][:15], 16)
    except ValueError:
        return id_
