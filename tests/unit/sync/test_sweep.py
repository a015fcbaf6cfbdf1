"""What a listing remembers of the objects that it brings."""

import msgspec
import pytest

from policyhub.sync import rewrites
from tests.bench import shape
from tests.bench.steps import viewed

SECOND = 1_790_000_000
LIMIT = 7


def test_a_listing_remembers_no_report_without_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without a violation leave nothing behind but a bounded number of fingerprints and witnesses of scans."""
    reports = [msgspec.json.encode(shape.report(n, failing=0, second=SECOND)) for n in range(50)]
    monkeypatch.setattr(rewrites, "MAX_PASSING", LIMIT)
    sink, ledger = viewed(reports[:1])
    for _ in range(2):
        sink.begin()
        for raw in reports:
            sink.upsert(raw)
            assert sink._sweep._unseen <= {*sink._rewrites.keys(), *ledger.sources.scans.witnesses()}
        sink.finish()
    assert len(sink._rewrites.keys()) == LIMIT
    assert not ledger.desired.objects
    assert not ledger.entries


def test_what_a_listing_lacks_is_swept() -> None:
    """Of the reports with violations, those that the next listing does not bring have lost their calls."""
    reports = [msgspec.json.encode(shape.report(n, failing=2, second=SECOND)) for n in range(10)]
    sink, ledger = viewed(reports)
    sink.begin()
    for raw in reports[:7]:
        sink.upsert(raw)
    sink.finish()
    assert {key.name for key in ledger.desired.objects} == {shape.name(n) for n in range(7)}
    sink.begin()
    sink.abort()
    assert len(ledger.desired.objects) == 7
