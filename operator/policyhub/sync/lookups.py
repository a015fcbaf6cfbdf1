"""Reads findings from the hub by id, one call at a time, and passes the answers to the ledgers.

There are two kinds of reads: lookups of new violations that the inventory has not read yet and of contradictions; and
bodies of findings that only the hub knows, just before they are archived. The two kinds, clusters and namespaces take
turns. Unanswered lookups are repeated, unread bodies are decided again. A finding of another cluster is not changed; an
identity conflict stops sending.
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
from policyhub.sync.entry import NEW, WORKFLOW, Entry, Observation, ObservedFinding, Triage, result_and_severity
from policyhub.sync.lanes import Queue
from policyhub.sync.pause import BACKOFF_CAP_SECONDS

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """The part of a HubClient that reads findings by id."""

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]: ...


class _BodyQueue:
    """Findings to be read before they are archived; clusters and namespaces take turns."""

    def __init__(self) -> None:
        self._pending: dict[str, tuple[ClusterQueue, Entry]] = {}
        self._queue = Queue()

    def add(self, queue: ClusterQueue, entry: Entry) -> None:
        key = f"{queue.name}/{entry.id}"
        self._pending[key] = (queue, entry)
        self._queue.add(key, f"{queue.name}/{queue.ledger.namespace(entry.id)}")

    def take(self, limit: int) -> list[tuple[ClusterQueue, Entry]]:
        return [self._pending.pop(key) for key in self._queue.take(limit)]

    def __len__(self) -> int:
        return len(self._pending)


class Lookups:
    """Reads by id, for all queues of one hub."""

    def __init__(
        self, queues: list[ClusterQueue], *, hub: Reader, hub_name: str, now: Callable[[], SteadyMs], rng: random.Random
    ) -> None:
        """`queues` are shared with the engine; `now` is its clock."""
        self._queues = queues
        self._hub = hub
        self._hub_name = hub_name
        self._now = now
        self._rng = rng
        self.problem: Cause | None = None
        """Why findings cannot be read by id."""
        self._bodies = _BodyQueue()
        self._work_added = asyncio.Event()
        self._next_queue = 0
        """Index of the queue whose lookups come next."""

    def wake(self) -> None:
        """There is a lookup."""
        self._work_added.set()

    def read_first(self, queue: ClusterQueue, entry: Entry) -> None:
        """Read the finding before it is archived."""
        self._bodies.add(queue, entry)
        self._work_added.set()

    def close(self) -> None:
        """Release the findings that were not read: they are decided again."""
        for queue, entry in self._bodies.take(len(self._bodies)):
            queue.release(entry)

    async def run(self) -> None:
        """Read until cancelled, one call at a time. Failures are retried with full jitter."""
        failures = 0
        lookups_first = True
        while True:
            first, second = (
                (self._next_lookup, self._read_bodies) if lookups_first else (self._read_bodies, self._next_lookup)
            )
            lookups_first = not lookups_first  # in turns: a flood of one must not delay the other
            work = first() or second()
            if work is None:
                self.problem = None
                self._work_added.clear()
                await self._work_added.wait()
                continue
            try:
                await work
            except HubError as error:
                failures += 1
                if isinstance(error, AccessLost):
                    self.problem = error.cause
                log.info("lookup_failed", hub=self._hub_name, code=error.code, attempt=failures)
                await asyncio.sleep(self._rng.uniform(0.1, min(BACKOFF_CAP_SECONDS, 2.0 ** min(failures, 6))))
            else:
                failures = 0
                self.problem = None

    def _next_lookup(self) -> Coroutine[Any, Any, None] | None:
        for queue in (*self._queues[self._next_queue :], *self._queues[: self._next_queue]):
            if queue.sends and (ids := queue.ledger.observed.lookups.take(MAX_FILTER_VALUES)):
                self._next_queue = (self._queues.index(queue) + 1) % len(self._queues)
                return self._read_ids(queue, ids)
        return None

    async def _read_ids(self, queue: ClusterQueue, ids: list[str]) -> None:
        unanswered = set(ids)
        try:
            stored = await self._hub.by_ids(ids)
            for id_ in ids:
                finding = stored.get(id_)
                observation = None if finding is None else observation_of(inventory.from_asff(finding))
                queue.ledger.observed.take_lookup(id_, observation, now=self._now())
                unanswered.discard(id_)
        finally:  # unanswered: repeat the lookup
            for id_ in unanswered:
                queue.ledger.observed.retry_lookup(id_)
        if queue.ledger.observed.quarantine.conflict:
            queue.sends = False

    def _read_bodies(self) -> Coroutine[Any, Any, None] | None:
        """The next bodies to read; None: there are none."""
        unread = self._bodies.take(MAX_FILTER_VALUES)
        return self._read(unread) if unread else None

    async def _read(self, unread: list[tuple[ClusterQueue, Entry]]) -> None:
        try:
            stored = await self._hub.by_ids([entry.id for _, entry in unread])
            for queue, entry in unread:
                self._take_body(queue, entry, stored.get(entry.id))
        finally:  # unread: decide again
            for queue, entry in unread:
                queue.release(entry)

    def _take_body(self, queue: ClusterQueue, entry: Entry, finding: dict[str, Any] | None) -> None:
        if finding is None or entry.observed is None:
            queue.ledger.take_body(entry, None, None)
        elif (uid := str(finding.get("ProductFields", {}).get(asff.CLUSTER_UID, ""))) not in queue.ledger.observed.uids:
            log.warning("finding_of_another_cluster", id=entry.id, cluster=queue.name, uid=uid)
            archived = finding.get("RecordState") == "ARCHIVED"
            queue.ledger.take_foreign(entry, uid, archived=archived, now=self._now())
            if queue.ledger.observed.quarantine.conflict:
                queue.sends = False
        else:
            archived = finding.get("RecordState") == "ARCHIVED"
            observed = msgspec.structs.replace(
                entry.observed,
                archived=archived,
                updated_at=max(entry.observed.updated_at, milliseconds(finding.get("UpdatedAt"))),
            )
            queue.ledger.take_body(entry, strip_for_import(finding), observed)


def observation_of(stored: inventory.StoredFinding) -> Observation:
    """Convert a finding of the inventory for the ledger."""
    return Observation(
        id=stored.id,
        observed=ObservedFinding(
            digest=stored.digest,
            created_at=stored.created_at,
            updated_at=stored.updated_at,
            archived=stored.record_state == "ARCHIVED",
            renderer=stored.renderer,
            result_and_severity=result_and_severity(stored.result, stored.provided),
            relapses=stored.relapses,
            relapsed_at=stored.relapsed_at,
        ),
        cluster_uid=stored.cluster_uid,
        source_api=stored.source_api,
        rule=stored.rule,
        source=stored.source,
        policy=stored.policy,
        object_ref=stored.object_ref,
        triage=Triage(stored.workflow_status if stored.workflow_status in WORKFLOW else NEW, stored.severity),
    )
