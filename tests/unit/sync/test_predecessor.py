"""Whether another process sent shortly before: the table of `policyhub.sync.predecessor`."""

import pytest

from policyhub.clock import WallMs
from policyhub.sync.predecessor import SHORTLY_MS, Predecessor

NOW = WallMs(1_790_000_000_000)
LONG_AGO, LATELY = NOW - SHORTLY_MS - 1, NOW - SHORTLY_MS


@pytest.mark.parametrize(
    ("worked_on", "renewed", "heartbeat", "sent"),
    [
        pytest.param(False, NOW, NOW, False, id="no process ever handled it"),
        pytest.param(True, 0, 0, True, id="no evidence"),
        pytest.param(True, LATELY, 0, True, id="the Lease was held"),
        pytest.param(True, LONG_AGO, 0, False, id="the Lease was not held"),
        pytest.param(True, 0, LATELY, True, id="its status was written"),
        pytest.param(True, 0, LONG_AGO, False, id="its status was not written"),
        pytest.param(True, LONG_AGO, LATELY, True, id="a process without a Lease wrote its status"),
        pytest.param(True, LATELY, LONG_AGO, True, id="the Lease holder could not write its status"),
        pytest.param(True, NOW + 86_400_000, 0, True, id="a clock ahead of ours"),
    ],
)
def test_the_table(*, worked_on: bool, renewed: WallMs, heartbeat: WallMs, sent: bool) -> None:
    """At a start."""
    before = Predecessor(started=NOW, renewed=renewed)
    assert before.sent_shortly_before(now=NOW, worked_on=worked_on, heartbeat=heartbeat) is sent


def test_a_process_that_has_run_long_has_no_predecessor() -> None:
    """The spec changes later: the heartbeat is our own."""
    before = Predecessor(started=NOW, renewed=NOW)
    later = NOW + SHORTLY_MS
    assert before.sent_shortly_before(now=later, worked_on=True, heartbeat=later)
    assert not before.sent_shortly_before(now=later + 1, worked_on=True, heartbeat=later)
