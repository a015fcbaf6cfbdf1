"""To which hub the findings of a MonitoredCluster go."""

import pytest

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause
from policyhub.api.status import Hub
from policyhub.control.destination import destination
from policyhub.settings import Settings

OURS = Settings(
    account_id="111122223333", region="eu-west-1", role_arn="arn:aws:iam::111122223333:role/ours", external_id="ours"
)
NONE = Settings()


def monitored(**hub: str) -> MonitoredCluster:
    return MonitoredCluster.model_validate(
        {
            "metadata": {"name": "alpha"},
            "spec": {"connection": {"inCluster": {}}, "securityHub": hub},
        }
    )


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({}, ("111122223333", "eu-west-1", "arn:aws:iam::111122223333:role/ours", "ours")),
        ({"region": "eu-west-2"}, ("111122223333", "eu-west-2", "arn:aws:iam::111122223333:role/ours", "ours")),
        (
            {"accountId": "444455556666", "roleArn": "arn:aws:iam::444455556666:role/theirs", "externalId": "theirs"},
            ("444455556666", "eu-west-1", "arn:aws:iam::444455556666:role/theirs", "theirs"),
        ),
    ],
)
def test_the_spec_precedes_the_settings(spec: dict[str, str], key: tuple[str, str, str, str]) -> None:
    assert destination(monitored(**spec), OURS, recorded=None) == key


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ({}, "spec.securityHub.accountId and region,"),
        ({"accountId": "111122223333"}, "spec.securityHub.region,"),
        ({"region": "eu-west-1"}, "spec.securityHub.accountId,"),
    ],
)
def test_a_missing_destination_is_reported(spec: dict[str, str], missing: str) -> None:
    fault = destination(monitored(**spec), NONE, recorded=None)
    assert isinstance(fault, Cause)
    assert fault.reason == "HubNotNamed"
    assert missing in fault.remedy


@pytest.mark.parametrize(
    ("account", "region", "changed"),
    [
        ("111122223333", "eu-west-1", False),
        ("444455556666", "eu-west-1", True),
        ("111122223333", "eu-west-2", True),
    ],
)
def test_findings_do_not_move_to_another_hub(account: str, region: str, changed: bool) -> None:  # noqa: FBT001  (a parameter of pytest)
    """Nobody would archive the findings in the old hub."""
    found = destination(monitored(), OURS, recorded=Hub(account_id=account, region=region))
    assert isinstance(found, Cause) == changed
    if isinstance(found, Cause):
        assert found.reason == "HubChanged"
        assert f"account {account}, {region};" in found.message
