"""The loop that makes Security Hub hold what the ledgers want: one engine per hub (account, Region, role).

It acts; what to do is decided in `plan`. A round: wait until something is dirty, give the batch a moment to fill, wait
until a call may leave, take decisions until the batch is full, import it, write the answers into the ledgers. Up to
`CONCURRENCY` calls are under way at once; a finding is in one of them at most. Beside them one call at a time reads
findings by id: fresh violations that the inventory has not reached, contradictions, and what only the inventory knows
just before it is archived. Nothing is kept here: what fails stays to be done in its ledger.

Two clocks: `now` never jumps and decides; `wall` is what is written into findings.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgspec
import structlog

from policyhub.findings import asff
from policyhub.hub import inventory
from policyhub.hub.batch import MAX_FINDINGS, Batch, Finding, measure, oversize
from policyhub.hub.client import MAX_FILTER_VALUES, ImportResult
from policyhub.hub.errors import AccessLost, Failure, HubError, Throttled, Unavailable, access_kind
from policyhub.hub.inventory import milliseconds, strip_for_import
from policyhub.metrics import Metrics
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.entry import NEW, WORKFLOW, Entry, Held, Known
from policyhub.sync.lanes import RESERVED, Lane, Queue
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import ARCHIVE_REJECTED, Change, Rules, next_update

log = structlog.get_logger(__name__)

CONCURRENCY = 4
"""Calls under way at once: enough to spend 10 calls a second at 400 ms each."""
IDLE_SECONDS = 0.2
"""A batch that is not full leaves when nothing was added for this long …"""
FILL_SECONDS = 1.0
"""… or at the latest this long after its first finding."""
DECISIONS_PER_ROUND = 2_000
"""Decisions between two looks at the event loop (about 10 ms)."""
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0
PRUNE_SECONDS = 60.0
"""From one look at what is no longer recent to the next, while nothing is sent."""
ANSWERED_CAP_SECONDS = 5.0
"""The same where the hub answers and fails every finding of a call."""


class Hub(Protocol):
    """What of a HubClient the engine uses."""

    async def ready(self) -> None: ...

    def spare(self) -> None: ...

    async def import_findings(self, findings: Sequence[Finding]) -> ImportResult: ...

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]: ...


class Feed:
    """What one monitored cluster puts into the hub."""

    def __init__(self, *, name: str, ledger: Ledger, cluster: asff.Cluster, rules: Rules, sends: bool) -> None:
        self.name = name
        self.ledger = ledger
        self.cluster = cluster
        self.rules = rules
        self.sends = sends
        """False: nothing is sent (DryRun, an identity conflict, another account's credentials)."""


class Trouble(msgspec.Struct, frozen=True):
    """Why the hub cannot be worked with now; the reason names a condition's reason."""

    reason: str
    message: str


@dataclass(slots=True)
class _Shipment:
    feed: Feed
    entry: Entry
    change: Change
    known: Known
    """What it will be known as once acknowledged."""
    body: dict[str, Any]


class _Full(Enum):
    FULL = "full"
    """The call has no room for this finding."""


_FULL = _Full.FULL


class _Bodies:
    """Findings that are to be read before they are archived; clusters and namespaces take turns."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Feed, Entry]] = {}
        self._queue = Queue()

    def add(self, feed: Feed, entry: Entry) -> None:
        key = f"{feed.name}/{entry.id}"
        self._of[key] = (feed, entry)
        self._queue.add(key, f"{feed.name}/{feed.ledger.namespace(entry.id)}")

    def take(self, limit: int) -> list[tuple[Feed, Entry]]:
        return [self._of.pop(key) for key in self._queue.take(limit)]

    def __len__(self) -> int:
        return len(self._of)


class Engine:
    """Drains the dirty sets of the feeds attached to it."""

    def __init__(
        self,
        *,
        hub: Hub,
        hub_name: str,
        metrics: Metrics,
        now: Callable[[], int],
        clock: Callable[[], float],
        rng: random.Random,
        wall: Callable[[], int] | None = None,
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps; `wall`, where it differs, by that on the wall.
        `acknowledged`, where others share it.
        """
        self.hub = hub
        self.hub_name = hub_name
        self._metrics = metrics
        self._now = now
        self._wall = wall or now
        self._clock = clock
        self._rng = rng
        self.acknowledged = Acknowledged() if acknowledged is None else acknowledged
        self.feeds: list[Feed] = []
        self.trouble: Trouble | None = None
        """Why imports do not get through."""
        self.reading: Trouble | None = None
        """Why findings cannot be read by id."""
        self._bodies = _Bodies()
        self._wanted = asyncio.Event()
        self._questions = asyncio.Event()
        self._failures = 0
        self._resume_at = 0.0
        self._asked = 0
        """Which feed's look-ups come next."""

    def wake(self) -> None:
        """Something became dirty, or is to be looked up."""
        self._wanted.set()
        self._questions.set()

    def attach(self, feed: Feed) -> None:
        self.feeds.append(feed)
        self.wake()

    def detach(self, feed: Feed) -> None:
        self.feeds.remove(feed)

    async def run(self) -> None:
        """Work until cancelled. Calls that are under way are cancelled with it."""
        slots = asyncio.Semaphore(CONCURRENCY)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask())
                while True:
                    await self._work()
                    await slots.acquire()
                    await self.hub.ready()  # before the decision: what waits for its turn may be wrong when it comes
                    batch = self._compose()
                    if not batch:
                        self.hub.spare()
                        slots.release()
                        await asyncio.sleep(0)
                        continue
                    task = tasks.create_task(self._round(batch))
                    task.add_done_callback(lambda _: slots.release())
                    await asyncio.sleep(0)
        finally:  # whatever happened, nothing stays in flight
            for feed, entry in self._bodies.take(len(self._bodies)):
                self._release(feed, entry)

    async def drain(self, *, seconds: float) -> None:
        """Wait until nothing is pending, at most this long (SIGTERM)."""
        end = self._clock() + seconds
        while self._clock() < end and any(self._undone(feed) for feed in self.feeds):  # noqa: ASYNC110  (several ledgers, no single event)
            await asyncio.sleep(0.05)

    @staticmethod
    def _undone(feed: Feed) -> bool:
        return feed.sends and bool(feed.ledger.agenda.dirty or feed.ledger.agenda.flying)

    def preview(self, feed: Feed) -> Counter[Change]:
        """What would be sent for a feed that does not send; what needs nothing leaves the dirty set."""
        would: Counter[Change] = Counter()
        now, wall = self._now(), self._wall()
        feed.ledger.wake(now)
        for id_ in list(feed.ledger.agenda.dirty):
            entry = feed.ledger.entries[id_]
            decision, evidence = feed.ledger.decide(entry, rules=feed.rules, now=now, wall=wall)
            if isinstance(decision, Change):
                would[decision] += 1
            else:
                feed.ledger.settle(entry, decision, lost=evidence.lost)
        return would

    # -- waiting --------------------------------------------------------------------------------------------------

    def _dirty(self) -> int:
        return sum(len(f.ledger.agenda.dirty) for f in self.feeds if f.sends)

    async def _work(self) -> None:
        """Return when a batch should be composed."""
        while True:
            due = self._wake_timers()
            wait = self._resume_at - self._clock()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            if self._dirty():
                await self._fill()
                return
            if not any(f.ledger.agenda.flying for f in self.feeds):
                self.trouble = None  # nothing is left that would show whether it lasts
            self._wanted.clear()
            timeout = None if due is None else max(0.0, (due - self._now()) / 1000)
            self.acknowledged.prune(self._now())
            if self.acknowledged:
                timeout = PRUNE_SECONDS if timeout is None else min(timeout, PRUNE_SECONDS)
            try:
                async with asyncio.timeout(timeout):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    def _wake_timers(self) -> int | None:
        now = self._now()
        dues = [due for f in self.feeds if (due := f.ledger.wake(now)) is not None]
        return min(dues, default=None)

    async def _fill(self) -> None:
        """Give a batch that is not full a moment to fill."""
        end = self._clock() + FILL_SECONDS
        while self._dirty() < MAX_FINDINGS and (left := end - self._clock()) > 0:
            self._wanted.clear()
            try:
                async with asyncio.timeout(min(IDLE_SECONDS, left)):
                    await self._wanted.wait()
            except TimeoutError:
                return

    # -- composing ------------------------------------------------------------------------------------------------

    def _compose(self) -> list[_Shipment]:
        """Decide until a batch is full; what is to be archived without a body is put to be read first."""
        batch: list[_Shipment] = []
        call = Batch()
        now, wall = self._now(), self._wall()  # once a call: its findings keep one number, not one each
        self.feeds = self.feeds[1:] + self.feeds[:1]
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
                    if isinstance(offered, _Shipment):
                        batch.append(offered)
        return batch

    def _offer(self, call: Batch, feed: Feed, entry: Entry, *, now: int, wall: int) -> "_Shipment | _Full | None":
        """Decide about one finding and put it into the call, if it is to be sent and fits."""
        decision, evidence = feed.ledger.decide(entry, rules=feed.rules, now=now, wall=wall)
        if not isinstance(decision, Change):
            feed.ledger.settle(entry, decision, lost=evidence.lost)
            return None
        if decision is Change.ARCHIVED and entry.voice is None and entry.body is None:
            feed.ledger.launch(entry)
            self._bodies.add(feed, entry)
            self._questions.set()
            return None
        try:
            shipment = self._ship(feed, entry, decision, now=wall)
            size = measure(shipment.body)
            failure = oversize(size)
        except Exception:  # a finding that cannot be rendered is a mistake of ours; it must not stop the others
            log.exception("finding_not_rendered", id=entry.id, cluster=feed.name)
            feed.ledger.launch(entry)
            feed.ledger.reject(entry, _rejected(entry, decision))
            return None
        if failure is None and not call.offer(shipment.body, size):
            return _FULL
        feed.ledger.launch(entry)
        if failure is None:
            return shipment
        self._refuse(shipment, failure)
        return None

    def _reserved(self, lane: Lane) -> int:
        """Of a call: what less urgent lanes have work for and may have before this one."""
        return sum(min(room, self._waiting(other)) for other, room in RESERVED.items() if other > lane)

    def _waiting(self, lane: Lane) -> int:
        return sum(len(feed.ledger.agenda.dirty.queue(lane)) for feed in self.feeds if feed.sends)

    def _turns(self, lane: Lane, limit: int) -> Iterator[tuple[Feed, Entry]]:
        """Dirty entries of one lane: clusters take turns, and within each its namespaces."""
        feeds = [feed for feed in self.feeds if feed.sends and feed.ledger.agenda.dirty.queue(lane)]
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

    @staticmethod
    def _ship(feed: Feed, entry: Entry, change: Change, *, now: int) -> _Shipment:
        known = entry.known
        archived = change is Change.ARCHIVED
        created = known.created_at if known is not None else min(entry.observed or now, now)
        updated = next_update(known.updated_at if known is not None else None, now=now)
        digest = entry.digest if entry.voice is not None else (known.digest if known is not None else "")
        again = entry.unanswered
        if again is not None and again.digest == digest and again.archived == archived:
            updated = again.updated_at  # the very same body: Security Hub ignores it if the lost call was written
        body: dict[str, Any]
        if entry.voice is not None:
            body = asff.render(
                entry.voice,
                cluster=feed.cluster,
                finding_id=entry.id,
                digest=digest,
                origin=entry.origin,
                created_at=created,
                observed_at=updated,
                updated_at=updated,
                archived=archived,
            )
        else:
            body = {**(entry.body or {}), "RecordState": "ARCHIVED", "UpdatedAt": asff.timestamp(updated)}
            # An adopted finding becomes this cluster's.
            body["ProductFields"] = {**body.get("ProductFields", {}), asff.CLUSTER_UID: feed.ledger.cluster_uid}
        renderer = known.renderer if entry.voice is None and known is not None else str(asff.RENDERER)
        result = Known(digest=digest, created_at=created, updated_at=updated, archived=archived, renderer=renderer)
        return _Shipment(feed=feed, entry=entry, change=change, known=result, body=body)

    # -- calling --------------------------------------------------------------------------------------------------

    async def _round(self, batch: list[_Shipment]) -> None:
        try:
            await self._send(batch)
        finally:  # whatever happened, nothing stays in flight
            for s in batch:
                self._release(s.feed, s.entry)

    @staticmethod
    def _release(feed: Feed, entry: Entry) -> None:
        if entry.in_flight:
            feed.ledger.release(entry)

    async def _send(self, batch: list[_Shipment]) -> None:
        for s in batch:  # its cluster may have been told to stop while the batch waited for its turn
            if not s.feed.sends or s.feed not in self.feeds:
                s.feed.ledger.release(s.entry)
        batch = [s for s in batch if s.entry.in_flight]
        if not batch:
            self.hub.spare()
            return
        try:
            result = await self.hub.import_findings([s.body for s in batch])
        except Unavailable as error:
            for s in batch:
                s.feed.ledger.unanswered(s.entry, s.known)
            self._back_off(error)
            return
        except HubError as error:
            for s in batch:
                s.feed.ledger.release(s.entry)
            self._back_off(error)
            return
        except BaseException:  # cancelled, or a mistake of ours: the outcome is unknown either way
            for s in batch:
                s.feed.ledger.unanswered(s.entry, s.known)
            raise
        self._judge(result)
        self._write(batch, result)

    def _write(self, batch: list[_Shipment], result: ImportResult) -> None:
        """The answers, into the ledgers."""
        now = self._now()
        jitter = self._rng.uniform(0.5, 1.0)  # one for all: what failed together goes together again
        changes = {s.change for s in batch}
        took = {change: self._metrics.delivery_seconds.labels(self.hub_name, change) for change in changes}
        sent: Counter[Change] = Counter()
        for s in batch:
            failure = result.failures.get(s.entry.id)
            if failure is not None:
                self._refuse(s, failure, jitter=jitter)
                continue
            if s.entry.pending_since:
                took[s.change].observe(max(0, now - s.entry.pending_since) / 1000)
            s.feed.ledger.shares.spend(s.feed.ledger.namespace(s.entry.id), now=now)
            s.feed.ledger.acknowledge(s.entry, s.known, now=now)
            self.acknowledged.note(s.feed.ledger.observed.signed(s.entry.id), s.known, now)
            self._settle(s.feed, s.entry, now=now)
            sent[s.change] += 1
        for change, number in sent.items():
            self._metrics.findings_sent.labels(self.hub_name, change).inc(number)

    def _settle(self, feed: Feed, entry: Entry, *, now: int) -> None:
        """What was acknowledged needs nothing more, unless it has changed meanwhile. Decided at once: in its lane it
        would count as pending until all that is more urgent was sent.
        """
        decision, evidence = feed.ledger.decide(entry, rules=feed.rules, now=now, wall=self._wall())
        if not isinstance(decision, Change):
            feed.ledger.settle(entry, decision, lost=evidence.lost)

    def _judge(self, result: ImportResult) -> None:
        """What the failures within one answered call say of the hub: one pause at most, however many they are."""
        if result.accepted:
            self._failures = 0
        lost = next((failure for failure in result.failures.values() if failure.kind == "configuration"), None)
        if lost is not None:
            self._back_off(AccessLost(access_kind(lost.code) or "AccessDenied", lost.message, code=lost.code))
            return
        self.trouble = None
        if not result.accepted and result.failures:
            self._pause(cap=ANSWERED_CAP_SECONDS)

    def _refuse(self, s: _Shipment, failure: Failure, *, jitter: float = 1.0) -> None:
        ledger = s.feed.ledger
        if failure.kind == "unsent":
            ledger.release(s.entry)
            return
        self._metrics.findings_rejected.labels(self.hub_name, failure.code).inc()
        match failure.kind:
            case "permanent":
                log.warning("finding_rejected", id=s.entry.id, code=failure.code, message=failure.message)
                ledger.reject(s.entry, _rejected(s.entry, s.change))
            case "configuration":
                ledger.release(s.entry)
            case "retry":  # one that always fails must not take a call of every round
                seconds = jitter * min(
                    BACKOFF_CAP_SECONDS, 2.0 ** min(ledger.observed.outcomes.failures(s.entry.id), 6)
                )
                ledger.observed.outcomes.postpone(s.entry.id, until=self._now() + int(1000 * seconds))
                ledger.release(s.entry)  # named as failed: it was not written

    # -- asking ---------------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Read by id what has to be, one call at a time. A failure is tried again with full jitter."""
        failures = 0
        looks_up = True
        while True:
            first, second = (self._look_up, self._read_bodies) if looks_up else (self._read_bodies, self._look_up)
            looks_up = not looks_up  # by turns: a flood of one must not hold up the other
            work = first() or second()
            if work is None:
                self.reading = None
                self._questions.clear()
                await self._questions.wait()
                continue
            try:
                await work
            except HubError as error:
                failures += 1
                if isinstance(error, AccessLost):
                    self.reading = Trouble(reason=error.kind, message=error.message)
                log.info("lookup_failed", hub=self.hub_name, code=error.code, attempt=failures)
                await asyncio.sleep(self._rng.uniform(0.1, min(BACKOFF_CAP_SECONDS, 2.0 ** min(failures, 6))))
            else:
                failures = 0
                self.reading = None

    def _look_up(self) -> Coroutine[Any, Any, None] | None:
        for feed in (*self.feeds[self._asked :], *self.feeds[: self._asked]):
            if feed.sends and (ids := feed.ledger.observed.take_lookups(MAX_FILTER_VALUES)):
                self._asked = (self.feeds.index(feed) + 1) % len(self.feeds)
                return self._look(feed, ids)
        return None

    async def _look(self, feed: Feed, ids: list[str]) -> None:
        left = set(ids)
        try:
            found = await self.hub.by_ids(ids)
            for id_ in ids:
                finding = found.get(id_)
                held = None if finding is None else held_as(inventory.held(finding))
                feed.ledger.observed.answer(id_, held, now=self._now())
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

    async def _read(self, unread: list[tuple[Feed, Entry]]) -> None:
        try:
            found = await self.hub.by_ids([entry.id for _, entry in unread])
            for feed, entry in unread:
                self._take_body(feed, entry, found.get(entry.id))
        finally:  # not answered: decided again
            for feed, entry in unread:
                self._release(feed, entry)

    def _take_body(self, feed: Feed, entry: Entry, finding: dict[str, Any] | None) -> None:
        if finding is None or entry.known is None:
            feed.ledger.take_body(entry, None, None)
        elif (uid := str(finding.get("ProductFields", {}).get(asff.CLUSTER_UID, ""))) not in feed.ledger.observed.uids:
            log.warning("finding_of_another_cluster", id=entry.id, cluster=feed.name, uid=uid)
            archived = finding.get("RecordState") == "ARCHIVED"
            feed.ledger.meet_foreign(entry, uid, archived=archived, now=self._now())
            if feed.ledger.observed.quarantine.conflict:
                feed.sends = False
        else:
            archived = finding.get("RecordState") == "ARCHIVED"
            known = msgspec.structs.replace(
                entry.known,
                archived=archived,
                updated_at=max(entry.known.updated_at, milliseconds(finding.get("UpdatedAt"))),
            )
            feed.ledger.take_body(entry, strip_for_import(finding), known)

    # -- backing off ----------------------------------------------------------------------------------------------

    def _back_off(self, error: HubError) -> None:
        trouble = Trouble(
            reason=error.kind if isinstance(error, AccessLost) else type(error).__name__, message=error.message
        )
        if trouble != self.trouble:
            log.warning("hub_trouble", hub=self.hub_name, reason=trouble.reason, message=trouble.message)
        if not isinstance(error, Throttled):
            self.trouble = trouble
        if trouble.reason == "NotEnabled":
            self.acknowledged.clear()
        self._pause()

    def _pause(self, *, cap: float = BACKOFF_CAP_SECONDS) -> None:
        """Full jitter: the hub is never the victim of our retries."""
        self._failures += 1
        ceiling = min(cap, BACKOFF_BASE_SECONDS * 2 ** min(self._failures - 1, 6))
        self._resume_at = max(self._resume_at, self._clock() + self._rng.uniform(0.1, ceiling))


def _rejected(entry: Entry, change: Change) -> str:
    """What `Entry.rejected` remembers of a refused import."""
    return ARCHIVE_REJECTED if change is Change.ARCHIVED else entry.digest


def held_as(found: inventory.Held) -> Held:
    """A finding as the inventory reads it, as the ledger knows it."""
    return Held(
        id=found.id,
        known=Known(
            digest=found.digest,
            created_at=found.created_at,
            updated_at=found.updated_at,
            archived=found.record_state == "ARCHIVED",
            renderer=found.renderer,
        ),
        cluster_uid=found.cluster_uid,
        origin=found.origin,
        rule=found.rule,
        source=found.source,
        policy=found.policy,
        place=found.place,
        triage=(found.workflow_status if found.workflow_status in WORKFLOW else NEW, found.severity),
    )
