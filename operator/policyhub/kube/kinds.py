"""Cached discovery: the kinds that a cluster serves, read on demand.

Callers know a group and a kind, as reports name them, but no version. Groups that are not served cost no request: the
list of all groups is read once, then one document for each version of an existing group.

| cached                           | for                   | at most                                       |
|----------------------------------|-----------------------|-----------------------------------------------|
| the list of groups               | `EXPIRY_MS`           | `MAX_GROUPS`                                  |
| the kinds of a group             | `EXPIRY_MS`           | of `MAX_READ` groups, `MAX_KINDS` a version   |

No clock: it is an argument.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import served_groups, served_in
from policyhub.kube.resource import Resource

EXPIRY_MS: Final = 120_000
"""After this time a new kind is found. The discovery of a cluster is read at most this often, whatever is requested."""
MAX_GROUPS: Final = 2_000
"""Clusters with very many operators have some 150."""
MAX_READ: Final = 100
MAX_VERSIONS: Final = 10


class Kind(msgspec.Struct, frozen=True):
    """One kind that is served."""

    resource: Resource
    verbs: frozenset[str]

    @property
    def terminating(self) -> bool:
        """It accepts no new objects: its CRD is being deleted, and its objects before it."""
        return "create" not in self.verbs


class Group(msgspec.Struct, frozen=True):
    """What a group serves; empty if the group does not exist."""

    read: SteadyMs
    """When the reading began."""
    kinds: dict[str, Kind]
    plurals: dict[str, Kind]


class Kinds:
    """Of one connection."""

    def __init__(
        self,
        connection: Connection,
        *,
        turn: Callable[[], Awaitable[None]],
        now: Callable[[], SteadyMs],
        seconds: float,
    ) -> None:
        """`turn` is awaited before each request; `seconds` is the time-out of a request."""
        self._connection = connection
        self._turn = turn
        self._now = now
        self._seconds = seconds
        self.known = True
        """Whether the list of groups could be read at the last attempt."""
        self._versions: dict[str, tuple[str, ...]] = {}
        self._versions_read: SteadyMs | None = None
        self._groups: dict[str, Group] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Of existing groups."""
        self._lock = asyncio.Lock()

    async def group(self, group: str, *, since: SteadyMs | None = None) -> Group:
        """What the group serves, read after `since` if given. Raises Refused, Unreachable, TimeoutError."""
        versions = ("v1",) if not group else await self._versions_of(group, since)
        if not versions:
            return Group(self._versions_read or NEVER, {}, {})
        async with self._locks[group]:
            known = self._groups.get(group)
            if known is None or not self._fresh(known.read, since):
                known = await self._read(group, versions)
                self._groups.pop(group, None)
                self._groups[group] = known
                while len(self._groups) > MAX_READ:
                    del self._groups[next(iter(self._groups))]
        return known

    def forget(self, group: str) -> None:
        """Drop the cached group, which was wrong."""
        self._groups.pop(group, None)
        self._versions_read = None

    def _fresh(self, read: SteadyMs, since: SteadyMs | None) -> bool:
        # A reading of the same millisecond may have begun earlier.
        return read > since if since is not None else self._now() < read + EXPIRY_MS

    async def _versions_of(self, group: str, since: SteadyMs | None) -> tuple[str, ...]:
        async with self._lock:
            if self._versions_read is None or not self._fresh(self._versions_read, since):
                self.known = False
                await self._turn()
                read = self._now()
                async with asyncio.timeout(self._seconds):
                    found = await served_groups(self._connection)
                self.known = True
                self._versions = {name: found[name][:MAX_VERSIONS] for name in sorted(found)[:MAX_GROUPS]}
                self._versions_read = read
                for gone in self._locks.keys() - self._versions.keys() - {""}:
                    if not self._locks[gone].locked():
                        del self._locks[gone]
        return self._versions.get(group, ())

    async def _read(self, group: str, versions: tuple[str, ...]) -> Group:
        await self._turn()
        found = Group(self._now(), {}, {})
        for number, version in enumerate(versions):
            if number:
                await self._turn()
            async with asyncio.timeout(self._seconds):
                served = await served_in(self._connection, group, version)
            for plural, (resource, verbs) in served.items():
                kind = Kind(resource, verbs)
                found.plurals.setdefault(plural, kind)
                if {"get", "list"} <= verbs:  # others, such as `bindings`, are not objects
                    found.kinds.setdefault(resource.kind, kind)
        return found
