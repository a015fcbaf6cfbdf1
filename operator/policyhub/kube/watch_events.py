"""Decodes each line of a watch, hands its object to the sink and updates the counters.

No I/O; the clock is an argument.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from policyhub.kube import wire
from policyhub.kube.backoff import Clock
from policyhub.kube.changed_names import ChangedNames
from policyhub.kube.errors import Refused
from policyhub.kube.isolating_sink import IsolatingSink
from policyhub.kube.sink import Counters
from policyhub.kube.wire import Unreadable

_OBJECT_EVENTS: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})


class WatchEvents:
    """Of one resource."""

    def __init__(
        self,
        isolating_sink: IsolatingSink,
        counters: Counters,
        clock: Clock,
        *,
        changed_names: ChangedNames,
        secrets: Callable[[], frozenset[str]],
    ) -> None:
        """`secrets` are removed from the server's messages."""
        self.listing_in_progress = False
        """Whether a listing is read in parallel with the watch."""
        self._isolated = isolating_sink
        self._counters = counters
        self._clock = clock
        self._changed_names = changed_names
        self._secrets = secrets

    def handle(self, line: bytes, *, resumable: bool) -> str | None:
        """The resourceVersion to resume from, empty if the event has none. None: `ChangedNames` is full, and the event
        was not handled.

        If the server's versions have no meaning (not `resumable`), a watch starts with an ADDED event for each listed
        object. Raises Refused for an ERROR event, Unreadable for a broken line.
        """
        counters = self._counters
        try:
            event, version = wire.event(line)
            status = wire.status(event.object) if event.type == "ERROR" else None
        except Unreadable as error:
            counters.broken_lines += 1
            raise Unreadable(f"the watch cannot be read: {error}") from None
        if status is not None:
            counters.errors += 1
            raise Refused(status.code, status.reason, status.message, secrets=self._secrets())
        counters.last_line = self._clock.time()
        if event.type == "BOOKMARK":
            counters.bookmarks += 1
            return version
        if event.type not in _OBJECT_EVENTS:  # no object in it: the listing's page stays valid
            counters.others += 1
            counters.last_event = counters.last_line
            return version
        method = self._sink_method(event)
        if method is None:
            return None
        counters.last_event = counters.last_line
        match event.type:
            case "MODIFIED":
                counters.modified += 1
            case "ADDED":
                counters.added += 1
                counters.objects += resumable
            case _:
                counters.deleted += 1
                counters.objects -= 1
        self._isolated.deliver(event.object, method)
        return version

    def _sink_method(self, event: wire.Event) -> Callable[[msgspec.Raw], None] | None:
        """The sink's method for the event; None if `ChangedNames` has no space for the object's name."""
        sink = self._isolated.sink
        first = self.listing_in_progress and self._changed_names.add(event.object)
        if self._changed_names.full:
            return None
        if event.type == "DELETED":
            return sink.delete
        if not self.listing_in_progress:
            return sink.upsert
        return partial(sink.upsert_during_listing, new=first and event.type == "ADDED")
