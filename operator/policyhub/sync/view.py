"""The view of one source API: takes what its reflector lists and watches into the ledger.

It keeps what the reflector's sink needs (mark and sweep) and what status and metrics tell about the API. A malformed
object is counted and changes nothing: neither what it called for before nor what others call for.

No I/O; the clock is an argument.
"""

from collections import Counter
from collections.abc import Callable

import msgspec
import structlog

from policyhub.kube.sink import ReflectorState
from policyhub.metrics import Metrics
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sources.violation import Identity, Malformed, SourceKey
from policyhub.sync.entry import Coverage
from policyhub.sync.ledger import Ledger
from policyhub.sync.policies import Policies
from policyhub.sync.rollup import Rollup

log = structlog.get_logger(__name__)

PLAUSIBLE_AHEAD_SECONDS = 300
"""How far a result's time may lie in the future of our clock."""


class View:
    """One source API of one monitored cluster; the sink of its reflector."""

    def __init__(
        self,
        *,
        cluster: str,
        group: str,
        resource: str,
        ledger: Ledger,
        wanted: Filter,
        metrics: Metrics,
        now: Callable[[], int],
        wall: Callable[[], int] | None = None,
        rollup: Rollup | None = None,
        policies: Policies | None = None,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps; `wall`, where it differs, by the one on the wall,
        which the engines' times are compared with. Without `rollup` each result counts for its own object; without
        `policies` it says what it says.
        """
        self.origin = f"{resource}.{group}"
        self.last_listed = 0
        """Unix ms of the end of the last complete listing; 0 never."""
        self.newest = 0
        """The newest time (Unix s) that any object named; 0 none."""
        self.newest_by: dict[str, int] = {}
        """The same for each engine."""
        self.unlisted: dict[SourceKey, int] = {}
        self.grade = False
        """Set to have the next listing give positive evidence (pass, skip) for findings that nobody calls for."""
        self._cluster = cluster
        self._group = group
        self._resource = resource
        self._ledger = ledger
        self._wanted = wanted
        self._metrics = metrics
        self._now = now
        self._wall = wall or now
        self._rollup = rollup
        self._policies = policies
        self._unseen: set[SourceKey] = set()
        """Objects that were known before the listing under way, and that it has not brought yet. Those that are to be
        swept, not all that were seen: objects without a violation are not remembered.
        """
        self._blind = False
        self._grading = False
        self._live = False
        self._since = 0
        self._since_listing = 0

    # -- what the reflector calls ---------------------------------------------------------------------------------

    def begin(self) -> None:
        self.opened()
        self._unseen = self._known()
        self._blind = False
        self._grading, self.grade = self.grade, False

    def opened(self) -> None:
        self._ledger.opened[self.origin] = self._now()

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        latest = self._wall() // 1000 + PLAUSIBLE_AHEAD_SECONDS
        try:
            template = self._policies.template(self._resource) if self._policies is not None else None
            reading = reader.read(self._group, self._resource, raw, latest=latest, template=template)
        except Malformed as error:
            self._malformed(error)
            return
        for reason, number in Counter(reading.problems).items():
            self._metrics.source_objects_malformed.labels(self._cluster, self.origin, reason).inc(number)
        key = reading.key
        if reading.newest is not None and reading.newest > self.newest:
            self.newest = reading.newest
        for source, newest in reading.newest_by:
            if newest > self.newest_by.get(source, 0):
                self.newest_by[source] = newest
        if reading.unlisted:
            self.unlisted[key] = reading.unlisted
        else:
            self.unlisted.pop(key, None)
        created = None if reading.created is None else reading.created * 1000
        policies = self._policies
        calls = [
            (violation, created if observed is None else observed * 1000)
            for said, observed in reading.violations
            if self._wanted.wants(violation := said if policies is None else policies.enrich(said))
        ]
        ended: frozenset[str] = frozenset()
        if self._rollup is not None:
            calls, ended = self._rollup.take(reading, calls, lambda: reader.passed(self._group, self._resource, raw))
        changed = self._ledger.read(
            key,
            calls,
            ended=ended,
            complete=reading.complete,
            passed=lambda: self._passed(raw),
            now=self._now(),
            audited=reading.audited,
            boundary=reading.boundary,
            backlog=self.last_listed == 0,
        )
        self._metrics.watch_events.labels(self._cluster, self.origin, "semantic" if changed else "none").inc()
        self._unseen.discard(key)
        if self._grading:
            self._ledger.clear(self._passed(raw), key=key)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        try:
            named = _decode_named(raw).metadata
        except msgspec.MsgspecError as error:
            self._malformed(Malformed("malformed-object", f"a deleted object cannot be read: {error}"))
            return
        key = SourceKey(self._group, self._resource, named.namespace or "", named.name)
        self.unlisted.pop(key, None)
        changed = self.forget(key)
        self._metrics.watch_events.labels(self._cluster, self.origin, "semantic" if changed else "none").inc()

    def unreadable(self, _raw: bytes | msgspec.Raw, _error: Exception) -> None:
        """As a malformed one: what it called for stands, and nothing is swept by a listing that brought it."""
        self._blind = True
        self._metrics.source_objects_malformed.labels(self._cluster, self.origin, "unreadable").inc()

    def finish(self) -> None:
        unseen, self._unseen = self._unseen, set()
        # An object whose name could not be read may be any that was known: then nothing is swept.
        for key in () if self._blind else unseen & self._known():
            self.unlisted.pop(key, None)
            self.forget(key)
        self.last_listed = self._now()
        self._ledger.set_blind(self.origin, blind=self._blind)
        self._grading = False

    def _known(self) -> set[SourceKey]:
        ledger, told = self._ledger, self._rollup.keys() if self._rollup is not None else ()
        return {k for k in (*ledger.objects, *ledger.incomplete, *ledger.audits, *told) if k.origin == self.origin}

    def abort(self) -> None:
        self._unseen = set()
        self.grade, self._grading = self.grade or self._grading, False

    def state(self, state: ReflectorState) -> None:
        self.live(live=state.live and self.last_listed > 0)

    # -- what the data plane tells --------------------------------------------------------------------------------

    def live(self, *, live: bool) -> None:
        """Whether the API is seen whole: listed completely, and watched.

        A watch that goes on from where it was cut has missed nothing, so the time since which the API is seen whole
        stands; after a new listing it begins anew.
        """
        if live == self._live:
            return
        self._live = live
        if not live:
            self._ledger.cover(self.origin, Coverage(live=False))
            return
        now = self._now()
        if self._since and self._since_listing == self.last_listed:
            self._ledger.cover(self.origin, Coverage(live=True, since=self._since, resumed=now))
        else:
            self._since, self._since_listing = now, self.last_listed
            self._ledger.cover(self.origin, Coverage(live=True, since=now))

    def forget(self, key: SourceKey) -> bool:
        """A source object no longer exists; says whether it called for anything."""
        if self._rollup is not None:
            self._rollup.gone(key)
        return self._ledger.gone(key, now=self._now())

    def _passed(self, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
        passed = reader.passed(self._group, self._resource, raw)
        return passed if self._rollup is None else self._rollup.passed(passed)

    def _malformed(self, error: Malformed) -> None:
        self._blind = True
        self._metrics.source_objects_malformed.labels(self._cluster, self.origin, error.reason).inc()
        log.warning("source_object_malformed", cluster=self._cluster, source=self.origin, message=str(error))


class _Named(msgspec.Struct):
    name: str
    namespace: str | None = None


class _Object(msgspec.Struct):
    metadata: _Named


_decode_named = msgspec.json.Decoder(_Object).decode
