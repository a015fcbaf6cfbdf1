"""What Pods, ReplicaSets and Jobs name as their controllers, and whether that is verified.

Objects hang on links: an owner and the uid that is named. A link is verified once for all of them, so that what a
change costs hangs on what it changes, not on how many siblings there are.

| a link   | when                                                                                                     |
|----------|----------------------------------------------------------------------------------------------------------|
| accepted | what it names is there, as far as this can be known (the table in `owners`)                              |
| pending  | it is not, or not any more: until GRACE_MS have passed in which all was seen live, since watches of      |
|          | different kinds arrive in any order                                                                      |
| refused  | it was not there when they had; or it can never be one                                                   |

Pure: no I/O; the clock is an argument.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Final, Protocol

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.violation import Subject
from policyhub.sync.reference import How, Reference, Said
from policyhub.sync.served import Served
from policyhub.sync.timers import Timers

GRACE_MS: Final = 30_000
"""How long a controller may be unknown before the object counts for itself."""

_RETRY_MS = 5_000
"""Until an end of grace is looked at again that could not be decided."""


class State(Enum):
    """Of a link."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Link(msgspec.Struct, eq=False):
    """What objects name as their controller: an owner and its uid."""

    reference: Reference
    children: set[Subject]
    ranks: dict[str, list[tuple[int, int, str]]] | None = None
    """Kind → (revision, created, name) of its ReplicaSets or Jobs, the newest last."""
    late: set[Subject] | None = None
    """What has come, or has changed, since what the children count for was last worked out for all of them."""
    state: State = State.PENDING
    settled: State = State.PENDING
    """The state in which that was."""
    due: SteadyMs = NEVER
    """When a pending one is refused; 0: it is not judged yet."""
    proven: bool = False
    """Whether it was accepted once."""
    seen: bool = False
    """Whether it is accepted since the very controller is listed."""

    def later(self, of: Subject) -> None:
        if self.late is None:
            self.late = set()
        self.late.add(of)

    def ranks_of(self, kind: str) -> list[tuple[int, int, str]]:
        if self.ranks is None:
            self.ranks = {}
        return self.ranks.setdefault(kind, [])


class Workload(msgspec.Struct, eq=False):
    """A Pod, ReplicaSet or Job."""

    said: Said
    link: Link | None
    ending: SteadyMs
    """When it was first seen being deleted (Unix ms); 0: it is not."""
    home: Subject | None = None
    """What results on it count for."""
    idle: bool = False
    """Whether they count for nothing; with neither it is not known yet."""
    top: Subject | State = State.PENDING
    """What the Pods of a ReplicaSet or Job count for; REFUSED: each for itself."""
    moved: SteadyMs = NEVER
    """When that last changed."""
    stray: bool = False


class Believed(Protocol):
    """What of the sink of a built-in controller's kind decides."""

    since: SteadyMs
    believed: bool


class _Custom(msgspec.Struct, eq=False):
    """A custom resource that is named as a controller: by whom, the oldest first, and by which uid and version."""

    order: list[tuple[int, str, str, str, str]]
    """(created, kind, name, uid, version)."""
    elected: tuple[str, str] = ("", "")
    """The uid and version that the oldest names."""


class Links:
    """Of one cluster."""

    def __init__(
        self,
        *,
        now: Callable[[], SteadyMs],
        served: Served,
        believed: Mapping[tuple[str, str], Believed],
        spread: Callable[[Collection[Subject]], None],
    ) -> None:
        """`believed` are the sinks of the built-in controllers, by group and kind; `spread` is told what hangs on a
        link whose state has changed.
        """
        self.listed = False
        """Whether all have been listed once: nothing is judged before."""
        self.things: dict[Subject, Workload] = {}
        self.controllers: dict[Subject, str] = {}
        """The built-in controllers, and their uids."""
        self.by: dict[tuple[Subject, str], Link] = {}
        """By owner and uid."""
        self.named: dict[Subject, int] = {}
        """Owners that are named, by how many uids."""
        self.customs: dict[Subject, _Custom] = {}
        self.timers: Timers[Link | Subject] = Timers()
        self._now = now
        self._served = served
        self._sinks = believed
        self._spread = spread

    def attach(self, of: Subject, thing: Workload, touched: set[Subject]) -> None:
        """It hangs on what it names."""
        said, named = thing.said, thing.said.reference
        if named is None:
            return
        key = named.owner, named.uid
        link = self.by.get(key)
        new = link is None
        if link is None:
            link = self.by[key] = Link(named, set())
            self.named[named.owner] = self.named.get(named.owner, 0) + 1
        thing.link = link
        if not link.children and named.how is How.THING:
            touched.add(named.owner)
        if link.reference == named:
            said.reference = link.reference  # one for all
        link.children.add(of)
        link.later(of)
        if of.kind != "Pod":
            ranks = link.ranks_of(of.kind)
            if ranks:
                touched.add(msgspec.structs.replace(of, name=ranks[-1][2]))
            insort(ranks, (said.revision, said.created, of.name))
        if named.how is How.CUSTOM:
            custom = self.customs.setdefault(named.owner, _Custom([]))
            insort(custom.order, (said.created, of.kind, of.name, named.uid, named.version))
            self._elect(named.owner, custom)
        if new:
            self.judge(link)

    def detach(self, of: Subject, thing: Workload, touched: set[Subject]) -> None:
        """It hangs there no more; where it was put again under the same link, the new one stands."""
        link, said = thing.link, thing.said
        if link is None:
            return
        now = self.things.get(of)
        if now is None or now.link is not link:
            link.children.discard(of)
            if link.late:
                link.late.discard(of)
        named = link.reference
        if of.kind != "Pod":
            ranks = link.ranks_of(of.kind)
            del ranks[bisect_left(ranks, (said.revision, said.created, of.name))]
            if ranks:
                touched.add(msgspec.structs.replace(of, name=ranks[-1][2]))
        if named.how is How.CUSTOM and said.reference is not None:
            custom = self.customs[named.owner]
            one = (said.created, of.kind, of.name, named.uid, said.reference.version)
            del custom.order[bisect_left(custom.order, one)]
            self._elect(named.owner, custom)
        if not link.children:
            self._remove(link, touched)

    def _remove(self, link: Link, touched: set[Subject]) -> None:
        """Nothing hangs on it any more."""
        owner = link.reference.owner
        del self.by[owner, link.reference.uid]
        self.named[owner] -= 1
        if not self.named[owner]:
            del self.named[owner]
        self.timers.drop(link)
        if link.reference.how is How.THING:
            touched.add(owner)

    def _elect(self, owner: Subject, custom: _Custom) -> None:
        """The uid that the oldest names is the owner's."""
        uid, version = before = custom.elected
        custom.elected = custom.order[0][3:] if custom.order else ("", "")
        if custom.elected == before:
            return
        if custom.order:
            self._served.use((owner.group, custom.elected[1], owner.kind), owner)
        else:
            del self.customs[owner]
        if version and version != custom.elected[1]:
            self._served.drop((owner.group, version, owner.kind), owner)
        self.judge_at(owner, uid)
        self.judge_at(owner, custom.elected[0])

    # -- the verdict ----------------------------------------------------------------------------------------------

    def judge_at(self, owner: Subject, uid: str) -> None:
        link = self.by.get((owner, uid))
        if link is not None:
            self.judge(link)

    def judge(self, link: Link) -> None:
        """What it hangs on has changed."""
        if not self.listed:
            return
        if self._verdict(link):
            if link.state is not State.ACCEPTED or link.late:
                link.state, link.proven = State.ACCEPTED, True
                link.seen = self._is_seen(link.reference)
                self._apply(link)
        elif link.reference.how is How.NOT:  # time changes nothing about it
            link.state = State.REFUSED
            self._apply(link)
        elif link.state is State.ACCEPTED or not link.due:
            if link.seen:  # it was deleted: what it owns goes after it, as far as this is told
                link.seen = False
                for thing in filter(None, map(self.things.get, link.children)):
                    thing.ending = thing.ending or self._now()
            link.state = State.PENDING
            link.due = self._now() + GRACE_MS
            self.timers.set(link, link.due)

    def expire(self, link: Link, since: SteadyMs) -> None:
        """Its grace may have ended; `since` when all of the three are live."""
        now = self._now()
        if link.state is not State.PENDING or not link.children:
            return
        if link.due > now:
            self.timers.set(link, link.due)
        elif self._verdict(link) is False and self._sure(link, since):
            link.state = State.REFUSED
            self._apply(link)
        else:
            link.due = now + _RETRY_MS
            self.timers.set(link, link.due)

    def _is_seen(self, named: Reference) -> bool:
        """Whether the controller itself is there: not believed, nor a custom resource."""
        return named.how is How.THING or self.controllers.get(named.owner) == named.uid

    def _verdict(self, link: Link) -> bool | None:
        """Whether it is as the objects say; None: that is being asked."""
        named = link.reference
        owner = named.owner
        match named.how:
            case How.THING:
                thing = self.things.get(owner)
                return thing is not None and thing.said.uid == named.uid
            case How.CONTROLLER:
                believed = self._sinks[owner.group, owner.kind].believed
                return believed or self.controllers.get(owner) == named.uid
            case How.CUSTOM:
                custom = self.customs.get(owner)
                if custom is None or custom.elected[0] != named.uid:
                    return False
                return self._served.verdict((owner.group, custom.elected[1], owner.kind))
            case How.NOT:
                return False

    def _sure(self, link: Link, live: SteadyMs) -> bool:
        """Whether all have been live for long enough, so that what is not known is not there."""
        since = [live]
        if link.reference.how is How.CONTROLLER:
            since.append(self._sinks[link.reference.owner.group, link.reference.owner.kind].since)
        return all(since) and self._now() >= max(since) + GRACE_MS

    def _apply(self, link: Link) -> None:
        """Its state has changed: so may have what hangs on it."""
        todo = link.late if link.settled is link.state else link.children
        link.settled, link.late = link.state, None
        self._spread(list(todo or ()))

    # -- why not --------------------------------------------------------------------------------------------------

    def why(self, of: Subject) -> str:
        """Why the controller of a stray cannot be verified."""
        link, named = self.things[of].link, f"{of.kind} {of.namespace}/{of.name}"
        if link is None:
            return named
        owner = link.reference.owner
        above = f"{owner.kind} {owner.name}".strip()
        match link.reference.how:
            case How.NOT:
                return f"{named} names {above or 'something'} as its controller, which cannot be one"
            case How.CUSTOM if link.reference.uid == self.customs[owner].elected[0]:
                kind = f"{owner.kind}.{owner.group}/{self.customs[owner].elected[1]}"
                return f"{named} names {above} as its controller; the API server serves no {kind}"
            case How.CUSTOM:
                return f"{named} names {above} as its controller by another uid than an older object does"
            case _ if link.state is State.ACCEPTED and owner.kind == "Pod":
                return f"{named} names {above} as its controller, which is not older"
            case _ if link.state is State.ACCEPTED:
                return f"{named} names {above} as its controller, whose own controller cannot be verified"
            case _ if owner in self.things or owner in self.controllers:
                return f"{named} names {above} as its controller by another uid than it has"
        return f"{named} names {above} as its controller, which is not there"
