"""When the next call to a hub may be sent, and why not now.

After a failed call, or an answer in which nothing was accepted, there is a pause with full jitter. It grows with each
consecutive failure. `problem` is shown in status; throttling is not.
"""

import random
from collections.abc import Callable

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.securityhub.client import ImportResult
from policyhub.securityhub.errors import AccessLost, HubError, Throttled, access_kind
from policyhub.sync.acknowledged import Acknowledged

log = structlog.get_logger(__name__)

BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0
ANSWERED_CAP_SECONDS = 5.0
"""The same if the hub answers and fails every finding of a call."""


class Pause:
    """Between the imports of one hub."""

    def __init__(
        self, *, hub_name: str, clock: Callable[[], float], rng: random.Random, acknowledged: Acknowledged
    ) -> None:
        self._hub_name = hub_name
        self._clock = clock
        self._rng = rng
        self._acknowledged = acknowledged
        self.problem: Cause | None = None
        """Why imports fail."""
        self._failures = 0
        self._resume_at = 0.0

    def remaining_seconds(self) -> float:
        """Until a call may be sent; 0 or less: now."""
        return self._resume_at - self._clock()

    def note_failures(self, result: ImportResult) -> None:
        """Evaluate the failures within one answered call: at most one pause, however many there are."""
        if result.accepted:
            self._failures = 0
        denied = next((failure for failure in result.failures.values() if failure.kind == "configuration"), None)
        if denied is not None:
            kind = access_kind(denied.code) or Reason.ACCESS_DENIED
            self.back_off(AccessLost(kind, denied.message, code=denied.code, advice=denied.advice))
            return
        self.problem = None
        if not result.accepted and result.failures:
            self._pause(cap=ANSWERED_CAP_SECONDS)

    def back_off(self, error: HubError) -> None:
        """A call failed as a whole."""
        problem = error.cause
        if problem != self.problem:
            log.warning("hub_error", hub=self._hub_name, reason=problem.reason.value, message=error.message)
        if not isinstance(error, Throttled):
            self.problem = problem
        if problem.reason is Reason.NOT_ENABLED:
            self._acknowledged.clear()  # the hub has lost its findings
        self._pause()

    def _pause(self, *, cap: float = BACKOFF_CAP_SECONDS) -> None:
        """Full jitter spreads our retries."""
        self._failures += 1
        ceiling = min(cap, BACKOFF_BASE_SECONDS * 2 ** min(self._failures - 1, 6))
        self._resume_at = max(self._resume_at, self._clock() + self._rng.uniform(0.1, ceiling))
