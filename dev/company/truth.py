"""What a careful reader takes from reports and constraints: who calls what a violation, of which object.

Written from the documentation of the report APIs, and shares no code with the operator: it says what the operator
should find. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import NamedTuple

from dev.company.workload import Document


class Call(NamedTuple):
    """One violation. Each becomes one finding."""

    source: str
    policy: str
    rule: str
    kind: str
    namespace: str
    name: str


def calls(documents: Iterable[Document]) -> set[Call]:
    found: set[Call] = set()
    for document in documents:
        found |= _constraint(document) if "results" not in document else _report(document)
    return found


def _report(document: Document) -> set[Call]:
    scope = document["scope"]
    about = (scope["kind"], scope.get("namespace", ""), scope["name"])
    return {
        Call(result["source"], result["policy"], result.get("rule", ""), *about)
        for result in document["results"]
        if result["result"] in {"fail", "warn", "error"}
    }


def _constraint(document: Document) -> set[Call]:
    names = ("gatekeeper", document["kind"], document["metadata"]["name"])
    listed = document["status"].get("violations", ())
    found = {Call(*names, one["kind"], one.get("namespace", ""), one["name"]) for one in listed}
    if document["status"]["totalViolations"] > len(listed):  # said of the constraint itself
        found.add(Call(*names, document["kind"], "", document["metadata"]["name"]))
    return found


def told(finding: Document) -> Call:
    """What a finding says that it is about."""
    fields, seen = finding["ProductFields"], finding["Resources"][0]["Details"]["Other"]
    return Call(
        fields["policyhub/source"],
        fields.get("policyhub/policy", ""),
        fields.get("policyhub/rule", ""),
        seen["Kind"],
        seen.get("Namespace", ""),
        seen["Name"],
    )
