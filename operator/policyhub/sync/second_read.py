"""Differences that the former process may have sent already: they wait for the second read of Security Hub.

GetFindings lags. If another process sent findings of the cluster shortly before this one took over (`predecessor`), the
inventory may show a finding as it was before that process changed, archived or reactivated it. The second read, a
minute after the inventory, reads again what was updated around the start.

| finding that the inventory shows, and that differs                  | sent                                       |
|---------------------------------------------------------------------|--------------------------------------------|
| a watch event has changed its claims since the start                | at once: that is newer than the handover   |
| this ledger's own import was acknowledged, or got no answer         | at once: its state is known                |
| its part of the inventory was read more than `LATE_MS` after the    | at once: that part shows what the former   |
| start                                                               | process sent                               |
| any other: a change, an archive, a reactivation, a refresh          | after the second read, if it still differs |

A finding that changes back and forth around the start may be sent once more: its events are newer than what is known.
New findings are the other half: `Observed.recheck_backlog`. Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Callable

from policyhub.clock import SteadyMs
from policyhub.sync.entry import Entry

LATE_MS = 90_000
"""GetFindings has been observed to lag by a minute; the rest is for calls that end during the handover."""


class SecondRead:
    """For one monitored cluster."""

    def __init__(self, *, started: SteadyMs, on_end: Callable[[], None]) -> None:
        """`started`: when the ledger was created; `on_end` is called when differences no longer wait."""
        self.due = False
        """Whether differences wait for it."""
        self._started = started
        self._on_end = on_end
        self._changed: set[str] = set()
        """Findings whose claims an event has changed since the start."""
        self._late_parts: set[str] = set()
        """Id prefixes (hex digits, up to four) that were read late enough."""

    def note_part(self, digits: str, *, began: SteadyMs) -> None:
        """The reading of a part of the inventory began at this time."""
        if self.due and began - self._started > LATE_MS:
            self._late_parts.add(digits)

    def note_event(self, id_: str) -> None:
        """An event has changed the claims of the finding."""
        if self.due:
            self._changed.add(id_)

    def concerns(self, entry: Entry) -> bool:
        """Whether the finding is not sent before it."""
        return (
            self.due
            and entry.observed is not None
            and entry.unanswered is None
            and entry.acknowledged_at <= self._started
            and entry.id not in self._changed
            and not self._is_late(entry.id)
        )

    def _is_late(self, id_: str) -> bool:
        digits = id_.rpartition("/")[2]
        return bool(self._late_parts) and any(digits[:n] in self._late_parts for n in range(5))

    def end(self) -> None:
        """It is complete, or is not waited for any longer."""
        if self.due:
            self.due = False
            self._changed, self._late_parts = set(), set()
            self._on_end()
