"""What the reflector of one kind tells the owners: Pods, ReplicaSets and Jobs, and the built-in controllers.

An object that cannot be read is there, without a controller, as far as its name can be read; of one without a name
nothing is known, and until all can be read nothing is gone for sure.

| a listing of                 | that is refused                                                                       |
|------------------------------|---------------------------------------------------------------------------------------|
| Pods, ReplicaSets, Jobs      | everything counts for itself, once the refusal stands                                 |
| a built-in controller's kind | they are believed: at once where they never were listed, else once the refusal stands |

A refusal stands when a listing that began `Owners.refused_ms` after the first is refused as well: an API server refuses
what its rules allow while it reads them, and roll-up that is off for a moment makes a finding for each Pod and ends
those of the controllers.

Pure: no I/O; the clock is an argument.
"""

from typing import TYPE_CHECKING

import msgspec

from policyhub.api.reason import Reason, Trait
from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.sources.violation import Subject
from policyhub.sync import reference
from policyhub.sync.reference import Said, Unnamed

if TYPE_CHECKING:
    from policyhub.sync.owners import Owners

REFUSED_MS = 15_000
"""By the back-off that is within half a minute."""


class Sink:
    """One kind: what its reflector writes to."""

    def __init__(self, owners: "Owners", resource: Resource, *, controllers: bool = False) -> None:
        """`controllers`: it is no kind of the three."""
        self.resource = resource
        self.listed = False
        self.live = False
        self.forbidden = False
        self.believed = controllers
        """Whether controllers of this kind are believed: they are not listed, may not be, or are not served."""
        self.since = NEVER
        """Since when it is live (Unix ms); 0: it is not."""
        self._controllers = controllers
        self._owners = owners
        self._seen: set[Subject] | None = None
        self._began = NEVER
        """When the last listing began."""
        self._refused: SteadyMs | None = None
        """Since when listings are refused, one after the other."""
        self._blind = False

    def begin(self) -> None:
        self.watch_accepted()
        self._began = self._owners.now()
        self._seen = set()
        self._blind = False
        if self._refused is None:
            self._believe()

    def watch_accepted(self) -> None:
        self._owners.open(self.resource.origin)

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        try:
            of, said, problem = reference.read(self.resource.group, self.resource.kind, raw, uids=self._owners.verify)
        except Unnamed as error:
            self._lose(error)
            return
        if problem:
            self._owners.on_malformed(self.resource.origin, f"{of.namespace}/{of.name}: {problem}")
        self._put(of, said)

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:  # noqa: ARG002  (it is all the same here)
        self.upsert(raw)

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
        if not self._is_refused(state.reason):
            self._refused = None
        elif self._refused is None:
            self._refused = self._owners.now()
        stands = self._refused is not None and self._began >= self._refused + self._owners.refused_ms
        self.forbidden = stands and state.reason is Reason.LISTING_FORBIDDEN
        self._believe(stands=stands)
        self._owners.live()

    def _is_refused(self, reason: Reason | None) -> bool:
        """Controllers are believed also while they are not served: batch/v1 had no CronJobs before Kubernetes 1.21."""
        if reason is None or not self._controllers:
            return reason is Reason.LISTING_FORBIDDEN
        return Trait.UNSEEN in reason.traits

    def end(self) -> None:
        """It is watched no more; what was known stands."""
        self._live(live=False)
        self._owners.live()

    def _live(self, *, live: bool) -> None:
        if live != self.live:
            self.live = live
            self.since = self._owners.now() if live else NEVER

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
