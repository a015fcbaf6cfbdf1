"""How many events a month Security Hub will count for a number of findings, and their price.

An event is one finding in one import: new, changed, archived or only refreshed.

| event                                | when                                                                    |
|--------------------------------------|-------------------------------------------------------------------------|
| a finding is imported                | once                                                                    |
| an unchanged finding is refreshed    | 25 to 30 days after its last import                                     |
| a finding changes                    | unknown: `changes_per_day`, or an assumption (`ASSUMED_SHARE`)          |

A change delays the refresh of its finding. The forecast ignores this, so it is an upper bound for its assumptions.

Prices are AWS's list prices as last seen. The free events are for each account and Region, and all tools that import
there share them. Pure: no I/O, no clock.
"""

import msgspec

from policyhub.sync.plan import REFRESH_MS, REFRESH_SPREAD_MS

FREE_EVENTS = 10_000
"""Free events a month for each account and Region."""
PRICE = 0.00003
"""US dollars for each further event."""
MONTH_DAYS = 30
ASSUMED_SHARE = 0.01
"""The part of the findings that is assumed to appear, change or be archived in a day."""
REFRESH_DAYS = (REFRESH_MS - REFRESH_SPREAD_MS / 2) / 86_400_000
"""The average time from an import to its refresh."""


class Forecast(msgspec.Struct, frozen=True, rename="camel"):
    first_import: int
    """Events, once."""
    refreshes: int
    """Events a month, as `changes`."""
    changes: int
    changes_per_day: float
    assumed: bool
    """Whether `changes_per_day` is an assumption."""

    @property
    def first_month(self) -> int:
        return self.first_import + self.monthly

    @property
    def monthly(self) -> int:
        return self.refreshes + self.changes


def forecast(findings: int, *, changes_per_day: float | None = None) -> Forecast:
    changes = findings * ASSUMED_SHARE if changes_per_day is None else changes_per_day
    return Forecast(
        first_import=findings,
        refreshes=round(findings * MONTH_DAYS / REFRESH_DAYS),
        changes=round(changes * MONTH_DAYS),
        changes_per_day=changes,
        assumed=changes_per_day is None,
    )


def price(events: int) -> float:
    """The price of a month's events in US dollars."""
    return max(0, events - FREE_EVENTS) * PRICE
