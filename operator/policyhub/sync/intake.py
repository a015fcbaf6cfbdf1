"""Takes what source objects say into what is desired, and into what their silence is worth.

| a source object …                          | then                                                                  |
|--------------------------------------------|-----------------------------------------------------------------------|
| reports a finding                          | it is claimed                                                         |
| was read whole, and lacks what it reported | the claim ends: passed, if it says so, else omitted                   |
| was not read whole, and lacks it           | the claim stands, unless it passes, or a truncated list would have it |
| could not evaluate it                      | the claim stands, and it is no word about the finding                 |
| passes a finding that was lost otherwise   | it is passed                                                          |
| is a report that lists all that it counts  | the notice that it did not is passed                                  |
| is gone                                    | its claims end silently; of a constraint, and what is told of its own |
|                                            | list, they are omitted                                                |
| says what it said before                   | its times are learned (`repeat`)                                      |
| is rolled up otherwise                     | its claims move: that is no word about anything                       |

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from policyhub.clock import SteadyMs, from_seconds
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.truncation import is_notice
from policyhub.sources.violation import Identity, ObjectRef, SourceKey, Subject, Violation
from policyhub.sync.desired import Claim, Desired
from policyhub.sync.entry import Entry, Loss
from policyhub.sync.evidence import Sources
from policyhub.sync.guard import Guard
from policyhub.sync.refusals import Refusal, Refusals
from policyhub.sync.shares import Excess


class Intake:
    """Of one monitored cluster."""

    def __init__(
        self,
        *,
        entries: dict[str, Entry],
        desired: Desired,
        sources: Sources,
        guard: Guard,
        refusals: Refusals,
        enqueue: Callable[[Entry], None],
    ) -> None:
        self._entries = entries
        self._desired = desired
        self._sources = sources
        self._guard = guard
        self._refusals = refusals
        self._enqueue = enqueue

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
        about: Iterable[tuple[Subject, str]] = (),
        over: Callable[[], Identity | None] = lambda: None,
        on_excess: Callable[[Counter[Excess]], None] | None = None,
    ) -> bool:
        """Take what one source object now reports; says whether anything of meaning changed.

        `claims` are (violation, observed Unix ms or None). `passed` returns the object's pass and skip results, only
        if something that it reported is missing now. An incomplete object adds and changes, and ends nothing but what
        it passes, a truncated constraint's objects below `boundary` and the ids of `ended`. `backlog`: it comes by the
        source's first listing. `unevaluated` are findings that a report could not evaluate: it neither reports nor
        ends them. `newest` and `about`: the newest time (Unix s) of each source, and which source speaks of which
        object. `over` is asked, where that may matter, which notice of its own list has ended. `on_excess` is told how
        many were left out, by the limit that leaves no room: then the object counts as incomplete.
        """
        new = self._desired.ids(claims)
        old = self._desired.objects.get(key, ())
        excess = self._desired.admit(key, new, frozenset(old))
        if on_excess is not None and excess:
            on_excess(excess)
        complete = complete and not excess
        (self._sources.mark_complete if complete else self._sources.mark_incomplete)(key)
        changed = False
        for id_, claim in new.items():
            changed |= self._desired.add_claim(id_, key, claim, now=now, backlog=backlog)
        unknown = self._sources.set_unevaluated(key, self._desired.named(unevaluated) if unevaluated else frozenset())
        lost = [id_ for id_ in old if id_ not in new]
        positive = self._desired.passing(key, passed()) if lost else set()
        closed: frozenset[str] = frozenset()
        if (lost or self._sources.may_close(key)) and (identity := over()) is not None:
            closed = self._desired.named((identity,))
            positive |= closed | self._notices(lost)
        elif lost and any(is_notice(violation) for violation, _ in new.values()):
            positive |= self._notices(lost)  # an object has one list, whoever it names as its source
        ends = positive | ended
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
                self._withdraw(id_, key, loss=Loss.PASSED if id_ in positive else Loss.OMITTED, now=now, times=times)
        self._desired.keep(key, (*new, *kept))
        if key.group == CONSTRAINTS:
            lists = [violation for violation, _ in new.values() if not is_notice(violation)]
            self._sources.constraints.audit(key, audited or 0, lists=lists, complete=complete, boundary=boundary)
        else:
            counts = [(of, source) for of, source in about if self._desired.counts(source, key)]
            heard = self._sources.reported(key, newest=newest, about=counts, changed=changed, now=now)
            if heard:
                passes = positive if lost else self._desired.passing(key, passed())
                self._clear((id_ for id_ in heard if id_ in passes), key=key, times=times)
        self._clear(closed, key=key, times={})  # whatever its time: nobody else speaks of the list
        return changed

    def repeat(self, key: SourceKey, *, newest: Collection[tuple[str, int]], now: SteadyMs) -> None:
        """Take that a report says what it said when it was read, with other times. Only right while it `stands`."""
        self._desired.repeat(key)
        self._sources.reported(key, newest=newest, about=(), changed=False, now=now)

    def _notices(self, ids: Iterable[str]) -> frozenset[str]:
        """Those of them that tell of a list."""
        voices = ((id_, self._entries[id_].representative) for id_ in ids)
        return frozenset(id_ for id_, voice in voices if voice is not None and is_notice(voice))

    def _withdraw(
        self, id_: str, key: SourceKey, *, loss: Loss, now: SteadyMs, times: Mapping[str, int] | None = None
    ) -> None:
        entry = self._entries[id_]
        self._desired.withdraw_claim(id_, key, loss=loss, now=now)
        of, said = entry.subject, times or {}
        if (
            loss is Loss.OMITTED
            and entry.source in said
            and of is not None
            and id_ in self._entries
            and not entry.desired
        ):
            self._sources.scans.expect(id_, entry.source, of, omitted_at=said[entry.source])

    def mark_unread(self, key: SourceKey) -> None:
        """Take that a source object was not read: what it reported stands, and its silence is no evidence."""
        self._sources.mark_incomplete(key)

    def move_claims(
        self, key: SourceKey, claims: Iterable[Claim], lost: Iterable[Violation], *, now: SteadyMs, backlog: bool
    ) -> None:
        """Take that what a source object said rolls up to others now: all its calls, and those that it no longer makes.
        That is no word of its own: the loss is silent. `backlog`: as of `read`.
        """
        new = self._desired.ids(claims)
        old = self._desired.objects.get(key, ())
        excess = self._desired.admit(key, new, frozenset(old))
        if excess:
            self._sources.mark_incomplete(key)
            refusals = tuple(Refusal(limit, len(new) + number, len(new)) for limit, number in excess.items())
            self._refusals.put(key.source_api, key.namespace, key.name, refusals)
        gone = self._desired.named(violation.identity for violation in lost)
        for id_, claim in new.items():
            self._desired.add_claim(id_, key, claim, now=now, backlog=backlog)
        for id_ in old:
            if id_ in gone:
                self._withdraw(id_, key, loss=Loss.SILENT, now=now)
        self._desired.keep(key, tuple(dict.fromkeys((*new, *(id_ for id_ in old if id_ not in gone)))))

    def forget(self, key: SourceKey, *, now: SteadyMs) -> bool:
        """Take that a source object no longer exists; says whether it reported anything."""
        self._sources.mark_complete(key)
        self._sources.set_unevaluated(key, frozenset())
        self._sources.scans.drop(key)
        ids = self._desired.objects.get(key, ())
        self._desired.keep(key, ())
        for id_ in ids:
            told = key.group == CONSTRAINTS or self._entries[id_].is_notice
            self._withdraw(id_, key, loss=Loss.OMITTED if told else Loss.SILENT, now=now)
        if key.group == CONSTRAINTS:
            self._sources.constraints.drop(key)
        return bool(ids)

    def clear(
        self, identities: Iterable[Identity], *, key: SourceKey, newest: Collection[tuple[str, int]] = ()
    ) -> None:
        """Take positive evidence of one source object for findings that nobody reports, the inventory's among them,
        whichever API reported them before: the one that speaks of them now counts.

        What a report said before the finding was last sent is no evidence: an API that was left behind says so for ever
        (`newest`: the newest time, in Unix s, of each source in it).

        Only right once `reports_listed`: before, somebody may report them who was not heard yet.
        """
        self._clear(self._desired.passing(key, identities), key=key, times=dict(newest))

    def _clear(self, ids: Iterable[str], *, key: SourceKey, times: Mapping[str, int]) -> None:
        for id_ in ids:
            entry = self._entries.get(id_)
            if entry is None or entry.desired or entry.cleared:
                continue
            said = times.get(entry.source)
            if said is None or entry.observed is None or from_seconds(said) >= entry.observed.updated_at:
                entry.loss, entry.source_api = Loss.PASSED, key.source_api
                self._guard.forget(entry.id)
                self._enqueue(entry)
