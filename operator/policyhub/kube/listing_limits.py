"""Limits that make every listing end, whatever the server answers. No I/O; the clock is an argument.

| a listing fails after                                                 | because                                     |
|-----------------------------------------------------------------------|---------------------------------------------|
| a continue token that the server has sent before                      | the listing repeats itself                  |
| `MAX_IDLE_PAGES` pages that are empty, or start like an earlier page  | nothing new arrives                         |
| `MAX_OBJECTS` objects, `MAX_PAGES` pages, `LISTING_SECONDS`           | no real cluster needs so many or so long    |
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from policyhub.kube.backoff import Clock
from policyhub.kube.wire import Unreadable

MAX_OBJECTS: Final = 2_000_000
"""The largest known number of objects of a kind that the operator reads is 150,000 Pods. etcd's 8 GiB hold 1.3 million
reports."""
MAX_PAGES: Final = 50_000
MAX_IDLE_PAGES: Final = 100
LISTING_SECONDS: Final = 3_600.0
"""On a real server a continue token is valid for 5 to 15 minutes."""


class ListingLimits:
    """Of one listing."""

    def __init__(self, clock: Clock) -> None:
        self.objects = 0
        self._clock = clock
        self._deadline = clock.monotonic() + LISTING_SECONDS
        self._pages = 0
        self._idle_pages = 0
        self._tokens: set[int] = set()
        self._first_items: set[int] = set()

    def next_token(self, token: str, items: Sequence[msgspec.Raw]) -> str:
        """Count a page; the continue token for the next one, empty after the last page. Raises Unreadable."""
        self._pages += 1
        self.objects += len(items)
        if not token:
            return ""
        first_item = hash(bytes(items[0])) if items else 0
        self._idle_pages += not items or first_item in self._first_items
        if why := self._exceeded(hash(token)):
            raise Unreadable(f"the listing never ends: {why}")
        self._first_items.add(first_item)
        self._tokens.add(hash(token))
        return token

    def _exceeded(self, token: int) -> str:
        if token in self._tokens:
            return "its continue token stays the same, or comes again"
        if self._idle_pages > MAX_IDLE_PAGES:
            return f"{self._idle_pages} pages brought no new object"
        if self._pages >= MAX_PAGES or self.objects > MAX_OBJECTS:
            return f"more follows after {self._pages} pages with {self.objects} objects"
        if self._clock.monotonic() > self._deadline:
            return f"more follows after {LISTING_SECONDS:.0f} s"
        return ""
