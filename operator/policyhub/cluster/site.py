"""What the parts of one monitored cluster share: its MonitoredCluster, its hub, the settings, the clocks."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from policyhub.api.monitoredcluster import MonitoredCluster, Spec
from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.client import HubClient
from policyhub.settings import Settings
from policyhub.sync.engine import Engine
from policyhub.sync.predecessor import Predecessor

RETRY_SECONDS = (1.0, 60.0)
"""Base and maximum of the back-off between attempts to reach a cluster or the hub's account: random between half the
base and a limit that doubles with each failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """For one MonitoredCluster."""

    monitored: MonitoredCluster
    account: str
    region: str
    hub: HubClient
    engine: Engine
    settings: Settings
    metrics: Metrics
    now: Callable[[], SteadyMs]
    wall: Callable[[], WallMs]
    rng: random.Random
    predecessor: Predecessor | None = None
    """The process that handled this MonitoredCluster before; None: there was none."""

    @property
    def name(self) -> str:
        return self.monitored.metadata.name

    @property
    def spec(self) -> Spec:
        return self.monitored.spec

    @property
    def worked_on(self) -> bool:
        """Whether a process has ever handled this MonitoredCluster: Security Hub may hold its findings."""
        status = self.monitored.status
        return status is not None and bool(status.conditions)

    @property
    def sent_shortly_before(self) -> bool:
        """Whether another process may have sent findings of this cluster that GetFindings does not show yet."""
        if self.predecessor is None:
            return False
        status = self.monitored.status
        beat = status.last_heartbeat_time if status is not None else None
        return self.predecessor.sent_shortly_before(
            now=self.wall(),
            worked_on=self.worked_on,
            heartbeat=UNDATED if beat is None else WallMs(int(beat.timestamp() * 1000)),
        )

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        ceiling = min(RETRY_SECONDS[1], RETRY_SECONDS[0] * 2 ** min(failures, 6))
        return self.rng.uniform(RETRY_SECONDS[0] / 2, ceiling)

    def around(self, seconds: float) -> float:
        """`seconds` ± 10 %, so that not all clusters call at the same time."""
        return seconds * self.rng.uniform(0.9, 1.1)
