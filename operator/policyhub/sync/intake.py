"""Applies what source objects report to the desired findings and to the evidence.

| a source object                            | effect                                                                |
|--------------------------------------------|-----------------------------------------------------------------------|
| reports a finding                          | adds its claim                                                        |
| is complete and lacks what it reported     | the claim ends: PASSED if the object says so, otherwise OMITTED       |
| is incomplete and lacks it                 | the claim stays, unless it passes or a truncated list would show it   |
| could not evaluate it                      | the claim stays, and nothing is learned about the finding             |
| passes a finding that was lost otherwise   | the loss becomes PASSED                                               |
| is a report whose list is complete again   | the notice that it was truncated is PASSED                            |
| was deleted                                | its claims end SILENT; OMITTED for constraints and for the notice     |
|                                            | about its own list                                                    |
| is unchanged                               | its times are learned (`repeat`)                                      |
| rolls up to another object                 | its claims move; nothing is learned about the findings                |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from policyhub.clock import SteadyMs, from_seconds
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.violation import Identity, ObjectRef, SourceKey, Subject, Violation
from policyhub.sources.truncation import is_notice
from policyhub.sync.desired import Claim, Desired
from policyhub.sync.entry import Entry, Loss
from policyhub.sync.evidence import Sources
from policyhub.sync.guard import Guard
from policyhub.sync.refusals import Refusal, Refusals
from policyhub.sync.usage import Excess


class Intake:
    """The intake of one monitored cluster."""

    def __init__(
        self,
        *,
        entries: dict[str, Entry],
        desired: Desired,
        sources: Sources,
        guard: Guard,
        refusals: Refusals,
        enqueue: Callable[[Entry], None],
        on_event: Callable[[str], None],
    ) -> None:
        """`on_event` is called for each finding whose claims change, except by a first listing."""
        self._entries = entries
        self._desired = desired
        self._sources = sources
        self._guard = guard
        self._refusals = refusals
        self._enqueue = enqueue
        self._on_event = on_event

    def read(
        self,
        key: SourceKey,
        claims: Iterable[Claim],
        *,
        complete: bool,
        passed: Callable[[], frozenset[Identity]],
        now: SteadyMs,
        audited: int | None = None,
        boundary: ObjectRef | None = None,
        backlog: bool = False,
        ended: frozenset[str] = frozenset(),
        unevaluated: Iterable[Identity] = (),
        newest: Collection[tuple[str, int]] = (),
        scanned: Iterable[tuple[Subject, str]] = (),
        ended_notice: Callable[[], Identity | None] = lambda: None,
        on_excess: Callable[[Counter[Excess]], None] | None = None,
    ) -> bool:
        """Apply the current content of one source object; returns whether anything relevant changed.

        `claims` are (violation, observed Unix ms or None). `passed` returns the object's pass and skip results; it is
        called only if something that the object reported is missing now. An incomplete object adds and changes claims.
        It ends only those that pass, those below `boundary` of a truncated constraint, and the ids of `ended`.
        `backlog`: it comes with the first listing of its source. `unevaluated` are findings that a report could not
        evaluate: it neither reports nor ends them. `newest` is the newest time (Unix s) of each source, `scanned` which
        source reports on which object. `ended_notice` returns which notice about the object's own list has ended; it is
        called only if that may matter. `on_excess` gets the number of findings left out, by limit: then the object
        counts as incomplete.
        """
        new = self._desired.claims_by_id(claims)
        old = self._desired.objects.get(key, ())
        excess = self._desired.admit(key, new, frozenset(old))
        if on_excess is not None and excess:
            on_excess(excess)
        complete = complete and not excess
        (self._sources.mark_complete if complete else self._sources.mark_incomplete)(key)
        changed = False
        for id_, claim in new.items():
            changed |= self._add(id_, key, claim, now=now, backlog=backlog)
        unknown = self._sources.set_unevaluated(key, self._desired.ids_of(unevaluated) if unevaluated else frozenset())
        lost = [id_ for id_ in old if id_ not in new]
        passed_ids = self._desired.passing_ids(key, passed()) if lost else set()
        ended_notices: frozenset[str] = frozenset()
        if (lost or self._sources.may_have_notice(key)) and (identity := ended_notice()) is not None:
            ended_notices = self._desired.ids_of((identity,))
            passed_ids |= ended_notices | self._notices(lost)
        elif lost and any(is_notice(violation) for violation, _ in new.values()):
            passed_ids |= self._notices(lost)  # an object has one list, whatever source it names
        ends = passed_ids | ended
        kept = tuple(
            i
            for i in lost
            if i in unknown
            or not (complete or i in ends or self._sources.constraints.would_list(self._entries[i], boundary))
        )
        times = dict(newest)
        for id_ in lost:
            if id_ not in kept:
                changed = True
                if not backlog:
                    self._on_event(id_)
                self._withdraw(id_, key, loss=Loss.PASSED if id_ in passed_ids else Loss.OMITTED, now=now, times=times)
        self._desired.set_claimed(key, (*new, *kept))
        if key.group == CONSTRAINTS:
            lists = [violation for violation, _ in new.values() if not is_notice(violation)]
            self._sources.constraints.audit(key, audited or 0, lists=lists, complete=complete, boundary=boundary)
        else:
            current = [(subject, source) for subject, source in scanned if self._desired.is_current(source, key)]
            reported_ids = self._sources.reported(key, newest=newest, scanned=current, changed=changed, now=now)
            if reported_ids:
                passes = passed_ids if lost else self._desired.passing_ids(key, passed())
                self._mark_passed((id_ for id_ in reported_ids if id_ in passes), key=key, times=times)
        self._mark_passed(ended_notices, key=key, times={})  # regardless of time: no other object reports on this list
        return changed

    def repeat(self, key: SourceKey, *, newest: Collection[tuple[str, int]], now: SteadyMs) -> None:
        """A report is unchanged, with new times. Call it only while `sources.needs_no_reread(key)`."""
        self._desired.repeat(key)
        self._sources.reported(key, newest=newest, scanned=(), changed=False, now=now)

    def _notices(self, ids: Iterable[str]) -> frozenset[str]:
        """Those that are truncation notices."""
        representatives = ((id_, self._entries[id_].representative) for id_ in ids)
        return frozenset(id_ for id_, violation in representatives if violation is not None and is_notice(violation))

    def _add(self, id_: str, key: SourceKey, claim: Claim, *, now: SteadyMs, backlog: bool) -> bool:
        """Returns whether the claim is new or changed."""
        changed = self._desired.add_claim(id_, key, claim, now=now, backlog=backlog)
        if changed and not backlog:
            self._on_event(id_)
        return changed

    def _withdraw(
        self, id_: str, key: SourceKey, *, loss: Loss, now: SteadyMs, times: Mapping[str, int] | None = None
    ) -> None:
        entry = self._entries[id_]
        self._desired.withdraw_claim(id_, key, loss=loss, now=now)
        subject, times = entry.subject, times or {}
        if (
            loss is Loss.OMITTED
            and entry.source in times
            and subject is not None
            and id_ in self._entries
            and not entry.desired
        ):
            self._sources.scans.expect(id_, entry.source, subject, omitted_at=times[entry.source])

    def mark_unread(self, key: SourceKey) -> None:
        """A source object was not read: its claims stay, and its silence is no evidence."""
        self._sources.mark_incomplete(key)

    def move_claims(
        self,
        key: SourceKey,
        claims: Iterable[Claim],
        lost: Iterable[Violation],
        *,
        now: SteadyMs,
        backlog: bool,
        found: Collection[Identity] = (),
    ) -> None:
        """The results of a source object now roll up to other objects: `claims` are all its claims, `lost` those that
        end. This is no statement of the source object: the loss is SILENT. `backlog`: as for `read`; `found`: the
        claims of a first listing whose rollup target has become known, so that they are backlog anyway.
        """
        new = self._desired.claims_by_id(claims)
        old = self._desired.objects.get(key, ())
        excess = self._desired.admit(key, new, frozenset(old))
        if excess:
            self._sources.mark_incomplete(key)
            refusals = tuple(Refusal(limit, len(new) + number, len(new)) for limit, number in excess.items())
            self._refusals.put(key.source_api, key.namespace, key.name, refusals)
        ended_ids = self._desired.ids_of(violation.identity for violation in lost)
        for id_, claim in new.items():
            self._add(id_, key, claim, now=now, backlog=backlog or claim[0].identity in found)
        for id_ in old:
            if id_ in ended_ids:
                if not backlog:
                    self._on_event(id_)
                self._withdraw(id_, key, loss=Loss.SILENT, now=now)
        self._desired.set_claimed(key, tuple(dict.fromkeys((*new, *(id_ for id_ in old if id_ not in ended_ids)))))

    def forget(self, key: SourceKey, *, now: SteadyMs) -> bool:
        """A source object was deleted; returns whether it claimed anything."""
        self._sources.mark_complete(key)
        self._sources.set_unevaluated(key, frozenset())
        self._sources.scans.drop(key)
        ids = self._desired.objects.get(key, ())
        self._desired.set_claimed(key, ())
        for id_ in ids:
            self._on_event(id_)
            omitted = key.group == CONSTRAINTS or self._entries[id_].is_notice
            self._withdraw(id_, key, loss=Loss.OMITTED if omitted else Loss.SILENT, now=now)
        if key.group == CONSTRAINTS:
            self._sources.constraints.drop(key)
        return bool(ids)

    def mark_passed(
        self, identities: Iterable[Identity], *, key: SourceKey, newest: Collection[tuple[str, int]] = ()
    ) -> None:
        """One source object shows findings as passing that nobody reports, including those that only the inventory
        knows and those that another API reported before.

        A pass from before the finding was last sent is no evidence: a superseded API would show it for ever (`newest`:
        the newest time, in Unix s, of each source in the object).

        Call it only once `sources.reports_listed`: before, an unread report may still report the findings.
        """
        self._mark_passed(self._desired.passing_ids(key, identities), key=key, times=dict(newest))

    def _mark_passed(self, ids: Iterable[str], *, key: SourceKey, times: Mapping[str, int]) -> None:
        for id_ in ids:
            entry = self._entries.get(id_)
            if entry is None or entry.desired or entry.passed:
                continue
            at = times.get(entry.source)
            if at is None or entry.observed is None or from_seconds(at) >= entry.observed.updated_at:
                entry.loss, entry.source_api = Loss.PASSED, key.source_api
                self._guard.forget(entry.id)
                self._enqueue(entry)
