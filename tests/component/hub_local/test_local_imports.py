"""The local hub's BatchImportFindings, called with boto3."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from dev.hub.process import HubProcess
from dev.hub.sample import company, finding, later, product_arn

OTHER = "444455556666"


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def outcomes(hub: HubProcess) -> list[str]:
    return [entry["outcome"] for entry in hub.journal()]


def test_import_and_read_back(hub: HubProcess, client: Any) -> None:
    """An imported finding is returned with the service's additions, and otherwise unchanged."""
    sent = finding(Remediation={"Recommendation": {"Text": "Fix it"}}, ProductFields={"tool/cluster": "prod"})
    answer = client().batch_import_findings(Findings=[sent])
    assert (answer["SuccessCount"], answer["FailedCount"], answer["FailedFindings"]) == (1, 0, [])
    (stored,) = client().get_findings()["Findings"]
    assert {name: stored[name] for name in sent if name != "ProductFields"} == {
        name: value for name, value in sent.items() if name != "ProductFields"
    }
    assert stored["Severity"] == {"Label": "HIGH", "Normalized": 70}
    assert (stored["RecordState"], stored["Workflow"], stored["Region"]) == ("ACTIVE", {"Status": "NEW"}, "eu-west-1")
    assert stored["ProductFields"]["tool/cluster"] == "prod"
    assert stored["ProductFields"]["aws/securityhub/FindingId"] == f"{product_arn()}/one"
    assert "ProcessedAt" in stored
    assert hub.findings() == [stored]


def test_partial_failure(hub: HubProcess, client: Any) -> None:
    """A bad finding fails alone with HTTP 200; the others are stored."""
    answer = client().batch_import_findings(Findings=[finding("a"), finding("b", Title="x" * 257), finding("c")])
    assert (answer["SuccessCount"], answer["FailedCount"]) == (2, 1)
    assert answer["FailedFindings"] == [
        {
            "Id": "b",
            "ErrorCode": "InvalidInput",
            "ErrorMessage": "Finding does not adhere to Amazon Finding Format. "
            "data.Title should NOT be longer than 256 characters",
        }
    ]
    assert [stored["Id"] for stored in hub.findings()] == ["a", "c"]
    assert outcomes(hub) == ["created", "failed", "created"]


def test_too_many(hub: HubProcess, client: Any) -> None:
    """101 findings are rejected as a whole, 100 are not."""
    with pytest.raises(ClientError) as refused:
        client().batch_import_findings(Findings=list(company(101)))
    assert code(refused) == ("InvalidInputException", 400)
    assert client().batch_import_findings(Findings=list(company(100)))["SuccessCount"] == 100
    assert len(hub.findings()) == 100


def big(name: str, size: int) -> dict[str, Any]:
    """A valid finding of about `size` bytes."""
    details = [
        {"Type": "Other", "Id": f"r{n}", "Details": {"Other": {f"k{m}": "v" * 1000 for m in range(40)}}}
        for n in range(size // 40_500)
    ]
    return finding(name, Resources=details)


def test_large_finding(client: Any) -> None:
    """A finding over 240 KB fails, one below does not."""
    answer = client().batch_import_findings(Findings=[big("small", 210_000), big("large", 290_000)])
    assert answer["SuccessCount"] == 1
    assert answer["FailedFindings"][0]["Id"] == "large"
    assert "240 KB" in answer["FailedFindings"][0]["ErrorMessage"]


def test_large_batch(hub: HubProcess, client: Any) -> None:
    """A batch over 6 MB is refused as a whole."""
    with pytest.raises(ClientError) as refused:
        client().batch_import_findings(Findings=[big(str(n), 210_000) for n in range(31)])
    assert code(refused) == ("InvalidInputException", 400)
    assert hub.findings() == []


def test_updated_at(hub: HubProcess, client: Any) -> None:
    """Only a later UpdatedAt updates; an equal or earlier one is ignored without an error."""
    send = client().batch_import_findings
    send(Findings=[finding(UpdatedAt=later(5), Title="first")])
    for moment, title in [(later(5), "equal"), (later(4), "earlier"), (later(6), "later")]:
        assert send(Findings=[finding(UpdatedAt=moment, Title=title)])["SuccessCount"] == 1
    assert outcomes(hub) == ["created", "ignored", "ignored", "changed"]
    assert hub.findings()[0]["Title"] == "later"
    hub.switch(ignored_update="uncounted")
    answer = send(Findings=[finding(UpdatedAt=later(6))])
    assert (answer["SuccessCount"], answer["FailedCount"]) == (0, 0)


def test_life_of_a_finding(hub: HubProcess, client: Any) -> None:
    """Archiving keeps the analyst's values; reactivation resets NOTIFIED to NEW and keeps the note."""
    send = client().batch_import_findings
    send(Findings=[finding()])
    hub.analyst(["one"], workflow="NOTIFIED", note="known to the team")
    send(Findings=[finding(UpdatedAt=later(1), RecordState="ARCHIVED", Workflow={"Status": "NEW"})])
    (stored,) = hub.findings()
    assert (stored["RecordState"], stored["Workflow"]["Status"]) == ("ARCHIVED", "NOTIFIED")
    send(Findings=[finding(UpdatedAt=later(2))])
    (stored,) = hub.findings()
    assert (stored["RecordState"], stored["Workflow"]["Status"]) == ("ACTIVE", "NEW")
    assert stored["Note"]["Text"] == "known to the team"
    send(Findings=[finding(UpdatedAt=later(3))])
    assert outcomes(hub) == ["created", "updated", "archived", "reactivated", "redundant"]
    assert [entry["redundant"] for entry in hub.journal()] == [False, False, False, False, True]


def test_suppressed(hub: HubProcess, client: Any) -> None:
    """A suppressed finding stays suppressed on reactivation; a switch decides whether imports change it."""
    send = client().batch_import_findings
    send(Findings=[finding(RecordState="ARCHIVED")])
    hub.analyst(["one"], workflow="SUPPRESSED")
    send(Findings=[finding(UpdatedAt=later(1), Title="seen")])
    (stored,) = hub.findings()
    assert (stored["Workflow"]["Status"], stored["RecordState"], stored["Title"]) == ("SUPPRESSED", "ACTIVE", "seen")
    hub.switch(suppressed_imports="ignored")
    send(Findings=[finding(UpdatedAt=later(2), Title="unseen")])
    assert hub.findings()[0]["Title"] == "seen"


def test_customer_severity(hub: HubProcess, client: Any) -> None:
    """A severity that a customer set stays at the top level, while the provider's own may change below."""
    securityhub = client()
    securityhub.batch_import_findings(Findings=[finding()])
    identifiers = [{"Id": "one", "ProductArn": product_arn()}]
    securityhub.batch_update_findings(FindingIdentifiers=identifiers, Severity={"Label": "LOW"})
    changed = {"Severity": {"Label": "CRITICAL"}, "Types": ["TTPs"]}
    securityhub.batch_import_findings(Findings=[finding(UpdatedAt=later(1), FindingProviderFields=changed)])
    (stored,) = hub.findings()
    assert stored["Severity"] == {"Label": "LOW", "Normalized": 1}
    assert stored["FindingProviderFields"] == changed
    assert stored["Types"] == ["TTPs"]


def test_duplicate_ids(hub: HubProcess, client: Any) -> None:
    """One Id twice in a batch: both are applied in order, or the second one fails."""
    pair = [finding(Title="a"), finding(Title="b", UpdatedAt=later(1))]
    assert client().batch_import_findings(Findings=pair)["SuccessCount"] == 2
    assert hub.findings()[0]["Title"] == "b"
    hub.reset()
    hub.switch(duplicate_ids="refused")
    answer = client().batch_import_findings(Findings=pair)
    assert (answer["SuccessCount"], answer["FailedCount"]) == (1, 1)


def test_moved_created_at(hub: HubProcess, client: Any) -> None:
    """A changed CreatedAt is counted: no provider should change it."""
    client().batch_import_findings(Findings=[finding()])
    client().batch_import_findings(Findings=[finding(UpdatedAt=later(1), CreatedAt=later(1))])
    assert hub.stats()["moved"] == {"CreatedAt": 1}


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(finding(AwsAccountId=OTHER), id="another account in the finding"),
        pytest.param(finding(ProductArn=product_arn(OTHER)), id="another account in the product"),
        pytest.param(finding(ProductArn=product_arn(region="us-east-1")), id="another Region"),
        pytest.param(finding(ProductArn=product_arn().replace("arn:aws:", "arn:aws-cn:")), id="another partition"),
        pytest.param(finding(ProductArn=product_arn().replace("default", "mine")), id="no such product"),
    ],
)
def test_foreign(hub: HubProcess, client: Any, foreign: dict[str, Any]) -> None:
    """One finding of another account, Region, partition or product makes the whole call fail."""
    with pytest.raises(ClientError) as refused:
        client().batch_import_findings(Findings=[finding("good"), foreign])
    assert code(refused) == ("AccessDeniedException", 403)
    assert "securityhub:BatchImportFindings on resource: arn:" in refused.value.response["Error"]["Message"]
    assert hub.findings() == []


def test_malformed_product(client: Any) -> None:
    """An invalid product ARN is an invalid call, not a failed finding."""
    with pytest.raises(ClientError) as refused:
        client().batch_import_findings(Findings=[finding(ProductArn="arn:aws:securityhub:::product/x")])
    assert code(refused) == ("InvalidInputException", 400)


def test_accounts_and_regions(hub: HubProcess, client: Any) -> None:
    """Each account and Region has its own findings; GovCloud has its own partition."""
    client().batch_import_findings(Findings=[finding()])
    client(account=OTHER).batch_import_findings(Findings=[finding(account=OTHER)])
    gov = client(region_name="us-gov-west-1")
    gov.batch_import_findings(Findings=[finding(region="us-gov-west-1")])
    assert [stored["AwsAccountId"] for stored in hub.findings()] == ["111122223333", "111122223333", OTHER]
    assert gov.get_findings()["Findings"][0]["ProductArn"].startswith("arn:aws-us-gov:")


def test_hub_off(hub: HubProcess, client: Any) -> None:
    """If Security Hub is disabled, findings fail with InvalidAccess and other calls raise InvalidAccessException."""
    securityhub = client()
    hub.enable(on=False)
    answer = securityhub.batch_import_findings(Findings=[finding()])
    assert answer["FailedFindings"][0]["ErrorCode"] == "InvalidAccess"
    for call in (securityhub.describe_hub, securityhub.get_findings):
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == ("InvalidAccessException", 401)
    securityhub.enable_security_hub()
    assert securityhub.describe_hub()["HubArn"] == "arn:aws:securityhub:eu-west-1:111122223333:hub/default"
    with pytest.raises(ClientError) as refused:
        securityhub.enable_security_hub()
    assert code(refused) == ("ResourceConflictException", 409)


def test_unknown_operation(client: Any) -> None:
    """An unsupported operation is rejected by name."""
    with pytest.raises(ClientError) as refused:
        client().get_insights()
    assert code(refused) == ("UnknownOperationException", 404)
