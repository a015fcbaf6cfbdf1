"""Connections to EKS clusters: EKS and STS answer over real sockets; the cluster itself does not exist."""

import asyncio
import base64
import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.certificate import Authority
from dev.hub.process import HubProcess
from policyhub.api.eks import Eks
from policyhub.eks.connector import Connector, EksClusters
from policyhub.eks.identity import FAILED_SECONDS
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import NotTried
from tests.unit.eks_tokens import Clock

OPERATOR, OTHER = "111122223333", "444455556666"
ARN = f"arn:aws:eks:eu-west-1:{OTHER}:cluster/prod-eu"
ROLE = f"arn:aws:iam::{OTHER}:role/policyhub"
SERVER = "https://127.0.0.1:9"


@pytest.fixture(scope="module")
def server() -> Iterator[HubProcess]:
    with HubProcess.start(accounts=(OPERATOR, OTHER), quotas=False) as process:
        yield process


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Authority(tmp_path_factory.mktemp("ca"), now=datetime.now(UTC))
    return base64.b64encode(made.pem.encode()).decode()


@pytest.fixture
def hub(server: HubProcess, monkeypatch: pytest.MonkeyPatch) -> HubProcess:
    server.reset()
    server.eks([])
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_EKS", "AWS_PROFILE", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clusters(clock: Clock) -> Iterator[EksClusters]:
    made = EksClusters(now=clock, hosts=("127.0.0.1",))
    yield made
    made.close()


def connector(clusters: EksClusters, **members: Any) -> Connector:
    return clusters.connector(Eks.model_validate({"roleArn": ROLE, **members}), ARN, name="prod-eu")


async def connected(way: Connector) -> Connection:
    """A connection whose server address nobody listens on; no request is made before the test does."""
    async with await way.connect() as connection:
        return connection


async def reason(way: Connector) -> str:
    with pytest.raises(NotTried) as failed:
        await way.connect()
    return failed.value.reason


def called(hub: HubProcess) -> list[str]:
    return [call["operation"] for call in hub.calls()]


async def test_clusters_share_a_roles_sign_in(clusters: EksClusters, hub: HubProcess, authority: str) -> None:
    """A role is assumed once for all its clusters in a Region."""
    hub.eks([{"arn": ARN, "endpoint": SERVER, "authority": authority}])
    ways = [connector(clusters) for _ in range(5)]
    await asyncio.gather(*(connected(way) for way in ways))
    assert called(hub).count("AssumeRole") == 1
    assert called(hub).count("DescribeCluster") == 5


async def test_sts_of_one_region_signs_in_for_all_regions(
    clusters: EksClusters, hub: HubProcess, authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL_STS leads to the STS of the operator's Region, which rejects signatures for another. The assumed
    role is valid in every Region, and a token is still signed for the cluster's.
    """
    there = f"arn:aws:eks:us-east-1:{OTHER}:cluster/prod-us"
    hub.switch(sts_region="first")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", hub.url)
    described = {"endpoint": SERVER, "authority": authority}
    hub.eks([{"arn": there, **described, "entries": [{"principal": ROLE}]}])
    try:
        way = clusters.connector(Eks.model_validate({"roleArn": ROLE}), there, name="prod-us")
        await connected(way)
        assert hub.review(there, await way._tokens.token())["authenticated"]
        caller = await way._identity.caller(way._arn)
        assert (caller.account, caller.fault) == (OTHER, None)
    finally:
        hub.switch(sts_region="any")


def test_unused_identities_are_dropped(clusters: EksClusters) -> None:
    """Sign-ins of deleted MonitoredClusters do not accumulate."""
    way: Connector | None = connector(clusters)
    assert len(clusters._identities) == 1
    assert way is not None
    way = None
    gc.collect()
    assert len(clusters._identities) == 0


async def test_a_cluster_of_the_same_name_in_another_account(
    clusters: EksClusters, hub: HubProcess, authority: str
) -> None:
    """The operator's own account may have a cluster of that name: it is not used in place of the one in the ARN."""
    own = f"arn:aws:eks:eu-west-1:{OPERATOR}:cluster/prod-eu"
    hub.eks([{"arn": own, "endpoint": SERVER, "authority": authority}])
    way = clusters.connector(Eks(), ARN, name="prod-eu")
    with pytest.raises(NotTried, match=f"finds the EKS cluster {own}, not {ARN}") as failed:
        await way.connect()
    assert failed.value.reason == "ClusterNotFound"


@pytest.mark.parametrize("kind", ["throttle", "error500", "access_denied"])
async def test_cached_endpoints(clusters: EksClusters, hub: HubProcess, authority: str, kind: str) -> None:
    """A reconnect needs no answer of EKS; a first connection does. If the cached address fails, the message says that
    it is old.
    """
    hub.eks([{"arn": ARN, "endpoint": SERVER, "authority": authority}])
    way = connector(clusters)
    await connected(way)
    hub.fault(kind, operation="DescribeCluster")
    connection = await way.connect()
    assert connection.server == SERVER
    with pytest.raises(Unreachable) as failed:
        await connection.cluster_uid()
    await connection.close()
    fault = await way.explain(failed.value)
    assert "from an earlier DescribeCluster; the last one failed: DescribeCluster" in fault.message
    assert await reason(connector(clusters)) in {"Throttled", "Unavailable", "AccessDenied"}


@pytest.mark.parametrize(
    ("sts", "expected"), [("", "ClusterGone"), ("throttle", "ClusterNotFound"), ("access_denied", "ClusterNotFound")]
)
async def test_a_missing_cluster_needs_a_verified_account(
    clusters: EksClusters, hub: HubProcess, sts: str, expected: str
) -> None:
    """Without a verified account, ResourceNotFound is no evidence."""
    if sts:
        hub.fault(sts, operation="GetCallerIdentity")
    assert await reason(connector(clusters)) == expected


async def test_the_cache_drops_deleted_clusters(clusters: EksClusters, hub: HubProcess, authority: str) -> None:
    """Its address may soon belong to another cluster."""
    hub.eks([{"arn": ARN, "endpoint": SERVER, "authority": authority}])
    way = connector(clusters)
    await connected(way)
    hub.eks([])
    assert await reason(way) == "ClusterGone"
    hub.fault("throttle", operation="DescribeCluster")
    assert await reason(way) == "Throttled"


@pytest.mark.parametrize(
    ("reported", "expected_text"),
    [
        ({"endpoint": "https://169.254.169.254"}, "link-local"),
        ({"endpoint": "http://127.0.0.1:9"}, "plain http"),
        ({"endpoint": "https://a:b@127.0.0.1"}, "user name or password"),
        ({"authority": "no PEM"}, "not base64 of PEM"),
        ({"authority": base64.b64encode(b"-----BEGIN CERTIFICATE-----\nx\n").decode()}, "cannot be read"),
    ],
    ids=["link-local", "http", "credentials", "no PEM", "no certificate"],
)
async def test_unusable_endpoints(
    clusters: EksClusters, hub: HubProcess, authority: str, reported: dict[str, str], expected_text: str
) -> None:
    """From EKS or a spec: no token goes to link-local addresses or over plain http."""
    hub.eks([{"arn": ARN, "endpoint": SERVER, "authority": authority, **reported}])
    with pytest.raises(NotTried, match=expected_text) as failed:
        await connector(clusters).connect()
    assert failed.value.reason == "EndpointInvalid"


@pytest.mark.parametrize("host", ["tokens.example.com", "abc.execute-api.eu-west-1.api.aws", "127.0.0.1"])
async def test_a_token_goes_to_no_arbitrary_host(clock: Clock, hub: HubProcess, authority: str, host: str) -> None:
    """Whoever can write a MonitoredCluster gets no token of any cluster: nothing is signed, no connection is made."""
    clusters = EksClusters(now=clock)
    given = {"endpoint": f"https://{host}", "certificateAuthorityData": authority}
    with pytest.raises(NotTried, match=f"has the host {host}, which is not an EKS endpoint in eu-west-1") as failed:
        await clusters.connector(Eks.model_validate(given), ARN, name="prod-eu").connect()
    clusters.close()
    assert failed.value.reason == "EndpointInvalid"
    assert "POLICYHUB_EKS_ENDPOINT_HOSTS" in failed.value.remedy
    assert called(hub) == []


@pytest.mark.parametrize("url", ["vpce-0123-abcd.sts.eu-west-1.vpce.amazonaws.com", "https://", "https://a b"])
@pytest.mark.parametrize(
    ("service", "role", "web_identity"),
    [("STS", ROLE, False), ("STS", None, True), ("STS", ROLE, True), ("EKS", ROLE, False), ("EKS", None, False)],
)
async def test_an_invalid_endpoint_url_is_a_reason_of_connected(
    clusters: EksClusters, hub: HubProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *,
    url: str, service: str, role: str | None, web_identity: bool,
) -> None:  # fmt: skip
    """Whichever client needs it: ours for EKS, that which assumes the role, or botocore's own for IRSA."""
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
    if web_identity:
        (tmp_path / "token").write_text("token")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", f"arn:aws:iam::{OPERATOR}:role/own")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
    way = connector(clusters, roleArn=role)
    for _ in range(2):
        with pytest.raises(NotTried) as failed:
            await way.connect()
        assert failed.value.reason == "Misconfigured"
        assert url in failed.value.found
        assert "AWS_ENDPOINT_URL" in failed.value.remedy


@pytest.mark.parametrize("host", ["tokens.example.com", "abc.execute-api.eu-west-1.api.aws", "127.0.0.1"])
async def test_a_token_goes_to_nobody_that_describe_cluster_just_names(
    clock: Clock, hub: HubProcess, authority: str, host: str
) -> None:
    """What answers as EKS may be another server, by AWS_ENDPOINT_URL: its endpoints are checked as those of a spec."""
    clusters = EksClusters(now=clock)
    entries = [{"principal": ROLE, "groups": ["policyhub"]}]
    hub.eks([{"arn": ARN, "endpoint": f"https://{host}", "authority": authority, "entries": entries}])
    with pytest.raises(NotTried, match=f"has the host {host}, which is not an EKS endpoint") as failed:
        await connector(clusters).connect()
    clusters.close()
    assert failed.value.reason == "EndpointInvalid"
    assert "AWS_ENDPOINT_URL" in failed.value.remedy
    assert "POLICYHUB_EKS_ENDPOINT_HOSTS" in failed.value.remedy


async def test_a_local_cluster_on_outposts_uses_its_id(clusters: EksClusters, hub: HubProcess, authority: str) -> None:
    """Its authenticator expects its id in the token, not its name."""
    entries = [{"principal": ROLE, "groups": ["policyhub"]}]
    local = {"arn": ARN, "endpoint": SERVER, "authority": authority, "outpost_id": "0f1e2d", "entries": entries}
    hub.eks([local])
    way = connector(clusters)
    await connected(way)
    token = await way._tokens.token()
    assert hub.review(ARN, token)["authenticated"]
    hub.eks([{**local, "outpost_id": ""}])
    assert "SignatureDoesNotMatch" in hub.review(ARN, token)["error"]


async def test_a_401_names_the_signer(clusters: EksClusters, hub: HubProcess, authority: str) -> None:
    """For a role, the spec's ARN with its path; for the operator itself, the answer of STS."""
    given = {"endpoint": SERVER, "certificateAuthorityData": authority}
    own = clusters.connector(Eks.model_validate(given), ARN, name="prod-eu")
    role = clusters.connector(Eks.model_validate({**given, "roleArn": ROLE + "/x"}), ARN, name="prod-eu")
    for way, principal in ((own, f"arn:aws:iam::{OPERATOR}:user/"), (role, ROLE + "/x")):
        fault = await way.explain(Refused(401, "Unauthorized", ""))
        assert fault.reason == "AccessEntryMissing"
        assert f"--principal-arn {principal}" in fault.remedy


@pytest.mark.usefixtures("hub")
async def test_missing_credentials(
    clusters: EksClusters, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: str
) -> None:
    """Without any sign-in the reason is that of AWS, and the next attempt looks for credentials again."""
    credentials = tmp_path / "credentials"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    given = {"endpoint": SERVER, "certificateAuthorityData": authority}
    way = clusters.connector(Eks.model_validate(given), ARN, name="prod-eu")
    assert await reason(way) == "CredentialsMissing"
    clock.ms += int(FAILED_SECONDS * 1000)
    credentials.write_text("[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\n")
    await connected(way)


async def test_a_session_that_ended_early(clusters: EksClusters, hub: HubProcess, authority: str) -> None:
    """A rejected token and its session are dropped together; the reason is AWS's, not a missing access entry."""
    hub.eks([{"arn": ARN, "endpoint": SERVER, "authority": authority, "entries": [{"principal": ROLE}]}])
    way = connector(clusters)
    await connected(way)
    old = await way._tokens.token()
    hub.expire_sessions()
    assert not hub.review(ARN, old)["authenticated"]
    fault = await way.explain(Refused(401, "Unauthorized", ""))
    assert fault.reason == "CredentialsExpired"
    await connected(way)
    assert hub.review(ARN, await way._tokens.token())["authenticated"]
