"""Keeps the policies of one cluster known: which kinds there are, and a reflector over the metadata of each.

Reports and constraints are read when all is *settled*: every kind that is served was listed, or refused for good (404;
403 that stands, for longer where the policies were known before this start). So a start renders nothing plain that it
would have to send again. What fails otherwise is waited for, though not for ever: findings are of more use than their
wording.
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
"""Seconds between two tries of a reflector where the listing is forbidden: the chart can leave the right out."""
PATIENCE_MS: Final = 900_000
"""How long findings wait for what cannot be read, before they are rendered without it."""
SURPRISED_MS: Final = 300_000
"""How long a refusal has to stand where the policies were known before."""
_TRY_SECONDS: Final = 5.0
"""Between two tries of a refusal that has stood for long enough, but for its last try."""
_SELDOM: Final = 6
"""Kinds of policies are looked for so many times as seldom as kinds of reports."""


class PolicyWatcher:
    """Of one monitored cluster, over connection after connection."""

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
        """`groups` of source APIs whose policies are wanted; intervals in seconds, `now` as of PolicyMetadata."""
        self.reflectors: dict[str, Reflector] = {}
        """By origin, while they are watched."""
        self.unknown: dict[str, str] = {"policies": "not looked for yet"}
        """API groups of which it is not known what they serve, and why."""
        self.is_read = False
        """Whether all that there is to know was known once, or was given up."""
        self._policies = policies
        self._groups = groups
        self._relist_interval = relist_interval
        self._interval = discovery_interval
        self._now = now
        self._rng = rng
        self._patient_until = now() + PATIENCE_MS
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._event = asyncio.Event()
        policies.on_settled = self._decide_whether_read

    async def run(self, connection: Connection) -> None:
        """Until cancelled."""
        try:
            async with TaskGroup() as tasks:
                while True:
                    self._apply(await discover_policies(connection, self._groups), connection, tasks)
                    self._decide_whether_read()
                    seconds = self._interval * (_SELDOM if self.is_read else 1)
                    await asyncio.sleep(seconds * self._rng.uniform(0.9, 1.1))
        finally:
            self._tasks.clear()
            self.reflectors.clear()

    async def wait_until_read(self, *, seconds: float) -> None:
        """Wait for it, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._event.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._event.wait(), _TRY_SECONDS)
                    self._try_refused()
        self._try_refused()
        self._decide_whether_read()

    def _try_refused(self) -> None:
        """Those whose refusal may be believed if it comes once more."""
        due = self._now() - self._policies.refused_ms
        for origin, reflector in self.reflectors.items():
            sink = self._policies.sinks[origin]
            if not sink.settled and NEVER < sink.refused_at <= due:
                reflector.request_relist()

    def believes(self, origin: str) -> bool:
        """Whether a kind was listed, or its refusal has stood."""
        return self._policies.sinks[origin].settled

    def _decide_whether_read(self) -> None:
        if self.is_read:
            return
        observed = not self.unknown and all(sink.settled for sink in self._policies.sinks.values())
        if observed or self._now() >= self._patient_until:
            self.is_read = True
            self._policies.begin()
            self._event.set()

    def _apply(self, found: Discovery, connection: Connection, tasks: TaskGroup) -> None:
        for group, reason in found.unknown.items():
            if self.unknown.get(group) != reason:
                log.warning("policies_unknown", group=group, reason=reason)
        self.unknown = found.unknown
        for origin, reflector in list(self.reflectors.items()):
            if found.absent(reflector.resource):
                self._tasks.pop(origin).cancel()
                del self.reflectors[origin]
        for resource in found.served:
            if resource.origin in self.reflectors:
                continue
            reflector = Reflector(
                connection,
                resource,
                self._policies.sink(resource),
                relist_interval=self._relist_interval,
                forbidden_cap=FORBIDDEN_CAP,
                metadata=True,
            )
            self.reflectors[resource.origin] = reflector
            self._tasks[resource.origin] = tasks.create_task(reflector.run())
