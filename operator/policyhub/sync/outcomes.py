"""What became of our own imports: which findings Security Hub failed within a call that it took, which came back, and
which are worded otherwise again and again.

**Wording.** Some producers write times, counters, or lists in another order into their messages at each scan. What is
known of them is left out where they are read (`policyhub.sources`); for those that nobody knows yet, a finding whose
words alone have changed three times within a day has them sent once a day from then on, until they have stood still for
two. Result and severity are never held back, and take the latest words with them. It is forgotten at a restart.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.violation import Violation
from policyhub.sync.entry import Entry, gist
from policyhub.sync.standings import severity

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
REWORDED = 3
"""Changes of words within a day that are sent at once."""

Flapping = tuple[str, str]
"""(source, member of its results) whose words change again and again."""


@dataclass(slots=True)
class _Words:
    """Of one finding."""

    times: tuple[SteadyMs, ...]
    """When its words alone were sent, the last three."""
    voice: Violation | None
    """What they were."""
    members: tuple[str, ...] = ()
    """What of them changed the last time."""
    held: bool = False


class Outcomes:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._relapses: dict[str, tuple[SteadyMs, ...]] = {}
        """When findings were activated again."""
        self._failed: dict[str, tuple[int, SteadyMs]] = {}
        """Findings that Security Hub failed within a call that it took: how often in a row, and until when (Unix ms)
        they are not sent again."""
        self._words: dict[str, _Words] = {}

    def relapse(self, id_: str, *, now: SteadyMs) -> None:
        """It was activated again."""
        self._relapses[id_] = (*self._relapses.get(id_, ())[-7:], now)

    def forget(self, id_: str) -> None:
        """It was taken, or is gone: it is no longer postponed."""
        self._failed.pop(id_, None)

    def failures(self, id_: str) -> int:
        """How often in a row Security Hub failed the finding."""
        return self._failed.get(id_, (0, NEVER))[0]

    def postpone(self, id_: str, *, until: SteadyMs) -> None:
        """Security Hub failed the finding once more: it is not sent again before `until` (Unix ms)."""
        self._failed[id_] = (self.failures(id_) + 1, until)

    def postponed(self, id_: str) -> SteadyMs:
        """Until when (Unix ms) the finding is not sent; 0: it may be."""
        return self._failed[id_][1] if self._failed and id_ in self._failed else NEVER

    @property
    def failed(self) -> Iterable[str]:
        """Findings that Security Hub failed."""
        return self._failed

    def damping(self, id_: str, *, now: SteadyMs) -> int:
        """How much later (ms) than otherwise a finding is archived that came back twice or more within a day: an hour,
        doubling up to a day. A result that comes and goes must not reset an analyst's NOTIFIED each time.
        """
        times = self._relapses.get(id_)
        if not times:
            return 0
        recent = sum(1 for at in times if now - at < DAY_MS)
        return 0 if recent < 2 else min(DAY_MS, HOUR_MS << min(recent - 2, 5))

    # -- wording --------------------------------------------------------------------------------------------------

    def reword(self, entry: Entry, *, now: SteadyMs) -> None:
        """Security Hub took an import that changed nothing but the words."""
        words = self._words.get(entry.id)
        if words is None or now - words.times[-1] > 2 * DAY_MS:
            self._words[entry.id] = _Words((now,), entry.representative)
            return
        words.times = (*words.times, now)[-REWORDED:]
        words.members = _differing(words.voice, entry.representative) or words.members
        words.voice = entry.representative
        words.held = words.held or (len(words.times) == REWORDED and now - words.times[0] < DAY_MS)

    def wording(self, entry: Entry) -> SteadyMs:
        """Until when what differs is not sent (Unix ms), since it is words alone; 0: it may be."""
        words = self._words.get(entry.id) if self._words else None
        if words is None or not words.held or entry.representative is None or entry.observed is None:
            return NEVER
        same = entry.observed.gist == gist(entry.representative.result, severity(entry))
        return words.times[-1] + DAY_MS if same else NEVER

    def flapping(self) -> Counter[Flapping]:
        """How many findings each source words otherwise again and again, by the member that changes."""
        return Counter(
            (words.voice.source, member)
            for words in self._words.values()
            if words.held and words.voice is not None
            for member in words.members
        )

    def forget_old(self, *, now: SteadyMs) -> None:
        """What was long ago counts no more."""
        self._relapses = {id_: times for id_, times in self._relapses.items() if now - times[-1] < DAY_MS}
        self._words = {id_: words for id_, words in self._words.items() if now - words.times[-1] <= 2 * DAY_MS}


def _differing(before: Violation | None, after: Violation | None) -> tuple[str, ...]:
    return tuple(_members(before, after)) if before is not None and after is not None else ()


def _members(before: Violation, after: Violation) -> Iterator[str]:
    """Of a result, as its report names them."""
    for member in ("message", "category"):
        if getattr(before, member) != getattr(after, member):
            yield member
    was, now = dict(before.properties), dict(after.properties)
    yield from (f"properties.{key}" for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key))
