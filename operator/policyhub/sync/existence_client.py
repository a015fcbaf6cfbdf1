"""Sends the lookups of `sync.existence` to the API server of one cluster.

It requests metadata only, in a format that a server either returns or refuses: it never reads a whole object, and never
a Secret. The load on the API server is bounded:

| lookups of                           | cost at most                                                                  |
|--------------------------------------|-------------------------------------------------------------------------------|
| anything                             | `RATE` requests a second, `IN_FLIGHT` lookups at once                         |
| `LIST_FROM` objects of a kind, or    | one listing of that kind in that namespace, `PAGE_SIZE` objects a page        |
| more                                 |                                                                               |
| policies                             | one listing of each kind every `POLICY_LISTING_INTERVAL_MS`                   |
| the kinds that the server serves     | see `kube.kinds`                                                              |

Absence needs proof. A 404 counts if it names the object. A listing counts if it was read to its end. A policy is absent
only if its kind is served before and after the listing: the removal of an engine deletes its policies, and the
violations remain.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from policyhub.cancellation import TaskGroup
from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.kube import wire
from policyhub.kube.backoff import Clock
from policyhub.kube.connection import Connection
from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Refused, TooLarge, Unreachable
from policyhub.kube.kinds import Group, Kind, Kinds
from policyhub.kube.listing_limits import ListingLimits
from policyhub.kube.resource import Resource
from policyhub.kube.wire import Unreadable
from policyhub.model.policy_apis import name_in_reports
from policyhub.model.violation import Subject
from policyhub.sync.existence import Batch, Existence, FoundObject, PolicyName, Referent

log = structlog.get_logger(__name__)

RATE: Final = 10.0
IN_FLIGHT: Final = 4
PAGE_SIZE: Final = 500
"""Objects; 1 to 2 MB of metadata."""
REQUEST_TIMEOUT_SECONDS: Final = 20.0
"""For one answer that is not a page."""
PAGE_TIMEOUT_SECONDS: Final = 60.0

_ACCEPT: Final = "application/json;as={};g=meta.k8s.io;v=v1"
_OBJECT: Final = _ACCEPT.format("PartialObjectMetadata")
_LIST: Final = _ACCEPT.format("PartialObjectMetadataList")

_SECRETS: Final = "secrets"
_DISCOVERY: Final = "/apis"
_REFUSALS: Final = frozenset({403, 405, 406})
"""Retries do not help: no permission, no such request, no metadata-only format."""


class ExistenceClient:
    """For one monitored cluster."""

    def __init__(
        self,
        existence: Existence,
        *,
        cluster: str,
        now: Callable[[], SteadyMs],
        clock: Clock | None = None,
        rate: float = RATE,
    ) -> None:
        """`cluster` is its name in the log; `now` is the clock of `existence` (ms)."""
        self.requests = 0
        """Number of requests sent."""
        self._existence = existence
        self._cluster = cluster
        self._now = now
        self._clock = clock or Clock()
        self._interval = 1 / rate
        self._next = 0.0

    async def run(self, connection: Connection) -> None:
        """Runs until cancelled. Unanswered lookups stay pending."""
        kinds = Kinds(connection, turn=self._turn, now=self._now, seconds=REQUEST_TIMEOUT_SECONDS)
        session = _Session(self._existence, connection, kinds, turn=self._turn, now=self._now, clock=self._clock)
        wake = asyncio.Event()
        slots = asyncio.Semaphore(IN_FLIGHT)
        self._existence.on_request = wake.set

        def ended(batch: Batch, _: asyncio.Task[None]) -> None:
            self._existence.release(batch)  # also if the task was cancelled before it started
            slots.release()
            wake.set()

        async with TaskGroup() as tasks:
            while True:
                await slots.acquire()
                wake.clear()
                batch = self._existence.next_batch()
                if batch is not None:
                    tasks.create_task(self._look_up(session, batch)).add_done_callback(partial(ended, batch))
                    continue
                slots.release()
                due = self._existence.next_due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.001, (due - self._now()) / 1000)):
                        await wake.wait()

    async def _look_up(self, session: "_Session", batch: Batch) -> None:
        existence = self._existence
        try:
            await session.look_up(batch)
        except Refused as error:
            if error.status == 404:  # the group moved to another version, or is gone
                session.kinds.forget(batch.scope.group)
            everything = error.status == 429 or not session.kinds.known
            existence.fail(batch, retry_after=error.retry_after, everything=everything)
        except (Unreachable, Unreadable, TimeoutError):
            existence.fail(batch, everything=not session.kinds.known)
        except Exception:  # the outermost loop: a bug of ours must not stop the lookups
            log.exception("existence_fault", cluster=self._cluster)
            existence.fail(batch)

    async def _turn(self) -> None:
        """Wait until the next request may be sent."""
        now = self._clock.monotonic()
        at = max(now, self._next)
        self._next = at + self._interval
        if at > now:
            await self._clock.sleep(at - now)
        self.requests += 1


class _Session:
    """Over one connection. Raises Refused, Unreachable, Unreadable or TimeoutError."""

    def __init__(
        self,
        existence: Existence,
        connection: Connection,
        kinds: Kinds,
        *,
        turn: Callable[[], Awaitable[None]],
        now: Callable[[], SteadyMs],
        clock: Clock,
    ) -> None:
        self.kinds = kinds
        self._existence = existence
        self._connection = connection
        self._turn = turn
        self._now = now
        self._clock = clock

    async def look_up(self, batch: Batch) -> None:
        try:
            group = await self.kinds.group(batch.scope.group)
        except Refused as error:
            if error.status != 403:
                raise
            self._existence.refuse(batch, asked=self._now(), resources=(_DISCOVERY,))
            return
        if batch.scope.resources:
            await self._policies(batch, group)
        else:
            await self._objects(batch, group)

    # -- objects --------------------------------------------------------------------------------------------------

    async def _objects(self, batch: Batch, group: Group) -> None:
        scope = batch.scope
        kind = group.kinds.get(scope.kind)
        lacks_namespace = kind is not None and kind.resource.namespaced and not scope.namespace
        if kind is None or lacks_namespace or kind.resource.group_resource == _SECRETS:
            self._existence.refuse(batch, asked=group.read)
            return
        # A report in a namespace may be about a cluster-scoped object.
        namespace = scope.namespace if kind.resource.namespaced else ""
        subjects = {referent.name: referent for referent in batch.referents if isinstance(referent, Subject)}
        if not batch.listing:
            for subject in subjects.values():
                await self._get(batch, kind.resource, subject, namespace)
            return
        listing = _Listing({(namespace, name): subject for name, subject in subjects.items()}, self._now())
        try:
            await self._list(kind.resource.within(namespace), listing)
        except Refused as error:
            if error.status not in _REFUSALS:
                raise
            listing.names_missing = True
        finally:  # found objects exist, however the listing ended
            self._existence.answer(
                batch, listing.found, asked=listing.asked, complete=listing.complete and not listing.names_missing
            )
        if listing.names_missing:
            self._existence.mark_unlistable(batch)

    async def _get(self, batch: Batch, resource: Resource, subject: Subject, namespace: str) -> None:
        await self._turn()
        asked = self._now()
        path = f"{resource.within(namespace)}/{quote(subject.name, safe='')}"
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                raw = await self._connection.get(path, accept=_OBJECT)
        except Refused as error:
            if _lacks_object(error, resource):
                self._existence.answer(batch, {}, asked=asked, complete=True)
            else:
                self._refused(batch, error, resource.group_resource, asked=asked)
            return
        metadata = decoded(_object, raw, Unreadable).metadata
        if metadata.name != subject.name or not metadata.uid:
            raise Unreadable(f"{path} is answered with another object")
        self._existence.answer(batch, {subject: _found(metadata)}, asked=asked, complete=True)

    def _refused(self, batch: Batch, error: Refused, resource: str, *, asked: SteadyMs) -> None:
        """Take a refusal; raises any other error."""
        if error.status not in _REFUSALS:
            raise error
        self._existence.refuse(batch, asked=asked, resources=(resource,) if error.status == 403 else ())

    # -- policies -------------------------------------------------------------------------------------------------

    async def _policies(self, batch: Batch, group: Group) -> None:
        """List each kind that they can have: the name of a policy does not tell its kind or namespace."""
        referents: dict[str, Referent] = {
            referent.policy: referent for referent in batch.referents if isinstance(referent, PolicyName)
        }
        served = {resource: kind for resource in batch.scope.resources if (kind := _serving(group, resource))}
        listings: list[_Listing] = []
        refused: dict[str, int] = {}
        asked = self._now()
        try:
            for resource, kind in served.items():
                listings.append(_Listing(referents, self._now(), resource=resource))
                if status := await self._list_policies(kind.resource, listings[-1]):
                    refused[resource] = status
        finally:
            found = {referent: it for listing in listings for referent, it in listing.found.items()}
            asked = listings[0].asked if listings else asked
            self._existence.answer(batch, found, asked=asked, complete=False)
        if len(found) == len(referents):
            return
        if refused:
            forbidden = [resource for resource, status in refused.items() if status == 403]
            self._existence.refuse(batch, asked=asked, resources=forbidden)
            return
        if served:  # the removal of an engine deletes its policies
            group = await self.kinds.group(batch.scope.group, since=self._now())
        if any(_serving(group, resource) for resource in served):
            self._existence.answer(batch, found, asked=asked, complete=True)
        else:
            self._existence.refuse(batch, asked=group.read)

    async def _list_policies(self, resource: Resource, listing: "_Listing") -> int:
        """The status of a refusal, or 0."""
        try:
            await self._list(resource.path, listing)
        except Refused as error:
            if error.status not in _REFUSALS:
                raise
            return error.status
        if listing.names_missing:
            raise Unreadable(f"not every object of {resource.group_resource} can be read")
        return 0

    # -- listings -------------------------------------------------------------------------------------------------

    async def _list(self, path: str, listing: "_Listing") -> None:
        limits, params, limit = ListingLimits(self._clock), {"limit": ""}, PAGE_SIZE
        first = True
        while True:
            params["limit"] = str(limit)
            await self._turn()
            if first:
                listing.asked, first = self._now(), False
            try:
                async with (
                    asyncio.timeout(PAGE_TIMEOUT_SECONDS),
                    self._connection.page(path, params, accept=_LIST) as body,
                ):
                    metadata, items = await wire.page(body)
                    for item in items:
                        if self._connection.time_slice.must_wait(listing):
                            await self._connection.time_slice.wait_turn(listing)
                        listing.take(item)
                        self._connection.time_slice.end_work()
                    following = limits.next_token(metadata.next_token, items)
            except TooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            if not following:
                listing.complete = True
                return
            params["continue"] = following


class _Listing:
    """What a listing tells about the lookups."""

    def __init__(self, referents: Mapping[Any, Referent], asked: SteadyMs, *, resource: str = "") -> None:
        """`referents` by (namespace, name); if `resource` is given, by the names of the policies of that kind."""
        self.asked = asked
        """When its first page was requested: all pages show the same moment."""
        self.found: dict[Referent, FoundObject] = {}
        self.complete = False
        self.names_missing = False
        """The listing was refused, or the name of an object on it could not be read."""
        self._referents = referents
        self._resource = resource

    def take(self, item: msgspec.Raw) -> None:
        try:
            metadata = decoded(_object, item, Unreadable).metadata
        except Unreadable:
            self.names_missing = True
            return
        name, namespace = metadata.name, metadata.namespace
        key = name_in_reports(self._resource, name=name, namespace=namespace) if self._resource else (namespace, name)
        if (referent := self._referents.get(key)) is not None:
            self.found[referent] = _found(metadata)


def _lacks_object(error: Refused, resource: Resource) -> bool:
    """Whether a 404 is about the object, not about its kind."""
    message = error.message
    return (
        error.status == 404 and message.startswith(f'{resource.group_resource} "') and message.endswith('" not found')
    )


def _serving(group: Group, resource: str) -> Kind | None:
    kind = group.plurals.get(resource.partition(".")[0])
    return kind if kind is not None and not kind.terminating and "list" in kind.verbs else None


class _Manager(msgspec.Struct):
    time: str | None = None
    subresource: str | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    managed_fields: list[_Manager] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


_object = msgspec.json.Decoder(_Object)


def _found(metadata: _Metadata) -> FoundObject:
    managers = (manager for manager in metadata.managed_fields or () if manager.subresource != "status")
    return FoundObject(metadata.uid, max((_milliseconds(manager.time or "") for manager in managers), default=UNDATED))


def _milliseconds(time: str) -> WallMs:
    try:
        return WallMs(round(datetime.fromisoformat(time).timestamp() * 1000))
    except (ValueError, OverflowError):
        return UNDATED
