"""The checker of the end-to-end run finds every way in which Security Hub can differ from the claims."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.checker import Row, check, differences
from tests.e2e.claims import Claims
from tests.faults.truth import Violation

ROOT = Violation("kyverno", "harbour-root", "root", "Deployment", "shop", "web")
HIGH = Claims({ROOT: frozenset({"HIGH"})})
LISTED = Violation("gatekeeper", "HarbourRoot", "no-root", "Deployment", "shop", "web")
CREATED = "2026-01-01T00:00:00.000Z"
NOTE = "accepted until spring"


class History:
    """A violation was claimed from the first second to the second."""

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
    ("found", "claims", "problems"),
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
def test_active_findings_match_the_claims(found: list[dict[str, Any]], claims: Claims, problems: list[str]) -> None:
    """One finding per claimed violation, with a severity that a claim has."""
    assert [line.partition(":")[0] for line in differences(found, claims)] == problems


def checked_row(
    outcome: str,
    *,
    history: History,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    redundant: bool = False,
    allowed: frozenset[str] = frozenset({"created", "archived"}),
    triaged: Mapping[str, str] | None = None,
) -> Row:
    """Check a step with one import, at 100 s."""
    row = Row("step")
    entry = {"kind": "import", "id": "a", "time": 100.0, "outcome": outcome, "redundant": redundant}
    check(
        row,
        before={"a": before} if before else {},
        after={"a": after or finding(ROOT)},
        entries=[entry],
        history=history,
        began=90.0,
        allowed=allowed,
        of=lambda violation: violation == ROOT,
        triaged=triaged or {},
    )
    return row


def test_a_right_import() -> None:
    """The delay counts from the claim."""
    row = checked_row("created", history=History(97, 200))
    assert (row.good, row.found, row.least) == (True, [3.0], 1)


def test_an_import_just_before_the_claim() -> None:
    """The operator may see the claim a moment before this run does."""
    row = checked_row("created", history=History(103, 200))
    assert (row.good, row.found) == (True, [0.0])


def test_a_right_archive() -> None:
    """The delay counts from the end of the last claim."""
    row = checked_row("archived", history=History(0, 89), before=finding(ROOT), after=finding(ROOT, state="ARCHIVED"))
    assert (row.good, row.archived, row.least) == (True, [11.0], 1)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(checked_row("archived", history=History(0, 200)), id="archived although called for"),
        pytest.param(checked_row("created", history=History(0, 50)), id="created without a claim"),
        pytest.param(checked_row("created", history=History(0, 200), allowed=frozenset()), id="not in this step"),
        pytest.param(checked_row("created", history=History(0, 200), after=finding(LISTED)), id="another finding"),
        pytest.param(checked_row("created", history=History(0, 200), redundant=True), id="the same again"),
        pytest.param(checked_row("created", history=History(0, 200), triaged={"a": NOTE}), id="triage undone"),
        pytest.param(
            checked_row("created", history=History(0, 200), before=finding(ROOT, CreatedAt="x")), id="CreatedAt moved"
        ),
    ],
)
def test_a_wrong_import(row: Row) -> None:
    """Any error of an import fails the step."""
    assert not row.good
