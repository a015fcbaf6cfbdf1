"""A complete listing of one resource into a sink, page by page: of how many objects each, and what is asked for again.

The sink is told that a listing begins, and that it is complete only where it was read to its end. A page that is too
large is asked for again with a quarter of its objects; after a continue token has expired the pages are larger, each
time twice; a page after the first is tried again before those already read are thrown away.

All pages of a listing are of one moment, the resourceVersion of the first. Where more than one follows, `on_moment` is
told of it before anything of the page is taken: a watch from there tells of all that is newer, and what is `overtaken`
by it is passed over. Where a later page is of another moment, `on_mixed` is told: nothing is known of which is newer.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from policyhub.kube import wire
from policyhub.kube.backoff import Backoff, Clock
from policyhub.kube.connection import Connection
from policyhub.kube.course import Course
from policyhub.kube.errors import Refused, TooLarge, Unreachable
from policyhub.kube.intake import Intake
from policyhub.kube.overtaken import Overtaken
from policyhub.kube.resource import Resource

PARTIAL: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
"""Accepts objects without more than their metadata."""
PAGE: Final = 500
"""Objects a page: what client-go asks for; 1.5 MB of reports."""
_MAX_DOUBLINGS: Final = 5
_MODEST: Final = 4 * 2**20
"""Bytes of a page above which the following ones are asked for with half as many objects."""
_PAGE_TRIES: Final = 3
"""A page after the first is asked for again before the pages already read are thrown away."""


class Listing:
    """Of one resource, again and again."""

    def __init__(
        self,
        connection: Connection,
        resource: Resource,
        intake: Intake,
        *,
        overtaken: Overtaken,
        on_moment: Callable[[str], None],
        on_mixed: Callable[[], None],
        select: Mapping[str, str],
        metadata: bool,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """`select` and `metadata` as of the reflector; `jitter` draws from [0, 1)."""
        self.expired = 0
        """How often in a row a continue token had expired: the owner counts, and starts anew."""
        self._connection = connection
        self._resource = resource
        self._intake = intake
        self._overtaken = overtaken
        self._on_moment = on_moment
        self._on_mixed = on_mixed
        self._select = select
        self._accept = PARTIAL.format("List") if metadata else None
        self._clock = clock
        self._jitter = jitter
        self._pace = connection.pace
        self._limit = PAGE

    async def read(self) -> tuple[str, int]:
        """All pages into the sink; the resourceVersion to watch from, and how many objects there were. Raises Refused,
        Unreachable, Unreadable.
        """
        self._intake.sink.begin()
        try:
            read = await self._pages()
        except BaseException:  # cancellation too: the sink must know that nothing was replaced
            self._intake.sink.abort()
            raise
        self._intake.sink.finish()
        return read

    async def _pages(self) -> tuple[str, int]:
        course = Course(self._clock)
        params = {"limit": "", **self._select}
        moment: str | None = None
        self._limit = min(PAGE, 4 * self._limit)
        while True:
            limit = self._limit << min(self.expired, _MAX_DOUBLINGS)
            params["limit"] = str(limit)
            try:
                async with contextlib.AsyncExitStack() as stack:
                    body = await self._page(params, stack)
                    metadata, items = await wire.page(body)
                    if moment is None and metadata.following:
                        self._on_moment(metadata.version)
                    elif moment is not None and moment != metadata.version:
                        self._on_mixed()
                    moment = metadata.version
                    await self._take(items)
                    size = len(body)
                    following = course.follow(metadata.following, items)
                    del body, items  # they may be of a size that only one page of the process may have
            except TooLarge:
                if limit == 1:
                    raise
                self._limit, self.expired = max(1, limit // 4), 0
                continue
            if not following:
                return metadata.version, course.objects
            if size > _MODEST:
                self._limit = max(1, self._limit // 2)
            params["continue"] = following

    async def _take(self, items: Sequence[msgspec.Raw]) -> None:
        for item in items:
            if self._pace.waits(self._intake):
                await self._pace.turn(self._intake)
            if not self._overtaken.has(item):
                self._intake.take(item, self._intake.sink.upsert)
            self._pace.worked()

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
                passing = isinstance(error, Unreachable) or error.status == 429 or error.status >= 500
                if not (tries and passing):
                    raise
                await self._clock.sleep(backoff.delay(getattr(error, "retry_after", None)))
