"""What is known about the sources of one monitored cluster: what their silence is worth, and who else can tell.

The state that evidence is made of. `grading` makes the evidence about one finding from it. Whatever is learned here
decides held findings again, by the table in `holds`, through `free`.

Pure: no I/O, no clock; times are Unix milliseconds by a clock that never jumps, unless they are said to be an engine's.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sources.source_apis import CONSTRAINTS, is_constraint
from policyhub.sources.violation import SourceKey, Subject
from policyhub.sync import known_namespaces
from policyhub.sync.audits import Audits
from policyhub.sync.entry import Coverage, Entry
from policyhub.sync.existence import Answer
from policyhub.sync.holds import Free, News
from policyhub.sync.known_namespaces import KnownNamespaces
from policyhub.sync.ownership import Ownership
from policyhub.sync.scans import Scans

LISTEN_MS = 60_000
"""Where two report APIs are served, what is new by one waits this long for the other's first listing: a report that
nobody updates any more may contradict a live one."""
SETTLE_MS = 30 * 60_000
"""What is known otherwise, or as archived, waits as long at most."""
SKEW_MS = 10 * 60_000
"""How far our clock and the API server's may be apart."""
OWNERS = ("pods", "replicasets.apps", "jobs.batch")
"""The origins that tell what rolls up to what."""
POD = ("", "Pod")

Kind = tuple[str, str]
"""Group and kind."""


class Asks(Protocol):
    """What of an Existence decides: an answer that was asked for at `since` or later, or None while it is asked."""

    def subject(self, of: Subject, *, since: SteadyMs) -> Answer | None: ...

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None: ...


class Sources:
    """Of one monitored cluster."""

    def __init__(self, *, entries: dict[str, Entry], free: Free, enqueue: Callable[[Entry], None]) -> None:
        self._entries = entries
        self._free = free
        self._enqueue = enqueue
        self.incomplete: set[SourceKey] = set()
        """Source objects whose silence is no evidence (truncated or never audited constraints, unreadable results)."""
        self._incomplete_in: Counter[tuple[str, str]] = Counter()
        """How many of them each source API has in each namespace."""
        self.unreadable: dict[str, frozenset[str]] = {}
        """Namespaces in which the last listing of a source API held an object that could not be read."""
        self.unevaluated: dict[str, set[SourceKey]] = {}
        """Findings of which reports say that they could not be evaluated, with the reports."""
        self._unevaluated_by: dict[SourceKey, frozenset[str]] = {}
        self.notices: set[tuple[str, str]] = set()
        """Namespace and name of the reports of whose lists Security Hub had a notice that no report reported: they may
        end it."""
        self.coverage: dict[str, Coverage] = {}
        self.listed: set[str] = set()
        """Source APIs that have been listed once."""
        self.waiting_namespaces: dict[str, frozenset[str]] = {}
        """Namespaces whose reports wait to be read, by source API: their silence is no evidence meanwhile."""
        self.being_listed: set[str] = set()
        """Source APIs of which a listing is read: what was written just before a watch was opened beside it comes by a
        page, and may contradict what that watch tells."""
        self.reports_listed = False
        """Whether every report API that is served has been listed once: before, one that was not may still report what
        another has dropped (the same violation comes through wgpolicyk8s.io and openreports.io)."""
        self.unlisted_since = NEVER
        """Since when (Unix ms) that is not so."""
        self.listening_until = NEVER
        self._listening_decided = False
        self.confirmed: dict[str, SteadyMs] = {}
        """When each source API was last seen to be served by the very cluster (discovery, its uid checked)."""
        self.discovered = NEVER
        """When the last discovery began that has confirmed the cluster."""
        self.stream_started_at: dict[str, SteadyMs] = {}
        """When the listing or watch that now speaks for each source API began: until a discovery has confirmed it, it
        may be another cluster's that answers at the old address."""
        self._dual: frozenset[tuple[str, str]] = frozenset()
        """Engines that write both report APIs, and the namespaces where they do: what passes in one may fail in the
        other, and be heard later."""
        self.disabled_groups: frozenset[str] = frozenset()
        """API groups that the MonitoredCluster says not to read."""
        self.constraints = Audits(entries=entries, free=free, enqueue=enqueue, ownership=lambda: self.ownership)
        self.ownership: Ownership | None = None
        """What rolls up to what; None where nothing does."""
        self.existence: Asks | None = None
        """Whom to ask whether something exists; None: nobody."""
        self.spaces = KnownNamespaces()
        self.scans = Scans()

    # -- what one source object is worth --------------------------------------------------------------------------

    def mark_incomplete(self, key: SourceKey) -> None:
        if key not in self.incomplete:
            self.incomplete.add(key)
            self._incomplete_in[key.source_api, key.namespace] += 1

    def mark_complete(self, key: SourceKey) -> None:
        """Its silence is evidence from now on: what was held for it is decided again."""
        if key not in self.incomplete:
            return
        self.incomplete.discard(key)
        place = key.source_api, key.namespace
        self._incomplete_in[place] -= 1
        if not self._incomplete_in[place]:
            del self._incomplete_in[place]
        if key.group == CONSTRAINTS:
            self._free(News.COMPLETE, where=lambda entry: entry.constraint == key)
        else:
            self._free(
                News.COMPLETE,
                namespaces={key.namespace} if key.namespace else None,
                where=lambda entry: entry.source_api == key.source_api,
            )

    def misses(self, entry: Entry) -> bool:
        """Whether something of the finding's API that may report it could not be read whole: of its namespace, or of
        none; of what is told of a report's own list only that report may.
        """
        bad = self.unreadable.get(entry.source_api, frozenset())
        if entry.subject is None:  # of whose object too little is known
            return bool(bad) or any(origin == entry.source_api for origin, _ in self._incomplete_in)
        if entry.is_notice and entry.object_ref is not None:
            resource, _, group = entry.source_api.partition(".")
            key = SourceKey.named(group, resource, entry.object_ref.namespace, entry.object_ref.name)
            return key in self.incomplete or not bad.isdisjoint((key.namespace, ""))
        return any(
            namespace in bad or (entry.source_api, namespace) in self._incomplete_in
            for namespace in {entry.namespace, ""}
        )

    def stands(self, key: SourceKey) -> bool:
        """Whether a report that says what it said before tells nothing but its times: nothing of it is incomplete, and
        nobody waits for it.
        """
        return not (
            key in self.incomplete or key in self._unevaluated_by or self.may_close(key) or self.scans.expects_of(key)
        )

    def stored(self, entry: Entry) -> None:
        """Security Hub has it, active, and nobody reports it."""
        if entry.is_notice and entry.object_ref is not None:
            self.notices.add((entry.object_ref.namespace, entry.object_ref.name))

    def may_close(self, key: SourceKey) -> bool:
        """Whether Security Hub may have a notice of the object's list that nobody reports."""
        if key.group == CONSTRAINTS:
            return self.constraints.awaits(key)
        return (key.namespace, key.name) in self.notices

    def set_unreadable(self, origin: str, namespaces: frozenset[str]) -> None:
        """Where the last listing of an API held objects that could not be read; the empty one: anywhere."""
        before = self.unreadable.get(origin, frozenset())
        if before == namespaces:
            return
        if namespaces:
            self.unreadable[origin] = namespaces
        else:
            del self.unreadable[origin]
        self._free(News.COMPLETE, where=lambda entry: entry.source_api == origin)

    def set_unevaluated(self, key: SourceKey, ids: frozenset[str]) -> frozenset[str]:
        """Which findings a report says that it could not evaluate now; returns them."""
        before = self._unevaluated_by.get(key, frozenset())
        if ids:
            self._unevaluated_by[key] = ids
        else:
            self._unevaluated_by.pop(key, None)
        for id_ in ids - before:
            self.unevaluated.setdefault(id_, set()).add(key)
        for id_ in before - ids:
            keys = self.unevaluated[id_]
            keys.discard(key)
            if not keys:
                del self.unevaluated[id_]
                if (entry := self._entries.get(id_)) is not None and not entry.desired:
                    self._enqueue(entry)
        return ids

    # -- how the APIs are seen ------------------------------------------------------------------------------------

    def cover(self, origin: str, coverage: Coverage) -> None:
        """Take whether a source API is seen whole and live."""
        if self.coverage.get(origin) == coverage:
            return
        self.coverage[origin] = coverage
        if coverage.live:
            self.listed.add(origin)
        self._free(News.COVERAGE, where=lambda entry: entry.source_api == origin or self.dual(entry))

    def set_dual_apis(self, engines: frozenset[tuple[str, str]]) -> None:
        """Take which engines write both report APIs, and in which namespaces: what one of these lacks the other may
        report.
        """
        changed = engines ^ self._dual
        self._dual = engines
        if changed:
            self._free(News.COVERAGE, where=lambda entry: (entry.source, entry.namespace) in changed)

    def dual(self, entry: Entry) -> bool:
        """Whether its engine writes both report APIs."""
        return bool(self._dual) and (entry.source, entry.namespace) in self._dual

    def set_waiting(self, origin: str, waiting: frozenset[str]) -> None:
        """Take which namespaces' reports of an API wait to be read."""
        before = self.waiting_namespaces.get(origin, frozenset())
        if before == waiting:
            return
        if waiting:
            self.waiting_namespaces[origin] = waiting
        else:
            del self.waiting_namespaces[origin]
        if heard := before - waiting:
            self._free(News.COMPLETE, namespaces=heard)

    def list_source(self, origin: str, *, listing: bool) -> None:
        """Take that a listing of a source API begins, or is over."""
        if listing:
            self.being_listed.add(origin)
        elif origin in self.being_listed:
            self.being_listed.discard(origin)
            self._free(News.COMPLETE)

    def is_being_listed(self, entry: Entry) -> bool:
        """Whether a listing is under way that may bring it back: of its API; of either where its engine writes both."""
        if not self.being_listed:
            return False
        return entry.source_api in self.being_listed or (
            self.dual(entry) and any(not is_constraint(origin) for origin in self.being_listed)
        )

    def waits_to_be_read(self, entry: Entry) -> bool:
        """Whether reports of the finding's namespace wait to be read."""
        return bool(self.waiting_namespaces) and any(
            entry.share in waiting for waiting in self.waiting_namespaces.values()
        )

    def seen(self, entry: Entry) -> Coverage | None:
        """How the API that reported it is seen; where its engine writes both report APIs, how all of them are. None
        where one of them is not seen whole and live: it may report, or report again, and nobody hears it.
        """
        own = self.coverage.get(entry.source_api)
        if own is None or not own.live:
            return None
        if not self.dual(entry):
            return own
        all_ = [seen for origin, seen in self.coverage.items() if not is_constraint(origin)]
        if not all(seen.live for seen in all_):
            return None
        return Coverage(live=True, since=max(s.since for s in all_), resumed=max(s.resumed for s in all_))

    def list_reports(self, *, listed: bool, groups: int = 1, now: SteadyMs = NEVER) -> None:
        """Take whether every report API that is served has been listed, and how many API groups they are of."""
        if listed:
            self._listening_decided = True
            self.listening_until = NEVER
        elif groups > 1 and not self._listening_decided:
            self._listening_decided = True
            self.listening_until = now + LISTEN_MS
        if not listed and not self.unlisted_since:
            self.unlisted_since = now
        if listed == self.reports_listed:
            return
        self.reports_listed = listed
        self.unlisted_since = NEVER if listed else now
        self._free(News.LISTED)

    def settled(self, entry: Entry) -> SteadyMs:
        """Until when a finding is not told to have changed: while its API (of a report: any) was not
        listed yet.
        """
        if entry.constraint is not None:
            return NEVER if entry.source_api in self.listed else entry.first_claimed + SETTLE_MS
        return NEVER if self.reports_listed else (self.unlisted_since or entry.first_claimed) + SETTLE_MS

    def confirm(self, origins: Iterable[str], *, now: SteadyMs) -> None:
        """A discovery has seen these APIs served by the very cluster."""
        self.discovered = now
        for origin in {*origins, known_namespaces.NAMESPACES, *OWNERS}:
            self.confirmed[origin] = now
        self._free(News.DISCOVERY)

    # -- owners, namespaces ---------------------------------------------------------------------------------------

    def unreported(self, entry: Entry) -> bool:
        """Whether something lives that rolls up to its object and that its policy has not been reported on yet."""
        of = entry.subject
        return (
            self.ownership is not None and of is not None and self.ownership.unreported(entry.source, entry.policy, of)
        )

    def replaced(self, entry: Entry) -> WallMs | None:
        """When the newest was made of what rolls up to its object and its policy looks at, if none of that is as old as
        what Security Hub has of the finding, and its engine has reported on all of it; None else.
        """
        of, observed = entry.subject, entry.observed
        if self.ownership is None or of is None or observed is None or self.ownership.unreported(entry.source, "", of):
            return None
        made = self.ownership.creation_times(entry.source, entry.policy, of)
        return made[1] if made is not None and made[0] > observed.updated_at + SKEW_MS else None

    def reconsider(self, news: tuple[Collection[str], Collection[str]] | None = None) -> None:
        """What rolls up to what has changed, or what was reported on. `news`: in these namespaces, and by these sources
        everywhere; None: anywhere.
        """
        if news is None:
            self._free(News.OWNERSHIP)
            return
        namespaces, engines = news
        self._free(News.OWNERSHIP, namespaces=namespaces)
        if engines:
            self._free(News.OWNERSHIP, where=lambda entry: entry.source in engines)

    # -- namespaces, as their sink tells them ----------------------------------------------------------------------

    def list_namespaces(self, names: frozenset[str], *, now: SteadyMs) -> None:
        """All namespaces that there are."""
        changed = self.spaces.list(names, now=now)
        self._free(News.NAMESPACE, where=lambda entry: self._in(entry, changed))

    def add_namespace(self, name: str) -> None:
        if self.spaces.add(name):
            self._free(News.NAMESPACE, namespaces={name})

    def remove_namespace(self, name: str, *, now: SteadyMs) -> None:
        """A namespace was deleted."""
        self.spaces.remove(name, now=now)
        self._free(News.NAMESPACE, namespaces={name})

    def namespaces_live(self, *, live: bool, now: SteadyMs) -> None:
        """Whether namespaces are seen whole and live."""
        if self.spaces.live(live=live, now=now) and live:
            self._free(News.NAMESPACE, where=lambda entry: self._in(entry, frozenset()))

    def _in(self, entry: Entry, names: frozenset[str]) -> bool:
        """Whether its namespace is one of these, or is deleted."""
        return not entry.desired and (entry.namespace in names or self.spaces.deleted(entry.object_ref) is not None)

    def is_disabled(self, origin: str) -> bool:
        """Whether the MonitoredCluster says not to read this API."""
        return bool(self.disabled_groups) and origin.partition(".")[2] in self.disabled_groups

    # -- reports --------------------------------------------------------------------------------------------------

    def reported(
        self,
        key: SourceKey,
        *,
        newest: Collection[tuple[str, int]],
        about: Iterable[tuple[Subject, str]],
        changed: bool,
        now: SteadyMs,
    ) -> list[str]:
        """A report was read: which source says something of which object, and the newest time of each source. Returns
        the lost findings about these objects.
        """
        heard: list[str] = []
        if self.scans.expects:
            times = dict(newest)
            for of, source in about:
                for id_ in self.scans.reported(source, of, times.get(source, 0)):
                    entry = self._entries[id_]
                    heard.append(id_)
                    if not entry.reported_at and not entry.desired:
                        entry.reported_at = now
                        entry.source_api = key.source_api  # the API that speaks of it now
                        self._enqueue(entry)
        if round_ := self.scans.read(key, newest, changed=changed, now=now):
            namespaces = {key.namespace} if key.namespace else None
            self._free(News.REPORT, namespaces=namespaces, where=lambda entry: entry.source in round_)
        return heard
