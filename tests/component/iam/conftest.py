"""A local hub with a cluster's tokens and the operator's roles, and the operator's own clients of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dev.hub import bearer
from dev.hub.process import HubProcess
from policyhub.securityhub.client import HubClient, workers
from policyhub.securityhub.credentials import Clients, Loader, models
from policyhub.securityhub.rate_limit import TokenBucket
from tests.component.iam.pod import ACCOUNT, AUDIENCES, CLUSTER, OTHER, REGION, Connect, Pod, printed, roles

ELSEWHERE = ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_SECURITYHUB", "AWS_ENDPOINT_URL_STS", "AWS_PROFILE", "HTTP_PROXY")
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


@pytest.fixture(scope="module")
def server() -> Iterator[HubProcess]:
    with HubProcess.start(accounts=(ACCOUNT, OTHER), regions=(REGION,), quotas=False, strict_keys=True) as process:
        yield process


@pytest.fixture(scope="session")
def loader() -> Loader:
    return models()


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def hub(server: HubProcess, key: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubProcess]:
    """A fresh server that trusts one cluster; the environment has its address, and no credentials."""
    server.reset()
    server.session_lifetime(0)
    server.clusters({CLUSTER: bearer.published(key)})
    for name in (*ELSEWHERE, *CREDENTIALS):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.place().items():
        monkeypatch.setenv(name, value)
    yield server
    server.policies([])


@pytest.fixture(params=AUDIENCES)
def sign_in(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pod(
    sign_in: str, hub: HubProcess, key: ec.EllipticCurvePrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Pod:
    """The operator's Pod as EKS prepares it, for exactly the role that `policyhub iam-policy` prints."""
    hub.policies(printed(*roles(sign_in)))
    hub.associate(CLUSTER, "policyhub/policyhub", roles("pod-identity")[0].arn)
    made = Pod(sign_in, tmp_path / "token", key)
    made.token()
    for name, value in made.environment(hub).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with workers(2) as pool:
        yield pool


@pytest.fixture
def connect(executor: ThreadPoolExecutor, loader: Loader) -> Connect:
    """Makes the operator's own client, without waiting for rate-limit tokens."""

    def make(*, account: str = ACCOUNT, **options: Any) -> HubClient:
        return HubClient(
            account=account,
            region=REGION,
            partition="aws",
            clients=Clients(region=REGION, version="0", loader=loader, **options),
            executor=executor,
            imports=TokenBucket(rate=1e9, burst=30),
            reads=TokenBucket(rate=1e9, burst=6),
        )

    return make
