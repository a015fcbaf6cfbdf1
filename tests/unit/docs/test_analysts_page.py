"""The filters and rules in docs/analysts.md are valid for AWS, and match the findings."""

import json
import re
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tests.unit.findings import mapping

PAGE = (mapping.ROOT / "docs/analysts.md").read_text("utf-8")
DOCUMENTS: list[dict[str, Any]] = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
MODEL = botocore.session.get_session().get_service_model("securityhub")
FINDING = next(mapping.findings(mapping.read(mapping.documents("kyverno-per-policy")[0])))
SENT = {
    "ProductName": FINDING["ProductName"],
    "RecordState": FINDING["RecordState"],
    "GeneratorId": FINDING["GeneratorId"],
    "WorkflowStatus": "NEW",
}
MAPS = {
    "ProductFields": FINDING["ProductFields"],
    "ResourceDetailsOther": FINDING["Resources"][0]["Details"]["Other"],
}


def test_there_are_insights_and_a_rule() -> None:
    """Otherwise the tests below would check nothing."""
    assert [next(iter(document)) for document in DOCUMENTS] == ["Name", "Name", "RuleName"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(next(iter(document.values()))))
def test_aws_accepts_them(document: dict[str, Any]) -> None:
    """By the shapes of AWS's own client."""
    operation = "CreateInsight" if "Name" in document else "CreateAutomationRule"
    assert ParamValidator().validate(document, MODEL.operation_model(operation).input_shape).generate_report() == ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(next(iter(document.values()))))
def test_they_use_existing_fields(document: dict[str, Any]) -> None:
    """Members and keys are those of a finding; product values are the product's."""
    for name, filters in (document.get("Filters") or document["Criteria"]).items():
        for one in filters:
            if name in MAPS:
                assert one["Key"] in MAPS[name]
            elif name == "GeneratorId":
                assert one["Value"].split("/")[0] == SENT[name].split("/")[0]
                assert one["Comparison"] == "PREFIX"
            elif name != "WorkflowStatus":
                assert one["Value"] == SENT[name]


def test_every_named_product_field_is_sent() -> None:
    """A field for filtering exists in findings."""
    named = set(re.findall(r"`(policyhub/[a-z-]+)`", PAGE))
    relapses = {"policyhub/relapses", "policyhub/relapsed-at"}
    assert named - relapses <= FINDING["ProductFields"].keys()
    assert relapses <= named
