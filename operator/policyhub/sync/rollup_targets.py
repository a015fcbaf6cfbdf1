"""The rollup target of each Pod, ReplicaSet and Job: the object that a finding on it is about.

The target follows from the controller (`links`) and is kept until that changes. The Pods of a ReplicaSet or Job have
the target of their controller. Where one event changes many objects, the first `MAX_AT_ONCE` are resolved with the
event; the others wait in a queue and are resolved in slices, namespaces in turn (`fair_queue`). Until then they keep
their old target, and their namespace has unknown targets.

Pure: no I/O; the clock is an argument.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from policyhub.clock import SteadyMs
from policyhub.model.violation import Subject
from policyhub.sync.fair_queue import FairQueue, WorkBudget
from policyhub.sync.links import GRACE_MS, Link, Links, LinkState, Workload
from policyhub.sync.owner_reference import Verification
from policyhub.sync.rollup_members import RollupMembers

DELETION_GRACE_MS: Final = 3_600_000
"""How long an object keeps its target after its controller is gone, where either was seen being deleted: garbage
collection follows within seconds, but its events may be missing. An object that is changed meanwhile is not deleted.
"""
MAX_AT_ONCE: Final = 500
"""Objects that one event resolves at most; the same for one slice. Each takes some 10 µs."""
_OBJECTS_PER_UNIT = 5
"""Objects that are resolved for one unit of the work budget."""


class RollupTargets:
    """The rollup targets in one cluster."""

    def __init__(self, links: Links, *, now: Callable[[], SteadyMs], budget: WorkBudget) -> None:
        self.members = RollupMembers()
        self.changed: set[Subject] = set()
        """Objects whose target may have changed since the last notification."""
        self.unverified_owners: dict[str, dict[Subject, None]] = {}
        """Namespace → objects that have a controller which cannot be verified."""
        self._links = links
        self._now = now
        self._budget = budget
        self._unknown: Counter[str] = Counter()
        """Namespace → how many objects have no known target yet."""
        self._queue: FairQueue[Subject] = FairQueue()
        self._objects_left = MAX_AT_ONCE

    # -- scheduling -------------------------------------------------------------------------------------------------

    def has_unknown(self, namespace: str) -> bool:
        """Whether the target of any object in the namespace is not known yet, or waits to be resolved again."""
        return namespace in self._unknown or namespace in self._queue

    def start_event(self, limit: int | None = None) -> None:
        """A new event begins; it may resolve `limit` objects at once (None: `MAX_AT_ONCE`)."""
        self._objects_left = MAX_AT_ONCE if limit is None else limit

    def refresh_many(self, objects: Collection[Subject]) -> None:
        """Resolve objects of one namespace, whose controller has changed: now or, beyond the limit, in a slice."""
        now, done = self._now(), 0
        for subject in objects:
            if self._objects_left > 0 and (done or self._budget.has(subject.namespace, now=now)):
                self._objects_left -= 1
                done += 1
                self.refresh(subject)
            else:
                self._queue.add(subject.namespace, subject)
        if done:
            self._budget.charge(subject.namespace, done / _OBJECTS_PER_UNIT, now=now)

    def advance(self) -> int:
        """Resolve one slice of the queue. Returns the units of work, 0 where no namespace has budget left."""
        now = self._now()
        namespace = self._queue.next_namespace(self._budget, now=now)
        if namespace is None:
            return 0
        self._objects_left = MAX_AT_ONCE
        while self._objects_left > 0 and (subject := self._queue.first(namespace)) is not None:
            self._queue.discard(namespace, subject)
            self._objects_left -= 1
            self.refresh(subject)
            self.changed.add(subject)  # its namespace may be settled now
        units = -(-(MAX_AT_ONCE - self._objects_left) // _OBJECTS_PER_UNIT)
        self._budget.charge(namespace, units, now=now)
        self._objects_left = MAX_AT_ONCE
        return units

    # -- targets ----------------------------------------------------------------------------------------------------

    def add(self, subject: Subject) -> None:
        """A new object, whose target is not known yet."""
        self._unknown[subject.namespace] += 1

    def remove(self, subject: Subject, workload: Workload) -> None:
        self._queue.discard(subject.namespace, subject)
        self._links.timers.drop(subject)
        if self._links.listed:
            self._set_target(subject, workload, None, idle=True, unverified=False)

    def refresh(self, subject: Subject) -> None:
        """Resolve its target, and those of the Pods that it controls."""
        workload = self._links.workloads.get(subject)
        if workload is None or not self._links.listed:
            return
        link = workload.link
        if link is not None:
            if link.state is LinkState.PENDING:
                link.mark_outdated(subject)
            elif link.outdated:
                link.outdated.discard(subject)
        resolved = self._resolve(subject, workload)
        if subject.kind != "Pod":
            resolved = self._update_pods_target(subject, workload, resolved)
        if resolved is LinkState.PENDING:
            return
        unverified = resolved is LinkState.REFUSED
        target = subject if isinstance(resolved, LinkState) else resolved
        rolls_up = subject.kind != "Pod" and target != subject
        if rolls_up and link is not None and not self._in_use(subject, workload, link):
            self._set_target(subject, workload, None, idle=True, unverified=unverified)
        else:
            self._set_target(subject, workload, target, idle=False, unverified=unverified)

    def _resolve(self, subject: Subject, workload: Workload) -> Subject | LinkState:
        """The target of its own results and of its Pods' results, by its controller."""
        link = workload.link
        if link is None:
            return subject
        owner = link.reference.owner
        found: Subject | LinkState = link.state
        if link.state is LinkState.ACCEPTED:
            if link.reference.verification is not Verification.WORKLOAD:
                found = owner
            elif (parent := self._links.workloads.get(owner)) is None:  # its owner is being removed
                found = LinkState.PENDING
            elif owner.kind != "Pod":
                found = parent.pods_target
            else:
                found = owner if parent.metadata.created < workload.metadata.created else LinkState.REFUSED
        if found is LinkState.REFUSED and workload.deleting_since and workload.target not in {None, subject}:
            grace_ends = workload.deleting_since + DELETION_GRACE_MS
            if self._now() < grace_ends:
                self._links.timers.set(subject, grace_ends)
                return LinkState.PENDING
        return found

    def _update_pods_target(
        self, subject: Subject, workload: Workload, resolved: Subject | LinkState
    ) -> Subject | LinkState:
        """Give the Pods of a ReplicaSet or Job its new target, at most once in GRACE_MS.

        Without the limit, a user who switches the controller to and fro would move thousands of Pods with each write.
        """
        if resolved is LinkState.PENDING or resolved == workload.pods_target:
            return resolved
        link = self._links.by_owner.get((subject, workload.metadata.uid))
        if link is not None and workload.pods_target is not LinkState.PENDING:
            now, allowed_at = self._now(), workload.pods_target_since + GRACE_MS
            if now < allowed_at:
                self._links.timers.set(subject, allowed_at)
                return LinkState.PENDING
            workload.pods_target_since = now
        workload.pods_target = resolved
        if link is not None and link.state is LinkState.ACCEPTED:
            self.refresh_many(list(link.dependents))
        return resolved

    def _in_use(self, subject: Subject, workload: Workload, link: Link) -> bool:
        has_dependents = (subject, workload.metadata.uid) in self._links.by_owner
        return has_dependents or link.newest(subject.kind) == subject.name

    def _set_target(
        self, subject: Subject, workload: Workload, target: Subject | None, *, idle: bool, unverified: bool
    ) -> None:
        """`idle`: its results roll up to nothing."""
        if unverified != workload.unverified:
            in_namespace = self.unverified_owners.setdefault(subject.namespace, {})
            if unverified:
                in_namespace[subject] = None
            else:
                del in_namespace[subject]
                if not in_namespace:
                    del self.unverified_owners[subject.namespace]
            workload.unverified = unverified
        if (target, idle) == (workload.target, workload.idle):
            return
        if workload.target is None and not workload.idle:
            self._unknown[subject.namespace] -= 1
            if not self._unknown[subject.namespace]:
                del self._unknown[subject.namespace]
        if workload.target is not None and workload.target != subject:
            self.members.leave(subject, workload.target, workload.metadata.created)
        if target is not None and target != subject:
            self.members.join(subject, target, workload.metadata.created)
        workload.target, workload.idle = target, idle
        self.changed.add(subject)
