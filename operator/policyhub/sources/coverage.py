"""Who speaks in one report, and of what: which sources of which objects, which policies of which Pods, ReplicaSets and
Jobs, whatever they say, and which policies have written a result that is no violation.

| a result                                        | shows                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| on anything                                     | that its source speaks of this object                              |
| on a Pod, ReplicaSet or Job                     | that its policy has looked at this object                          |
| `pass` or `skip`, on anything                   | that its policy writes such results, in the object's namespace     |
| of one of more policies than `POLICIES`         | nothing of its policy                                              |

Each result of each report passes here at each scan. Nearly all reports are about one object, which their results do not
name, and come with the same policies as thousands of others: what such a report shows is worked out once for each set
of policies (`by_default`). Where results name objects, each is heard for itself (`by_object`).

What it costs is linear in the number of results. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from policyhub.sources.problems import part
from policyhub.sources.recent import Recent
from policyhub.sources.violation import Covered, PolicyRef, Subject

OF_PODS = frozenset({"Pod", "ReplicaSet", "Job"})
"""What comes and goes with a controller."""
POLICIES: Final = 1_000
"""Policies of one report that are learned from; real ones have less than a hundred."""

Said = tuple[str, str, bool]
"""A source as identities have it, a policy as the result writes it (empty: a rule alone), whether the result passes."""

Named = list[tuple[Subject, str]]
"""Objects, each with its apiVersion."""


class Coverage(NamedTuple):
    """Of one report, each part sorted."""

    objects: Covered
    """Each Pod, ReplicaSet and Job, with who has said something of it."""
    about: tuple[tuple[Subject, str], ...]
    """Each object, with each source that says something of it."""
    passing: tuple[tuple[str, frozenset[PolicyRef]], ...]
    """Each namespace, with who has written a result there that is no violation."""


class _Voices(NamedTuple):
    sources: tuple[str, ...]
    every: frozenset[PolicyRef]
    passing: frozenset[PolicyRef]


_voices: Recent[frozenset[Said], _Voices] = Recent(limit=10_000_000)
_ENTRY = 300
"""Bytes that one policy of a set costs, about."""
_LONGEST = 128
"""Of a policy's text in a set that is kept; a set with a longer one is worked out each time."""


def by_default(said: frozenset[Said], objects: Named, namespace: str) -> Coverage:
    """Of a report whose results name no object, all have a policy, and have no more policies than `POLICIES`: `objects`
    are what it is about, none or one; `namespace` is where it lies.
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
    """Of a report in whose results objects are named: each result with the objects that it is about; `namespace` is
    where the report lies.
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
            if passes and not namespace:  # a cluster report, which may name objects of any namespace
                passing.setdefault(subject.namespace, set()).add(by)
    shared: dict[frozenset[PolicyRef], frozenset[PolicyRef]] = {}
    each = [(subject, frozenset(spoke[subject])) for subject in sorted(spoke)]
    return Coverage(
        tuple([(subject, shared.setdefault(every, every)) for subject, every in each]),
        tuple(sorted(about)),
        tuple([(there, frozenset(by)) for there, by in sorted(passing.items()) if by]),
    )
