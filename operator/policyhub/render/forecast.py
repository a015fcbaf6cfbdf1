"""How many events a month Security Hub will count for so many findings, and what it asks for them.

An event is one finding in one import, whether it is new, changed, archived or only refreshed. What is known: each
finding is imported once, and an unchanged one is refreshed 25 to 30 days after its last import. What nobody knows is
how much changes: it is a number to give, and an assumption where none is given. A change puts off its finding's
refresh, which is not taken off: the forecast is an upper bound for what it assumes.

Prices are AWS's list prices as last seen; the free events are one account's in one Region, shared by everything that
imports there. Pure: no I/O, no clock.
"""

import msgspec

from policyhub.sync.plan import REFRESH_MS, REFRESH_SPREAD_MS

FREE_EVENTS = 10_000
"""A month, for each account and Region."""
PRICE = 0.00003
"""US dollars for each event beyond."""
MONTH_DAYS = 30
ASSUMED_SHARE = 0.01
"""Of the findings that appear, change or are archived in a day, where nothing is said."""
REFRESH_DAYS = (REFRESH_MS - REFRESH_SPREAD_MS / 2) / 86_400_000
"""On the average."""


class Forecast(msgspec.Struct, frozen=True, rename="camel"):
    first_import: int
    """Events, once."""
    refreshes: int
    """Events a month, as `changes`."""
    changes: int
    changes_per_day: float
    assumed: bool
    """Whether the changes a day are an assumption."""

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
    """Of a month's events, in US dollars."""
    return max(0, events - FREE_EVENTS) * PRICE
