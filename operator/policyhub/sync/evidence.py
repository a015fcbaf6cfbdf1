"""What is known about the sources of one monitored cluster: whether their silence is evidence, and other evidence.

`grading` derives the evidence about one finding from this state. Each change here enqueues the held findings that it
may release, by the table in `holds`, through `requeue`.

Pure: no I/O, no clock; times are Unix milliseconds of a clock that never jumps, except times that engines reported.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.model.source_apis import CONSTRAINTS, is_constraint
from policyhub.model.violation import SourceKey, Subject
from policyhub.sync import known_namespaces
from policyhub.sync.audits import Audits
from policyhub.sync.entry import Entry, ListingState
from policyhub.sync.existence import Answer
from policyhub.sync.holds import Requeue, Trigger
from policyhub.sync.known_namespaces import KnownNamespaces
from policyhub.sync.ownership import Ownership
from policyhub.sync.scans import Scans

OTHER_API_WAIT_MS = 60_000
"""If two report APIs are served, new findings of one wait this long for the first listing of the other: a superseded
report may contradict a current one."""
CHANGE_WAIT_MS = 30 * 60_000
"""Changes and reactivations wait so long at most for the first listing of their API."""
SKEW_MS = 10 * 60_000
"""Maximum difference between our clock and that of the API server."""
OWNERS = ("pods", "replicasets.apps", "jobs.batch")
"""The source APIs that show what rolls up to what."""
POD = ("", "Pod")

Kind = tuple[str, str]
"""Group and kind."""


class ExistenceLookup(Protocol):
    """The part of `Existence` for decisions: an answer whose request began at `since` or later; None: it is pending."""

    def subject(self, subject: Subject, *, since: SteadyMs) -> Answer | None: ...

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None: ...


class Sources:
    """The sources of one monitored cluster."""

    def __init__(self, *, entries: dict[str, Entry], requeue: Requeue, enqueue: Callable[[Entry], None]) -> None:
        self._entries = entries
        self._requeue = requeue
        self._enqueue = enqueue
        self.incomplete: set[SourceKey] = set()
        """Source objects whose silence is no evidence (truncated or unaudited constraints, unreadable results)."""
        self._incomplete_in: Counter[tuple[str, str]] = Counter()
        """Number of those by source API and namespace."""
        self.unreadable: dict[str, frozenset[str]] = {}
        """By source API: namespaces in which its last listing had an object that could not be read."""
        self.unevaluated: dict[str, set[SourceKey]] = {}
        """Findings that could not be evaluated: finding id → the reports that say so."""
        self._unevaluated_by: dict[SourceKey, frozenset[str]] = {}
        self.notices: set[tuple[str, str]] = set()
        """Namespace and name of reports whose truncation notice is active in Security Hub, while nobody reports it: the
        report may end it."""
        self.listing_states: dict[str, ListingState] = {}
        self.listed: set[str] = set()
        """Source APIs that have been listed at least once."""
        self.waiting_namespaces: dict[str, frozenset[str]] = {}
        """By source API: namespaces whose reports wait to be read. Until then their silence is no evidence."""
        self.being_listed: set[str] = set()
        """Source APIs with a listing in progress. Its pages bring what was written just before the parallel watch was
        opened, and may contradict that watch."""
        self.reports_listed = False
        """Whether every served report API has been listed once. Before, an unlisted one may still report what another
        no longer reports (the same violation comes through wgpolicyk8s.io and openreports.io).
        """
        self.unlisted_since = NEVER
        """Since when (Unix ms) `reports_listed` is false."""
        self.new_findings_wait_until = NEVER
        self._wait_decided = False
        self.confirmed: dict[str, SteadyMs] = {}
        """When a discovery last confirmed that this very cluster (by its uid) serves each source API."""
        self.discovered = NEVER
        """When the last discovery that confirmed the cluster began."""
        self.stream_started_at: dict[str, SteadyMs] = {}
        """When the current listing or watch of each source API began. Until a discovery confirms it, another cluster
        may be answering at the old address.
        """
        self._dual: frozenset[tuple[str, str]] = frozenset()
        """(engine, namespace) of engines that write both report APIs: a result may pass in one and fail in the other,
        which may be read later."""
        self.disabled_groups: frozenset[str] = frozenset()
        """API groups that the MonitoredCluster disables."""
        self.constraints = Audits(entries=entries, requeue=requeue, enqueue=enqueue, ownership=lambda: self.ownership)
        self.ownership: Ownership | None = None
        """What rolls up to what; None: roll-up is off."""
        self.existence: ExistenceLookup | None = None
        """Looks up whether objects and policies exist; None: no lookups."""
        self.spaces = KnownNamespaces()
        self.scans = Scans()

    # -- one source object ---------------------------------------------------------------------------------------

    def mark_incomplete(self, key: SourceKey) -> None:
        if key not in self.incomplete:
            self.incomplete.add(key)
            self._incomplete_in[key.source_api, key.namespace] += 1

    def mark_complete(self, key: SourceKey) -> None:
        """Its silence is evidence from now on: the findings held for it are decided again."""
        if key not in self.incomplete:
            return
        self.incomplete.discard(key)
        where = key.source_api, key.namespace
        self._incomplete_in[where] -= 1
        if not self._incomplete_in[where]:
            del self._incomplete_in[where]
        if key.group == CONSTRAINTS:
            self._requeue(Trigger.COMPLETE, where=lambda entry: entry.constraint == key)
        else:
            self._requeue(
                Trigger.COMPLETE,
                namespaces={key.namespace} if key.namespace else None,
                where=lambda entry: entry.source_api == key.source_api,
            )

    def has_unreadable_source(self, entry: Entry) -> bool:
        """Whether a source object that may report the finding could not be read fully. For a notice that is its own
        report; for other findings any object of their API in their namespace, or cluster-scoped.
        """
        bad = self.unreadable.get(entry.source_api, frozenset())
        if entry.subject is None:  # its object is not known
            return bool(bad) or any(source_api == entry.source_api for source_api, _ in self._incomplete_in)
        if entry.is_notice and entry.object_ref is not None:
            resource, _, group = entry.source_api.partition(".")
            key = SourceKey.named(group, resource, entry.object_ref.namespace, entry.object_ref.name)
            return key in self.incomplete or not bad.isdisjoint((key.namespace, ""))
        return any(
            namespace in bad or (entry.source_api, namespace) in self._incomplete_in
            for namespace in {entry.namespace, ""}
        )

    def needs_no_reread(self, key: SourceKey) -> bool:
        """Whether only the times of an unchanged report matter: it is complete, and nothing waits for it."""
        return not (
            key in self.incomplete
            or key in self._unevaluated_by
            or self.may_have_notice(key)
            or self.scans.expects_of(key)
        )

    def source_objects(self) -> Iterator[SourceKey]:
        """The source objects about which anything is noted here; some several times."""
        yield from self.incomplete
        yield from self._unevaluated_by
        yield from self.constraints.audits
        yield from self.scans.witnesses()

    def note_stored(self, entry: Entry) -> None:
        """The finding is active in Security Hub, and nobody reports it."""
        if entry.is_notice and entry.object_ref is not None:
            self.notices.add((entry.object_ref.namespace, entry.object_ref.name))

    def may_have_notice(self, key: SourceKey) -> bool:
        """Whether Security Hub may hold a notice about the object's list that nobody reports."""
        if key.group == CONSTRAINTS:
            return self.constraints.awaits(key)
        return (key.namespace, key.name) in self.notices

    def set_unreadable(self, source_api: str, namespaces: frozenset[str]) -> None:
        """Set the namespaces in which the last listing of an API had unreadable objects; the empty name: anywhere."""
        before = self.unreadable.get(source_api, frozenset())
        if before == namespaces:
            return
        if namespaces:
            self.unreadable[source_api] = namespaces
        else:
            del self.unreadable[source_api]
        self._requeue(Trigger.COMPLETE, where=lambda entry: entry.source_api == source_api)

    def set_unevaluated(self, key: SourceKey, ids: frozenset[str]) -> frozenset[str]:
        """Set the findings that a report could not evaluate; returns them."""
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

    # -- source APIs ---------------------------------------------------------------------------------------------

    def set_listing_state(self, source_api: str, state: ListingState) -> None:
        """Set whether a source API is listed completely and watched."""
        if self.listing_states.get(source_api) == state:
            return
        self.listing_states[source_api] = state
        if state.live:
            self.listed.add(source_api)
        self._requeue(
            Trigger.LISTING_STATE, where=lambda entry: entry.source_api == source_api or self.writes_both_apis(entry)
        )

    def set_dual_apis(self, engines: frozenset[tuple[str, str]]) -> None:
        """Set (engine, namespace) of engines that write both report APIs: what one API lacks, the other may report."""
        changed = engines ^ self._dual
        self._dual = engines
        if changed:
            self._requeue(Trigger.LISTING_STATE, where=lambda entry: (entry.source, entry.namespace) in changed)

    def writes_both_apis(self, entry: Entry) -> bool:
        """Whether its engine writes both report APIs."""
        return bool(self._dual) and (entry.source, entry.namespace) in self._dual

    def set_waiting(self, source_api: str, waiting: frozenset[str]) -> None:
        """Set the namespaces whose reports of an API wait to be read."""
        before = self.waiting_namespaces.get(source_api, frozenset())
        if before == waiting:
            return
        if waiting:
            self.waiting_namespaces[source_api] = waiting
        else:
            del self.waiting_namespaces[source_api]
        if reported_ids := before - waiting:
            self._requeue(Trigger.COMPLETE, namespaces=reported_ids)

    def set_listing(self, source_api: str, *, listing: bool) -> None:
        """Set whether a listing of a source API is in progress."""
        if listing:
            self.being_listed.add(source_api)
        elif source_api in self.being_listed:
            self.being_listed.discard(source_api)
            self._requeue(Trigger.COMPLETE)

    def is_being_listed(self, entry: Entry) -> bool:
        """Whether a listing in progress may still report it: of its API, or of either if its engine writes both."""
        if not self.being_listed:
            return False
        return entry.source_api in self.being_listed or (
            self.writes_both_apis(entry) and any(not is_constraint(source_api) for source_api in self.being_listed)
        )

    def waits_to_be_read(self, entry: Entry) -> bool:
        """Whether reports of the finding's namespace wait to be read."""
        return bool(self.waiting_namespaces) and any(
            entry.charged_to in waiting for waiting in self.waiting_namespaces.values()
        )

    def listing_state_of(self, entry: Entry) -> ListingState | None:
        """That of the API that reported it; if its engine writes both report APIs, that of both together. None: one of
        these is not live, and may report it unnoticed.
        """
        own = self.listing_states.get(entry.source_api)
        if own is None or not own.live:
            return None
        if not self.writes_both_apis(entry):
            return own
        all_ = [one for source_api, one in self.listing_states.items() if not is_constraint(source_api)]
        if not all(one.live for one in all_):
            return None
        return ListingState(live=True, since=max(one.since for one in all_), resumed=max(one.resumed for one in all_))

    def set_reports_listed(self, *, listed: bool, groups: int = 1, now: SteadyMs = NEVER) -> None:
        """Set whether every served report API has been listed; `groups` is the number of their API groups."""
        if listed:
            self._wait_decided = True
            self.new_findings_wait_until = NEVER
        elif groups > 1 and not self._wait_decided:
            self._wait_decided = True
            self.new_findings_wait_until = now + OTHER_API_WAIT_MS
        if not listed and not self.unlisted_since:
            self.unlisted_since = now
        if listed == self.reports_listed:
            return
        self.reports_listed = listed
        self.unlisted_since = NEVER if listed else now
        self._requeue(Trigger.LISTED)

    def changes_wait_until(self, entry: Entry) -> SteadyMs:
        """Until when a change of the finding is not sent: its API (for a report: any report API) was not listed yet.

        It bounds the wait; 0: changes may be sent.
        """
        if entry.constraint is not None:
            return NEVER if entry.source_api in self.listed else entry.first_claimed + CHANGE_WAIT_MS
        return NEVER if self.reports_listed else (self.unlisted_since or entry.first_claimed) + CHANGE_WAIT_MS

    def confirm(self, origins: Iterable[str], *, now: SteadyMs) -> None:
        """A discovery has confirmed that this very cluster serves these APIs."""
        self.discovered = now
        for source_api in {*origins, known_namespaces.NAMESPACES, *OWNERS}:
            self.confirmed[source_api] = now
        self._requeue(Trigger.DISCOVERY)

    # -- owners, namespaces ---------------------------------------------------------------------------------------

    def unreported(self, entry: Entry) -> bool:
        """Whether something that rolls up to its object exists on which its policy has not been reported yet."""
        subject = entry.subject
        return (
            self.ownership is not None
            and subject is not None
            and self.ownership.unreported(entry.source, entry.policy, subject)
        )

    def descendants_replaced_at(self, entry: Entry) -> WallMs | None:
        """Creation time of the newest descendant of its object that its policy covers. None unless all of them are
        newer than the finding in Security Hub and its engine has reported on all of them.
        """
        subject, observed = entry.subject, entry.observed
        if (
            self.ownership is None
            or subject is None
            or observed is None
            or self.ownership.unreported(entry.source, "", subject)
        ):
            return None
        made = self.ownership.creation_times(entry.source, entry.policy, subject)
        return made[1] if made is not None and made[0] > observed.updated_at + SKEW_MS else None

    def reconsider(self, changes: tuple[Collection[str], Collection[str]] | None = None) -> None:
        """Ownership has changed, or what was reported on. `changes`: in these namespaces, and for these sources
        everywhere; None: anywhere.
        """
        if changes is None:
            self._requeue(Trigger.OWNERSHIP)
            return
        namespaces, engines = changes
        self._requeue(Trigger.OWNERSHIP, namespaces=namespaces)
        if engines:
            self._requeue(Trigger.OWNERSHIP, where=lambda entry: entry.source in engines)

    # -- namespaces -----------------------------------------------------------------------------------------------

    def list_namespaces(self, names: frozenset[str], *, now: SteadyMs) -> None:
        """Set all existing namespaces."""
        changed = self.spaces.list(names, now=now)
        self._requeue(Trigger.NAMESPACE, where=lambda entry: self._is_affected(entry, changed))

    def add_namespace(self, name: str) -> None:
        if self.spaces.add(name):
            self._requeue(Trigger.NAMESPACE, namespaces={name})

    def remove_namespace(self, name: str, *, now: SteadyMs) -> None:
        """A namespace was deleted."""
        self.spaces.remove(name, now=now)
        self._requeue(Trigger.NAMESPACE, namespaces={name})

    def namespaces_live(self, *, live: bool, now: SteadyMs) -> None:
        """Set whether namespaces are listed completely and watched."""
        if self.spaces.live(live=live, now=now) and live:
            self._requeue(Trigger.NAMESPACE, where=lambda entry: self._is_affected(entry, frozenset()))

    def _is_affected(self, entry: Entry, names: frozenset[str]) -> bool:
        """Whether the namespace of the lost finding is one of these, or is deleted."""
        return not entry.desired and (entry.namespace in names or self.spaces.deleted(entry.object_ref) is not None)

    def is_disabled(self, source_api: str) -> bool:
        """Whether the MonitoredCluster disables this API."""
        return bool(self.disabled_groups) and source_api.partition(".")[2] in self.disabled_groups

    # -- reports --------------------------------------------------------------------------------------------------

    def reported(
        self,
        key: SourceKey,
        *,
        newest: Collection[tuple[str, int]],
        scanned: Iterable[tuple[Subject, str]],
        changed: bool,
        now: SteadyMs,
    ) -> list[str]:
        """A report was read: `newest` is the newest time (Unix s) of each source in it, `scanned` its (object, source)
        pairs. Returns the lost findings about these objects.
        """
        reported_ids: list[str] = []
        if self.scans.expects:
            times = dict(newest)
            for subject, source in scanned:
                for id_ in self.scans.reported(source, subject, times.get(source, 0)):
                    entry = self._entries[id_]
                    reported_ids.append(id_)
                    if not entry.reported_at and not entry.desired:
                        entry.reported_at = now
                        entry.source_api = key.source_api  # the API that reports on it now
                        self._enqueue(entry)
        if round_ := self.scans.read(key, newest, changed=changed, now=now):
            namespaces = {key.namespace} if key.namespace else None
            self._requeue(Trigger.REPORT, namespaces=namespaces, where=lambda entry: entry.source in round_)
        return reported_ids
