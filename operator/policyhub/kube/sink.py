"""What a reflector writes to, and the state that it reports.

Pure: no I/O, no clock.
"""

from typing import Literal, Protocol

import msgspec

from policyhub.api.reason import Cause, Reason

Phase = Literal["listing", "watching", "failed", "vanished"]
"""
listing    no watch has followed a complete listing yet, and nothing has gone wrong
watching   live: every change arrives (a watch that is being resumed, or a listing in between, does not end this)
failed     `cause` stands in the way; what was known still stands, and is tried again
vanished   the API says that the resource does not exist; what was known still stands, and it is looked for again.
           Where a CRD is deleted, the API server first tells each of its objects as deleted; then this follows
"""


class ReflectorState(msgspec.Struct, frozen=True):
    """Replaced, never changed. An equal state needs no report."""

    phase: Phase = "listing"
    cause: Cause | None = None
    """The failure that still lasts; also while `watching`, if only the re-listing fails."""
    listed: float | None = None
    """When the last complete listing ended, in seconds since 1970."""

    @property
    def live(self) -> bool:
        return self.phase == "watching"

    @property
    def reason(self) -> Reason | None:
        return self.cause.reason if self.cause is not None else None

    @property
    def message(self) -> str:
        return self.cause.message if self.cause is not None else ""


class Sink(Protocol):
    """Called by one reflector, in order, from the event loop; must not block and should not raise.

    If `upsert` or `delete` raises, `unreadable` gets the object, and the next object follows. An exception in `begin`,
    `stream_started` or `finish` ends the current listing or watch, which starts again.
    """

    def begin(self) -> None:
        """A listing starts; `finish` or `abort` always follows. Events that arrive in between are newer than the
        listing, which skips their objects.
        """

    def stream_started(self) -> None:
        """A watch was accepted, or the listing that it runs in parallel with has ended. Everything known so far came
        from requests that another API server may have answered.
        """

    def upsert(self, raw: msgspec.Raw) -> None:
        """The JSON of one object, from a page of a listing, or from an event while no listing is read. Do not keep
        `raw`: it holds the whole page in memory.
        """

    def upsert_during_listing(self, raw: msgspec.Raw, *, new: bool) -> None:
        """The same, from an event while a listing is read; the object counts as listed. `new`: it was created after the
        listing began, and no earlier event of this listing named it.
        """

    def delete(self, raw: msgspec.Raw) -> None:
        """The last JSON of a deleted object. The current listing may have delivered it before."""

    def unreadable(self, raw: msgspec.Raw, error: Exception) -> None:
        """One listed, changed or deleted object that failed: `upsert` or `delete` raised `error`, or it was too large.

        Count it, name it if its name can be read, and treat it as existing: its earlier content stays valid, and a
        listing that delivered it does not prove the deletion of any object that may have its name. `raw` may be
        invalid JSON.
        """

    def finish(self) -> None:
        """The listing was complete: known objects that were not upserted since `begin` are gone."""

    def abort(self) -> None:
        """The listing was incomplete and replaces nothing. The objects that it delivered are valid all the same."""

    def state(self, state: ReflectorState) -> None:
        """Called at each change, and again after each failed listing. Must not raise."""


class Counters(msgspec.Struct):
    """Running totals of one reflector, and when its watch last received a line (seconds since 1970; 0: never)."""

    objects: int = 0
    """Current number: the last complete listing's, plus what the watch added and minus what it deleted since."""
    listings: int = 0
    listings_failed: int = 0
    watches: int = 0
    """Watches started; all except the first are reconnections."""
    watches_failed: int = 0
    added: int = 0
    modified: int = 0
    deleted: int = 0
    bookmarks: int = 0
    errors: int = 0
    """ERROR events."""
    others: int = 0
    broken_lines: int = 0
    unreadable: int = 0
    """Objects that failed (`Sink.unreadable`), counted each time that they arrived."""
    last_event: float = 0.0
    last_line: float = 0.0
    """Including bookmarks."""
