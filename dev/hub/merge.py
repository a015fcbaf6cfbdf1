"""Decides what a stored finding becomes when a provider imports it again. Pure: no I/O, no clock.

Three owners share a finding:

| members | owner | on import |
|---|---|---|
| Workflow, Note, UserDefinedFields, VerificationState | customer | stored on the first import, ignored afterwards |
| ProcessedAt, Region, AwsAccountName, ProductFields `aws/…` | service | ignored, written by the service |
| Confidence, Criticality, RelatedFindings, Severity, Types | both | see below |
| everything else | provider | replaced |

The shared members exist twice: under FindingProviderFields (always the provider's latest values) and at the top level.
A top-level value that a customer has set with BatchUpdateFindings stays.

| provider sends | FindingProviderFields.x | top-level x, unless a customer changed it |
|---|---|---|
| only FindingProviderFields.x | FindingProviderFields.x | FindingProviderFields.x |
| only x | x | x |
| both, new finding | FindingProviderFields.x | FindingProviderFields.x |
| both, known finding | FindingProviderFields.x | x |
"""

from typing import Any

Finding = dict[str, Any]

CUSTOMER = ("Workflow", "Note", "UserDefinedFields", "VerificationState")
SERVICE = ("ProcessedAt", "Region", "AwsAccountName")
SHARED = ("Confidence", "Criticality", "RelatedFindings", "Severity", "Types")
TIMES = frozenset({"CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt", "ProcessedAt"})

_NUMBERS = {"INFORMATIONAL": 0, "LOW": 1, "MEDIUM": 40, "HIGH": 70, "CRITICAL": 90}


def first(new: Finding) -> Finding:
    """The finding that a first import creates."""
    merged = {name: value for name, value in new.items() if name not in SERVICE and name not in SHARED}
    merged.setdefault("RecordState", "ACTIVE")
    if not merged.get("Workflow"):
        merged["Workflow"] = {"Status": "NEW"}
    _guide(merged, new, None, frozenset(), keep=False)
    return merged


def again(new: Finding, old: Finding, touched: frozenset[str], *, keep: bool) -> Finding:
    """The finding after a later import.

    `touched`: the shared members that a customer changed; `keep`: whether omitted optional members stay.
    """
    merged = dict(old) if keep else {name: old[name] for name in CUSTOMER if name in old}
    for name, value in new.items():
        if name not in CUSTOMER and name not in SERVICE and name not in SHARED:
            merged[name] = value
    merged.setdefault("RecordState", "ACTIVE")
    _guide(merged, new, old, touched, keep=keep)
    if reopens(old, merged):
        merged["Workflow"] = {**merged["Workflow"], "Status": "NEW"}
    return merged


def reopens(old: Finding, merged: Finding) -> bool:
    """Whether the workflow status becomes NEW: from NOTIFIED and RESOLVED, if the finding is active again or no longer
    passes. SUPPRESSED stays.
    """
    if old["Workflow"].get("Status") not in {"NOTIFIED", "RESOLVED"}:
        return False
    if old["RecordState"] == "ARCHIVED" and merged["RecordState"] == "ACTIVE":
        return True
    before = old.get("Compliance", {}).get("Status")
    after = merged.get("Compliance", {}).get("Status")
    return bool(before == "PASSED" and after is not None and after != "PASSED")


def redundant(merged: Finding, old: Finding) -> bool:
    """Whether only times differ."""
    if {name for name in merged if name not in TIMES} != {name for name in old if name not in TIMES}:
        return False
    return all(name in TIMES or old[name] == value for name, value in merged.items())


def complete_severity(severity: Finding) -> Finding:
    """A top-level Severity with Label and Normalized, if at least one was given."""
    label = severity.get("Label") or _label(severity["Normalized"])
    return {**severity, "Label": label, "Normalized": severity.get("Normalized", _NUMBERS[label])}


def serve(finding: Finding, *, processed_at: str, region: str) -> None:
    """Sets the members that the service owns."""
    arn, identifier = finding["ProductArn"], finding["Id"]
    finding["ProcessedAt"] = processed_at
    finding["Region"] = region
    finding.setdefault("ProductName", "Default")
    finding.setdefault("CompanyName", "Personal")
    finding["ProductFields"] = {
        **finding.get("ProductFields", {}),
        "aws/securityhub/FindingId": f"{arn}/{identifier}",
        "aws/securityhub/ProductName": finding["ProductName"],
        "aws/securityhub/CompanyName": finding["CompanyName"],
    }


def _guide(merged: Finding, new: Finding, old: Finding | None, touched: frozenset[str], *, keep: bool) -> None:
    given = new.get("FindingProviderFields", {})
    provider: Finding = {}
    for name in SHARED:
        before = old.get(name) if old is not None else None
        if name in given:
            provider[name] = given[name]
            top = new[name] if old is not None and name in new else given[name]
        elif name in new:
            provider[name] = _provider_severity(new[name]) if name == "Severity" else new[name]
            top = new[name]
        else:
            top = before if keep else None
            if keep and old is not None and name in old.get("FindingProviderFields", {}):
                provider[name] = old["FindingProviderFields"][name]
        if name in touched:
            top = before
        elif name == "Severity" and top is not None:
            top = complete_severity(top)
        if top is None:
            merged.pop(name, None)
        else:
            merged[name] = top
    merged["FindingProviderFields"] = provider


def _provider_severity(severity: Finding) -> Finding:
    full = complete_severity(severity)
    return {name: full[name] for name in ("Label", "Original") if name in full}


def _label(normalized: int) -> str:
    for label in ("CRITICAL", "HIGH", "MEDIUM", "LOW"):
        if normalized >= _NUMBERS[label]:
            return label
    return "INFORMATIONAL"
