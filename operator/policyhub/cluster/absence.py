"""For how long EKS has reported without interruption that a cluster no longer exists.

The answer `ClusterGone` is DescribeCluster's ResourceNotFoundException, if GetCallerIdentity shows that the caller is
in the cluster's own account. EKS is asked about once a minute.

| answer                                                 | then                                                    |
|--------------------------------------------------------|---------------------------------------------------------|
| ClusterGone, once                                      | nothing: EKS may be wrong for a moment, and a cluster   |
|                                                        | that is replaced under its name is away for some minutes|
| ClusterGone in every answer for `ACCEPTED_AFTER_MS`    | the absence is accepted                                 |
| any other: found, AccessDenied, throttled, no answer,  | the hour starts again with the next ClusterGone         |
| another account                                        |                                                         |
| the operator starts                                    | the same, because the absence is not stored             |

Waiting costs nothing: the findings stay as they were when the cluster was deleted. Archiving too early loses what
analysts set, because Security Hub resets a finding to NEW when it becomes active again. Creating a cluster takes about
15 minutes, so an hour is long enough for a cluster that is deleted and created again. Pure: no I/O, no clock.
"""

from policyhub.clock import NEVER, SteadyMs

ACCEPTED_AFTER_MS = 3_600_000


class Absence:
    """The absence of one cluster."""

    def __init__(self) -> None:
        self.since = NEVER
        """When the current series of ClusterGone began; NEVER: the last answer was a different one."""
        self._last = NEVER

    def confirm(self, now: SteadyMs) -> None:
        """EKS answered ClusterGone."""
        self.since, self._last = self.since or now, now

    def end(self) -> None:
        """There was any other answer, or none."""
        self.since = self._last = NEVER

    @property
    def accepted(self) -> bool:
        """At least two answers, `ACCEPTED_AFTER_MS` apart, and only ClusterGone between."""
        return bool(self.since) and self._last - self.since >= ACCEPTED_AFTER_MS
