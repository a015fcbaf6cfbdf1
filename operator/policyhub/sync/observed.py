"""What Security Hub holds of one monitored cluster, as the inventory and our own imports tell.

* an id is *unread* until the inventory, or a look-up by id, has reached it: nothing is sent for it before;
* GetFindings is eventually consistent: it never overrules a fresh acknowledgement, and is asked again later;
* an import without an answer counts as possibly written: it is archived later if the violation is gone by then;
* a finding that carries another cluster's uid is left alone.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable, Iterable

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.findings.identity import prefix
from policyhub.sync.acknowledged import RECENT_MS, Acknowledged, sign
from policyhub.sync.archive import Archive
from policyhub.sync.entry import NEW, Entry, Observation, ObservedFinding
from policyhub.sync.outcomes import Outcomes
from policyhub.sync.quarantine import Quarantine
from policyhub.sync.readings import LATE_MS, Readings
from policyhub.sync.standings import Standings, severity

ACK_OVERRULES_MS = RECENT_MS
"""GetFindings is eventually consistent: what it says never overrules an acknowledgement younger than this."""
MISSED_MANY = 100
"""Findings that one part of an inventory may lack and that are asked for by id; more are taken as lost at once, for a
hub that was emptied: 20 by a look-up are slower than 100 by an import."""


class Observed:
    """Of one monitored cluster."""

    def __init__(
        self,
        *,
        cluster_id: str,
        cluster_uid: str,
        entries: dict[str, Entry],
        standings: Standings,
        on_active: Callable[[Entry, int], None],
        on_stored: Callable[[Entry], None],
        on_lookup: Callable[[], None],
        namespace: Callable[[str], str],
        enqueue: Callable[[Entry], None],
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """`on_active` is told of each finding that becomes active (1) or ceases to be (-1), `on_stored` of each that
        Security Hub has and nobody reports, `on_lookup` that something is to be read by id. `acknowledged` is what
        other ledgers of the account and Region have been told as well.
        """
        self.cautious = False
        """Whether another process has sent findings lately: what the inventory lacks of backlog is looked for twice."""
        self._acknowledged = acknowledged
        self.cluster_uid = cluster_uid
        self.adopted: frozenset[str] = frozenset()
        """Former uids of this cluster (a rebuilt cluster), released by the admin."""
        self.unread: set[str] = set()
        """Desired ids that the inventory has not reached: not sent before it has."""
        self.lookups = Readings(namespace=namespace, on_new=on_lookup)
        """Ids to be read by id: fresh violations that the inventory has not reached, and contradictions."""
        self.parts: set[str] = set()
        """Id prefixes that the inventory has read to the end."""
        self.whole = False
        """Whether an inventory has been read to the end."""
        self.suspect = False
        """Whether Security Hub was switched off since: it may have nothing of what it had."""
        self.unavailable = False
        """Whether the inventory was given up for now: what is desired is sent without having been read."""
        self.quarantine = Quarantine()
        """Findings under this cluster's prefix that carry another cluster's uid."""
        self._looked: set[str] = set()
        """Ids read by id before the inventory reached them."""
        self._asked_again: set[str] = set()
        """Quarantined ids that are to be read by id later: their owner may have let them go."""
        self.outcomes = Outcomes()
        self.archive = Archive()
        self._prefix = prefix(cluster_id)
        self._entries = entries
        self._standings = standings
        self._on_active = on_active
        self._on_stored = on_stored
        self._enqueue = enqueue

    @property
    def uids(self) -> frozenset[str]:
        """The cluster uids whose findings are ours."""
        return self.adopted | {self.cluster_uid}

    def is_read(self, id_: str) -> bool:
        if self.unavailable or id_ in self._looked or id_ in self.quarantine.ids:
            return True
        if id_ in self.archive:
            return False
        digits = id_.rpartition("/")[2]
        return any(digits[:n] in self.parts for n in range(5))  # the inventory's parts have up to four digits

    def awaits(self, entry: Entry) -> bool:
        """Whether it has to be read before it is sent."""
        return entry.observed is None and (not self.is_read(entry.id) or (self.cautious and entry.backlog))

    def trust(self) -> None:
        """The second look has been taken: what was not found is not there."""
        self.cautious = False
        self._reach()

    def _reach(self) -> None:
        """What waits to be read for no reason any more is decided."""
        for id_ in [id_ for id_ in self.unread if not self.awaits(self._entries[id_])]:
            self.unread.discard(id_)
            self._enqueue(self._entries[id_])

    def recall(self, entry: Entry, *, now: SteadyMs) -> bool:
        """Take what Security Hub has lately told another ledger of the finding; whether there was anything."""
        if not self._acknowledged:
            return False
        signed = sign(self.cluster_uid, entry.id)
        observed = self._acknowledged.recent(signed, now)
        if observed is None:
            return False
        entry.acknowledged_at = self._acknowledged.moment(signed)
        self._looked.add(entry.id)
        self.unread.discard(entry.id)
        self.lookups.discard(entry.id)
        self.set_observed(entry, observed)
        return True

    def overtake(self, id_: str, observed: ObservedFinding | None, *, now: SteadyMs) -> None:
        """A call that another ledger of this cluster began, before this one did, was answered; None: it never will be.
        What we have sent since is newer, and what is in a call of ours overrules it.
        """
        entry = self._entries.get(id_)
        if observed is None:
            self.lookups.later(id_, at=now + LATE_MS)
        if entry is None or entry.in_flight:
            return
        if observed is None or (entry.observed is not None and observed.updated_at < entry.observed.updated_at):
            self.lookups.add(id_)
        elif self.recall(entry, now=now):
            self._taken(entry)

    def await_reading(self, entry: Entry) -> None:
        """It is not sent before it has been read; what no inventory will bring in time is asked for by id."""
        self.unread.add(entry.id)
        if not entry.backlog or entry.id in self.archive:
            self.lookups.add(entry.id)

    def returning(self) -> int:
        """How many archived findings are reported again, and are read before they are sent."""
        return sum(id_ in self.archive for id_ in self.unread)

    def send_unread(self, *, now: SteadyMs) -> None:
        """What comes back and could not be read for long is sent all the same, with a new `CreatedAt`."""
        if not self.whole or not self.archive:
            return
        late = {i for i in self.unread if i in self.archive and now - self._entries[i].first_claimed > ACK_OVERRULES_MS}
        for id_ in late:
            self.lookups.discard(id_)
        if late:
            self._looked |= late
            self._reach()

    def forget(self, id_: str) -> None:
        self.unread.discard(id_)
        self.lookups.discard(id_)
        self.outcomes.forget(id_)

    # -- the inventory --------------------------------------------------------------------------------------------

    def take_part(
        self, digits: str, findings: Iterable[Observation], *, now: SteadyMs, began: SteadyMs | None = None
    ) -> None:
        """Take one completely read part of the inventory: the ids that start with `digits`. `began` is when its reading
        began: it knows nothing of what was acknowledged since.
        """
        moment = now if began is None else began
        found = {
            observation.id: observation
            for observation in findings
            if self._is_ours(observation, now=now, inventory=True)
        }
        prefix = f"{self._prefix}{digits}"
        missed = [
            e
            for i, e in self._entries.items()
            if e.observed is not None and not e.in_flight and i not in found and i.startswith(prefix)
        ]
        for entry in missed:
            self._miss(entry, many=len(missed) > MISSED_MANY, moment=moment)
        for observation in found.values():
            if observation.observed.archived and observation.id not in self._entries and observation.id in self.archive:
                self.archive.drop(observation.id, now=now)
            else:
                self._take(observation, now=now, moment=moment)
        self.parts.add(digits)
        reached = [i for i in self.unread if i.startswith(prefix) and not self.awaits(self._entries[i])]
        self.unread.difference_update(reached)
        if not self.unread:
            self.unread = set()  # a set that was large stays large
        for id_ in reached:
            self.lookups.discard(id_)
            self._enqueue(self._entries[id_])

    def take_read(self, findings: Iterable[Observation], *, now: SteadyMs) -> None:
        """Take findings read outside an inventory: what is not among them says nothing."""
        for observation in findings:
            if self._is_ours(observation, now=now):
                self._take(observation, now=now, moment=now)

    def finish_inventory(self) -> None:
        """Every part was read: foreign findings that it did not find again are gone, or are asked for by id."""
        self.unavailable = False
        self.whole, self.suspect = True, False
        self._looked.clear()
        before = set(self.quarantine.ids)
        for id_ in self.quarantine.finish():
            self.lookups.add(id_)
        for id_ in before - self.quarantine.ids.keys():
            self._free(id_)

    def give_up(self, *, cautious: bool = False) -> None:
        """The inventory cannot be read: what is desired goes out unread, what only Security Hub knows stays unknown.
        `cautious`: but not the backlog, since Security Hub may have it, with the time at which it was first seen.
        """
        self.unavailable, self.cautious = True, cautious
        self.lookups.clear()
        self._reach()

    def switched_off(self) -> None:
        """Security Hub is, and may have nothing of what it acknowledged before."""
        if not self.suspect:
            self.suspect = True
            if self._acknowledged is not None:
                self._acknowledged.clear()
            for entry in self._entries.values():
                entry.acknowledged_at = NEVER

    def _is_ours(self, observation: Observation, *, now: SteadyMs, inventory: bool = False) -> bool:
        """Whether the finding may be taken: as ours, or as one that another cluster has archived and left."""
        if observation.cluster_uid in self.uids:
            if self.quarantine.release(observation.id):
                self._free(observation.id)
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
        """A finding carries the uid of another cluster. While it is active it is not ours to touch; it is read again
        from time to time, since its owner may archive or delete it. `inventory`: it was read by the one under way.
        """
        before = id_ in self.quarantine.ids
        self.quarantine.meet(id_, uid, archived=archived, inventory=inventory)
        if id_ not in self.quarantine.ids:
            if before:
                self._free(id_)
            return
        if id_ not in self._asked_again:
            self._asked_again.add(id_)
            self.lookups.later(id_, at=now + ACK_OVERRULES_MS + 1)
        self.unread.discard(id_)
        self.lookups.discard(id_)
        entry = self._entries.get(id_)
        if entry is not None and not entry.in_flight:
            self.set_observed(entry, None)
            entry.acknowledged_at = NEVER
            self._enqueue(entry)

    def _free(self, id_: str) -> None:
        """It is quarantined no longer, and it has been read."""
        self._looked.add(id_)
        entry = self._entries.get(id_)
        if entry is not None:
            self._enqueue(entry)

    def _take(self, observation: Observation, *, now: SteadyMs, moment: SteadyMs) -> None:
        entry = self._entries.get(observation.id) or self._add(observation, now=now)
        if entry.in_flight:
            return
        # Nothing but an import moves `UpdatedAt`: a later one was imported after what was acknowledged.
        later = entry.observed is not None and observation.observed.updated_at > entry.observed.updated_at
        if moment - entry.acknowledged_at <= ACK_OVERRULES_MS and not later:
            if entry.observed != observation.observed:
                self._doubt(entry)
            else:
                self._standings.sort(entry, observation.triage)
            return
        self._standings.sort(entry, observation.triage)
        observed = observation.observed
        if observation.cluster_uid != self.cluster_uid:  # adopted: its uid must be written anew
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
        self._taken(entry)

    def _taken(self, entry: Entry) -> None:
        """What Security Hub has of it is known now."""
        if not entry.desired:
            self._on_stored(entry)
        self._enqueue(entry)

    def _add(self, observation: Observation, *, now: SteadyMs) -> Entry:
        """One that nobody has reported in this process."""
        entry = self._entries[observation.id] = Entry(observation.id)
        entry.source, entry.policy = observation.source, observation.policy
        entry.source_api, entry.rule, entry.object_ref, entry.unclaimed_since = (
            observation.source_api,
            observation.rule,
            observation.object_ref,
            now,
        )
        if self.recall(entry, now=now):
            self._taken(entry)
        return entry

    def _miss(self, entry: Entry, *, many: bool, moment: SteadyMs) -> None:
        """An inventory lacked it: deleted, or skipped by pages that shifted while they were read. Where it is desired
        it is asked for by id, or sent again with its first time if many are missing; where it is not, it is asked for
        by id before it is archived, and sent again if it is reported again.
        """
        observed = entry.observed
        if observed is None:
            return
        if moment - entry.acknowledged_at <= ACK_OVERRULES_MS:
            self._doubt(entry)
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
        """It is created anew."""
        self._standings.sort(entry, (NEW, severity(entry)))
        self.set_observed(entry, msgspec.structs.replace(observed, digest="", archived=False))

    def _doubt(self, entry: Entry) -> None:
        """GetFindings contradicts a fresh acknowledgement: it is asked again when that is fresh no longer."""
        self.lookups.later(entry.id, at=entry.acknowledged_at + ACK_OVERRULES_MS + 1)

    # -- look-ups -------------------------------------------------------------------------------------------------

    def drop_lookup(self, id_: str) -> None:
        """The look-up failed: it is to be done again, also of what only Security Hub may have."""
        self.lookups.done(id_)
        self.lookups.add(id_)

    def answer(self, id_: str, observation: Observation | None, *, now: SteadyMs) -> None:
        """Take what Security Hub says of one id; None: it does not have it."""
        self.lookups.done(id_)
        if observation is not None:
            self._looked.add(id_)
            self.unread.discard(id_)
            self.take_read([observation], now=now)
            return
        if self.quarantine.release(id_):
            self._free(id_)
        entry = self._entries.get(id_)
        if entry is None or entry.in_flight:
            return
        if entry.observed is None:
            if entry.id in self.unread:
                self._looked.add(id_)
                self.unread.discard(id_)
                self._enqueue(entry)
        elif now - entry.acknowledged_at > ACK_OVERRULES_MS:
            if entry.desired:
                self._recreate(entry, entry.observed)
            else:
                self.set_observed(entry, None)
            self._enqueue(entry)

    def due(self, now: SteadyMs) -> None:
        for id_ in self.lookups.due(now):
            self._asked_again.discard(id_)
            self.lookups.add(id_)

    # -- our own imports ------------------------------------------------------------------------------------------

    def set_observed(self, entry: Entry, observed: ObservedFinding | None) -> None:
        """Take what Security Hub holds of it."""
        change = (observed is not None and not observed.archived) - (
            entry.observed is not None and not entry.observed.archived
        )
        if change:
            self._on_active(entry, change)
            self._standings.activate(entry, change)
        if entry.observed is None and observed is not None:
            self.archive.know(entry.id)
        entry.observed = observed

    def unanswered(self, entry: Entry, observed: ObservedFinding) -> None:
        """The import may or may not have been written: taken as written, so that it is archived if the violation ends,
        and sent again with the same times, which Security Hub ignores if it was.
        """
        entry.unanswered = observed
        self._standings.renew(entry, observed)
        self.set_observed(entry, msgspec.structs.replace(observed, digest="", archived=False))
