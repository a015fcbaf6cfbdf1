"""What the parts of one monitored cluster share: which it is, its hub, the settings, and what tells the time."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from policyhub.api.monitoredcluster import MonitoredCluster, Spec
from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.metrics import Metrics
from policyhub.securityhub.client import HubClient
from policyhub.settings import Settings
from policyhub.sync.engine import Engine
from policyhub.sync.predecessor import Predecessor

RETRY_SECONDS = (1.0, 60.0)
"""Back-off between attempts to reach a cluster or the hub's account: full jitter up to a ceiling that doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Of one MonitoredCluster."""

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
    """Who was at work before this process; None: nobody."""

    @property
    def name(self) -> str:
        return self.monitored.metadata.name

    @property
    def spec(self) -> Spec:
        return self.monitored.spec

    @property
    def worked_on(self) -> bool:
        """Whether this MonitoredCluster was ever worked on before: then Security Hub may have its findings."""
        status = self.monitored.status
        return status is not None and bool(status.conditions)

    @property
    def sent_shortly_before(self) -> bool:
        """Whether another process may have sent findings of this cluster so lately that GetFindings lacks them."""
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
        """A little more or less, so that not all clusters ask at once."""
        return seconds * self.rng.uniform(0.9, 1.1)
