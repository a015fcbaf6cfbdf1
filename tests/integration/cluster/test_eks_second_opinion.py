"""aws-iam-authenticator itself accepts the tokens that the operator signs, and rejects those that its rules reject."""

import json
import subprocess
from pathlib import Path

import pytest

from dev.cluster import toolchain
from policyhub.eks import token
from policyhub.securityhub.credentials import models
from tests.unit.eks_tokens import HOSTS, KEY, SECRET, signed_url

LOADER = models()
YOUNGER = {"aws-eusc", "aws-iso-e", "aws-iso-f"}
"""Partitions that the pinned version, of 2023, does not know."""


@pytest.fixture(scope="module")
def verifier() -> Path:
    return toolchain.ensure("token-verifier", progress=print)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_USE_FIPS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def ask(verifier: Path, text: str, *, partition: str, region: str) -> dict[str, str]:
    """Its result for a token: the caller it would look up, the cluster and the access key; or an error."""
    question = {"token": text, "cluster": "prod-eu", "partition": partition, "region": region}
    done = subprocess.run([verifier], input=json.dumps(question), capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("partition", "region"), [each for each in HOSTS if each[0] not in YOUNGER], ids=str)
def test_tokens_of_every_partition_are_accepted(verifier: Path, partition: str, region: str) -> None:
    """It would ask the partition's STS, with the cluster's name."""
    found = ask(verifier, token.encode(signed_url(LOADER, region)), partition=partition, region=region)
    assert found == {"host": HOSTS[partition, region], "header": "prod-eu", "key": KEY, "error": ""}


def test_fips_and_vpc_endpoints_do_not_change_tokens(verifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's settings for our own calls do not produce tokens that it rejects."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com")
    for region in ("eu-west-1", "us-east-1"):
        found = ask(verifier, token.encode(signed_url(LOADER, region)), partition="aws", region=region)
        assert found["error"] == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sts.eu-west-1", "vpce-1.sts.eu-west-1", "unexpected hostname"),
        ("X-Amz-SignedHeaders=host%3Bx-k8s-aws-id", "X-Amz-SignedHeaders=host", "did not sign"),
        ("Action=GetCallerIdentity", "Action=AssumeRole", "unexpected action"),
        ("Version=", "Extra=1&Version=", "non-whitelisted"),
    ],
)
def test_it_rejects_what_the_local_authenticator_rejects(verifier: Path, old: str, new: str, message: str) -> None:
    """Both reject the same tokens with the same messages."""
    url = signed_url(LOADER, "eu-west-1").replace(old, new)
    assert message in ask(verifier, token.encode(url), partition="aws", region="eu-west-1")["error"]
