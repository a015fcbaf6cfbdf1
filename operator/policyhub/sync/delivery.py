"""One call and its answer: imports a batch, and records the outcome of each finding in its ledger.

Accepted findings are acknowledged. Permanent rejections are remembered. Failed findings are decided again later.
Without an answer the outcome is unknown, and the ledger records that. Nothing stays in flight in any case.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from policyhub.clock import SteadyMs, WallMs
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.batch import Finding
from policyhub.securityhub.client import ImportResult
from policyhub.securityhub.errors import Failure, HubError, Unavailable
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.entry import Entry
from policyhub.sync.pause import BACKOFF_CAP_SECONDS, Pause
from policyhub.sync.plan import Change
from policyhub.sync.shipment import Shipment, rejected

log = structlog.get_logger(__name__)


class Importer(Protocol):
    """The part of a HubClient that imports findings."""

    def release_token(self) -> None: ...

    async def import_findings(self, findings: Sequence[Finding], *, sizes: Sequence[int]) -> ImportResult: ...


class Delivery:
    """Sends to one hub, for all its queues."""

    def __init__(
        self,
        queues: list[ClusterQueue],
        *,
        hub: Importer,
        hub_name: str,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall_clock: Callable[[], WallMs],
        rng: random.Random,
        pause: Pause,
        acknowledged: Acknowledged,
    ) -> None:
        """`queues` are shared with the engine; `now` and `wall_clock` are its clocks."""
        self._queues = queues
        self._hub = hub
        self._hub_name = hub_name
        self._metrics = metrics
        self._now = now
        self._wall_clock = wall_clock
        self._rng = rng
        self._pause = pause
        self._acknowledged = acknowledged

    async def deliver(self, batch: list[Shipment]) -> None:
        try:
            await self._send(batch)
        finally:  # nothing stays in flight in any case
            for shipment in batch:
                shipment.queue.release(shipment.entry)

    async def _send(self, batch: list[Shipment]) -> None:
        for shipment in batch:  # its cluster may have stopped while the batch waited for its turn
            if not shipment.queue.sends or shipment.queue not in self._queues:
                shipment.queue.ledger.release(shipment.entry)
        batch = [shipment for shipment in batch if shipment.entry.in_flight]
        if not batch:
            self._hub.release_token()
            return
        try:
            result = await self._hub.import_findings(
                [shipment.body for shipment in batch], sizes=[shipment.size for shipment in batch]
            )
        except Unavailable as error:
            self._mark_unanswered(batch)
            self._pause.back_off(error)
            return
        except HubError as error:
            for shipment in batch:
                shipment.queue.ledger.release(shipment.entry)
            self._pause.back_off(error)
            return
        except BaseException:  # cancelled, or a bug of ours: the outcome is unknown
            self._mark_unanswered(batch)
            raise
        self._pause.note_failures(result)
        self._record_answers(batch, result)

    def _mark_unanswered(self, batch: list[Shipment]) -> None:
        """There was no answer: the findings may have been written."""
        for shipment in batch:
            shipment.queue.ledger.mark_unanswered(shipment.entry, shipment.observed)
            self._acknowledged.note_unanswered(shipment.queue.ledger.observed, shipment.entry.id, self._now())

    def _record_answers(self, batch: list[Shipment], result: ImportResult) -> None:
        """Record the answers in the ledgers."""
        now = self._now()
        jitter = self._rng.uniform(0.5, 1.0)  # one for all: findings that failed together are retried together
        changes = {shipment.change for shipment in batch}
        seconds_of = {change: self._metrics.delivery_seconds.labels(self._hub_name, change) for change in changes}
        sent: Counter[Change] = Counter()
        for shipment in batch:
            failure = result.failures.get(shipment.entry.id)
            if failure is not None:
                self.reject(shipment, failure, jitter=jitter)
                continue
            if shipment.entry.pending_since:
                seconds_of[shipment.change].observe(max(0, now - shipment.entry.pending_since) / 1000)
            shipment.queue.ledger.usage.count_import(shipment.queue.ledger.namespace(shipment.entry.id), now=now)
            shipment.queue.ledger.acknowledge(shipment.entry, shipment.observed, now=now)
            self._acknowledged.note(shipment.queue.ledger.observed, shipment.entry.id, shipment.observed, now)
            self._decide_again(shipment.queue, shipment.entry, now=now)
            sent[shipment.change] += 1
        for change, number in sent.items():
            self._metrics.findings_sent.labels(self._hub_name, change).inc(number)

    def _decide_again(self, queue: ClusterQueue, entry: Entry, *, now: SteadyMs) -> None:
        """An acknowledged finding needs nothing more, unless it has changed meanwhile. It is decided at once: in its
        lane it would count as pending until everything more urgent was sent.
        """
        decision, evidence = queue.ledger.decide(entry, rules=queue.rules, now=now, wall_clock=self._wall_clock())
        if not isinstance(decision, Change):
            queue.ledger.mark_decided(entry, decision, lost=evidence.lost)

    def reject(self, shipment: Shipment, failure: Failure, *, jitter: float = 1.0) -> None:
        ledger = shipment.queue.ledger
        if failure.kind == "unsent":
            ledger.release(shipment.entry)
            return
        self._metrics.findings_rejected.labels(self._hub_name, failure.code).inc()
        match failure.kind:
            case "permanent":
                log.warning("finding_rejected", id=shipment.entry.id, code=failure.code, message=failure.message)
                ledger.reject(shipment.entry, rejected(shipment.entry, shipment.change))
            case "configuration":
                ledger.release(shipment.entry)
            case "retry":  # a finding that always fails must not use a call of every round
                seconds = jitter * min(
                    BACKOFF_CAP_SECONDS, 2.0 ** min(ledger.observed.outcomes.failures(shipment.entry.id), 6)
                )
                ledger.observed.outcomes.postpone(shipment.entry.id, until=self._now() + int(1000 * seconds))
                ledger.release(shipment.entry)  # reported as failed: it was not written
