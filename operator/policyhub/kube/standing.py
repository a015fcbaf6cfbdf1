"""How a reflector gets on, as its sink and the log are told: the state where it is news, a line where its reason is.

No I/O but the log, no clock.
"""

from typing import Final

import structlog

from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.sink import Phase, Reason, ReflectorState, Sink
from policyhub.kube.wire import Unreadable

log = structlog.get_logger(__name__)

Problem = tuple[Reason, str]
_NO_PROBLEM: Final[Problem] = ("", "")


class Standing:
    """Of one reflector."""

    def __init__(self, sink: Sink, **place: str) -> None:
        """`place` is what the log says of it."""
        self.state = ReflectorState()
        self.live = False
        """Whether it is listed whole and watched."""
        self.listed: float | None = None
        """As in the state."""
        self.listing: Problem | None = None
        self.watch: Problem | None = None
        self._sink = sink
        self._place = place

    def vanish(self, error: Refused) -> None:
        self.live = False
        self.listing = ("Vanished", str(error))
        self.tell()

    def tell(self, *, again: bool = False) -> None:
        """To the sink where it is news or was found `again`."""
        reason, message = self.listing or self.watch or _NO_PROBLEM
        phase: Phase
        if self.live:
            phase = "watching"
        elif reason == "Vanished":
            phase = "vanished"
        else:
            phase = "failed" if reason else "listing"
        state = ReflectorState(phase, reason, message, self.listed)
        if state == self.state and not again:
            return
        if reason != self.state.reason:
            if reason:
                log.warning("reflector_failed", reason=reason, message=message, **self._place)
            else:
                log.info("reflector_recovered", **self._place)
        self.state = state
        self._sink.state(state)


def problem(error: Refused | Unreachable | Unreadable, *, listing: bool) -> Problem:
    """Of a listing, or of a watch."""
    return _reason(error, listing=listing), str(error)


def _reason(error: Refused | Unreachable | Unreadable, *, listing: bool) -> Reason:
    match error:
        case Unreachable():
            return "Unreachable"
        case Refused(status=401):
            return "Unauthorized"
        case Refused(status=403):
            return "ListingForbidden" if listing else "WatchForbidden"
        case Refused(status=410):
            return "ListingExpired" if listing else "WatchExpired"
        case _:
            return "ListingFailed" if listing else "WatchFailed"
