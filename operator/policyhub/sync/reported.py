"""What each policy has reported on in each namespace: learned from results that there were, and from nothing else.

| learned of a policy, in a namespace             | by                              | until                       |
|-------------------------------------------------|---------------------------------|-----------------------------|
| it reports on Pods (ReplicaSets, Jobs)          | any result of it on one         | the process ends, or too    |
| it writes results that are no violation         | `pass` or `skip` on any object  | many are known              |

An engine can be told to write failures only, a policy may match controllers and no Pods, or look at them in its next
scan and not when they are made: none of this is known of an engine as a whole, so none is said of it.

Nobody who writes in one namespace teaches anything about another. Most objects have been reported on by the same
policies, so sets of them are kept once for all (`PolicySet`), and comparing two is comparing what they are. Bounds:
`MAX_LEARNED` policies are remembered of each kind of a namespace, `MAX_HELD` in all different sets that its objects
hold; beyond these, what is new is not learned, and its objects count as not reported on.

Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from policyhub.sources.violation import PolicyRef

MAX_LEARNED: Final = 2_000
"""Policies; a namespace with more begins to learn anew. A report shows `policy_set.POLICIES` at most."""
MAX_HELD: Final = 200_000
"""Policies, in the different sets that the objects of one namespace hold; some 30 MB."""
MAX_NAMESPACES: Final = 20_000
"""Of which anything is remembered; the first are forgotten."""


class PolicySet:
    """A set of policies; equal ones are one object. With (source, "") for each source: any policy of it."""

    __slots__ = ("__weakref__", "by")

    def __init__(self, by: frozenset[PolicyRef]) -> None:
        self.by = by


NO_POLICIES: Final = PolicySet(frozenset())


class _Namespace(msgspec.Struct):
    kinds: dict[str, PolicySet]
    """Kind → who has reported on one."""
    passing: PolicySet
    held: dict[PolicySet, int]
    """How many objects of reports have each set."""
    version: int
    total: int = 0
    """Policies in these."""


class Reported:
    """Of one cluster."""

    def __init__(self) -> None:
        self._sets: WeakValueDictionary[frozenset[PolicyRef], PolicySet] = WeakValueDictionary()
        self._namespaces: dict[str, _Namespace] = {}
        self._version = 0

    def version(self, namespace: str) -> int:
        """Another one whenever what reports of the namespace have taught may have been forgotten; of the empty one,
        which may teach of any, whenever it was of any.
        """
        if not namespace:
            return self._version
        there = self._namespaces.get(namespace)
        return 0 if there is None else there.version

    def _next(self) -> int:
        self._version += 1
        return self._version

    # -- sets -----------------------------------------------------------------------------------------------------

    def policy_set(self, namespace: str, by: frozenset[PolicyRef]) -> PolicySet:
        """The set, of an object of the namespace; NOBODY where its sets have no room for one more."""
        found = self._shared(by)
        there = self._namespaces.get(namespace)
        if there is not None and found not in there.held and there.total + len(found.by) > MAX_HELD:
            return NO_POLICIES
        return found

    def union(self, sets: Iterable[PolicySet]) -> PolicySet:
        every = set(sets)
        return every.pop() if len(every) == 1 else self._shared(frozenset().union(*(one.by for one in every)))

    def _shared(self, by: frozenset[PolicyRef]) -> PolicySet:
        found = self._sets.get(by)
        if found is None:
            found = self._sets[by] = PolicySet(by | {(source, "") for source, _ in by})
        return found

    def add_set(self, namespace: str, policies: PolicySet) -> None:
        """One more object of a report has the set."""
        there = self._namespace(namespace)
        number = there.held.get(policies, 0)
        there.held[policies] = number + 1
        if not number:
            there.total += len(policies.by)

    def remove_set(self, namespace: str, policies: PolicySet) -> None:
        """One less."""
        there = self._namespaces.get(namespace)
        number = 0 if there is None else there.held.get(policies, 0)
        if there is None or not number:  # it was forgotten meanwhile
            return
        if number > 1:
            there.held[policies] = number - 1
        else:
            del there.held[policies]
            there.total -= len(policies.by)

    # -- what is learned ------------------------------------------------------------------------------------------

    def learn(self, namespace: str, kind: str, policies: PolicySet) -> None:
        """They have reported on an object of this kind."""
        there = self._namespace(namespace)
        there.kinds[kind] = self._more(there.kinds.get(kind, NO_POLICIES), policies)

    def learn_passing(self, namespace: str, by: frozenset[PolicyRef]) -> bool:
        """They have written results that are no violation; says whether that is news."""
        there = self._namespace(namespace)
        before = there.passing
        if not by <= before.by:
            there.passing = self._more(before, self._shared(by))
            if not before.by <= there.passing.by:
                there.version = self._next()
        return there.passing is not before

    def _more(self, observed: PolicySet, policies: PolicySet) -> PolicySet:
        if policies is observed or policies.by <= observed.by:
            return observed
        merged = self.union((observed, policies))
        return merged if len(merged.by) <= MAX_LEARNED else policies

    def _namespace(self, namespace: str) -> _Namespace:
        there = self._namespaces.get(namespace)
        if there is None:
            there = self._namespaces[namespace] = _Namespace({}, NO_POLICIES, {}, self._next())
            if len(self._namespaces) > MAX_NAMESPACES:
                del self._namespaces[next(iter(self._namespaces))]
        return there

    # -- what it answers ------------------------------------------------------------------------------------------

    def kinds(self, namespace: str, by: PolicyRef) -> frozenset[str]:
        """What kinds of objects the policy reports on."""
        there = self._namespaces.get(namespace)
        if there is None:
            return frozenset()
        return frozenset(kind for kind, policies in there.kinds.items() if by in policies.by)

    def passes(self, namespace: str, by: PolicyRef) -> bool:
        """Whether the policy writes results that are no violation."""
        there = self._namespaces.get(namespace)
        return there is not None and by in there.passing.by
