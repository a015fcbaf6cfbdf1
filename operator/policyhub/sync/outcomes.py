"""Outcomes of our own imports: findings that Security Hub failed within an accepted call, findings that were reported
again after archiving, and findings whose wording changes again and again.

**Rewording.** Some producers put times, counters or reordered lists into their messages at each scan.
`policyhub.sources` removes the known ones. For others, a finding whose wording alone has changed three times within a
day is sent for new wording only once a day, until the wording has not changed for two days. Changes of result and
severity are never delayed, and carry the latest wording. The state is lost at a restart.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import Violation
from policyhub.sync.entry import Entry, result_and_severity
from policyhub.sync.finding_counts import severity

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
REWORDINGS_SENT = 3
"""Changes of wording within a day that are sent at once."""

Flapping = tuple[str, str]
"""(source, member of its results) whose wording changes again and again."""


@dataclass(slots=True)
class _Rewordings:
    """Changes of the wording of one finding."""

    times: tuple[SteadyMs, ...]
    """When changes of its wording alone were sent, the last three."""
    representative: Violation | None
    """The claim that was sent last."""
    members: tuple[str, ...] = ()
    """The members that changed the last time."""
    held: bool = False


class Outcomes:
    """For one monitored cluster."""

    def __init__(self) -> None:
        self._relapses: dict[str, tuple[SteadyMs, ...]] = {}
        """When findings were reactivated."""
        self._failed: dict[str, tuple[int, SteadyMs]] = {}
        """Findings that Security Hub failed within an accepted call: consecutive failures, and until when (Unix ms)
        they are not sent again.
        """
        self._rewordings: dict[str, _Rewordings] = {}

    def note_relapse(self, id_: str, *, now: SteadyMs) -> None:
        """The finding was reactivated."""
        self._relapses[id_] = (*self._relapses.get(id_, ())[-7:], now)

    def forget(self, id_: str) -> None:
        """The finding was accepted or dropped: it is no longer postponed."""
        self._failed.pop(id_, None)

    def failures(self, id_: str) -> int:
        """Consecutive failures of the finding."""
        return self._failed.get(id_, (0, NEVER))[0]

    def postpone(self, id_: str, *, until: SteadyMs) -> None:
        """Security Hub failed the finding again: it is not sent before `until` (Unix ms)."""
        self._failed[id_] = (self.failures(id_) + 1, until)

    def postponed_until(self, id_: str) -> SteadyMs:
        """Until when (Unix ms) the finding is not sent; 0: it may be sent."""
        return self._failed[id_][1] if self._failed and id_ in self._failed else NEVER

    @property
    def failed(self) -> Iterable[str]:
        """Findings that Security Hub failed."""
        return self._failed

    def damping(self, id_: str, *, now: SteadyMs) -> int:
        """Extra archive delay (ms) of a finding that was reactivated twice or more within a day: an hour, doubling up
        to a day. A flapping result must not reset an analyst's NOTIFIED each time.
        """
        times = self._relapses.get(id_)
        if not times:
            return 0
        recent = sum(1 for at in times if now - at < DAY_MS)
        return 0 if recent < 2 else min(DAY_MS, HOUR_MS << min(recent - 2, 5))

    # -- wording --------------------------------------------------------------------------------------------------

    def note_rewording(self, entry: Entry, *, now: SteadyMs) -> None:
        """Security Hub accepted an import that changed only the wording."""
        rewordings = self._rewordings.get(entry.id)
        if rewordings is None or now - rewordings.times[-1] > 2 * DAY_MS:
            self._rewordings[entry.id] = _Rewordings((now,), entry.representative)
            return
        rewordings.times = (*rewordings.times, now)[-REWORDINGS_SENT:]
        rewordings.members = _changed_members(rewordings.representative, entry.representative) or rewordings.members
        rewordings.representative = entry.representative
        rewordings.held = rewordings.held or (
            len(rewordings.times) == REWORDINGS_SENT and now - rewordings.times[0] < DAY_MS
        )

    def rewording_waits_until(self, entry: Entry) -> SteadyMs:
        """Until when (Unix ms) a change of wording only is not sent; 0: it may be sent."""
        rewordings = self._rewordings.get(entry.id) if self._rewordings else None
        if rewordings is None or not rewordings.held or entry.representative is None or entry.observed is None:
            return NEVER
        same = entry.observed.result_and_severity == result_and_severity(entry.representative.result, severity(entry))
        return rewordings.times[-1] + DAY_MS if same else NEVER

    def flapping(self) -> Counter[Flapping]:
        """How many findings are held for rewording, by source and changing member."""
        return Counter(
            (rewordings.representative.source, member)
            for rewordings in self._rewordings.values()
            if rewordings.held and rewordings.representative is not None
            for member in rewordings.members
        )

    def forget_old(self, *, now: SteadyMs) -> None:
        """Drop outdated state."""
        self._relapses = {id_: times for id_, times in self._relapses.items() if now - times[-1] < DAY_MS}
        self._rewordings = {
            id_: rewordings for id_, rewordings in self._rewordings.items() if now - rewordings.times[-1] <= 2 * DAY_MS
        }


def _changed_members(before: Violation | None, after: Violation | None) -> tuple[str, ...]:
    return tuple(_members(before, after)) if before is not None and after is not None else ()


def _members(before: Violation, after: Violation) -> Iterator[str]:
    """The differing members of a result, by their names in the report."""
    for member in ("message", "category"):
        if getattr(before, member) != getattr(after, member):
            yield member
    was, now = dict(before.properties), dict(after.properties)
    yield from (f"properties.{key}" for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key))
