"""What a reflector writes to, and what it tells about itself.

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
    """Replaced, never changed; equal states are the same news."""

    phase: Phase = "listing"
    cause: Cause | None = None
    """The failure that is not yet mended; also while `watching`, when only the re-listing fails."""
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

    What `upsert` or `delete` of one object raise is that object's: `unreadable` is given it, and the next one follows.
    An exception of `begin`, `opened` or `finish` ends the listing or watch under way, which starts over.
    """

    def begin(self) -> None:
        """A listing starts. Always followed by `finish` or `abort`; events that arrive in between are newer than what
        it brings: it passes over the objects that they told of.
        """

    def opened(self) -> None:
        """A watch was accepted, or a listing beside it has ended: what is known came by requests which another server
        may have answered.
        """

    def upsert(self, raw: msgspec.Raw) -> None:
        """The JSON of one object, from a page of a listing, or from an event while none is read. A copy keeps the page
        alive: decode it or let it go.
        """

    def overtake(self, raw: msgspec.Raw, *, new: bool) -> None:
        """The same, from an event while a listing is read, which counts as if the listing had brought it. `new`: it was
        made since the listing began, and not for the second time.
        """

    def delete(self, raw: msgspec.Raw) -> None:
        """The last JSON of an object that is gone; a listing that is read may have brought it before."""

    def unreadable(self, raw: msgspec.Raw, error: Exception) -> None:
        """One object, listed or changed or deleted, that could not be taken: `upsert` or `delete` raised `error`, or it
        was too large to call them.

        Count it, name it as far as its name can be read, and hold it for there: what it said before stands, and a
        listing that brought it shows of no object whose name it could be that it is gone. `raw` may be no JSON at all.
        """

    def finish(self) -> None:
        """The listing was complete: what is known and was not upserted since `begin` is gone."""

    def abort(self) -> None:
        """The listing was not complete and replaces nothing; what it did bring is true all the same."""

    def state(self, state: ReflectorState) -> None:
        """At each change, and again after each listing that failed. Must not raise."""


class Counters(msgspec.Struct):
    """Running totals of one reflector, and when its watch last said anything (seconds since 1970; 0: never)."""

    objects: int = 0
    """How many there are: those of the last complete listing, and what the watch added and deleted since."""
    listings: int = 0
    listings_failed: int = 0
    watches: int = 0
    """Watches begun; all but the first are reconnections."""
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
    """Objects that could not be taken, each time that they came."""
    last_event: float = 0.0
    last_line: float = 0.0
    """Bookmarks count too."""
