"""The documented limits of a finding, one case a rule."""

from typing import Any

import pytest

from dev.hub.sample import company, finding
from dev.hub.schema import checker

check = checker("AwsSecurityFinding")
WIDE = "\U0001f600"  # two UTF-16 units


def resource(**members: Any) -> list[dict[str, Any]]:
    return [{"Type": "Other", "Id": "r", **members}]


def other(details: dict[str, Any]) -> list[dict[str, Any]]:
    return resource(Details={"Other": details})


def provider(**members: Any) -> dict[str, Any]:
    return {"Severity": {"Label": "LOW"}, **members}


GOOD = {
    "smallest": {},
    "title of 256": {"Title": "x" * 256},
    "title of 128 wide characters": {"Title": WIDE * 128},
    "description of 1024": {"Description": "x" * 1024},
    "id of 512": {"Id": "x" * 512},
    "id like an arn": {"Id": "arn:aws:anything"},
    "severity and types at the top": {
        "FindingProviderFields": None,
        "Severity": {"Normalized": 70},
        "Types": ["TTPs"],
    },
    "three parts of a type": {"FindingProviderFields": provider(Types=["Effects/a/b"])},
    "time with offset": {"UpdatedAt": "2026-03-02T08:00:00+18:00"},
    "time with bare offset": {"UpdatedAt": "2026-03-02T08:00:00.123456789-0530"},
    "fifty product fields": {"ProductFields": {f"k{n}": "v" for n in range(50)}},
    "product field of 2048": {"ProductFields": {"a/b:c+d\\e=f@g_h-i.j k": "v" * 2048}},
    "other at its limits": {"Resources": other({"k" * 127: "v" * 1023})},
    "32 resources": {"Resources": resource() * 32},
    "typed details": {"Resources": resource(Details={"AwsEksCluster": {"Name": "prod"}})},
    "recommendation by address only": {"Remediation": {"Recommendation": {"Url": "https://example.com"}}},
    "recommendation of 512": {"Remediation": {"Recommendation": {"Text": "x" * 512}}},
    "workflow": {"Workflow": {"Status": "SUPPRESSED"}},
    "partition of China": {"Resources": resource(Partition="aws-cn")},
}

BAD = {
    "title of 257": ({"Title": "x" * 257}, "data.Title should NOT be longer than 256 characters"),
    "title of 129 wide characters": ({"Title": WIDE * 129}, "data.Title should NOT be longer than 256 characters"),
    "title empty": ({"Title": ""}, "data.Title should NOT be shorter than 1 characters"),
    "title blank": ({"Title": " \t"}, 'data.Title should match pattern ".*\\S.*"'),
    "title a number": ({"Title": 5}, "data.Title should be string"),
    "description of 1025": ({"Description": "x" * 1025}, "data.Description should NOT be longer than 1024"),
    "id of 513": ({"Id": "x" * 513}, "data.Id should NOT be longer than 512"),
    "no title": ({"Title": None}, "data should have required property 'Title'"),
    "no resources": ({"Resources": None}, "data should have required property 'Resources'"),
    "empty resources": ({"Resources": []}, "data.Resources should NOT have fewer than 1 items"),
    "33 resources": ({"Resources": resource() * 33}, "data.Resources should NOT have more than 32 items"),
    "resource without type": ({"Resources": [{"Id": "r"}]}, "data.Resources[0] should have required property 'Type'"),
    "resource id of 513": ({"Resources": resource(Id="x" * 513)}, "data.Resources[0].Id should NOT be longer than 512"),
    "partition of an isolated region": (
        {"Resources": resource(Partition="aws-iso")},
        "data.Resources[0].Partition should be equal to one of the allowed values",
    ),
    "unknown member": ({"Surprise": 1}, "data should NOT have additional properties ('Surprise')"),
    "unknown member deep": (
        {"Resources": resource(Details={"Pod": {}})},
        "data.Resources[0].Details should NOT have additional properties ('Pod')",
    ),
    "schema version": ({"SchemaVersion": "2020-01-01"}, "data.SchemaVersion should be equal to one of the allowed"),
    "account of eleven digits": ({"AwsAccountId": "1" * 11}, "data.AwsAccountId should match pattern"),
    "record state": ({"RecordState": "GONE"}, "data.RecordState should be equal to one of the allowed values"),
    "no severity anywhere": (
        {"FindingProviderFields": None},
        "data should have required property 'FindingProviderFields', data should match some schema in anyOf",
    ),
    "severity without types": (
        {"FindingProviderFields": None, "Severity": {"Label": "LOW"}},
        "data should have required property 'Types'",
    ),
    "severity without a scale": (
        {"Severity": {"Original": "x"}},
        "data.Severity should have required property 'Label'",
    ),
    "severity label": (
        {"FindingProviderFields": {"Severity": {"Label": "SEVERE"}}},
        "data.FindingProviderFields.Severity.Label should be equal",
    ),
    "normalized of 101": ({"Severity": {"Normalized": 101}}, "data.Severity.Normalized should be <= 100"),
    "original of 65": (
        {"FindingProviderFields": {"Severity": {"Label": "LOW", "Original": "x" * 65}}},
        "data.FindingProviderFields.Severity.Original should NOT be longer than 64",
    ),
    "type of four parts": (
        {"FindingProviderFields": provider(Types=["TTPs/a/b/c"])},
        'data.FindingProviderFields.Types[0] should match pattern "^([^/]+)(/[^/]+){0,2}$"',
    ),
    "type of a foreign namespace": (
        {"FindingProviderFields": provider(Types=["Kubernetes/Policy"])},
        "data.FindingProviderFields.Types[0] should start with one of the allowed namespaces",
    ),
    "51 types": (
        {"FindingProviderFields": provider(Types=["TTPs"] * 51)},
        "data.FindingProviderFields.Types should NOT have more than 50 items",
    ),
    "time without zone": ({"UpdatedAt": "2026-03-02T08:00:00"}, 'data.UpdatedAt should match format "date-time"'),
    "time with ten digits": ({"UpdatedAt": "2026-03-02T08:00:00.0123456789Z"}, "data.UpdatedAt should match format"),
    "time with a blank": ({"UpdatedAt": "2026-03-02 08:00:00Z"}, "data.UpdatedAt should match format"),
    "time of no day": ({"CreatedAt": "2026-02-30T08:00:00Z"}, "data.CreatedAt should match format"),
    "offset beyond 18 hours": ({"CreatedAt": "2026-02-20T08:00:00+18:01"}, "data.CreatedAt should match format"),
    "51 product fields": (
        {"ProductFields": {f"k{n}": "v" for n in range(51)}},
        "data.ProductFields should NOT have more than 50 properties",
    ),
    "product field value of 2049": (
        {"ProductFields": {"a/b": "v" * 2049}},
        "data.ProductFields['a/b'] should NOT be longer than 2048",
    ),
    "product field value empty": ({"ProductFields": {"a": ""}}, "data.ProductFields['a'] should NOT be shorter than 1"),
    "product field key of 129": ({"ProductFields": {"k" * 129: "v"}}, "should NOT be longer than 128 characters"),
    "product field key with an umlaut": ({"ProductFields": {"ä": "v"}}, "data.ProductFields property name 'ä' should"),
    "product field of the service": ({"ProductFields": {"aws/x": "v"}}, "is in the reserved namespace 'aws/'"),
    "other value of 1024": (
        {"Resources": other({"k": "v" * 1024})},
        "data.Resources[0].Details.Other['k'] should NOT be longer than 1023",
    ),
    "other key of 128": ({"Resources": other({"k" * 128: "v"})}, "should NOT be longer than 127 characters"),
    "51 others": ({"Resources": other({f"k{n}": "v" for n in range(51)})}, "should NOT have more than 50 properties"),
    "tag with a foreign character": ({"Resources": resource(Tags={"a": "b*c"})}, "data.Resources[0].Tags['a'] should"),
    "recommendation of 513": (
        {"Remediation": {"Recommendation": {"Text": "x" * 513}}},
        "data.Remediation.Recommendation.Text should NOT be longer than 512",
    ),
    "recommendation without both": (
        {"Remediation": {"Recommendation": {}}},
        "data.Remediation.Recommendation should have required property 'Text' or 'Url'",
    ),
    "compliance": ({"Compliance": {"Status": "BROKEN"}}, "data.Compliance.Status should be equal to one of"),
    "33 requirements": (
        {"Compliance": {"RelatedRequirements": ["r"] * 33}},
        "data.Compliance.RelatedRequirements should NOT have more than 32 items",
    ),
    "reason without a code": (
        {"Compliance": {"StatusReasons": [{"Description": "x"}]}},
        "data.Compliance.StatusReasons[0] should have required property 'ReasonCode'",
    ),
    "address without a scheme": ({"SourceUrl": "example.com"}, "data.SourceUrl should match pattern"),
    "confidence of 101": ({"Confidence": 101}, "data.Confidence should be <= 100"),
    "boolean as text": ({"Sample": "true"}, "data.Sample should be boolean"),
    "image name of 129": (
        {"Resources": resource(Details={"Container": {"ImageName": "x" * 129}})},
        "data.Resources[0].Details.Container.ImageName should NOT be longer than 128",
    ),
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_accepted(changes: dict[str, Any]) -> None:
    """A finding at the edge of a documented limit is accepted."""
    assert check(finding(**changes)) is None


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_refused(changes: dict[str, Any], message: str) -> None:
    """A finding just over a documented limit is rejected, and the message has the place and the rule."""
    errors = check(finding(**changes))
    assert errors is not None
    assert message in ", ".join(f"data{error}" for error in errors)


def test_samples() -> None:
    """Every sample finding is valid, and no two share an Id."""
    samples = list(company(500))
    assert [check(sample) for sample in samples] == [None] * 500
    assert len({sample["Id"] for sample in samples}) == 500
