"""A server process for this folder's tests, reset before each, and boto3 clients that are closed after."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from dev.hub.process import HubProcess

OTHER = "444455556666"
MakeClient = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[HubProcess]:
    with HubProcess.start(accounts=("111122223333", OTHER), regions=("eu-west-1", "us-gov-west-1")) as hub:
        yield hub


@pytest.fixture
def hub(server: HubProcess) -> HubProcess:
    """The server as just started, without quotas."""
    server.reset()
    server.quotas(on=False)
    server.roles({})
    server.switch(
        ignored_update="counted",
        omitted_fields="cleared",
        duplicate_ids="in_order",
        suppressed_imports="applied",
        unfiltered_records="all",
    )
    return server


@pytest.fixture(scope="session")
def session() -> Any:
    """One session for all: reading the service model is most of a client's cost."""
    return boto3.session.Session()


@pytest.fixture
def client(hub: HubProcess, session: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeClient]:
    """Makes unmodified boto3 clients from nothing but the environment that the server names; one attempt a call."""
    made: list[Any] = []
    for name, value in hub.env().items():
        monkeypatch.setenv(name, value)

    def make(service: str = "securityhub", *, account: str | None = None, **options: Any) -> Any:
        env = hub.env(account=account)
        options.setdefault("region_name", env["AWS_REGION"])
        options.setdefault("aws_access_key_id", env["AWS_ACCESS_KEY_ID"])
        options.setdefault("aws_secret_access_key", env["AWS_SECRET_ACCESS_KEY"])
        config = boto3.session.Config(
            retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=options.pop("read_timeout", 30)
        )
        one = session.client(service, config=config, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
