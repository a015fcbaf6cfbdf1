"""The local hub's GetFindings and BatchUpdateFindings, called with boto3."""

from itertools import chain
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dev.hub.process import HubProcess
from dev.hub.sample import company, finding, later, product_arn


def text(value: str, comparison: str = "EQUALS") -> list[dict[str, str]]:
    return [{"Value": value, "Comparison": comparison}]


def fill(client: Any, findings: list[dict[str, Any]]) -> None:
    for start in range(0, len(findings), 100):
        answer = client.batch_import_findings(Findings=findings[start : start + 100])
        assert answer["FailedCount"] == 0


def ids(answer: dict[str, Any]) -> list[str]:
    return [found["Id"] for found in answer["Findings"]]


def test_paging(hub: HubProcess, client: Any) -> None:
    """Pages over more than a thousand findings return each one once, and end."""
    securityhub = client()
    fill(securityhub, list(company(1_050)))
    pages = [ids(page) for page in securityhub.get_paginator("get_findings").paginate(MaxResults=100)]
    assert [len(page) for page in pages] == [100] * 10 + [50]
    assert sorted(chain.from_iterable(pages)) == sorted(stored["Id"] for stored in hub.findings())


def test_paging_while_findings_arrive(client: Any) -> None:
    """A page continues after the end of the last one, whatever was written in between."""
    securityhub = client()
    fill(securityhub, [finding(f"id/{n}") for n in range(0, 8, 2)])
    first = securityhub.get_findings(MaxResults=2)
    fill(securityhub, [finding(f"id/{n}") for n in range(1, 8, 2)])
    second = securityhub.get_findings(MaxResults=100, NextToken=first["NextToken"])
    assert (ids(first), ids(second)) == (["id/0", "id/2"], ["id/3", "id/4", "id/5", "id/6", "id/7"])


@pytest.fixture
def filled(hub: HubProcess, client: Any) -> Any:
    securityhub = client()
    fill(
        securityhub,
        [
            finding("a/1", ProductFields={"tool/cluster": "blue"}, ProductName="tool"),
            finding("a/2", UpdatedAt=later(10), ProductFields={"tool/cluster": "green", "x": "tool/cluster"}),
            finding("a/3", UpdatedAt=later(20), RecordState="ARCHIVED", ProductFields={"tool/cluster": 'a "quote"'}),
            finding(
                "b/1", FindingProviderFields={"Severity": {"Label": "LOW"}}, ProductFields={"blue": "tool/cluster"}
            ),
        ],
    )
    hub.analyst(["a/2"], workflow="SUPPRESSED")
    return securityhub


FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "id": ({"Id": text("a/1")}, ["a/1"]),
    "id begins otherwise": ({"Id": text("a")}, []),
    "ids": ({"Id": text("b/1") + text("a/1")}, ["a/1", "b/1"]),
    "prefix": ({"Id": text("a/", "PREFIX")}, ["a/1", "a/2", "a/3"]),
    "prefix and id overlap": ({"Id": text("a/", "PREFIX") + text("a/2") + text("b/1")}, ["a/1", "a/2", "a/3", "b/1"]),
    "product arn": ({"ProductArn": text(product_arn())}, ["a/1", "a/2", "a/3", "b/1"]),
    "another product arn": ({"ProductArn": text(product_arn(region="us-east-1"))}, []),
    "account": ({"AwsAccountId": text("111122223333"), "Id": text("a/2")}, ["a/2"]),
    "region": ({"Region": text("eu-", "PREFIX")}, ["a/1", "a/2", "a/3", "b/1"]),
    "active": ({"RecordState": text("ACTIVE")}, ["a/1", "a/2", "b/1"]),
    "both states": ({"RecordState": text("ACTIVE") + text("ARCHIVED")}, ["a/1", "a/2", "a/3", "b/1"]),
    "workflow": ({"WorkflowStatus": text("SUPPRESSED")}, ["a/2"]),
    "severity": ({"SeverityLabel": text("LOW")}, ["b/1"]),
    "product name": ({"ProductName": text("tool")}, ["a/1"]),
    "product field": ({"ProductFields": [{"Key": "tool/cluster", "Value": "blue", "Comparison": "EQUALS"}]}, ["a/1"]),
    "product field with quotes": (
        {"ProductFields": [{"Key": "tool/cluster", "Value": 'a "quote"', "Comparison": "EQUALS"}]},
        ["a/3"],
    ),
    "case": ({"RecordState": text("active")}, []),
    "updated from": ({"UpdatedAt": [{"Start": later(10), "End": "2030-01-01T00:00:00Z"}]}, ["a/2", "a/3"]),
    "updated until": ({"UpdatedAt": [{"Start": later(0), "End": later(10)}]}, ["a/1", "a/2", "b/1"]),
    "id does not begin": ({"Id": text("a/", "PREFIX_NOT_EQUALS")}, ["b/1"]),
    "id begins with neither": ({"Id": text("a/", "PREFIX_NOT_EQUALS") + text("b/", "PREFIX_NOT_EQUALS")}, []),
    "type": ({"Type": text("Software and Configuration Checks/Kubernetes Policies")}, ["a/1", "a/2", "a/3"]),
    "type begins": ({"Type": text("Software and", "PREFIX")}, ["a/1", "a/2", "a/3"]),
    "another type": ({"Type": text("TTPs", "PREFIX")}, []),
    "all of several": ({"Id": text("a/", "PREFIX"), "RecordState": text("ARCHIVED")}, ["a/3"]),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_filter(filled: Any, filters: dict[str, Any], expected: list[str]) -> None:
    """A filter returns exactly the matching findings."""
    assert ids(filled.get_findings(Filters=filters)) == expected


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "filter": ({"Filters": {"Title": text("x")}}, "filter Title"),
    "comparison": ({"Filters": {"Id": text("x", "NOT_EQUALS")}}, "comparison NOT_EQUALS of filter Id"),
    "opposite comparisons": ({"Filters": {"Id": text("x", "PREFIX_NOT_EQUALS") + text("x")}}, "filter Id"),
    "negative type": ({"Filters": {"Type": text("x", "PREFIX_NOT_EQUALS")}}, "of filter Type"),
    "map comparison": (
        {"Filters": {"ProductFields": [{"Key": "a", "Value": "b", "Comparison": "NOT_EQUALS"}]}},
        "comparison NOT_EQUALS of filter ProductFields",
    ),
    "date range": ({"Filters": {"UpdatedAt": [{"DateRange": {"Value": 1, "Unit": "DAYS"}}]}}, "filter UpdatedAt"),
    "date": ({"Filters": {"UpdatedAt": [{"Start": "yesterday"}]}}, "Start of filter UpdatedAt"),
    "21 values": ({"Filters": {"Id": text("x") * 21}}, "filter Id should have 1 to 20 values"),
    "no values": ({"Filters": {"Id": []}}, "filter Id should have 1 to 20 values"),
    "blank value": ({"Filters": {"Id": text(" ")}}, "filter Id"),
    "no comparison": ({"Filters": {"Id": [{"Value": "x"}]}}, "'Comparison'"),
    "token": ({"NextToken": "made up"}, "NextToken"),
    "101 results": ({"MaxResults": 101}, "MaxResults"),
    "sort": ({"SortCriteria": [{"Field": "Title", "SortOrder": "asc"}]}, "field Title"),
}


@pytest.mark.parametrize(("request_", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_query(filled: Any, request_: dict[str, Any], named: str) -> None:
    """An unsupported filter is rejected by name, never ignored."""
    with pytest.raises(ClientError) as refused:
        filled.get_findings(**request_)
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"
    assert named in refused.value.response["Error"]["Message"]


def test_token_of_another_query(filled: Any) -> None:
    """A token is valid only with its own filters."""
    token = filled.get_findings(MaxResults=1)["NextToken"]
    with pytest.raises(ClientError) as refused:
        filled.get_findings(MaxResults=1, NextToken=token, Filters={"Id": text("a/", "PREFIX")})
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"


def test_sorting(filled: Any) -> None:
    """Findings sort by UpdatedAt in both directions, across pages."""
    order = [{"Field": "UpdatedAt", "SortOrder": "desc"}]
    pages = filled.get_paginator("get_findings").paginate(MaxResults=1, SortCriteria=order)
    assert list(chain.from_iterable(ids(page) for page in pages))[:2] == ["a/3", "a/2"]
    order = [{"Field": "UpdatedAt", "SortOrder": "asc"}]
    assert ids(filled.get_findings(SortCriteria=order))[-2:] == ["a/2", "a/3"]


def test_unfiltered_records(hub: HubProcess, filled: Any) -> None:
    """A switch decides whether archived findings are returned without a filter; a filter can exclude them."""
    assert "a/3" in ids(filled.get_findings())
    hub.switch(unfiltered_records="active")
    assert "a/3" not in ids(filled.get_findings())
    assert ids(filled.get_findings(Filters={"RecordState": text("ARCHIVED")})) == ["a/3"]


def test_update(hub: HubProcess, filled: Any) -> None:
    """An update changes the given attributes and not UpdatedAt; an unknown finding fails alone."""
    before = filled.get_findings(Filters={"Id": text("a/1")})["Findings"][0]
    answer = filled.batch_update_findings(
        FindingIdentifiers=[{"Id": name, "ProductArn": product_arn()} for name in ("a/1", "nothing")],
        Workflow={"Status": "RESOLVED"},
        Note={"Text": "done", "UpdatedBy": "me"},
        UserDefinedFields={"ticket": "7"},
        VerificationState="TRUE_POSITIVE",
        Confidence=50,
        Criticality=60,
        Types=["Effects"],
    )
    assert [item["Id"] for item in answer["ProcessedFindings"]] == ["a/1"]
    assert [item["ErrorCode"] for item in answer["UnprocessedFindings"]] == ["FindingNotFound"]
    after = filled.get_findings(Filters={"Id": text("a/1")})["Findings"][0]
    assert after["UpdatedAt"] == before["UpdatedAt"]
    assert (after["Workflow"], after["Note"]["Text"]) == ({"Status": "RESOLVED"}, "done")
    assert (after["UserDefinedFields"], after["VerificationState"]) == ({"ticket": "7"}, "TRUE_POSITIVE")
    assert (after["Confidence"], after["Criticality"], after["Types"]) == (50, 60, ["Effects"])
    entry = hub.journal()[-1]
    assert (entry["kind"], entry["outcome"]) == ("update", "updated")
    assert entry["detail"].startswith("workflow RESOLVED, note by me: done")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="nothing to update"),
        pytest.param({"Note": {"Text": "x" * 513, "UpdatedBy": "me"}}, id="long note"),
        pytest.param({"Workflow": {"Status": "DONE"}}, id="no such status"),
        pytest.param({"Confidence": 101}, id="confidence"),
    ],
)
def test_refused_update(filled: Any, values: dict[str, Any]) -> None:
    """An update with an invalid value is rejected as a whole."""
    with pytest.raises(ClientError) as refused:
        filled.batch_update_findings(FindingIdentifiers=[{"Id": "a/1", "ProductArn": product_arn()}], **values)
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"


def test_too_many_updates(filled: Any) -> None:
    """101 identifiers are rejected."""
    identifiers = [{"Id": str(n), "ProductArn": product_arn()} for n in range(101)]
    with pytest.raises(ClientError) as refused:
        filled.batch_update_findings(FindingIdentifiers=identifiers, Workflow={"Status": "NEW"})
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"
