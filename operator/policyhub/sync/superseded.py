"""Superseded reports: those that an engine left in one report API when it switched to another. They are ignored.

The operator, render and the doctor share this rule, for all report APIs of the table (model/source_apis.py).

It applies to each engine and namespace separately (and to cluster-scoped reports), so that reports in one namespace
never supersede those in another:

| newest results of the engine in the APIs               | its reports                                                 |
|--------------------------------------------------------|-------------------------------------------------------------|
| far apart                                              | the older ones are *superseded*: ignored, can be deleted    |
| close to each other                                    | *dual*: it writes into several APIs, and each is read       |
| in one API only                                        | neither                                                     |

Recorded times never decrease, so deleted reports, a slow listing and a reconnect change nothing. Only new results do,
and only after every served report API was listed (`settle`). An engine that two rounds of listings do not name is
forgotten: its namespace or the engine is gone. Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.engines import ENGINES_EACH, KNOWN_ENGINES
from policyhub.model.source_apis import REPORT_GROUPS

SUPERSEDED_AFTER_SECONDS = 3 * 3600
"""If an engine's newest result in one API is this much older than in another, the older reports are superseded."""
KEPT = 2
"""For so many rounds of listings, an engine that no report names is remembered."""

Place = tuple[str, str]
"""An engine and a namespace."""
Reports = tuple[str, str, str]
"""Engine, API group and namespace (empty: cluster-scoped) of reports."""


class _Times(msgspec.Struct):
    newest: dict[str, int]
    """API group → Unix s."""
    round: int
    """The last round in which a report named the engine."""


class Superseded:
    """The superseded reports of one cluster, across reconnects."""

    def __init__(
        self,
        *,
        groups: Collection[str] = REPORT_GROUPS,
        known: Collection[str] = KNOWN_ENGINES,
        each: int = ENGINES_EACH,
    ) -> None:
        """`groups` are the APIs that can supersede each other. In one namespace at most `each` engines are considered,
        in addition to the `known` ones. The operator uses the defaults.
        """
        self.reports: frozenset[Reports] = frozenset()
        """The superseded reports."""
        self.dual: frozenset[Place] = frozenset()
        """The engines that write into several APIs, by namespace."""
        self._groups = groups
        self._known = known
        self._each = each
        self._times: dict[Place, _Times] = {}
        self._named: Counter[str] = Counter()
        """Namespace → engines that are not in `known`."""
        self._news: set[Place] = set()
        self._round = 0
        self._round_from = NEVER

    def note(self, group: str, engine: str, namespace: str, at: int) -> None:
        """Results of the engine in an object of this API: the newest is of `at` (Unix s). Constraints are ignored."""
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
        """If all report APIs have been listed, apply the rule to the noted times. Returns whether anything has changed.
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
        """(engine, API group of superseded reports, API group that it writes now), sorted."""
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
