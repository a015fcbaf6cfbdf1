"""What counts for what, counted: so that a decision about an object with thousands of Pods looks at none of them.

For each object the Pods, ReplicaSets and Jobs that count for it, itself left out: their names in order, when they were
made, and how many of them each engine has reported on. Every change of one member is a change of a sorted list; every
answer is the length or the end of one.

Pure: no I/O, no clock.
"""

from bisect import bisect_left, insort
from collections.abc import Container, Iterator

import msgspec

from policyhub.sources.violation import Subject


class _Members(msgspec.Struct):
    """Of one kind."""

    group: str
    names: list[str]
    """Sorted."""
    created: list[int]
    """Sorted, Unix seconds."""
    heard: dict[str, int]
    """How many of them each source has reported on."""


class Families:
    """Of one cluster."""

    def __init__(self) -> None:
        self._families: dict[Subject, dict[str, _Members]] = {}
        """Head → kind → members."""
        self._heard: dict[Subject, tuple[str, ...]] = {}
        """Which sources have reported on a Pod, ReplicaSet or Job, whether it is there or not."""
        self._again: dict[tuple[Subject, str], int] = {}
        """By how many source objects more than one."""

    def __contains__(self, head: Subject) -> bool:
        return head in self._families

    def join(self, of: Subject, head: Subject, created: int) -> None:
        kinds = self._families.setdefault(head, {})
        members = kinds.get(of.kind)
        if members is None:
            members = kinds[of.kind] = _Members(of.group, [], [], {})
        insort(members.names, of.name)
        insort(members.created, created)
        for source in self._heard.get(of, ()):
            members.heard[source] = members.heard.get(source, 0) + 1

    def leave(self, of: Subject, head: Subject, created: int) -> None:
        kinds = self._families[head]
        members = kinds[of.kind]
        del members.names[bisect_left(members.names, of.name)]
        del members.created[bisect_left(members.created, created)]
        for source in self._heard.get(of, ()):
            _less(members.heard, source)
        if not members.names:
            del kinds[of.kind]
            if not kinds:
                del self._families[head]

    def hear(self, of: Subject, source: str, head: Subject | None) -> None:
        """One more source object in which the source reports on it; `head` is what it counts for."""
        sources = self._heard.get(of, ())
        if source in sources:
            self._again[of, source] = self._again.get((of, source), 0) + 1
            return
        self._heard[of] = (*sources, source)
        members = self._of(of, head)
        if members is not None:
            members.heard[source] = members.heard.get(source, 0) + 1

    def unhear(self, of: Subject, source: str, head: Subject | None) -> None:
        """One source object less."""
        more = self._again.get((of, source), 0)
        if more > 1:
            self._again[of, source] = more - 1
            return
        if more:
            del self._again[of, source]
            return
        left = tuple(one for one in self._heard[of] if one != source)
        if left:
            self._heard[of] = left
        else:
            del self._heard[of]
        members = self._of(of, head)
        if members is not None:
            _less(members.heard, source)

    def _of(self, of: Subject, head: Subject | None) -> _Members | None:
        return None if head is None or head == of else self._families[head][of.kind]

    # -- what it answers ------------------------------------------------------------------------------------------

    def heard(self, of: Subject, source: str) -> bool:
        """Whether the source has reported on a Pod, ReplicaSet or Job."""
        return source in self._heard.get(of, ())

    def unheard(self, head: Subject, source: str, kinds: Container[tuple[str, str]]) -> bool:
        """Whether the source has not reported on all members of those of its (source, kind)."""
        return any(
            members.heard.get(source, 0) < len(members.names)
            for kind, members in self._families.get(head, {}).items()
            if (source, kind) in kinds
        )

    def newest(self, head: Subject, kinds: Container[str] | None) -> int | None:
        """When (Unix seconds) the youngest member of these kinds (None: any) was made; None: there is none."""
        found = [m.created[-1] for kind, m in self._families.get(head, {}).items() if not kinds or kind in kinds]
        return max(found, default=None)

    def first(self, head: Subject, kinds: Container[str] | None) -> list[Subject]:
        """Of each of these kinds (None: any) the member that is first by name."""
        return [
            Subject(m.group, kind, head.namespace, m.names[0])
            for kind, m in self._families.get(head, {}).items()
            if not kinds or kind in kinds
        ]

    def members(self, head: Subject) -> Iterator[Subject]:
        """All of them: for tests and for a person, not for a decision."""
        for kind, m in self._families.get(head, {}).items():
            yield from (Subject(m.group, kind, head.namespace, name) for name in m.names)


def _less(counts: dict[str, int], source: str) -> None:
    counts[source] -= 1
    if not counts[source]:
        del counts[source]
