"""One line of a watch into the sink, and into the counters. No I/O; the clock is an argument."""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from policyhub.kube import wire
from policyhub.kube.backoff import Clock
from policyhub.kube.errors import Refused
from policyhub.kube.intake import Intake
from policyhub.kube.overtaken import Overtaken
from policyhub.kube.sink import Counters
from policyhub.kube.wire import Unreadable

_OBJECT_EVENTS: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})


class Events:
    """Of one resource."""

    def __init__(
        self,
        intake: Intake,
        counters: Counters,
        clock: Clock,
        *,
        overtaken: Overtaken,
        secrets: Callable[[], frozenset[str]],
    ) -> None:
        """`secrets` are kept out of what the server says."""
        self.listing = False
        """Whether a listing is read beside the watch."""
        self._intake = intake
        self._counters = counters
        self._clock = clock
        self._overtaken = overtaken
        self._secrets = secrets

    def take(self, line: bytes, *, resumable: bool) -> str | None:
        """The version to resume from, empty where it names none; None: there was no room for it, and it was not taken.

        Where versions mean nothing (not `resumable`), a watch begins by telling all that was listed. Raises Refused for
        an ERROR event, Unreadable for a broken line.
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
        if event.type not in _OBJECT_EVENTS:  # brings no object: the listing's page still counts
            counters.others += 1
            counters.last_event = counters.last_line
            return version
        take = self._taker(event)
        if take is None:
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
        self._intake.take(event.object, take)
        return version

    def _taker(self, event: wire.Event) -> Callable[[msgspec.Raw], None] | None:
        """What of the sink takes it; None where it cannot be remembered beside a listing."""
        sink = self._intake.sink
        first = self.listing and self._overtaken.add(event.object)
        if self._overtaken.full:
            return None
        if event.type == "DELETED":
            return sink.delete
        return partial(sink.overtake, new=first and event.type == "ADDED") if self.listing else sink.upsert
