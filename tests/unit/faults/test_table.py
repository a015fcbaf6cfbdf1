"""The fault bench's report of its runs."""

from collections import Counter

import pytest

from tests.faults.checker import PROMISES, Verdict
from tests.faults.run import Result
from tests.faults.table import HEADER, NAMED, OTHER, SENT, line, table


def result(*, fault: str = "hub: 500", seed: int = 1, hits: int = 3, verdict: Verdict | None = None) -> Result:
    return Result(
        fault=fault,
        seed=seed,
        events=100,
        pod_changes=40,
        hits=hits,
        seconds=4.4,
        verdict=verdict or Verdict(imports=50),
    )


def test_a_fault_that_never_hit_fails_the_run() -> None:
    """However well the run ended, it is not good; the report has the reason and the command to run it again."""
    assert result().good
    unhit = result(hits=0)
    assert not unhit.good
    assert "never hit" in line(unhit)
    assert "--fault 'hub: 500' --seeds 1" in line(unhit)


def broken(promise: str, *lines: str) -> Verdict:
    verdict = Verdict()
    getattr(verdict, promise).extend(lines)
    return verdict


@pytest.mark.parametrize("promise", PROMISES)
def test_a_broken_promise_is_reported(promise: str) -> None:
    """With its name, its meaning and what broke it; and it has a column."""
    text = line(result(verdict=broken(promise, "this one")))
    assert text.startswith("BROKEN")
    assert f"{promise} ({PROMISES[promise]}): 1" in text
    assert "this one" in text
    assert promise in {*NAMED, *OTHER, *SENT}
    row = table([result(verdict=broken(promise, "one", "two"))], ["hub: 500"]).splitlines()[-1]
    assert " 2 |" in row


def test_rows_add_up() -> None:
    """Runs of one fault are one row, in the given order; the last row is the sum."""
    allowed = Verdict(imports=50, allowed=Counter({"no answer": 2}))
    runs = [result(seed=2), result(fault="none", hits=1), result(seed=1, verdict=allowed)]
    header, _, first, second, total = (row.split(" | ") for row in table(runs, ["none", "hub: 500"]).splitlines())
    assert len(header) == len(first) == len(second) == len(total) == len(HEADER)
    assert (first[0], second[0], second[2:6]) == ("| none", "| hub: 500", ["6", "200", "80", "100"])
    assert second[HEADER.index("redundant: allowed")] == "2 no answer"
    assert total[:6] == ["| **all**", "3 runs", "6", "300", "120", "150"]
