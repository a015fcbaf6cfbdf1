"""A validator of findings, written from Security Hub's published limits and error messages alone.

It shares nothing with the renderer, or both would inherit one misreading.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from dev.hub.limits import FINDING_BYTES
from dev.hub.schema import checker

Objections = Callable[[dict[str, Any]], list[str]]

REQUIRED = frozenset(
    {
        "Title",
        "Description",
        "AwsAccountId",
        "Resources",
        "ProductArn",
        "GeneratorId",
        "UpdatedAt",
        "Id",
        "SchemaVersion",
        "CreatedAt",
        "FindingProviderFields",
    }
)
NEVER = frozenset(
    {
        "Note",
        "RelatedFindings",
        "Severity",
        "UserDefinedFields",
        "Workflow",
        "Criticality",
        "ProcessedAt",
        "WorkflowState",
        "VerificationState",
        "Region",
        "Confidence",
        "AwsAccountName",
        "Types",
    }
)
LENGTHS = {
    "Id": 512,
    "ProductArn": 2048,
    "GeneratorId": 512,
    "Title": 256,
    "Description": 1024,
    "ProductName": 128,
    "CompanyName": 128,
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TYPE = re.compile(r"([^/]+)(/[^/]+){0,2}")
FIELD_KEY = re.compile(r"[A-Za-z0-9 .:+\\=@_/-]{1,128}")
LABELS = {"INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"}
NAMESPACES = {
    "Software and Configuration Checks",
    "TTPs",
    "Effects",
    "Unusual Behaviors",
    "Sensitive Data Identifications",
}
STATUSES = {"PASSED", "WARNING", "FAILED", "NOT_AVAILABLE"}


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from strings(member, f"{path}.{key}")
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from strings(member, f"{path}[{place}]")


def objections_to(finding: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in REQUIRED - finding.keys())
    yield from (f"{name} is not ours to write" for name in NEVER & finding.keys())
    yield from (f"{name} is too long" for name, most in LENGTHS.items() if units(finding.get(name, "")) > most)
    if not re.fullmatch(r"\d{12}", finding["AwsAccountId"]):
        yield "AwsAccountId"
    for name in ("CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"):
        if not TIME.fullmatch(finding[name]) or datetime.fromisoformat(finding[name]).year < 2000:
            yield f"{name} is {finding[name]}"
    if finding["Compliance"]["Status"] not in STATUSES or finding["RecordState"] not in {"ACTIVE", "ARCHIVED"}:
        yield "Compliance.Status or RecordState"
    yield from texts(finding)
    yield from provider(finding["FindingProviderFields"])
    yield from resources(finding["Resources"])
    yield from fields(finding["ProductFields"])
    recommendation = finding.get("Remediation", {"Recommendation": {"Text": "-"}})["Recommendation"]
    if not recommendation or units(recommendation.get("Text", "")) > 512 or units(recommendation.get("Url", "")) > 1024:
        yield "Remediation"
    compliance, url = finding["Compliance"], finding.get("SourceUrl", "https://x")
    if len(compliance.get("RelatedRequirements", ())) > 32 or len(compliance.get("AssociatedStandards", ())) > 20:
        yield "Compliance"
    if any(units(requirement) > 64 for requirement in compliance.get("RelatedRequirements", ())):
        yield "a requirement is too long"
    if not re.fullmatch(r"https?://\S{1,1016}", url):
        yield f"SourceUrl {url!r}"
    if len(json.dumps(finding)) > 100_000:
        yield f"{len(json.dumps(finding))} bytes: more than a batch can hold of such"


def texts(finding: dict[str, Any]) -> Iterator[str]:
    for path, text in strings(finding, "$"):
        # `.*\S.*` by the strictest reading: the whole string, and a dot that stops at line ends
        if not re.fullmatch(r"[^\n\r\u2028\u2029\x85]*[^\s\ufeff][^\n\r\u2028\u2029\x85]*", text):
            yield f"{path} is blank or has a line break: {text!r}"
        if re.search("[\x00-\x1f\x7f\ud800-\udfff]", text):
            yield f"{path} has a control character or half a surrogate: {text!r}"


def provider(written: dict[str, Any]) -> Iterator[str]:
    if written["Severity"]["Label"] not in LABELS or units(written["Severity"].get("Original", "-")) > 64:
        yield "Severity"
    if not 1 <= len(written["Types"]) <= 50 or not all(TYPE.fullmatch(kind) for kind in written["Types"]):
        yield f"Types {written['Types']}"
    if written["Types"][0].split("/")[0] not in NAMESPACES:
        yield "the namespace of Types"


def fields(written: dict[str, str]) -> Iterator[str]:
    if len(written) > 50:
        yield f"{len(written)} ProductFields"
    for key, value in written.items():
        if not FIELD_KEY.fullmatch(key) or key.startswith("aws/") or units(value) > 1024:
            yield f"ProductFields {key!r}"


def resources(listed: list[dict[str, Any]]) -> Iterator[str]:
    if not 1 <= len(listed) <= 32 or len({resource["Id"] for resource in listed}) != len(listed):
        yield "the number of Resources, or their ids"
    for resource in listed:
        if not 1 <= units(resource["Type"]) <= 256 or not 1 <= units(resource["Id"]) <= 512:
            yield f"Resource {resource['Id']!r}"
        if resource.get("Partition", "aws") not in {"aws", "aws-cn", "aws-us-gov"}:
            yield f"Partition {resource['Partition']}"
        if units(resource.get("Region", "-")) > 16:
            yield f"Region {resource['Region']}"
        other = resource["Details"].get("Other", {})
        if len(other) > 50 or any(units(key) > 127 or units(value) > 1023 for key, value in other.items()):
            yield "Details.Other"


@pytest.fixture(scope="session")
def objections() -> Objections:
    """What Security Hub, the local one, and botocore before them would say against a finding."""
    client = boto3.client("securityhub", region_name="eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
    shape = client.meta.service_model.operation_model("BatchImportFindings").input_shape
    validator, local = ParamValidator(), checker("AwsSecurityFinding")

    def check(finding: dict[str, Any]) -> list[str]:
        report = validator.validate({"Findings": [finding]}, shape)
        problems = [*objections_to(finding), *(local(finding) or ())]
        if len(json.dumps(finding, ensure_ascii=False).encode()) > FINDING_BYTES:
            problems.append("more bytes than one finding may have")
        return [*problems, *([report.generate_report()] if report.has_errors() else [])]

    return check
