"""Judges one step from the outside: the hub's store and journal, against what was called for when. Pure."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dev.company.truth import violation_in
from tests.e2e.claims import Claims
from tests.faults.truth import Violation

Document = dict[str, Any]

LATE_SECONDS = 10.0
"""How late this run may hear of something on a busy machine, where the operator may hear of it first: an archive is
wrong if the violation was called for all that time before it, a finding if it was not at any time until so long after.
"""
PASSING = frozenset({"CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt", "ProcessedAt"})
FOUND = frozenset({"created", "reactivated"})


class Past(Protocol):
    """What was called for when (`Mirror`)."""

    def since(self, violation: Violation, moment: float, *, claimed: bool) -> float | None:
        """Since when, at that moment, it had been called for, or not been; None where it was otherwise."""

    def throughout(self, violation: Violation, start: float, end: float, *, claimed: bool) -> bool:
        """Whether it was called for, or not, all that time."""


def about(finding: Document) -> Violation:
    """What an analyst would say that it is about."""
    return Violation(*violation_in(finding))


@dataclass
class Row:
    """What one step came to."""

    name: str
    active: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    least: int = 0
    """Imports that a reader of the findings could not have done without."""
    calls: int = 0
    least_calls: int = 0
    redundant: int = 0
    triage: int = 0
    found: list[float] = field(default_factory=list)
    """Seconds from the engine's object to the finding."""
    archived: list[float] = field(default_factory=list)
    """Seconds from the end of the last claim to the archive, the delay included."""
    differences: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.differences or self.redundant or self.triage)


def differences(findings: Iterable[Document], claims: Claims) -> list[str]:
    """Where the active findings are not what is called for."""
    active: defaultdict[Violation, list[Document]] = defaultdict(list)
    for finding in findings:
        if finding["RecordState"] == "ACTIVE":
            active[about(finding)].append(finding)
    lines = [f"missing: {violation}" for violation in sorted(claims.severities.keys() - active.keys())]
    for violation, found in sorted(active.items()):
        if not claims.may(violation):
            lines.append(f"stale: {violation}")
        if len(found) > 1:
            lines.append(f"double: {violation}: {[finding['Id'] for finding in found]}")
        label = found[0]["FindingProviderFields"]["Severity"]["Label"]
        if label not in claims.severities.get(violation, {label}):
            lines.append(f"severity: {violation} is {label}, not {sorted(claims.severities[violation])}")
    return lines


def judge(
    row: Row,
    *,
    before: Mapping[str, Document],
    after: Mapping[str, Document],
    entries: Iterable[Document],
    past: Past,
    began: float,
    allowed: frozenset[str],
    of: Callable[[Violation], bool],
    triaged: Mapping[str, str],
) -> None:
    """Fill the row. Findings are by id; `allowed` are the outcomes that the step may have, `of` which findings
    it may touch, `triaged` the notes of the findings that an analyst has suppressed.
    """
    row.active = sum(finding["RecordState"] == "ACTIVE" for finding in after.values())
    row.least = sum(_lasting(before.get(id_, {})) != _lasting(finding) for id_, finding in after.items())
    row.differences += [f"lost: {id_}" for id_ in before.keys() - after.keys()]
    for entry in entries:
        if entry["kind"] != "update":
            violation = about(after[entry["id"]])
            row.outcomes[entry["outcome"]] += 1
            row.redundant += entry["redundant"]
            if entry["outcome"] not in allowed or not of(violation):
                row.differences.append(f"{entry['outcome']}: {violation}")
            _time(row, entry, violation, past=past, began=began)
    for id_, finding in after.items():
        known = before.get(id_)
        if known is not None and known["CreatedAt"] != finding["CreatedAt"]:
            row.differences.append(f"CreatedAt moved: {about(finding)}")
        status, note = ("SUPPRESSED", triaged[id_]) if id_ in triaged else ("NEW", None)
        row.triage += (finding["Workflow"]["Status"], finding.get("Note", {}).get("Text")) != (status, note)


def _time(row: Row, entry: Document, violation: Violation, *, past: Past, began: float) -> None:
    """How late it came, and whether it was right when it came."""
    outcome, moment = entry["outcome"], entry["time"]
    if outcome in FOUND:
        at = past.since(violation, moment, claimed=True)
        if at is not None:
            row.found.append(moment - max(at, began))
        elif past.throughout(violation, moment, moment + LATE_SECONDS, claimed=False):
            row.differences.append(f"{outcome} although nothing called for it: {violation}")
        else:
            row.found.append(0.0)
    elif outcome == "archived":
        if past.throughout(violation, moment - LATE_SECONDS, moment, claimed=True):
            row.differences.append(f"archived although called for: {violation}")
        at = past.since(violation, moment, claimed=False)
        if at is not None:
            row.archived.append(moment - at)


def _lasting(finding: Document) -> Document:
    return {key: value for key, value in finding.items() if key not in PASSING}


def table(rows: Iterable[Row]) -> str:
    header = (
        "step", "active", "found after", "archived after", "created", "reactivated", "changed", "archived",
        "imports (least)", "calls (least)", "redundant", "triage touched", "differences",
    )  # fmt: skip
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        outcomes = [str(row.outcomes[o]) for o in ("created", "reactivated", "changed", "archived")]
        cells = [
            row.name,
            str(row.active),
            _seconds(row.found),
            _seconds(row.archived),
            *outcomes,
            f"{row.outcomes.total()} ({row.least})",
            f"{row.calls} ({row.least_calls})",
            str(row.redundant),
            str(row.triage),
            str(len(row.differences)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(times: list[float]) -> str:
    """Median and greatest."""
    return f"{statistics.median(times):.1f}, at most {max(times):.1f} s" if times else "–"  # noqa: RUF001  (a dash)
