"""The violations of a cluster as its API server has them: reads every report, constraint and owner."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dev.cluster import Cluster
from tests.faults.owner_graph import OwnerGraph, Ref, without_object_name
from tests.faults.truth import CONSTRAINTS, GATEKEEPER, REPORTS, STATUS, Claim, Unlisted, Violation

Document = dict[str, Any]

OWNED_KINDS = {"Pod": "/api/v1/pods", "ReplicaSet": "/apis/apps/v1/replicasets", "Job": "/apis/batch/v1/jobs"}
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "", "LOW", "INFORMATIONAL")
"""Most severe first; no severity ranks above LOW."""


class ReportedResult(NamedTuple):
    """One result about a violation. Empty severity: the reader decides."""

    status: str
    severity: str
    message: str
    own: bool = True
    """Whether the result is about the object itself."""


@dataclass
class ClusterState:
    seen: dict[Violation, set[ReportedResult]] = field(default_factory=lambda: defaultdict(set))
    unlisted: Unlisted = field(default_factory=Unlisted)
    owner_graph: OwnerGraph = field(default_factory=OwnerGraph)

    @classmethod
    def take(cls, cluster: Cluster, *, restarted: bool) -> "ClusterState":
        state = cls()
        state.unlisted = Unlisted({}, state.owner_graph, restarted)
        for kind, path in OWNED_KINDS.items():
            for item in cluster.request("GET", path)["items"]:
                state.owner_graph.put({"kind": kind, **item})
        for path in REPORTS:
            for report in cluster.request("GET", path)["items"]:
                state.read_report(report)
        for resource in cluster.request("GET", CONSTRAINTS)["resources"]:
            if "/" not in resource["name"]:
                for constraint in cluster.request("GET", f"{CONSTRAINTS}/{resource['name']}")["items"]:
                    state.read_constraint({"kind": resource["kind"], **constraint})
        return state

    def read_report(self, report: Document) -> None:
        scope = report["scope"]
        about = Ref(scope["kind"], scope.get("namespace", ""), scope["name"])
        for result in report.get("results", ()):
            if result["result"] in STATUS:
                reported = ReportedResult(STATUS[result["result"]], result["severity"].upper(), result["message"])
                self._add(Claim(result["source"], result["policy"], result["rule"], about), reported)

    def read_constraint(self, constraint: Document) -> None:
        kind, name, status = constraint["kind"], constraint["metadata"]["name"], constraint.get("status", {})
        listed = status.get("violations", [])
        for entry in listed:
            about = Ref(entry["kind"], entry.get("namespace", ""), entry["name"])
            self._add(Claim(GATEKEEPER, kind, name, about), ReportedResult("FAILED", "", entry["message"]))
        if status.get("totalViolations", 0) > len(listed):
            self._add(
                Claim(GATEKEEPER, kind, name, Ref(kind, "", name)), ReportedResult("NOT_AVAILABLE", "INFORMATIONAL", "")
            )
            listed_pods = [(entry.get("namespace", ""), entry["name"]) for entry in listed]
            self.unlisted.cut = {**self.unlisted.cut, (kind, name): max(listed_pods) if len(listed_pods) > 1 else None}

    def _add(self, claim: Claim, reported: ReportedResult) -> None:
        violation = claim.violation(self.owner_graph)
        if violation is not None:
            message = without_object_name(reported.message, claim.about, violation.subject)
            own = claim.about == violation.subject
            self.seen[violation].add(reported._replace(message=message, own=own))

    def representative(self, violation: Violation) -> ReportedResult | None:
        """The result that words the finding: the object's own, otherwise the most severe, otherwise the smallest
        message.
        """
        reported = self.seen.get(violation, set())
        status_rank, severity_rank = list(STATUS.values()).index, SEVERITIES.index
        return min(
            (s for s in reported if s.own or not any(other.own for other in reported)),
            key=lambda s: (status_rank(s.status), severity_rank(s.severity), s.message),
            default=None,
        )
