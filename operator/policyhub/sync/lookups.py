"""What is read from the hub by id, one call at a time, and what the answers mean to the ledgers.

Asked for are fresh violations that the inventory has not reached, contradictions, and what only the hub knows just
before it is archived. The two kinds, clusters and namespaces take turns. What was not answered is asked or decided
again. A finding of another cluster is not this one's to write; an identity conflict ends sending.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import msgspec
import structlog

from policyhub.api.reason import Cause
from policyhub.clock import SteadyMs
from policyhub.findings import asff
from policyhub.securityhub import inventory
from policyhub.securityhub.client import MAX_FILTER_VALUES
from policyhub.securityhub.errors import AccessLost, HubError
from policyhub.securityhub.inventory import milliseconds, strip_for_import
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.entry import NEW, WORKFLOW, Entry, Observation, ObservedFinding, gist
from policyhub.sync.lanes import Queue
from policyhub.sync.pause import BACKOFF_CAP_SECONDS

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """What of a HubClient reads findings by id."""

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]: ...


class _Bodies:
    """Findings that are to be read before they are archived; clusters and namespaces take turns."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[ClusterQueue, Entry]] = {}
        self._queue = Queue()

    def add(self, feed: ClusterQueue, entry: Entry) -> None:
        key = f"{feed.name}/{entry.id}"
        self._of[key] = (feed, entry)
        self._queue.add(key, f"{feed.name}/{feed.ledger.namespace(entry.id)}")

    def take(self, limit: int) -> list[tuple[ClusterQueue, Entry]]:
        return [self._of.pop(key) for key in self._queue.take(limit)]

    def __len__(self) -> int:
        return len(self._of)


class Lookups:
    """Reads by id, for all feeds of one hub."""

    def __init__(
        self, feeds: list[ClusterQueue], *, hub: Reader, hub_name: str, now: Callable[[], SteadyMs], rng: random.Random
    ) -> None:
        """`feeds` are the engine's, `now` as there."""
        self._queues = feeds
        self._hub = hub
        self._hub_name = hub_name
        self._now = now
        self._rng = rng
        self.trouble: Cause | None = None
        """Why findings cannot be read by id."""
        self._bodies = _Bodies()
        self._questions = asyncio.Event()
        self._asked = 0
        """Which feed's look-ups come next."""

    def wake(self) -> None:
        """Something is to be looked up."""
        self._questions.set()

    def read_first(self, feed: ClusterQueue, entry: Entry) -> None:
        """It is read before it is archived."""
        self._bodies.add(feed, entry)
        self._questions.set()

    def close(self) -> None:
        """What was not read is decided again."""
        for feed, entry in self._bodies.take(len(self._bodies)):
            feed.release(entry)

    async def run(self) -> None:
        """Read by id what has to be, one call at a time. A failure is tried again with full jitter."""
        failures = 0
        looks_up = True
        while True:
            first, second = (self._look_up, self._read_bodies) if looks_up else (self._read_bodies, self._look_up)
            looks_up = not looks_up  # by turns: a flood of one must not hold up the other
            work = first() or second()
            if work is None:
                self.trouble = None
                self._questions.clear()
                await self._questions.wait()
                continue
            try:
                await work
            except HubError as error:
                failures += 1
                if isinstance(error, AccessLost):
                    self.trouble = error.cause
                log.info("lookup_failed", hub=self._hub_name, code=error.code, attempt=failures)
                await asyncio.sleep(self._rng.uniform(0.1, min(BACKOFF_CAP_SECONDS, 2.0 ** min(failures, 6))))
            else:
                failures = 0
                self.trouble = None

    def _look_up(self) -> Coroutine[Any, Any, None] | None:
        for feed in (*self._queues[self._asked :], *self._queues[: self._asked]):
            if feed.sends and (ids := feed.ledger.observed.lookups.take(MAX_FILTER_VALUES)):
                self._asked = (self._queues.index(feed) + 1) % len(self._queues)
                return self._look(feed, ids)
        return None

    async def _look(self, feed: ClusterQueue, ids: list[str]) -> None:
        left = set(ids)
        try:
            stored = await self._hub.by_ids(ids)
            for id_ in ids:
                finding = stored.get(id_)
                observation = None if finding is None else observation_of(inventory.from_asff(finding))
                feed.ledger.observed.answer(id_, observation, now=self._now())
                left.discard(id_)
        finally:  # not answered: asked again
            for id_ in left:
                feed.ledger.observed.drop_lookup(id_)
        if feed.ledger.observed.quarantine.conflict:
            feed.sends = False

    def _read_bodies(self) -> Coroutine[Any, Any, None] | None:
        """What only the inventory knows, just before it is archived."""
        unread = self._bodies.take(MAX_FILTER_VALUES)
        return self._read(unread) if unread else None

    async def _read(self, unread: list[tuple[ClusterQueue, Entry]]) -> None:
        try:
            stored = await self._hub.by_ids([entry.id for _, entry in unread])
            for feed, entry in unread:
                self._take_body(feed, entry, stored.get(entry.id))
        finally:  # not answered: decided again
            for feed, entry in unread:
                feed.release(entry)

    def _take_body(self, feed: ClusterQueue, entry: Entry, finding: dict[str, Any] | None) -> None:
        if finding is None or entry.observed is None:
            feed.ledger.take_body(entry, None, None)
        elif (uid := str(finding.get("ProductFields", {}).get(asff.CLUSTER_UID, ""))) not in feed.ledger.observed.uids:
            log.warning("finding_of_another_cluster", id=entry.id, cluster=feed.name, uid=uid)
            archived = finding.get("RecordState") == "ARCHIVED"
            feed.ledger.take_foreign(entry, uid, archived=archived, now=self._now())
            if feed.ledger.observed.quarantine.conflict:
                feed.sends = False
        else:
            archived = finding.get("RecordState") == "ARCHIVED"
            observed = msgspec.structs.replace(
                entry.observed,
                archived=archived,
                updated_at=max(entry.observed.updated_at, milliseconds(finding.get("UpdatedAt"))),
            )
            feed.ledger.take_body(entry, strip_for_import(finding), observed)


def observation_of(stored: inventory.StoredFinding) -> Observation:
    """A finding as the inventory reads it, as the ledger knows it."""
    return Observation(
        id=stored.id,
        observed=ObservedFinding(
            digest=stored.digest,
            created_at=stored.created_at,
            updated_at=stored.updated_at,
            archived=stored.record_state == "ARCHIVED",
            renderer=stored.renderer,
            gist=gist(stored.result, stored.provided),
            relapses=stored.relapses,
            relapsed_at=stored.relapsed_at,
        ),
        cluster_uid=stored.cluster_uid,
        source_api=stored.source_api,
        rule=stored.rule,
        source=stored.source,
        policy=stored.policy,
        object_ref=stored.object_ref,
        triage=(stored.workflow_status if stored.workflow_status in WORKFLOW else NEW, stored.severity),
    )
