"""Composes the next call: decides about dirty findings until a batch is full.

Clusters take turns, and within each its namespaces. Lanes are served in order; `RESERVED` keeps room in each call for
less urgent lanes. A finding that cannot be rendered or is too large is rejected here and does not block others. A
finding that is to be archived and whose body only the hub has is queued to be read first.

No I/O; the clocks are arguments.
"""

from collections.abc import Callable, Iterator
from enum import Enum

import structlog

from policyhub.clock import SteadyMs, WallMs
from policyhub.securityhub.batch import MAX_FINDINGS, Batch, measure, oversize
from policyhub.securityhub.errors import Failure
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.entry import Entry
from policyhub.sync.lanes import RESERVED, Lane
from policyhub.sync.plan import Change
from policyhub.sync.shipment import Shipment, rejected, ship

log = structlog.get_logger(__name__)

DECISIONS_PER_ROUND = 2_000
"""Decisions without yielding to the event loop (about 10 ms)."""


class _Full(Enum):
    FULL = "full"
    """The call has no room for this finding."""


_FULL = _Full.FULL


class Selection:
    """Takes dirty findings from the queues for one call."""

    def __init__(
        self,
        queues: list[ClusterQueue],
        *,
        now: Callable[[], SteadyMs],
        wall_clock: Callable[[], WallMs],
        read_first: Callable[[ClusterQueue, Entry], None],
        reject: Callable[[Shipment, Failure], None],
    ) -> None:
        """`queues` are shared with the engine: each call begins with another one. `now` and `wall_clock` are its
        clocks. `read_first` gets findings to be read before they are archived, `reject` findings too large for any
        call.
        """
        self._queues = queues
        self._now = now
        self._wall_clock = wall_clock
        self._read_first = read_first
        self._reject = reject

    def take(self) -> list[Shipment]:
        """Decide until a batch is full."""
        batch: list[Shipment] = []
        if not self._queues:
            return batch
        call = Batch()
        now, wall_clock = self._now(), self._wall_clock()  # once for each call: its findings share one object
        self._queues.append(self._queues.pop(0))
        budget = DECISIONS_PER_ROUND
        for reserves in (True, False):
            for lane in Lane:
                room = MAX_FINDINGS - (self._reserved(lane) if reserves else 0)
                for queue, entry in self._turns(lane, budget):
                    if len(batch) >= room:
                        break
                    budget -= 1
                    offered = self._offer(call, queue, entry, now=now, wall_clock=wall_clock)
                    if offered is _FULL:
                        return batch
                    if isinstance(offered, Shipment):
                        batch.append(offered)
        return batch

    def _offer(
        self, call: Batch, queue: ClusterQueue, entry: Entry, *, now: SteadyMs, wall_clock: WallMs
    ) -> Shipment | _Full | None:
        """Decide about one finding and put it into the call, if it is to be sent and fits."""
        decision, evidence = queue.ledger.decide(entry, rules=queue.rules, now=now, wall_clock=wall_clock)
        if not isinstance(decision, Change):
            queue.ledger.mark_decided(entry, decision, lost=evidence.lost)
            return None
        if decision is Change.ARCHIVED and entry.representative is None and entry.body is None:
            queue.ledger.mark_in_flight(entry)
            self._read_first(queue, entry)
            return None
        try:
            shipment = ship(queue, entry, decision, now=wall_clock)
            shipment.size = measure(shipment.body)
            failure = oversize(shipment.size)
        except Exception:  # a finding that cannot be rendered is a bug of ours; it must not block others
            log.exception("finding_not_rendered", id=entry.id, cluster=queue.name)
            queue.ledger.mark_in_flight(entry)
            queue.ledger.reject(entry, rejected(entry, decision))
            return None
        if failure is None and not call.offer(shipment.body, shipment.size):
            return _FULL
        queue.ledger.mark_in_flight(entry)
        if failure is None:
            return shipment
        self._reject(shipment, failure)
        return None

    def _reserved(self, lane: Lane) -> int:
        """Room in a call that is reserved for less urgent lanes with waiting findings."""
        return sum(min(room, self._waiting(other)) for other, room in RESERVED.items() if other > lane)

    def _waiting(self, lane: Lane) -> int:
        return sum(len(queue.ledger.agenda.dirty.queue(lane)) for queue in self._queues if queue.sends)

    def _turns(self, lane: Lane, limit: int) -> Iterator[tuple[ClusterQueue, Entry]]:
        """Up to `limit` dirty entries of one lane: clusters take turns, and within each its namespaces."""
        sending = [queue for queue in self._queues if queue.sends and queue.ledger.agenda.dirty.queue(lane)]
        each = max(MAX_FINDINGS, limit // max(1, len(sending)))
        turns = [(queue, iter(queue.ledger.agenda.dirty.queue(lane).take(each))) for queue in sending]
        while turns:
            remaining = []
            for queue, ids in turns:
                id_ = next(ids, None)
                if id_ is None:
                    continue
                if limit == 0:
                    return
                limit -= 1
                remaining.append((queue, ids))
                yield queue, queue.ledger.entries[id_]
            turns = remaining
