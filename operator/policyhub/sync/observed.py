"""What Security Hub holds of one monitored cluster, by the inventory and our own imports.

* an id is *unread* until the inventory or a lookup by id has read it: nothing is sent for it before (`progress`);
* GetFindings is eventually consistent: a recent acknowledgement takes precedence, and the finding is read again later;
* an import without an answer may have been written: the finding is archived later if the violation has ended;
* a finding that carries another cluster's uid is left alone.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Iterable

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.findings.identity import prefix
from policyhub.sync.acknowledged import RECENT_MS, Acknowledged
from policyhub.sync.archive import Archive
from policyhub.sync.entry import NEW, Entry, Observation, ObservedFinding, Triage
from policyhub.sync.finding_counts import FindingCounts, severity
from policyhub.sync.lookup_queue import REREAD_MS, LookupQueue
from policyhub.sync.outcomes import Outcomes
from policyhub.sync.quarantine import Quarantine
from policyhub.sync.read_progress import ReadProgress
from policyhub.sync.second_read import SecondRead

ACK_OVERRULES_MS = RECENT_MS
"""GetFindings is eventually consistent: an acknowledgement younger than this takes precedence."""
MISSED_MANY = 100
"""If one part of an inventory lacks up to so many findings, they are read by id. If it lacks more, the hub was emptied
and they are sent again at once: a lookup reads 20 findings, an import sends 100.
"""


class Observed:
    """The findings of one monitored cluster in Security Hub."""

    def __init__(
        self,
        *,
        cluster_id: str,
        cluster_uid: str,
        entries: dict[str, Entry],
        finding_counts: FindingCounts,
        on_active: Callable[[Entry, int], None],
        on_stored: Callable[[Entry], None],
        on_lookup: Callable[[], None],
        second_read: SecondRead,
        namespace: Callable[[str], str],
        enqueue: Callable[[Entry], None],
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """`on_active` is called for each finding that becomes active (1) or is no longer active (-1), `on_stored` for
        each that Security Hub holds and nobody reports, `on_lookup` when something has to be read by id. `acknowledged`
        is shared with other ledgers of the account and Region.
        """
        self._acknowledged = acknowledged
        self.cluster_uid = cluster_uid
        self.adopted: frozenset[str] = frozenset()
        """Former uids of this cluster (it was rebuilt) that the admin has adopted."""
        self.lookups = LookupQueue(namespace=namespace, on_new=on_lookup)
        """Ids to be read by id: new violations that the inventory has not read yet, and contradictions."""
        self.hub_was_disabled = False
        """Whether Security Hub was disabled since the last inventory: it may have lost its findings."""
        self.quarantine = Quarantine()
        """Findings under this cluster's prefix that carry another cluster's uid."""
        self._recheck_scheduled: set[str] = set()
        """Quarantined ids with a scheduled read by id: their owner may have archived or deleted them."""
        self.outcomes = Outcomes()
        self.archive = Archive()
        self._prefix = prefix(cluster_id)
        self.progress = ReadProgress(
            entries=entries,
            archive=self.archive,
            quarantine=self.quarantine,
            lookups=self.lookups,
            second_read=second_read,
            enqueue=enqueue,
        )
        """What has been read, and what has to be read before it is sent."""
        self._entries = entries
        self._finding_counts = finding_counts
        self._on_active = on_active
        self._on_stored = on_stored
        self._enqueue = enqueue

    @property
    def uids(self) -> frozenset[str]:
        """The cluster uids whose findings are ours."""
        return self.adopted | {self.cluster_uid}

    def take_acknowledged(self, entry: Entry, *, now: SteadyMs) -> bool:
        """Take a recent acknowledgement that another ledger got for the finding; returns whether there was one."""
        if not self._acknowledged:
            return False
        observed = self._acknowledged.recent(self.cluster_uid, entry.id, now)
        if observed is None:
            return False
        entry.acknowledged_at = self._acknowledged.acknowledged_at(self.cluster_uid, entry.id)
        self.progress.mark_read(entry.id)
        self.progress.discard(entry.id)
        self.set_observed(entry, observed)
        return True

    def note_other_import(self, id_: str, observed: ObservedFinding | None, *, now: SteadyMs) -> None:
        """An import of a former ledger of this cluster was acknowledged; None: it got no answer. What we have sent
        since is newer, and an import of ours in flight takes precedence.
        """
        entry = self._entries.get(id_)
        if observed is None:
            self.lookups.add_at(id_, at=now + REREAD_MS)
        if entry is None or entry.in_flight:
            return
        if observed is None or (entry.observed is not None and observed.updated_at < entry.observed.updated_at):
            self.lookups.add(id_)
        elif self.take_acknowledged(entry, now=now):
            self._mark_known(entry)

    def forget(self, id_: str) -> None:
        self.progress.discard(id_)
        self.outcomes.forget(id_)

    # -- the inventory --------------------------------------------------------------------------------------------

    def take_part(
        self, digits: str, findings: Iterable[Observation], *, now: SteadyMs, began: SteadyMs | None = None
    ) -> None:
        """Take one part of the inventory that was read completely: the ids that start with `digits`. `began` is when
        its reading began: it does not show what was acknowledged since.
        """
        as_of = now if began is None else began
        found = {
            observation.id: observation
            for observation in findings
            if self._is_ours(observation, now=now, inventory=True)
        }
        id_prefix = f"{self._prefix}{digits}"
        missed = [
            e
            for i, e in self._entries.items()
            if e.observed is not None and not e.in_flight and i not in found and i.startswith(id_prefix)
        ]
        for entry in missed:
            self._mark_missed(entry, many=len(missed) > MISSED_MANY, as_of=as_of)
        for observation in found.values():
            if observation.observed.archived and observation.id not in self._entries and observation.id in self.archive:
                self.archive.drop(observation.id, now=now)
            else:
                self._take_observation(observation, now=now, as_of=as_of)
        self.progress.take_part(digits, id_prefix, began=as_of)

    def take_read(self, findings: Iterable[Observation], *, now: SteadyMs) -> None:
        """Take findings that were read outside an inventory: findings that are missing here may still exist."""
        for observation in findings:
            if self._is_ours(observation, now=now):
                self._take_observation(observation, now=now, as_of=now)

    def finish_inventory(self) -> None:
        """Every part was read. Foreign findings that it lacks are released, or read by id first."""
        self.hub_was_disabled = False
        self.progress.finish_inventory()
        before = set(self.quarantine.ids)
        for id_ in self.quarantine.finish():
            self.lookups.add(id_)
        for id_ in before - self.quarantine.ids.keys():
            self._unquarantine(id_)

    def mark_hub_disabled(self) -> None:
        """Security Hub was disabled and may have lost what it acknowledged before."""
        if not self.hub_was_disabled:
            self.hub_was_disabled = True
            if self._acknowledged is not None:
                self._acknowledged.clear()
            for entry in self._entries.values():
                entry.acknowledged_at = NEVER

    def _is_ours(self, observation: Observation, *, now: SteadyMs, inventory: bool = False) -> bool:
        """Whether the finding is ours, or another cluster has archived it and we may take it over."""
        if observation.cluster_uid in self.uids:
            if self.quarantine.release(observation.id):
                self._unquarantine(observation.id)
            return True
        self.take_foreign(
            observation.id,
            observation.cluster_uid,
            archived=observation.observed.archived,
            now=now,
            inventory=inventory,
        )
        return observation.observed.archived and not self.quarantine.conflict

    def take_foreign(self, id_: str, uid: str, *, archived: bool, now: SteadyMs, inventory: bool = False) -> None:
        """A finding carries the uid of another cluster. While it is active we do not change it, and read it again from
        time to time: its owner may archive or delete it. `inventory`: read by the inventory in progress.
        """
        before = id_ in self.quarantine.ids
        self.quarantine.add(id_, uid, archived=archived, inventory=inventory)
        if id_ not in self.quarantine.ids:
            if before:
                self._unquarantine(id_)
            return
        if id_ not in self._recheck_scheduled:
            self._recheck_scheduled.add(id_)
            self.lookups.add_at(id_, at=now + ACK_OVERRULES_MS + 1)
        self.progress.discard(id_)
        entry = self._entries.get(id_)
        if entry is not None and not entry.in_flight:
            self.set_observed(entry, None)
            entry.acknowledged_at = NEVER
            self._enqueue(entry)

    def _unquarantine(self, id_: str) -> None:
        """The finding is no longer quarantined, and has been read."""
        self.progress.mark_read(id_)
        entry = self._entries.get(id_)
        if entry is not None:
            self._enqueue(entry)

    def _take_observation(self, observation: Observation, *, now: SteadyMs, as_of: SteadyMs) -> None:
        entry = self._entries.get(observation.id) or self._add_entry(observation, now=now)
        if entry.in_flight:
            return
        # Only imports change `UpdatedAt`: a later value was imported after the acknowledged one.
        later = entry.observed is not None and observation.observed.updated_at > entry.observed.updated_at
        if as_of - entry.acknowledged_at <= ACK_OVERRULES_MS and not later:
            if entry.observed != observation.observed:
                self._recheck_later(entry)
            else:
                self._finding_counts.set_triage(entry, observation.triage)
            return
        self._finding_counts.set_triage(entry, observation.triage)
        observed = observation.observed
        if observation.cluster_uid != self.cluster_uid:  # adopted: it has to be sent with the new uid
            observed = msgspec.structs.replace(observed, digest="")
        elif observed.digest == entry.digest:
            observed = msgspec.structs.replace(observed, digest=entry.digest)  # one text for both
        entry.source = entry.source or observation.source
        entry.policy = entry.policy or observation.policy
        if not entry.desired:
            entry.source_api, entry.rule, entry.object_ref = (
                observation.source_api,
                observation.rule,
                observation.object_ref,
            )
            if not entry.unclaimed_since:
                entry.unclaimed_since = now
        self.set_observed(entry, observed)
        self._mark_known(entry)

    def _mark_known(self, entry: Entry) -> None:
        """The state of the finding in Security Hub is known now."""
        if not entry.desired:
            self._on_stored(entry)
        self._enqueue(entry)

    def _add_entry(self, observation: Observation, *, now: SteadyMs) -> Entry:
        """Add a finding that nobody has reported in this process."""
        entry = self._entries[observation.id] = Entry(observation.id)
        entry.source, entry.policy = observation.source, observation.policy
        entry.source_api, entry.rule, entry.object_ref, entry.unclaimed_since = (
            observation.source_api,
            observation.rule,
            observation.object_ref,
            now,
        )
        if self.take_acknowledged(entry, now=now):
            self._mark_known(entry)
        return entry

    def _mark_missed(self, entry: Entry, *, many: bool, as_of: SteadyMs) -> None:
        """An inventory lacked the finding: it was deleted, or skipped by pages that shifted during reading. If it is
        desired, it is read by id, or (if many are missing) sent again with its first `CreatedAt`. If not, it is read by
        id before it is archived, and sent if it is reported again.
        """
        observed = entry.observed
        if observed is None:
            return
        if as_of - entry.acknowledged_at <= ACK_OVERRULES_MS:
            self._recheck_later(entry)
            return
        if observed.archived and not entry.desired:
            self.set_observed(entry, None)
        elif entry.desired and not many:
            self.lookups.add(entry.id)
            return
        elif entry.desired:
            self._recreate(entry, observed)
        else:
            entry.representative = entry.body = None  # so that it is read before it is archived …
            self.set_observed(
                entry, msgspec.structs.replace(observed, digest="")
            )  # … and sent, if it is reported again
        self._enqueue(entry)

    def _recreate(self, entry: Entry, observed: ObservedFinding) -> None:
        """The finding has to be created again."""
        self._finding_counts.set_triage(entry, Triage(NEW, severity(entry)))
        self.set_observed(entry, msgspec.structs.replace(observed, digest="", archived=False))

    def _recheck_later(self, entry: Entry) -> None:
        """GetFindings contradicts a recent acknowledgement: read the finding again when that is no longer recent."""
        self.lookups.add_at(entry.id, at=entry.acknowledged_at + ACK_OVERRULES_MS + 1)

    # -- lookups --------------------------------------------------------------------------------------------------

    def retry_lookup(self, id_: str) -> None:
        """The lookup failed: repeat it, also for a finding that only Security Hub may hold."""
        self.lookups.mark_done(id_)
        self.lookups.add(id_)

    def take_lookup(self, id_: str, observation: Observation | None, *, now: SteadyMs) -> None:
        """Take the answer for one id; None: Security Hub does not hold it."""
        self.lookups.mark_done(id_)
        if observation is not None:
            self.progress.mark_read(id_)
            self.progress.unread.discard(id_)
            self.take_read([observation], now=now)
            return
        if self.quarantine.release(id_):
            self._unquarantine(id_)
        entry = self._entries.get(id_)
        if entry is None or entry.in_flight:
            return
        if entry.observed is None:
            if entry.id in self.progress.unread:
                self.progress.mark_read(id_)
                self.progress.unread.discard(id_)
                self._enqueue(entry)
        elif now - entry.acknowledged_at > ACK_OVERRULES_MS:
            if entry.desired:
                self._recreate(entry, entry.observed)
            else:
                self.set_observed(entry, None)
            self._enqueue(entry)

    def wake_lookups(self, now: SteadyMs) -> None:
        for id_ in self.lookups.pop_due(now):
            self._recheck_scheduled.discard(id_)
            self.lookups.add(id_)

    # -- our own imports ------------------------------------------------------------------------------------------

    def set_observed(self, entry: Entry, observed: ObservedFinding | None) -> None:
        """Set what Security Hub holds."""
        change = (observed is not None and not observed.archived) - (
            entry.observed is not None and not entry.observed.archived
        )
        if change:
            self._on_active(entry, change)
            self._finding_counts.count_active(entry, change)
        if entry.observed is None and observed is not None:
            self.archive.forget_id(entry.id)
        entry.observed = observed

    def mark_unanswered(self, entry: Entry, observed: ObservedFinding) -> None:
        """The import may or may not have been written. It is treated as written, so it is archived if the violation
        ends. It is also sent again with the same times: Security Hub ignores that if it was written.
        """
        entry.unanswered = observed
        self._finding_counts.reset_triage(entry, observed)
        self.set_observed(entry, msgspec.structs.replace(observed, digest="", archived=False))
