"""Who owns the Pods, ReplicaSets and Jobs of one cluster: which object a result on one of them counts for.

Sinks of reflectors over metadata: of the three, and of the built-in controllers, by which what the three say of their
controllers is verified. Pods that have ended are left out by the request (`RESOURCES`).

| the object of a result                       | counts for                                                          |
|----------------------------------------------|---------------------------------------------------------------------|
| is none of the three                         | itself                                                              |
| has no controller, or a Node (a static Pod)  | itself                                                              |
| a Pod with a controller                      | the first object up its owners that is none of the three            |
| a Pod of a Pod (an executor of Spark)        | that Pod, which is older                                            |
| a ReplicaSet or Job with a controller        | that, while it has Pods or is the newest of it; else for nothing:   |
|                                              | old revisions are kept for a rollback, and violate nothing          |
| has, or is owned by what has, a controller   | what it counted for (new ones: not known yet); after GRACE_MS for   |
| that cannot be verified                      | itself, and it is a stray, which is shown; at once where it never   |
|                                              | can be verified                                                     |
| is not there, and all are known              | nothing: it is gone                                                 |
| is not there, and not all are known          | not known yet                                                       |

Whoever may write an object may name any controller. What is named is verified (`reference` says what can be one):

| the controller                     | is verified when                                                              |
|------------------------------------|-------------------------------------------------------------------------------|
| ReplicaSet or Job of a Pod         | it is there, with the uid that is named                                       |
| Deployment, StatefulSet, DaemonSet | it is there, with the uid that is named; where these may not be listed it is  |
| CronJob, ReplicationController     | believed                                                                      |
| a custom resource                  | its kind is served (`served`), and the oldest of those that name it names the |
|                                    | same uid                                                                      |

So a controller that does not exist, two that own each other, one of another name, kind, group or uid, hide nothing.
All of it stays within one namespace. The grace is there because watches of different kinds arrive in any order; while a
watch is cut it does not end. What is being deleted keeps counting for what it counted for (ENDING_MS): its controller
goes first.

Where the three may not be listed, everything counts for itself. A refusal is believed when it stands (`_REFUSED_MS`):
an API server refuses what its rules allow while it reads them, and roll-up that is off for a moment makes a finding
for each Pod and ends those of the controllers.

What a change costs hangs on what it changes, not on how many siblings there are: objects hang on links (`_Link`: an
owner and the uid that is named), a link is verified once for all of them, and what each object counts for is kept.

Pure: no I/O; the clock is an argument.
"""

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection
from enum import Enum
from itertools import count
from typing import Final

import msgspec

from policyhub.findings.rollup import is_rolled
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.sources.violation import Place, Subject
from policyhub.sync import reference
from policyhub.sync.family import Families
from policyhub.sync.reference import How, Reference, Said, Unnamed
from policyhub.sync.served import Served

PODS: Final = Resource("", "v1", "pods", "Pod", namespaced=True)
REPLICASETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet", namespaced=True)
JOBS: Final = Resource("batch", "v1", "jobs", "Job", namespaced=True)
RESOURCES: Final = {
    PODS: {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"},
    REPLICASETS: {},
    JOBS: {},
}
"""What is listed and watched, as metadata, and with which parameters."""
CONTROLLERS: Final = (
    Resource("apps", "v1", "deployments", "Deployment", namespaced=True),
    Resource("apps", "v1", "statefulsets", "StatefulSet", namespaced=True),
    Resource("apps", "v1", "daemonsets", "DaemonSet", namespaced=True),
    Resource("batch", "v1", "cronjobs", "CronJob", namespaced=True),
    Resource("", "v1", "replicationcontrollers", "ReplicationController", namespaced=True),
)
"""What the controllers that the three name are verified by; listed and watched as metadata too."""
FORBIDDEN_CAP: Final = 600.0
"""Seconds between two tries of a reflector where the listing is forbidden: the chart can leave the right out."""
GRACE_MS: Final = 30_000
"""How long a controller may be unknown before the object counts for itself."""
ENDING_MS: Final = 3_600_000
"""How long an object counts for what it counted for although its controller is gone, where either was seen to be
deleted: garbage collection follows in seconds, but its events may not. One that changes meanwhile lives.
"""

_REFUSED_MS = 15_000
"""How long after the first refusal a listing must begin and be refused as well. By the back-off that is within half a
minute.
"""
_NOT_TO_SEE = frozenset({"ListingForbidden", "WatchForbidden", "Vanished"})
"""Why controllers are believed; batch/v1 had no CronJobs before Kubernetes 1.21."""
_RETRY_MS = 5_000
"""Until an end of grace is looked at again that could not be decided."""
_EXTINCT_MS = 86_400_000
"""How long an owner without anything left is remembered as one."""
_EXTINCT_EACH = 2_000
"""Of one namespace; the oldest are forgotten, and wait for other evidence."""


class Unresolved(Enum):
    """Why an object counts for no other and not for itself."""

    GONE = "gone"
    """It does not exist any more."""
    IDLE = "idle"
    """A revision that is not in use."""
    UNKNOWN = "unknown"
    """Not all is known yet."""


class _State(Enum):
    """Of a link."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class _Link(msgspec.Struct, eq=False):
    """What objects name as their controller: an owner and its uid. Verified once for all that name it."""

    reference: Reference
    children: set[Subject]
    ranks: dict[str, list[tuple[int, int, str]]] | None = None
    """Kind → (revision, created, name) of its ReplicaSets or Jobs, the newest last."""
    late: set[Subject] | None = None
    """What has come, or has changed, since what the children count for was last worked out for all of them."""
    state: _State = _State.PENDING
    settled: _State = _State.PENDING
    """The state in which that was."""
    due: int = 0
    """When a pending one is refused; 0: it is not judged yet."""
    proven: bool = False
    """Whether it was accepted once."""
    seen: bool = False
    """Whether it is accepted since the very controller is listed."""


class _Custom(msgspec.Struct, eq=False):
    """A custom resource that is named as a controller: by whom, the oldest first, and by which uid and version."""

    order: list[tuple[int, str, str, str, str]]
    """(created, kind, name, uid, version)."""
    elected: tuple[str, str] = ("", "")
    """The uid and version that the oldest names."""


class _Thing(msgspec.Struct, eq=False):
    """A Pod, ReplicaSet or Job."""

    said: Said
    link: _Link | None
    ending: int
    """When it was first seen being deleted (Unix ms); 0: it is not."""
    home: Subject | None = None
    """What results on it count for."""
    idle: bool = False
    """Whether they count for nothing; with neither it is not known yet."""
    top: "Subject | _State" = _State.PENDING
    """What the Pods of a ReplicaSet or Job count for; REFUSED: each for itself."""
    moved: int = 0
    """When that last changed."""
    stray: bool = False


class Stray(msgspec.Struct, frozen=True):
    """The objects of one namespace whose controller cannot be verified."""

    number: int
    example: str


class Owners:
    """The caches together. `sinks` fill them; `on_change` is told what may count for another now (None: all)."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        on_change: Callable[[set[Subject] | None], None],
        on_malformed: Callable[[str, str], None],
        verify: bool = True,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps; `on_malformed` hears the origin of what could not
        be read, and why. `verify` false: controllers and custom resources are not known and are believed, and uids
        are not compared.
        """
        self.listed = False
        """Whether all have been listed once; what was known stands when a watch is cut."""
        self.forbidden = False
        """Whether one of the three may not be listed, as has stood for a while, and never could be."""
        self.since = 0
        """Since when the three are seen whole and live; 0: they are not, and an absence says nothing."""
        self.opened: dict[str, int] = {}
        """Origin → when its last listing or watch was accepted."""
        self.confirmed: int | None = None
        """When a discovery last saw that it is the very cluster that answers; None: nobody looks. What lacks a
        controller by a listing or watch that began later is not refused yet: another cluster may have answered it.
        """
        self.now = now
        self.on_malformed = on_malformed
        self.verify = verify
        self.families = Families()
        self.served = Served(verify=verify)
        self._on_change = on_change
        self._things: dict[Subject, _Thing] = {}
        self._controllers: dict[Subject, str] = {}
        """The built-in controllers, and their uids."""
        self._links: dict[tuple[Subject, str], _Link] = {}
        self._customs: dict[Subject, _Custom] = {}
        self._extinct: dict[str, dict[Subject, int]] = {}
        """Namespace → owners that have nothing left, and since when."""
        self._strays: dict[str, dict[Subject, None]] = {}
        self._unsettled: Counter[str] = Counter()
        """Namespace → objects of which it is not known what they count for."""
        self._timers: list[tuple[int, int, _Link | Subject]] = []
        self._number = count()
        self._touched: set[Subject] = set()
        self._emptied: set[Subject] = set()
        self.sinks = {resource: Sink(self, resource) for resource in RESOURCES}
        """Of the three."""
        self.verifiers = {resource: Sink(self, resource, controllers=True) for resource in CONTROLLERS}
        """Of the built-in controllers, which are believed while nobody lists them."""
        self._verifiers = {(sink.resource.group, sink.resource.kind): sink for sink in self.verifiers.values()}

    # -- what it answers ------------------------------------------------------------------------------------------

    def subject(self, of: Subject) -> Subject | Unresolved:
        """What a result on this object counts for."""
        if self.forbidden or not is_rolled(of):
            return of
        if not self.listed:
            return Unresolved.UNKNOWN
        thing = self._things.get(of)
        if thing is None:
            return Unresolved.GONE if self.since else Unresolved.UNKNOWN
        if thing.home is not None:
            return thing.home
        return Unresolved.IDLE if thing.idle else Unresolved.UNKNOWN

    def home(self, of: Subject) -> Subject | None:
        """What one of the three that is there counts for; None: nothing, or it is not known."""
        thing = self._things.get(of)
        return None if thing is None else thing.home

    def gone(self, of: Subject) -> bool:
        """Whether it is known to exist no more: one of the three that is not there."""
        return bool(self.since) and is_rolled(of) and of not in self._things

    def extinct(self, of: Subject) -> bool:
        """Whether it owned some of the three, and nothing of them is left."""
        return bool(self.since) and of in self._extinct.get(of.namespace, ())

    def below(self, of: Subject) -> set[Subject]:
        """Those of the three that count for this object, itself left out. For a person or a test: it looks at each."""
        return set(self.families.members(of))

    def created(self, of: Subject) -> int:
        """When (Unix seconds) one of the three was made; 0 where it is not there."""
        thing = self._things.get(of)
        return 0 if thing is None else thing.said.created

    def unsettled(self, namespace: str) -> bool:
        """Whether something is in the namespace of which it is not known yet what it counts for."""
        return namespace in self._unsettled

    @property
    def strays(self) -> dict[str, Stray]:
        """By namespace, what counts for itself since its controller cannot be verified; one of them as an example."""
        return {
            namespace: Stray(len(strays), self._why(next(iter(strays))))
            for namespace, strays in sorted(self._strays.items())
        }

    def _why(self, of: Subject) -> str:
        thing = self._things[of]
        link, named = thing.link, f"{of.kind} {of.namespace}/{of.name}"
        if link is None:
            return named
        owner = link.reference.owner
        above = f"{owner.kind} {owner.name}".strip()
        match link.reference.how:
            case How.NOT:
                return f"{named} names {above or 'something'} as its controller, which cannot be one"
            case How.CUSTOM if link.reference.uid == self._customs[owner].elected[0]:
                kind = f"{owner.kind}.{owner.group}/{self._customs[owner].elected[1]}"
                return f"{named} names {above} as its controller; the API server serves no {kind}"
            case How.CUSTOM:
                return f"{named} names {above} as its controller by another uid than an older object does"
            case _ if link.state is _State.ACCEPTED and owner.kind == "Pod":
                return f"{named} names {above} as its controller, which is not older"
            case _ if link.state is _State.ACCEPTED:
                return f"{named} names {above} as its controller, whose own controller cannot be verified"
            case _ if owner in self._things or owner in self._controllers:
                return f"{named} names {above} as its controller by another uid than it has"
        return f"{named} names {above} as its controller, which is not there"

    # -- what is to be asked --------------------------------------------------------------------------------------

    def question(self) -> tuple[str, str] | None:
        """The API group and version whose kinds are to be read next."""
        return self.served.question(self.now())

    def answer(self, group: str, version: str, kinds: Collection[str] | None) -> None:
        """The kinds that it serves; none: it is not served; None: that could not be found out."""
        for owner in self.served.answer(group, version, kinds, now=self.now()):
            custom = self._customs.get(owner)
            if custom is not None:
                self._judge_at(owner, custom.elected[0])
        self._tell()

    def expire(self) -> None:
        """What has waited for its controller for long enough counts for itself. To be called every second or so."""
        now = self.now()
        if self.confirmed is not None and any(at > self.confirmed for at in self.opened.values()):
            return
        while self._timers and self._timers[0][0] <= now:
            _, _, item = heapq.heappop(self._timers)
            if isinstance(item, Subject):
                self._refresh(item)
            elif item.state is _State.PENDING and item.due <= now and item.children:
                if self._verdict(item) is False and self._sure(item):
                    item.state = _State.REFUSED
                    self._apply(item)
                else:
                    item.due = now + _RETRY_MS
                    self._remind(item.due, item)
        if self._touched:
            self._tell()

    # -- what the sinks say ---------------------------------------------------------------------------------------

    def put(self, of: Subject, said: Said) -> None:
        """It is there."""
        before = self._things.get(of)
        if before is not None and before.said == said:
            return
        touched = {of}
        thing = _Thing(said, None, self.now() if said.ending else 0)
        if before is not None:
            thing.home, thing.idle, thing.stray = before.home, before.idle, before.stray
            thing.top, thing.moved = before.top, before.moved
            thing.ending = min(before.ending or thing.ending, thing.ending)
            home = thing.home
            if home is not None and home != of and before.said.created != said.created:
                self.families.leave(of, home, before.said.created)
                self.families.join(of, home, said.created)
        elif self.listed:
            self._unsettled[of.namespace] += 1
        self._things[of] = thing
        self._attach(of, thing, touched)
        if before is not None:
            self._detach(of, before, touched)
        if self.listed:
            if before is None or before.said.uid != said.uid:
                self._judge_at(of, "" if before is None else before.said.uid)
                self._judge_at(of, said.uid)
            for one in touched:
                self._refresh(one)
            self._touched.add(of)
        self._tell()

    def drop(self, of: Subject) -> None:
        """It is gone."""
        thing = self._things.pop(of, None)
        if thing is None:
            return
        touched: set[Subject] = set()
        if self.listed:
            self._count(of, thing, None, idle=True, stray=False)
        self._detach(of, thing, touched)
        if self.listed:
            self._judge_at(of, thing.said.uid)
            for one in touched:
                self._refresh(one)
            self._touched.add(of)
        self._tell()

    def control(self, of: Subject, uid: str) -> None:
        """A built-in controller is there; without a uid it is gone."""
        before = self._controllers.get(of, "")
        if before == uid:
            return
        if uid:
            self._controllers[of] = uid
        else:
            del self._controllers[of]
        self._judge_at(of, before)
        self._judge_at(of, uid)
        self._tell()

    def sweep(self, resource: Resource, seen: set[Subject]) -> None:
        """A complete listing: what it lacks is gone."""
        kind = (resource.group, resource.kind)
        known = self._controllers if resource in CONTROLLERS else self._things
        for of in [s for s in known if (s.group, s.kind) == kind and s not in seen]:
            if resource in CONTROLLERS:
                self.control(of, "")
            else:
                self.drop(of)
        old = self.now() - _EXTINCT_MS
        for namespace, extinct in list(self._extinct.items()):
            left = self._extinct[namespace] = {of: at for of, at in extinct.items() if at > old}
            if not left:
                del self._extinct[namespace]

    def live(self) -> None:
        """A sink's state has changed."""
        before = self.listed, self.forbidden, bool(self.since)
        three = self.sinks.values()
        self.forbidden = any(sink.forbidden and not sink.listed for sink in three)
        live = all(sink.listed and sink.live for sink in three)
        if live != before[2]:
            self.since = self.now() if live else 0
        if not self.listed and all(sink.listed for sink in three):
            self.listed = all(sink.listed or sink.believed for sink in self._verifiers.values())
            if self.listed:
                self._begin()
        if before != (self.listed, self.forbidden, live):
            self._touched.clear()
            self._on_change(None)

    def believe(self, resource: Resource) -> None:
        """Whether controllers of this kind are believed has changed."""
        kind = (resource.group, resource.kind)
        for link in list(self._links.values()):
            if (link.reference.owner.group, link.reference.owner.kind) == kind:
                self._judge(link)
        self._tell()

    # -- links ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """All are listed: what counts for what is worked out once, and kept from now on."""
        for of in self._things:
            self._unsettled[of.namespace] += 1
        for link in list(self._links.values()):
            self._judge(link)
        for of in sorted(self._things, key=lambda one: one.kind == "Pod"):
            self._refresh(of)

    def _attach(self, of: Subject, thing: _Thing, touched: set[Subject]) -> None:
        said, named = thing.said, thing.said.reference
        if named is None:
            return
        key = named.owner, named.uid
        link = self._links.get(key)
        new = link is None
        if link is None:
            link = self._links[key] = _Link(named, set())
        thing.link = link
        if not link.children and named.how is How.THING:
            touched.add(named.owner)
        if link.reference == named:
            said.reference = link.reference  # one for all
        link.children.add(of)
        _later(link, of)
        if of.kind != "Pod":
            ranks = _ranks(link, of.kind)
            if ranks:
                touched.add(msgspec.structs.replace(of, name=ranks[-1][2]))
            insort(ranks, (said.revision, said.created, of.name))
        if named.how is How.CUSTOM:
            custom = self._customs.setdefault(named.owner, _Custom([]))
            insort(custom.order, (said.created, of.kind, of.name, named.uid, named.version))
            self._elect(named.owner, custom)
        if new:
            self._judge(link)
        if link.state is _State.ACCEPTED:
            self._revive(named.owner)

    def _detach(self, of: Subject, thing: _Thing, touched: set[Subject]) -> None:
        """It hangs there no more; where it was put again under the same link, the new one stands."""
        link, said = thing.link, thing.said
        if link is None:
            return
        now = self._things.get(of)
        if now is None or now.link is not link:
            link.children.discard(of)
            if link.late:
                link.late.discard(of)
        named = link.reference
        if of.kind != "Pod":
            ranks = _ranks(link, of.kind)
            del ranks[bisect_left(ranks, (said.revision, said.created, of.name))]
            if ranks:
                touched.add(msgspec.structs.replace(of, name=ranks[-1][2]))
        if named.how is How.CUSTOM and said.reference is not None:
            custom = self._customs[named.owner]
            one = (said.created, of.kind, of.name, named.uid, said.reference.version)
            del custom.order[bisect_left(custom.order, one)]
            self._elect(named.owner, custom)
        if not link.children:
            del self._links[named.owner, named.uid]
            if named.how is How.THING:
                touched.add(named.owner)
            if link.proven:
                self._emptied.add(named.owner)

    def _elect(self, owner: Subject, custom: _Custom) -> None:
        """The uid that the oldest names is the owner's."""
        uid, version = before = custom.elected
        custom.elected = custom.order[0][3:] if custom.order else ("", "")
        if custom.elected == before:
            return
        if custom.order:
            self.served.use((owner.group, custom.elected[1], owner.kind), owner)
        else:
            del self._customs[owner]
        if version and version != custom.elected[1]:
            self.served.drop((owner.group, version, owner.kind), owner)
        self._judge_at(owner, uid)
        self._judge_at(owner, custom.elected[0])

    def _judge_at(self, owner: Subject, uid: str) -> None:
        link = self._links.get((owner, uid))
        if link is not None:
            self._judge(link)

    def _judge(self, link: _Link) -> None:
        """What it hangs on has changed."""
        if not self.listed:
            return
        if self._verdict(link):
            if link.state is not _State.ACCEPTED or link.late:
                link.state, link.proven = _State.ACCEPTED, True
                link.seen = self._is_seen(link.reference)
                self._revive(link.reference.owner)
                self._apply(link)
        elif link.reference.how is How.NOT:  # time changes nothing about it
            link.state = _State.REFUSED
            self._apply(link)
        elif link.state is _State.ACCEPTED or not link.due:
            if link.seen:  # it was deleted: what it owns goes after it, as far as this is told
                link.seen = False
                for thing in filter(None, map(self._things.get, link.children)):
                    thing.ending = thing.ending or self.now()
            link.state = _State.PENDING
            link.due = self.now() + GRACE_MS
            self._remind(link.due, link)

    def _is_seen(self, named: Reference) -> bool:
        """Whether the controller itself is there: not believed, nor a custom resource."""
        return named.how is How.THING or self._controllers.get(named.owner) == named.uid

    def _revive(self, owner: Subject) -> None:
        """It has something again."""
        extinct = self._extinct.get(owner.namespace)
        if extinct is not None:
            extinct.pop(owner, None)

    def _verdict(self, link: _Link) -> bool | None:
        """Whether it is as the objects say; None: that is being asked."""
        named = link.reference
        owner = named.owner
        match named.how:
            case How.THING:
                thing = self._things.get(owner)
                return thing is not None and thing.said.uid == named.uid
            case How.CONTROLLER:
                believed = self._verifiers[owner.group, owner.kind].believed
                return believed or self._controllers.get(owner) == named.uid
            case How.CUSTOM:
                custom = self._customs.get(owner)
                if custom is None or custom.elected[0] != named.uid:
                    return False
                return self.served.verdict((owner.group, custom.elected[1], owner.kind))
            case How.NOT:
                return False

    def _sure(self, link: _Link) -> bool:
        """Whether all have been live for long enough, so that what is not known is not there."""
        since = [self.since]
        if link.reference.how is How.CONTROLLER:
            since.append(self._verifiers[link.reference.owner.group, link.reference.owner.kind].since)
        return all(since) and self.now() >= max(since) + GRACE_MS

    def _apply(self, link: _Link) -> None:
        """Its state has changed: so may have what hangs on it."""
        todo = link.late if link.settled is link.state else link.children
        link.settled, link.late = link.state, None
        for child in list(todo or ()):
            self._refresh(child)

    def _remind(self, due: int, item: _Link | Subject) -> None:
        heapq.heappush(self._timers, (due, next(self._number), item))

    # -- what each counts for -------------------------------------------------------------------------------------

    def _refresh(self, of: Subject) -> None:
        """Work out again what it counts for, and those below it."""
        thing = self._things.get(of)
        if thing is None or not self.listed:
            return
        link = thing.link
        if link is not None:
            if link.state is _State.PENDING:
                _later(link, of)
            elif link.late:
                link.late.discard(of)
        top = self._up(of, thing)
        if of.kind != "Pod":
            top = self._move(of, thing, top)
        if top is _State.PENDING:
            return
        stray = top is _State.REFUSED
        home = of if isinstance(top, _State) else top
        if of.kind != "Pod" and home != of and link is not None and not self._in_use(of, thing, link):
            self._count(of, thing, None, idle=True, stray=stray)
        else:
            self._count(of, thing, home, idle=False, stray=stray)

    def _up(self, of: Subject, thing: _Thing) -> Subject | _State:
        """What its own results and its Pods' count for, by what it hangs on."""
        link = thing.link
        if link is None:
            return of
        owner = link.reference.owner
        found: Subject | _State = link.state
        if link.state is _State.ACCEPTED:
            if link.reference.how is not How.THING:
                found = owner
            elif (above := self._things.get(owner)) is None:  # it is being taken out
                found = _State.PENDING
            elif owner.kind != "Pod":
                found = above.top
            else:
                found = owner if above.said.created < thing.said.created else _State.REFUSED
        if found is _State.REFUSED and thing.ending and thing.home not in {None, of}:
            until = thing.ending + ENDING_MS
            if self.now() < until:
                self._remind(until, of)
                return _State.PENDING
        return found

    def _move(self, of: Subject, thing: _Thing, top: Subject | _State) -> Subject | _State:
        """Its Pods follow a ReplicaSet or Job at most once in a grace: moving thousands to and fro is no single act."""
        if top is _State.PENDING or top == thing.top:
            return top
        link = self._links.get((of, thing.said.uid))
        if link is not None and thing.top is not _State.PENDING:
            now, due = self.now(), thing.moved + GRACE_MS
            if now < due:
                self._remind(due, of)
                return _State.PENDING
            thing.moved = now
        thing.top = top
        if link is not None and link.state is _State.ACCEPTED:
            for child in list(link.children):
                self._refresh(child)
        return top

    def _in_use(self, of: Subject, thing: _Thing, link: _Link) -> bool:
        return (of, thing.said.uid) in self._links or _ranks(link, of.kind)[-1][2] == of.name

    def _count(self, of: Subject, thing: _Thing, home: Subject | None, *, idle: bool, stray: bool) -> None:
        """It counts for this now."""
        if stray != thing.stray:
            strays = self._strays.setdefault(of.namespace, {})
            if stray:
                strays[of] = None
            else:
                del strays[of]
                if not strays:
                    del self._strays[of.namespace]
            thing.stray = stray
        if (home, idle) == (thing.home, thing.idle):
            return
        if thing.home is None and not thing.idle:
            self._unsettled[of.namespace] -= 1
            if not self._unsettled[of.namespace]:
                del self._unsettled[of.namespace]
        if thing.home is not None and thing.home != of:
            self.families.leave(of, thing.home, thing.said.created)
            self._emptied.add(thing.home)  # its ReplicaSet may have gone before the last Pod
        if home is not None and home != of:
            self.families.join(of, home, thing.said.created)
        thing.home, thing.idle = home, idle
        self._touched.add(of)

    def _tell(self) -> None:
        for owner in self._emptied:
            if owner not in self.families and not any(named == owner for named, _ in self._links):
                extinct = self._extinct.setdefault(owner.namespace, {})
                extinct.pop(owner, None)
                extinct[owner] = self.now()
                if len(extinct) > _EXTINCT_EACH:
                    del extinct[next(iter(extinct))]
        self._emptied.clear()
        if self.listed and self._touched:
            touched, self._touched = self._touched, set()
            self._on_change(touched)


def _later(link: _Link, of: Subject) -> None:
    if link.late is None:
        link.late = set()
    link.late.add(of)


def _ranks(link: _Link, kind: str) -> list[tuple[int, int, str]]:
    if link.ranks is None:
        link.ranks = {}
    return link.ranks.setdefault(kind, [])


class Sink:
    """One kind: what its reflector writes to."""

    def __init__(self, owners: Owners, resource: Resource, *, controllers: bool = False) -> None:
        """`controllers`: it is no kind of the three."""
        self.resource = resource
        self.listed = False
        self.live = False
        self.forbidden = False
        self.believed = controllers
        """Whether controllers of this kind are believed: they are not listed, may not be, or are not served."""
        self.since = 0
        """Since when it is live (Unix ms); 0: it is not."""
        self._controllers = controllers
        self._owners = owners
        self._seen: set[Subject] | None = None
        self._began = 0
        """When the last listing began."""
        self._refused: int | None = None
        """Since when listings are refused, one after the other."""
        self._blind = False

    def begin(self) -> None:
        self.opened()
        self._began = self._owners.now()
        self._seen = set()
        self._blind = False
        if self._refused is None:
            self._believe()

    def opened(self) -> None:
        self._owners.opened[self.resource.origin] = self._owners.now()

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        try:
            of, said, problem = reference.read(self.resource.group, self.resource.kind, raw, uids=self._owners.verify)
        except Unnamed as error:
            self._lose(error)
            return
        if problem:
            self._owners.on_malformed(self.resource.origin, f"{of.namespace}/{of.name}: {problem}")
        self._put(of, said)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        try:
            of = reference.named(self.resource.group, self.resource.kind, raw)
        except Unnamed as error:
            self._lose(error)
            return
        if self._controllers:
            self._owners.control(of, "")
        else:
            self._owners.drop(of)

    def unreadable(self, raw: bytes | msgspec.Raw, error: Exception) -> None:
        """Taking this object failed: it is there, without a controller, as far as its name can be read."""
        try:
            of, said = reference.bare(self.resource.group, self.resource.kind, raw)
        except Unnamed as unnamed:
            self._lose(unnamed)
            return
        self._owners.on_malformed(self.resource.origin, f"{of.namespace}/{of.name}: {type(error).__name__}: {error}")
        self._put(of, said)

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        if self._blind:  # an object that could not be read may be any of those that are known
            return
        self._owners.sweep(self.resource, seen)
        self.listed = True
        self._believe()
        self._owners.live()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        self._live(live=state.live and not self._blind)
        if state.reason not in (_NOT_TO_SEE if self._controllers else {"ListingForbidden"}):
            self._refused = None
        elif self._refused is None:
            self._refused = self._owners.now()
        stands = self._refused is not None and self._began >= self._refused + _REFUSED_MS
        self.forbidden = stands and state.reason == "ListingForbidden"
        self._believe(stands=stands)
        self._owners.live()

    def end(self) -> None:
        """It is watched no more; what was known stands."""
        self._live(live=False)
        self._owners.live()

    def _live(self, *, live: bool) -> None:
        if live != self.live:
            self.live = live
            self.since = self._owners.now() if live else 0

    def _believe(self, *, stands: bool = False) -> None:
        """Controllers that may not be listed are believed: at once where they never were."""
        if not self._controllers:
            return
        believed = self._refused is not None and (stands or not self.listed)
        if believed != self.believed:
            self.believed = believed
            self._owners.believe(self.resource)

    def _put(self, of: Subject, said: Said) -> None:
        if self._seen is not None:
            self._seen.add(of)
        if self._controllers:
            self._owners.control(of, said.uid)
        else:
            self._owners.put(of, said)

    def _lose(self, error: Unnamed) -> None:
        self._owners.on_malformed(self.resource.origin, str(error))
        self._blind = True
        self._live(live=False)
        self._owners.live()


def place(of: Subject) -> Place:
    """As `Violation.place`, of a Pod, ReplicaSet or Job."""
    return of.group, "v1", of.kind, of.namespace, of.name
