"""What the cluster reports: who claims each finding, who words it, and what becomes of it when the last claim is gone.

* a finding's claims end only by what their own source object says, never by a failed or partial view;
* what an incomplete source object lacks stands, and so does what a report could not evaluate;
* a claim of a report that its engine no longer updates (*superseded*) does not count.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from policyhub.clocks import NEVER, SteadyMs, WallMs
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.findings.truncation import alike
from policyhub.sources.filter import namespace_of
from policyhub.sources.violation import Identity, SourceKey, Violation
from policyhub.sync.claims import Claims, excluding, including, said, spoken
from policyhub.sync.entry import Entry, Loss
from policyhub.sync.shares import Excess, Shares
from policyhub.sync.standings import Standings

Call = tuple[Violation, WallMs | None]
"""With when it was observed."""


Reports = tuple[str, str, str]
"""Source, API group and namespace (empty: cluster-scoped) of reports."""


class Desired:
    """Of one monitored cluster."""

    def __init__(
        self,
        *,
        cluster_id: str,
        entries: dict[str, Entry],
        standings: Standings,
        shares: Shares,
        on_new: Callable[[Entry, SteadyMs], None],
        on_want: Callable[[Entry], None],
        on_loss: Callable[[Entry], None],
        touch: Callable[[Entry], None],
    ) -> None:
        """`on_new` is told of each finding that was not known (and when), `on_want` of each that is reported (again),
        `on_loss` of each whose last claim went.
        """
        self.cluster_id = cluster_id
        self.objects: dict[SourceKey, tuple[str, ...]] = {}
        """The ids that each source object claims; objects that claim none are not in it."""
        self.superseded: frozenset[Reports] = frozenset()
        """Reports that nobody updates any more: there the source writes the other group."""
        self._entries = entries
        self._standings = standings
        self._shares = shares
        self._on_new = on_new
        self._on_want = on_want
        self._on_loss = on_loss
        self._touch = touch

    # -- claims ---------------------------------------------------------------------------------------------------

    def ids(self, calls: Iterable[Call]) -> dict[str, Call]:
        return {finding_id(self.cluster_id, violation.identity): (violation, at) for violation, at in calls}

    def named(self, identities: Iterable[Identity]) -> frozenset[str]:
        return frozenset(finding_id(self.cluster_id, identity) for identity in identities)

    def admit(self, key: SourceKey, new: dict[str, Call], old: frozenset[str]) -> Counter[Excess]:
        """Leave out of `new` what its namespace or the cluster has no room for; how many, by the limit. What is there
        already keeps its place.
        """
        left_out: Counter[Excess] = Counter()
        if self._shares.findings.refuses(key.namespace, len(new)) is None:
            return left_out
        more = 0
        for id_ in list(new):
            entry = self._entries.get(id_)
            if id_ in old or (entry is not None and entry.share is not None):
                continue
            namespace = namespace_of(new[id_][0].subject)
            excess = self._shares.findings.refuses(namespace, more + 1, scoped=bool(key.namespace))
            if excess is None:
                more += 1
            else:
                left_out[excess] += 1
                del new[id_]
        return left_out

    def keep(self, key: SourceKey, ids: tuple[str, ...]) -> None:
        """All that a source object claims from now on."""
        if ids:
            self.objects[key] = ids
        else:
            self.objects.pop(key, None)

    def claim(self, id_: str, key: SourceKey, call: Call, *, now: SteadyMs, backlog: bool) -> bool:
        """A source object reports it; returns whether it did not before, or in other words."""
        violation, observed = call
        entry = self._entries.get(id_)
        new = entry is None
        if entry is None:
            entry = self._entries[id_] = Entry(id_)
            entry.backlog = backlog
        before = entry.calls
        if not entry.called:
            entry.called, entry.first_claimed = True, now
        if violation.own:
            entry.own, entry.passes = True, False
        if said(before, key) == violation:
            return False
        entry.calls = including(before, key, violation)
        if observed is not None and (entry.observed is None or observed < entry.observed):
            entry.observed = observed
        entry.source, entry.policy = violation.source, violation.policy
        if new:
            entry.place = violation.place
            self._on_new(entry, now)
        self._recompute(entry, loss=Loss.SILENT, now=now)
        return True

    def withdraw(self, id_: str, key: SourceKey, *, loss: Loss, now: SteadyMs) -> None:
        """A source object reports it no longer."""
        entry = self._entries[id_]
        before = said(entry.calls, key)
        if before is not None and before.own and loss is not Loss.SILENT:
            entry.own = False
        entry.calls = excluding(entry.calls, key)
        self._recompute(entry, loss=loss, now=now, key=key)

    def supersede(self, superseded: frozenset[Reports], *, now: SteadyMs) -> None:
        """Take which reports are superseded: their claims count no longer, and their silence is no news."""
        changed = superseded ^ self.superseded
        self.superseded = superseded
        if not changed:
            return
        for entry in self._entries.values():
            if any((violation.source, key.group, key.namespace) in changed for key, violation in entry.calls):
                self._recompute(entry, loss=Loss.SILENT, now=now)

    def counts(self, source: str, key: SourceKey) -> bool:
        """Whether what a report says of a source counts."""
        return not self.superseded or (source, key.group, key.namespace) not in self.superseded

    def passing(self, key: SourceKey, identities: Iterable[Identity]) -> set[str]:
        """The ids of what a report reads as passing, as far as that counts."""
        return {finding_id(self.cluster_id, identity) for identity in identities if self.counts(identity[0], key)}

    # -- what they come to ----------------------------------------------------------------------------------------

    def _recompute(self, entry: Entry, *, loss: Loss, now: SteadyMs, key: SourceKey | None = None) -> None:
        """Its claims have changed: which of them count, and which words it. `loss` is for that of the last one, `key`
        the source object that withdrew its claim.
        """
        calls = entry.calls
        if self.superseded:
            calls = tuple(claim for claim in calls if self.counts(claim[1].source, claim[0]))
        before, entry.wanted = entry.wanted, bool(calls)
        if calls:
            self._want(entry, calls, before=before, now=now)
            entry.passes |= loss is Loss.PASSED
        elif before:
            self._lose(entry, loss=loss, now=now, key=key)
        elif entry.loss < loss:
            entry.loss = loss
        elif entry.voice is None and entry.calls:  # only superseded claims, and Security Hub may have it
            first, violation = entry.calls[0]
            entry.source, entry.policy = violation.source, violation.policy
            entry.origin = entry.origin or first.origin
            entry.uncalled = entry.uncalled or now
        self._touch(entry)

    def _want(self, entry: Entry, calls: Claims, *, before: bool, now: SteadyMs) -> None:
        spoke = entry.voice if before else None
        self._word(entry, calls)
        entry.body = None
        entry.lacked, entry.repeated, entry.listed = None, False, 0
        entry.loss = Loss.SILENT
        entry.heard = entry.freed = entry.asking = NEVER
        entry.blocked = False
        if entry.pending_since == NEVER and spoke != entry.voice:
            entry.pending_since = now
        if entry.voice is None or entry.voice.own:
            entry.deferred = NEVER
        elif spoke.own if spoke is not None else entry.own:
            entry.deferred = now
        self._on_want(entry)

    def _lose(self, entry: Entry, *, loss: Loss, now: SteadyMs, key: SourceKey | None) -> None:
        entry.uncalled = entry.pending_since = now
        entry.loss = loss
        if key is not None:
            entry.origin = key.origin
        if entry.voice is not None:
            entry.place = entry.voice.place
            if alike(entry.rejected, entry.digest) or _lacked(
                entry
            ):  # it is archived as Security Hub has it, if it does
                entry.voice = None
        self._standings.recount(entry)
        self._on_loss(entry)

    def _word(self, entry: Entry, calls: Claims) -> None:
        violation, entry.origin = spoken(calls)
        entry.voice = violation
        entry.rule = violation.rule
        text = digest(violation, default_severity=self._standings.default_severity)
        known = entry.known.digest if entry.known is not None else ""
        entry.digest = known if known == text else text  # one text for both
        self._standings.recount(entry)


def _lacked(entry: Entry) -> bool:
    """Whether Security Hub lacked it when it was last read, and has taken nothing since."""
    known = entry.known
    return known is not None and not known.digest and entry.unanswered is None and not entry.in_flight
