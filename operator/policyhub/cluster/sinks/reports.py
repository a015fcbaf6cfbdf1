"""The sink of one source API: passes the objects that its reflector lists and watches to the ledger.

It also keeps the figures for status and metrics. A malformed object is counted and changes nothing, neither its own
earlier claims nor those of others.

During a listing, objects arrive in its pages and by watch events. Events are newer, and the reflector skips their
objects in the pages (`kube.reflector`). So an event during a listing counts as part of it:

| object of such an event                    | then                                                                    |
|--------------------------------------------|-------------------------------------------------------------------------|
| any, even if it is deferred or unreadable  | it exists: the sweep keeps it                                           |
| claims findings                            | they are urgent, unless the object is old and another process sent      |
|                                            | findings shortly before, which GetFindings may not show yet             |
| is deferred, in a listing that grades      | the next listing grades again                                           |

Meanwhile nothing of the API is archived (`Sources.being_listed`). `stream_started` is called again at the end, because
the pages may come from another API server than the watch.

No I/O; the clock is an argument.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain

import msgspec
import structlog

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.text import line
from policyhub.model.violation import Malformed, ParsedReport, SourceKey
from policyhub.sources import reader, reports
from policyhub.sources.event_logs import event_log_sources
from policyhub.sources.filter import Filter
from policyhub.sources.fingerprint import Decoded
from policyhub.sources.naming import named
from policyhub.sources.reports import PLAUSIBLE_AHEAD_SECONDS
from policyhub.sync.freshness import Freshness
from policyhub.sync.ledger import Ledger
from policyhub.sync.liveness import Liveness
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.refusals import Refusal
from policyhub.sync.report_claims import ReportClaims
from policyhub.sync.rewrites import Rewrites
from policyhub.sync.rollup import Rollup
from policyhub.sync.sweep import Sweep, forget
from policyhub.sync.throttle import Throttle
from policyhub.sync.usage import Excess

log = structlog.get_logger(__name__)

LARGE_BYTES = 262_144
"""In a larger object, the parts are counted before it is decoded."""
COUNTED_BYTES = 32_768
PARTS_EACH = 20
"""In an event larger than `COUNTED_BYTES`, so many parts (results, objects) cost as much as a changed violation."""
HELD_EACH = 20
"""So many held findings that are decided again cost as much as a changed violation."""
PARTS = 100_000
"""JSON objects in one report at most: decoding takes some 200 bytes each. A report of 5,000 results has 15,000."""


class ReportSink:
    """The sink of one source API of one monitored cluster."""

    def __init__(
        self,
        *,
        cluster: str,
        group: str,
        resource: str,
        ledger: Ledger,
        filter_: Filter,
        metrics: Metrics,
        now: Callable[[], SteadyMs],
        wall_clock: Callable[[], WallMs],
        rollup: Rollup | None = None,
        policies: PolicyMetadata | None = None,
        on_results: Callable[[str, str, int], None] | None = None,
    ) -> None:
        """`wall_clock` is compared with times of engines. Without `rollup` no result rolls up; without `policies` none
        is enriched. `on_results` gets, for each report, the engine, the namespace, and the newest time (Unix s) of the
        engine's results in it.
        """
        self.source_api = f"{resource}.{group}"
        self.last_listed = NEVER
        """The end of the last complete listing."""
        self.listed_at = UNDATED
        """The same by the wall clock, for people and metrics."""
        self.newest = 0
        """The newest time (Unix s) in any object; 0: none."""
        self._freshness = Freshness()
        self.newest_by = self._freshness.newest
        """The same for each admitted engine, while a report names it or it has active findings."""
        self.unlisted, self.listed = self._freshness.unlisted, self._freshness.listed
        self.unaudited = self._freshness.unaudited
        self.grade = False
        """Set it, and the next listing reads positive evidence (pass, skip) for findings that nobody reports."""
        self._cluster = cluster
        self._group = group
        self._resource = resource
        self._ledger = ledger
        self._metrics = metrics
        self._now = now
        self._wall_clock = wall_clock
        self._rollup = rollup
        self._policies = policies
        self._on_results = on_results
        self._claims = ReportClaims(
            group=group, resource=resource, ledger=ledger, filter_=filter_, now=now, rollup=rollup, policies=policies
        )
        self._rewrites = Rewrites(ledger=ledger, rollup=rollup, policies=policies)
        self._sweep = Sweep()
        self._throttle = Throttle()
        self._listing = False
        self._paged = False
        """Whether the current object came in a page."""
        self._backlog = True
        """Whether the claims of the current object may be old: it came with the first listing."""
        self._grading = False
        self.liveness = Liveness(self.source_api, ledger.sources)

    # -- called by the reflector ----------------------------------------------------------------------------------

    def begin(self) -> None:
        self.stream_started()
        self._ledger.refusals.begin(self.source_api)
        self._listing = True
        self._freshness.begin()
        self._sweep.begin(self._known())
        self._throttle.begin()
        self._ledger.sources.set_listing(self.source_api, listing=True)
        self._grading, self.grade = self.grade, False

    def stream_started(self) -> None:
        self._ledger.sources.stream_started_at[self.source_api] = self._now()

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        self._paged, self._backlog = self._listing, self.last_listed == NEVER
        if self._paged or not self._throttle.is_throttling or not self._defer(raw):
            self._upsert(raw)

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:
        self._by_event(new=new)
        if not self._throttle.is_throttling or not self._defer(raw):
            self._upsert(raw)

    def _by_event(self, *, new: bool) -> None:
        self._paged = False
        self._backlog = self.last_listed == NEVER and not new and self._ledger.observed.progress.recheck_backlog

    def _defer(self, raw: bytes | msgspec.Raw) -> bool:
        """Defer the event if its namespace has used up its budget; returns whether it was deferred."""
        try:
            key = named(self._group, self._resource, raw)
        except Malformed:
            return False
        if not self._throttle.must_wait(key.namespace, now=self._now()):
            return False
        self._throttle.defer(key, bytes(raw))
        self._sweep.seen(key)
        self._ledger.sources.set_waiting(self.source_api, self._throttle.waiting())
        return True

    def catch_up(self) -> Iterator[None]:
        """Read the deferred objects whose turn has come, one at a time."""
        for raw in self._throttle.due(now=self._now()):
            self._by_event(new=False)
            try:
                self._upsert(raw)
            except Exception as error:  # noqa: BLE001  (as in the reflector: one object's fault is that object's)
                self.unreadable(raw, error)
            yield
        self._ledger.sources.set_waiting(self.source_api, self._throttle.waiting())

    @property
    def dropped(self) -> bool:
        """Whether a listing is needed, because objects were neither read nor deferred."""
        return bool(self._throttle.dropped)

    def _upsert(self, raw: bytes | msgspec.Raw) -> None:
        try:
            if self._is_too_large(raw):
                return
            latest = self._wall_clock() // 1000 + PLAUSIBLE_AHEAD_SECONDS
            decoded = reader.decode(self._group, self._resource, raw)
            fingerprint = None if decoded is None else decoded.fingerprint()
            if decoded is not None and self._repeat(decoded, fingerprint, raw, latest=latest):
                return
            parsed = self._parse(decoded, raw, latest=latest)
        except Malformed as error:
            self._malformed(error, raw)
            return
        if self._read(parsed, raw):
            self._rewrites.remember(parsed, fingerprint)

    def _repeat(self, decoded: Decoded, fingerprint: int | None, raw: bytes | msgspec.Raw, *, latest: int) -> bool:
        """Learn only the times of a report that is otherwise unchanged; returns whether it is unchanged."""
        newest = None if self._grading else self._rewrites.newest(decoded, fingerprint, latest=latest)
        if newest is None:
            return False
        key = decoded.key
        self._note(key, newest)
        self._ledger.repeat(key, newest=newest, now=self._now())
        self._ledger.refusals.put(self.source_api, key.namespace, key.name, ())
        self._done(key, raw, changed=False)
        return True

    def _read(self, parsed: ParsedReport, raw: bytes | msgspec.Raw) -> bool:
        """Read an object into the ledger. Returns False if a limit leaves it out."""
        refusals = self._problems(parsed)
        key = parsed.key
        was_incomplete = key in self._ledger.sources.incomplete
        if (excess := self._ledger.usage.charge(parsed)) is not None:
            self._leave_out(key, Refusal(excess, number=len(parsed.violations), taken=0), raw)
            return False
        self._note(key, parsed.newest_by, logs=event_log_sources(parsed))
        self._freshness.take(parsed)
        changed = self._claims.take(parsed, raw, refusals, backlog=self._backlog)
        self._ledger.refusals.put(self.source_api, key.namespace, key.name, tuple(refusals))
        violations = len(parsed.violations) if changed else 0
        if was_incomplete and key not in self._ledger.sources.incomplete:  # what it held is decided again
            violations += len(self._ledger.agenda) // HELD_EACH
        self._done(key, raw, changed=changed, violations=violations)
        if self._grading and not parsed.over:
            self._ledger.mark_passed(self._claims.passed(raw), key=key, newest=parsed.newest_by)
        return True

    def _done(self, key: SourceKey, raw: bytes | msgspec.Raw, *, changed: bool, violations: int = 0) -> None:
        """An object was read."""
        self._metrics.watch_events.labels(self._cluster, self.source_api, "semantic" if changed else "none").inc()
        self._sweep.seen(key)
        self._throttle.forget(key)
        self._charge(key, raw, violations=violations)

    def _is_too_large(self, raw: bytes | msgspec.Raw) -> bool:
        """Leave the object out if it is too large; returns whether it is. Raises Malformed."""
        size, limit = len(raw), self._ledger.usage.limits.report_bytes
        if size > limit:
            refusal = Refusal(Excess.REPORT_BYTES, number=size)
        elif size > LARGE_BYTES and (parts := bytes(raw).count(b"{")) > PARTS:
            refusal = Refusal(Excess.REPORT_RESULTS, number=parts, taken=0)
        else:
            return False
        self._leave_out(named(self._group, self._resource, raw), refusal, raw)
        return True

    def _parse(self, decoded: Decoded | None, raw: bytes | msgspec.Raw, *, latest: int) -> ParsedReport:
        limit = self._ledger.usage.limits.report_results
        if decoded is not None:
            return reports.parse(decoded, latest=latest, limit=limit)
        template = self._policies.template_severity(self._resource) if self._policies is not None else None
        return reader.read(self._group, self._resource, raw, latest=latest, template=template, limit=limit)

    def _problems(self, parsed: ParsedReport) -> list[Refusal]:
        """The parts of an object that could not be used."""
        refusals: list[Refusal] = []
        for reason, number in Counter(parsed.problems).items() if parsed.problems else ():
            self._metrics.source_objects_malformed.labels(self._cluster, self.source_api, reason).inc(number)
            refusals.append(Refusal(reason, number))
        if parsed.over:
            limit = self._ledger.usage.limits.report_results
            refusals.append(Refusal(Excess.REPORT_RESULTS, number=limit + parsed.over, taken=limit))
        return refusals

    def _note(
        self, key: SourceKey, newest_by: Iterable[tuple[str, int]], *, logs: frozenset[str] = frozenset()
    ) -> None:
        """Update the figures for status and metrics."""
        for source, newest in newest_by:
            self.newest = max(self.newest, newest)
            if self._on_results is not None:
                self._on_results(source, key.namespace, newest)
            if source not in logs:
                self._freshness.note(source, newest, namespace=key.namespace, listing=self._listing)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        self._by_event(new=False)
        try:
            key = named(self._group, self._resource, raw)
        except Malformed as error:
            self._malformed(error, raw)
            return
        self._freshness.forget(key)
        self._charge(key, raw, violations=len(self._ledger.desired.objects.get(key, ())))
        changed = self.forget(key)
        self._metrics.watch_events.labels(self._cluster, self.source_api, "semantic" if changed else "none").inc()

    def unreadable(self, raw: bytes | msgspec.Raw, error: Exception) -> None:
        """Handled as malformed: its claims stay, and a listing that contains it sweeps nothing that it could be."""
        self._malformed(Malformed("unreadable", f"{type(error).__name__}: {error}"), raw)

    def finish(self) -> None:
        for key in self._sweep.finish(self._known()):
            self._freshness.forget(key)
            self.forget(key)
        self._freshness.finish(self._ledger.guard.active)
        self.last_listed, self.listed_at = self._now(), self._wall_clock()
        self._listing = False
        self._throttle.finish()
        self._ledger.sources.set_waiting(self.source_api, waiting := self._throttle.waiting())
        self._ledger.refusals.finish(self.source_api)
        self._ledger.sources.set_unreadable(self.source_api, self._sweep.unreadable)
        self._ledger.sources.set_listing(self.source_api, listing=False)
        self.grade |= self._grading and bool(waiting)  # pass results of deferred reports were not read
        self._grading = False

    def _known(self) -> set[SourceKey]:
        ledger, rolled_up = self._ledger, self._rollup.keys() if self._rollup is not None else ()
        noted = ledger.sources.source_objects(), ledger.usage.source_objects()
        keys = chain(ledger.desired.objects, *noted, rolled_up)
        return {key for key in keys if key.source_api == self.source_api}.union(self._rewrites.keys())

    def abort(self) -> None:
        self._listing = False
        self._ledger.refusals.abort(self.source_api)
        self._sweep.abort()
        self._throttle.abort()
        self._ledger.sources.set_listing(self.source_api, listing=False)
        self.grade, self._grading = self.grade or self._grading, False

    def close(self) -> None:
        """The API is no longer watched. Deferred objects are not read, and no longer delay other APIs."""
        self.abort()
        self.live(live=False)
        self._ledger.sources.set_waiting(self.source_api, frozenset())

    def state(self, state: ReflectorState) -> None:
        self.live(live=state.live and self.last_listed > NEVER)

    def live(self, *, live: bool) -> None:
        """Set whether the API was listed completely and is watched."""
        self.liveness.take(live=live, listed=self.last_listed, now=self._now())

    def forget(self, key: SourceKey) -> bool:
        """A source object no longer exists; returns whether it claimed anything."""
        self._throttle.forget(key)
        self._rewrites.forget(key)
        return forget(key, ledger=self._ledger, rollup=self._rollup, now=self._now())

    def _charge(self, key: SourceKey, raw: bytes | msgspec.Raw, *, violations: int = 0) -> None:
        """Charge the namespace for an event. Pages are free, because we request them."""
        if self._paged:
            return
        parts = bytes(raw).count(b"{") // PARTS_EACH if len(raw) > COUNTED_BYTES else 0
        self._throttle.charge(key.namespace, size=len(raw), violations=violations + parts, now=self._now())

    def _leave_out(self, key: SourceKey, refusal: Refusal, raw: bytes | msgspec.Raw) -> None:
        """An object exceeds a limit: its claims stay, and its silence is no evidence."""
        self._sweep.seen(key)
        self._throttle.forget(key)
        self._charge(key, raw)
        self._ledger.mark_unread(key)
        self._ledger.refusals.put(self.source_api, key.namespace, key.name, (refusal,))
        self._metrics.source_objects_malformed.labels(self._cluster, self.source_api, refusal.reason).inc()
        self._metrics.watch_events.labels(self._cluster, self.source_api, "none").inc()

    def _malformed(self, error: Malformed, raw: bytes | msgspec.Raw) -> None:
        self._metrics.source_objects_malformed.labels(self._cluster, self.source_api, error.reason).inc()
        name, is_new, where = "", True, None
        with suppress(Malformed):
            key = named(self._group, self._resource, raw)
            where = key.namespace
            self._sweep.seen(key)
            self._charge(key, raw)
            name = f"{key.namespace}/{key.name}" if key.namespace else key.name
            is_new = self._ledger.refusals.put(self.source_api, key.namespace, key.name, (Refusal(error.reason),))
        self._sweep.mark_unreadable(where)
        if is_new:  # once, even if it is rewritten
            log.warning(
                "source_object_malformed",
                cluster=self._cluster,
                source=self.source_api,
                object=line(name),
                message=line(str(error)),
            )
