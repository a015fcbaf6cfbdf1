"""How close a first sync and a restart come to the limit of the quota, at the usual sizes of clusters.

In each run the process starts, makes its first call to Security Hub, and gets in sync. The quota only matters from the
first call on, and a small cluster is in sync before the burst is used up. So the table has three times: until Python is
up, until the first call, and the calls themselves.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from dev import testbed
from dev.cluster import Plane
from policyhub.securityhub.client import PAGE
from policyhub.securityhub.rate_limit import IMPORTS, READS, SHARE, Quota
from tests.bench.environment import Environment, Rows, Size, in_sync, open_environment

LIMIT = "bench-limit"
POLL = 0.1
"""Seconds between two polls of the in-sync state: a tenth of the operator's own reporting delay."""


@dataclass(frozen=True)
class Run:
    """One run of a process; seconds since its start."""

    up: float
    """Python has started and imported all modules."""
    first: float
    """The first call was answered."""
    end: float
    calls: int

    def describe(self, quota: Quota, least: int) -> str:
        """The times, with the least time that the share of the quota allows for the least number of calls."""
        allowed = _allowed(quota, least)
        text = (
            f"{self.end:.1f} s: {self.up:.1f} s to start, {self.first - self.up:.1f} s to the first call,"
            f" {self.end - self.first:.1f} s for {self.calls} calls of {least}"
        )
        if not allowed:
            return f"{text}, which the burst allows at once"
        return (
            f"{text} ÷ {allowed:.1f} s = **{(self.end - self.first) / allowed:.2f}**; all **{self.end / allowed:.2f}**"
        )


def limit(plane: Plane, size: Size) -> Rows:
    """A first sync and a restart of each size."""
    with open_environment(plane, size, name=LIMIT) as env:
        for reports in size.limits:
            env.fill(reports)
            env.end()
            env.hub.reset()
            pages = -(-env.expected // PAGE)
            env.row(f"{env.expected:,} violations: first sync to the last finding", _sync(env, least=pages))
            env.row(f"{env.expected:,} violations: restart to in sync", _restart(env, least=pages))
    return env.rows


def _sync(env: Environment, *, least: int) -> str:
    began, operator, _ = _started(env)
    calls = _answered(env, "BatchImportFindings", after=0)
    return Run(_up(operator) - began, calls[0] - began, calls[-1] - began, len(calls)).describe(IMPORTS, least)


def _restart(env: Environment, *, least: int) -> str:
    env.end()
    mark = len(env.hub.calls())
    began, operator, ended = _started(env)
    calls = _answered(env, "GetFindings", after=mark)
    return Run(_up(operator) - began, calls[0] - began, ended - began, len(calls)).describe(READS, least)


def _started(env: Environment) -> tuple[float, testbed.Operator, float]:
    """Start an operator and wait for in sync: start time, the operator, and when it reported in sync (Unix s)."""
    began = time.time()
    operator = env.start(quotas=True)
    env.until(lambda: in_sync(operator), "in sync", every=POLL)
    ended = time.time()
    env.synced(operator)
    return began, operator, ended


def _answered(env: Environment, operation: str, *, after: int) -> list[float]:
    return [call["time"] for call in env.hub.calls(after) if call["operation"] == operation and call["status"] == 200]


def _up(operator: testbed.Operator) -> float:
    """When the operator had started (Unix s)."""
    line = next(line for line in operator.log() if line.get("event") == "started")
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _allowed(quota: Quota, calls: int) -> float:
    """Seconds that the share of the quota takes for this many calls; 0 if its burst allows all of them."""
    return max(0.0, (calls - SHARE * quota.burst) / (SHARE * quota.rate))
