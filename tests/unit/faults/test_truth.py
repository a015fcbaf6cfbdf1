"""What the fault bench takes for the truth: of whoever changes the cluster, and of the API server's own objects."""

import pytest

from tests.faults import paper
from tests.faults.paper import Object, Pod, Result
from tests.faults.truth import Census, Said, Truth, Violation, ended, is_open

WEB = Violation("one", "alpha", "check", "Deployment", "north", "web-1")
STAMP = {"seconds": 1_700_000_000, "nanos": 0}


def test_a_violation_lasts_from_its_first_caller_to_its_last() -> None:
    """Two reports that say the same make one violation, which ends when neither says it any more."""
    truth = Truth()
    for key, moment, said in (("x", 1, [WEB]), ("y", 2, [WEB]), ("x", 3, []), ("y", 4, []), ("y", 9, [WEB])):
        truth.say(key, said, now=moment)
    assert truth.existed[WEB] == [[1, 4], [9]]
    assert truth.violations() == {WEB}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([[0.0]], False),
        ([[0.0, 15.0]], True),
        ([[0.0, 21.0]], False),
        ([[12.0]], True),
        ([[0.0, 5.0], [6.0]], False),
        ([], True),
    ],
)
def test_ended(spans: list[list[float]], *, expected: bool) -> None:
    """Whether something was absent at some moment between 10 and 20."""
    assert ended(spans, since=10, until=20) == expected


@pytest.mark.parametrize("kind", ["PolicyReport", "Report", "ClusterPolicyReport", "ClusterReport"])
def test_reports_are_read(kind: str) -> None:
    """Failing, warning and erring results are violations, with what they say; others are none."""
    about = Object("" if kind.startswith("Cluster") else "north", "web-1")
    results = [Result("alpha", "check"), Result("alpha", "limit", "warn", "high", 2), Result("beta", "check", "pass")]
    census = Census()
    census.read_report(paper.report(about, results, source="one", kind=kind, stamp=STAMP))
    first = Violation("one", "alpha", "check", about.kind, *about)
    assert census.seen == {
        first: {Said("FAILED", "MEDIUM", "check of alpha is not met, as seen in way 0")},
        first._replace(rule="limit"): {Said("WARNING", "HIGH", "limit of alpha is not met, as seen in way 2")},
    }


def test_constraints_are_read() -> None:
    """A constraint's list is read; where it is truncated, what lies beyond its last object is open."""
    pods = [Pod("north", f"pod-{n}") for n in range(3)]
    census = Census()
    census.read_constraint(paper.constraint("whole", pods, total=3, kind="K"))
    census.read_constraint(paper.constraint("cut", pods, total=5, kind="K"))
    census.read_constraint(paper.constraint("one", pods[:1], total=5, kind="K"))
    assert len(census.seen) == 7
    assert census.unlisted == {("K", "cut"): ("north", "pod-2"), ("K", "one"): None}
    beyond = Violation("gatekeeper", "K", "cut", "Pod", "north", "pod-7")
    assert is_open(beyond, census.unlisted)
    assert not is_open(beyond._replace(name="pod-1"), census.unlisted)
    assert not is_open(beyond._replace(rule="whole"), census.unlisted)
    assert is_open(beyond._replace(rule="one", name="pod-0"), census.unlisted)
