"""A few runs of the fault bench with fixed seeds; `make faults` runs many."""

from collections.abc import Iterator

import pytest

from dev.cluster import ControlPlane
from tests.faults.harness import Harness
from tests.faults.injections import MIXED
from tests.faults.run import run
from tests.faults.table import line


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with ControlPlane.start(progress=print) as plane, Harness.open(plane, tmp_path_factory.mktemp("faults")) as harness:
        yield harness


@pytest.mark.parametrize(("fault", "seed"), [(MIXED, 1), ("operator: kill -9", 1)])
def test_faults_break_no_promise(harness: Harness, fault: str, seed: int) -> None:
    """After the faults, Security Hub has exactly the violations of the cluster; nothing was archived too early; triage
    is as the analyst left it.
    """
    result = run(harness, fault, seed=seed, seconds=6)
    assert result.good, line(result)
