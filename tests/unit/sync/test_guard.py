"""The guard: when an engine has lost too much at once, and what opens it."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.sync.guard import Guard, trips

NOW = SteadyMs(1_790_000_000_000)


@pytest.mark.parametrize(
    ("lost", "total", "held"),
    [
        pytest.param(19, 19, False, id="all of 19"),
        pytest.param(20, 20, True, id="all of 20"),
        pytest.param(20, 21, False, id="20 of 21"),
        pytest.param(50, 100, False, id="50 of 100"),
        pytest.param(51, 100, True, id="51 of 100"),
        pytest.param(60, 200, False, id="30 %"),
        pytest.param(61, 200, True, id="more than 30 %"),
        pytest.param(5000, 100_000, False, id="5,000 of many"),
        pytest.param(5001, 100_000, True, id="5,001 of many"),
        pytest.param(0, 0, False, id="nothing of nothing"),
    ],
)
def test_thresholds(lost: int, total: int, *, held: bool) -> None:
    """All where there are 20, more than 50 that are more than 30 %, or more than 5,000."""
    assert bool(trips(lost, total)) == held


KYVERNO, GATEKEEPER = ("kyverno", "shop"), ("gatekeeper", "shop")


def guard(lost: int, total: int) -> Guard:
    made = Guard()
    made.count(KYVERNO, total)
    for number in range(lost):
        made.wait(f"id-{number}", KYVERNO)
    return made


def test_what_comes_back_opens_it_and_the_delay_begins_anew() -> None:
    """A hold ends by itself when enough has come back; when it did is remembered."""
    made = guard(60, 100)
    assert made.evaluate(now=NOW) == ({KYVERNO}, set())
    assert made.closed(KYVERNO, now=NOW)
    assert made.evaluate(now=NOW + 1) == (set(), set())
    for number in range(20):
        made.forget(f"id-{number}")
    assert made.closed(KYVERNO, now=NOW + 2)  # until it is weighed again
    assert made.evaluate(now=NOW + 2) == (set(), {KYVERNO})
    assert not made.closed(KYVERNO, now=NOW + 2)
    assert made.released == {KYVERNO: NOW + 2}


def test_an_approval_opens_it_for_its_time_and_its_source() -> None:
    """Another engine is not approved of, and what is lost after the approval ended is held again."""
    made = guard(60, 100)
    made.count(GATEKEEPER, 20)
    for number in range(20):
        made.wait(f"other-{number}", GATEKEEPER)
    made.evaluate(now=NOW)
    made.approved = {"kyverno": NOW + 1000}
    assert made.evaluate(now=NOW + 1) == (set(), {KYVERNO})
    assert not made.closed(KYVERNO, now=NOW + 1)
    assert made.closed(GATEKEEPER, now=NOW + 1)
    assert KYVERNO not in made.released  # no further delay
    assert made.closed(KYVERNO, now=NOW + 1000)


@pytest.mark.parametrize("approved", [True, False])
def test_what_was_refused_between_two_weighings_is_released(*, approved: bool) -> None:
    """A source that was closed for a moment only, and that no weighing has met so, is released at the next one: what
    was put aside in that moment would wait for ever.
    """
    made = guard(60, 100)
    assert made.closed(KYVERNO, now=NOW)
    if approved:
        made.approved = {"kyverno": NOW + 1000}
    for number in range(0 if approved else 20):
        made.forget(f"id-{number}")
    assert made.evaluate(now=NOW + 1) == (set(), {KYVERNO})
    assert made.evaluate(now=NOW + 2) == (set(), set())
    assert made.released == ({} if approved else {KYVERNO: NOW + 1})


def test_a_loss_counts_once() -> None:
    """However often a finding is decided."""
    made = guard(5, 10)
    made.wait("id-0", KYVERNO)
    assert made.lost("kyverno") == 5
    made.forget("id-0")
    made.forget("id-0")
    assert made.lost("kyverno") == 4
