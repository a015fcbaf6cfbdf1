"""Reads a complete listing of one resource into a sink, page by page; chooses the page size, and retries.

The sink gets `begin`, then `finish` if the last page was read, else `abort`. If a page is too large, the request is
repeated for a quarter of the objects. After an expired continue token the page size doubles, each time. A page after
the first is retried before the pages that were already read are discarded.

All pages of a listing have one resourceVersion, that of the first. If a second page follows, `on_version` gets this
version before the first page's objects are delivered: a watch from there reports everything newer, and objects in
`changed_names` are skipped. If a later page has another version, `on_version_change` is called, because it is unknown
which of the two is newer.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from policyhub.kube import wire
from policyhub.kube.backoff import Backoff, Clock
from policyhub.kube.changed_names import ChangedNames
from policyhub.kube.connection import Connection
from policyhub.kube.errors import Refused, TooLarge, Unreachable
from policyhub.kube.isolating_sink import IsolatingSink
from policyhub.kube.listing_limits import ListingLimits
from policyhub.kube.resource import Resource

PARTIAL: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
"""Accept header for objects with their metadata only."""
PAGE: Final = 500
"""Objects per page, as in client-go; 1.5 MB of reports."""
_MAX_DOUBLINGS: Final = 5
_LARGE_PAGE_BYTES: Final = 4 * 2**20
"""Bytes of a page above which the next pages are requested with half as many objects."""
_PAGE_TRIES: Final = 3
"""Attempts for a page after the first, before the pages that were already read are discarded."""


class Listing:
    """Of one resource; `read` is called for each listing."""

    def __init__(
        self,
        connection: Connection,
        resource: Resource,
        isolating_sink: IsolatingSink,
        *,
        changed_names: ChangedNames,
        on_version: Callable[[str], None],
        on_version_change: Callable[[], None],
        select: Mapping[str, str],
        metadata: bool,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """`select` and `metadata` as in `Reflector`; `jitter` draws from [0, 1)."""
        self.expirations = 0
        """How many times in a row a continue token had expired. The caller increments and resets it."""
        self._connection = connection
        self._resource = resource
        self._isolated = isolating_sink
        self._changed_names = changed_names
        self._on_version = on_version
        self._on_version_change = on_version_change
        self._select = select
        self._accept = PARTIAL.format("List") if metadata else None
        self._clock = clock
        self._jitter = jitter
        self._time_slice = connection.time_slice
        self._limit = PAGE

    async def read(self) -> tuple[str, int]:
        """Read all pages into the sink; the resourceVersion to watch from, and the number of objects. Raises Refused,
        Unreachable, Unreadable.
        """
        self._isolated.sink.begin()
        try:
            read = await self._pages()
        except BaseException:  # also cancellation: the sink must learn that the listing replaced nothing
            self._isolated.sink.abort()
            raise
        self._isolated.sink.finish()
        return read

    async def _pages(self) -> tuple[str, int]:
        limits = ListingLimits(self._clock)
        params = {"limit": "", **self._select}
        version: str | None = None
        self._limit = min(PAGE, 4 * self._limit)
        while True:
            limit = self._limit << min(self.expirations, _MAX_DOUBLINGS)
            params["limit"] = str(limit)
            try:
                async with contextlib.AsyncExitStack() as stack:
                    body = await self._page(params, stack)
                    metadata, items = await wire.page(body)
                    if version is None and metadata.next_token:
                        self._on_version(metadata.version)
                    elif version is not None and version != metadata.version:
                        self._on_version_change()
                    version = metadata.version
                    await self._deliver(items)
                    size = len(body)
                    next_token = limits.next_token(metadata.next_token, items)
                    del body, items  # at a time the process may hold only one page of this size
            except TooLarge:
                if limit == 1:
                    raise
                self._limit, self.expirations = max(1, limit // 4), 0
                continue
            if not next_token:
                return metadata.version, limits.objects
            if size > _LARGE_PAGE_BYTES:
                self._limit = max(1, self._limit // 2)
            params["continue"] = next_token

    async def _deliver(self, items: Sequence[msgspec.Raw]) -> None:
        for item in items:
            if self._time_slice.must_wait(self._isolated):
                await self._time_slice.wait_turn(self._isolated)
            if not self._changed_names.has(item):
                self._isolated.deliver(item, self._isolated.sink.upsert)
            self._time_slice.end_work()

    async def _page(self, params: dict[str, str], stack: contextlib.AsyncExitStack) -> bytearray:
        tries = _PAGE_TRIES if "continue" in params else 1
        backoff = Backoff(self._jitter)
        while True:
            try:
                page = self._connection.page(self._resource.path, params, accept=self._accept)
                return await stack.enter_async_context(page)
            except TooLarge:
                raise
            except (Refused, Unreachable) as error:
                tries -= 1
                transient = isinstance(error, Unreachable) or error.status == 429 or error.status >= 500
                if not (tries and transient):
                    raise
                await self._clock.sleep(backoff.delay(getattr(error, "retry_after", None)))
