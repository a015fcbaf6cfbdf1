"""Who controls the workloads (Pods, ReplicaSets and Jobs) of one cluster: to which object a result on one rolls up.

The input are reflectors over metadata: of the workloads, and of the built-in controllers, which verify the owner
references of the workloads. The request leaves out Pods that have ended (`RESOURCES`).

| the object of a result                       | its rollup target                                                   |
|----------------------------------------------|---------------------------------------------------------------------|
| is no workload                               | itself                                                              |
| has no controller, or a Node (a static Pod)  | itself                                                              |
| a Pod with a controller                      | the first object up its owners that is no workload                  |
| a Pod of a Pod (an executor of Spark)        | the owning Pod, if it is older                                      |
| a ReplicaSet or Job with a controller        | the controller, while the object has Pods or is the newest of its   |
|                                              | controller; else none (IDLE): old revisions are kept for a rollback |
|                                              | and violate nothing                                                 |
| its controller, or that one's controller,    | the previous target (of a new object: UNKNOWN); after GRACE_MS      |
| cannot be verified                           | itself, and the condition shows it; at once where the controller    |
|                                              | can never be verified                                               |
| does not exist, and all workloads are known  | none (GONE)                                                         |
| does not exist, and not all are known        | not known yet (UNKNOWN)                                             |

Whoever may write an object may name any controller, so the controller is verified (`owner_reference` says what can be a
controller at all):

| the controller                     | is verified when                                                              |
|------------------------------------|-------------------------------------------------------------------------------|
| ReplicaSet or Job of a Pod         | it exists with the uid that is named                                          |
| Deployment, StatefulSet, DaemonSet | it exists with the uid that is named; it is assumed to where the operator may |
| CronJob, ReplicationController     | not list the kind                                                             |
| a custom resource                  | its kind is served (`served_kinds`), and the oldest object that names it      |
|                                    | names the same uid                                                            |

So nothing can be hidden behind a controller that does not exist, that has another name, kind, group or uid, or behind
two objects that own each other. All of this stays within one namespace. The grace period exists because watches of
different kinds arrive in any order; it does not end while a watch is interrupted. An object that is being deleted keeps
its target (DELETION_GRACE_MS), since its controller is deleted first.

Where the operator may not list workloads, nothing rolls up (`owner_sink`).

The cost of a change depends on what it changes, not on the number of siblings (`links`), and a large change is done in
slices (`rollup_targets`).

Pure: no I/O; the clock is an argument.
"""

from collections.abc import Callable, Collection
from enum import Enum
from typing import Final

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.findings.rollup import is_rolled_up
from policyhub.kube.resource import Resource
from policyhub.model.violation import ObjectRef, Subject
from policyhub.sync.fair_queue import WorkBudget
from policyhub.sync.links import Links, Workload
from policyhub.sync.owner_reference import ObjectMetadata
from policyhub.sync.owner_sink import REFUSAL_GRACE_MS, OwnerSink
from policyhub.sync.rollup_members import RollupMembers
from policyhub.sync.rollup_targets import RollupTargets
from policyhub.sync.served_kinds import ServedKinds

PODS: Final = Resource("", "v1", "pods", "Pod", namespaced=True)
REPLICASETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet", namespaced=True)
JOBS: Final = Resource("batch", "v1", "jobs", "Job", namespaced=True)
RESOURCES: Final = {
    PODS: {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"},
    REPLICASETS: {},
    JOBS: {},
}
"""The workloads, which are listed and watched as metadata, with the query parameters of the request."""
CONTROLLERS: Final = (
    Resource("apps", "v1", "deployments", "Deployment", namespaced=True),
    Resource("apps", "v1", "statefulsets", "StatefulSet", namespaced=True),
    Resource("apps", "v1", "daemonsets", "DaemonSet", namespaced=True),
    Resource("batch", "v1", "cronjobs", "CronJob", namespaced=True),
    Resource("", "v1", "replicationcontrollers", "ReplicationController", namespaced=True),
)
"""The built-in controllers, by which owner references are verified; also listed and watched as metadata."""
FORBIDDEN_CAP: Final = 600.0
"""Maximum back-off of a reflector, in seconds, where listing is forbidden: the chart can omit the permission."""
MAX_EXPIRED_AT_ONCE: Final = 500
"""Grace periods that may end in one call; the others end a second later."""


class Unresolved(Enum):
    """Why an object has no rollup target."""

    DELETED = "gone"
    """It no longer exists."""
    IDLE = "idle"
    """A ReplicaSet or Job without Pods that is not the newest."""
    UNKNOWN = "unknown"
    """Not everything that decides it is known yet."""


class UnverifiedObjects(msgspec.Struct, frozen=True):
    """The workloads of one namespace whose controller cannot be verified."""

    number: int
    example: str


class Owners:
    """The owner references of one cluster. `sinks` fill them; `on_change` gets the objects whose target may have
    changed (None: all).
    """

    def __init__(
        self,
        *,
        now: Callable[[], SteadyMs],
        on_change: Callable[[set[Subject] | None], None],
        on_malformed: Callable[[str, str], None],
        verify: bool = True,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps. `on_malformed` gets the source API of an object
        that could not be read, and why. Without `verify`, built-in controllers and custom resources are assumed to
        exist, and uids are not compared.
        """
        self.listed = False
        """Whether all kinds were listed once; it stays true when a watch is interrupted."""
        self.forbidden = False
        """Whether listing a kind of workloads is forbidden, beyond the grace period, and that kind was never listed."""
        self.since = NEVER
        """Since when all workloads are listed and watched; 0: they are not, and a missing workload is no evidence."""
        self.confirmed: SteadyMs | None = None
        """When a discovery last confirmed that the same cluster answers; None: nobody checks. While a listing or watch
        is newer than that, no link is refused: another cluster may have answered it.
        """
        self.refusal_grace_ms = REFUSAL_GRACE_MS
        """How long listing must have been forbidden before that is accepted."""
        self.now = now
        self.on_malformed = on_malformed
        self.verify = verify
        self.served = ServedKinds(verify=verify)
        self.budget = WorkBudget()
        """How much work each namespace may cause."""
        self._on_change = on_change
        self._on_stream_started: Callable[[str, SteadyMs], object] | None = None
        self._stream_started_at = NEVER
        """When the last listing or watch was accepted."""
        self.sinks = {resource: OwnerSink(self, resource) for resource in RESOURCES}
        """Of the workloads."""
        self.controller_sinks = {resource: OwnerSink(self, resource, controllers=True) for resource in CONTROLLERS}
        """Of the built-in controllers, which are assumed to exist while nobody lists them."""
        self._links = Links(
            now=now,
            served=self.served,
            assumed={(sink.resource.group, sink.resource.kind): sink for sink in self.controller_sinks.values()},
            refresh_many=lambda objects: self._targets.refresh_many(objects),  # noqa: PLW0108  (created below)
        )
        self._targets = RollupTargets(self._links, now=now, budget=self.budget)

    # -- answers ----------------------------------------------------------------------------------------------------

    def resolve(self, subject: Subject) -> Subject | Unresolved:
        """The rollup target of a result on this object."""
        if self.forbidden or not is_rolled_up(subject):
            return subject
        if not self.listed:
            return Unresolved.UNKNOWN
        workload = self._links.workloads.get(subject)
        if workload is None:
            return Unresolved.DELETED if self.since else Unresolved.UNKNOWN
        if workload.target is not None:
            return workload.target
        return Unresolved.IDLE if workload.idle else Unresolved.UNKNOWN

    @property
    def members(self) -> RollupMembers:
        """The members of each target."""
        return self._targets.members

    def target(self, subject: Subject) -> Subject | None:
        """The rollup target of an existing workload; None: it has none, or none that is known."""
        workload = self._links.workloads.get(subject)
        return None if workload is None else workload.target

    def is_deleted(self, subject: Subject) -> bool:
        """Whether it is a workload that is known to no longer exist."""
        return bool(self.since) and is_rolled_up(subject) and subject not in self._links.workloads

    def descendants(self, subject: Subject) -> set[Subject]:
        """The workloads that roll up to the object, itself left out. Only for a person or a test: it visits each of
        them.
        """
        return set(self.members.members(subject))

    def created(self, subject: Subject) -> int:
        """When (Unix seconds) a workload was created; 0 where it does not exist."""
        workload = self._links.workloads.get(subject)
        return 0 if workload is None else workload.metadata.created

    def has_unknown(self, namespace: str) -> bool:
        """Whether the rollup target of any object in the namespace is not known yet."""
        return self._targets.has_unknown(namespace)

    @property
    def unverified_owners(self) -> dict[str, UnverifiedObjects]:
        """Namespace → workloads that do not roll up because their controller cannot be verified."""
        return {
            namespace: UnverifiedObjects(len(objects), self._links.explain(next(iter(objects))))
            for namespace, objects in sorted(self._targets.unverified_owners.items())
        }

    # -- discovery --------------------------------------------------------------------------------------------------

    def next_group_version(self) -> tuple[str, str] | None:
        """The API group and version whose discovery document to read next."""
        return self.served.next_group_version(self.now())

    def record_kinds(self, group: str, version: str, kinds: Collection[str] | None) -> None:
        """The kinds in the discovery document; empty: it does not exist; None: it could not be read."""
        for owner in self.served.record_kinds(group, version, kinds, now=self.now()):
            custom = self._links.custom_owners.get(owner)
            if custom is not None:
                self._links.verify_at(owner, custom.elected[0])
        self._publish()

    # -- timers -----------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """End the grace periods that are over. To be called about once a second."""
        if self.confirmed is not None and self._stream_started_at > self.confirmed:
            return
        now, links = self.now(), self._links
        for _ in range(MAX_EXPIRED_AT_ONCE):
            item = links.timers.pop(now)
            if item is None:
                break
            if isinstance(item, Subject):
                self._targets.refresh(item)
            else:
                links.expire(item, self.since)
        if self._targets.changed:
            self._publish()

    def advance(self) -> int:
        """Resolve one slice of the queue. Returns the units of work, 0 where no namespace has budget left."""
        units = self._targets.advance()
        if units:
            self._publish()
        return units

    # -- called by the sinks ----------------------------------------------------------------------------------------

    def on_stream_started(self, callback: Callable[[str, SteadyMs], object]) -> None:
        """`callback` gets the source API and the time of each listing or watch that is accepted. What such a listing
        lacks counts as deleted once a later discovery has confirmed that the same cluster answers.
        """
        self._on_stream_started = callback

    def stream_started(self, source_api: str) -> None:
        """A listing or watch was accepted."""
        self._stream_started_at = self.now()
        if self._on_stream_started is not None:
            self._on_stream_started(source_api, self._stream_started_at)

    def put(self, subject: Subject, metadata: ObjectMetadata) -> None:
        """A workload exists, with this metadata."""
        links, targets = self._links, self._targets
        before = links.workloads.get(subject)
        if before is not None and before.metadata == metadata:
            return
        to_refresh = {subject}
        workload = Workload(metadata, None, self.now() if metadata.deleting else NEVER)
        if before is not None:
            workload.target, workload.idle, workload.unverified = before.target, before.idle, before.unverified
            workload.pods_target, workload.pods_target_since = before.pods_target, before.pods_target_since
            workload.deleting_since = min(before.deleting_since or workload.deleting_since, workload.deleting_since)
            target = workload.target
            if target is not None and target != subject and before.metadata.created != metadata.created:
                self.members.leave(subject, target, before.metadata.created)
                self.members.join(subject, target, metadata.created)
        elif self.listed:
            targets.add(subject)
        links.workloads[subject] = workload
        links.attach(subject, workload, to_refresh)
        if before is not None:
            links.detach(subject, before, to_refresh)
        if self.listed:
            if before is None or before.metadata.uid != metadata.uid:
                links.verify_at(subject, "" if before is None else before.metadata.uid)
                links.verify_at(subject, metadata.uid)
            for affected in to_refresh:
                targets.refresh(affected)
            targets.changed.add(subject)
        self._publish()

    def drop(self, subject: Subject) -> None:
        """A workload was deleted."""
        self._drop(subject)
        self._publish()

    def _drop(self, subject: Subject) -> None:
        workload = self._links.workloads.pop(subject, None)
        if workload is None:
            return
        to_refresh: set[Subject] = set()
        self._targets.remove(subject, workload)
        self._links.detach(subject, workload, to_refresh)
        if self.listed:
            self._links.verify_at(subject, workload.metadata.uid)
            for affected in to_refresh:
                self._targets.refresh(affected)
            self._targets.changed.add(subject)

    def set_controller(self, subject: Subject, uid: str) -> None:
        """A built-in controller exists; with an empty uid, it was deleted."""
        self._set_controller(subject, uid)
        self._publish()

    def _set_controller(self, subject: Subject, uid: str) -> None:
        controllers = self._links.controllers
        before = controllers.get(subject, "")
        if before == uid:
            return
        if uid:
            controllers[subject] = uid
        else:
            del controllers[subject]
        self._links.verify_at(subject, before)
        self._links.verify_at(subject, uid)

    def sweep(self, resource: Resource, seen: set[Subject]) -> None:
        """A complete listing: objects of the kind that it lacks were deleted."""
        kind, verifies = (resource.group, resource.kind), resource in CONTROLLERS
        observed = self._links.controllers if verifies else self._links.workloads
        for subject in [s for s in observed if (s.group, s.kind) == kind and s not in seen]:
            if verifies:
                self._set_controller(subject, "")
            else:
                self._drop(subject)
        self._publish()

    def update_live(self) -> None:
        """A sink's state has changed."""
        before = self.listed, self.forbidden, bool(self.since)
        workload_sinks = self.sinks.values()
        self.forbidden = any(sink.forbidden and not sink.listed for sink in workload_sinks)
        live = all(sink.listed and sink.live for sink in workload_sinks)
        if live != before[2]:
            self.since = self.now() if live else NEVER
        if not self.listed and all(sink.listed for sink in workload_sinks):
            self.listed = all(sink.listed or sink.assumed for sink in self.controller_sinks.values())
            if self.listed:
                self._begin()
        if before != (self.listed, self.forbidden, live):
            self._targets.changed.clear()
            self._on_change(None)

    def assumed_changed(self, resource: Resource) -> None:
        """Whether controllers of this kind are assumed to exist has changed."""
        kind = (resource.group, resource.kind)
        for link in list(self._links.by_owner.values()):
            if (link.reference.owner.group, link.reference.owner.kind) == kind:
                self._links.verify(link)
        self._publish()

    def _begin(self) -> None:
        """All kinds are listed: resolve everything once; from now on each change keeps it up to date."""
        links, targets = self._links, self._targets
        links.listed = True
        targets.start_event(limit=len(links.workloads) ** 2)
        for subject in links.workloads:
            targets.add(subject)
        for link in list(links.by_owner.values()):
            links.verify(link)
        for subject in sorted(links.workloads, key=lambda each: each.kind == "Pod"):
            targets.refresh(subject)
        targets.start_event()

    def _publish(self) -> None:
        targets = self._targets
        targets.start_event()
        if self.listed and targets.changed:
            changed, targets.changed = targets.changed, set()
            self._on_change(changed)


def object_ref(subject: Subject) -> ObjectRef:
    """As `Violation.object_ref`, for a workload."""
    return ObjectRef(subject.group, "v1", subject.kind, subject.namespace, subject.name)
