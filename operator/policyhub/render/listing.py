"""Every source object of a cluster, page by page, each API in the version in which the operator reads it.

A failure of one API is told and ends that API alone. Nothing is watched: this is one look.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import msgspec

from policyhub.kube import wire
from policyhub.kube.backoff import Clock
from policyhub.kube.connection import Connection
from policyhub.kube.course import Course
from policyhub.kube.decoding import decoded
from policyhub.kube.discovery import discover, discover_policies
from policyhub.kube.errors import Refused, TooLarge, Unreachable
from policyhub.kube.resource import Resource
from policyhub.render.raw_object import Location, RawObject, ReadError
from policyhub.sync.owners import RESOURCES

PAGE = 500
_TRIES = 3
"""Of a page; and of a listing that took so long that the server has forgotten where it stood (410)."""
_PAUSE_SECONDS = 0.5

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

Pause = Callable[[float], Awaitable[None]]


class _Named(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct):
    metadata: _Named = msgspec.field(default_factory=_Named)


_object = msgspec.json.Decoder(_Object)


async def listing(
    connection: Connection, groups: Iterable[str], *, pause: Pause = asyncio.sleep
) -> AsyncIterator[RawObject | ReadError]:
    """Each object once; after a listing that had to begin anew, those of its first pages again."""
    found = await discover(connection, frozenset(groups))
    for group, why in found.unknown.items():
        yield ReadError(Location(group), f"what the cluster serves cannot be read: {why}")
    for resource in found.served:
        try:
            async for raw in _objects(connection, resource, pause):
                yield RawObject(_location(resource, raw), raw, f"{resource.group}/{resource.version}", resource.kind)
        except (Refused, Unreachable, wire.Unreadable) as error:
            yield ReadError(Location(resource.origin), f"cannot be listed: {error}")


async def owners(
    connection: Connection, *, pause: Pause = asyncio.sleep
) -> AsyncIterator[tuple[Resource, RawObject | ReadError]]:
    """Every Pod that has not ended, every ReplicaSet and Job, as metadata."""
    async for resource, piece in _metadata(connection, RESOURCES, pause):
        yield resource, piece


async def policies(
    connection: Connection, groups: Iterable[str], *, pause: Pause = asyncio.sleep
) -> AsyncIterator[tuple[Resource, RawObject | ReadError]]:
    """The policies behind the sources of these groups, as metadata."""
    found = await discover_policies(connection, frozenset(groups))
    async for resource, piece in _metadata(connection, dict.fromkeys(found.served), pause):
        yield resource, piece


async def _metadata(
    connection: Connection, resources: Mapping[Resource, Mapping[str, str] | None], pause: Pause
) -> AsyncIterator[tuple[Resource, RawObject | ReadError]]:
    """The objects of each resource, with the parameters that they are listed by."""
    for resource, select in resources.items():
        try:
            async for raw in _objects(connection, resource, pause, select=select, accept=_METADATA):
                yield resource, RawObject(_location(resource, raw), raw)
        except (Refused, Unreachable, wire.Unreadable) as error:
            yield resource, ReadError(Location(resource.origin), f"cannot be listed: {error}")


async def _objects(
    connection: Connection,
    resource: Resource,
    pause: Pause,
    *,
    select: Mapping[str, str] | None = None,
    accept: str | None = None,
) -> AsyncIterator[msgspec.Raw]:
    first = {"limit": str(PAGE), **(select or {})}
    params = dict(first)
    beginnings = 1
    course = Course(Clock())
    while True:
        try:
            metadata, items = await wire.page(await _get(connection, resource.path, params, pause, accept))
        except TooLarge:
            if params["limit"] == "1":
                raise
            params["limit"] = str(max(1, int(params["limit"]) // 4))
            continue
        except Refused as error:
            if error.status != 410 or beginnings == _TRIES:
                raise
            beginnings += 1
            params = {**first, "limit": str(PAGE << beginnings)}
            continue
        for item in items:
            yield item
        following = course.follow(metadata.following, items)
        if not following:
            return
        params["continue"] = following


async def _get(
    connection: Connection, path: str, params: dict[str, str], pause: Pause, accept: str | None
) -> bytearray:
    for tried in range(1, _TRIES):
        try:
            return await _whole(connection, path, params, accept)
        except TooLarge:
            raise
        except (Refused, Unreachable) as error:
            if isinstance(error, Refused) and error.status != 429 and error.status < 500:
                raise
            await pause(getattr(error, "retry_after", None) or _PAUSE_SECONDS * tried)
    return await _whole(connection, path, params, accept)


async def _whole(connection: Connection, path: str, params: dict[str, str], accept: str | None) -> bytearray:
    async with connection.page(path, params, accept=accept) as body:  # of one person's one look, none is kept waiting
        return body


def _location(resource: Resource, raw: msgspec.Raw) -> Location:
    try:
        named = decoded(_object, raw, wire.Unreadable).metadata
    except wire.Unreadable:
        return Location(resource.origin)
    return Location(
        f"{resource.origin} {named.namespace}/{named.name}" if named.namespace else f"{resource.origin} {named.name}"
    )
