"""What is wrong in a cluster, as whoever changes it believes.

A violation is recognised by what an analyst would recognise it by: policy, rule, and the object that a person would
mend. Nothing here knows of the operator.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dev import company
from tests.faults.family import PASSING, Family, Ref, plain

Document = dict[str, Any]

REPORTS = (
    "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
    "/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
    "/apis/openreports.io/v1alpha1/reports",
    "/apis/openreports.io/v1alpha1/clusterreports",
)
CONSTRAINTS = "/apis/constraints.gatekeeper.sh/v1beta1"
GATEKEEPER = "gatekeeper"
STATUS = {"fail": "FAILED", "warn": "WARNING", "error": "NOT_AVAILABLE"}
"""Results that are violations, and what a finding's Compliance.Status says of them; the worst first."""


class Violation(company.Violation):
    __slots__ = ()

    @property
    def subject(self) -> Ref:
        return Ref(*self[3:])


class Call(NamedTuple):
    """A bad result, of the object that it is about."""

    source: str
    policy: str
    rule: str
    about: Ref

    def violation(self, family: Family) -> Violation | None:
        """What it comes to; None where it counts for nothing."""
        subject = family.counts_for(self.about)
        return None if subject is None else Violation(*self[:2], plain(self.source, self.rule, subject), *subject)


@dataclass(frozen=True)
class Statement:
    """What one report or constraint says."""

    calls: frozenset[Call] = frozenset()
    by: str = ""
    about: Ref | None = None
    """The engine and the object of a report."""
    spoke: frozenset[tuple[str, Ref]] = frozenset()
    """Who has looked at what."""
    audited: int = 0
    """When the audit of a constraint began (Unix seconds)."""


Key = tuple[Any, ...]
"""Tells reports and constraints apart; that of a constraint is its kind and name."""


class Truth:
    """What is wrong, and when it was: by whom it was called for, and whether it may have ended.

    It has not where what called for it went without a word, and something lives that counts for the object and that the
    engine has not looked at since: a rollout under an engine that scans once an hour.
    """

    def __init__(self) -> None:
        self.family = Family()
        self.existed: dict[Violation, list[list[float]]] = defaultdict(list)
        """By violation: when it began and ended; it exists while the last has no end."""
        self.seemed: set[Violation] = set()
        """What was called for, to somebody who has not heard that what it was about is dead."""
        self._past = Family()
        """All that ever lived."""
        self._statements: dict[Key, Statement] = {}
        self._counted: dict[Key, frozenset[Violation]] = {}
        self._callers: Counter[Violation] = Counter()
        self._looked: Counter[tuple[str, Ref]] = Counter()
        self._kinds: set[tuple[str, str]] = set()
        """Engine and kind of what engines look at."""
        self._silent: dict[Violation, Key] = {}
        """What may have ended, by who called last."""
        self._current: set[Violation] = set()

    def say(self, key: Key, statement: Statement | None, *, now: float) -> None:
        """The report or constraint says this from now on; None: it is gone."""
        before = self._statements.pop(key, Statement())
        self._looked.subtract(before.spoke)
        if statement is not None:
            self._statements[key] = statement
            self._looked.update(statement.spoke)
            self._kinds.update((source, ref.kind) for source, ref in statement.spoke)
            self.seemed |= {v for call in statement.calls if (v := call.violation(self._past)) is not None}
        constraint = bool((statement or before).audited)
        # What a report says, it says of the object as it is now; so does who deletes a constraint.
        spoken = constraint if statement is None else not constraint
        if spoken:
            own = None if statement is None else (statement.by, statement.about)
            self._silent = {v: k for v, k in self._silent.items() if k != key and (v.source, v.subject) != own}
        self._count(key, silent=not spoken)
        self._settle(now)

    def put(self, document: Document, *, now: float) -> None:
        """A Pod, ReplicaSet or Job is there, or has ended."""
        self.family.put(document)
        self._past.remember(document)
        self._shift(now)

    def drop(self, *refs: Ref, now: float) -> None:
        """Some of them are gone."""
        for ref in refs:
            self.family.drop(ref)
        self._shift(now)

    def violations(self) -> set[Violation]:
        return set(self._callers)

    def unseen(self, violation: Violation) -> bool:
        """Whether something counts for its object that the engine has not looked at."""
        living = self.family.living(violation.subject)
        if violation.source == GATEKEEPER:
            told = self._statements.get((violation.policy, violation.rule))
            pods = [self.family.things[ref] for ref in living if ref.kind == "Pod"]  # what the constraints are about
            return told is not None and any(pod.created >= told.audited for pod in pods)
        source = violation.source
        return any((source, ref.kind) in self._kinds and not self._looked[source, ref] for ref in living)

    def _shift(self, now: float) -> None:
        for key, statement in self._statements.items():
            if any(call.about.kind in PASSING for call in statement.calls):
                self._count(key, silent=True)
        self._settle(now)

    def _count(self, key: Key, *, silent: bool) -> None:
        calls = self._statements.get(key, Statement()).calls
        before = self._counted.pop(key, frozenset[Violation]())
        after = frozenset(violation for call in calls if (violation := call.violation(self.family)) is not None)
        if after:
            self._counted[key] = after
        self._callers.update(after - before)
        for violation in before - after:
            self._callers[violation] -= 1
            if not self._callers[violation]:
                del self._callers[violation]
                if silent:
                    self._silent[violation] = key

    def _settle(self, now: float) -> None:
        for violation in list(self._silent):
            if violation in self._callers or not self.unseen(violation):
                del self._silent[violation]
        current = self._callers.keys() | self._silent.keys()
        for violation in current - self._current:
            self.existed[violation].append([now])
        for violation in self._current - current:
            self.existed[violation][-1].append(now)
        self._current = current


@dataclass
class Unlisted:
    """What truncated constraints leave open."""

    cut: Mapping[tuple[str, str], tuple[str, str] | None] = field(default_factory=dict)
    """By kind and name, the last Pod (namespace and name) of which the list says anything, if any."""
    family: Family = field(default_factory=Family)
    restarted: bool = False
    """Whether who reads the list knows of a finding no more than its object: a list that names Pods says nothing of a
    Deployment's own.
    """

    def leaves_open(self, violation: Violation) -> bool:
        """Whether a truncated constraint may or may not call for it: nobody can know."""
        which = violation.policy, violation.rule
        if violation.source != GATEKEEPER or which not in self.cut:
            return False
        last = self.cut[which]
        pods = [ref for ref in self.family.living(violation.subject) if ref.kind == "Pod"]
        itself = self.restarted and violation.kind != "Pod"
        return last is None or itself or not pods or any(pod[1:] > last for pod in pods)


def ended(spans: Iterable[list[float]], *, since: float, until: float) -> bool:
    """Whether it was absent at some moment of that time."""
    return not any(span[0] < since and (len(span) == 1 or span[1] > until) for span in spans)
