"""Which reports an engine left behind in one API when it switched to another: superseded ones say nothing any more.

The one rule of the operator, render and the doctor, for all report APIs of the table (sources/source_apis.py).

Judged for each engine and namespace (cluster-scoped reports apart), since whoever may write reports in one namespace
must not speak for an engine in another:

| its newest results in the APIs, in one namespace       | then                                                        |
|--------------------------------------------------------|-------------------------------------------------------------|
| far apart                                              | the older ones are *superseded*: ignored, can be deleted    |
| close to one another                                   | *dual*: it writes into each, and must be heard in each      |
| in one API only                                        | neither                                                     |

Times only count up, so deleted reports, a slow listing and a reconnect change nothing: only results do, and only once
every report API that is served has been listed (`settle`). What two rounds of listings have not brought is forgotten:
its namespace or its engine is gone. Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.engines import ENGINES_EACH, KNOWN_ENGINES
from policyhub.sources.source_apis import REPORT_GROUPS

SUPERSEDED_AFTER_SECONDS = 3 * 3600
"""An engine's newest result of one API that is this much older than its newest of another is updated no more."""
KEPT = 2
"""Rounds of listings for which an engine that no report names is remembered."""

Place = tuple[str, str]
"""An engine and a namespace."""
Reports = tuple[str, str, str]
"""Engine, API group and namespace (empty: cluster-scoped) of reports."""


class _Times(msgspec.Struct):
    newest: dict[str, int]
    """API group → Unix s."""
    round: int
    """In which it was named last."""


class Superseded:
    """Of one cluster, over connection after connection."""

    def __init__(
        self,
        *,
        groups: Collection[str] = REPORT_GROUPS,
        known: Collection[str] = KNOWN_ENGINES,
        each: int = ENGINES_EACH,
    ) -> None:
        """`groups` are the APIs that can supersede each other. In one namespace at most `each` engines are told apart,
        beside the `known` ones. Whoever judges for the operator takes the defaults.
        """
        self.reports: frozenset[Reports] = frozenset()
        """Those that are superseded."""
        self.dual: frozenset[Place] = frozenset()
        """Who writes into several APIs, and where."""
        self._groups = groups
        self._known = known
        self._each = each
        self._times: dict[Place, _Times] = {}
        self._named: Counter[str] = Counter()
        """Engines of each namespace that are not known."""
        self._news: set[Place] = set()
        self._round = 0
        self._round_from = NEVER

    def note(self, group: str, engine: str, namespace: str, at: int) -> None:
        """An object of this API names this as the engine's newest time in it (Unix s). Constraints replace nothing."""
        if group not in self._groups:
            return
        place = engine, namespace
        times = self._times.get(place)
        if times is None:
            if engine not in self._known:
                if self._named[namespace] >= self._each:
                    return
                self._named[namespace] += 1
            times = self._times[place] = _Times({}, self._round)
        times.round = self._round
        if at > times.newest.get(group, 0):
            times.newest[group] = at
            if len(times.newest) > 1:
                self._news.add(place)

    def settle(self, *, all_listed: bool, listed_at: SteadyMs = NEVER) -> bool:
        """Judge what has been noted, as far as every report API has been listed; whether anything has changed.
        `listed_at` is when the oldest of their last listings ended.
        """
        if not all_listed:
            return False
        if listed_at > self._round_from:
            self._forget()
            self._round, self._round_from = self._round + 1, listed_at
        if not self._news:
            return False
        before = self.reports, self.dual
        news, self._news = self._news, set()
        left = {reports for reports in self.reports if (reports[0], reports[2]) not in news}
        for place in news:
            left.update(self._left(place))
        self.reports = frozenset(left)
        self.dual = (self.dual - news) | {place for place in news if self._several(place)}
        return before != (self.reports, self.dual)

    def replaced(self) -> list[tuple[str, str, str]]:
        """Each engine with an API group in which it left reports and the one that it writes now, sorted."""
        found = set()
        for engine, group, namespace in self.reports:
            newest = self._times[engine, namespace].newest
            found.add((engine, group, max(newest, key=newest.__getitem__)))
        return sorted(found)

    def _left(self, place: Place) -> Iterator[Reports]:
        times = self._times.get(place)
        newest = times.newest if times is not None else {}
        latest = max(newest.values(), default=0)
        for group, at in newest.items():
            if latest - at > SUPERSEDED_AFTER_SECONDS:
                yield place[0], group, place[1]

    def _several(self, place: Place) -> bool:
        times = self._times.get(place)
        return times is not None and len(times.newest) - len([*self._left(place)]) > 1

    def _forget(self) -> None:
        for place in [place for place, times in self._times.items() if times.round + KEPT < self._round]:
            times = self._times.pop(place)
            if len(times.newest) > 1:
                self._news.add(place)
            if place[0] not in self._known:
                self._named[place[1]] -= 1
                if not self._named[place[1]]:
                    del self._named[place[1]]
