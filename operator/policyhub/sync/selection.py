"""What goes into the next call: decides about dirty findings until a batch is full.

Clusters take turns, and within each its namespaces; lanes go in their order, and of each call less urgent ones have
what `RESERVED` gives them. A finding that cannot be rendered, or is too large, is refused here and holds up no other.
One that is to be archived and whose body only the hub has is put to be read first.

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
"""Decisions between two looks at the event loop (about 10 ms)."""


class _Full(Enum):
    FULL = "full"
    """The call has no room for this finding."""


_FULL = _Full.FULL


class Selection:
    """Takes from the dirty sets of the feeds what one call holds."""

    def __init__(
        self,
        feeds: list[ClusterQueue],
        *,
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
        read_first: Callable[[ClusterQueue, Entry], None],
        refuse: Callable[[Shipment, Failure], None],
    ) -> None:
        """`feeds` are the engine's: each call begins with another one. `now` and `wall` as of the engine; `read_first`
        is given what is to be read before it is archived, `refuse` what no call can hold.
        """
        self._queues = feeds
        self._now = now
        self._wall = wall
        self._read_first = read_first
        self._refuse = refuse

    def take(self) -> list[Shipment]:
        """Decide until a batch is full; what is to be archived without a body is put to be read first."""
        batch: list[Shipment] = []
        if not self._queues:
            return batch
        call = Batch()
        now, wall = self._now(), self._wall()  # once a call: its findings keep one number, not one each
        self._queues.append(self._queues.pop(0))
        left = DECISIONS_PER_ROUND
        for reserves in (True, False):
            for lane in Lane:
                most = MAX_FINDINGS - (self._reserved(lane) if reserves else 0)
                for feed, entry in self._turns(lane, left):
                    if len(batch) >= most:
                        break
                    left -= 1
                    offered = self._offer(call, feed, entry, now=now, wall=wall)
                    if offered is _FULL:
                        return batch
                    if isinstance(offered, Shipment):
                        batch.append(offered)
        return batch

    def _offer(
        self, call: Batch, feed: ClusterQueue, entry: Entry, *, now: SteadyMs, wall: WallMs
    ) -> Shipment | _Full | None:
        """Decide about one finding and put it into the call, if it is to be sent and fits."""
        decision, evidence = feed.ledger.decide(entry, rules=feed.rules, now=now, wall=wall)
        if not isinstance(decision, Change):
            feed.ledger.mark_decided(entry, decision, lost=evidence.lost)
            return None
        if decision is Change.ARCHIVED and entry.representative is None and entry.body is None:
            feed.ledger.mark_in_flight(entry)
            self._read_first(feed, entry)
            return None
        try:
            shipment = ship(feed, entry, decision, now=wall)
            shipment.size = measure(shipment.body)
            failure = oversize(shipment.size)
        except Exception:  # a finding that cannot be rendered is a mistake of ours; it must not stop the others
            log.exception("finding_not_rendered", id=entry.id, cluster=feed.name)
            feed.ledger.mark_in_flight(entry)
            feed.ledger.reject(entry, rejected(entry, decision))
            return None
        if failure is None and not call.offer(shipment.body, shipment.size):
            return _FULL
        feed.ledger.mark_in_flight(entry)
        if failure is None:
            return shipment
        self._refuse(shipment, failure)
        return None

    def _reserved(self, lane: Lane) -> int:
        """Of a call: what less urgent lanes have work for and may have before this one."""
        return sum(min(room, self._waiting(other)) for other, room in RESERVED.items() if other > lane)

    def _waiting(self, lane: Lane) -> int:
        return sum(len(feed.ledger.agenda.dirty.queue(lane)) for feed in self._queues if feed.sends)

    def _turns(self, lane: Lane, limit: int) -> Iterator[tuple[ClusterQueue, Entry]]:
        """Dirty entries of one lane: clusters take turns, and within each its namespaces."""
        feeds = [feed for feed in self._queues if feed.sends and feed.ledger.agenda.dirty.queue(lane)]
        each = max(MAX_FINDINGS, limit // max(1, len(feeds)))
        queues = [(feed, iter(feed.ledger.agenda.dirty.queue(lane).take(each))) for feed in feeds]
        while queues:
            going = []
            for feed, queue in queues:
                id_ = next(queue, None)
                if id_ is None:
                    continue
                if limit == 0:
                    return
                limit -= 1
                going.append((feed, queue))
                yield feed, feed.ledger.entries[id_]
            queues = going
