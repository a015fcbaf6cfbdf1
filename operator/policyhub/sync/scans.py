"""Whether an engine has looked again at an object since a finding about it was lost.

Engines scan again and again, in any order, and a scan may take hours. That a report went says nothing of its object:
reports are wiped and written again. That the engine reported on the very object later, without the finding, says that
it is gone. *Later* is by the engine's own time: a report that was left behind when the engine switched to another API
may come back late, and names an old one.

An engine that writes failures only writes no report about an object without any. It is known to have looked when
its scan has gone round: every *witness* was written again three times without a change. The first of these may belong
to the scan in which the loss happened, between the second and the third lies a whole one. Witnesses are up to five
reports of the finding's own namespace, and two at least: one may be written more often than it is scanned, since its
object changes all the time. Reports of other namespaces tell nothing: who may write there would decide here.

Pure: no I/O, no clock; times of engines are Unix seconds.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable

import msgspec

from policyhub.clock import SteadyMs
from policyhub.sources.violation import SourceKey, Subject

SOURCES_EACH = 20
"""Sources of one namespace whose times are kept; a real one has one to three. Of others nothing is ever confirmed."""
ROUNDS = 3
WITNESSES = 5
ENOUGH = 2
NEVER = 2**62
"""Later than anything that an engine may say."""


class _Witness(msgspec.Struct):
    """One report: its newest time, and when it was last written again."""

    newest: int
    at: deque[SteadyMs]


class Scans:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._newest: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """Namespace of the report → source → the newest time that it named."""
        self._witnesses: dict[tuple[str, str], dict[SourceKey, _Witness]] = {}
        """Source and namespace of the reports → witnesses."""
        self._expected: dict[tuple[str, Subject], dict[str, int]] = {}
        """(source, object) → findings that wait for a report later than this."""
        self._of: dict[str, tuple[str, Subject]] = {}
        self._waiting: Counter[str] = Counter()
        """Of these, by the namespace of the object."""

    # -- what is waited for ---------------------------------------------------------------------------------------

    def expect(self, id_: str, source: str, of: Subject, *, omitted_at: int | None = None) -> None:
        """A finding about the object was lost: by a report that named this time, or by none (None)."""
        self.forget(id_)
        said = self._newest.get(of.namespace, {})
        after = omitted_at if omitted_at is not None else said.get(source, 0 if len(said) < SOURCES_EACH else NEVER)
        self._of[id_] = place = (source, of)
        self._expected.setdefault(place, {})[id_] = after
        self._waiting[of.namespace] += 1

    def forget(self, id_: str) -> None:
        place = self._of.pop(id_, None)
        if place is not None:
            ids = self._expected[place]
            del ids[id_]
            if not ids:
                del self._expected[place]
            namespace = place[1].namespace
            self._waiting[namespace] -= 1
            if not self._waiting[namespace]:
                del self._waiting[namespace]

    # -- what is reported -----------------------------------------------------------------------------------------

    def read(
        self, key: SourceKey, newest: Iterable[tuple[str, int]], *, changed: bool, now: SteadyMs
    ) -> frozenset[str]:
        """A report was read: the newest time of each source in it; `changed`: it says something else than before.
        Returns the sources whose scan may have gone round with it.
        """
        said = self._newest[key.namespace]
        round_ = set()
        for source, at in newest:
            if source in said or len(said) < SOURCES_EACH:
                said[source] = max(at, said.get(source, 0))
                if self._witness(source, key, at, changed=changed, now=now):
                    round_.add(source)
        return frozenset(round_)

    def _witness(self, source: str, key: SourceKey, newest: int, *, changed: bool, now: SteadyMs) -> bool:
        witnesses = self._witnesses.setdefault((source, key.namespace), {})
        witness = witnesses.get(key)
        if witness is None:
            if len(witnesses) < WITNESSES:
                witnesses[key] = _Witness(newest, deque(maxlen=ROUNDS))
        elif newest > witness.newest:
            witness.newest = newest
            if not changed:  # else it may be an event's doing, and no scan
                witness.at.append(now)
                return len(witness.at) == ROUNDS
        return False

    def drop(self, key: SourceKey) -> None:
        """A report is gone."""
        for source in self._newest.get(key.namespace, {}):
            witnesses = self._witnesses.get((source, key.namespace))
            if witnesses is not None and witnesses.pop(key, None) is not None and not witnesses:
                del self._witnesses[source, key.namespace]

    def reported(self, source: str, of: Subject, newest: int) -> list[str]:
        """Findings that were lost and that this report about the object is later than."""
        waiting = self._expected.get((source, of))
        return [] if waiting is None else [id_ for id_, after in waiting.items() if newest > after]

    @property
    def expects(self) -> bool:
        """Whether anything waits for a report."""
        return bool(self._expected)

    def expects_of(self, key: SourceKey) -> bool:
        """Whether anything waits for a report about an object that this report may speak of."""
        waiting = self._waiting
        return bool(waiting) and (not key.namespace or key.namespace in waiting or "" in waiting)

    def has_scanned(self, source: str, namespace: str, *, since: SteadyMs) -> bool:
        """Whether a whole scan of the engine lies after this moment."""
        witnesses = self._witnesses.get((source, namespace), {}).values()
        return len(witnesses) >= ENOUGH and all(
            len(witness.at) == ROUNDS and witness.at[0] > since for witness in witnesses
        )
