"""The MonitoredClusters that there are, for all ClusterDiscoveries at once: no two of them make one for the same ARN.

They are listed at each look, and again before one is made. What was made since the list was read counts as listed, and
whoever makes one holds the lock of its ARN alone: a slow answer delays nobody else.
"""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from policyhub.clusterdiscovery.plan import Existing, existing
from policyhub.kube.connection import Connection
from policyhub.monitored import MonitoredClusters
from policyhub.reporter import RESOURCE


class Register:
    """What is monitored, and the making of more."""

    def __init__(self, home: Connection) -> None:
        self._home = home
        self._objects = MonitoredClusters(home)
        self._order = itertools.count(1)
        self._read_at = 0
        self._listed: list[Existing] = []
        self._made: dict[str, tuple[int, Existing]] = {}
        """By ARN: those that a list which was asked for before may lack."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def read(self) -> None:
        """Raises Refused, Unreachable, MsgspecError, RecursionError."""
        asked_at = next(self._order)
        listed = [existing(body) for body in (await self._objects.list_all()).values()]
        if asked_at > self._read_at:
            self._read_at, self._listed = asked_at, listed
            self._made = {arn: one for arn, one in self._made.items() if one[0] > asked_at}

    def now(self) -> list[Existing]:
        """Those that are there, as far as is known."""
        return [*self._listed, *(one for _, one in self._made.values())]

    async def make(self, arn: str, document: Mapping[str, Any]) -> Existing | None:
        """The one that somebody else has made for this ARN meanwhile, which stays the only one. Raises Refused,
        Unreachable.
        """
        lock = self._locks.setdefault(arn, asyncio.Lock())
        async with lock:
            if arn in self._made:
                return self._made[arn][1]
            await self._home.post(RESOURCE, document)
            self._made[arn] = next(self._order), existing(document)
            return None
