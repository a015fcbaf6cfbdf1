"""What became of our own imports: which findings Security Hub failed within a call that it took, and which came back.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections.abc import Iterable

from policyhub.clocks import NEVER, SteadyMs

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Outcomes:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._relapses: dict[str, tuple[SteadyMs, ...]] = {}
        """When findings were activated again."""
        self._failed: dict[str, tuple[int, SteadyMs]] = {}
        """Findings that Security Hub failed within a call that it took: how often in a row, and until when (Unix ms)
        they are not sent again."""

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

    def forget_relapses(self, *, now: SteadyMs) -> None:
        self._relapses = {id_: times for id_, times in self._relapses.items() if now - times[-1] < DAY_MS}
