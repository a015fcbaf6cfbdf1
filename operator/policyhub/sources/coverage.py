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

Said = tuple[str, str, bool]
"""A source as in identities, a policy as the result writes it (empty: only a rule), whether the result passes."""

Named = list[tuple[Subject, str]]
"""Objects, each with its apiVersion."""


class Coverage(NamedTuple):
    """Of one report; each part is sorted."""

    objects: Covered
    """Each Pod, ReplicaSet and Job, with the policies that have a result on it."""
    about: tuple[tuple[Subject, str], ...]
    """Each object, with each source that has a result on it."""
    passing: tuple[tuple[str, frozenset[PolicyRef]], ...]
    """Each namespace, with the policies that have a result there that is no violation."""


class _Voices(NamedTuple):
    sources: tuple[str, ...]
    every: frozenset[PolicyRef]
    passing: frozenset[PolicyRef]


_voices: Recent[frozenset[Said], _Voices] = Recent(limit=10_000_000)
_ENTRY = 300
"""Approximate size of one policy in a set, in bytes."""
_LONGEST = 128
"""Maximum length of a policy's name in a cached set; a set with a longer one is computed each time."""


def by_default(said: frozenset[Said], objects: Named, namespace: str) -> Coverage:
    """The coverage of a report with at most `POLICIES` results, none of which names an object. `objects` is the object
    of the report, if any; `namespace` is the namespace of the report.
    """
    voices = _voices.young.get(said) or _voices_of(said)
    if not objects:
        return Coverage((), (), ((namespace, voices.passing),) if namespace and voices.passing else ())
    subject, _ = objects[0]
    return Coverage(
        ((subject, voices.every),) if voices.every and subject.kind in OF_PODS else (),
        tuple([(subject, source) for source in voices.sources]),
        ((namespace or subject.namespace, voices.passing),) if voices.passing else (),
    )


def _voices_of(said: frozenset[Said]) -> _Voices:
    weight = _ENTRY * len(said)
    found = _voices.get(said, weight=weight)
    if found is None:
        refs = {(source, policy): (source, part(policy, [])) for source, policy, _ in said}
        found = _Voices(
            tuple(sorted({source for source, _, _ in said})),
            frozenset(refs.values()),
            frozenset(refs[source, policy] for source, policy, passes in said if passes),
        )
        if all(len(policy) <= _LONGEST for _, policy, _ in said):
            _voices.put(said, found, weight=weight)
    return found


def by_object(heard: Iterable[tuple[Said, Named]], namespace: str) -> Coverage:
    """The coverage of a report whose results name objects. `heard` has each result with its objects; `namespace` is the
    namespace of the report.
    """
    known: dict[tuple[str, str], PolicyRef] = {}
    about: set[tuple[Subject, str]] = set()
    spoke: dict[Subject, set[PolicyRef]] = {}
    own: set[PolicyRef] = set()
    passing: dict[str, set[PolicyRef]] = {namespace: own}
    for (source, policy, passes), objects in heard:
        by = known.get((source, policy))
        if by is None and len(known) < POLICIES:
            by = known[source, policy] = (source, part(policy, []))
        if passes and namespace and by is not None:
            own.add(by)
        for subject, _ in objects:
            about.add((subject, source))
            if by is None:
                continue
            if subject.kind in OF_PODS:
                spoke.setdefault(subject, set()).add(by)
            if passes and not namespace:  # a cluster report may name objects of any namespace
                passing.setdefault(subject.namespace, set()).add(by)
    shared: dict[frozenset[PolicyRef], frozenset[PolicyRef]] = {}
    each = [(subject, frozenset(spoke[subject])) for subject in sorted(spoke)]
    return Coverage(
        tuple([(subject, shared.setdefault(every, every)) for subject, every in each]),
        tuple(sorted(about)),
        tuple([(there, frozenset(by)) for there, by in sorted(passing.items()) if by]),
    )
