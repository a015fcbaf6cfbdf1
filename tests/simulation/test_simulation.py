"""The simulation by fixed seeds and the stories that come out right; that a seed repeats; that a story gets short.

Seeds and stories are played by processes of their own, in which sets of texts have one order (PYTHONHASHSEED).
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.faults import KINDS
from tests.simulation.mends import MENDS, table
from tests.simulation.scenario import SHORT, Action, Scenario, shortest
from tests.simulation.world import Outcome

LONG_SEEDS, SHORT_SEEDS = "1-40", "1-250"
LONGEST_SECONDS = 1_200


def simulate(*arguments: str) -> str:
    """What it prints. Fails where a promise is broken."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # thrice as slow
    done = subprocess.run(  # noqa: S603  (our own module, fixed arguments)
        [sys.executable, "-m", "tests.simulation", *arguments],
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
        env={**plain, "PYTHONHASHSEED": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments", [("--seeds", LONG_SEEDS), ("--short", "--seeds", SHORT_SEEDS)], ids=["long", "short"]
)
def test_no_promise_is_broken(arguments: tuple[str, ...]) -> None:
    """Whatever happens in a cluster, to it, to Security Hub and to the operator, in any order: all as it should be."""
    print(simulate(*arguments))


def test_stories_come_out_right() -> None:
    """Each named story has the right outcome."""
    print(simulate("--story", "all"))


def test_each_mend_is_missed() -> None:
    """What a row of the table of faults is mended by, taken out: its stories break the promise of that row."""
    print(simulate("--mends"))


def test_the_mends_are_as_documented() -> None:
    """The README has the table of mends, and each row of the table of faults has a story or is named with its test."""
    readme = (Path(__file__).parent / "README.md").read_text()
    assert table() in readme
    told = {row for mend in MENDS for row in mend.rows.split()}
    assert {row for row in map(str, range(1, 25)) if f"\n| {row} | " not in readme} <= told


@pytest.mark.parametrize("seed", [3, 11])
def test_a_seed_repeats(seed: int) -> None:
    """The same seed twice: the same imports at the same times."""
    first, second = (Scenario.of(seed, sorted(KINDS), SHORT).play() for _ in range(2))
    assert first.imports > 5
    assert first.journal == second.journal


def test_seeds_differ() -> None:
    """Another seed is another story."""
    assert Scenario.of(1, sorted(KINDS)) != Scenario.of(2, sorted(KINDS))


def test_the_shortest_story_is_found() -> None:
    """Of twelve actions, of which two together break something, two are left."""
    actions = tuple(Action(float(n), "cut", n) for n in range(12))
    played = []

    class Paper(Scenario):
        def play(self) -> Outcome:
            played.append(self)
            return Outcome([], [str(action.number) for action in self.actions])

    scenario = replace(Paper(1, actions, 1.0))
    story = shortest(scenario, lambda outcome: {"3", "9"} <= set(outcome.journal))
    assert [action.number for action in story.actions] == [3, 9]
    assert len(played) < 60
