"""Reports a reflector's state: to its sink when the state changes, to the log when the reason changes.

No I/O except the log, no clock.
"""

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.sink import Phase, ReflectorState, Sink
from policyhub.kube.wire import Unreadable

log = structlog.get_logger(__name__)


class StateReporter:
    """Of one reflector."""

    def __init__(self, sink: Sink, **context: str) -> None:
        """`context` identifies the reflector in each log line."""
        self.state = ReflectorState()
        self.live = False
        """Whether it is listed whole and watched."""
        self.last_listed: float | None = None
        """As in the state."""
        self.listing_problem: Cause | None = None
        self.watch_problem: Cause | None = None
        self._sink = sink
        self._context = context

    def mark_vanished(self, error: Refused) -> None:
        self.live = False
        self.listing_problem = Cause(Reason.VANISHED, str(error))
        self.publish()

    def publish(self, *, force: bool = False) -> None:
        """Report the state to the sink if it has changed, or if `force` is set."""
        cause = self.listing_problem or self.watch_problem
        phase: Phase
        if self.live:
            phase = "watching"
        elif cause is not None and cause.reason is Reason.VANISHED:
            phase = "vanished"
        else:
            phase = "failed" if cause is not None else "listing"
        state = ReflectorState(phase, cause, self.last_listed)
        if state == self.state and not force:
            return
        if state.reason is not self.state.reason:
            if cause is not None:
                log.warning("reflector_failed", reason=cause.reason.value, message=cause.message, **self._context)
            else:
                log.info("reflector_recovered", **self._context)
        self.state = state
        self._sink.state(state)


def problem_of(error: Refused | Unreachable | Unreadable, *, listing: bool) -> Cause:
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
