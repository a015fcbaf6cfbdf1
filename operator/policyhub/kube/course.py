"""Whether a listing gets on, whatever the server answers: it ends. No I/O; the clock is an argument.

| a listing ends with an error after                                    | because                                     |
|-----------------------------------------------------------------------|---------------------------------------------|
| a continue token that it has sent before                              | it goes round in circles                    |
| `MAX_IDLE_PAGES` pages that are empty, or begin as an earlier one did | nothing new comes                           |
| `MAX_OBJECTS` objects, `MAX_PAGES` pages, `LISTING_SECONDS`           | no cluster has as many, nor takes as long   |
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from policyhub.kube.backoff import Clock
from policyhub.kube.wire import Unreadable

MAX_OBJECTS: Final = 2_000_000
"""The largest known number of any kind that is read is 150,000 Pods; etcd's 8 GiB hold 1.3 million reports."""
MAX_PAGES: Final = 50_000
MAX_IDLE_PAGES: Final = 100
LISTING_SECONDS: Final = 3_600.0
"""A continue token is good for 5 to 15 minutes on a real server."""


class Course:
    """Of one listing."""

    def __init__(self, clock: Clock) -> None:
        self.objects = 0
        self._clock = clock
        self._until = clock.monotonic() + LISTING_SECONDS
        self._pages = 0
        self._idle = 0
        self._tokens: set[int] = set()
        self._firsts: set[int] = set()

    def follow(self, token: str, items: Sequence[msgspec.Raw]) -> str:
        """After a page: its continue token, empty where it was the last one. Raises Unreadable."""
        self._pages += 1
        self.objects += len(items)
        if not token:
            return ""
        first = hash(bytes(items[0])) if items else 0
        self._idle += not items or first in self._firsts
        if why := self._endless(hash(token)):
            raise Unreadable(f"the listing never ends: {why}")
        self._firsts.add(first)
        self._tokens.add(hash(token))
        return token

    def _endless(self, token: int) -> str:
        if token in self._tokens:
            return "its continue token stays the same, or comes again"
        if self._idle > MAX_IDLE_PAGES:
            return f"{self._idle} pages brought no new object"
        if self._pages >= MAX_PAGES or self.objects > MAX_OBJECTS:
            return f"more follows after {self._pages} pages with {self.objects} objects"
        if self._clock.monotonic() > self._until:
            return f"more follows after {LISTING_SECONDS:.0f} s"
        return ""
