"""Which policies one report shows at work: about which Pods, ReplicaSets and Jobs each has said something, whatever it
is, and which of them have written a result that is no violation.

| a result                                        | shows                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| on a Pod, ReplicaSet or Job                     | that its policy has looked at this object                          |
| `pass` or `skip`, on anything                   | that its policy writes such results, in the object's namespace     |
| of one of more policies than `POLICIES`         | nothing                                                            |

What it costs is linear in the number of results. Pure: no I/O, no clock.
"""

from collections.abc import Callable
from typing import Final

from policyhub.sources import wire
from policyhub.sources.violation import PolicyRef, Spoke, Subject

OF_PODS = frozenset({"Pod", "ReplicaSet", "Job"})
"""What comes and goes with a controller."""
POLICIES: Final = 1_000
"""Policies of one report that are learned from; real ones have less than a hundred."""


class Spoken:
    """Of one report; `hear` takes one result after the other."""

    def __init__(
        self,
        *,
        namespace: str,
        about: Callable[[wire.Result], list[tuple[Subject, str]]],
        policy: Callable[[str], str],
        of_pods: bool,
    ) -> None:
        """`about` gives the objects of a result, `policy` the name of its policy as identities have it; `of_pods`: the
        report is by default about one of `OF_PODS`.
        """
        self._namespace = namespace
        self._about = about
        self._policy = policy
        self._of_pods = of_pods
        self._known: dict[tuple[str, str | None], PolicyRef] = {}
        self._default: set[PolicyRef] = set()
        """Of results that name no object."""
        self._unnamed: wire.Result | None = None
        """One of them."""
        self._objects: dict[Subject, set[PolicyRef]] = {}
        self._own: set[PolicyRef] = set()
        """Who has passed something in a namespaced report."""
        self._passing: dict[str, set[PolicyRef]] = {namespace: self._own}

    def hear(self, result: wire.Result, source: str, *, passes: bool) -> None:
        by = self._known.get((source, result.policy)) or self._by(result, source)
        if by is None:
            return
        if passes and self._namespace:
            self._own.add(by)
        elif passes:  # a cluster report, which may name objects of any namespace
            for subject, _ in self._about(result):
                self._passing.setdefault(subject.namespace, set()).add(by)
        if result.resources:
            if any(ref is not None and ref.kind in OF_PODS for ref in result.resources):
                for subject, _ in self._about(result):
                    if subject.kind in OF_PODS:
                        self._objects.setdefault(subject, set()).add(by)
        elif self._of_pods:
            self._default.add(by)
            self._unnamed = result

    def _by(self, result: wire.Result, source: str) -> PolicyRef | None:
        if len(self._known) >= POLICIES or not (result.policy or result.rule):
            return None
        by = self._known[source, result.policy] = (source, self._policy(result.policy) if result.policy else "")
        return by

    def objects(self) -> Spoke:
        """Each Pod, ReplicaSet and Job, with who has said something of it."""
        if self._unnamed is not None:
            for subject, _ in self._about(self._unnamed):
                self._objects.setdefault(subject, set()).update(self._default)
        shared: dict[frozenset[PolicyRef], frozenset[PolicyRef]] = {}
        return tuple(
            (subject, shared.setdefault(by := frozenset(self._objects[subject]), by))
            for subject in sorted(self._objects)
        )

    def passing(self) -> tuple[tuple[str, frozenset[PolicyRef]], ...]:
        """Each namespace, with who has written a result there that is no violation."""
        return tuple((namespace, frozenset(by)) for namespace, by in sorted(self._passing.items()) if by)
