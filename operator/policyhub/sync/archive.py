"""Findings that are archived in Security Hub and that nobody reports: only the latest are kept as entries.

Security Hub keeps archived findings for 30 days. A cluster with many short-lived objects has more archived findings
than active ones. The latest `MAX_ENTRIES` are kept as entries: one that is reported again is sent at once. Of the
others only the ids are kept, as numbers: one that is reported again is first read by id, because a finding keeps its
`CreatedAt`.

Beyond `MAX_IDS` the oldest ids are forgotten: such a finding, reported again, is sent with a new `CreatedAt`.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Iterator
from itertools import islice

from policyhub.clock import SteadyMs

ID_TTL_MS = 31 * 24 * 60 * 60_000
"""How long ids are kept: a day longer than Security Hub keeps archived findings."""
MAX_ENTRIES = 10_000
"""About 0.7 kB each."""
MAX_IDS = 1_000_000
"""About 150 bytes each."""


class Archive:
    """Of one monitored cluster."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_ids: int = MAX_IDS) -> None:
        self.max_entries = max_entries
        self._max_ids = max_ids
        self._entries: dict[str, None] = {}
        """Those that are kept as entries, oldest first."""
        self._dropped: dict[int | str, SteadyMs] = {}
        """The others with the time when each was dropped or last read, oldest first."""

    def __contains__(self, id_: str) -> bool:
        """Whether only its id is kept."""
        return bool(self._dropped) and _key(id_) in self._dropped

    def __len__(self) -> int:
        """How many are kept as ids only."""
        return len(self._dropped)

    def add(self, id_: str) -> None:
        """The finding is archived and nobody reports it. If it is kept already, its place in the order stays."""
        self._entries.setdefault(id_)

    def discard(self, id_: str) -> None:
        """The finding is active or reported."""
        self._entries.pop(id_, None)

    def forget_id(self, id_: str) -> None:
        """The finding was read from Security Hub: its id is no longer needed."""
        if self._dropped:
            self._dropped.pop(_key(id_), None)

    def pop_excess(self) -> Iterator[str]:
        """The oldest ones beyond the limit; they are no longer kept as entries."""
        for id_ in list(islice(self._entries, max(0, len(self._entries) - self.max_entries))):
            del self._entries[id_]
            yield id_

    def drop(self, id_: str, *, now: SteadyMs) -> None:
        """Keep only the id: of an entry that was dropped, or of a finding that was read and needs no entry."""
        key = _key(id_)
        self._dropped.pop(key, None)
        self._dropped[key] = now
        while len(self._dropped) > self._max_ids or now - self._dropped[next(iter(self._dropped))] > ID_TTL_MS:
            del self._dropped[next(iter(self._dropped))]


def _key(id_: str) -> int | str:
    """60 of the 128 bits of an id: if two ids share them, that costs a lookup. An id written by another product may not
    be hexadecimal.
    """
    try:
        return int(id_.rpartition("/")[2][:15], 16)
    except ValueError:
        return id_
