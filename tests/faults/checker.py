"""Judges a run from the outside: what the hub's journal and store say, against what was true in the cluster.

It shares no code with the operator: a finding is recognised by its product fields and its resource, as an analyst
would.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.driver import Violation

Document = dict[str, Any]


@dataclass
class Verdict:
    missing: list[Violation] = field(default_factory=list)
    """True in the cluster, and no active finding."""
    stale: list[Violation] = field(default_factory=list)
    """Active, and no longer true."""
    double: list[Violation] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Archived although the violation had not ended."""
    triage: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    """CreatedAt that changed."""
    redundant: int = 0
    """Imports that changed nothing that a reader sees."""
    imports: int = 0
    still: int = 0
    """Violations that never ended: any archive of one of them is wrong."""

    @property
    def good(self) -> bool:
        return not (self.missing or self.stale or self.double or self.wrong or self.triage or self.moved)


def about(finding: Document) -> Violation:
    fields, seen = finding["ProductFields"], finding["Resources"][0]["Details"]["Other"]
    return (
        fields["policyhub/source"],
        fields["policyhub/policy"],
        seen["Kind"],
        seen.get("Namespace", ""),
        seen["Name"],
    )


def compare(findings: list[Document], true: set[Violation]) -> Verdict:
    """Whether the active findings are exactly the violations."""
    active = Counter(about(f) for f in findings if f["RecordState"] == "ACTIVE")
    return Verdict(
        missing=sorted(true - active.keys()),
        stale=sorted(active.keys() - true),
        double=sorted(violation for violation, number in active.items() if number > 1),
    )


def judge(
    *,
    findings: list[Document],
    journal: list[Document],
    true: set[Violation],
    existed: Mapping[Violation, list[list[float]]],
    triage: Mapping[str, tuple[float, str, str]],
    created: Mapping[str, str],
    still: set[Violation],
    slack: float,
) -> Verdict:
    """`slack`: an archive at a moment is right if the violation was absent at some time in the seconds before it: the
    archive delay, and how late an event may be delivered.
    """
    verdict = compare(findings, true)
    verdict.still = len(still)
    known = {finding["Id"]: finding for finding in findings}
    imports = [entry for entry in journal if entry["kind"] == "import"]
    verdict.imports = len(imports)
    verdict.redundant = sum(bool(entry["redundant"]) for entry in imports)
    back: dict[str, float] = {}
    state: dict[str, str] = {}
    for entry in imports:
        id_, moment = entry["id"], entry["time"]
        if entry["outcome"] == "failed":
            continue
        if entry["record_state"] == "ARCHIVED" and state.get(id_) != "ARCHIVED":
            times = existed[about(known[id_])]
            if about(known[id_]) in still or any(
                span[0] < moment - slack and (len(span) == 1 or span[1] > moment) for span in times
            ):
                verdict.wrong.append(f"{about(known[id_])} at {moment:.3f}: it existed {times}")
        elif entry["record_state"] == "ACTIVE" and state.get(id_) == "ARCHIVED":
            back[id_] = moment
        state[id_] = entry["record_state"]
    for id_, (moment, workflow, note) in triage.items():
        finding = known[id_]
        reset = back.get(id_, 0.0) >= moment and workflow != "SUPPRESSED"
        if finding["Workflow"]["Status"] not in ({"NEW"} if reset else {workflow}):
            verdict.triage.append(f"{id_}: {finding['Workflow']['Status']}, set was {workflow}")
        if finding.get("Note", {}).get("Text") != note:
            verdict.triage.append(f"{id_}: note {finding.get('Note')}, set was {note!r}")
    verdict.moved = [id_ for id_, moment in created.items() if known[id_]["CreatedAt"] != moment]
    return verdict
