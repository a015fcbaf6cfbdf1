"""The mapping table has figures for every shape of source object. No time is asserted."""

import gc
from collections.abc import Iterator

import pytest

from tests.bench import mapping, steps


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Each measurement collects garbage twice: among all that pytest has loaded, that would take 20 s."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_each_shape_of_source_object_has_its_figures() -> None:
    """The bench's own shapes and those of every producer's samples have violations, each with a cost."""
    table = dict(mapping.table(20))
    shapes = mapping.shapes()
    assert len(shapes) > 10
    for what, sources in shapes.items():
        assert all(source.violations() for source in sources), what
        assert "read" in table[what]
        assert " 0.0 rendered" not in table[what]


def test_retained_bytes_are_counted() -> None:
    """An empty object retains almost nothing; a larger one retains more."""
    assert mapping.kept(lambda: None) < 1000
    assert mapping.kept(lambda: [str(n) for n in range(1000, 2000)]) > 50_000


def test_pods_are_rolled_up_in_the_memory_figures() -> None:
    """Ten Pods with two failing results each make two findings of their Deployment."""
    rolled = mapping.of_pods(10, failing=2)
    assert {str(one.subject.kind) for source in rolled for one in source.violations()} == {"Pod"}
    _, ledger = steps.viewed([source.raw for source in rolled], pods=10)
    assert (
        sorted(entry.representative.subject.kind for entry in ledger.entries.values() if entry.representative)
        == ["Deployment"] * 2
    )
