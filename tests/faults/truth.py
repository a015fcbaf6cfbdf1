"""The true violations of a cluster, as recorded by the driver that changes it.

A violation is identified as an analyst does it: by policy, rule, and the object that a person would fix. No code of the
operator is used.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dev import company
from tests.faults.owner_graph import EPHEMERAL, OwnerGraph, Ref, rule_name

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
"""Results that are violations, with the finding's Compliance.Status; the most severe first."""


class Violation(company.Violation):
    __slots__ = ()

    @property
    def subject(self) -> Ref:
        return Ref(*self[3:])


class Claim(NamedTuple):
    """A bad result about one object."""

    source: str
    policy: str
    rule: str
    about: Ref

    def violation(self, owner_graph: OwnerGraph) -> Violation | None:
        """The violation that it rolls up to; None: none."""
        subject = owner_graph.rolls_up_to(self.about)
        return None if subject is None else Violation(*self[:2], rule_name(self.source, self.rule, subject), *subject)


@dataclass(frozen=True)
class Statement:
    """The content of one report or constraint."""

    claims: frozenset[Claim] = frozenset()
    by: str = ""
    about: Ref | None = None
    """The engine and the object of a report."""
    scanned: frozenset[tuple[str, Ref]] = frozenset()
    """Which engine has scanned which object."""
    audited: int = 0
    """When the audit of a constraint started (Unix seconds)."""


Key = tuple[Any, ...]
"""Identifies a report or constraint; for a constraint, its kind and name."""


class Truth:
    """Which violations exist and existed, which statements claim them, and whether they may have ended.

    A violation has not ended if its last claim disappeared without a passing result, while an object exists that rolls
    up to the same subject and that the engine has not scanned since: a rollout under an engine that scans once an hour.
    """

    def __init__(self) -> None:
        self.owner_graph = OwnerGraph()
        self.existed: dict[Violation, list[list[float]]] = defaultdict(list)
        """By violation: its periods (start, end); it exists while the last one has no end."""
        self.stale_claims: set[Violation] = set()
        """Violations as seen by somebody who does not know yet that their objects are deleted."""
        self._past = OwnerGraph()
        """All objects that ever existed."""
        self._statements: dict[Key, Statement] = {}
        self._counted: dict[Key, frozenset[Violation]] = {}
        self._claim_counts: Counter[Violation] = Counter()
        self._scanned: Counter[tuple[str, Ref]] = Counter()
        self._kinds: set[tuple[str, str]] = set()
        """Engine and kind of the objects that engines scan."""
        self._unconfirmed: dict[Violation, Key] = {}
        """Violations that may have ended, with the key of the last claim."""
        self._current: set[Violation] = set()

    def record(self, key: Key, statement: Statement | None, *, now: float) -> None:
        """The content of a report or constraint from now on; None: it is deleted."""
        before = self._statements.pop(key, Statement())
        self._scanned.subtract(before.scanned)
        if statement is not None:
            self._statements[key] = statement
            self._scanned.update(statement.scanned)
            self._kinds.update((source, ref.kind) for source, ref in statement.scanned)
            self.stale_claims |= {v for claim in statement.claims if (v := claim.violation(self._past)) is not None}
        constraint = bool((statement or before).audited)
        # A report states the current result for its object; the deletion of a constraint is as explicit.
        explicit = constraint if statement is None else not constraint
        if explicit:
            own = None if statement is None else (statement.by, statement.about)
            others = ((v, k) for v, k in self._unconfirmed.items() if k != key and (v.source, v.subject) != own)
            self._unconfirmed = dict(others)
        self._count(key, silent=not explicit)
        self._update_periods(now)

    def put(self, document: Document, *, now: float) -> None:
        """A Pod, ReplicaSet or Job exists, or has ended."""
        self.owner_graph.put(document)
        self._past.remember(document)
        self._recount_ephemeral(now)

    def drop(self, *refs: Ref, now: float) -> None:
        """These objects are deleted."""
        for ref in refs:
            self.owner_graph.drop(ref)
        self._recount_ephemeral(now)

    def violations(self) -> set[Violation]:
        return set(self._claim_counts)

    def unscanned(self, violation: Violation) -> bool:
        """Whether an object that rolls up to its subject was not scanned by the engine yet."""
        contributors = self.owner_graph.contributors(violation.subject)
        if violation.source == GATEKEEPER:
            statement = self._statements.get((violation.policy, violation.rule))
            # the constraints of the bench are about Pods
            pods = [self.owner_graph.objects[ref] for ref in contributors if ref.kind == "Pod"]
            return statement is not None and any(pod.created >= statement.audited for pod in pods)
        source = violation.source
        return any((source, ref.kind) in self._kinds and not self._scanned[source, ref] for ref in contributors)

    def _recount_ephemeral(self, now: float) -> None:
        for key, statement in self._statements.items():
            if any(claim.about.kind in EPHEMERAL for claim in statement.claims):
                self._count(key, silent=True)
        self._update_periods(now)

    def _count(self, key: Key, *, silent: bool) -> None:
        claims = self._statements.get(key, Statement()).claims
        before = self._counted.pop(key, frozenset[Violation]())
        after = frozenset(violation for claim in claims if (violation := claim.violation(self.owner_graph)) is not None)
        if after:
            self._counted[key] = after
        self._claim_counts.update(after - before)
        for violation in before - after:
            self._claim_counts[violation] -= 1
            if not self._claim_counts[violation]:
                del self._claim_counts[violation]
                if silent:
                    self._unconfirmed[violation] = key

    def _update_periods(self, now: float) -> None:
        for violation in list(self._unconfirmed):
            if violation in self._claim_counts or not self.unscanned(violation):
                del self._unconfirmed[violation]
        current = self._claim_counts.keys() | self._unconfirmed.keys()
        for violation in current - self._current:
            self.existed[violation].append([now])
        for violation in self._current - current:
            self.existed[violation][-1].append(now)
        self._current = current


@dataclass
class Unlisted:
    """Violations that truncated constraints leave undecided."""

    cut: Mapping[tuple[str, str], tuple[str, str] | None] = field(default_factory=dict)
    """By kind and name: namespace and name of the last Pod that the list covers completely, if any."""
    owner_graph: OwnerGraph = field(default_factory=OwnerGraph)
    restarted: bool = False
    """Whether the reader of the list knows only a finding's object: a list of Pods does not cover a Deployment's own
    violation.
    """

    def leaves_open(self, violation: Violation) -> bool:
        """Whether a truncated constraint may or may not include it: nobody can know."""
        which = violation.policy, violation.rule
        if violation.source != GATEKEEPER or which not in self.cut:
            return False
        last = self.cut[which]
        pods = [ref for ref in self.owner_graph.contributors(violation.subject) if ref.kind == "Pod"]
        itself = self.restarted and violation.kind != "Pod"
        return last is None or itself or not pods or any(pod[1:] > last for pod in pods)


def ended(spans: Iterable[list[float]], *, since: float, until: float) -> bool:
    """Whether it was absent at some moment in that period."""
    return not any(span[0] < since and (len(span) == 1 or span[1] > until) for span in spans)
