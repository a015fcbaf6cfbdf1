"""Whether another process sent findings of a MonitoredCluster shortly before this process took it over: at a start, or
from an operator with another `watchSelector`. GetFindings lags, so an inventory may then lack some of these findings
or show them as they were: backlog that it lacks and older differences wait for a second read (`second_read`).

| evidence                                 | meaning                                                            |
|------------------------------------------|--------------------------------------------------------------------|
| the status of the MonitoredCluster       | empty: no process ever handled it                                  |
| its heartbeat                            | when a process last wrote it                                       |
| the Lease, as it was when acquired       | when its holder last renewed or released it                        |
| how long this process has handled it     | longer than `SHORTLY_MS`: any other has been inactive as long      |

The times come from the wall clocks of other processes, so a time in the future counts as now. Without evidence another
process may have sent: a second read delays these by a minute, sending again costs an import for each finding.

Pure: no I/O, no clock.
"""

from dataclasses import dataclass

from policyhub.clock import UNDATED, WallMs

SHORTLY_MS = 5 * 60_000
"""GetFindings has been observed to lag by a minute; the rest allows for clock differences."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The process that handled a MonitoredCluster before this one."""

    started: WallMs
    """When this process took over."""
    renewed: WallMs = UNDATED
    """When the Lease was last renewed or released by another process, or by this container before its restart; 0: there
    was no Lease, or it has no time.
    """

    def sent_shortly_before(self, *, now: WallMs, worked_on: bool, heartbeat: WallMs = UNDATED) -> bool:
        """For one MonitoredCluster, when its data plane starts. `worked_on`: its status is not empty; `heartbeat`: when
        the status was last written, 0: unknown.
        """
        if not worked_on or now - self.started > SHORTLY_MS:
            return False
        times = [time for time in (self.renewed, heartbeat) if time]
        return not times or max(times) >= self.started - SHORTLY_MS
