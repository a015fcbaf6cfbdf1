"""Lists every object of a cluster once, page by page, in the API versions that the operator reads.

A failure of one API is reported, and the other APIs are still listed. Nothing is watched.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import msgspec

from policyhub.kube import wire
from policyhub.kube.backoff import Backoff, Clock
from policyhub.kube.changed_names import ChangedNames, NameBudget
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import discover, discover_policies
from policyhub.kube.errors import Refused, TooLarge, Unreachable
from policyhub.kube.isolating_sink import IsolatingSink
from policyhub.kube.listing import Listing
from policyhub.kube.resource import Resource
from policyhub.render.raw_object import Location, RawObject, ReadError
from policyhub.sync.owners import RESOURCES

_TRIES = 3
"""Attempts to list an API: a listing may take so long that its continue token expires (410)."""
_PAUSE_SECONDS = 1.0

Take = Callable[[Resource, RawObject | ReadError], None]
_CLOCK = Clock()


async def listing(
    connection: Connection, groups: Iterable[str], take: Callable[[RawObject | ReadError], None], clock: Clock = _CLOCK
) -> None:
    """Each source object once; if a listing has to start again, the objects of its first pages again."""
    found = await discover(connection, frozenset(groups))
    for group, why in found.unknown.items():
        take(ReadError(Location(group), f"its APIs cannot be discovered: {why}"))
    for resource in found.served:
        await _read(connection, resource, lambda _, item: take(item), clock)


async def owners(connection: Connection, take: Take, clock: Clock = _CLOCK) -> None:
    """The metadata of every Pod that has not ended, and of every ReplicaSet and Job."""
    for resource, select in RESOURCES.items():
        await _read(connection, resource, take, clock, select=select or {}, metadata=True)


async def policies(connection: Connection, groups: Iterable[str], take: Take, clock: Clock = _CLOCK) -> None:
    """The metadata of the policies whose results these groups contain."""
    found = await discover_policies(connection, frozenset(groups))
    for resource in found.served:
        await _read(connection, resource, take, clock, metadata=True)


class _ListingSink:
    """A sink for one listing: it removes nothing afterwards, and the caller gets every error."""

    def __init__(self, upsert: Callable[[msgspec.Raw], None]) -> None:
        self.sink = self
        self.upsert = upsert

    def deliver(self, raw: msgspec.Raw, upsert: Callable[[msgspec.Raw], None]) -> None:
        upsert(raw)

    def begin(self) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


async def _read(
    connection: Connection,
    resource: Resource,
    take: Take,
    clock: Clock,
    *,
    select: Mapping[str, str] = {},
    metadata: bool = False,
) -> None:
    def on_object(raw: msgspec.Raw) -> None:
        name = wire.namespaced_name(raw)
        location = Location(f"{resource.group_resource} {name}" if name else resource.group_resource)
        take(resource, RawObject(location, raw, f"{resource.group}/{resource.version}", resource.kind))

    lister = Listing(
        connection,
        resource,
        cast("IsolatingSink", _ListingSink(on_object)),
        changed_names=ChangedNames(NameBudget()),
        on_version=lambda _: None,
        on_version_change=lambda: None,
        select=select,
        metadata=metadata,
        clock=clock,
        jitter=random.random,
    )
    try:
        await _with_retries(lister, clock)
    except (Refused, Unreachable, wire.Unreadable) as error:
        take(resource, ReadError(Location(resource.group_resource), f"cannot be listed: {error}"))


async def _with_retries(lister: Listing, clock: Clock) -> None:
    backoff = Backoff(random.random, base=_PAUSE_SECONDS)
    for attempts_left in reversed(range(_TRIES)):
        try:
            await lister.read()
        except (Refused, Unreachable) as error:
            expired = isinstance(error, Refused) and error.status == 410
            transient = expired or isinstance(error, Unreachable) or error.status == 429 or error.status >= 500
            if not (attempts_left and transient) or isinstance(error, TooLarge):
                raise
            lister.expirations += expired
            if not expired:
                await clock.sleep(backoff.delay(getattr(error, "retry_after", None)))
        else:
            return
