"""A short run of the fuzzer (tests/hostile/fuzz.py) with inputs that are always the same."""

import random

import pytest

from tests.hostile import fuzz

INPUTS = 800
ELSEWHERE: frozenset[str] = frozenset()
"""What is tried in long runs only."""


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_read_does_harm(seed: int) -> None:
    """No error that nobody expects, nothing slow, no finding that is refused, no other namespace's subject."""
    only = [name for name, _, _ in fuzz.targets() if name not in ELSEWHERE]
    outcome = fuzz.run(seed=seed, goes_on=lambda tried: tried < INPUTS, only=only)
    assert outcome.crashes == []
    assert outcome.inputs == INPUTS
    assert all(outcome.by_target[name] for name in only)


def test_a_run_can_be_repeated() -> None:
    """The same seed makes the same inputs, so that what was found is found again."""
    rng, again = (random.Random(7) for _ in range(2))  # noqa: S311  (nothing is secret)
    of = fuzz.samples()["reports"][0]
    one, other = ([fuzz.encoded(fuzz.mutated(of, r), r) for _ in range(50)] for r in (rng, again))
    assert one == other
    assert len(set(one)) > 40
