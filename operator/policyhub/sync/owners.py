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

Where the three may not be listed, everything counts for itself (`ownersink`).

What a change costs hangs on what it changes, not on how many siblings there are (`links`), and where it changes much,
it is done in slices (`homes`).

Pure: no I/O; the clock is an argument.
"""

from collections.abc import Callable, Collection
from enum import Enum
from typing import Final

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.findings.rollup import is_rolled_up
from policyhub.kube.resource import Resource
from policyhub.sources.violation import ObjectRef, Subject
from policyhub.sync.family import Families
from policyhub.sync.homes import Homes
from policyhub.sync.links import Links, Workload
from policyhub.sync.ownersink import REFUSED_MS, Sink
from policyhub.sync.reference import Said
from policyhub.sync.served import Served
from policyhub.sync.turns import Allowance

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
EXPIRED_AT_ONCE: Final = 500
"""Ends of a grace that are looked at in one go; the others a second later."""


class Unresolved(Enum):
    """Why an object counts for no other and not for itself."""

    GONE = "gone"
    """It does not exist any more."""
    IDLE = "idle"
    """A revision that is not in use."""
    UNKNOWN = "unknown"
    """Not all is known yet."""


class Stray(msgspec.Struct, frozen=True):
    """The objects of one namespace whose controller cannot be verified."""

    number: int
    example: str


class Owners:
    """The caches together. `sinks` fill them; `on_change` is told what may count for another now (None: all)."""

    def __init__(
        self,
        *,
        now: Callable[[], SteadyMs],
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
        self.since = NEVER
        """Since when the three are seen whole and live; 0: they are not, and an absence says nothing."""
        self.confirmed: SteadyMs | None = None
        """When a discovery last saw that it is the very cluster that answers; None: nobody looks. What lacks a
        controller by a listing or watch that began later is not refused yet: another cluster may have answered it.
        """
        self.refused_ms = REFUSED_MS
        """How long a refusal has to stand before it is believed."""
        self.now = now
        self.on_malformed = on_malformed
        self.verify = verify
        self.served = Served(verify=verify)
        self.allowance = Allowance()
        """What each namespace may have worked out."""
        self._on_change = on_change
        self._on_opened: Callable[[str, SteadyMs], object] | None = None
        self._opened = NEVER
        """When the last listing or watch was accepted."""
        self.sinks = {resource: Sink(self, resource) for resource in RESOURCES}
        """Of the three."""
        self.verifiers = {resource: Sink(self, resource, controllers=True) for resource in CONTROLLERS}
        """Of the built-in controllers, which are believed while nobody lists them."""
        self._links = Links(
            now=now,
            served=self.served,
            believed={(sink.resource.group, sink.resource.kind): sink for sink in self.verifiers.values()},
            spread=lambda objects: self._homes.spread(objects),  # noqa: PLW0108  (made below)
        )
        self._homes = Homes(self._links, now=now, allowance=self.allowance)

    # -- what it answers ------------------------------------------------------------------------------------------

    def subject(self, of: Subject) -> Subject | Unresolved:
        """What a result on this object counts for."""
        if self.forbidden or not is_rolled_up(of):
            return of
        if not self.listed:
            return Unresolved.UNKNOWN
        thing = self._links.things.get(of)
        if thing is None:
            return Unresolved.GONE if self.since else Unresolved.UNKNOWN
        if thing.home is not None:
            return thing.home
        return Unresolved.IDLE if thing.idle else Unresolved.UNKNOWN

    @property
    def families(self) -> Families:
        """What counts for what, counted."""
        return self._homes.families

    def home(self, of: Subject) -> Subject | None:
        """What one of the three that is there counts for; None: nothing, or it is not known."""
        thing = self._links.things.get(of)
        return None if thing is None else thing.home

    def gone(self, of: Subject) -> bool:
        """Whether it is known to exist no more: one of the three that is not there."""
        return bool(self.since) and is_rolled_up(of) and of not in self._links.things

    def descendants(self, of: Subject) -> set[Subject]:
        """Those of the three that count for this object, itself left out. For a person or a test: it looks at each."""
        return set(self.families.members(of))

    def created(self, of: Subject) -> int:
        """When (Unix seconds) one of the three was made; 0 where it is not there."""
        thing = self._links.things.get(of)
        return 0 if thing is None else thing.said.created

    def unsettled(self, namespace: str) -> bool:
        """Whether something is in the namespace of which it is not known yet what it counts for."""
        return self._homes.unsettled(namespace)

    @property
    def strays(self) -> dict[str, Stray]:
        """By namespace, what counts for itself since its controller cannot be verified; one of them as an example."""
        return {
            namespace: Stray(len(strays), self._links.why(next(iter(strays))))
            for namespace, strays in sorted(self._homes.strays.items())
        }

    # -- what is to be asked --------------------------------------------------------------------------------------

    def question(self) -> tuple[str, str] | None:
        """The API group and version whose kinds are to be read next."""
        return self.served.question(self.now())

    def answer(self, group: str, version: str, kinds: Collection[str] | None) -> None:
        """The kinds that it serves; none: it is not served; None: that could not be found out."""
        for owner in self.served.answer(group, version, kinds, now=self.now()):
            custom = self._links.customs.get(owner)
            if custom is not None:
                self._links.judge_at(owner, custom.elected[0])
        self._publish()

    # -- what is done later ---------------------------------------------------------------------------------------

    def expire(self) -> None:
        """What has waited for its controller for long enough counts for itself. To be called every second or so."""
        if self.confirmed is not None and self._opened > self.confirmed:
            return
        now, links = self.now(), self._links
        for _ in range(EXPIRED_AT_ONCE):
            item = links.timers.pop(now)
            if item is None:
                break
            if isinstance(item, Subject):
                self._homes.refresh(item)
            else:
                links.expire(item, self.since)
        if self._homes.touched:
            self._publish()

    def advance(self) -> int:
        """Work out one slice of what is late; its units of the allowance, 0 where nothing may be worked out now."""
        units = self._homes.advance()
        if units:
            self._publish()
        return units

    # -- what the sinks say ---------------------------------------------------------------------------------------

    def on_opened(self, tell: Callable[[str, SteadyMs], object]) -> None:
        """`tell` hears the origin of which a listing or watch is accepted, and when: what it lacks is believed once a
        discovery has seen since that it is the very cluster that answers.
        """
        self._on_opened = tell

    def open(self, origin: str) -> None:
        """A listing or watch was accepted."""
        self._opened = self.now()
        if self._on_opened is not None:
            self._on_opened(origin, self._opened)

    def put(self, of: Subject, said: Said) -> None:
        """It is there."""
        links, homes = self._links, self._homes
        before = links.things.get(of)
        if before is not None and before.said == said:
            return
        touched = {of}
        thing = Workload(said, None, self.now() if said.ending else NEVER)
        if before is not None:
            thing.home, thing.idle, thing.stray = before.home, before.idle, before.stray
            thing.top, thing.moved = before.top, before.moved
            thing.ending = min(before.ending or thing.ending, thing.ending)
            home = thing.home
            if home is not None and home != of and before.said.created != said.created:
                self.families.leave(of, home, before.said.created)
                self.families.join(of, home, said.created)
        elif self.listed:
            homes.add(of)
        links.things[of] = thing
        links.attach(of, thing, touched)
        if before is not None:
            links.detach(of, before, touched)
        if self.listed:
            if before is None or before.said.uid != said.uid:
                links.judge_at(of, "" if before is None else before.said.uid)
                links.judge_at(of, said.uid)
            for one in touched:
                homes.refresh(one)
            homes.touched.add(of)
        self._publish()

    def drop(self, of: Subject) -> None:
        """It is gone."""
        self._drop(of)
        self._publish()

    def _drop(self, of: Subject) -> None:
        thing = self._links.things.pop(of, None)
        if thing is None:
            return
        touched: set[Subject] = set()
        self._homes.remove(of, thing)
        self._links.detach(of, thing, touched)
        if self.listed:
            self._links.judge_at(of, thing.said.uid)
            for one in touched:
                self._homes.refresh(one)
            self._homes.touched.add(of)

    def control(self, of: Subject, uid: str) -> None:
        """A built-in controller is there; without a uid it is gone."""
        self._control(of, uid)
        self._publish()

    def _control(self, of: Subject, uid: str) -> None:
        controllers = self._links.controllers
        before = controllers.get(of, "")
        if before == uid:
            return
        if uid:
            controllers[of] = uid
        else:
            del controllers[of]
        self._links.judge_at(of, before)
        self._links.judge_at(of, uid)

    def sweep(self, resource: Resource, seen: set[Subject]) -> None:
        """A complete listing: what it lacks is gone."""
        kind, verifies = (resource.group, resource.kind), resource in CONTROLLERS
        observed = self._links.controllers if verifies else self._links.things
        for of in [s for s in observed if (s.group, s.kind) == kind and s not in seen]:
            if verifies:
                self._control(of, "")
            else:
                self._drop(of)
        self._publish()

    def live(self) -> None:
        """A sink's state has changed."""
        before = self.listed, self.forbidden, bool(self.since)
        three = self.sinks.values()
        self.forbidden = any(sink.forbidden and not sink.listed for sink in three)
        live = all(sink.listed and sink.live for sink in three)
        if live != before[2]:
            self.since = self.now() if live else NEVER
        if not self.listed and all(sink.listed for sink in three):
            self.listed = all(sink.listed or sink.believed for sink in self.verifiers.values())
            if self.listed:
                self._begin()
        if before != (self.listed, self.forbidden, live):
            self._homes.touched.clear()
            self._on_change(None)

    def believe(self, resource: Resource) -> None:
        """Whether controllers of this kind are believed has changed."""
        kind = (resource.group, resource.kind)
        for link in list(self._links.by.values()):
            if (link.reference.owner.group, link.reference.owner.kind) == kind:
                self._links.judge(link)
        self._publish()

    def _begin(self) -> None:
        """All are listed: what counts for what is worked out once, and kept from now on."""
        links, homes = self._links, self._homes
        links.listed = True
        homes.renew(left=len(links.things) ** 2)
        for of in links.things:
            homes.add(of)
        for link in list(links.by.values()):
            links.judge(link)
        for of in sorted(links.things, key=lambda one: one.kind == "Pod"):
            homes.refresh(of)
        homes.renew()

    def _publish(self) -> None:
        homes = self._homes
        homes.renew()
        if self.listed and homes.touched:
            touched, homes.touched = homes.touched, set()
            self._on_change(touched)


def place(of: Subject) -> ObjectRef:
    """As `Violation.object_ref`, of a Pod, ReplicaSet or Job."""
    return of.group, "v1", of.kind, of.namespace, of.name
