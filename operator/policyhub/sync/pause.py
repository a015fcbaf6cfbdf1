"""When the next call to a hub may leave, and why not now: what failures say of the hub as a whole.

A call that failed, or an answer in which nothing was accepted, is followed by a pause: with full jitter, longer each
time in a row. Trouble is what status tells; being throttled is none.
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
"""The same where the hub answers and fails every finding of a call."""


class Pause:
    """Of the imports of one hub."""

    def __init__(
        self, *, hub_name: str, clock: Callable[[], float], rng: random.Random, acknowledged: Acknowledged
    ) -> None:
        self._hub_name = hub_name
        self._clock = clock
        self._rng = rng
        self._acknowledged = acknowledged
        self.trouble: Cause | None = None
        """Why imports do not get through."""
        self._failures = 0
        self._resume_at = 0.0

    def left(self) -> float:
        """Seconds until a call may leave; none where it is not above 0."""
        return self._resume_at - self._clock()

    def judge(self, result: ImportResult) -> None:
        """What the failures within one answered call say of the hub: one pause at most, however many they are."""
        if result.accepted:
            self._failures = 0
        lost = next((failure for failure in result.failures.values() if failure.kind == "configuration"), None)
        if lost is not None:
            kind = access_kind(lost.code) or Reason.ACCESS_DENIED
            self.back_off(AccessLost(kind, lost.message, code=lost.code, advice=lost.advice))
            return
        self.trouble = None
        if not result.accepted and result.failures:
            self._pause(cap=ANSWERED_CAP_SECONDS)

    def back_off(self, error: HubError) -> None:
        """A call failed as a whole."""
        trouble = error.cause
        if trouble != self.trouble:
            log.warning("hub_error", hub=self._hub_name, reason=trouble.reason.value, message=error.message)
        if not isinstance(error, Throttled):
            self.trouble = trouble
        if trouble.reason is Reason.NOT_ENABLED:
            self._acknowledged.clear()  # what the hub had is gone
        self._pause()

    def _pause(self, *, cap: float = BACKOFF_CAP_SECONDS) -> None:
        """Full jitter: the hub is never the victim of our retries."""
        self._failures += 1
        ceiling = min(cap, BACKOFF_BASE_SECONDS * 2 ** min(self._failures - 1, 6))
        self._resume_at = max(self._resume_at, self._clock() + self._rng.uniform(0.1, ceiling))
