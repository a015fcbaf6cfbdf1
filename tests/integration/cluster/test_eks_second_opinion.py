"""aws-iam-authenticator itself about the tokens that the product signs, and about the ones that its rules refuse."""

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
    """What it makes of a token: whom it would ask for which cluster, and whose key that is; or an error."""
    question = {"token": text, "cluster": "prod-eu", "partition": partition, "region": region}
    done = subprocess.run([verifier], input=json.dumps(question), capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("partition", "region"), [each for each in HOSTS if each[0] not in YOUNGER], ids=str)
def test_every_partition(verifier: Path, partition: str, region: str) -> None:
    """It takes the token of each partition, and would ask that partition's STS, with the cluster's name."""
    found = ask(verifier, token.encode(signed_url(LOADER, region)), partition=partition, region=region)
    assert found == {"host": HOSTS[partition, region], "header": "prod-eu", "key": KEY, "error": ""}


def test_with_fips_and_a_vpc_endpoint(verifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of our own calls does not make tokens that it refuses."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com")
    for region in ("eu-west-1", "us-east-1"):
        found = ask(verifier, token.encode(signed_url(LOADER, region)), partition="aws", region=region)
        assert found["error"] == ""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("sts.eu-west-1", "vpce-1.sts.eu-west-1", "unexpected hostname"),
        ("X-Amz-SignedHeaders=host%3Bx-k8s-aws-id", "X-Amz-SignedHeaders=host", "did not sign"),
        ("Action=GetCallerIdentity", "Action=AssumeRole", "unexpected action"),
        ("Version=", "Extra=1&Version=", "non-whitelisted"),
    ],
)
def test_it_refuses_what_the_local_authenticator_refuses(verifier: Path, old: str, new: str, says: str) -> None:
    """The two agree on what is no token, in the same words."""
    url = signed_url(LOADER, "eu-west-1").replace(old, new)
    assert says in ask(verifier, token.encode(url), partition="aws", region="eu-west-1")["error"]
