"""Which namespaces a cluster has: whose findings are of objects that cannot exist any more.

The sink of a reflector over core v1 `namespaces`. A namespace is gone when its deletion was seen, or when a complete
listing lacks it; while it is Terminating it is still there.

| what came                                          | what is told                                                    |
|----------------------------------------------------|-----------------------------------------------------------------|
| a complete listing with kube-system in it          | `list_namespaces`, then live while it is watched                |
| one without kube-system, which every cluster has   | nothing, and not live: what answered does not know the cluster  |
| an object whose name cannot be read                | no listing is told, and not live until one is read whole again  |
| a listing that failed or is forbidden              | nothing: what was known stands                                  |

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
"""Seconds between two tries of the reflector where the listing is forbidden: the chart can leave the right out."""

_ALWAYS: Final = "kube-system"


class Existence(Protocol):
    """What wants to know. `now` is in Unix milliseconds."""

    stream_started_at: dict[str, SteadyMs]
    """Origin → when its last listing or watch was accepted."""

    def list_namespaces(self, names: frozenset[str], *, now: SteadyMs) -> None:
        """All namespaces there are, from a complete listing: any other is gone."""

    def add_namespace(self, name: str) -> None:
        """It is there: listed, created or changed. Told again and again, of one that is known too."""

    def remove_namespace(self, name: str, *, now: SteadyMs) -> None:
        """Its deletion was seen."""

    def namespaces_live(self, *, live: bool, now: SteadyMs) -> None:
        """Whether all changes arrive from now on, after a complete listing; at each change, False before the first."""


class Namespaces:
    """The sink; `RESOURCE` is what its reflector reads, with `FORBIDDEN_CAP`."""

    def __init__(self, existence: Existence, *, cluster: str, now: Callable[[], SteadyMs]) -> None:
        """`cluster` names it in the log; `now` gives Unix milliseconds."""
        self.origin = RESOURCE.origin
        self.last_listed = NEVER
        """Unix ms of the end of the last complete listing that was told; 0 never."""
        self._existence = existence
        self._cluster = cluster
        self._now = now
        self._seen: set[str] | None = None
        self._blind = False
        """A name could not be read since the last listing began: which namespaces there are is not known for sure."""
        self._watching = False
        self._whole = False
        """The last listing was told, and nothing unreadable came since."""
        self._live = False

    # -- what the reflector calls ---------------------------------------------------------------------------------

    def begin(self) -> None:
        self.watch_accepted()
        self._seen = set()
        self._blind = False

    def watch_accepted(self) -> None:
        self._existence.stream_started_at[self.origin] = self._now()

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        name = self._name(raw)
        if name is None:
            return
        if self._seen is not None:
            self._seen.add(name)
        self._existence.add_namespace(name)

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:  # noqa: ARG002  (it is all the same here)
        self.upsert(raw)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        name = self._name(raw)
        if name is not None:
            if self._seen is not None:
                self._seen.discard(name)
            self._existence.remove_namespace(name, now=self._now())

    def unreadable(self, _raw: bytes | msgspec.Raw, _error: Exception) -> None:
        """As one whose name cannot be read: it may be any."""
        self._blind = True
        self._whole = False
        self._publish()

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        self._whole = not self._blind and _ALWAYS in seen
        if self._whole:
            self.last_listed = self._now()
            self._existence.list_namespaces(frozenset(seen), now=self.last_listed)
        elif not self._blind:
            log.warning("namespaces_disbelieved", cluster=self._cluster, listed=len(seen), missing=_ALWAYS)
        self._publish()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        self.live(live=state.live)

    # -- what the data plane tells --------------------------------------------------------------------------------

    def live(self, *, live: bool) -> None:
        """Whether every change arrives."""
        self._watching = live
        self._publish()

    def _publish(self) -> None:
        live = self._watching and self._whole
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
