"""A few scenarios of the hostile suite beside one another; `make hostile` plays all of them."""

from collections.abc import Iterator

import pytest

from tests.hostile.arena import Arena
from tests.hostile.run import play
from tests.hostile.scenario import SCENARIOS
from tests.hostile.table import line

PLAYED = {
    "blanks": 8.0,
    "about objects of others": 8.0,
    "one result, 88,000 objects": 8.0,
    "kubeconfig bombs": 14.0,
}
"""With how many seconds each attack lasts."""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena.open(tmp_path_factory.mktemp("hostile")) as arena:
        yield arena


@pytest.mark.parametrize("name", PLAYED)
def test_who_means_harm_harms_nobody_else(arena: Arena, name: str) -> None:
    """While somebody attacks, the findings of others stay exact and prompt, the operator small and healthy; the status
    says what was refused, and all is well once what he wrote is gone.
    """
    result = play(arena, SCENARIOS[name], seed=1, seconds=PLAYED[name], restart=False)
    assert result.good, line(result)
