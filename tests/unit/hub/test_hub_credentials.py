"""How the botocore clients are configured, without network."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.credentials
import botocore.validate
import pytest
from botocore import exceptions as boto

from policyhub.securityhub import credentials
from policyhub.securityhub.credentials import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    Clients,
    check_configuration,
    models,
    partition,
)


class Sts:
    """Assumes a role for `lifetime`, with a new key each time."""

    def __init__(self, lifetime: timedelta) -> None:
        self.requests: list[Mapping[str, object]] = []
        self._lifetime = lifetime

    def assume_role(self, **request: object) -> Mapping[str, Any]:
        self.requests.append(request)
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{len(self.requests)}",
                "SecretAccessKey": "secret",
                "SessionToken": "token",
                "Expiration": datetime.now(UTC) + self._lifetime,
            }
        }


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECURITYHUB", "AWS_ENDPOINT_URL_STS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_STS_REGIONAL_ENDPOINTS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.mark.parametrize(
    ("lifetime", "used"),
    [(timedelta(hours=1), ["ASIA1", "ASIA1", "ASIA1"]), (timedelta(minutes=1), ["ASIA1", "ASIA2", "ASIA3"])],
    ids=["fresh", "about to expire"],
)
def test_assumed_role_is_renewed(lifetime: timedelta, used: list[str]) -> None:
    """The role is assumed at its first use, kept while it is valid, and renewed before it expires."""
    sts = Sts(lifetime)
    request = {"RoleArn": "arn:aws:iam::111122223333:role/policyhub", "RoleSessionName": "policyhub"}
    role = botocore.credentials.CredentialResolver([credentials._AssumedRole(sts, request)]).load_credentials()
    assert not sts.requests
    assert [role.get_frozen_credentials().access_key for _ in used] == used
    assert sts.requests[0] == request


def test_clients_neither_retry_nor_validate() -> None:
    """One attempt per call, short timeouts, a connection per worker, our User-Agent: the engine retries."""
    client: Any = Clients(region="eu-west-1", version="1.2.3", workers=7).securityhub()
    config = client.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (CONNECT_TIMEOUT, READ_TIMEOUT)
    assert config.max_pool_connections == 7
    assert not isinstance(client._serializer, botocore.validate.ParamValidationDecorator)
    assert "policyhub/1.2.3" in config.user_agent_extra
    assert client.meta.endpoint_url == "https://securityhub.eu-west-1.amazonaws.com"


def test_sts_is_regional() -> None:
    """STS is called in the hub's Region: the global endpoint may be unreachable, and its tokens invalid there."""
    client: Any = Clients(region="eu-west-1", version="0").sts()
    assert client.meta.endpoint_url == "https://sts.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("environment", "region", "asked"),
    [
        ({"AWS_REGION": "eu-central-1"}, "eu-west-1", "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, "eu-west-1", "eu-central-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1", "eu-central-1"),
        ({"AWS_REGION": "eu-central-1"}, "cn-north-1", "cn-north-1"),
        ({"AWS_REGION": "nowhere"}, "eu-west-1", "eu-west-1"),
        ({}, "eu-west-1", "eu-west-1"),
        (
            {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_STS": "https://vpce-0-a.sts.eu-west-3.vpce.amazonaws.com"},
            "eu-west-1",
            "eu-west-3",
        ),
        (
            {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_STS": "https://sts.eu-west-3.amazonaws.com"},
            "eu-west-1",
            "eu-west-3",
        ),
        ({"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_STS": "https://sts.example"}, "eu-west-1", "us-east-1"),
    ],
)
def test_sts_is_called_in_one_region(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], region: str, asked: str
) -> None:
    """That of the endpoint, or of the operator if its partition is the hub's: both for roles and for the caller's
    identity.
    """
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    role = "arn:aws:iam::444455556666:role/policyhub"
    clients = Clients(region=region, version="0", role_arn=role)
    own: Any = clients.sts()
    source: Any = clients._session.get_credentials()._refresh_using.__self__._sts
    assert (own.meta.region_name, source.meta.region_name) == (asked, asked)
    hub: Any = clients.securityhub()
    assert hub.meta.region_name == region


@pytest.mark.parametrize(
    ("region", "sts", "eks"),
    [
        ("us-east-1", "sts-fips.us-east-1.amazonaws.com", "fips.eks.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com", "eks.us-gov-west-1.amazonaws.com"),
        ("eu-west-1", "sts.eu-west-1.amazonaws.com", "eks.eu-west-1.amazonaws.com"),
    ],
)
def test_existing_fips_endpoints_are_used(monkeypatch: pytest.MonkeyPatch, region: str, sts: str, eks: str) -> None:
    """Botocore invents names of FIPS endpoints for all other Regions."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    clients: Any = Clients(region=region, version="0", loader=models())
    assert clients.sts().meta.endpoint_url == f"https://{sts}"
    assert clients.eks().meta.endpoint_url == f"https://{eks}"
    irsa = clients._session.create_client("sts", region_name=region)  # as botocore's chain makes it
    assert irsa.meta.endpoint_url == f"https://{sts}"


@pytest.mark.parametrize(
    ("name", "value", "url"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "true", "https://securityhub-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true", "https://securityhub.us-east-1.api.aws"),
        ("AWS_ENDPOINT_URL", "https://hub.example", "https://hub.example"),
        ("AWS_ENDPOINT_URL_SECURITYHUB", "https://hub.example", "https://hub.example"),
    ],
)
def test_endpoint_follows_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, url: str) -> None:
    """Settings that botocore reads from its environment apply."""
    monkeypatch.setenv(name, value)
    client: Any = Clients(region="us-east-1", version="0").securityhub()
    assert client.meta.endpoint_url == url


def test_clients_are_made_once() -> None:
    """Threads that call at the same time get the same client, and so the same connections."""
    clients = Clients(region="eu-west-1", version="0", loader=models())
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: id(clients.securityhub()), range(16)))
    assert len(made) == 1


def test_renewed_clients_read_the_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that appear later are found after `renew`."""
    clients = Clients(region="eu-west-1", version="0", loader=models())
    before: Any = clients.securityhub()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIALATER")
    clients.renew()
    after: Any = clients.securityhub()
    assert before._request_signer._credentials.access_key == "AKIATEST"
    assert after._request_signer._credentials.access_key == "AKIALATER"


def test_a_thread_drops_only_its_own_session() -> None:
    """If the calls of many threads fail with one session, the last does not drop one that another has created since."""
    clients = Clients(region="eu-west-1", version="0", loader=models())
    with ThreadPoolExecutor(1) as late:
        late.submit(clients.securityhub).result()
        clients.securityhub()
        clients.renew()
        after = clients.securityhub()
        late.submit(clients.renew).result()
        assert clients.securityhub() is after
    clients.renew()
    assert clients.securityhub() is not after


@pytest.mark.parametrize(
    ("region", "name"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-iso-east-1", "aws-iso")],
)
def test_partition_of_a_region(region: str, name: str) -> None:
    """Each Region belongs to one partition."""
    assert partition(region) == name


def test_unknown_region_has_no_partition() -> None:
    """A misspelt Region is reported, not guessed."""
    with pytest.raises(boto.UnknownRegionError):
        partition("eu-vest")


def test_a_missing_profile_does_not_fail_before_a_hub_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models are loaded all the same; the hub's own configuration reports the problem."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    loader = models()
    with pytest.raises(boto.ProfileNotFound):
        check_configuration(loader)
    with pytest.raises(boto.ProfileNotFound):
        Clients(region="eu-west-1", version="0", loader=loader).sts()
