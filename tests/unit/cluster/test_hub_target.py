"""Where findings are: one rule for deletion and for every command that reads a MonitoredCluster."""

from typing import Any

import pytest

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause
from policyhub.api.status import Hub
from policyhub.control import deletion
from policyhub.control.monitored import recorded_status
from policyhub.doctor import run
from policyhub.retire.target import Options, target
from policyhub.securityhub.target import HubTarget, named_in, resolve
from policyhub.settings import Settings
from policyhub.triage import read

SPEC = {"accountId": "111122223333", "region": "eu-west-1", "roleArn": "arn:aws:iam::111122223333:role/spec"}
SETTINGS = Settings(
    account_id="444455556666", region="us-east-1", role_arn="arn:aws:iam::444455556666:role/ours", external_id="ours"
)
STATUS = {"accountId": "777788889999", "region": "eu-west-3"}

CASES: dict[str, tuple[dict[str, str], Settings, dict[str, str] | None, HubTarget]] = {
    "status first": ({"region": "eu-west-1"}, SETTINGS, STATUS, HubTarget("777788889999", "eu-west-3")),
    "then the spec": (SPEC, SETTINGS, None, HubTarget("111122223333", "eu-west-1")),
    "each part by itself": ({"region": "eu-west-1"}, SETTINGS, None, HubTarget("444455556666", "eu-west-1")),
    "then the settings": ({}, SETTINGS, None, HubTarget("444455556666", "us-east-1")),
    "no settings": (SPEC, Settings(), None, HubTarget("111122223333", "eu-west-1")),
}


def monitored(spec: dict[str, str], status: dict[str, str] | None) -> dict[str, Any]:
    metadata = {"name": "prod", "uid": "u", "annotations": {}}
    body: dict[str, Any] = {"metadata": metadata, "spec": {"connection": {"inCluster": {}}, "securityHub": spec}}
    return body if status is None else {**body, "status": {"hub": status}}


@pytest.mark.parametrize(("spec", "settings", "status", "place"), CASES.values(), ids=CASES)
def test_all_use_the_same_hub(
    spec: dict[str, str], settings: Settings, status: dict[str, str] | None, place: HubTarget
) -> None:
    """From the status, else the spec, else the settings; role and external id never come from the status."""
    body = monitored(spec, status)
    read_back = MonitoredCluster.model_validate(body)
    role = spec.get("roleArn") or settings.role_arn or ""
    expected = place._replace(role_arn=role, external_id=settings.external_id or "")
    deleted = deletion.recorded_destination(read_back, settings, recorded=recorded_status(body).hub)
    assert not isinstance(deleted, Cause)
    assert deleted == expected
    assert run.hub_of(read_back, settings) == expected
    assert read._location(body, settings).hub == expected
    assert target(Options(cluster="prod"), [body], settings=settings).hub == expected


def test_missing_parts_are_reported() -> None:
    assert resolve(named_in(None), Settings()).missing == ("accountId", "region")
    assert resolve(named_in(monitored({"region": "eu-west-1"}, None)), Settings()).missing == ("accountId",)


def test_an_object_that_does_not_fit_the_model_still_names_its_hub() -> None:
    """Recorded or given values are used as they are: the object may be of another version of the operator."""
    named = named_in({"spec": {"securityHub": {"accountId": 111122223333, "region": "eu-west-1", "odd": True}}})
    assert resolve(named, SETTINGS).place == ("111122223333", "eu-west-1")
    recorded = Hub(account_id="777788889999", region="eu-west-3")
    assert resolve(named, SETTINGS, recorded=recorded).name == "777788889999/eu-west-3"
