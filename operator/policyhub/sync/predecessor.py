"""Whether somebody else sent findings of a MonitoredCluster shortly before this process took it over, at its own start
or from an operator with another `watchSelector`. Then what Security Hub shows lacks some of them, since GetFindings
lags, and backlog that it lacks waits for a second look.

| what tells                               | what it says                                                       |
|------------------------------------------|--------------------------------------------------------------------|
| the status of the MonitoredCluster       | empty: nobody ever worked on it                                    |
| its heartbeat                            | when somebody last wrote it                                        |
| the Lease, as it was when it was taken   | when its holder last renewed it, or gave it up                     |
| how long this process has worked on it   | longer than `SHORTLY_MS`: whoever it was has been silent as long   |

Times are those of other processes, by their wall clocks, so one that is in the future counts as now. Where nothing
tells, somebody may have sent: a second look costs a minute of backlog, sending again costs each finding.

Pure: no I/O, no clock.
"""

from dataclasses import dataclass

from policyhub.clock import UNDATED, WallMs

SHORTLY_MS = 5 * 60_000
"""What GetFindings has been seen to lag behind is a minute; the rest is for clocks that differ."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Who was at work on a MonitoredCluster before this process."""

    started: WallMs
    """When this process took over."""
    renewed: WallMs = UNDATED
    """When the Lease was last renewed or given up by another, or by this process's own container before it was started
    again; 0: there was no Lease, or it does not say.
    """

    def sent_shortly_before(self, *, now: WallMs, worked_on: bool, heartbeat: WallMs = UNDATED) -> bool:
        """For one MonitoredCluster, when its data plane starts. `worked_on`: its status is not empty; `heartbeat`: when
        that was last written, 0 unknown.
        """
        if not worked_on or now - self.started > SHORTLY_MS:
            return False
        traces = [trace for trace in (self.renewed, heartbeat) if trace]
        return not traces or max(traces) >= self.started - SHORTLY_MS
