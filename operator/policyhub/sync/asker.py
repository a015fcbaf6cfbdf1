"""Carries the questions of `sync.existence` to the API server of one cluster.

It asks for metadata only, in a form that a server either gives or refuses: it never reads a whole object, and no
Secret. What it takes of an API server is bounded:

| what                                              | at most                                                          |
|---------------------------------------------------|------------------------------------------------------------------|
| requests                                          | `RATE` a second, `IN_FLIGHT` questions at once                   |
| questions about `MANY` objects of a kind and more | one listing of that kind in that namespace, `PAGE` objects a page|
| questions about policies                          | one listing of each kind in `APART_MS`                           |
| which kinds are served                            | `kube.kinds`                                                     |

Absence is a claim that needs proof: a 404 counts where it names the object, a listing where it was read to its end, and
a policy is gone only while its kind is served before and after the listing (an engine that is being removed takes its
policies with it, and the violations stay).
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
from policyhub.sources.policy_apis import name_in_reports
from policyhub.sources.violation import Subject
from policyhub.sync.existence import Batch, Existence, Found, PolicyName, Referent

log = structlog.get_logger(__name__)

RATE: Final = 10.0
IN_FLIGHT: Final = 4
PAGE: Final = 500
"""Objects: 1 to 2 MB of metadata."""
SECONDS: Final = 20.0
"""For one answer."""
PAGE_SECONDS: Final = 60.0

_ACCEPT: Final = "application/json;as={};g=meta.k8s.io;v=v1"
_OBJECT: Final = _ACCEPT.format("PartialObjectMetadata")
_LIST: Final = _ACCEPT.format("PartialObjectMetadataList")

_SECRETS: Final = "secrets"
_DISCOVERY: Final = "/apis"
_REFUSALS: Final = frozenset({403, 405, 406})
"""It will not tell, however often it is asked: no permission, no such request, no metadata alone."""


class Asker:
    """Of one monitored cluster."""

    def __init__(
        self,
        existence: Existence,
        *,
        cluster: str,
        now: Callable[[], SteadyMs],
        clock: Clock | None = None,
        rate: float = RATE,
    ) -> None:
        """`cluster` names it in the log; `now` gives the milliseconds of `existence`."""
        self.requests = 0
        """So many were made."""
        self._existence = existence
        self._cluster = cluster
        self._now = now
        self._clock = clock or Clock()
        self._apart = 1 / rate
        self._next = 0.0

    async def run(self, connection: Connection) -> None:
        """Until cancelled. What was not answered stays asked."""
        kinds = Kinds(connection, turn=self._turn, now=self._now, seconds=SECONDS)
        session = _Session(self._existence, connection, kinds, turn=self._turn, now=self._now, clock=self._clock)
        wake = asyncio.Event()
        slots = asyncio.Semaphore(IN_FLIGHT)
        self._existence.on_question = wake.set

        def ended(batch: Batch, _: asyncio.Task[None]) -> None:
            self._existence.release(batch)  # also of a task that was cancelled before it began
            slots.release()
            wake.set()

        async with TaskGroup() as tasks:
            while True:
                await slots.acquire()
                wake.clear()
                batch = self._existence.next()
                if batch is not None:
                    tasks.create_task(self._ask(session, batch)).add_done_callback(partial(ended, batch))
                    continue
                slots.release()
                due = self._existence.due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.001, (due - self._now()) / 1000)):
                        await wake.wait()

    async def _ask(self, session: "_Session", batch: Batch) -> None:
        existence = self._existence
        try:
            await session.ask(batch)
        except Refused as error:
            if error.status == 404:  # it lies elsewhere, or nowhere any more
                session.kinds.forget(batch.shelf.group)
            everything = error.status == 429 or not session.kinds.known
            existence.fail(batch, retry_after=error.retry_after, everything=everything)
        except (Unreachable, Unreadable, TimeoutError):
            existence.fail(batch, everything=not session.kinds.known)
        except Exception:  # the outermost loop: a fault of ours must not end the asking
            log.exception("existence_fault", cluster=self._cluster)
            existence.fail(batch)

    async def _turn(self) -> None:
        """Before each request."""
        now = self._clock.monotonic()
        at = max(now, self._next)
        self._next = at + self._apart
        if at > now:
            await self._clock.sleep(at - now)
        self.requests += 1


class _Session:
    """Over one connection. What fails raises Refused, Unreachable, Unreadable or TimeoutError."""

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

    async def ask(self, batch: Batch) -> None:
        try:
            group = await self.kinds.group(batch.shelf.group)
        except Refused as error:
            if error.status != 403:
                raise
            self._existence.refuse(batch, asked=self._now(), resources=(_DISCOVERY,))
            return
        if batch.shelf.origins:
            await self._policies(batch, group)
        else:
            await self._objects(batch, group)

    # -- objects --------------------------------------------------------------------------------------------------

    async def _objects(self, batch: Batch, group: Group) -> None:
        shelf = batch.shelf
        kind = group.kinds.get(shelf.kind)
        nowhere = kind is not None and kind.resource.namespaced and not shelf.namespace
        if kind is None or nowhere or kind.resource.group_resource == _SECRETS:
            self._existence.refuse(batch, asked=group.read)
            return
        # A report of a namespace may be about an object that lies in none.
        namespace = shelf.namespace if kind.resource.namespaced else ""
        subjects = {thing.name: thing for thing in batch.things if isinstance(thing, Subject)}
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
            listing.blind = True
        finally:  # what is there is there, however the listing ended
            self._existence.answer(batch, listing.found, asked=listing.asked, whole=listing.whole and not listing.blind)
        if listing.blind:
            self._existence.unlistable(batch)

    async def _get(self, batch: Batch, resource: Resource, subject: Subject, namespace: str) -> None:
        await self._turn()
        asked = self._now()
        path = f"{resource.within(namespace)}/{quote(subject.name, safe='')}"
        try:
            async with asyncio.timeout(SECONDS):
                raw = await self._connection.get(path, accept=_OBJECT)
        except Refused as error:
            if _lacks_object(error, resource):
                self._existence.answer(batch, {}, asked=asked, whole=True)
            else:
                self._refused(batch, error, resource.group_resource, asked=asked)
            return
        metadata = decoded(_object, raw, Unreadable).metadata
        if metadata.name != subject.name or not metadata.uid:
            raise Unreadable(f"{path} is answered with another object")
        self._existence.answer(batch, {subject: _found(metadata)}, asked=asked, whole=True)

    def _refused(self, batch: Batch, error: Refused, origin: str, *, asked: SteadyMs) -> None:
        """Believed when it stands; raises the error where it is another one."""
        if error.status not in _REFUSALS:
            raise error
        self._existence.refuse(batch, asked=asked, resources=(origin,) if error.status == 403 else ())

    # -- policies -------------------------------------------------------------------------------------------------

    async def _policies(self, batch: Batch, group: Group) -> None:
        """Each kind that they can be of is listed whole: a policy lies where its name does not tell."""
        wanted: dict[str, Referent] = {thing.policy: thing for thing in batch.things if isinstance(thing, PolicyName)}
        served = {origin: kind for origin in batch.shelf.origins if (kind := _serving(group, origin))}
        listings: list[_Listing] = []
        refused: dict[str, int] = {}
        asked = self._now()
        try:
            for origin, kind in served.items():
                listings.append(_Listing(wanted, self._now(), origin=origin))
                if status := await self._list_policies(kind.resource, listings[-1]):
                    refused[origin] = status
        finally:
            found = {thing: it for listing in listings for thing, it in listing.found.items()}
            asked = listings[0].asked if listings else asked
            self._existence.answer(batch, found, asked=asked, whole=False)
        if len(found) == len(wanted):
            return
        if refused:
            forbidden = [origin for origin, status in refused.items() if status == 403]
            self._existence.refuse(batch, asked=asked, resources=forbidden)
            return
        if served:  # an engine that is being removed takes its policies with it
            group = await self.kinds.group(batch.shelf.group, since=self._now())
        if any(_serving(group, origin) for origin in served):
            self._existence.answer(batch, found, asked=asked, whole=True)
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
        if listing.blind:
            raise Unreadable(f"not every object of {resource.group_resource} can be read")
        return 0

    # -- listings -------------------------------------------------------------------------------------------------

    async def _list(self, path: str, listing: "_Listing") -> None:
        limits, params, limit = ListingLimits(self._clock), {"limit": ""}, PAGE
        first = True
        while True:
            params["limit"] = str(limit)
            await self._turn()
            if first:
                listing.asked, first = self._now(), False
            try:
                async with asyncio.timeout(PAGE_SECONDS), self._connection.page(path, params, accept=_LIST) as body:
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
                listing.whole = True
                return
            params["continue"] = following


class _Listing:
    """What a listing tells of what is asked for."""

    def __init__(self, wanted: Mapping[Any, Referent], asked: SteadyMs, *, origin: str = "") -> None:
        """`wanted` by (namespace, name) of objects; where `origin` is given by the names of policies of that kind."""
        self.asked = asked
        """When its first page was asked for: the others are of the same moment."""
        self.found: dict[Referent, Found] = {}
        self.whole = False
        self.blind = False
        """It was refused, or an object was on it whose name could not be read."""
        self._wanted = wanted
        self._origin = origin

    def take(self, item: msgspec.Raw) -> None:
        try:
            metadata = decoded(_object, item, Unreadable).metadata
        except Unreadable:
            self.blind = True
            return
        name, namespace = metadata.name, metadata.namespace
        key = name_in_reports(self._origin, name=name, namespace=namespace) if self._origin else (namespace, name)
        if (thing := self._wanted.get(key)) is not None:
            self.found[thing] = _found(metadata)


def _lacks_object(error: Refused, resource: Resource) -> bool:
    """A 404 that is about the object, not about its kind."""
    said = error.message
    return error.status == 404 and said.startswith(f'{resource.group_resource} "') and said.endswith('" not found')


def _serving(group: Group, origin: str) -> Kind | None:
    kind = group.plurals.get(origin.partition(".")[0])
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


def _found(metadata: _Metadata) -> Found:
    managers = (manager for manager in metadata.managed_fields or () if manager.subresource != "status")
    return Found(metadata.uid, max((_milliseconds(manager.time or "") for manager in managers), default=UNDATED))


def _milliseconds(time: str) -> WallMs:
    try:
        return WallMs(round(datetime.fromisoformat(time).timestamp() * 1000))
    except (ValueError, OverflowError):
        return UNDATED
