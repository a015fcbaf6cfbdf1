"""The coverage of one report: which sources have results on which objects, which policies on which Pods, ReplicaSets
and Jobs, whatever the results are, and which policies write results that are no violation.

| a result                                        | shows                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| on any object                                   | its source covers this object                                      |
| on a Pod, ReplicaSet or Job                     | its policy has evaluated this object                               |
| `pass` or `skip`, on any object                 | its policy writes such results, in the object's namespace          |
| of a policy beyond the first `POLICIES`         | nothing about its policy                                           |

Each result of each report is processed here at each scan. Nearly all reports are about one object, which their results
do not name, and thousands of reports have the same policies: their coverage is computed once for each set of policies
(`by_default`). If results name objects, each result is processed on its own (`by_object`).

The cost is linear in the number of results. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from policyhub.model.recent import Recent
from policyhub.model.violation import Covered, PolicyRef, Subject
from policyhub.sources.problems import part

OF_PODS = frozenset({"Pod", "ReplicaSet", "Job"})
"""Kinds of objects that come and go with a controller."""
POLICIES: Final = 1_000
"""Maximum number of policies per report; a real report has fewer than a hundred."""

Evaluation = tuple[str, str, bool]
"""A source as in identities, a policy as the result writes it (empty: only a rule), whether the result passes."""

Named = list[tuple[Subject, str]]
"""Objects, each with its apiVersion."""


class Coverage(NamedTuple):
    """Of one report; each part is sorted."""

    objects: Covered
    """Each Pod, ReplicaSet and Job, with the policies that have a result on it."""
    scanned: tuple[tuple[Subject, str], ...]
    """Each object, with each source that has a result on it."""
    passing: tuple[tuple[str, frozenset[PolicyRef]], ...]
    """Each namespace, with the policies that have a result there that is no violation."""


class _Policies(NamedTuple):
    sources: tuple[str, ...]
    every: frozenset[PolicyRef]
    passing: frozenset[PolicyRef]


_cached: Recent[frozenset[Evaluation], _Policies] = Recent(limit=10_000_000)
_ENTRY = 300
"""Approximate size of one policy in a set, in bytes."""
_LONGEST = 128
"""Maximum length of a policy's name in a cached set; a set with a longer one is computed each time."""


def by_default(evaluations: frozenset[Evaluation], objects: Named, namespace: str) -> Coverage:
    """The coverage of a report with at most `POLICIES` results, none of which names an object. `objects` is the object
    of the report, if any; `namespace` is the namespace of the report.
    """
    policies = _cached.young.get(evaluations) or _policies_of(evaluations)
    if not objects:
        return Coverage((), (), ((namespace, policies.passing),) if namespace and policies.passing else ())
    subject, _ = objects[0]
    return Coverage(
        ((subject, policies.every),) if policies.every and subject.kind in OF_PODS else (),
        tuple([(subject, source) for source in policies.sources]),
        ((namespace or subject.namespace, policies.passing),) if policies.passing else (),
    )


def _policies_of(evaluations: frozenset[Evaluation]) -> _Policies:
    weight = _ENTRY * len(evaluations)
    found = _cached.get(evaluations, weight=weight)
    if found is None:
        refs = {(source, policy): (source, part(policy, [])) for source, policy, _ in evaluations}
        found = _Policies(
            tuple(sorted({source for source, _, _ in evaluations})),
            frozenset(refs.values()),
            frozenset(refs[source, policy] for source, policy, passes in evaluations if passes),
        )
        if all(len(policy) <= _LONGEST for _, policy, _ in evaluations):
            _cached.put(evaluations, found, weight=weight)
    return found


def by_object(evaluations: Iterable[tuple[Evaluation, Named]], namespace: str) -> Coverage:
    """The coverage of a report whose results name objects. `evaluations` has each result with its objects; `namespace`
    is the namespace of the report.
    """
    known: dict[tuple[str, str], PolicyRef] = {}
    scanned: set[tuple[Subject, str]] = set()
    by_subject: dict[Subject, set[PolicyRef]] = {}
    own: set[PolicyRef] = set()
    passing: dict[str, set[PolicyRef]] = {namespace: own}
    for (source, policy, passes), objects in evaluations:
        ref = known.get((source, policy))
        if ref is None and len(known) < POLICIES:
            ref = known[source, policy] = (source, part(policy, []))
        if passes and namespace and ref is not None:
            own.add(ref)
        for subject, _ in objects:
            scanned.add((subject, source))
            if ref is None:
                continue
            if subject.kind in OF_PODS:
                by_subject.setdefault(subject, set()).add(ref)
            if passes and not namespace:  # a cluster report may name objects of any namespace
                passing.setdefault(subject.namespace, set()).add(ref)
    shared: dict[frozenset[PolicyRef], frozenset[PolicyRef]] = {}
    each = [(subject, frozenset(by_subject[subject])) for subject in sorted(by_subject)]
    return Coverage(
        tuple([(subject, shared.setdefault(every, every)) for subject, every in each]),
        tuple(sorted(scanned)),
        tuple([(where, frozenset(refs)) for where, refs in sorted(passing.items()) if refs]),
    )
