"""What each Pod, ReplicaSet and Job counts for, worked out from what it hangs on (`links`), and kept.

A ReplicaSet or Job takes its Pods along. Where many hang on what has changed, the first `AT_ONCE` are worked out with
the event that changed it, the others in slices, namespaces taking turns (`turns`): until then they count for what they
counted for, and their namespace is unsettled.

Pure: no I/O; the clock is an argument.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from policyhub.clock import SteadyMs
from policyhub.sources.violation import Subject
from policyhub.sync.family import Families
from policyhub.sync.links import GRACE_MS, Link, Links, State, Workload
from policyhub.sync.reference import How
from policyhub.sync.turns import Allowance, Turns

ENDING_MS: Final = 3_600_000
"""How long an object counts for what it counted for although its controller is gone, where either was seen to be
deleted: garbage collection follows in seconds, but its events may not. One that changes meanwhile lives.
"""
AT_ONCE: Final = 500
"""Objects that one event works out at once; the same in one slice. Some 10 µs each."""
_EACH = 5
"""For one unit of the allowance."""


class Homes:
    """Of one cluster."""

    def __init__(self, links: Links, *, now: Callable[[], SteadyMs], allowance: Allowance) -> None:
        self.families = Families()
        self.touched: set[Subject] = set()
        """What may count for another since somebody was told."""
        self.strays: dict[str, dict[Subject, None]] = {}
        """By namespace."""
        self._links = links
        self._now = now
        self._allowance = allowance
        self._unknown: Counter[str] = Counter()
        """Namespace → objects of which it is not known what they count for."""
        self._later: Turns[Subject] = Turns()
        self._left = AT_ONCE

    # -- when -----------------------------------------------------------------------------------------------------

    def unsettled(self, namespace: str) -> bool:
        """Whether something is in the namespace of which it is not known yet what it counts for."""
        return namespace in self._unknown or namespace in self._later

    @property
    def late(self) -> bool:
        """Whether anything is still to be worked out."""
        return bool(self._later)

    def renew(self, left: int | None = None) -> None:
        """Another event begins, which may work out so many at once (None: as usual)."""
        self._left = AT_ONCE if left is None else left

    def spread(self, objects: Collection[Subject]) -> None:
        """What these hang on has changed; they are of one namespace."""
        now, done = self._now(), 0
        for of in objects:
            if self._left > 0 and (done or self._allowance.has(of.namespace, now=now)):
                self._left -= 1
                done += 1
                self.refresh(of)
            else:
                self._later.add(of.namespace, of)
        if done:
            self._allowance.charge(of.namespace, done / _EACH, now=now)

    def advance(self) -> int:
        """Work out one slice of what waits; its units, 0 where nothing may be worked out now."""
        now = self._now()
        namespace = self._later.turn(self._allowance, now=now)
        if namespace is None:
            return 0
        self._left = AT_ONCE
        while self._left > 0 and (of := self._later.first(namespace)) is not None:
            self._later.discard(namespace, of)
            self._left -= 1
            self.refresh(of)
            self.touched.add(of)  # its namespace may be settled now
        units = -(-(AT_ONCE - self._left) // _EACH)
        self._allowance.charge(namespace, units, now=now)
        self._left = AT_ONCE
        return units

    # -- what -----------------------------------------------------------------------------------------------------

    def add(self, of: Subject) -> None:
        """It is there, and not known yet."""
        self._unknown[of.namespace] += 1

    def remove(self, of: Subject, thing: Workload) -> None:
        self._later.discard(of.namespace, of)
        self._links.timers.drop(of)
        if self._links.listed:
            self._count(of, thing, None, idle=True, stray=False)

    def refresh(self, of: Subject) -> None:
        """Work out again what it counts for, and those below it."""
        thing = self._links.things.get(of)
        if thing is None or not self._links.listed:
            return
        link = thing.link
        if link is not None:
            if link.state is State.PENDING:
                link.later(of)
            elif link.late:
                link.late.discard(of)
        top = self._up(of, thing)
        if of.kind != "Pod":
            top = self._move(of, thing, top)
        if top is State.PENDING:
            return
        stray = top is State.REFUSED
        home = of if isinstance(top, State) else top
        if of.kind != "Pod" and home != of and link is not None and not self._in_use(of, thing, link):
            self._count(of, thing, None, idle=True, stray=stray)
        else:
            self._count(of, thing, home, idle=False, stray=stray)

    def _up(self, of: Subject, thing: Workload) -> Subject | State:
        """What its own results and its Pods' count for, by what it hangs on."""
        link = thing.link
        if link is None:
            return of
        owner = link.reference.owner
        found: Subject | State = link.state
        if link.state is State.ACCEPTED:
            if link.reference.how is not How.THING:
                found = owner
            elif (above := self._links.things.get(owner)) is None:  # it is being taken out
                found = State.PENDING
            elif owner.kind != "Pod":
                found = above.top
            else:
                found = owner if above.said.created < thing.said.created else State.REFUSED
        if found is State.REFUSED and thing.ending and thing.home not in {None, of}:
            until = thing.ending + ENDING_MS
            if self._now() < until:
                self._links.timers.set(of, until)
                return State.PENDING
        return found

    def _move(self, of: Subject, thing: Workload, top: Subject | State) -> Subject | State:
        """Its Pods follow a ReplicaSet or Job at most once in a grace: moving thousands to and fro is no single act."""
        if top is State.PENDING or top == thing.top:
            return top
        link = self._links.by.get((of, thing.said.uid))
        if link is not None and thing.top is not State.PENDING:
            now, due = self._now(), thing.moved + GRACE_MS
            if now < due:
                self._links.timers.set(of, due)
                return State.PENDING
            thing.moved = now
        thing.top = top
        if link is not None and link.state is State.ACCEPTED:
            self.spread(list(link.children))
        return top

    def _in_use(self, of: Subject, thing: Workload, link: Link) -> bool:
        return (of, thing.said.uid) in self._links.by or link.ranks_of(of.kind)[-1][2] == of.name

    def _count(self, of: Subject, thing: Workload, home: Subject | None, *, idle: bool, stray: bool) -> None:
        """It counts for this from now on."""
        if stray != thing.stray:
            strays = self.strays.setdefault(of.namespace, {})
            if stray:
                strays[of] = None
            else:
                del strays[of]
                if not strays:
                    del self.strays[of.namespace]
            thing.stray = stray
        if (home, idle) == (thing.home, thing.idle):
            return
        if thing.home is None and not thing.idle:
            self._unknown[of.namespace] -= 1
            if not self._unknown[of.namespace]:
                del self._unknown[of.namespace]
        if thing.home is not None and thing.home != of:
            self.families.leave(of, thing.home, thing.said.created)
        if home is not None and home != of:
            self.families.join(of, home, thing.said.created)
        thing.home, thing.idle = home, idle
        self.touched.add(of)
