"""Runs the simulation: fixed seeds, named stories, mutations; and checks that a seed repeats and that a story is
shortened.

Seeds and stories run in their own processes, in which sets of strings have a fixed order (PYTHONHASHSEED).
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.faults import KINDS
from tests.simulation.mutations import MUTATIONS, table
from tests.simulation.scenario import SHORT, Action, Scenario, shortest
from tests.simulation.world import Outcome

LONG_SEEDS, SHORT_SEEDS = "1-40", "1-250"
LONGEST_SECONDS = 1_200


def simulate(*arguments: str) -> str:
    """What the simulation prints. Fails if a promise is broken."""
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }  # coverage takes three times as long
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
    """Whatever happens in the cluster, to it, to Security Hub and to the operator, in any order, no promise is
    broken.
    """
    print(simulate(*arguments))


def test_stories_come_out_right() -> None:
    """Each named story has its right outcome."""
    print(simulate("--story", "all"))


def test_each_mutation_is_detected() -> None:
    """With the fix of a row of the table of faults reverted, its stories break the promise of that row."""
    print(simulate("--mutations"))


def test_mutations_are_documented() -> None:
    """The README has the table of mutations, and each row of the table of faults has a story or names its test."""
    readme = (Path(__file__).parent / "README.md").read_text()
    assert table() in readme
    played_rows = {row for mutation in MUTATIONS for row in mutation.rows.split()}
    assert {row for row in map(str, range(1, 25)) if f"\n| {row} | " not in readme} <= played_rows


@pytest.mark.parametrize("seed", [3, 11])
def test_a_seed_repeats(seed: int) -> None:
    """The same seed gives the same imports at the same times."""
    first, second = (Scenario.of(seed, sorted(KINDS), SHORT).play() for _ in range(2))
    assert first.imports > 5
    assert first.journal == second.journal


def test_seeds_differ() -> None:
    """Another seed gives another scenario."""
    assert Scenario.of(1, sorted(KINDS)) != Scenario.of(2, sorted(KINDS))


def test_the_shortest_story_is_found() -> None:
    """Of twelve actions, of which two together break something, those two remain."""
    actions = tuple(Action(float(n), "cut", n) for n in range(12))
    played = []

    class StubScenario(Scenario):
        def play(self) -> Outcome:
            played.append(self)
            return Outcome([], [str(action.number) for action in self.actions])

    scenario = replace(StubScenario(1, actions, 1.0))
    story = shortest(scenario, lambda outcome: {"3", "9"} <= set(outcome.journal))
    assert [action.number for action in story.actions] == [3, 9]
    assert len(played) < 60
