"""What a listing remembers of the objects that it brings."""

import msgspec

from tests.bench import shape
from tests.bench.steps import viewed

SECOND = 1_790_000_000


def test_a_listing_remembers_no_report_without_a_violation() -> None:
    """Reports without a violation leave nothing behind, while they are listed as little as afterwards."""
    reports = [msgspec.json.encode(shape.report(n, failing=0, second=SECOND)) for n in range(50)]
    view, ledger = viewed(reports[:1])
    for _ in range(2):
        view.begin()
        for raw in reports:
            view.upsert(raw)
            assert not view._sweep._unseen
        view.finish()
    assert not ledger.desired.objects
    assert not ledger.entries


def test_what_a_listing_lacks_is_swept() -> None:
    """Of the reports with violations, those that the next listing does not bring have lost their calls."""
    reports = [msgspec.json.encode(shape.report(n, failing=2, second=SECOND)) for n in range(10)]
    view, ledger = viewed(reports)
    view.begin()
    for raw in reports[:7]:
        view.upsert(raw)
    view.finish()
    assert {key.name for key in ledger.desired.objects} == {shape.name(n) for n in range(7)}
    view.begin()
    view.abort()
    assert len(ledger.desired.objects) == 7
