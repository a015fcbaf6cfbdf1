"""For how long EKS has said, without a word to the contrary, that a cluster is gone.

`ClusterGone` is DescribeCluster's ResourceNotFoundException in the cluster's own account, by GetCallerIdentity. EKS is
asked about once a minute.

| heard                                                  | then                                                    |
|--------------------------------------------------------|---------------------------------------------------------|
| ClusterGone, once                                      | nothing: EKS may be wrong for a moment, and a cluster   |
|                                                        | that is replaced under its name is away for some minutes|
| ClusterGone again and again, for `STANDS_MS`           | it stands                                               |
| anything else: found, AccessDenied, throttled, no      | the hour begins again with the next ClusterGone         |
| answer, another account                                |                                                         |
| the operator starts                                    | the same: nothing of this is written down               |

To wait costs nothing: the findings are as they were when the cluster went. To archive too early costs what analysts
set, since Security Hub makes a finding NEW again when it becomes active again. Creating a cluster takes about a quarter
of an hour, so an hour also lasts over one that is destroyed and created again. Pure: no I/O, no clock.
"""

from policyhub.clock import NEVER, SteadyMs

STANDS_MS = 3_600_000


class Absence:
    """Of one cluster."""

    def __init__(self) -> None:
        self.since = NEVER
        """The first of the answers in a row; NEVER: the last one was another."""
        self._last = NEVER

    def confirm(self, now: SteadyMs) -> None:
        """EKS has said so once more."""
        self.since, self._last = self.since or now, now

    def end(self) -> None:
        """Anything else was heard."""
        self.since = self._last = NEVER

    @property
    def stands(self) -> bool:
        """Two answers at least, so far apart, and none but ClusterGone between them."""
        return bool(self.since) and self._last - self.since >= STANDS_MS
