"""What counts for what, counted: so that a decision about an object with thousands of Pods looks at none of them.

For each object the Pods, ReplicaSets and Jobs that count for it, itself left out: their names in order, when they were
made, and how many of them each policy has reported on. Every change of one member is a change of a sorted list; every
answer is the length or the end of one.

Who has reported on an object are sets that most objects share (`reported.Coverage`), so objects are counted by set:

| what                                                        | then                                                 |
|-------------------------------------------------------------|------------------------------------------------------|
| up to `_FEW` source objects report on an object, with few   | it has the union of their sets                       |
| policies together (`_WHOLE`)                                |                                                      |
| more do                                                     | each of its policies is counted                      |
| the members of one kind have up to `_SETS` different sets   | members are counted by set                           |
| they have more, or one that has no set                      | that one, or each of them, by each of its policies   |

So one report more or less costs what it says itself, whatever else is said of its objects; a member that comes or goes
costs what is said of it. Pure: no I/O, no clock.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from typing import TypeVar

import msgspec

from policyhub.sources.violation import PolicyRef, Subject
from policyhub.sync.reported import NOBODY, Coverage, Reported

K = TypeVar("K")

_FEW = 8
_WHOLE = 400
_SETS = 16

Heard = Coverage | tuple[Coverage, ...] | dict[PolicyRef, int]
"""By one source object, by a few, or by how many each policy."""


class _Members(msgspec.Struct):
    """Of one kind."""

    group: str
    names: list[str]
    """Sorted."""
    created: list[int]
    """Sorted, Unix seconds."""
    sets: dict[Coverage, int] | None
    """How many of them have each set; None: they are counted by policy."""
    each: dict[PolicyRef, int]
    """How many of those that are counted by policy each has reported on."""

    def add(self, heard: Coverage | Collection[PolicyRef], number: int) -> None:
        """So many members more (less) on which these have reported."""
        if isinstance(heard, Coverage):
            if self.sets is not None and (heard in self.sets or len(self.sets) < _SETS):
                _add(self.sets, heard, number)
                return
            for spoken, members in (self.sets or {}).items():
                for by in spoken.by:
                    _add(self.each, by, members)
            self.sets = None
        for by in heard.by if isinstance(heard, Coverage) else heard:
            _add(self.each, by, number)

    def heard(self, by: PolicyRef) -> int:
        of_sets = sum(members for spoken, members in (self.sets or {}).items() if by in spoken.by)
        return of_sets + self.each.get(by, 0)


class Families:
    """Of one cluster."""

    def __init__(self) -> None:
        self.reported = Reported()
        self._families: dict[Subject, dict[str, _Members]] = {}
        """Head → kind → members."""
        self._heard: dict[Subject, Heard] = {}
        """Who has reported on a Pod, ReplicaSet or Job, whether it is there or not."""

    def __contains__(self, head: Subject) -> bool:
        return head in self._families

    def join(self, of: Subject, head: Subject, created: int) -> None:
        kinds = self._families.setdefault(head, {})
        members = kinds.get(of.kind)
        if members is None:
            members = kinds[of.kind] = _Members(of.group, [], [], {}, {})
        insort(members.names, of.name)
        insort(members.created, created)
        heard = self._heard.get(of)
        if heard is not None:
            members.add(self._whole(heard), 1)

    def leave(self, of: Subject, head: Subject, created: int) -> None:
        kinds = self._families[head]
        members = kinds[of.kind]
        del members.names[bisect_left(members.names, of.name)]
        del members.created[bisect_left(members.created, created)]
        if not members.names:
            del kinds[of.kind]
            if not kinds:
                del self._families[head]
            return
        heard = self._heard.get(of)
        if heard is not None:
            members.add(self._whole(heard), -1)

    def record(self, of: Subject, spoken: Coverage, head: Subject | None) -> None:
        """One more source object, in which these report on it; `head` is what it counts for."""
        if spoken is NOBODY:
            return
        self.reported.hold(of.namespace, spoken)
        self.reported.learn(of.namespace, of.kind, spoken)
        heard, members = self._heard.get(of), self._of(of, head)
        if heard is None:
            self._replace(of, None, spoken, members)
        elif isinstance(heard, dict):
            new = [by for by in spoken.by if _add(heard, by, 1) == 1]
            if members is not None:
                members.add(new, 1)
        elif len(parts := _parts(heard)) < _FEW and sum(len(one.by) for one in (*parts, spoken)) <= _WHOLE:
            self._replace(of, heard, (*parts, spoken), members)
        else:
            every: dict[PolicyRef, int] = {}
            for one in (*parts, spoken):
                for by in one.by:
                    _add(every, by, 1)
            self._replace(of, heard, every, members)

    def withdraw(self, of: Subject, spoken: Coverage, head: Subject | None) -> None:
        """One source object less."""
        if spoken is NOBODY:
            return
        self.reported.let_go(of.namespace, spoken)
        heard, members = self._heard[of], self._of(of, head)
        if isinstance(heard, dict):
            lost = [by for by in spoken.by if not _add(heard, by, -1)]
            if members is not None:
                members.add(lost, -1)
            if not heard:
                del self._heard[of]
            return
        parts = list(_parts(heard))
        parts.remove(spoken)
        self._replace(of, heard, (tuple(parts) if len(parts) > 1 else parts[0]) if parts else None, members)

    def _replace(self, of: Subject, before: Heard | None, heard: Heard | None, members: _Members | None) -> None:
        old = self._whole(before) if members is not None and before is not None else None
        if heard is None:
            del self._heard[of]
        else:
            self._heard[of] = heard
        if members is None:
            return
        new = None if heard is None else self._whole(heard)
        if old is new:
            return
        if old is not None:
            members.add(old, -1)
        if new is not None:
            members.add(new, 1)

    def _whole(self, heard: Heard) -> Coverage | Collection[PolicyRef]:
        return self.reported.union(heard) if isinstance(heard, tuple) else heard

    def _of(self, of: Subject, head: Subject | None) -> _Members | None:
        return None if head is None or head == of else self._families[head][of.kind]

    # -- what it answers ------------------------------------------------------------------------------------------

    def is_reported(self, of: Subject, by: PolicyRef) -> bool:
        """Whether the policy has reported on a Pod, ReplicaSet or Job."""
        heard = self._heard.get(of)
        if heard is None:
            return False
        return by in heard if isinstance(heard, dict) else any(by in spoken.by for spoken in _parts(heard))

    def unreported(self, head: Subject, by: PolicyRef, kinds: Collection[str]) -> bool:
        """Whether the policy has not reported on all members of these kinds."""
        return any(
            members.heard(by) < len(members.names)
            for kind, members in self._families.get(head, {}).items()
            if kind in kinds
        )

    def newest(self, head: Subject, kinds: Collection[str] | None) -> int | None:
        """When (Unix seconds) the youngest member of these kinds (None: any) was made; None: there is none."""
        found = [m.created[-1] for kind, m in self._families.get(head, {}).items() if not kinds or kind in kinds]
        return max(found, default=None)

    def oldest(self, head: Subject, kinds: Collection[str]) -> int | None:
        """When (Unix seconds) the oldest member of these kinds was made; None: there is none."""
        return min((m.created[0] for kind, m in self._families.get(head, {}).items() if kind in kinds), default=None)

    def first(self, head: Subject, kinds: Collection[str] | None) -> list[Subject]:
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


def _parts(heard: Coverage | tuple[Coverage, ...]) -> tuple[Coverage, ...]:
    return heard if isinstance(heard, tuple) else (heard,)


def _add(counts: dict[K, int], key: K, number: int) -> int:
    """The count that this comes to."""
    left = counts.get(key, 0) + number
    if left:
        counts[key] = left
    else:
        del counts[key]
    return left
