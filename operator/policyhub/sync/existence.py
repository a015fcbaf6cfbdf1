"""Whether objects and policies still exist: lookups that the API server has to answer, and its answers.

The code that decides about a finding asks here; `sync.existence_client` sends the lookups to the API server. A lookup
without an answer is kept until it has one.

| the API server                                            | then                                                     |
|-----------------------------------------------------------|----------------------------------------------------------|
| returns the object                                        | PRESENT                                                  |
| says that the object does not exist                       | ABSENT                                                   |
| refuses (403), or does not serve the kind                 | retried after `REFUSAL_CONFIRM_MS`; if it refuses again: |
|                                                           | UNKNOWN, and retried after `UNKNOWN_RETRY_MS`            |
| fails (time-out, 5xx, 429, an incomplete listing)         | retried with increasing back-off; no answer until then   |
| is not asked: Secrets, names that no object can have,     | UNKNOWN at once                                          |
| policies of a source without policy objects               |                                                          |

Lookups that one request can answer share a *scope*: objects of one kind in one namespace, or policies of the same
kinds. Namespaces take turns, and within each namespace its scopes. `LIST_FROM` objects of a scope or more are looked up
by one listing, fewer are read one by one. Policies are always listed by kind: this also separates policies whose names
their engine joins.

The findings bound the number of lookups, constants bound everything else. Pure: no I/O; the clock is an argument, in
milliseconds, and never jumps.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import islice
from typing import Final

import msgspec

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.model.engines import GATEKEEPER
from policyhub.model.grammar import is_name, is_namespace, is_typed
from policyhub.model.policy_apis import kinds_of
from policyhub.model.violation import Subject

REFUSAL_CONFIRM_MS: Final = 15_000
"""A refusal is accepted if it is repeated after this time: an API server refuses for some seconds while it starts."""
UNKNOWN_RETRY_MS: Final = 3_600_000
ANSWER_TTL_MS: Final = 600_000
"""How long an answer is kept: it is used within seconds, and again after `archiveDelay`."""
MAX_ANSWERS: Final = 20_000  # about 6 MB
MAX_REFUSALS: Final = 5_000  # remembered, one for each scope
LIST_FROM: Final = 20
POLICY_LISTING_INTERVAL_MS: Final = 2_000
"""Minimum time between two listings of policies."""
BACKOFF_MS: Final = (1_000, 60_000)

WATCHED_KINDS: Final = (
    "namespaces",
    "pods",
    "replicationcontrollers",
    "daemonsets.apps",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "cronjobs.batch",
    "jobs.batch",
)
"""RBAC: get. `rbac.rollUp` and `rbac.namespaces` add list, because a kind that may be listed is watched."""
OTHER_KINDS: Final = (
    "limitranges",
    "nodes",
    "persistentvolumeclaims",
    "resourcequotas",
    "serviceaccounts",
    "services",
    "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "poddisruptionbudgets.policy",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
)
"""RBAC: get and list. `rbac.existence` of the chart permits both sets: the kinds that engines and their public policies
report on. No Secrets or ConfigMaps: permission to read their metadata includes their content."""


class Presence(StrEnum):
    PRESENT = "there"
    ABSENT = "gone"
    UNKNOWN = "unknown"
    """The API server may not be asked, or the reference is not clear."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    presence: Presence
    asked: SteadyMs
    """When the request began; of several requests, the first. UNKNOWN without a request: now."""
    changed_at: WallMs = UNDATED
    """PRESENT only: the time of the last change other than of its status; 0: not known."""
    uid: str = ""
    """PRESENT only."""
    answered_at: SteadyMs = NEVER
    """When the answer was complete: a discovery that begins later confirms which cluster gave it."""


class PolicyName(msgspec.Struct, frozen=True, gc=False):
    """A policy, by the name that its engine gives it in reports."""

    source: str
    policy: str


Referent = Subject | PolicyName


class FoundObject(msgspec.Struct, frozen=True, gc=False):
    """An object that exists, as the API server returned it."""

    uid: str
    changed_at: WallMs = UNDATED


class LookupScope(msgspec.Struct, frozen=True):
    """The lookups that one request can answer."""

    group: str
    kind: str = ""
    namespace: str = ""
    resources: tuple[str, ...] = ()
    """For policies: the kinds that they can have. Empty for objects."""


class Batch(msgspec.Struct, frozen=True, eq=False):
    """Lookups to send now. The client calls `release` at the end, whatever the outcome."""

    scope: LookupScope
    referents: tuple[Referent, ...]
    listing: bool


class _ScopeQueue(msgspec.Struct, eq=False):
    """The lookups of one scope."""

    waiting: dict[Referent, SteadyMs] = {}
    """With the earliest request time that each accepts."""
    in_flight: set[Referent] = set()
    listing: bool = False
    """A listing is in progress."""
    one_by_one: bool = False
    """See `mark_unlistable`."""
    queued: bool = False
    due: SteadyMs = NEVER
    failures: int = 0


class _Refusal(msgspec.Struct, eq=False):
    first: SteadyMs
    """When the first of the consecutive refused requests began."""
    asked: SteadyMs
    until: SteadyMs = NEVER
    """Until when it is accepted; 0: not yet, or no longer."""
    was_accepted: bool = False
    """It has been accepted before."""
    resources: tuple[str, ...] = ()
    """The resources that may not be read; empty: the kind is not served."""


class _Backoff(msgspec.Struct, eq=False):
    failures: int = 0
    until: SteadyMs = NEVER


class Existence:
    """Of one monitored cluster; it outlives its connections."""

    def __init__(self, *, now: Callable[[], SteadyMs], on_answer: Callable[[Referent], None] = lambda _: None) -> None:
        """`on_answer` is called for each lookup that was answered."""
        self.on_request: Callable[[], None] = lambda: None
        """Called when there is a lookup to send."""
        self._now = now
        self._on_answer = on_answer
        self._answers: dict[Referent, Answer] = {}
        """Oldest first."""
        self._queues: dict[LookupScope, _ScopeQueue] = {}
        self._turns: dict[str, dict[LookupScope, None]] = {}
        """Scopes with lookups to send now, by namespace, in the order of their turns."""
        self._later: list[tuple[SteadyMs, int, LookupScope]] = []
        self._sequence = 0
        self._refusals: dict[LookupScope, _Refusal] = {}
        self._backoffs: dict[str, _Backoff] = {}
        """By API group."""
        self._backoff = _Backoff()
        """Of the API server as a whole."""

    # -- for decisions --------------------------------------------------------------------------------------------

    def subject(self, subject: Subject, *, since: SteadyMs) -> Answer | None:
        """An answer whose request began at `since` or later; None: there is none yet, and it will be requested."""
        if not _can_be_read(subject):
            return self._unknown()
        return self._lookup(subject, LookupScope(subject.group, subject.kind, subject.namespace), since)

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None:
        """Like `subject`. `policy` is its name in reports."""
        resources = kinds_of(source, policy) if source != GATEKEEPER else ()
        if not resources:
            return self._unknown()
        scope = LookupScope(resources[0].partition(".")[2], resources=resources)
        return self._lookup(PolicyName(source, policy), scope, since)

    @property
    def forbidden(self) -> list[str]:
        """Resources that may not be read, by accepted and recent refusals: `<resource>.<group>`."""
        oldest = self._now() - UNKNOWN_RETRY_MS - 4 * REFUSAL_CONFIRM_MS
        accepted = (refusal for refusal in self._refusals.values() if refusal.was_accepted and refusal.asked > oldest)
        return sorted({name for refusal in accepted for name in refusal.resources})

    def _lookup(self, referent: Referent, scope: LookupScope, since: SteadyMs) -> Answer | None:
        known = self._answers.get(referent)
        if known is not None and known.asked >= since:
            return known
        now = self._now()
        refusal = self._refusals.get(scope)
        if refusal is not None and refusal.until > now:
            return Answer(Presence.UNKNOWN, refusal.asked, answered_at=now)
        queue = self._queues.setdefault(scope, _ScopeQueue())
        queue.waiting[referent] = max(since, queue.waiting.get(referent, since))
        self._enqueue(scope, queue)
        self.on_request()
        return None

    def _unknown(self) -> Answer:
        now = self._now()
        return Answer(Presence.UNKNOWN, now, answered_at=now)

    # -- for the client -------------------------------------------------------------------------------------------

    def next_batch(self) -> Batch | None:
        """The lookups to send now; None: none is due."""
        now = self._now()
        self._forget(now)
        while self._later and self._later[0][0] <= now:
            _, _, scope = heapq.heappop(self._later)
            self._turns.setdefault(scope.namespace, {})[scope] = None
        while self._turns and now >= self._backoff.until:
            scope = self._take_turn()
            queue = self._queues[scope]
            queue.queued = False
            backoff = self._backoffs.get(scope.group)
            if backoff is not None and backoff.until > now:
                queue.due = max(queue.due, backoff.until)
                self._enqueue(scope, queue)
                continue
            batch = self._batch(scope, queue)
            if batch is not None:
                return batch
        return None

    @property
    def waiting(self) -> int:
        """Number of lookups without an answer."""
        return sum(len(queue.waiting) for queue in self._queues.values())

    def next_due(self) -> SteadyMs | None:
        """When `next_batch` will have something; None: only after a new lookup or a release."""
        if not self._turns and not self._later:
            return None
        first = self._now() if self._turns else self._later[0][0]
        return max(first, self._backoff.until)

    def answer(self, batch: Batch, found: Mapping[Referent, FoundObject], *, asked: SteadyMs, complete: bool) -> None:
        """The API server has `found`. If the answer is `complete`, nothing else of the batch exists."""
        now = self._now()
        if complete:
            if self._backoff.until <= now:
                self._backoff.failures = 0
            if self._backoffs.get(batch.scope.group, self._backoff).until <= now:
                self._backoffs.pop(batch.scope.group, None)
            self._refusals.pop(batch.scope, None)
            self._queues[batch.scope].failures = 0
        answers = {one: Answer(Presence.PRESENT, asked, it.changed_at, it.uid, now) for one, it in found.items()}
        if complete:
            absent = Answer(Presence.ABSENT, asked, answered_at=now)
            answers |= {referent: absent for referent in batch.referents if referent not in found}
        for referent, answer in answers.items():
            self._answers.pop(referent, None)
            self._answers[referent] = answer
        self._take_answered(batch.scope, answers, asked)

    def refuse(self, batch: Batch, *, asked: SteadyMs, resources: Iterable[str] = ()) -> None:
        """The API server refused. `resources` may not be read; none: the kind is not served."""
        now, scope = self._now(), batch.scope
        refusal = self._refusals.pop(scope, None) or _Refusal(asked, asked)
        self._refusals[scope] = refusal
        if refusal.until:  # its time is over: it must be confirmed again
            refusal.first, refusal.until = asked, NEVER
        while len(self._refusals) > MAX_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        refusal.asked, refusal.resources = asked, tuple(resources)
        if asked < refusal.first + REFUSAL_CONFIRM_MS:
            self._queues[scope].due = now + REFUSAL_CONFIRM_MS
            return
        refusal.until, refusal.was_accepted = now + UNKNOWN_RETRY_MS, True
        self._take_answered(scope, list(self._queues[scope].waiting), None)

    def fail(self, batch: Batch, *, retry_after: float | None = None, everything: bool = False) -> None:
        """There was no answer. `everything`: no other lookup would be answered either."""
        now, queue = self._now(), self._queues[batch.scope]
        shortest = now + round((retry_after or 0) * 1000)
        if batch.listing or queue.due <= now:  # otherwise another lookup of the scope has just failed
            queue.due = max(shortest, now + _delay(queue.failures))
            queue.failures += 1
        backoff = self._backoff if everything else self._backoffs.setdefault(batch.scope.group, _Backoff())
        if backoff.until <= now:
            backoff.until = max(shortest, now + _delay(backoff.failures))
            backoff.failures += 1

    def mark_unlistable(self, batch: Batch) -> None:
        """The listing was refused or lacks names: look up the objects of the scope one by one."""
        self._queues[batch.scope].one_by_one = True

    def release(self, batch: Batch) -> None:
        """The batch is over: what it left unanswered is looked up again."""
        queue = self._queues[batch.scope]
        queue.in_flight.difference_update(batch.referents)
        if batch.listing:
            queue.listing = False
        if queue.waiting:
            self._enqueue(batch.scope, queue)
        elif not queue.in_flight and not queue.queued:
            del self._queues[batch.scope]

    def _batch(self, scope: LookupScope, queue: _ScopeQueue) -> Batch | None:
        number = len(queue.waiting) - len(queue.in_flight & queue.waiting.keys())
        if number == 0 or queue.listing:
            if not queue.waiting and not queue.in_flight:
                del self._queues[scope]
            return None  # `release` of the batch in progress queues it again
        listing = bool(scope.resources) or (number >= LIST_FROM and not queue.one_by_one)
        free = (referent for referent in queue.waiting if referent not in queue.in_flight)
        referents = tuple(free if listing else islice(free, 1))
        queue.in_flight.update(referents)
        queue.listing = listing
        if scope.resources:
            queue.due = max(queue.due, self._now() + POLICY_LISTING_INTERVAL_MS)
        if number > len(referents):
            self._enqueue(scope, queue)
        return Batch(scope, referents, listing)

    def _take_answered(self, scope: LookupScope, referents: Iterable[Referent], asked: SteadyMs | None) -> None:
        """End the lookups that this answers: the request must have begun late enough (`asked` None: always)."""
        waiting = self._queues[scope].waiting
        answered = [one for one in referents if one in waiting and (asked is None or waiting[one] <= asked)]
        for referent in answered:
            del waiting[referent]
        for referent in answered:
            self._on_answer(referent)

    def _enqueue(self, scope: LookupScope, queue: _ScopeQueue) -> None:
        if queue.queued:
            return
        queue.queued = True
        if queue.due <= self._now():
            self._turns.setdefault(scope.namespace, {})[scope] = None
            return
        self._sequence += 1
        heapq.heappush(self._later, (queue.due, self._sequence, scope))

    def _take_turn(self) -> LookupScope:
        namespace = next(iter(self._turns))
        scopes = self._turns.pop(namespace)
        scope = next(iter(scopes))
        del scopes[scope]
        if scopes:
            self._turns[namespace] = scopes
        return scope

    def _forget(self, now: SteadyMs) -> None:
        stale: list[Referent] = []
        for referent, answer in self._answers.items():
            if answer.answered_at > now - ANSWER_TTL_MS and len(self._answers) - len(stale) <= MAX_ANSWERS:
                break
            stale.append(referent)
        for referent in stale:
            del self._answers[referent]


def _delay(failures: int) -> int:
    shortest, longest = BACKOFF_MS
    return min(longest, shortest << min(failures, 16))


def _can_be_read(subject: Subject) -> bool:
    """Whether such an object can exist and may be looked up."""
    return (
        bool(subject.kind)
        and (subject.group, subject.kind) != ("", "Secret")
        and is_typed(subject.group, subject.kind)
        and is_namespace(subject.namespace)
        and is_name(subject.name)
        and "/" not in subject.name
    )
