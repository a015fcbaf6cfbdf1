"""A short run of the fuzzer (tests/hostile/fuzz.py) with fixed seeds."""

import random

import pytest

from tests.hostile import fuzz

INPUTS = 800
ELSEWHERE: frozenset[str] = frozenset()
"""Targets of long runs only."""


@pytest.mark.parametrize("seed", range(4))
def test_no_input_breaks_a_decoder(seed: int) -> None:
    """Only documented errors, no slow input, no invalid finding, no subject of another namespace."""
    only = [name for name, _, _ in fuzz.targets() if name not in ELSEWHERE]
    outcome = fuzz.run(seed=seed, goes_on=lambda tried: tried < INPUTS, only=only)
    assert outcome.crashes == []
    assert outcome.inputs == INPUTS
    assert all(outcome.by_target[name] for name in only)


def test_a_seed_gives_the_same_inputs() -> None:
    """So a crash is reproducible."""
    rng, again = (random.Random(7) for _ in range(2))  # noqa: S311  (nothing is secret)
    of = fuzz.samples()["reports"][0]
    one, other = ([fuzz.encoded(fuzz.mutated(of, r), r) for _ in range(50)] for r in (rng, again))
    assert one == other
    assert len(set(one)) > 40
