"""Errors of requests to an API server, by what the caller does about them.

    Refused       the server answered with an error: `status` and `reason` decide the remedy
    Unreachable   no usable answer: network, TLS, time-out, or something that is not the Kubernetes API
    ├── TooLarge  the answer, or the part that must be held at a time, exceeds a limit: request less
    └── NotTried  no request was sent: its endpoint or credential could not be determined

Their texts become part of conditions and logs: one line, cut, without credentials (`redaction`).

Pure: no I/O, no clock.
"""

from collections.abc import Iterable

from policyhub.api.reason import Cause, Reason
from policyhub.model.text import line
from policyhub.redaction import redacted

_MAX_MESSAGE = 500
_MAX_FOUND = 1_500
"""For a message with quotations from AWS or a spec."""


def quoted(text: str, secrets: Iterable[str] = ()) -> str:
    """A message of a server or a library, made fit for a condition."""
    return line(redacted(text, secrets), _MAX_MESSAGE)


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        """`secrets` are the credentials that were sent to the server."""
        known = frozenset(secrets)
        self.status = status
        self.reason = quoted(reason, known)
        self.message = quoted(message, known) or "the answer holds no message"
        super().__init__(f"{status} {self.reason}: {self.message}")
        self.retry_after = retry_after
        """Retry-After of the server, in seconds."""


class Unreachable(Exception):
    """No usable answer: network, TLS, time-out, or not a Kubernetes API server."""

    def __init__(self, message: str, *, secrets: Iterable[str] = ()) -> None:
        super().__init__(quoted(message, secrets))


class TooLarge(Unreachable):
    """The answer exceeds a limit of memory."""


class NotTried(Unreachable):
    """Nothing was asked of the API server."""

    def __init__(self, reason: Reason, message: str, *, remedy: str = "") -> None:
        """`remedy` is what to do, ours: what was found is cut, it never is."""
        self.reason = reason
        self.found = line(redacted(message), _MAX_FOUND)
        self.remedy = remedy
        Exception.__init__(self, f"{self.found}. {remedy}" if remedy else self.found)

    @property
    def cause(self) -> Cause:
        """For a condition."""
        return Cause(self.reason, self.found, self.remedy)
