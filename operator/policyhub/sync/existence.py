"""Whether objects and policies still exist: what is to be asked of the API server, and what it has answered.

Who decides about a finding asks here; `sync.asker` carries the questions to the API server. A question that has no
answer yet is kept until it has one.

| the API server                                            | then                                                     |
|-----------------------------------------------------------|----------------------------------------------------------|
| has it                                                    | THERE                                                    |
| says that it does not have it                             | GONE                                                     |
| refuses (403), or does not serve its kind                 | asked again `STANDS_MS` later; refused again: UNKNOWN,   |
|                                                           | and asked again after `UNKNOWN_MS`                       |
| fails (time-out, 5xx, 429, a part of a listing)           | asked again, ever less often; no answer until then       |
| is not asked: Secrets, what no object can be called,      | UNKNOWN at once                                          |
| policies of a source that has no such objects             |                                                          |

Questions that one request can answer lie on one *shelf*: objects of one kind in one namespace, policies of the same
kinds. Namespaces take turns, and within one its shelves. `MANY` objects of a shelf are asked for by one listing, fewer
one by one; policies always by a listing of their kinds, which also tells those apart whose names their engine joins.

Questions are bounded by the findings that they are about, all else by constants. Pure: no I/O; the clock is an
argument, in milliseconds, and never jumps.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import islice
from typing import Final

import msgspec

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.sources.engines import GATEKEEPER
from policyhub.sources.grammar import is_name, is_namespace, is_typed
from policyhub.sources.policy_apis import kinds_of
from policyhub.sources.violation import Subject

STANDS_MS: Final = 15_000
"""A refusal that is repeated after this long is believed: an API server that starts refuses for some seconds."""
UNKNOWN_MS: Final = 3_600_000
KEPT_MS: Final = 600_000
"""How long an answer is kept after it came: whoever asked decides within seconds, and archives after `archiveDelay`."""
KEPT: Final = 20_000
"""Answers, about 6 MB."""
REFUSALS: Final = 5_000
"""Shelves of which it is remembered that they were refused."""
MANY: Final = 20
APART_MS: Final = 2_000
"""The least between two listings of policies."""
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
"""May be got; who may list them says `rbac.rollUp` or `rbac.namespaces`, since a kind that may be listed is watched."""
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
"""May be got and listed. With the others what the chart lets be asked for (`rbac.existence`): what engines and their
public policies report on. Neither Secrets nor ConfigMaps: who may read their metadata may read their content."""


class Presence(StrEnum):
    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"
    """It may not be asked, or it is not known what was meant."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    presence: Presence
    asked: SteadyMs
    """When the request began, of several the first. UNKNOWN without a request: now."""
    changed: WallMs = UNDATED
    """Of what is THERE: the time of its last change but those of its status; 0 not known."""
    uid: str = ""
    """Of what is THERE."""
    ended: SteadyMs = NEVER
    """When the answer was whole: which cluster gave it is confirmed by what begins later than this."""


class PolicyName(msgspec.Struct, frozen=True, gc=False):
    """A policy, as its engine calls it in reports."""

    source: str
    policy: str


Referent = Subject | PolicyName


class Found(msgspec.Struct, frozen=True, gc=False):
    """What the API server said of one thing that is there."""

    uid: str
    changed: WallMs = UNDATED


class Shelf(msgspec.Struct, frozen=True):
    """What one request can answer."""

    group: str
    kind: str = ""
    namespace: str = ""
    origins: tuple[str, ...] = ()
    """Of policies: the kinds that they can be of. Empty for objects."""


class Batch(msgspec.Struct, frozen=True, eq=False):
    """To be asked now. Ends with `release`, whatever came."""

    shelf: Shelf
    things: tuple[Referent, ...]
    listing: bool


class _Line(msgspec.Struct, eq=False):
    """What waits on one shelf."""

    waiting: dict[Referent, SteadyMs] = {}
    """Each with its `since`."""
    flying: set[Referent] = set()
    listing: bool = False
    """One is under way."""
    single: bool = False
    """See `unlistable`."""
    queued: bool = False
    due: SteadyMs = NEVER
    failures: int = 0


class _Refusal(msgspec.Struct, eq=False):
    first: SteadyMs
    """When the first refused request of an unbroken row began."""
    asked: SteadyMs
    until: SteadyMs = NEVER
    """Until then it is believed; 0 not yet, or not any more."""
    stood: bool = False
    """It was believed before."""
    resources: tuple[str, ...] = ()
    """That may not be read; empty where the kind is not served."""


class _Pause(msgspec.Struct, eq=False):
    failures: int = 0
    until: SteadyMs = NEVER


class Existence:
    """Of one monitored cluster, over connection after connection."""

    def __init__(self, *, now: Callable[[], SteadyMs], on_answer: Callable[[Referent], None] = lambda _: None) -> None:
        """`on_answer` is called for each question that was answered."""
        self.on_question: Callable[[], None] = lambda: None
        """Called when there is something to ask."""
        self._now = now
        self._on_answer = on_answer
        self._answers: dict[Referent, Answer] = {}
        """By the time when they came."""
        self._lines: dict[Shelf, _Line] = {}
        self._turns: dict[str, dict[Shelf, None]] = {}
        """Shelves that can be asked for now, by namespace, whose turn comes in this order."""
        self._later: list[tuple[SteadyMs, int, Shelf]] = []
        self._number = 0
        self._refusals: dict[Shelf, _Refusal] = {}
        self._pauses: dict[str, _Pause] = {}
        """By group."""
        self._pause = _Pause()
        """Of everything."""

    # -- who decides ----------------------------------------------------------------------------------------------

    def subject(self, of: Subject, *, since: SteadyMs) -> Answer | None:
        """An answer whose request began at `since` or later; None where there is none yet: it will be asked for."""
        if not _nameable(of):
            return self._unknown()
        return self._ask(of, Shelf(of.group, of.kind, of.namespace), since)

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None:
        """As `subject`. `policy` is the name that reports give it."""
        origins = kinds_of(source, policy) if source != GATEKEEPER else ()
        if not origins:
            return self._unknown()
        return self._ask(PolicyName(source, policy), Shelf(origins[0].partition(".")[2], origins=origins), since)

    @property
    def forbidden(self) -> list[str]:
        """What may not be read, as far as it was asked for and the refusal stands: `<resource>.<group>`."""
        oldest = self._now() - UNKNOWN_MS - 4 * STANDS_MS
        stand = (refusal for refusal in self._refusals.values() if refusal.stood and refusal.asked > oldest)
        return sorted({name for refusal in stand for name in refusal.resources})

    def _ask(self, thing: Referent, shelf: Shelf, since: SteadyMs) -> Answer | None:
        observed = self._answers.get(thing)
        if observed is not None and observed.asked >= since:
            return observed
        now = self._now()
        refusal = self._refusals.get(shelf)
        if refusal is not None and refusal.until > now:
            return Answer(Presence.UNKNOWN, refusal.asked, ended=now)
        line = self._lines.setdefault(shelf, _Line())
        line.waiting[thing] = max(since, line.waiting.get(thing, since))
        self._queue(shelf, line)
        self.on_question()
        return None

    def _unknown(self) -> Answer:
        now = self._now()
        return Answer(Presence.UNKNOWN, now, ended=now)

    # -- who asks -------------------------------------------------------------------------------------------------

    def next(self) -> Batch | None:
        """What is to be asked now."""
        now = self._now()
        self._forget(now)
        while self._later and self._later[0][0] <= now:
            _, _, shelf = heapq.heappop(self._later)
            self._turns.setdefault(shelf.namespace, {})[shelf] = None
        while self._turns and now >= self._pause.until:
            shelf = self._take_turn()
            line = self._lines[shelf]
            line.queued = False
            pause = self._pauses.get(shelf.group)
            if pause is not None and pause.until > now:
                line.due = max(line.due, pause.until)
                self._queue(shelf, line)
                continue
            batch = self._batch(shelf, line)
            if batch is not None:
                return batch
        return None

    @property
    def waiting(self) -> int:
        """Questions without an answer."""
        return sum(len(line.waiting) for line in self._lines.values())

    def due(self) -> SteadyMs | None:
        """When `next` has something again, by what is known now; None: only after a new question, or a release."""
        if not self._turns and not self._later:
            return None
        first = self._now() if self._turns else self._later[0][0]
        return max(first, self._pause.until)

    def answer(self, batch: Batch, found: Mapping[Referent, Found], *, asked: SteadyMs, whole: bool) -> None:
        """What the API server has of the batch. Where it told the `whole`, it has nothing else of it."""
        now = self._now()
        if whole:
            if self._pause.until <= now:
                self._pause.failures = 0
            if self._pauses.get(batch.shelf.group, self._pause).until <= now:
                self._pauses.pop(batch.shelf.group, None)
            self._refusals.pop(batch.shelf, None)
            self._lines[batch.shelf].failures = 0
        answers = {thing: Answer(Presence.THERE, asked, it.changed, it.uid, now) for thing, it in found.items()}
        if whole:
            gone = Answer(Presence.GONE, asked, ended=now)
            answers |= {thing: gone for thing in batch.things if thing not in found}
        for thing, answer in answers.items():
            self._answers.pop(thing, None)
            self._answers[thing] = answer
        self._finish(batch.shelf, answers, asked)

    def refuse(self, batch: Batch, *, asked: SteadyMs, resources: Iterable[str] = ()) -> None:
        """`resources` may not be read; none: the kind is not served."""
        now, shelf = self._now(), batch.shelf
        refusal = self._refusals.pop(shelf, None) or _Refusal(asked, asked)
        self._refusals[shelf] = refusal
        if refusal.until:  # it has stood for its time, and must stand again
            refusal.first, refusal.until = asked, NEVER
        while len(self._refusals) > REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        refusal.asked, refusal.resources = asked, tuple(resources)
        if asked < refusal.first + STANDS_MS:
            self._lines[shelf].due = now + STANDS_MS
            return
        refusal.until, refusal.stood = now + UNKNOWN_MS, True
        self._finish(shelf, list(self._lines[shelf].waiting), None)

    def fail(self, batch: Batch, *, retry_after: float | None = None, everything: bool = False) -> None:
        """No answer. `everything`: nor would there be one to any other question."""
        now, line = self._now(), self._lines[batch.shelf]
        least = now + round((retry_after or 0) * 1000)
        if batch.listing or line.due <= now:  # else a neighbour on the shelf has failed just now
            line.due = max(least, now + _delay(line.failures))
            line.failures += 1
        pause = self._pause if everything else self._pauses.setdefault(batch.shelf.group, _Pause())
        if pause.until <= now:
            pause.until = max(least, now + _delay(pause.failures))
            pause.failures += 1

    def unlistable(self, batch: Batch) -> None:
        """A listing is refused, or does not tell every name: its objects are asked for one by one."""
        self._lines[batch.shelf].single = True

    def release(self, batch: Batch) -> None:
        """Nothing more comes of the batch: what it left without an answer is asked for again."""
        line = self._lines[batch.shelf]
        line.flying.difference_update(batch.things)
        if batch.listing:
            line.listing = False
        if line.waiting:
            self._queue(batch.shelf, line)
        elif not line.flying and not line.queued:
            del self._lines[batch.shelf]

    def _batch(self, shelf: Shelf, line: _Line) -> Batch | None:
        number = len(line.waiting) - len(line.flying & line.waiting.keys())
        if number == 0 or line.listing:
            if not line.waiting and not line.flying:
                del self._lines[shelf]
            return None  # the release of what is under way queues it again
        listing = bool(shelf.origins) or (number >= MANY and not line.single)
        free = (thing for thing in line.waiting if thing not in line.flying)
        things = tuple(free if listing else islice(free, 1))
        line.flying.update(things)
        line.listing = listing
        if shelf.origins:
            line.due = max(line.due, self._now() + APART_MS)
        if number > len(things):
            self._queue(shelf, line)
        return Batch(shelf, things, listing)

    def _finish(self, shelf: Shelf, things: Iterable[Referent], asked: SteadyMs | None) -> None:
        """These are answered, as far as the request began late enough for them; None: whenever it began."""
        waiting = self._lines[shelf].waiting
        settled = [thing for thing in things if thing in waiting and (asked is None or waiting[thing] <= asked)]
        for thing in settled:
            del waiting[thing]
        for thing in settled:
            self._on_answer(thing)

    def _queue(self, shelf: Shelf, line: _Line) -> None:
        if line.queued:
            return
        line.queued = True
        if line.due <= self._now():
            self._turns.setdefault(shelf.namespace, {})[shelf] = None
            return
        self._number += 1
        heapq.heappush(self._later, (line.due, self._number, shelf))

    def _take_turn(self) -> Shelf:
        namespace = next(iter(self._turns))
        shelves = self._turns.pop(namespace)
        shelf = next(iter(shelves))
        del shelves[shelf]
        if shelves:
            self._turns[namespace] = shelves
        return shelf

    def _forget(self, now: SteadyMs) -> None:
        stale: list[Referent] = []
        for thing, answer in self._answers.items():
            if answer.ended > now - KEPT_MS and len(self._answers) - len(stale) <= KEPT:
                break
            stale.append(thing)
        for thing in stale:
            del self._answers[thing]


def _delay(failures: int) -> int:
    least, most = BACKOFF_MS
    return min(most, least << min(failures, 16))


def _nameable(of: Subject) -> bool:
    """Whether there can be such an object, and it may be asked for."""
    return (
        bool(of.kind)
        and (of.group, of.kind) != ("", "Secret")
        and is_typed(of.group, of.kind)
        and is_namespace(of.namespace)
        and is_name(of.name)
        and "/" not in of.name
    )
