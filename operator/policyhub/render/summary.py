"""How many findings there are, by severity and policy, and their price a month. Pure: no I/O, no clock."""

from collections import Counter, defaultdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from policyhub.model.violation import Severity
from policyhub.render.collector import Collector
from policyhub.render.forecast import FREE_EVENTS, PRICE, Forecast, forecast, price
from policyhub.sources.merge import SEVERITY_RANK

SEVERITIES: tuple[Severity, ...] = tuple(sorted(SEVERITY_RANK, key=lambda name: -SEVERITY_RANK[name]))
"""The most severe first."""

Counts = Counter[Severity]


def by_policy(collector: Collector) -> dict[tuple[str, str], Counts]:
    """(source, policy) → findings by severity; those with the most findings first."""
    found: dict[tuple[str, str], Counts] = defaultdict(Counter)
    for (source, policy, severity), number in collector.ledger.finding_counts.violations.items():
        found[source, policy][severity] += number
    return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))


def by_severity(collector: Collector) -> Counts:
    total: Counts = Counter()
    for counts in by_policy(collector).values():
        total += counts
    return total


def document(collector: Collector, *, changes_per_day: float | None) -> dict[str, Any]:
    """The summary as data."""
    severities = by_severity(collector)
    estimate = forecast(severities.total(), changes_per_day=changes_per_day)
    return {
        "findings": severities.total(),
        "bySeverity": {name: severities[name] for name in SEVERITIES},
        "byPolicy": [
            {"source": source, "policy": policy, "findings": counts.total(), "bySeverity": dict(counts)}
            for (source, policy), counts in by_policy(collector).items()
        ],
        "objects": dict(collector.objects),
        "leftOut": dict(collector.left_out),
        "unlisted": collector.unlisted,
        "broken": collector.unreadable,
        "forecast": {
            "changesPerDay": round(estimate.changes_per_day, 2),
            "changesAssumed": estimate.assumed,
            "events": {
                "firstImport": estimate.first_import,
                "refreshesAMonth": estimate.refreshes,
                "changesAMonth": estimate.changes,
                "firstMonth": estimate.first_month,
                "eachMonthAfter": estimate.monthly,
            },
            "dollars": {
                "firstMonth": round(price(estimate.first_month), 2),
                "eachMonthAfter": round(price(estimate.monthly), 2),
            },
        },
    }


def text(collector: Collector, *, changes_per_day: float | None) -> RenderableType:
    """The summary for people."""
    severities = by_severity(collector)
    policies = Table(box=None, pad_edge=False)
    for name in ("SOURCE", "POLICY"):
        policies.add_column(name, overflow="fold")
    for name in ("FINDINGS", *SEVERITIES):
        policies.add_column(name, justify="right")
    for (source, policy), counts in by_policy(collector).items():
        policies.add_row(Text(source), Text(policy or "-"), *_numbers(counts))
    policies.add_row("all", "", *_numbers(severities), style="bold")
    estimate = forecast(severities.total(), changes_per_day=changes_per_day)
    return Group(policies, Text(), _events(estimate), Text(), *(Text(line) for line in assumptions(estimate)))


def _numbers(counts: Counts) -> list[str]:
    return [f"{counts.total():,}", *(f"{counts[name]:,}" if counts[name] else "-" for name in SEVERITIES)]


def _events(estimate: Forecast) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("FORECAST")
    table.add_column("EVENTS", justify="right")
    table.add_column("PRICE", justify="right")
    for name, events in (
        ("first import, once", estimate.first_import),
        ("refreshes a month", estimate.refreshes),
        ("changes a month", estimate.changes),
    ):
        table.add_row(name, f"{events:,}", "")
    table.add_row("first month", f"{estimate.first_month:,}", f"${price(estimate.first_month):,.2f}", style="bold")
    table.add_row("each month after", f"{estimate.monthly:,}", f"${price(estimate.monthly):,.2f}", style="bold")
    return table


def assumptions(estimate: Forecast) -> list[str]:
    """The assumptions of the forecast, as sentences."""
    number = f"{estimate.changes_per_day:,.2f}".rstrip("0").rstrip(".")
    changes = f"{number} findings a day appear, change or are archived"
    why = "; this assumes 1 in 100, so set --changes-per-day for a better estimate" if estimate.assumed else ""
    return [
        f"Changes: {changes}{why}.",
        "Refreshes: an unchanged finding is sent again after 25 to 30 days, because Security Hub deletes it after 90.",
        f"Prices: {FREE_EVENTS:,} events a month are free for each account and Region; other tools there share them.",
        f"Each further event costs ${PRICE:.5f}. Prices may change: check AWS's price list.",
    ]
