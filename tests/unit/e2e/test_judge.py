"""The judge of the end-to-end run sees each way in which Security Hub can differ from what is called for."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.claims import Claims
from tests.e2e.judge import Row, differences, judge
from tests.faults.truth import Violation

ROOT = Violation("kyverno", "harbour-root", "root", "Deployment", "shop", "web")
HIGH = Claims({ROOT: frozenset({"HIGH"})})
LISTED = Violation("gatekeeper", "HarbourRoot", "no-root", "Deployment", "shop", "web")
CREATED = "2026-01-01T00:00:00.000Z"
NOTE = "accepted until spring"


class Past:
    """A violation was called for from the first second to the second."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def since(self, violation: Violation, moment: float, *, claimed: bool) -> float | None:
        if self.start <= moment < self.end:
            return self.start if claimed else None
        return None if claimed else (self.end if moment >= self.end else 0.0)

    def throughout(self, violation: Violation, start: float, end: float, *, claimed: bool) -> bool:
        began = self.since(violation, end, claimed=claimed)
        return began is not None and began <= start


def finding(violation: Violation, *, state: str = "ACTIVE", label: str = "HIGH", **members: Any) -> dict[str, Any]:
    fields = {f"policyhub/{key}": value for key, value in zip(("source", "policy", "rule"), violation, strict=False)}
    other = dict(zip(("Kind", "Namespace", "Name"), violation[3:], strict=True))
    return {
        "Id": "a",
        "RecordState": state,
        "CreatedAt": CREATED,
        "Workflow": {"Status": "NEW"},
        "FindingProviderFields": {"Severity": {"Label": label}},
        "ProductFields": fields,
        "Resources": [{"Details": {"Other": other}}],
        **members,
    }


@pytest.mark.parametrize(
    ("found", "claims", "told"),
    [
        pytest.param([finding(ROOT)], HIGH, [], id="as it should be"),
        pytest.param([], HIGH, ["missing"], id="missing"),
        pytest.param([finding(ROOT, state="ARCHIVED")], HIGH, ["missing"], id="archived"),
        pytest.param([finding(ROOT)], Claims(), ["stale"], id="stale"),
        pytest.param([finding(LISTED)], Claims(cut=frozenset({("HarbourRoot", "no-root")})), [], id="a cut list"),
        pytest.param([finding(ROOT)] * 2, HIGH, ["double"], id="double"),
        pytest.param([finding(ROOT)], Claims({ROOT: frozenset({"LOW"})}), ["severity"], id="another severity"),
    ],
)
def test_the_state(found: list[dict[str, Any]], claims: Claims, told: list[str]) -> None:
    """Active findings and what is called for are the same, one finding each, with a severity that somebody gave."""
    assert [line.partition(":")[0] for line in differences(found, claims)] == told


def judged(
    outcome: str,
    *,
    past: Past,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    redundant: bool = False,
    allowed: frozenset[str] = frozenset({"created", "archived"}),
    triaged: Mapping[str, str] | None = None,
) -> Row:
    """One import, at 100 s."""
    row = Row("step")
    entry = {"kind": "import", "id": "a", "time": 100.0, "outcome": outcome, "redundant": redundant}
    judge(
        row,
        before={"a": before} if before else {},
        after={"a": after or finding(ROOT)},
        entries=[entry],
        past=past,
        began=90.0,
        allowed=allowed,
        of=lambda violation: violation == ROOT,
        triaged=triaged or {},
    )
    return row


def test_a_right_import() -> None:
    """The seconds are those since the engine said so."""
    row = judged("created", past=Past(97, 200))
    assert (row.good, row.found, row.least) == (True, [3.0], 1)


def test_an_import_that_is_ahead_of_the_news() -> None:
    """The operator may hear of it a moment before this run does."""
    row = judged("created", past=Past(103, 200))
    assert (row.good, row.found) == (True, [0.0])


def test_a_right_archive() -> None:
    """The seconds are those since nothing called for it."""
    row = judged("archived", past=Past(0, 89), before=finding(ROOT), after=finding(ROOT, state="ARCHIVED"))
    assert (row.good, row.archived, row.least) == (True, [11.0], 1)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(judged("archived", past=Past(0, 200)), id="archived although called for"),
        pytest.param(judged("created", past=Past(0, 50)), id="created although nothing called for it"),
        pytest.param(judged("created", past=Past(0, 200), allowed=frozenset()), id="not in this step"),
        pytest.param(judged("created", past=Past(0, 200), after=finding(LISTED)), id="another finding"),
        pytest.param(judged("created", past=Past(0, 200), redundant=True), id="the same again"),
        pytest.param(judged("created", past=Past(0, 200), triaged={"a": NOTE}), id="triage undone"),
        pytest.param(judged("created", past=Past(0, 200), before=finding(ROOT, CreatedAt="x")), id="CreatedAt moved"),
    ],
)
def test_a_wrong_import(row: Row) -> None:
    """Whatever is wrong with an import makes the step bad."""
    assert not row.good
