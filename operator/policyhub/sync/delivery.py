"""One call and its answer: imports a batch, and writes what became of each finding into its ledger.

What was accepted is acknowledged; what was refused for good is remembered as such; what failed is decided again, later;
where no answer came the outcome is unknown, and the ledger is told so. Whatever happens, nothing stays in flight.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from policyhub.clock import SteadyMs, WallMs
from policyhub.metrics import Metrics
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
    """What of a HubClient takes findings."""

    def release_token(self) -> None: ...

    async def import_findings(self, findings: Sequence[Finding], *, sizes: Sequence[int]) -> ImportResult: ...


class Delivery:
    """Calls one hub, for all its feeds."""

    def __init__(
        self,
        feeds: list[ClusterQueue],
        *,
        hub: Importer,
        hub_name: str,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        rng: random.Random,
        pause: Pause,
        acknowledged: Acknowledged,
    ) -> None:
        """`feeds` are the engine's, `now` and `wall` as there."""
        self._queues = feeds
        self._hub = hub
        self._hub_name = hub_name
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._rng = rng
        self._pause = pause
        self._acknowledged = acknowledged

    async def deliver(self, batch: list[Shipment]) -> None:
        try:
            await self._send(batch)
        finally:  # whatever happened, nothing stays in flight
            for s in batch:
                s.feed.release(s.entry)

    async def _send(self, batch: list[Shipment]) -> None:
        for s in batch:  # its cluster may have been told to stop while the batch waited for its turn
            if not s.feed.sends or s.feed not in self._queues:
                s.feed.ledger.release(s.entry)
        batch = [s for s in batch if s.entry.in_flight]
        if not batch:
            self._hub.release_token()
            return
        try:
            result = await self._hub.import_findings([s.body for s in batch], sizes=[s.size for s in batch])
        except Unavailable as error:
            self._mark_unanswered(batch)
            self._pause.back_off(error)
            return
        except HubError as error:
            for s in batch:
                s.feed.ledger.release(s.entry)
            self._pause.back_off(error)
            return
        except BaseException:  # cancelled, or a mistake of ours: the outcome is unknown either way
            self._mark_unanswered(batch)
            raise
        self._pause.judge(result)
        self._write(batch, result)

    def _mark_unanswered(self, batch: list[Shipment]) -> None:
        """No answer came: these may have been written."""
        for s in batch:
            s.feed.ledger.unanswered(s.entry, s.observed)
            self._acknowledged.doubt(s.feed.ledger.observed, s.entry.id, self._now())

    def _write(self, batch: list[Shipment], result: ImportResult) -> None:
        """The answers, into the ledgers."""
        now = self._now()
        jitter = self._rng.uniform(0.5, 1.0)  # one for all: what failed together goes together again
        changes = {s.change for s in batch}
        took = {change: self._metrics.delivery_seconds.labels(self._hub_name, change) for change in changes}
        sent: Counter[Change] = Counter()
        for s in batch:
            failure = result.failures.get(s.entry.id)
            if failure is not None:
                self.refuse(s, failure, jitter=jitter)
                continue
            if s.entry.pending_since:
                took[s.change].observe(max(0, now - s.entry.pending_since) / 1000)
            s.feed.ledger.shares.spend(s.feed.ledger.namespace(s.entry.id), now=now)
            s.feed.ledger.acknowledge(s.entry, s.observed, now=now)
            self._acknowledged.note(s.feed.ledger.observed, s.entry.id, s.observed, now)
            self._record(s.feed, s.entry, now=now)
            sent[s.change] += 1
        for change, number in sent.items():
            self._metrics.findings_sent.labels(self._hub_name, change).inc(number)

    def _record(self, feed: ClusterQueue, entry: Entry, *, now: SteadyMs) -> None:
        """What was acknowledged needs nothing more, unless it has changed meanwhile. Decided at once: in its lane it
        would count as pending until all that is more urgent was sent.
        """
        decision, evidence = feed.ledger.decide(entry, rules=feed.rules, now=now, wall=self._wall())
        if not isinstance(decision, Change):
            feed.ledger.mark_decided(entry, decision, lost=evidence.lost)

    def refuse(self, s: Shipment, failure: Failure, *, jitter: float = 1.0) -> None:
        ledger = s.feed.ledger
        if failure.kind == "unsent":
            ledger.release(s.entry)
            return
        self._metrics.findings_rejected.labels(self._hub_name, failure.code).inc()
        match failure.kind:
            case "permanent":
                log.warning("finding_rejected", id=s.entry.id, code=failure.code, message=failure.message)
                ledger.reject(s.entry, rejected(s.entry, s.change))
            case "configuration":
                ledger.release(s.entry)
            case "retry":  # one that always fails must not take a call of every round
                seconds = jitter * min(
                    BACKOFF_CAP_SECONDS, 2.0 ** min(ledger.observed.outcomes.failures(s.entry.id), 6)
                )
                ledger.observed.outcomes.postpone(s.entry.id, until=self._now() + int(1000 * seconds))
                ledger.release(s.entry)  # named as failed: it was not written
