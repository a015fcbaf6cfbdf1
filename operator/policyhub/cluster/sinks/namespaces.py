"""The sink of the reflector over core v1 `namespaces`: objects of a deleted namespace no longer exist.

A namespace is deleted when its deletion was seen, or when a complete listing lacks it. While it is Terminating it still
exists.

| input                                              | result                                                          |
|----------------------------------------------------|-----------------------------------------------------------------|
| a complete listing that contains kube-system       | `list_namespaces`, then live while it is watched                |
| a complete listing without kube-system, which      | ignored and not live: another cluster has answered              |
| every cluster has                                  |                                                                 |
| an object whose name cannot be read                | the listing is ignored; not live until one can be read whole    |
| a listing that failed or is forbidden              | ignored: what is known stays                                    |

No I/O; the clock is an argument.
"""

from collections.abc import Callable
from typing import Annotated, Final, Protocol

import msgspec
import structlog

from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.decoding import decoded
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.sources.wire import ServedNamespace

log = structlog.get_logger(__name__)

RESOURCE: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)

FORBIDDEN_CAP: Final = 600.0
"""Maximum back-off of the reflector, in seconds, where listing is forbidden: the chart can omit the permission."""

_ALWAYS_PRESENT: Final = "kube-system"


class Existence(Protocol):
    """Who needs the namespaces. `now` is in Unix milliseconds."""

    stream_started_at: dict[str, SteadyMs]
    """Source API → when its last listing or watch was accepted."""

    def list_namespaces(self, names: frozenset[str], *, now: SteadyMs) -> None:
        """The names of a complete listing: any other namespace is deleted."""

    def add_namespace(self, name: str) -> None:
        """The namespace exists: it was listed, created or changed. Called again for namespaces that are known too."""

    def remove_namespace(self, name: str, *, now: SteadyMs) -> None:
        """The namespace was seen being removed."""

    def namespaces_live(self, *, live: bool, now: SteadyMs) -> None:
        """Whether all changes arrive from now on, after a complete listing. Called at each change; False before the
        first call.
        """


class NamespaceSink:
    """The sink; `RESOURCE` is what its reflector reads, with `FORBIDDEN_CAP`."""

    def __init__(self, existence: Existence, *, cluster: str, now: Callable[[], SteadyMs]) -> None:
        """`cluster` names it in the log; `now` gives Unix milliseconds."""
        self.group_resource = RESOURCE.group_resource
        self.last_listed = NEVER
        """Unix ms of the end of the last complete listing that was accepted; 0: none."""
        self._existence = existence
        self._cluster = cluster
        self._now = now
        self._seen: set[str] | None = None
        self._has_unreadable = False
        """A name could not be read since the last listing began: the set of namespaces is not certain."""
        self._watching = False
        self._is_complete = False
        """The last listing was accepted, and nothing unreadable came since."""
        self._live = False

    # -- called by the reflector ------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.stream_started()
        self._seen = set()
        self._has_unreadable = False

    def stream_started(self) -> None:
        self._existence.stream_started_at[self.group_resource] = self._now()

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        name = self._name(raw)
        if name is None:
            return
        if self._seen is not None:
            self._seen.add(name)
        self._existence.add_namespace(name)

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:  # noqa: ARG002  (no difference here)
        self.upsert(raw)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        name = self._name(raw)
        if name is not None:
            if self._seen is not None:
                self._seen.discard(name)
            self._existence.remove_namespace(name, now=self._now())

    def unreadable(self, _raw: bytes | msgspec.Raw, _error: Exception) -> None:
        """It may be any namespace."""
        self._has_unreadable = True
        self._is_complete = False
        self._publish()

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        self._is_complete = not self._has_unreadable and _ALWAYS_PRESENT in seen
        if self._is_complete:
            self.last_listed = self._now()
            self._existence.list_namespaces(frozenset(seen), now=self.last_listed)
        elif not self._has_unreadable:
            log.warning("namespaces_disbelieved", cluster=self._cluster, listed=len(seen), missing=_ALWAYS_PRESENT)
        self._publish()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        self.live(live=state.live)

    # -- called by the cluster's runner -----------------------------------------------------------------------------

    def live(self, *, live: bool) -> None:
        """Take whether every change arrives."""
        self._watching = live
        self._publish()

    def _publish(self) -> None:
        live = self._watching and self._is_complete
        if live != self._live:
            self._live = live
            self._existence.namespaces_live(live=live, now=self._now())

    def _name(self, raw: bytes | msgspec.Raw) -> str | None:
        try:
            return decoded(_object, raw, ValueError).metadata.name
        except ValueError as error:
            log.warning("namespace_malformed", cluster=self._cluster, message=str(error))
            self.unreadable(raw, error)
            return None


class _Named(msgspec.Struct):
    name: Annotated[ServedNamespace, msgspec.Meta(min_length=1)]


class _Object(msgspec.Struct):
    metadata: _Named


_object = msgspec.json.Decoder(_Object)
