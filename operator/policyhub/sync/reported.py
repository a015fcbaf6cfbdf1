"""What each policy reports on in each namespace, learned from its results only.

| learned about a policy, in a namespace          | from                            | until                       |
|-------------------------------------------------|---------------------------------|-----------------------------|
| it reports on Pods (ReplicaSets, Jobs)          | any of its results on one       | the process ends, or a      |
| it writes results that are no violation         | `pass` or `skip` on any object  | limit is reached            |

This differs between policies, so nothing is assumed about an engine: an engine may be configured to write failures
only, and a policy may match controllers but no Pods, or may see a new Pod only in its next scan.

Reports of one namespace teach nothing about another. Most objects are reported on by the same policies, so equal sets
of policies are one object (`PolicySet`), which is compared by identity. Limits: `MAX_LEARNED` policies for each kind in
a namespace, and `MAX_HELD` in the different sets of its objects. Beyond them nothing new is learned, and further
objects count as not reported on.

Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from policyhub.model.violation import PolicyRef

MAX_LEARNED: Final = 2_000
"""Policies of one kind in a namespace; beyond that, what was learned is replaced by the newest set. A report shows
`policy_set.POLICIES` at most.
"""
MAX_HELD: Final = 200_000
"""Policies in all different sets of the objects of one namespace; some 30 MB."""
MAX_NAMESPACES: Final = 20_000
"""Namespaces that are remembered; the oldest are forgotten."""


class PolicySet:
    """A set of policies; equal sets are one object. It contains (source, "") for each source: any of its policies."""

    __slots__ = ("__weakref__", "by")

    def __init__(self, by: frozenset[PolicyRef]) -> None:
        self.by = by


NO_POLICIES: Final = PolicySet(frozenset())


class _Namespace(msgspec.Struct):
    kinds: dict[str, PolicySet]
    """Kind → the policies that have reported on an object of this kind."""
    passing: PolicySet
    held: dict[PolicySet, int]
    """Set → objects of reports that have it."""
    version: int
    total: int = 0
    """Policies in the sets of `held`."""


class Reported:
    """The policies of one cluster."""

    def __init__(self) -> None:
        self._sets: WeakValueDictionary[frozenset[PolicyRef], PolicySet] = WeakValueDictionary()
        self._namespaces: dict[str, _Namespace] = {}
        self._version = 0

    def version(self, namespace: str) -> int:
        """A number that changes whenever anything that reports of the namespace have taught may have been forgotten.
        Cluster-scoped reports (the empty namespace) may teach about any namespace: their number changes with each.
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
        """The set, for an object of the namespace; NO_POLICIES if it would exceed `MAX_HELD`."""
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
        """Another object of a report has the set."""
        there = self._namespace(namespace)
        number = there.held.get(policies, 0)
        there.held[policies] = number + 1
        if not number:
            there.total += len(policies.by)

    def remove_set(self, namespace: str, policies: PolicySet) -> None:
        """One object less has the set."""
        there = self._namespaces.get(namespace)
        number = 0 if there is None else there.held.get(policies, 0)
        if there is None or not number:  # the namespace was forgotten meanwhile
            return
        if number > 1:
            there.held[policies] = number - 1
        else:
            del there.held[policies]
            there.total -= len(policies.by)

    # -- learning -------------------------------------------------------------------------------------------------

    def learn(self, namespace: str, kind: str, policies: PolicySet) -> None:
        """The policies have reported on an object of this kind."""
        there = self._namespace(namespace)
        there.kinds[kind] = self._more(there.kinds.get(kind, NO_POLICIES), policies)

    def learn_passing(self, namespace: str, by: frozenset[PolicyRef]) -> bool:
        """The policies have written results that are no violation. Returns whether this is new."""
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

    # -- queries --------------------------------------------------------------------------------------------------

    def kinds(self, namespace: str, by: PolicyRef) -> frozenset[str]:
        """The kinds of objects that the policy reports on."""
        there = self._namespaces.get(namespace)
        if there is None:
            return frozenset()
        return frozenset(kind for kind, policies in there.kinds.items() if by in policies.by)

    def passes(self, namespace: str, by: PolicyRef) -> bool:
        """Whether the policy writes results that are no violation."""
        there = self._namespaces.get(namespace)
        return there is not None and by in there.passing.by
