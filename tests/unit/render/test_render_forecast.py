"""The monthly cost of findings, and their counts in a summary."""

import pytest

from policyhub.clock import WallMs
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Identity, Subject
from policyhub.render.forecast import MONTH_DAYS, REFRESH_DAYS, forecast, price
from policyhub.render.summary import assumptions
from policyhub.sync.plan import refresh_due

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("findings", "changes", "events"),
    [(0, None, (0, 0, 0)), (1000, None, (1000, 1091, 300)), (1000, 0.0, (1000, 1091, 0)), (10, 5.0, (10, 11, 150))],
    ids=["nothing", "assumed", "still", "given"],
)
def test_events_of_a_month(findings: int, changes: float | None, events: tuple[int, int, int]) -> None:
    """First import, refreshes and changes; by default 1 in 100 changes a day."""
    output = forecast(findings, changes_per_day=changes)
    assert (output.first_import, output.refreshes, output.changes) == events
    assert output.first_month == sum(events)
    assert output.monthly == sum(events[1:])
    assert output.assumed is (changes is None)


def test_refreshes_equal_the_operators() -> None:
    """The days between two refreshes are the average of the operator's due times."""
    ids = [finding_id("c", Identity("s", "p", str(n), Subject("", "", "", ""), "")) for n in range(2000)]
    average = sum(int(refresh_due(id_, WallMs(0))) for id_ in ids) / len(ids) / DAY_MS
    assert average == pytest.approx(REFRESH_DAYS, rel=0.01)
    assert MONTH_DAYS == 30


@pytest.mark.parametrize(("events", "dollars"), [(0, 0), (10_000, 0), (10_001, 0.00003), (7_300_000, 218.7)], ids=str)
def test_price(events: int, dollars: float) -> None:
    """The first 10,000 events of a month are free."""
    assert price(events) == pytest.approx(dollars)


def test_assumptions_are_marked() -> None:
    """A given number is not."""
    assert "this assumes 1 in 100" in assumptions(forecast(100))[0]
    assert "assumes" not in assumptions(forecast(100, changes_per_day=3))[0]
