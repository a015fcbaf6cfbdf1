"""Checks one step from the outside: compares the hub's findings and journal with the claims over time. Pure."""

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
"""How late this run may notice a change on a busy machine, where the operator may notice it first: an archive is wrong
if the violation was claimed for this long before it, a finding if the violation was not claimed until this long after
it.
"""
VOLATILE = frozenset({"CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt", "ProcessedAt"})
FOUND = frozenset({"created", "reactivated"})


class History(Protocol):
    """The claims over time (implemented by `Mirror`)."""

    def since(self, violation: Violation, moment: float, *, claimed: bool) -> float | None:
        """Since when, at that moment, it had been claimed, or not; None if it was the other way round."""

    def throughout(self, violation: Violation, start: float, end: float, *, claimed: bool) -> bool:
        """Whether it was claimed, or not claimed, during that whole period."""


def about(finding: Document) -> Violation:
    """The violation, from the fields that an analyst sees."""
    return Violation(*violation_in(finding))


@dataclass
class Row:
    """The outcome of one step."""

    name: str
    active: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    least: int = 0
    """The least number of imports for the changes that a reader of the findings can see."""
    calls: int = 0
    least_calls: int = 0
    redundant: int = 0
    triage: int = 0
    found: list[float] = field(default_factory=list)
    """Seconds from the engine's object to the finding."""
    archived: list[float] = field(default_factory=list)
    """Seconds from the end of the last claim to the archive, including the delay."""
    differences: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.differences or self.redundant or self.triage)


def differences(findings: Iterable[Document], claims: Claims) -> list[str]:
    """How the active findings differ from the claims."""
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


def check(
    row: Row,
    *,
    before: Mapping[str, Document],
    after: Mapping[str, Document],
    entries: Iterable[Document],
    history: History,
    began: float,
    allowed: frozenset[str],
    of: Callable[[Violation], bool],
    triaged: Mapping[str, str],
) -> None:
    """Fill the row. Findings are by id. `allowed` are the outcomes that the step may have, `of` selects the violations
    that it may touch, `triaged` has the notes of findings that an analyst has suppressed.
    """
    row.active = sum(finding["RecordState"] == "ACTIVE" for finding in after.values())
    row.least = sum(_stable_part(before.get(id_, {})) != _stable_part(finding) for id_, finding in after.items())
    row.differences += [f"lost: {id_}" for id_ in before.keys() - after.keys()]
    for entry in entries:
        if entry["kind"] != "update":
            violation = about(after[entry["id"]])
            row.outcomes[entry["outcome"]] += 1
            row.redundant += entry["redundant"]
            if entry["outcome"] not in allowed or not of(violation):
                row.differences.append(f"{entry['outcome']}: {violation}")
            _time(row, entry, violation, history=history, began=began)
    for id_, finding in after.items():
        known = before.get(id_)
        if known is not None and known["CreatedAt"] != finding["CreatedAt"]:
            row.differences.append(f"CreatedAt moved: {about(finding)}")
        status, note = ("SUPPRESSED", triaged[id_]) if id_ in triaged else ("NEW", None)
        row.triage += (finding["Workflow"]["Status"], finding.get("Note", {}).get("Text")) != (status, note)


def _time(row: Row, entry: Document, violation: Violation, *, history: History, began: float) -> None:
    """How late the import was, and whether it was right at that time."""
    outcome, moment = entry["outcome"], entry["time"]
    if outcome in FOUND:
        at = history.since(violation, moment, claimed=True)
        if at is not None:
            row.found.append(moment - max(at, began))
        elif history.throughout(violation, moment, moment + LATE_SECONDS, claimed=False):
            row.differences.append(f"{outcome} although nothing called for it: {violation}")
        else:
            row.found.append(0.0)
    elif outcome == "archived":
        if history.throughout(violation, moment - LATE_SECONDS, moment, claimed=True):
            row.differences.append(f"archived although called for: {violation}")
        at = history.since(violation, moment, claimed=False)
        if at is not None:
            row.archived.append(moment - at)


def _stable_part(finding: Document) -> Document:
    return {key: value for key, value in finding.items() if key not in VOLATILE}


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
    """Median and maximum."""
    return f"{statistics.median(times):.1f}, at most {max(times):.1f} s" if times else "–"  # noqa: RUF001  (a dash)
