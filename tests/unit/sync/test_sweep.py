"""What a listing remembers of the objects that it brings."""

import msgspec
import pytest

from policyhub.sync import rewrites
from tests.bench import shape
from tests.bench.steps import viewed

SECOND = 1_790_000_000
MOST = 7


def test_a_listing_remembers_no_report_without_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without a violation leave nothing behind but a bounded number of fingerprints and witnesses of scans."""
    reports = [msgspec.json.encode(shape.report(n, failing=0, second=SECOND)) for n in range(50)]
    monkeypatch.setattr(rewrites, "MOST_PASSING", MOST)
    view, ledger = viewed(reports[:1])
    for _ in range(2):
        view.begin()
        for raw in reports:
            view.upsert(raw)
            assert view._sweep._unseen <= {*view._rewrites.keys(), *ledger.sources.scans.witnesses()}
        view.finish()
    assert len(view._rewrites.keys()) == MOST
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
