"""The MonitoredClusters that exist, for all ClusterDiscoveries: no two of them create one for the same ARN.

They are listed at each search, and again before any is created. One that was created after the list was requested
counts as listed. Creating one holds a lock for its ARN only, so a slow answer delays no other. A search decides once,
and then creates one after the other. So the lists are checked again under the lock, right before each is created.

Two operators have two registers, and a request without an answer may have created one. If there are two for one ARN,
only the oldest sends findings (`oldest`).
"""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from policyhub.clusterdiscovery.plan import Existing, existing
from policyhub.control.monitored import MonitoredClusters
from policyhub.control.reporter import RESOURCE
from policyhub.kube.connection import Connection


class Register:
    """Lists and creates MonitoredClusters."""

    def __init__(self, home: Connection) -> None:
        self._home = home
        self._objects = MonitoredClusters(home)
        self._order = itertools.count(1)
        self._read_at = 0
        self._listed: list[Existing] = []
        self._made: dict[str, tuple[int, Existing]] = {}
        """ARN → order and MonitoredCluster, of those created after the last list was requested: it may lack them."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def read(self) -> None:
        """List them again. Raises Refused, Unreachable, MsgspecError, RecursionError."""
        asked_at = next(self._order)
        listed = [existing(body) for body in (await self._objects.list_all()).values()]
        if asked_at > self._read_at:
            self._read_at, self._listed = asked_at, listed
            self._made = {arn: one for arn, one in self._made.items() if one[0] > asked_at}

    def now(self) -> list[Existing]:
        """Those that exist, as far as is known."""
        return [*self._listed, *(one for _, one in self._made.values())]

    async def make(self, arn: str, document: Mapping[str, Any]) -> Existing | None:
        """Create one; if there is one for this ARN meanwhile, return that instead. Raises Refused, Unreachable."""
        lock = self._locks.setdefault(arn, asyncio.Lock())
        async with lock:
            other = next((one for one in self.now() if one.arn == arn), None)
            if other is not None:
                return other
            await self._home.post(RESOURCE, document)
            self._made[arn] = next(self._order), existing(document)
            return None
