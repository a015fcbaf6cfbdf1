"""How near a first sync and a restart come to what the quota allows, at the sizes that most clusters have.

Each is one course: the process starts, makes its first call to Security Hub, and is through. From the first call on the
quota decides; until then nothing of it is used, and a small cluster is through before it has used the burst. So the
table tells three times of each: until Python is up, until the first call, and the calls themselves.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from dev import stand
from dev.cluster import Plane
from policyhub.securityhub.client import PAGE
from policyhub.securityhub.rate_limit import IMPORTS, READS, SHARE, Quota
from tests.bench.scene import Rows, Scene, Size, in_sync, opened

LIMIT = "bench-limit"
POLL = 0.1
"""Seconds between two looks whether it is in sync: a tenth of what the operator takes to tell."""


@dataclass(frozen=True)
class Course:
    """Of one process; seconds since it was started."""

    up: float
    """Python has started and imported everything."""
    first: float
    """The first call was answered."""
    end: float
    calls: int

    def told(self, quota: Quota, least: int) -> str:
        """With what the share of the quota allows for as many calls as have to be."""
        allowed = _allowed(quota, least)
        told = (
            f"{self.end:.1f} s: {self.up:.1f} s to start, {self.first - self.up:.1f} s to the first call,"
            f" {self.end - self.first:.1f} s for {self.calls} calls of {least}"
        )
        if not allowed:
            return f"{told}, which the burst allows at once"
        return (
            f"{told} ÷ {allowed:.1f} s = **{(self.end - self.first) / allowed:.2f}**; all **{self.end / allowed:.2f}**"
        )


def limit(plane: Plane, size: Size) -> Rows:
    """A first sync and a restart of each size."""
    with opened(plane, size, name=LIMIT) as scene:
        for reports in size.limits:
            scene.fill(reports)
            scene.end()
            scene.hub.reset()
            pages = -(-scene.expected // PAGE)
            scene.row(f"{scene.expected:,} violations: first sync to the last finding", _sync(scene, least=pages))
            scene.row(f"{scene.expected:,} violations: restart to in sync", _restart(scene, least=pages))
    return scene.rows


def _sync(scene: Scene, *, least: int) -> str:
    began, operator, _ = _started(scene)
    calls = _answered(scene, "BatchImportFindings", after=0)
    return Course(_up(operator) - began, calls[0] - began, calls[-1] - began, len(calls)).told(IMPORTS, least)


def _restart(scene: Scene, *, least: int) -> str:
    scene.end()
    mark = len(scene.hub.calls())
    began, operator, ended = _started(scene)
    calls = _answered(scene, "GetFindings", after=mark)
    return Course(_up(operator) - began, calls[0] - began, ended - began, len(calls)).told(READS, least)


def _started(scene: Scene) -> tuple[float, stand.Operator, float]:
    """An operator that is in sync: when it was started, and when it told so (Unix s)."""
    began = time.time()
    operator = scene.start(quotas=True)
    scene.until(lambda: in_sync(operator), "in sync", every=POLL)
    ended = time.time()
    scene.synced(operator)
    return began, operator, ended


def _answered(scene: Scene, operation: str, *, after: int) -> list[float]:
    return [call["time"] for call in scene.hub.calls(after) if call["operation"] == operation and call["status"] == 200]


def _up(operator: stand.Operator) -> float:
    """When it began to work (Unix s)."""
    line = next(line for line in operator.log() if line.get("event") == "started")
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _allowed(quota: Quota, calls: int) -> float:
    """Seconds that the share of the quota takes for so many calls; 0 where its burst allows all of them."""
    return max(0.0, (calls - SHARE * quota.burst) / (SHARE * quota.rate))
