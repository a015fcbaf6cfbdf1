"""Names of the objects for which an event arrived while a listing is read. The listing's pages are older than these
events, so the listing skips the objects.

The names are kept until the listing ends. All listings of one server share one memory budget. If a name does not fit,
its event is not handled, and the watch resumes at that event after the listing. Pure: no I/O, no clock.
"""

import sys
from typing import Final

import msgspec

from policyhub.kube import wire

MAX_BYTES: Final = 16 * 2**20
"""For one server: enough for 100,000 events while its listings are read."""
_SLOT_BYTES: Final = 64
"""What an entry of the set takes beside the name itself."""


def size(name: str) -> int:
    return sys.getsizeof(name) + _SLOT_BYTES


class NameBudget:
    """The memory that the names of one server may still use."""

    def __init__(self, free_bytes: int = MAX_BYTES) -> None:
        self.free_bytes = free_bytes


class ChangedNames:
    """Of one resource; cleared after each listing."""

    def __init__(self, name_budget: NameBudget) -> None:
        self.full = False
        """Whether a name did not fit into the budget."""
        self._budget = name_budget
        self._names: set[str] = set()
        self._used_bytes = 0

    def __len__(self) -> int:
        return len(self._names)

    def add(self, raw: msgspec.Raw) -> bool:
        """Record an event's object; whether this is its first event. If `full` is set afterwards, the event must not be
        handled.
        """
        name = wire.namespaced_name(raw)
        if not name or name in self._names:  # an object without a name cannot be found on a page
            return False
        bytes_ = size(name)
        if bytes_ > self._budget.free_bytes:
            self.full = True
            return True
        self._budget.free_bytes -= bytes_
        self._used_bytes += bytes_
        self._names.add(name)
        return True

    def has(self, raw: msgspec.Raw) -> bool:
        """Whether an event arrived for this object."""
        return bool(self._names) and wire.namespaced_name(raw) in self._names

    def clear(self) -> None:
        """The listing has ended, or its pages have different resourceVersions."""
        self._budget.free_bytes += self._used_bytes
        self._names, self._used_bytes, self.full = set(), 0, False
