"""Watches the policies of one cluster: discovers their kinds, and runs a reflector over the metadata of each.

Reports and constraints are read when the policies are *ready*: every kind that is served was listed or was given up
(404; 403 beyond a grace period, which is longer where the policies were readable before this start). So after a start
no finding is rendered without its texts and sent again later. Other failures are waited for, but not forever: a finding
without texts is better than none.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection
from typing import Final

import structlog

from policyhub.cancellation import TaskGroup
from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import Discovery, discover_policies
from policyhub.kube.reflector import Reflector
from policyhub.sync.policy_metadata import PolicyMetadata

log = structlog.get_logger(__name__)

FORBIDDEN_CAP: Final = 600.0
"""Maximum back-off of a reflector, in seconds, where listing is forbidden: the chart can omit the permission."""
MAX_WAIT_MS: Final = 900_000
"""How long findings wait for policies that cannot be read, before they are rendered without their texts."""
LONG_REFUSAL_GRACE_MS: Final = 300_000
"""How long listing must be refused before that is accepted, where the policies were readable before."""
_CHECK_SECONDS: Final = 5.0
"""Seconds between two checks for a refusal whose grace period has passed, but for its last try."""
_SYNCED_INTERVAL_FACTOR: Final = 6
"""Once ready, discovery runs at the interval for report kinds times this."""


class PolicyWatcher:
    """The policy reflectors of one cluster, over one connection after another."""

    def __init__(
        self,
        policies: PolicyMetadata,
        *,
        groups: Collection[str],
        relist_interval: float,
        discovery_interval: float,
        now: Callable[[], SteadyMs],
        rng: random.Random,
    ) -> None:
        """`groups`: the source APIs whose policies to watch. Intervals in seconds; `now` as of PolicyMetadata."""
        self.reflectors: dict[str, Reflector] = {}
        """Group resource → reflector, of the kinds that are watched."""
        self.unknown: dict[str, str] = {"policies": "discovery has not run yet"}
        """API group → why it is not known what it serves."""
        self.is_ready = False
        """Whether all policies were read once, or were given up."""
        self._policies = policies
        self._groups = groups
        self._relist_interval = relist_interval
        self._interval = discovery_interval
        self._now = now
        self._rng = rng
        self._wait_until = now() + MAX_WAIT_MS
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ready = asyncio.Event()
        policies.on_synced = self._update_ready

    async def run(self, connection: Connection) -> None:
        """Until cancelled."""
        try:
            async with TaskGroup() as tasks:
                while True:
                    self._apply(await discover_policies(connection, self._groups), connection, tasks)
                    self._update_ready()
                    seconds = self._interval * (_SYNCED_INTERVAL_FACTOR if self.is_ready else 1)
                    await asyncio.sleep(seconds * self._rng.uniform(0.9, 1.1))
        finally:
            self._tasks.clear()
            self.reflectors.clear()

    async def wait_until_ready(self, *, seconds: float) -> None:
        """Wait until the policies are ready, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._ready.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._ready.wait(), _CHECK_SECONDS)
                    self._retry_refused()
        self._retry_refused()
        self._update_ready()

    def _retry_refused(self) -> None:
        """List again the kinds whose refusal is accepted if it is repeated."""
        due = self._now() - self._policies.refusal_grace_ms
        for group_resource, reflector in self.reflectors.items():
            sink = self._policies.sinks[group_resource]
            if not sink.synced and NEVER < sink.refused_at <= due:
                reflector.request_relist()

    def is_synced(self, group_resource: str) -> bool:
        """Whether a kind was listed, or its refusal was accepted."""
        return self._policies.sinks[group_resource].synced

    def _update_ready(self) -> None:
        if self.is_ready:
            return
        observed = not self.unknown and all(sink.synced for sink in self._policies.sinks.values())
        if observed or self._now() >= self._wait_until:
            self.is_ready = True
            self._policies.discard_changes()
            self._ready.set()

    def _apply(self, found: Discovery, connection: Connection, tasks: TaskGroup) -> None:
        for group, reason in found.unknown.items():
            if self.unknown.get(group) != reason:
                log.warning("policies_unknown", group=group, reason=reason)
        self.unknown = found.unknown
        for group_resource, reflector in list(self.reflectors.items()):
            if found.absent(reflector.resource):
                self._tasks.pop(group_resource).cancel()
                del self.reflectors[group_resource]
        for resource in found.served:
            if resource.group_resource in self.reflectors:
                continue
            reflector = Reflector(
                connection,
                resource,
                self._policies.sink(resource),
                relist_interval=self._relist_interval,
                forbidden_cap=FORBIDDEN_CAP,
                metadata=True,
            )
            self.reflectors[resource.group_resource] = reflector
            self._tasks[resource.group_resource] = tasks.create_task(reflector.run())
