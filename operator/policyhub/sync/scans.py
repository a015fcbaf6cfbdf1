"""Whether an engine has scanned an object again since a finding about it was lost.

Engines scan all the time, in any order, and a scan may take hours. A deleted report proves nothing about its object:
reports are wiped and written again. A later report of the engine about that object, without the finding, proves that
the finding is resolved. *Later* is by the engine's own time: a report of an API that the engine no longer writes may
show up late, with an old time.

An engine that writes failures only writes no report about an object without any. It has scanned the object when a
whole scan has passed: every *witness* was written three times without a change. The first write may belong to the scan
in which the finding was lost; a whole scan lies between the second and the third. Witnesses are at most five reports of
the finding's own namespace, and at least two: one report may be written more often than it is scanned, since its object
changes all the time. Reports of other namespaces prove nothing, since whoever may write there would decide here.

Pure: no I/O, no clock; times of engines are Unix seconds.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator

import msgspec

from policyhub.clock import SteadyMs
from policyhub.model.violation import SourceKey, Subject

MAX_SOURCES = 20
"""Sources of one namespace whose times are kept; a real namespace has one to three. For further sources nothing is ever
confirmed.
"""
ROUNDS = 3
MAX_WITNESSES = 5
MIN_WITNESSES = 2
FAR_FUTURE = 2**62
"""Later than any time that an engine may write."""


class _Witness(msgspec.Struct):
    """One report: its newest time, and when it was last written again without a change."""

    newest: int
    rewritten_at: deque[SteadyMs]


class Scans:
    """The scans of one cluster."""

    def __init__(self) -> None:
        self._newest: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """Namespace of the reports → source → the newest time in them."""
        self._witnesses: dict[tuple[str, str], dict[SourceKey, _Witness]] = {}
        """(source, namespace of the reports) → witnesses."""
        self._expected: dict[tuple[str, Subject], dict[str, int]] = {}
        """(source, object) → findings that wait for a report, each with the time after which it counts."""
        self._awaited: dict[str, tuple[str, Subject]] = {}
        self._waiting: Counter[str] = Counter()
        """The number of these by namespace."""

    # -- lost findings ----------------------------------------------------------------------------------------------

    def expect(self, id_: str, source: str, subject: Subject, *, omitted_at: int | None = None) -> None:
        """A finding about the object was lost: a report with the time `omitted_at` omits it, or the report is gone
        (None).
        """
        self.forget(id_)
        newest_times = self._newest.get(subject.namespace, {})
        after = omitted_at
        if after is None:
            after = newest_times.get(source, 0 if len(newest_times) < MAX_SOURCES else FAR_FUTURE)
        self._awaited[id_] = key = (source, subject)
        self._expected.setdefault(key, {})[id_] = after
        self._waiting[_namespace(subject)] += 1

    def forget(self, id_: str) -> None:
        key = self._awaited.pop(id_, None)
        if key is not None:
            ids = self._expected[key]
            del ids[id_]
            if not ids:
                del self._expected[key]
            namespace = _namespace(key[1])
            self._waiting[namespace] -= 1
            if not self._waiting[namespace]:
                del self._waiting[namespace]

    # -- reports ----------------------------------------------------------------------------------------------------

    def read(
        self, key: SourceKey, newest: Iterable[tuple[str, int]], *, changed: bool, now: SteadyMs
    ) -> frozenset[str]:
        """A report was read. `newest` is the newest time of each source in it, `changed` whether its content differs.

        Returns the sources that may have completed a scan with it.
        """
        newest_times = self._newest[key.namespace]
        completed = set()
        for source, at in newest:
            if source in newest_times or len(newest_times) < MAX_SOURCES:
                newest_times[source] = max(at, newest_times.get(source, 0))
                if self._witness(source, key, at, changed=changed, now=now):
                    completed.add(source)
        return frozenset(completed)

    def _witness(self, source: str, key: SourceKey, newest: int, *, changed: bool, now: SteadyMs) -> bool:
        witnesses = self._witnesses.setdefault((source, key.namespace), {})
        witness = witnesses.get(key)
        if witness is None:
            if len(witnesses) < MAX_WITNESSES:
                witnesses[key] = _Witness(newest, deque(maxlen=ROUNDS))
        elif newest > witness.newest:
            witness.newest = newest
            if not changed:  # otherwise an event may have caused the write, not a scan
                witness.rewritten_at.append(now)
                return len(witness.rewritten_at) == ROUNDS
        return False

    def drop(self, key: SourceKey) -> None:
        """A report was deleted."""
        for source in self._newest.get(key.namespace, {}):
            witnesses = self._witnesses.get((source, key.namespace))
            if witnesses is not None and witnesses.pop(key, None) is not None and not witnesses:
                del self._witnesses[source, key.namespace]

    def reported(self, source: str, subject: Subject, newest: int) -> list[str]:
        """Lost findings about the object that this report, with its newest time, is later than."""
        waiting = self._expected.get((source, subject))
        return [] if waiting is None else [id_ for id_, after in waiting.items() if newest > after]

    @property
    def expects(self) -> bool:
        """Whether any lost finding waits for a report."""
        return bool(self._expected)

    def expects_of(self, key: SourceKey) -> bool:
        """Whether any lost finding waits for a report about an object that this report may name. In a namespace these
        are its objects, and the namespace itself.
        """
        return key.namespace in self._waiting if key.namespace else bool(self._waiting)

    def witnesses(self) -> Iterator[SourceKey]:
        """The reports whose rewrites are counted."""
        for witnesses in self._witnesses.values():
            yield from witnesses

    def has_scanned(self, source: str, namespace: str, *, since: SteadyMs) -> bool:
        """Whether the engine has completed a whole scan of the namespace since then."""
        witnesses = self._witnesses.get((source, namespace), {}).values()
        return len(witnesses) >= MIN_WITNESSES and all(
            len(witness.rewritten_at) == ROUNDS and witness.rewritten_at[0] > since for witness in witnesses
        )


def _namespace(subject: Subject) -> str:
    """The namespace whose reports may name the object."""
    return subject.name if subject.kind == "Namespace" and not subject.group else subject.namespace
