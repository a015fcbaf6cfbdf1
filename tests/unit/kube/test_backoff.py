import pytest

from policyhub.kube.backoff import MAX_RETRY_AFTER, Backoff


def test_the_ceiling_doubles_up_to_the_cap_and_resets() -> None:
    """With maximum jitter the waits equal the ceilings; a success resets to the first."""
    backoff = Backoff(lambda: 1.0, base=1, cap=60)
    assert [backoff.delay() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.reset()
    assert backoff.delay() == 1


def test_a_wait_may_have_its_own_cap() -> None:
    """The number of consecutive failures is shared; only this wait has another cap."""
    backoff = Backoff(lambda: 1.0, base=1, cap=60)
    backoff.failures = 8
    assert [backoff.delay(cap=600), backoff.delay(), backoff.delay(cap=600)] == [256, 60, 600]


def test_jitter_is_full() -> None:
    """With minimum jitter there is no wait: many clients spread over the whole interval."""
    assert Backoff(lambda: 0.0).delay() == 0


def test_very_many_failures_do_not_overflow() -> None:
    """The ceiling is a number even after weeks of failures."""
    backoff = Backoff(lambda: 1.0)
    backoff.failures = 1_000_000
    assert backoff.delay() == 60


@pytest.mark.parametrize(("asked", "waited"), [(None, 1.0), (0, 1.0), (7, 8.0), (10**9, MAX_RETRY_AFTER + 1)])
def test_retry_after(asked: float | None, waited: float) -> None:
    """The server's Retry-After precedes the jitter, up to a limit."""
    assert Backoff(lambda: 1.0).delay(asked) == waited
