"""Who owns the Pods, ReplicaSets and Jobs of one cluster: which object a result on one of them counts for.

Sinks of three reflectors over metadata; Pods that have ended are left out by the request (`RESOURCES`).

| the object of a result                       | counts for                                                          |
|----------------------------------------------|---------------------------------------------------------------------|
| is none of the three                         | itself                                                              |
| has no controller, or a Node (a static Pod)  | itself                                                              |
| a Pod with a controller                      | the first object up its owners that is none of the three            |
| a ReplicaSet or Job with a controller        | that, while it has Pods or is the newest of it; else for nothing:   |
|                                              | old revisions are kept for a rollback, and violate nothing          |
| is not there, and all are known              | nothing: it is gone                                                 |
| is not there, and not all are known          | not known yet                                                       |

Where the three may not be listed, everything counts for itself. A refusal is believed when it stands (`_REFUSED_MS`):
an API server refuses what its rules allow while it reads them, and roll-up that is off for a moment makes a finding
for each Pod and ends those of the controllers.

Pure: no I/O; the clock is an argument.
"""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from sys import intern
from typing import Final

import msgspec

from policyhub.findings.rollup import is_rolled
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.sources.kinds import group_of
from policyhub.sources.violation import Place, Subject
from policyhub.sources.wire import Name

PODS: Final = Resource("", "v1", "pods", "Pod", namespaced=True)
REPLICASETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet", namespaced=True)
JOBS: Final = Resource("batch", "v1", "jobs", "Job", namespaced=True)
RESOURCES: Final = {
    PODS: {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"},
    REPLICASETS: {},
    JOBS: {},
}
"""What is listed and watched, as metadata, and with which parameters."""
FORBIDDEN_CAP: Final = 600.0
"""Seconds between two tries of a reflector where the listing is forbidden: the chart can leave the right out."""

_REFUSED_MS = 15_000
"""How long after the first refusal a listing must begin and be refused as well. By the back-off that is within half a
minute.
"""
_DEEPEST = 8
"""Owners above a Pod; three are usual, and a cycle must end."""
_REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
_EXTINCT_MS = 86_400_000
"""How long an owner without anything left is remembered as one."""


class Unresolved(Enum):
    """Why an object counts for no other and not for itself."""

    GONE = "gone"
    """It does not exist any more."""
    IDLE = "idle"
    """A revision that is not in use."""
    UNKNOWN = "unknown"
    """Not all is known yet."""


class Thing(msgspec.Struct, frozen=True, gc=False):
    """A Pod, ReplicaSet or Job."""

    uid: str
    owner: Subject | None
    """Its controller, where it has one that is no Node."""
    created: int = 0
    """Unix seconds."""
    revision: int = 0

    @property
    def age(self) -> tuple[int, int]:
        """The greatest is the newest."""
        return self.revision, self.created


class Owners:
    """The three caches together. `sinks` fill them; `on_change` is told what may count for another now (None: all)."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        on_change: Callable[[set[Subject] | None], None],
        on_malformed: Callable[[str, str], None],
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps; `on_malformed` hears the origin of what could not
        be read, and why.
        """
        self.listed = False
        """Whether all have been listed once; what was known stands when a watch is cut."""
        self.forbidden = False
        """Whether one of them may not be listed, as has stood for a while, and never could be."""
        self.since = 0
        """Since when all are seen whole and live; 0: they are not, and an absence says nothing."""
        self.opened: dict[str, int] = {}
        """Origin → when its last listing or watch was accepted."""
        self.now = now
        self._on_change = on_change
        self.on_malformed = on_malformed
        self._things: dict[Subject, Thing] = {}
        self._children: dict[Subject, set[Subject]] = {}
        self._extinct: dict[Subject, int] = {}
        """Owners that have nothing left, and since when."""
        self.sinks = {resource: Sink(self, resource) for resource in RESOURCES}

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
        if thing.owner is None:
            return of
        if of.kind != "Pod" and not self._in_use(of, thing.owner, thing):
            return Unresolved.IDLE
        return self._top(thing.owner)

    def _top(self, owner: Subject) -> Subject | Unresolved:
        for _ in range(_DEEPEST):
            if not is_rolled(owner):
                return owner
            thing = self._things.get(owner)
            if thing is None:
                return Unresolved.UNKNOWN
            if thing.owner is None:
                return owner
            owner = thing.owner
        return Unresolved.UNKNOWN

    def _in_use(self, of: Subject, owner: Subject, thing: Thing) -> bool:
        if self._children.get(of):
            return True
        siblings = (self._things[s] for s in self._children[owner] if s.kind == of.kind)
        return all(thing.age >= sibling.age for sibling in siblings)

    def gone(self, of: Subject) -> bool:
        """Whether it is known to exist no more: one of the three that is not there."""
        return bool(self.since) and is_rolled(of) and of not in self._things

    def extinct(self, of: Subject) -> bool:
        """Whether it owned some of the three, and nothing of them is left."""
        return bool(self.since) and of in self._extinct

    def below(self, of: Subject) -> set[Subject]:
        """Those of the three that count for this object, itself left out."""
        found: set[Subject] = set()
        left = [of]
        while left:
            owner = left.pop()
            children = self._children.get(owner, set()) - found
            found |= children
            left += [child for child in children if child.kind != "Pod"]
        return {one for one in found if one.kind == "Pod" or self.subject(one) == of}

    def created(self, of: Subject) -> int:
        """When (Unix seconds) one of the three was made; 0 where it is not there."""
        thing = self._things.get(of)
        return 0 if thing is None else thing.created

    # -- what the sinks say ---------------------------------------------------------------------------------------

    def put(self, of: Subject, thing: Thing) -> None:
        """It is there."""
        before = self._things.get(of)
        if before == thing:
            return
        touched = self._around(of)
        if before is not None:
            self._unlink(of, before)
        self._things[of] = thing
        if thing.owner is not None:
            self._children.setdefault(thing.owner, set()).add(of)
            self._extinct.pop(thing.owner, None)
        self._tell(touched | self._around(of))

    def drop(self, of: Subject) -> None:
        """It is gone."""
        thing = self._things.get(of)
        if thing is None:
            return
        touched = self._around(of)
        del self._things[of]
        self._unlink(of, thing)
        self._tell(touched)

    def sweep(self, resource: Resource, seen: set[Subject]) -> None:
        """A complete listing: what it lacks is gone."""
        kind = (resource.group, resource.kind)
        for of in [s for s in self._things if (s.group, s.kind) == kind and s not in seen]:
            self.drop(of)
        old = self.now() - _EXTINCT_MS
        self._extinct = {of: at for of, at in self._extinct.items() if at > old}

    def live(self) -> None:
        """A sink's state has changed."""
        before = self.listed, self.forbidden, bool(self.since)
        self.listed = all(sink.listed for sink in self.sinks.values())
        self.forbidden = any(sink.forbidden and not sink.listed for sink in self.sinks.values())
        live = self.listed and all(sink.live for sink in self.sinks.values())
        if live != before[2]:
            self.since = self.now() if live else 0
        if before != (self.listed, self.forbidden, live):
            self._on_change(None)

    def _unlink(self, of: Subject, thing: Thing) -> None:
        if thing.owner is None:
            return
        children = self._children[thing.owner]
        children.discard(of)
        if not children:
            del self._children[thing.owner]
            self._extinct[thing.owner] = self.now()

    def _around(self, of: Subject) -> set[Subject]:
        """Whose meaning may hang on it: itself, what it owns, its owner, and the owner's others."""
        around = {of, *self._children.get(of, ())}
        thing = self._things.get(of)
        if thing is not None and thing.owner is not None:
            around.add(thing.owner)
            if of.kind != "Pod":
                around |= self._children.get(thing.owner, set())
        return around

    def _tell(self, touched: set[Subject]) -> None:
        if self.listed:
            self._on_change(touched)


class Sink:
    """One of the three: what its reflector writes to."""

    def __init__(self, owners: Owners, resource: Resource) -> None:
        self.resource = resource
        self.listed = False
        self.live = False
        self.forbidden = False
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

    def opened(self) -> None:
        self._owners.opened[self.resource.origin] = self._owners.now()

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        read = self._read(raw)
        if read is None:
            return
        of, thing = read
        if self._seen is not None:
            self._seen.add(of)
        self._owners.put(of, thing)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        read = self._read(raw)
        if read is not None:
            self._owners.drop(read[0])

    def unreadable(self, _raw: bytes | msgspec.Raw, error: Exception) -> None:
        self._owners.on_malformed(self.resource.origin, str(error))
        self._blind = True
        self.live = False
        self._owners.live()

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        if self._blind:  # an object that could not be read may be any of those that are known
            return
        self._owners.sweep(self.resource, seen)
        self.listed = True
        self._owners.live()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        self.live = state.live and not self._blind
        if state.reason != "ListingForbidden":
            self._refused = None
        elif self._refused is None:
            self._refused = self._owners.now()
        self.forbidden = self._refused is not None and self._began >= self._refused + _REFUSED_MS
        self._owners.live()

    def end(self) -> None:
        """It is watched no more; what was known stands."""
        self.live = False
        self._owners.live()

    def _read(self, raw: bytes | msgspec.Raw) -> tuple[Subject, Thing] | None:
        try:
            metadata = _decode(raw).metadata
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._owners.on_malformed(self.resource.origin, str(error))
            self._blind = True
            self.live = False
            self._owners.live()
            return None
        of = Subject(self.resource.group, self.resource.kind, intern(metadata.namespace), metadata.name)
        return of, Thing(metadata.uid, _controller(metadata), _second(metadata.creation_timestamp), _revision(metadata))


class _Reference(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: Name
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str = ""
    annotations: dict[str, str] | None = None
    owner_references: list[_Reference] | None = None


class Object(msgspec.Struct):
    """One of the three, as far as it is read."""

    metadata: _Metadata


_decode = msgspec.json.Decoder(Object).decode


def _controller(metadata: _Metadata) -> Subject | None:
    for reference in metadata.owner_references or ():
        if reference.controller and reference.name and reference.kind != "Node":
            group = group_of(reference.api_version, reference.kind)
            return Subject(intern(group), intern(reference.kind), intern(metadata.namespace), intern(reference.name))
    return None


def _revision(metadata: _Metadata) -> int:
    annotations = metadata.annotations or {}
    said = next((annotations[key] for key in _REVISIONS if key in annotations), "")
    return int(said) if said.isdecimal() else 0


def _second(stamp: str) -> int:
    try:
        return int(datetime.fromisoformat(stamp).timestamp())
    except ValueError:
        return 0


def place(of: Subject) -> Place:
    """As `Violation.place`, of a Pod, ReplicaSet or Job."""
    return of.group, "v1", of.kind, of.namespace, of.name
