"""A few runs of the fault bench with fixed seeds; `make faults` makes many."""

from collections.abc import Iterator

import pytest

from dev.cluster import ControlPlane
from tests.faults.arena import Arena
from tests.faults.run import run
from tests.faults.table import line
from tests.faults.trouble import MIXED


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with ControlPlane.start(progress=print) as plane, Arena.open(plane, tmp_path_factory.mktemp("faults")) as arena:
        yield arena


@pytest.mark.parametrize(("fault", "seed"), [(MIXED, 1), ("operator: kill -9", 1)])
def test_promises_hold(arena: Arena, fault: str, seed: int) -> None:
    """When the faults stop, Security Hub has exactly the violations; none was archived that had not ended; triage is as
    the analyst left it.
    """
    result = run(arena, fault, seed=seed, seconds=6)
    assert result.good, line(result)
