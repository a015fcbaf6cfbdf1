"""What is wrong in a cluster: as whoever changes it believes (`Truth`), and as its API server has it (`Census`).

A violation is recognised by what an analyst would recognise it by. Nothing here knows of the operator.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dev.cluster import Cluster

Document = dict[str, Any]

REPORTS = (
    "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
    "/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
    "/apis/openreports.io/v1alpha1/reports",
    "/apis/openreports.io/v1alpha1/clusterreports",
)
CONSTRAINTS = "/apis/constraints.gatekeeper.sh/v1beta1"
STATUS = {"fail": "FAILED", "warn": "WARNING", "error": "NOT_AVAILABLE"}
"""Results that are violations, and what a finding's Compliance.Status says of them."""


class Violation(NamedTuple):
    source: str
    policy: str
    rule: str
    kind: str
    namespace: str
    name: str


class Said(NamedTuple):
    """What somebody says of a violation. An empty severity: whatever the reader makes of it."""

    status: str
    severity: str
    message: str


Open = dict[tuple[str, str], tuple[str, str] | None]
"""Constraints (kind, name) that do not list all, with the last object of which the list says anything, if any."""


def is_open(violation: Violation, unlisted: Open) -> bool:
    """Whether a truncated constraint may or may not call for it: nobody can know."""
    which = violation.policy, violation.rule
    if violation.source != "gatekeeper" or which not in unlisted:
        return False
    last = unlisted[which]
    return last is None or (violation.namespace, violation.name) > last


class Truth:
    """What is wrong, and when it was. Each object that says so is told of by a key."""

    def __init__(self) -> None:
        self.existed: dict[Violation, list[list[float]]] = defaultdict(list)
        """By violation: when it began and ended; it exists while the last has no end."""
        self._said: dict[object, frozenset[Violation]] = {}
        self._callers: Counter[Violation] = Counter()

    def say(self, key: object, violations: Iterable[Violation], *, now: float) -> None:
        """The object says this from now on; nothing, where it is gone."""
        before, after = self._said.pop(key, frozenset[Violation]()), frozenset(violations)
        if after:
            self._said[key] = after
        for violation in after - before:
            self._callers[violation] += 1
            if self._callers[violation] == 1:
                self.existed[violation].append([now])
        for violation in before - after:
            self._callers[violation] -= 1
            if not self._callers[violation]:
                del self._callers[violation]
                self.existed[violation][-1].append(now)

    def violations(self) -> set[Violation]:
        return set(self._callers)


@dataclass
class Census:
    """What the API server has."""

    seen: dict[Violation, set[Said]] = field(default_factory=lambda: defaultdict(set))
    unlisted: Open = field(default_factory=dict)

    @classmethod
    def take(cls, cluster: Cluster) -> "Census":
        census = cls()
        for path in REPORTS:
            for report in cluster.request("GET", path)["items"]:
                census.read_report(report)
        for resource in cluster.request("GET", CONSTRAINTS)["resources"]:
            if "/" not in resource["name"]:
                for constraint in cluster.request("GET", f"{CONSTRAINTS}/{resource['name']}")["items"]:
                    census.read_constraint({"kind": resource["kind"], **constraint})
        return census

    def read_report(self, report: Document) -> None:
        scope = report["scope"]
        for result in report.get("results", ()):
            if result["result"] in STATUS:
                violation = Violation(
                    result["source"],
                    result["policy"],
                    result["rule"],
                    scope["kind"],
                    scope.get("namespace", ""),
                    scope["name"],
                )
                said = Said(STATUS[result["result"]], result["severity"].upper(), result["message"])
                self.seen[violation].add(said)

    def read_constraint(self, constraint: Document) -> None:
        kind, name, status = constraint["kind"], constraint["metadata"]["name"], constraint.get("status", {})
        listed = status.get("violations", [])
        for entry in listed:
            violation = Violation("gatekeeper", kind, name, entry["kind"], entry.get("namespace", ""), entry["name"])
            self.seen[violation].add(Said("FAILED", "", entry["message"]))
        if status.get("totalViolations", 0) > len(listed):
            places = [(entry.get("namespace", ""), entry["name"]) for entry in listed]
            self.unlisted[kind, name] = max(places) if len(places) > 1 else None


def ended(spans: Iterable[list[float]], *, since: float, until: float) -> bool:
    """Whether it was absent at some moment of that time."""
    return not any(span[0] < since and (len(span) == 1 or span[1] > until) for span in spans)
