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
and only after every served report API was listed (`evaluate`). An engine that two rounds of listings do not name is
forgotten: its namespace or the engine is gone. Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.engines import KNOWN_ENGINES, MAX_ENGINES_PER_NAMESPACE
from policyhub.model.source_apis import REPORT_GROUPS

SUPERSEDED_AFTER_SECONDS = 3 * 3600
"""If an engine's newest result in one API is this much older than in another, the older reports are superseded."""
KEPT_ROUNDS = 2
"""For so many rounds of listings, an engine that no report names is remembered."""

Writer = tuple[str, str]
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
        each: int = MAX_ENGINES_PER_NAMESPACE,
    ) -> None:
        """`groups` are the APIs that can supersede each other. In one namespace at most `each` engines are considered,
        in addition to the `known` ones. The operator uses the defaults.
        """
        self.reports: frozenset[Reports] = frozenset()
        """The superseded reports."""
        self.dual: frozenset[Writer] = frozenset()
        """The engines that write into several APIs, by namespace."""
        self._groups = groups
        self._known = known
        self._each = each
        self._times: dict[Writer, _Times] = {}
        self._named: Counter[str] = Counter()
        """Namespace → engines that are not in `known`."""
        self._changed: set[Writer] = set()
        self._round = 0
        self._round_from = NEVER

    def note(self, group: str, engine: str, namespace: str, at: int) -> None:
        """Results of the engine in an object of this API: the newest is of `at` (Unix s). Constraints are ignored."""
        if group not in self._groups:
            return
        writer = engine, namespace
        times = self._times.get(writer)
        if times is None:
            if engine not in self._known:
                if self._named[namespace] >= self._each:
                    return
                self._named[namespace] += 1
            times = self._times[writer] = _Times({}, self._round)
        times.round = self._round
        if at > times.newest.get(group, 0):
            times.newest[group] = at
            if len(times.newest) > 1:
                self._changed.add(writer)

    def evaluate(self, *, all_listed: bool, listed_at: SteadyMs = NEVER) -> bool:
        """If all report APIs have been listed, apply the rule to the noted times. Returns whether anything has changed.
        `listed_at` is when the oldest of their last listings ended.
        """
        if not all_listed:
            return False
        if listed_at > self._round_from:
            self._forget()
            self._round, self._round_from = self._round + 1, listed_at
        if not self._changed:
            return False
        before = self.reports, self.dual
        changed, self._changed = self._changed, set()
        outdated = {reports for reports in self.reports if (reports[0], reports[2]) not in changed}
        for writer in changed:
            outdated.update(self._outdated(writer))
        self.reports = frozenset(outdated)
        self.dual = (self.dual - changed) | {writer for writer in changed if self._writes_several(writer)}
        return before != (self.reports, self.dual)

    def replaced(self) -> list[tuple[str, str, str]]:
        """(engine, API group of superseded reports, API group that it writes now), sorted."""
        found = set()
        for engine, group, namespace in self.reports:
            newest = self._times[engine, namespace].newest
            found.add((engine, group, max(newest, key=newest.__getitem__)))
        return sorted(found)

    def _outdated(self, writer: Writer) -> Iterator[Reports]:
        times = self._times.get(writer)
        newest = times.newest if times is not None else {}
        latest = max(newest.values(), default=0)
        for group, at in newest.items():
            if latest - at > SUPERSEDED_AFTER_SECONDS:
                yield writer[0], group, writer[1]

    def _writes_several(self, writer: Writer) -> bool:
        times = self._times.get(writer)
        return times is not None and len(times.newest) - len([*self._outdated(writer)]) > 1

    def _forget(self) -> None:
        for writer in [writer for writer, times in self._times.items() if times.round + KEPT_ROUNDS < self._round]:
            times = self._times.pop(writer)
            if len(times.newest) > 1:
                self._changed.add(writer)
            if writer[0] not in self._known:
                self._named[writer[1]] -= 1
                if not self._named[writer[1]]:
                    del self._named[writer[1]]
