"""The table of what the mapping costs. No time is asserted."""

import pytest

from tests.bench import mapping, steps

TABLE = dict(mapping.table(20))


@pytest.mark.parametrize("what", mapping.shapes())
def test_each_shape_of_source_object_has_its_figures(what: str) -> None:
    """The bench's own and those of every producer's samples have violations, and each of them costs something."""
    assert all(source.violations() for source in mapping.shapes()[what])
    assert "read" in TABLE[what]
    assert " 0.0 rendered" not in TABLE[what]


def test_what_stays_is_counted() -> None:
    """What holds nothing holds next to nothing; more holds more."""
    assert mapping.kept(lambda: None) < 1000
    assert mapping.kept(lambda: [str(n) for n in range(1000, 2000)]) > 50_000


def test_pods_are_rolled_up_where_their_cost_is_counted() -> None:
    """Ten Pods with two failing results each are the two findings of their Deployment."""
    rolled = mapping.of_pods(10, failing=2)
    assert {str(one.subject.kind) for source in rolled for one in source.violations()} == {"Pod"}
    _, ledger = steps.viewed([source.raw for source in rolled], pods=10)
    assert (
        sorted(entry.representative.subject.kind for entry in ledger.entries.values() if entry.representative)
        == ["Deployment"] * 2
    )
