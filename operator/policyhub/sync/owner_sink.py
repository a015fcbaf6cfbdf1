"""The sink of the reflector of one kind: a kind of workloads (Pods, ReplicaSets, Jobs), or of built-in controllers.

An object that cannot be read exists, without a controller, as far as its name can be read. Of an object without a name
nothing is known; until all objects can be read, no missing object counts as deleted.

| listing …                    | and it is forbidden                                                                   |
|------------------------------|---------------------------------------------------------------------------------------|
| Pods, ReplicaSets or Jobs    | nothing rolls up, after the grace period                                              |
| a built-in controller's kind | its objects are assumed to exist: at once where the kind was never listed, else after |
|                              | the grace period                                                                      |

The grace period has passed when a listing that began `Owners.refusal_grace_ms` after the first refusal is refused too.
While an API server loads its rules it refuses what they allow, and if roll-up were off for a moment, each Pod would get
a finding and the findings of the controllers would end.

Pure: no I/O; the clock is an argument.
"""

from typing import TYPE_CHECKING

import msgspec

from policyhub.api.reason import Reason, Trait
from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.model.violation import Subject
from policyhub.sync import owner_reference
from policyhub.sync.owner_reference import ObjectMetadata, UnnamedObject

if TYPE_CHECKING:
    from policyhub.sync.owners import Owners

REFUSAL_GRACE_MS = 15_000
"""With the reflector's back-off, the next try after this comes within half a minute."""


class OwnerSink:
    """The sink of one kind."""

    def __init__(self, owners: "Owners", resource: Resource, *, controllers: bool = False) -> None:
        """`controllers`: the kind is a built-in controller, no workload."""
        self.resource = resource
        self.listed = False
        self.live = False
        self.forbidden = False
        self.assumed = controllers
        """Whether controllers of this kind are assumed to exist: they are not listed, may not be listed, or are not
        served.
        """
        self.since = NEVER
        """Since when it is live (Unix ms); 0: it is not live."""
        self._controllers = controllers
        self._owners = owners
        self._seen: set[Subject] | None = None
        self._listing_began = NEVER
        """When the last listing began."""
        self._refused_since: SteadyMs | None = None
        """Since when each listing is refused."""
        self._has_unreadable = False

    def begin(self) -> None:
        self.stream_started()
        self._listing_began = self._owners.now()
        self._seen = set()
        self._has_unreadable = False
        if self._refused_since is None:
            self._update_assumed()

    def stream_started(self) -> None:
        self._owners.stream_started(self.resource.group_resource)

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        try:
            subject, metadata, problem = owner_reference.read(
                self.resource.group, self.resource.kind, raw, uids=self._owners.verify
            )
        except UnnamedObject as error:
            self._mark_unreadable(error)
            return
        if problem:
            self._owners.on_malformed(self.resource.group_resource, f"{subject.namespace}/{subject.name}: {problem}")
        self._store(subject, metadata)

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:  # noqa: ARG002  (no difference here)
        self.upsert(raw)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        try:
            subject = owner_reference.subject_of(self.resource.group, self.resource.kind, raw)
        except UnnamedObject as error:
            self._mark_unreadable(error)
            return
        if self._controllers:
            self._owners.set_controller(subject, "")
        else:
            self._owners.drop(subject)

    def unreadable(self, raw: bytes | msgspec.Raw, error: Exception) -> None:
        """The object could not be taken: it exists, without a controller, as far as its name can be read."""
        try:
            subject, metadata = owner_reference.read_name_only(self.resource.group, self.resource.kind, raw)
        except UnnamedObject as unnamed:
            self._mark_unreadable(unnamed)
            return
        self._owners.on_malformed(
            self.resource.group_resource, f"{subject.namespace}/{subject.name}: {type(error).__name__}: {error}"
        )
        self._store(subject, metadata)

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        if self._has_unreadable:  # an object that could not be read may be any of the known ones
            return
        self._owners.sweep(self.resource, seen)
        self.listed = True
        self._update_assumed()
        self._owners.update_live()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        self._set_live(live=state.live and not self._has_unreadable)
        if not self._is_refused(state.reason):
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = self._owners.now()
        since = self._refused_since
        is_final = since is not None and self._listing_began >= since + self._owners.refusal_grace_ms
        self.forbidden = is_final and state.reason is Reason.LISTING_FORBIDDEN
        self._update_assumed(is_final=is_final)
        self._owners.update_live()

    def _is_refused(self, reason: Reason | None) -> bool:
        """Whether nothing can be listed. Controllers may also not be served: batch/v1 has no CronJobs before 1.21."""
        if reason is None or not self._controllers:
            return reason is Reason.LISTING_FORBIDDEN
        return Trait.UNSEEN in reason.traits

    def end(self) -> None:
        """It is no longer watched; what is known stays."""
        self._set_live(live=False)
        self._owners.update_live()

    def _set_live(self, *, live: bool) -> None:
        if live != self.live:
            self.live = live
            self.since = self._owners.now() if live else NEVER

    def _update_assumed(self, *, is_final: bool = False) -> None:
        """Controllers that may not be listed are assumed to exist: at once where they never were listed."""
        if not self._controllers:
            return
        assumed = self._refused_since is not None and (is_final or not self.listed)
        if assumed != self.assumed:
            self.assumed = assumed
            self._owners.assumed_changed(self.resource)

    def _store(self, subject: Subject, metadata: ObjectMetadata) -> None:
        if self._seen is not None:
            self._seen.add(subject)
        if self._controllers:
            self._owners.set_controller(subject, metadata.uid)
        else:
            self._owners.put(subject, metadata)

    def _mark_unreadable(self, error: UnnamedObject) -> None:
        self._owners.on_malformed(self.resource.group_resource, str(error))
        self._has_unreadable = True
        self._set_live(live=False)
        self._owners.update_live()
