"""A few scenarios of the hostile suite, one after the other; `make hostile` runs all of them."""

from collections.abc import Iterator

import pytest

from tests.hostile.harness import Harness
from tests.hostile.run import run_scenario
from tests.hostile.scenario import SCENARIOS
from tests.hostile.table import line

PLAYED = {
    "blanks": 8.0,
    "about objects of others": 8.0,
    "one result, 88,000 objects": 8.0,
    "kubeconfig bombs": 14.0,
}
"""Scenarios with the seconds of each attack."""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with Harness.open(tmp_path_factory.mktemp("hostile")) as harness:
        yield harness


@pytest.mark.parametrize("name", PLAYED)
def test_an_attack_harms_nobody_else(harness: Harness, name: str) -> None:
    """During an attack, findings of other tenants stay exact and prompt, and the operator small and healthy. The status
    reports what was refused. After the tenant's objects are deleted, the operator recovers.
    """
    result = run_scenario(harness, SCENARIOS[name], seed=1, seconds=PLAYED[name], restart=False)
    assert result.good, line(result)
