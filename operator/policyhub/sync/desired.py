"""What the cluster reports: the claims of each finding, its representative claim, and the loss of the last claim.

* only the source object itself ends its claims, never a failed or partial read;
* claims that an incomplete source object lacks stay, and so do claims that a report could not evaluate;
* claims of a report that its engine no longer updates (*superseded*) do not count.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.findings.truncation import same_content
from policyhub.model.violation import Identity, SourceKey, Violation
from policyhub.sources.filter import namespace_of
from policyhub.sync.claims import Claims, claim_of, excluding, including, representative_of
from policyhub.sync.entry import Entry, Loss
from policyhub.sync.finding_counts import FindingCounts
from policyhub.sync.superseded import Reports
from policyhub.sync.usage import Excess, Usage

Claim = tuple[Violation, WallMs | None]
"""With the time when it was observed."""


class Desired:
    """The desired findings of one monitored cluster."""

    def __init__(
        self,
        *,
        cluster_id: str,
        entries: dict[str, Entry],
        finding_counts: FindingCounts,
        usage: Usage,
        on_new: Callable[[Entry, SteadyMs], object],
        on_claimed: Callable[[Entry], None],
        on_loss: Callable[[Entry], None],
        enqueue: Callable[[Entry], None],
    ) -> None:
        """`on_new` is called for each unknown finding, with the time; `on_claimed` for each that is reported (again);
        `on_loss` for each whose last claim was withdrawn.
        """
        self.cluster_id = cluster_id
        self.objects: dict[SourceKey, tuple[str, ...]] = {}
        """The ids that each source object claims, without objects that claim none."""
        self.superseded: frozenset[Reports] = frozenset()
        """Reports that are no longer updated: their source now writes the other API group."""
        self._entries = entries
        self._finding_counts = finding_counts
        self._usage = usage
        self._on_new = on_new
        self._on_claimed = on_claimed
        self._on_loss = on_loss
        self._enqueue = enqueue

    # -- claims ---------------------------------------------------------------------------------------------------

    def claims_by_id(self, claims: Iterable[Claim]) -> dict[str, Claim]:
        return {finding_id(self.cluster_id, violation.identity): (violation, at) for violation, at in claims}

    def ids_of(self, identities: Iterable[Identity]) -> frozenset[str]:
        return frozenset(finding_id(self.cluster_id, identity) for identity in identities)

    def admit(self, key: SourceKey, new: dict[str, Claim], old: frozenset[str]) -> Counter[Excess]:
        """Remove from `new` what would exceed a limit of the namespace or cluster; returns how many, by limit. Known
        findings are never removed.
        """
        left_out: Counter[Excess] = Counter()
        if self._usage.findings.exceeds(key.namespace, len(new)) is None:
            return left_out
        more = 0
        for id_ in list(new):
            entry = self._entries.get(id_)
            if id_ in old or (entry is not None and entry.charged_to is not None):
                continue
            namespace = namespace_of(new[id_][0].subject)
            excess = self._usage.findings.exceeds(namespace, more + 1, scoped=bool(key.namespace))
            if excess is None:
                more += 1
            else:
                left_out[excess] += 1
                del new[id_]
        return left_out

    def set_claimed(self, key: SourceKey, ids: tuple[str, ...]) -> None:
        """Set the ids that a source object claims."""
        if ids:
            self.objects[key] = ids
        else:
            self.objects.pop(key, None)

    def add_claim(self, id_: str, key: SourceKey, claim: Claim, *, now: SteadyMs, backlog: bool) -> bool:
        """A source object reports the finding; returns whether the claim is new or changed."""
        violation, observed_at = claim
        entry = self._entries.get(id_)
        new = entry is None
        if entry is None:
            entry = self._entries[id_] = Entry(id_)
            entry.backlog = backlog
        before = entry.claims
        if not entry.was_claimed:
            entry.was_claimed, entry.first_claimed = True, now
        if violation.own:
            entry.own, entry.own_passes = True, False
        if claim_of(before, key) == violation:
            return False
        entry.claims = including(before, key, violation)
        if observed_at is not None and (entry.observed_at is None or observed_at < entry.observed_at):
            entry.observed_at = observed_at
        entry.source, entry.policy = violation.source, violation.policy
        if new:
            entry.object_ref = violation.object_ref
            self._on_new(entry, now)
        self._recompute(entry, loss=Loss.SILENT, now=now)
        return True

    def repeat(self, key: SourceKey) -> None:
        """A source object reports what it did."""
        for id_ in self.objects.get(key, ()):
            entry = self._entries[id_]
            violation = claim_of(entry.claims, key)
            if violation is not None and violation.own:
                entry.own, entry.own_passes = True, False

    def withdraw_claim(self, id_: str, key: SourceKey, *, loss: Loss, now: SteadyMs) -> None:
        """A source object no longer reports the finding."""
        entry = self._entries[id_]
        before = claim_of(entry.claims, key)
        if before is not None and before.own and loss is not Loss.SILENT:
            entry.own = False
        entry.claims = excluding(entry.claims, key)
        self._recompute(entry, loss=loss, now=now, key=key)

    def supersede(self, superseded: frozenset[Reports], *, now: SteadyMs) -> None:
        """Set which reports are superseded: their claims no longer count, and a loss of them is silent."""
        changed = superseded ^ self.superseded
        self.superseded = superseded
        if not changed:
            return
        for entry in self._entries.values():
            if any((violation.source, key.group, key.namespace) in changed for key, violation in entry.claims):
                self._recompute(entry, loss=Loss.SILENT, now=now)

    def is_current(self, source: str, key: SourceKey) -> bool:
        """Whether the results of this source in a report count: it is not superseded."""
        return not self.superseded or (source, key.group, key.namespace) not in self.superseded

    def passing_ids(self, key: SourceKey, identities: Iterable[Identity]) -> set[str]:
        """The ids that a report shows as passing, if it is not superseded."""
        return {
            finding_id(self.cluster_id, identity) for identity in identities if self.is_current(identity.source, key)
        }

    # -- the result of the claims ---------------------------------------------------------------------------------

    def _recompute(self, entry: Entry, *, loss: Loss, now: SteadyMs, key: SourceKey | None = None) -> None:
        """Recompute the finding after a change of its claims. `loss` applies if none remains; `key` is the source
        object that withdrew its claim.
        """
        claims = entry.claims
        if self.superseded:
            claims = tuple(claim for claim in claims if self.is_current(claim[1].source, claim[0]))
        before, entry.desired = entry.desired, bool(claims)
        if claims:
            self._mark_desired(entry, claims, before=before, now=now)
            entry.own_passes |= loss is Loss.PASSED
        elif before:
            self._mark_lost(entry, loss=loss, now=now, key=key)
        elif entry.loss < loss:
            entry.loss = loss
        elif entry.representative is None and entry.claims:  # only superseded claims, and Security Hub may hold it
            first, violation = entry.claims[0]
            entry.source, entry.policy = violation.source, violation.policy
            entry.source_api = entry.source_api or first.source_api
            entry.unclaimed_since = entry.unclaimed_since or now
        self._enqueue(entry)

    def _mark_desired(self, entry: Entry, claims: Claims, *, before: bool, now: SteadyMs) -> None:
        former = entry.representative if before else None
        self._choose_representative(entry, claims)
        entry.body = None
        entry.first_audit_without, entry.confirmed_by_audit, entry.last_audit_with = None, False, 0
        entry.loss = Loss.SILENT
        entry.reported_at = entry.evidence_since = entry.existence_asked_at = NEVER
        entry.lacked_evidence = False
        if entry.pending_since == NEVER and former != entry.representative:
            entry.pending_since = now
        if entry.representative is None or entry.representative.own:
            entry.substituted_since = NEVER
        elif former.own if former is not None else entry.own:
            entry.substituted_since = now
        self._on_claimed(entry)

    def _mark_lost(self, entry: Entry, *, loss: Loss, now: SteadyMs, key: SourceKey | None) -> None:
        entry.unclaimed_since = entry.pending_since = now
        entry.loss = loss
        if key is not None:
            entry.source_api = key.source_api
        if entry.representative is not None:
            entry.object_ref = entry.representative.object_ref
            if same_content(entry.rejected, entry.digest) or _was_missing(entry):
                entry.representative = None  # archive the finding as Security Hub holds it, if it does
        self._finding_counts.recount(entry)
        self._on_loss(entry)

    def _choose_representative(self, entry: Entry, claims: Claims) -> None:
        violation, entry.source_api = representative_of(claims)
        entry.representative = violation
        entry.rule = violation.rule
        text = digest(violation, default_severity=self._finding_counts.default_severity)
        observed = entry.observed.digest if entry.observed is not None else ""
        entry.digest = observed if observed == text else text  # share one string
        self._finding_counts.recount(entry)


def _was_missing(entry: Entry) -> bool:
    """Whether Security Hub did not hold it at the last read, and has accepted no import since."""
    observed = entry.observed
    return observed is not None and not observed.digest and entry.unanswered is None and not entry.in_flight
