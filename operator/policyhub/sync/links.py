"""The controllers that Pods, ReplicaSets and Jobs name, and whether they are verified.

All objects that name the same owner by the same uid share one link. It is verified once for all of them, so the cost of
a change depends on what it changes, not on the number of dependents.

| state    | when                                                                                                     |
|----------|----------------------------------------------------------------------------------------------------------|
| ACCEPTED | the owner exists, as far as this can be known (see the table in `owners`)                                |
| PENDING  | the owner is not known, or no longer; for GRACE_MS in which all watches were live, since watches of      |
|          | different kinds arrive in any order                                                                      |
| REFUSED  | the grace period is over, or an owner of this kind can never be a controller                             |

Pure: no I/O; the clock is an argument.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Final, Protocol

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import Subject
from policyhub.sync.owner_reference import ControllerRef, ObjectMetadata, Verification
from policyhub.sync.served_kinds import ServedKinds
from policyhub.sync.timers import Timers

GRACE_MS: Final = 30_000
"""How long a controller may be unknown before findings on its dependents no longer roll up."""

_RETRY_MS = 5_000
"""How soon to try again if the end of a grace period could not be decided."""


class LinkState(Enum):
    """Whether the owner of a link is verified; the table in the module says when."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Link(msgspec.Struct, eq=False):
    """An owner and the uid by which its dependents name it."""

    reference: ControllerRef
    dependents: set[Subject]
    revisions: dict[str, list[tuple[int, int, str]]] | None = None
    """Kind → (revision, created, name) of its ReplicaSets or Jobs, sorted, so that the newest is last."""
    outdated: set[Subject] | None = None
    """Dependents that came or changed since the targets of all of them were resolved."""
    state: LinkState = LinkState.PENDING
    applied_state: LinkState = LinkState.PENDING
    """The state when the targets of all of them were resolved."""
    grace_ends: SteadyMs = NEVER
    """When a PENDING link is refused; 0: it was not verified yet."""
    owner_listed: bool = False
    """Whether it was accepted because the owner itself is listed, not merely assumed."""

    def mark_outdated(self, subject: Subject) -> None:
        if self.outdated is None:
            self.outdated = set()
        self.outdated.add(subject)

    def revisions_of(self, kind: str) -> list[tuple[int, int, str]]:
        if self.revisions is None:
            self.revisions = {}
        return self.revisions.setdefault(kind, [])

    def newest(self, kind: str) -> str:
        return self.revisions_of(kind)[-1][2]


class Workload(msgspec.Struct, eq=False):
    """A Pod, ReplicaSet or Job."""

    metadata: ObjectMetadata
    link: Link | None
    deleting_since: SteadyMs
    """When it, or its controller, was first seen being deleted (Unix ms); 0: neither was."""
    target: Subject | None = None
    """The rollup target of results on it."""
    idle: bool = False
    """Whether they roll up to nothing. With neither, the target is not known yet."""
    pods_target: Subject | LinkState = LinkState.PENDING
    """The rollup target of the Pods of a ReplicaSet or Job; REFUSED: each Pod is its own."""
    pods_target_since: SteadyMs = NEVER
    """When `pods_target` last changed."""
    unverified: bool = False


class ControllerKind(Protocol):
    """The part of a sink that is needed here: one kind of built-in controllers."""

    since: SteadyMs
    assumed: bool


class _CustomOwner(msgspec.Struct, eq=False):
    """A custom resource that objects name as their controller."""

    order: list[tuple[int, str, str, str, str]]
    """(created, kind, name, uid, version) of its dependents, the oldest first; uid and version as the dependent names
    them.
    """
    elected: tuple[str, str] = ("", "")
    """The uid and version that the oldest dependent names: that uid is taken for the owner's own."""


class Links:
    """The links of one cluster."""

    def __init__(
        self,
        *,
        now: Callable[[], SteadyMs],
        served: ServedKinds,
        assumed: Mapping[tuple[str, str], ControllerKind],
        refresh_many: Callable[[Collection[Subject]], None],
    ) -> None:
        """`assumed` are the sinks of the built-in controllers, by group and kind; `refresh_many` resolves the
        dependents of a link whose state has changed.
        """
        self.listed = False
        """Whether all kinds were listed once: no link is verified before."""
        self.workloads: dict[Subject, Workload] = {}
        self.controllers: dict[Subject, str] = {}
        """Built-in controllers and their uids."""
        self.by_owner: dict[tuple[Subject, str], Link] = {}
        """(owner, uid) → link."""
        self.owner_uids: dict[Subject, int] = {}
        """Owner → by how many different uids it is named."""
        self.custom_owners: dict[Subject, _CustomOwner] = {}
        self.timers: Timers[Link | Subject] = Timers()
        self._now = now
        self._served = served
        self._sinks = assumed
        self._refresh_many = refresh_many

    def attach(self, subject: Subject, workload: Workload, to_refresh: set[Subject]) -> None:
        """Add the object to the link that it names; what it may affect besides itself joins `to_refresh`."""
        metadata, reference = workload.metadata, workload.metadata.reference
        if reference is None:
            return
        key = reference.owner, reference.uid
        link = self.by_owner.get(key)
        new = link is None
        if link is None:
            link = self.by_owner[key] = Link(reference, set())
            self.owner_uids[reference.owner] = self.owner_uids.get(reference.owner, 0) + 1
        workload.link = link
        if not link.dependents and reference.verification is Verification.WORKLOAD:
            to_refresh.add(reference.owner)
        if link.reference == reference:
            metadata.reference = link.reference  # one copy for all dependents
        link.dependents.add(subject)
        link.mark_outdated(subject)
        if subject.kind != "Pod":
            revisions = link.revisions_of(subject.kind)
            if revisions:
                to_refresh.add(msgspec.structs.replace(subject, name=link.newest(subject.kind)))
            insort(revisions, (metadata.revision, metadata.created, subject.name))
        if reference.verification is Verification.CUSTOM:
            custom = self.custom_owners.setdefault(reference.owner, _CustomOwner([]))
            insort(custom.order, (metadata.created, subject.kind, subject.name, reference.uid, reference.version))
            self._elect(reference.owner, custom)
        if new:
            self.verify(link)

    def detach(self, subject: Subject, workload: Workload, to_refresh: set[Subject]) -> None:
        """Remove the object from its link. An object that was stored again under the same link stays in it."""
        link, metadata = workload.link, workload.metadata
        if link is None:
            return
        now = self.workloads.get(subject)
        if now is None or now.link is not link:
            link.dependents.discard(subject)
            if link.outdated:
                link.outdated.discard(subject)
        reference = link.reference
        if subject.kind != "Pod":
            revisions = link.revisions_of(subject.kind)
            del revisions[bisect_left(revisions, (metadata.revision, metadata.created, subject.name))]
            if revisions:
                to_refresh.add(msgspec.structs.replace(subject, name=link.newest(subject.kind)))
        if reference.verification is Verification.CUSTOM and metadata.reference is not None:
            custom = self.custom_owners[reference.owner]
            one = (metadata.created, subject.kind, subject.name, reference.uid, metadata.reference.version)
            del custom.order[bisect_left(custom.order, one)]
            self._elect(reference.owner, custom)
        if not link.dependents:
            self._remove(link, to_refresh)

    def _remove(self, link: Link, to_refresh: set[Subject]) -> None:
        """The link has lost its last dependent."""
        owner = link.reference.owner
        del self.by_owner[owner, link.reference.uid]
        self.owner_uids[owner] -= 1
        if not self.owner_uids[owner]:
            del self.owner_uids[owner]
        self.timers.drop(link)
        if link.reference.verification is Verification.WORKLOAD:
            to_refresh.add(owner)

    def _elect(self, owner: Subject, custom: _CustomOwner) -> None:
        """Take the uid that the oldest dependent names for the owner's own."""
        uid, version = before = custom.elected
        custom.elected = custom.order[0][3:] if custom.order else ("", "")
        if custom.elected == before:
            return
        if custom.order:
            self._served.use((owner.group, custom.elected[1], owner.kind), owner)
        else:
            del self.custom_owners[owner]
        if version and version != custom.elected[1]:
            self._served.drop((owner.group, version, owner.kind), owner)
        self.verify_at(owner, uid)
        self.verify_at(owner, custom.elected[0])

    # -- verification -----------------------------------------------------------------------------------------------

    def verify_at(self, owner: Subject, uid: str) -> None:
        link = self.by_owner.get((owner, uid))
        if link is not None:
            self.verify(link)

    def verify(self, link: Link) -> None:
        """Verify the link again: what it depends on has changed."""
        if not self.listed:
            return
        if self._is_verified(link):
            if link.state is not LinkState.ACCEPTED or link.outdated:
                link.state = LinkState.ACCEPTED
                link.owner_listed = self._is_listed(link.reference)
                self._apply(link)
        elif link.reference.verification is Verification.IMPOSSIBLE:  # no grace period: time changes nothing about it
            link.state = LinkState.REFUSED
            self._apply(link)
        elif link.state is LinkState.ACCEPTED or not link.grace_ends:
            if link.owner_listed:  # the owner is deleted, and so are its dependents: their events may be missing
                link.owner_listed = False
                for workload in filter(None, map(self.workloads.get, link.dependents)):
                    workload.deleting_since = workload.deleting_since or self._now()
            link.state = LinkState.PENDING
            link.grace_ends = self._now() + GRACE_MS
            self.timers.set(link, link.grace_ends)

    def expire(self, link: Link, since: SteadyMs) -> None:
        """Refuse the link if its grace period has ended. `since`: when all watches of workloads became live."""
        now = self._now()
        if link.state is not LinkState.PENDING or not link.dependents:
            return
        if link.grace_ends > now:
            self.timers.set(link, link.grace_ends)
        elif self._is_verified(link) is False and self._is_certain(link, since):
            link.state = LinkState.REFUSED
            self._apply(link)
        else:
            link.grace_ends = now + _RETRY_MS
            self.timers.set(link, link.grace_ends)

    def _is_listed(self, reference: ControllerRef) -> bool:
        """Whether the owner itself is listed: it is not merely assumed, and no custom resource."""
        return reference.verification is Verification.WORKLOAD or self.controllers.get(reference.owner) == reference.uid

    def _is_verified(self, link: Link) -> bool | None:
        """Whether the owner is what its dependents claim; None: not known yet, discovery is asked."""
        reference = link.reference
        owner = reference.owner
        match reference.verification:
            case Verification.WORKLOAD:
                workload = self.workloads.get(owner)
                return workload is not None and workload.metadata.uid == reference.uid
            case Verification.CONTROLLER:
                assumed = self._sinks[owner.group, owner.kind].assumed
                return assumed or self.controllers.get(owner) == reference.uid
            case Verification.CUSTOM:
                custom = self.custom_owners.get(owner)
                if custom is None or custom.elected[0] != reference.uid:
                    return False
                return self._served.is_served((owner.group, custom.elected[1], owner.kind))
            case Verification.IMPOSSIBLE:
                return False

    def _is_certain(self, link: Link, live: SteadyMs) -> bool:
        """Whether the watches have been live long enough: an owner that is not known by then does not exist."""
        since = [live]
        if link.reference.verification is Verification.CONTROLLER:
            since.append(self._sinks[link.reference.owner.group, link.reference.owner.kind].since)
        return all(since) and self._now() >= max(since) + GRACE_MS

    def _apply(self, link: Link) -> None:
        """The state may have changed: resolve the dependents that this concerns."""
        todo = link.outdated if link.applied_state is link.state else link.dependents
        link.applied_state, link.outdated = link.state, None
        self._refresh_many(list(todo or ()))

    # -- messages ---------------------------------------------------------------------------------------------------

    def explain(self, subject: Subject) -> str:
        """Why the controller of this object cannot be verified."""
        link, name = self.workloads[subject].link, f"{subject.kind} {subject.namespace}/{subject.name}"
        if link is None:
            return name
        owner = link.reference.owner
        above = f"{owner.kind} {owner.name}".strip()
        match link.reference.verification:
            case Verification.IMPOSSIBLE:
                return f"{name} names {above or 'something'} as its controller, which cannot be a controller"
            case Verification.CUSTOM if link.reference.uid == self.custom_owners[owner].elected[0]:
                kind = f"{owner.kind}.{owner.group}/{self.custom_owners[owner].elected[1]}"
                return f"{name} names {above} as its controller; the API server serves no {kind}"
            case Verification.CUSTOM:
                return f"{name} names {above} as its controller, with another uid than an older object"
            case _ if link.state is LinkState.ACCEPTED and owner.kind == "Pod":
                return f"{name} names {above} as its controller, which is not older"
            case _ if link.state is LinkState.ACCEPTED:
                return f"{name} names {above} as its controller, whose own controller cannot be verified"
            case _ if owner in self.workloads or owner in self.controllers:
                return f"{name} names {above} as its controller, with a uid that it does not have"
        return f"{name} names {above} as its controller, which does not exist"
