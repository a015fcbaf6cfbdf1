"""The guard: when it holds the losses of an engine, and what releases them."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.sync.guard import Guard, threshold_reason

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
        pytest.param(0, 0, False, id="0 of 0"),
    ],
)
def test_thresholds(lost: int, total: int, *, held: bool) -> None:
    """All of at least 20, more than 50 and more than 30 %, or more than 5,000."""
    assert bool(threshold_reason(lost, total)) == held


KYVERNO, GATEKEEPER = ("kyverno", "shop"), ("gatekeeper", "shop")


def guard(lost: int, total: int) -> Guard:
    made = Guard()
    made.count(KYVERNO, total)
    for number in range(lost):
        made.add_lost(f"id-{number}", KYVERNO)
    return made


def test_restored_findings_release_it_and_restart_the_delay() -> None:
    """A hold ends by itself when enough findings are reported again; the time is kept."""
    made = guard(60, 100)
    assert made.evaluate(now=NOW) == ({KYVERNO}, set())
    assert made.is_closed(KYVERNO, now=NOW)
    assert made.evaluate(now=NOW + 1) == (set(), set())
    for number in range(20):
        made.forget(f"id-{number}")
    assert made.is_closed(KYVERNO, now=NOW + 2)  # until it is weighed again
    assert made.evaluate(now=NOW + 2) == (set(), {KYVERNO})
    assert not made.is_closed(KYVERNO, now=NOW + 2)
    assert made.released == {KYVERNO: NOW + 2}


def test_an_approval_is_for_its_time_and_its_source() -> None:
    """Another engine stays held, and losses after the end of the approval are held again."""
    made = guard(60, 100)
    made.count(GATEKEEPER, 20)
    for number in range(20):
        made.add_lost(f"other-{number}", GATEKEEPER)
    made.evaluate(now=NOW)
    made.approved = {"kyverno": NOW + 1000}
    assert made.evaluate(now=NOW + 1) == (set(), {KYVERNO})
    assert not made.is_closed(KYVERNO, now=NOW + 1)
    assert made.is_closed(GATEKEEPER, now=NOW + 1)
    assert KYVERNO not in made.released  # no further delay
    assert made.is_closed(KYVERNO, now=NOW + 1000)


@pytest.mark.parametrize("approved", [True, False])
def test_a_refusal_between_two_evaluations_is_released(*, approved: bool) -> None:
    """A source that was closed for a moment only, and that no weighing has met so, is released at the next one: what
    was put aside in that moment would wait for ever.
    """
    made = guard(60, 100)
    assert made.is_closed(KYVERNO, now=NOW)
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
    made.add_lost("id-0", KYVERNO)
    assert made.lost("kyverno") == 5
    made.forget("id-0")
    made.forget("id-0")
    assert made.lost("kyverno") == 4
