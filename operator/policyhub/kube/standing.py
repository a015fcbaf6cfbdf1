"""How a reflector gets on, as its sink and the log are told: the state where it is news, a line where its reason is.

No I/O but the log, no clock.
"""

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.sink import Phase, ReflectorState, Sink
from policyhub.kube.wire import Unreadable

log = structlog.get_logger(__name__)


class Standing:
    """Of one reflector."""

    def __init__(self, sink: Sink, **place: str) -> None:
        """`place` is what the log says of it."""
        self.state = ReflectorState()
        self.live = False
        """Whether it is listed whole and watched."""
        self.listed: float | None = None
        """As in the state."""
        self.listing: Cause | None = None
        self.watch: Cause | None = None
        self._sink = sink
        self._place = place

    def vanish(self, error: Refused) -> None:
        self.live = False
        self.listing = Cause(Reason.VANISHED, str(error))
        self.tell()

    def tell(self, *, again: bool = False) -> None:
        """To the sink where it is news or was found `again`."""
        cause = self.listing or self.watch
        phase: Phase
        if self.live:
            phase = "watching"
        elif cause is not None and cause.reason is Reason.VANISHED:
            phase = "vanished"
        else:
            phase = "failed" if cause is not None else "listing"
        state = ReflectorState(phase, cause, self.listed)
        if state == self.state and not again:
            return
        if state.reason is not self.state.reason:
            if cause is not None:
                log.warning("reflector_failed", reason=cause.reason.value, message=cause.message, **self._place)
            else:
                log.info("reflector_recovered", **self._place)
        self.state = state
        self._sink.state(state)


def problem(error: Refused | Unreachable | Unreadable, *, listing: bool) -> Cause:
    """Of a listing, or of a watch."""
    return Cause(_reason(error, listing=listing), str(error))


def _reason(error: Refused | Unreachable | Unreadable, *, listing: bool) -> Reason:
    match error:
        case Unreachable():
            return Reason.UNREACHABLE
        case Refused(status=401):
            return Reason.UNAUTHORIZED
        case Refused(status=403):
            return Reason.LISTING_FORBIDDEN if listing else Reason.WATCH_FORBIDDEN
        case Refused(status=410):
            return Reason.LISTING_EXPIRED if listing else Reason.WATCH_EXPIRED
        case _:
            return Reason.LISTING_FAILED if listing else Reason.WATCH_FAILED
