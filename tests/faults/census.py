"""What is wrong in a cluster as its API server has it: every report and constraint, and every owner, read anew."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dev.cluster import Cluster
from tests.faults.family import Family, Ref, unnamed
from tests.faults.truth import CONSTRAINTS, GATEKEEPER, REPORTS, STATUS, Call, Unlisted, Violation

Document = dict[str, Any]

THINGS = {"Pod": "/api/v1/pods", "ReplicaSet": "/apis/apps/v1/replicasets", "Job": "/apis/batch/v1/jobs"}
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "", "LOW", "INFORMATIONAL")
"""The worst first; none said is worse than LOW."""


class Said(NamedTuple):
    """What somebody says of a violation. An empty severity: whatever the reader makes of it."""

    status: str
    severity: str
    message: str
    own: bool = True
    """Whether it is said of the object itself."""


@dataclass
class Census:
    seen: dict[Violation, set[Said]] = field(default_factory=lambda: defaultdict(set))
    unlisted: Unlisted = field(default_factory=Unlisted)
    family: Family = field(default_factory=Family)

    @classmethod
    def take(cls, cluster: Cluster, *, restarted: bool) -> "Census":
        census = cls()
        census.unlisted = Unlisted({}, census.family, restarted)
        for kind, path in THINGS.items():
            for thing in cluster.request("GET", path)["items"]:
                census.family.put({"kind": kind, **thing})
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
        about = Ref(scope["kind"], scope.get("namespace", ""), scope["name"])
        for result in report.get("results", ()):
            if result["result"] in STATUS:
                said = Said(STATUS[result["result"]], result["severity"].upper(), result["message"])
                self._add(Call(result["source"], result["policy"], result["rule"], about), said)

    def read_constraint(self, constraint: Document) -> None:
        kind, name, status = constraint["kind"], constraint["metadata"]["name"], constraint.get("status", {})
        listed = status.get("violations", [])
        for entry in listed:
            about = Ref(entry["kind"], entry.get("namespace", ""), entry["name"])
            self._add(Call(GATEKEEPER, kind, name, about), Said("FAILED", "", entry["message"]))
        if status.get("totalViolations", 0) > len(listed):
            self._add(Call(GATEKEEPER, kind, name, Ref(kind, "", name)), Said("NOT_AVAILABLE", "INFORMATIONAL", ""))
            places = [(entry.get("namespace", ""), entry["name"]) for entry in listed]
            self.unlisted.cut = {**self.unlisted.cut, (kind, name): max(places) if len(places) > 1 else None}

    def _add(self, call: Call, said: Said) -> None:
        violation = call.violation(self.family)
        if violation is not None:
            message = unnamed(said.message, call.about, violation.subject)
            own = call.about == violation.subject
            self.seen[violation].add(said._replace(message=message, own=own))

    def voice(self, violation: Violation) -> Said | None:
        """Who speaks: the object's own result, else the worst, else the smallest message."""
        said = self.seen.get(violation, set())
        worst, gravest = list(STATUS.values()).index, SEVERITIES.index
        return min(
            (s for s in said if s.own or not any(other.own for other in said)),
            key=lambda s: (worst(s.status), gravest(s.severity), s.message),
            default=None,
        )
