"""The violations in reports and constraints: what the operator should find.

Written from the documentation of the report APIs, without code of the operator. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import NamedTuple

from dev.company.workload import Document


class Violation(NamedTuple):
    """One violation. Each becomes one finding."""

    source: str
    policy: str
    rule: str
    kind: str
    namespace: str
    name: str


def violations(documents: Iterable[Document]) -> set[Violation]:
    found: set[Violation] = set()
    for document in documents:
        found |= _constraint(document) if "results" not in document else _report(document)
    return found


def _report(document: Document) -> set[Violation]:
    scope = document["scope"]
    about = (scope["kind"], scope.get("namespace", ""), scope["name"])
    return {
        Violation(result["source"], result["policy"], result.get("rule", ""), *about)
        for result in document["results"]
        if result["result"] in {"fail", "warn", "error"}
    }


def _constraint(document: Document) -> set[Violation]:
    names = ("gatekeeper", document["kind"], document["metadata"]["name"])
    listed = document["status"].get("violations", ())
    found = {Violation(*names, one["kind"], one.get("namespace", ""), one["name"]) for one in listed}
    if document["status"]["totalViolations"] > len(listed):  # reported about the constraint itself
        found.add(Violation(*names, document["kind"], "", document["metadata"]["name"]))
    return found


def violation_in(finding: Document) -> Violation:
    """The violation of a finding."""
    fields, seen = finding["ProductFields"], finding["Resources"][0]["Details"]["Other"]
    return Violation(
        fields["policyhub/source"],
        fields.get("policyhub/policy", ""),
        fields.get("policyhub/rule", ""),
        seen["Kind"],
        seen.get("Namespace", ""),
        seen["Name"],
    )
