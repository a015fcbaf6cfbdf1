"""The operator reads the bench's reports as intended."""

import msgspec
import pytest

from policyhub.sources import reader
from tests.bench import shape
from tests.bench.probe import Sample, percentiles
from tests.bench.standin import SECOND, Template

LATEST = 2**40
SEEN = 1_790_000_000


@pytest.mark.parametrize("build", [shape.report, shape.wide])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_report_has_the_intended_violations(build: shape.Build, failing: int) -> None:
    """It has the right number of violations, and the first one has the identity that the probe expects."""
    raw = msgspec.json.encode(build(17, failing=failing, second=SEEN))
    reading = reader.read(shape.GROUP, shape.RESOURCE, raw, latest=LATEST)
    assert reading.complete
    assert len(reading.violations) == failing
    assert reading.newest == SEEN
    if failing:
        assert reading.violations[0][0].identity == shape.identity(17)


def test_a_wide_report_has_thirty_results_of_thirteen_kilobytes() -> None:
    """As the table's "30 results of 13 kB" claims."""
    document = shape.wide(1, failing=2, second=SEEN)
    assert len(document["results"]) == 30
    assert 13_000 < len(msgspec.json.encode(document)) < 14_000


@pytest.mark.parametrize("build", [shape.report, shape.wide])
def test_the_stand_in_serves_the_same_report(build: shape.Build) -> None:
    """The stand-in's template makes the same report for each number, with server-side metadata."""
    template = Template(lambda number: build(number, failing=2, second=SECOND))
    for number in (0, 7, 499_999):
        made = msgspec.json.decode(template(number, second=SEEN, revision=5))
        metadata = made["metadata"]
        assert metadata["resourceVersion"] == "5"
        assert (metadata["namespace"], metadata["name"]) == (shape.space(number), f"report-{number}")
        meant = build(number, failing=2, second=SEEN)
        assert {**made, "metadata": None} == {**meant, "metadata": None}


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        ([], "0 samples"),
        ([0.5], "500 ms of 1"),
        ([0.1, 0.2, 0.3], "200 ms, 298 ms of 3"),
        ([n / 1000 for n in range(101)], "50 ms, 99 ms of 101"),
    ],
)
def test_percentiles(samples: list[float], text: str) -> None:
    """Half of the samples are below p50, ninety-nine of a hundred below p99."""
    assert percentiles([Sample(0.0, seconds) for seconds in samples]) == text
