"""The hostile suite's report of its scenarios."""

import pytest

from tests.hostile.checker import PROMISES, Verdict
from tests.hostile.run import Result
from tests.hostile.scenario import BASELINE, SCENARIOS
from tests.hostile.table import HEADER, NAMED, OTHER, line, table
from tests.hostile.test_hostile import PLAYED


def result(verdict: Verdict | None = None, *, statement: str = "") -> Result:
    delays = {"alpha": [0.2, 0.4, 1.0], "beta": [0.3]}
    return Result(
        SCENARIOS[BASELINE],
        7,
        verdict or Verdict(),
        delays=delays,
        memory=120.4,
        health=0.05,
        accepted=9,
        statement=statement,
    )


@pytest.mark.parametrize("promise", PROMISES)
def test_a_broken_promise_is_reported(promise: str) -> None:
    """With its name, its meaning, what broke it and the command to run it again; and it has a column."""
    verdict = Verdict()
    getattr(verdict, promise).append("this one")
    text = line(result(verdict))
    assert text.startswith("BROKEN")
    assert f"{promise} ({PROMISES[promise]}): 1" in text
    assert "this one" in text
    assert f"--scenario '{BASELINE}' --seeds 7" in text
    assert promise in {*NAMED, *OTHER}


def test_rows_have_the_figures() -> None:
    """Each scenario has a row with its delays, memory and status text, safe to print."""
    rows = table([result(statement="alpha: \x1b[31m a|b " + "x" * 500)]).splitlines()
    assert rows[0].count("|") == rows[1].count("|") == len(HEADER) + 1
    cells = rows[2].replace("\\|", "").split("|")[1:-1]
    assert [cell.strip() for cell in cells[:7]] == [
        BASELINE, "0.40 s", "1.00 s", "1.00 s", "0.30 / 0.30 s", "120 MiB", "0.05 s",
    ]  # fmt: skip
    assert "\x1b" not in rows[2]
    assert rows[2].endswith("… |")


def test_each_scenario_has_a_description() -> None:
    """Each has a docstring, and those that `make test` runs exist."""
    assert all(len(scenario.about) > 20 for scenario in SCENARIOS.values())
    assert PLAYED.keys() <= SCENARIOS.keys()
