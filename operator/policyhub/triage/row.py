"""One finding as a line of the list, with its cluster, workflow status, age and SLA.

Age and SLA are calculated as for the metrics (sync/age_statistics.py): from CreatedAt, by Security Hub's severity
label; suppressed findings have no SLA. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from policyhub.clock import WallMs
from policyhub.model.text import LIMIT, line
from policyhub.model.violation import SEVERITIES
from policyhub.securityhub.inventory import milliseconds
from policyhub.sync.entry import SUPPRESSED, WORKFLOW

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Row:
    """A text is empty if the finding lacks it."""

    cluster: str
    severity: str
    status: str
    age_days: float
    sla_days: int | None
    """None: no deadline."""
    past_sla: bool
    source: str
    policy: str
    rule: str
    kind: str
    namespace: str
    name: str
    created_at: str
    title: str
    id: str


def row(finding: Mapping[str, Any], *, cluster: str, sla_days: Mapping[str, int], now: WallMs) -> Row:
    """Never fails; missing members are empty. Each text is one line without invisible characters: anybody who may
    import into the account may have written it.
    """
    fields = _mapping(finding.get("ProductFields"))
    seen = _details(finding)
    severity = _text(_mapping(finding.get("Severity")), "Label")
    status = _text(_mapping(finding.get("Workflow")), "Status")
    created = milliseconds(finding.get("CreatedAt"))
    age = max(0, now - created) if created else 0
    days = None if status == SUPPRESSED else sla_days.get(severity)
    return Row(
        cluster=cluster,
        severity=severity,
        status=status,
        age_days=round(age / DAY_MS, 1),
        sla_days=days,
        past_sla=days is not None and age > days * DAY_MS,
        source=_text(fields, "policyhub/source"),
        policy=_text(fields, "policyhub/policy"),
        rule=_text(fields, "policyhub/rule"),
        kind=_text(seen, "Kind"),
        namespace=_text(seen, "Namespace"),
        name=_text(seen, "Name"),
        created_at=_text(finding, "CreatedAt"),
        title=_text(finding, "Title"),
        id=_text(finding, "Id"),
    )


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return line(value, LIMIT) if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _details(finding: Mapping[str, Any]) -> Mapping[str, Any]:
    """Details of the object, which is the first resource."""
    resources = finding.get("Resources")
    for resource in resources if isinstance(resources, list) else ():
        details = _mapping(_mapping(resource).get("Details")).get("Other")
        if isinstance(details, Mapping):
            return details
    return {}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which findings are listed; empty: all."""

    statuses: frozenset[str] = frozenset()
    severities: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    past_sla: bool = False

    def matches(self, row: Row) -> bool:
        return (
            (not self.statuses or row.status in self.statuses)
            and (not self.severities or row.severity in self.severities)
            and (not self.namespaces or row.namespace in self.namespaces)
            and (not self.past_sla or row.past_sla)
        )


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Most urgent first: past the SLA, then by severity, then the oldest."""
    rank: dict[str, int] = {severity: number for number, severity in enumerate(SEVERITIES)}
    return sorted(rows, key=lambda r: (not r.past_sla, rank.get(r.severity, len(rank)), -r.age_days, r.id))


def summary(rows: Iterable[Row]) -> str:
    """`12 findings: 9 NEW, 2 NOTIFIED, 1 SUPPRESSED; 3 past their SLA`."""
    listed = list(rows)
    statuses = {status: sum(1 for r in listed if r.status == status) for status in WORKFLOW}
    cells = ", ".join(f"{number} {status}" for status, number in statuses.items() if number)
    past = sum(1 for r in listed if r.past_sla)
    noun = "finding" if len(listed) == 1 else "findings"
    return f"{len(listed)} {noun}" + (f": {cells}" if cells else "") + f"; {past} past their SLA"
