"""Of which objects events have told while a listing is read: what its pages say of them is older, and is passed over.

The names are kept for as long as the listing lasts. What they may take is bounded for all listings of one server
together; an event that there is no room for is not taken, and the watch it came by goes on after the listing from
there. Pure: no I/O, no clock.
"""

import sys
from typing import Final

import msgspec

from policyhub.kube import wire

MOST_BYTES: Final = 16 * 2**20
"""Of one server: 100,000 events while its listings are read."""
_SLOT: Final = 64
"""Bytes of a name's place in the set."""


def size(name: str) -> int:
    return sys.getsizeof(name) + _SLOT


class Room:
    """What the names may take, of one server."""

    def __init__(self, left: int = MOST_BYTES) -> None:
        self.left = left


class Overtaken:
    """Of one resource, listing after listing."""

    def __init__(self, room: Room) -> None:
        self.full = False
        """Whether there was no room for one."""
        self._room = room
        self._names: set[str] = set()
        self._taken = 0

    def __len__(self) -> int:
        return len(self._names)

    def add(self, raw: msgspec.Raw) -> bool:
        """An event tells of this object; whether none did before. After it `full` says whether it may be taken."""
        name = wire.path(raw)
        if not name or name in self._names:  # without a name it is not known which page has it
            return False
        bytes_ = size(name)
        if bytes_ > self._room.left:
            self.full = True
            return True
        self._room.left -= bytes_
        self._taken += bytes_
        self._names.add(name)
        return True

    def has(self, raw: msgspec.Raw) -> bool:
        """Whether an event told of this object."""
        return bool(self._names) and wire.path(raw) in self._names

    def clear(self) -> None:
        """The listing is over, or its pages are not of one moment."""
        self._room.left += self._taken
        self._names, self._taken, self.full = set(), 0, False
