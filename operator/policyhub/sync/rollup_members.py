"""The members of each rollup target, as counts: a decision about a target with thousands of Pods visits none of them.

The members of a target are the Pods, ReplicaSets and Jobs that roll up to it, itself left out. Kept are their names and
creation times, sorted, and on how many of them each policy has reported. A change of one member changes a sorted list;
an answer is the length or an end of one.

Most objects share their set of policies (`reported.PolicySet`), so members are counted by set:

| case                                                          | then                                                 |
|---------------------------------------------------------------|------------------------------------------------------|
| at most `_MAX_SETS_EACH` source objects report on an object,  | the object has the union of their sets               |
| with at most `_MAX_UNION` policies together                   |                                                      |
| more source objects or policies                               | each policy of the object is counted                 |
| the members of one kind have at most `_MAX_SETS_COUNTED` sets | members are counted by set                           |
| they have more sets, or one object has no set                 | the members, or that object, are counted by policy   |

So a report costs what it contains, whatever else is reported on its objects; a member that comes or goes costs what is
reported on it. Pure: no I/O, no clock.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from typing import TypeVar

import msgspec

from policyhub.model.violation import PolicyRef, Subject
from policyhub.sync.reported import NO_POLICIES, PolicySet, Reported

K = TypeVar("K")

_MAX_SETS_EACH = 8
_MAX_UNION = 400
_MAX_SETS_COUNTED = 16

ReportedBy = PolicySet | tuple[PolicySet, ...] | dict[PolicyRef, int]
"""The set of one source object, of a few, or how many source objects have each policy."""


class _Members(msgspec.Struct):
    """The members of one kind."""

    group: str
    names: list[str]
    """Sorted."""
    created: list[int]
    """Sorted, Unix seconds."""
    sets: dict[PolicySet, int] | None
    """How many members have each set; None: all are counted by policy."""
    by_policy: dict[PolicyRef, int]
    """On how many of the members that are counted by policy each policy has reported."""

    def add(self, reported_by: PolicySet | Collection[PolicyRef], number: int) -> None:
        """Add (or remove) a number of members on which these policies have reported."""
        if isinstance(reported_by, PolicySet):
            if self.sets is not None and (reported_by in self.sets or len(self.sets) < _MAX_SETS_COUNTED):
                _add(self.sets, reported_by, number)
                return
            for policies, members in (self.sets or {}).items():
                for by in policies.by:
                    _add(self.by_policy, by, members)
            self.sets = None
        for by in reported_by.by if isinstance(reported_by, PolicySet) else reported_by:
            _add(self.by_policy, by, number)

    def count_reported(self, by: PolicyRef) -> int:
        in_sets = sum(members for policies, members in (self.sets or {}).items() if by in policies.by)
        return in_sets + self.by_policy.get(by, 0)


class RollupMembers:
    """The members of all targets of one cluster."""

    def __init__(self) -> None:
        self.reported = Reported()
        self._by_target: dict[Subject, dict[str, _Members]] = {}
        """Target → kind → members."""
        self._reported_by: dict[Subject, ReportedBy] = {}
        """Which policies have reported on a Pod, ReplicaSet or Job, whether it exists or not."""

    def __contains__(self, target: Subject) -> bool:
        return target in self._by_target

    def join(self, subject: Subject, target: Subject, created: int) -> None:
        kinds = self._by_target.setdefault(target, {})
        members = kinds.get(subject.kind)
        if members is None:
            members = kinds[subject.kind] = _Members(subject.group, [], [], {}, {})
        insort(members.names, subject.name)
        insort(members.created, created)
        reported_by = self._reported_by.get(subject)
        if reported_by is not None:
            members.add(self._policies_of(reported_by), 1)

    def leave(self, subject: Subject, target: Subject, created: int) -> None:
        kinds = self._by_target[target]
        members = kinds[subject.kind]
        del members.names[bisect_left(members.names, subject.name)]
        del members.created[bisect_left(members.created, created)]
        if not members.names:
            del kinds[subject.kind]
            if not kinds:
                del self._by_target[target]
            return
        reported_by = self._reported_by.get(subject)
        if reported_by is not None:
            members.add(self._policies_of(reported_by), -1)

    def record(self, subject: Subject, policies: PolicySet, target: Subject | None) -> None:
        """Another source object reports on the object, with these policies. `target` is what the object rolls up to."""
        if policies is NO_POLICIES:
            return
        self.reported.add_set(subject.namespace, policies)
        self.reported.learn(subject.namespace, subject.kind, policies)
        reported_by, members = self._reported_by.get(subject), self._members_of(subject, target)
        if reported_by is None:
            self._replace(subject, None, policies, members)
        elif isinstance(reported_by, dict):
            new = [by for by in policies.by if _add(reported_by, by, 1) == 1]
            if members is not None:
                members.add(new, 1)
        elif (
            len(parts := _sets(reported_by)) < _MAX_SETS_EACH
            and sum(len(part.by) for part in (*parts, policies)) <= _MAX_UNION
        ):
            self._replace(subject, reported_by, (*parts, policies), members)
        else:
            counts: dict[PolicyRef, int] = {}
            for part in (*parts, policies):
                for by in part.by:
                    _add(counts, by, 1)
            self._replace(subject, reported_by, counts, members)

    def withdraw(self, subject: Subject, policies: PolicySet, target: Subject | None) -> None:
        """A source object no longer reports on the object, with these policies."""
        if policies is NO_POLICIES:
            return
        self.reported.remove_set(subject.namespace, policies)
        reported_by, members = self._reported_by[subject], self._members_of(subject, target)
        if isinstance(reported_by, dict):
            lost = [by for by in policies.by if not _add(reported_by, by, -1)]
            if members is not None:
                members.add(lost, -1)
            if not reported_by:
                del self._reported_by[subject]
            return
        parts = list(_sets(reported_by))
        parts.remove(policies)
        self._replace(subject, reported_by, (tuple(parts) if len(parts) > 1 else parts[0]) if parts else None, members)

    def _replace(
        self, subject: Subject, before: ReportedBy | None, reported_by: ReportedBy | None, members: _Members | None
    ) -> None:
        old = self._policies_of(before) if members is not None and before is not None else None
        if reported_by is None:
            del self._reported_by[subject]
        else:
            self._reported_by[subject] = reported_by
        if members is None:
            return
        new = None if reported_by is None else self._policies_of(reported_by)
        if old is new:
            return
        if old is not None:
            members.add(old, -1)
        if new is not None:
            members.add(new, 1)

    def _policies_of(self, reported_by: ReportedBy) -> PolicySet | Collection[PolicyRef]:
        return self.reported.union(reported_by) if isinstance(reported_by, tuple) else reported_by

    def _members_of(self, subject: Subject, target: Subject | None) -> _Members | None:
        return None if target is None or target == subject else self._by_target[target][subject.kind]

    # -- answers ----------------------------------------------------------------------------------------------------

    def is_reported(self, subject: Subject, by: PolicyRef) -> bool:
        """Whether the policy has reported on a Pod, ReplicaSet or Job."""
        reported_by = self._reported_by.get(subject)
        if reported_by is None:
            return False
        return (
            by in reported_by
            if isinstance(reported_by, dict)
            else any(by in policies.by for policies in _sets(reported_by))
        )

    def unreported(self, target: Subject, by: PolicyRef, kinds: Collection[str]) -> bool:
        """Whether there is a member of these kinds on which the policy has not reported."""
        return any(
            members.count_reported(by) < len(members.names)
            for kind, members in self._by_target.get(target, {}).items()
            if kind in kinds
        )

    def newest(self, target: Subject, kinds: Collection[str] | None) -> int | None:
        """When (Unix seconds) the newest member of these kinds (None: any) was created; None: there is none."""
        found = [m.created[-1] for kind, m in self._by_target.get(target, {}).items() if not kinds or kind in kinds]
        return max(found, default=None)

    def oldest(self, target: Subject, kinds: Collection[str]) -> int | None:
        """When (Unix seconds) the oldest member of these kinds was created; None: there is none."""
        return min((m.created[0] for kind, m in self._by_target.get(target, {}).items() if kind in kinds), default=None)

    def first(self, target: Subject, kinds: Collection[str] | None) -> list[Subject]:
        """The first member by name of each of these kinds (None: any)."""
        return [
            Subject(m.group, kind, target.namespace, m.names[0])
            for kind, m in self._by_target.get(target, {}).items()
            if not kinds or kind in kinds
        ]

    def members(self, target: Subject) -> Iterator[Subject]:
        """All members: only for a person or a test, since it visits each of them."""
        for kind, m in self._by_target.get(target, {}).items():
            yield from (Subject(m.group, kind, target.namespace, name) for name in m.names)


def _sets(reported_by: PolicySet | tuple[PolicySet, ...]) -> tuple[PolicySet, ...]:
    return reported_by if isinstance(reported_by, tuple) else (reported_by,)


def _add(counts: dict[K, int], key: K, number: int) -> int:
    """The new count."""
    left = counts.get(key, 0) + number
    if left:
        counts[key] = left
    else:
        del counts[key]
    return left
