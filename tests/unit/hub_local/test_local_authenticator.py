"""The local EKS authenticator accepts the tokens that the operator signs, in every partition, and no similar ones."""

import base64
import random
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from dev.hub.authenticator import TokenError, read
from policyhub.eks import token
from policyhub.securityhub.credentials import Clients, models
from tests.unit.eks_tokens import HOSTS, KEY, SECRET, signed_url

LOADER = models()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_STS_REGIONAL_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def key_of(text: str, *, cluster: str = "prod-eu", partition: str = "aws", now: float | None = None) -> str:
    """The access key that has signed it. Raises TokenError."""
    found = read(text, cluster=cluster, partition=partition, now=time.time() if now is None else now)
    if not found.is_signed_with(SECRET):
        raise TokenError("SignatureDoesNotMatch")
    return found.key


@pytest.mark.parametrize(("partition", "region"), HOSTS, ids=str)
def test_tokens_of_every_partition(partition: str, region: str) -> None:
    """The token of each partition has its own STS host, and is signed in the cluster's Region."""
    url = signed_url(LOADER, region)
    assert urlsplit(url).hostname == HOSTS[partition, region]
    assert key_of(token.encode(url), partition=partition) == KEY
    with pytest.raises(TokenError, match="unexpected hostname"):
        key_of(token.encode(url), partition="aws-cn" if partition != "aws-cn" else "aws")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL_STS", "https://vpce-1-abc.sts.eu-west-1.vpce.amazonaws.com"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "legacy"),
    ],
    ids=str,
)
def test_configured_endpoints_do_not_change_the_token(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoints for our own calls do not apply to EKS: a VPC endpoint's host is rejected, and a FIPS host that does not
    exist is unreachable.
    """
    monkeypatch.setenv(variable, value)
    assert urlsplit(signed_url(LOADER, "eu-west-1")).hostname == "sts.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "sts-fips.us-east-1.amazonaws.com"),
        ("us-west-2", "sts-fips.us-west-2.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("ap-south-1", "sts.ap-south-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_fips_only_where_it_exists(region: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If STS has a FIPS endpoint and it is configured, the token names it."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert urlsplit(signed_url(LOADER, region)).hostname == host


def test_our_own_sts_client_keeps_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing a token does not change the operator's own STS endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://vpce-1")
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    clients = Clients(region="eu-west-1", version="0", loader=LOADER)
    clients.caller_url("prod-eu")
    assert clients.sts().meta.endpoint_url == "https://vpce-1"  # type: ignore[attr-defined]  # botocore's
    assert clients._session.get_config_variable("sts_regional_endpoints") == "legacy"


def test_a_token_is_valid_for_its_cluster_only() -> None:
    """The cluster's name is part of the signature."""
    text = token.encode(signed_url(LOADER, "eu-west-1"))
    with pytest.raises(TokenError, match="SignatureDoesNotMatch"):
        key_of(text, cluster="prod-us")


def test_a_session_of_1500_characters_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's longest session token, with six tags, is below the limit."""
    session = base64.b64encode(random.Random(1).randbytes(1_125)).decode()  # noqa: S311  (any bytes)
    monkeypatch.setenv("AWS_SESSION_TOKEN", session)
    text = token.encode(signed_url(LOADER, "eu-west-1"))
    assert len(text) < 4_096
    assert key_of(text) == KEY


@pytest.mark.parametrize(("minutes", "good"), [(-4, True), (-6, False), (14.9, True), (15.1, False)])
def test_a_token_is_valid_for_fifteen_minutes(minutes: float, *, good: bool) -> None:
    """From its signature, whatever X-Amz-Expires says; a clock may be five minutes ahead."""
    text = token.encode(signed_url(LOADER, "eu-west-1"))
    now = time.time() + minutes * 60
    if good:
        assert key_of(text, now=now) == KEY
    else:
        with pytest.raises(TokenError, match=r"expired|not yet current"):
            key_of(text, now=now)


Change = Callable[[str], str]


def query(**changes: str | None) -> Change:
    def change(url: str) -> str:
        parts = urlsplit(url)
        pairs = dict(parse_qsl(parts.query)) | {name.replace("_", "-"): value for name, value in changes.items()}
        return urlunsplit(parts._replace(query=urlencode({k: v for k, v in pairs.items() if v is not None})))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url: url.replace("https:", "http:"), "unexpected scheme"),
        (lambda url: url.replace("sts.eu-west-1", "vpce-1.sts.eu-west-1"), "unexpected hostname"),
        (lambda url: url.replace("sts.eu-west-1", "sts-fips.eu-west-1"), "unexpected hostname"),
        (lambda url: url.replace("sts.eu-west-1.amazonaws.com", "sts.eu-west-1.evil.com"), "unexpected hostname"),
        (lambda url: url.replace("sts.eu-west-1", "sts.us-east-1"), "valid Region"),
        (lambda url: url.replace(".com/?", ".com/a?"), "unexpected path"),
        (lambda url: url + "&Tags=1", "non-whitelisted"),
        (lambda url: url + "&action=GetCallerIdentity", "duplicate"),
        (query(Action="AssumeRole"), "unexpected action"),
        (query(X_Amz_SignedHeaders="host"), "did not sign"),
        (query(X_Amz_SignedHeaders="host;x-amz-date;x-k8s-aws-id"), "nobody sends"),
        (query(X_Amz_Expires="901"), "X-Amz-Expires"),
        (query(X_Amz_Expires="-1"), "X-Amz-Expires"),
        (query(X_Amz_Expires="1e2"), "X-Amz-Expires"),
        (query(X_Amz_Date=None), "must be present"),
        (query(X_Amz_Date="yesterday"), "X-Amz-Date"),
        (query(X_Amz_Expires="900"), "SignatureDoesNotMatch"),
        (query(Version="2011-06-16"), "SignatureDoesNotMatch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_almost_valid_tokens_are_rejected(change: Change, message: str) -> None:
    """Each rule of the authenticator, violated once."""
    changed = change(signed_url(LOADER, "eu-west-1"))
    with pytest.raises(TokenError, match=message):
        key_of(token.encode(changed))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k8s-aws-v2.abc", "prefix"),
        ("k8s-aws-v1.###", "base64"),
        ("k8s-aws-v1." + base64.urlsafe_b64encode(b"https://sts").decode(), "padded"),
        ("k8s-aws-v1." + "a" * 4_096, "too large"),
    ],
    ids=["another version", "no base64", "padded", "too large"],
)
def test_malformed_tokens_are_rejected(text: str, message: str) -> None:
    """The form is checked before the content."""
    with pytest.raises(TokenError, match=message):
        key_of(text)
