"""Others' objects from wire to finding, as tests/unit asks it of our own samples."""

from collections.abc import Callable
from typing import Any

import pytest

from dev.company import Violation
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.model.violation import ObjectRef
from tests.shared.recordings import everything, of
from tests.unit.findings import mapping
from tests.unit.sources.recorded import Recorded
from tests.unit.sync.test_recorded_rollup import violations

Objections = Callable[[dict[str, Any]], list[str]]

CONSTRAINTS = "live/gatekeeper-3.23.1-constraints.json"
REPORTS = "live/kyverno-1.19.1-policyreports.json"
SWITCHED = "live/kyverno-1.19.1-openreports-reports.json"


@pytest.fixture(scope="module")
def recorded() -> list[Recorded]:
    return everything()


def ids(*recorded: Recorded) -> list[str]:
    return [finding_id(mapping.ARN, v.identity) for one in recorded for v in one.read().plain_violations]


def test_each_object_is_read_without_a_problem(recorded: list[Recorded]) -> None:
    """Each bad result becomes a violation with an id of its own, and each pass is read."""
    assert len({one.moment for one in recorded}) == 20
    for one in recorded:
        assert one.read().problems == (), one.name
        assert len(ids(one)) == len(set(ids(one))) == one.violations, one.name
        assert not one.passed() & {violation.identity for violation in one.read().plain_violations}, one.name
    reports = [one for one in recorded if one.moment == REPORTS]
    assert (sum(one.violations for one in reports), sum(len(one.passed()) for one in reports)) == (586, 1446)


def test_security_hub_accepts_each_finding(recorded: list[Recorded], objections: Objections) -> None:
    """Active or archived."""
    for one in recorded:
        for archived in (False, True):
            for finding in mapping.findings(one.read(), archived=archived):
                assert objections(finding) == [], one.name


def test_no_two_objects_share_a_finding(recorded: list[Recorded]) -> None:
    """After Kyverno's switch to openreports, its new reports claim what its old ones claim."""
    assert len(set(ids(*of(SWITCHED)))) == 213
    assert set(ids(*of(SWITCHED))) < set(ids(*of(REPORTS)))
    others = ids(*(one for one in recorded if one.moment != SWITCHED))
    assert len(others) == len(set(others))


def test_constraints_that_gatekeeper_cut() -> None:
    """Three of seven list 20 of more violations, up to their boundary."""
    cut: dict[str, tuple[int, ObjectRef | None]] = {}
    for one in of(CONSTRAINTS):
        reading = one.read()
        assert reading.complete == (reading.boundary is None) == (not reading.unlisted)
        if reading.unlisted:
            cut[reading.key.name] = reading.unlisted, reading.boundary
    assert cut == {
        "container-must-have-limits": (7, ObjectRef("", "v1", "Pod", "sandbox", "try-2-5bbf6cf98b-b9d4x")),
        "replica-limits": (1, ObjectRef("apps", "v1", "Deployment", "shop", "cart")),
        "psp-allow-privilege-escalation-container": (
            9,
            ObjectRef("", "v1", "Pod", "sandbox", "try-0-fd8bcdb9d-dvzcs"),
        ),
    }


def test_a_rescan_and_another_order_change_nothing(recorded: list[Recorded]) -> None:
    """Nothing is to be sent."""
    for one in recorded:
        before, after = one.read(), one.rescanned().read()
        assert before.plain_violations == after.plain_violations, one.name
        assert [*map(digest, before.plain_violations)] == [*map(digest, after.plain_violations)]
        assert one.passed() == one.rescanned().passed()
        assert one.reordered().read().violations == before.violations


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kyverno-podsecurity.json", "kyverno-podsecurity-next-scan.json"),
        ("netchecks-times-in-properties.yaml", "netchecks-times-in-properties-next-run.yaml"),
    ],
)
def test_a_recorded_rescan_changes_nothing(one: str, other: str) -> None:
    """Two scans of one object, as Kyverno 1.19.1 wrote them and as Netchecks writes them."""
    (before,), (after,) = of(f"reports/{one}"), of(f"reports/{other}")
    assert mapping.essence(before.read()) == mapping.essence(after.read()) != []


def test_586_failing_results_are_209_findings() -> None:
    """35 Pods under 39 policies, rolled up to their controllers; counted here without any of our code."""
    owners, reports = of("live/owners.json"), of(REPORTS)
    above: dict[tuple[str, str, str], tuple[str, str, str]] = {}
    for owned in (one.document for one in owners):
        metadata = owned["metadata"]
        for reference in metadata.get("ownerReferences", ()):
            owner = reference["kind"], metadata["namespace"], reference["name"]
            above[owned["kind"], metadata["namespace"], metadata["name"]] = owner
    expected: set[Violation] = set()
    for report in (one.document for one in reports):
        where = report["scope"]["kind"], report["metadata"]["namespace"], report["scope"]["name"]
        while where in above:
            where = above[where]
        for result in report["results"]:
            if result["result"] == "fail":
                rule = result.get("rule", "").removeprefix("autogen-cronjob-").removeprefix("autogen-")
                expected.add(Violation(result["source"], result["policy"], rule, *where))
    assert (sum(one.entries for one in reports), len(expected)) == (586, 209)
    assert violations(reports, owners=owners) == expected
