"""The effect of an import on a stored finding."""

from typing import Any

import pytest

from dev.hub import merge
from dev.hub.sample import finding

LOW, MEDIUM, HIGH = {"Label": "LOW"}, {"Label": "MEDIUM"}, {"Label": "HIGH"}
NOBODY: frozenset[str] = frozenset()


def made(**changes: Any) -> dict[str, Any]:
    changes.setdefault("FindingProviderFields", None)
    return finding(**changes)


def label(stored: dict[str, Any]) -> tuple[str, str]:
    return stored["FindingProviderFields"]["Severity"]["Label"], stored["Severity"]["Label"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"FindingProviderFields": {"Severity": LOW}}, ("LOW", "LOW"), id="only provider fields"),
        pytest.param({"Severity": LOW}, ("LOW", "LOW"), id="only the top"),
        pytest.param({"FindingProviderFields": {"Severity": LOW}, "Severity": HIGH}, ("LOW", "LOW"), id="both"),
    ],
)
def test_new(sent: dict[str, Any], expected: tuple[str, str]) -> None:
    """In a new finding, provider fields also fill the top level; otherwise the top-level value is used."""
    assert label(merge.first(made(**sent))) == expected


@pytest.mark.parametrize(
    ("sent", "untouched", "touched"),
    [
        pytest.param(
            {"FindingProviderFields": {"Severity": LOW}}, ("LOW", "LOW"), ("LOW", "MEDIUM"), id="only provider"
        ),
        pytest.param({"Severity": LOW}, ("LOW", "LOW"), ("LOW", "MEDIUM"), id="only the top"),
        pytest.param(
            {"FindingProviderFields": {"Severity": LOW}, "Severity": HIGH},
            ("LOW", "HIGH"),
            ("LOW", "MEDIUM"),
            id="both",
        ),
    ],
)
def test_known(sent: dict[str, Any], untouched: tuple[str, str], touched: tuple[str, str]) -> None:
    """In a known finding, the top-level value follows the provider until a customer has changed it."""
    old = merge.first(made(Severity=MEDIUM))
    new = made(**sent)
    assert label(merge.again(new, old, NOBODY, keep=False)) == untouched
    assert label(merge.again(new, old, frozenset({"Severity"}), keep=False)) == touched


def test_customers_members() -> None:
    """Workflow, note, user-defined fields and verification state are used on the first import only."""
    theirs: dict[str, Any] = {
        "Workflow": {"Status": "NOTIFIED"},
        "Note": {"Text": "t", "UpdatedBy": "u", "UpdatedAt": "2026-03-02T08:00:00Z"},
        "UserDefinedFields": {"a": "b"},
        "VerificationState": "TRUE_POSITIVE",
    }
    old = merge.first(finding(**theirs))
    assert {name: old[name] for name in theirs} == theirs
    new = finding(Workflow={"Status": "NEW"}, UserDefinedFields={"c": "d"}, VerificationState="UNKNOWN")
    merged = merge.again(new, old, NOBODY, keep=False)
    assert {name: merged[name] for name in theirs} == theirs


@pytest.mark.parametrize(
    ("before", "after", "status", "expected"),
    [
        pytest.param("ARCHIVED", "ACTIVE", "NOTIFIED", "NEW", id="notified comes back"),
        pytest.param("ARCHIVED", "ACTIVE", "RESOLVED", "NEW", id="resolved comes back"),
        pytest.param("ARCHIVED", "ACTIVE", "SUPPRESSED", "SUPPRESSED", id="suppressed comes back"),
        pytest.param("ACTIVE", "ARCHIVED", "NOTIFIED", "NOTIFIED", id="archiving"),
        pytest.param("ACTIVE", "ACTIVE", "RESOLVED", "RESOLVED", id="still active"),
        pytest.param("ARCHIVED", "ARCHIVED", "NOTIFIED", "NOTIFIED", id="still archived"),
    ],
)
def test_workflow_on_record_state(before: str, after: str, status: str, expected: str) -> None:
    """NOTIFIED and RESOLVED become NEW exactly when a finding is reactivated."""
    old = merge.first(finding(RecordState=before, Workflow={"Status": status}))
    merged = merge.again(finding(RecordState=after), old, NOBODY, keep=False)
    assert merged["Workflow"]["Status"] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("PASSED", "FAILED", "NEW"), ("PASSED", "PASSED", "RESOLVED"), ("FAILED", "WARNING", "RESOLVED")],
)
def test_workflow_on_compliance(before: str, after: str, expected: str) -> None:
    """RESOLVED becomes NEW when compliance was PASSED and no longer is."""
    old = merge.first(finding(Compliance={"Status": before}, Workflow={"Status": "RESOLVED"}))
    merged = merge.again(finding(Compliance={"Status": after}), old, NOBODY, keep=False)
    assert merged["Workflow"]["Status"] == expected


def test_omitted_members() -> None:
    """Members that an update omits are cleared or kept, by the switch; required members are replaced."""
    old = merge.first(finding(SourceUrl="https://example.com", Confidence=5))
    new = finding(Title="Another")
    cleared = merge.again(new, old, NOBODY, keep=False)
    kept = merge.again(new, old, NOBODY, keep=True)
    assert "SourceUrl" not in cleared
    assert "Confidence" not in cleared
    assert (kept["SourceUrl"], kept["Confidence"]) == ("https://example.com", 5)
    assert cleared["Title"] == kept["Title"] == "Another"


def test_what_the_service_owns() -> None:
    """ProcessedAt, Region and account name from a provider are ignored; the service writes its own."""
    stored = merge.first(finding(ProcessedAt="2001-01-01T00:00:00Z", Region="us-east-1", AwsAccountName="x"))
    assert not {"ProcessedAt", "Region", "AwsAccountName"} & stored.keys()
    merge.serve(stored, processed_at="2026-03-02T08:00:00.000Z", region="eu-west-1")
    assert (stored["ProcessedAt"], stored["Region"]) == ("2026-03-02T08:00:00.000Z", "eu-west-1")
    assert stored["ProductFields"]["aws/securityhub/FindingId"] == f"{stored['ProductArn']}/one"
    assert stored["ProductFields"]["aws/securityhub/ProductName"] == "Default"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"UpdatedAt": "2026-04-02T08:00:00Z", "LastObservedAt": "2026-04-02T08:00:00Z"}, True, id="times"),
        pytest.param({"Title": "Another"}, False, id="title"),
        pytest.param({"RecordState": "ARCHIVED"}, False, id="state"),
        pytest.param({"SourceUrl": "https://example.com"}, False, id="one member more"),
    ],
)
def test_redundant(change: dict[str, Any], *, expected: bool) -> None:
    """An import is redundant exactly if only times differ."""
    old = merge.first(finding())
    assert merge.redundant(merge.again(finding(**change), old, NOBODY, keep=False), old) is expected
