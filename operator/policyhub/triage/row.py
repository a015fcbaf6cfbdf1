"""One finding as a line of the list: whose it is, what has been done with it, how old it is and may become.

Age and deadline are counted as in the metrics (sync/age_statistics.py): from CreatedAt, by Security Hub's label,
suppressed ones without a deadline. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from policyhub.clock import WallMs
from policyhub.securityhub.inventory import milliseconds
from policyhub.sources.text import LIMIT, line
from policyhub.sources.violation import SEVERITIES
from policyhub.sync.entry import SUPPRESSED, WORKFLOW

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Row:
    """Texts are empty where the finding has none."""

    cluster: str
    severity: str
    status: str
    age_days: float
    sla_days: int | None
    """None where there is no deadline."""
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
    """Never fails: what is missing is empty. Each text is one line, without what cannot be
    seen: who may import into the account may write it.
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
    """Of the object, which stands first."""
    resources = finding.get("Resources")
    for resource in resources if isinstance(resources, list) else ():
        told = _mapping(_mapping(resource).get("Details")).get("Other")
        if isinstance(told, Mapping):
            return told
    return {}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which findings are listed; empty: all."""

    statuses: frozenset[str] = frozenset()
    severities: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    past_sla: bool = False

    def takes(self, row: Row) -> bool:
        return (
            (not self.statuses or row.status in self.statuses)
            and (not self.severities or row.severity in self.severities)
            and (not self.namespaces or row.namespace in self.namespaces)
            and (not self.past_sla or row.past_sla)
        )


def ordered(rows: Iterable[Row]) -> list[Row]:
    """What is to be done first: past its SLA, then by severity, then the oldest."""
    rank: dict[str, int] = {severity: number for number, severity in enumerate(SEVERITIES)}
    return sorted(rows, key=lambda r: (not r.past_sla, rank.get(r.severity, len(rank)), -r.age_days, r.id))


def summary(rows: Iterable[Row]) -> str:
    """`12 findings: 9 NEW, 2 NOTIFIED, 1 SUPPRESSED; 3 past their SLA`."""
    listed = list(rows)
    statuses = {status: sum(1 for r in listed if r.status == status) for status in WORKFLOW}
    told = ", ".join(f"{number} {status}" for status, number in statuses.items() if number)
    past = sum(1 for r in listed if r.past_sla)
    noun = "finding" if len(listed) == 1 else "findings"
    return f"{len(listed)} {noun}" + (f": {told}" if told else "") + f"; {past} past their SLA"
