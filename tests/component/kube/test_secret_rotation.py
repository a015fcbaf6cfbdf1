"""Cluster API's kubeconfig Secrets: which of them is used, and how the operator follows their rotating tokens."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from policyhub.kube import rotation
from policyhub.kube.connection import Connection, Refused
from policyhub.kube.kubeconfig import Access, KubeconfigError
from tests.component.kube.apiserver import RESOURCE, Answer, ApiServer, refusal
from tests.component.kube.authority import Authority
from tests.component.kube.mirror import until

ANYTHING = "/api/v1/anything"
UID = "/api/v1/namespaces/kube-system"
EXEC = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": ["eks", "get-token"]}


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Managed:
    """A cluster of Cluster API, and its Secrets in the management cluster."""

    def __init__(self, home: ApiServer, api: ApiServer, authority: Authority) -> None:
        self.home = home
        self.api = api
        self.pem = authority.pem
        self.taken = {"token-1"}
        """Tokens that the cluster accepts."""
        api.handlers[UID] = self._answer
        api.handlers[ANYTHING] = self._answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.taken:
            return web.json_response({"kind": "Status", "reason": "Unauthorized"}, status=401)
        return web.json_response({"metadata": {"uid": "uid"}})

    @property
    def sent(self) -> list[str]:
        """Tokens in the order of the requests."""
        return [request.headers["Authorization"].removeprefix("Bearer ") for request in self.api.requests]

    def kubeconfig(self, user: dict[str, Any], *, server: str = "") -> str:
        """The format of clientcmd."""
        authority = base64.b64encode(self.pem).decode()
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "preferences": {},
                "clusters": [
                    {
                        "name": "shop",
                        "cluster": {"server": server or self.api.url, "certificate-authority-data": authority},
                    }
                ],
                "contexts": [{"name": "a@shop", "context": {"cluster": "shop", "user": "a"}}],
                "current-context": "a@shop",
                "users": [{"name": "a", "user": user}],
            }
        )

    def write(self, token: str, *, server: str = "") -> None:
        """Write the Secrets as the controller does at each reconcile, and once for people."""
        self._put(
            "shop-kubeconfig",
            value=self.kubeconfig({"token": token}, server=server),
            relative=self.kubeconfig({"tokenFile": "./token-file"}),
            **{"token-file": token},
        )
        self._put("shop-user-kubeconfig", value=self.kubeconfig({"exec": EXEC}))

    def _put(self, name: str, **content: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
        body = {"type": "cluster.x-k8s.io/secret", "data": data}
        self.home.documents[self.path(name)] = Answer(200, json.dumps(body).encode())

    def path(self, name: str = "shop-kubeconfig") -> str:
        return f"/api/v1/namespaces/fleet/secrets/{name}"

    @property
    def reads(self) -> int:
        return len(self.home.requests)

    def read_since(self, before: int) -> bool:
        return self.reads > before


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def home() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def managed(home: ApiServer, authority: Authority, tmp_path: Path) -> AsyncIterator[Managed]:
    async with ApiServer().serve(tls=authority.server(tmp_path)) as api:
        made = Managed(home, api, authority)
        made.write("token-1")
        yield made


@pytest.fixture
async def at_home(home: ApiServer) -> AsyncIterator[Connection]:
    async with Connection(Access(server=home.url)) as made:
        yield made


async def test_a_token_is_replaced_before_it_expires(managed: Managed, at_home: Connection) -> None:
    """Two minutes after the Secret was read it is read again in the background: the controller's new token is used from
    then on, and no request is refused. Until then it is read once.
    """
    clock = Clock()
    async with await Connection.from_secret(at_home, "fleet", "shop-kubeconfig", key="value", monotonic=clock) as made:
        managed.write("token-2")
        await made.get(ANYTHING)
        assert managed.reads == 1
        managed.taken = {"token-1", "token-2"}
        clock.seconds += rotation.READ_SECONDS
        await made.get(ANYTHING)
        await until(lambda: managed.reads == 2)
        while managed.sent[-1] != "token-2":
            await made.get(ANYTHING)
        managed.taken = {"token-2"}
        await made.get(ANYTHING)
    assert managed.reads == 2
    assert "token-2" not in managed.sent[:2]


async def test_an_expired_token_costs_no_connection(managed: Managed, at_home: Connection) -> None:
    """The first request of each round, for the cluster's uid, finds the new token; an open watch continues."""
    watch = {"watch": "true", "resourceVersion": "100"}
    async with (
        await Connection.from_secret(at_home, "fleet", "shop-kubeconfig", key="value") as made,
        made.stream(RESOURCE.path, watch, idle_seconds=60) as lines,
    ):
        managed.write("token-2")
        managed.taken = {"token-2"}
        assert await made.cluster_uid() == "uid"
        assert managed.sent[-2:] == ["token-1", "token-2"]
        managed.api.put("later")
        assert json.loads(await anext(lines))["object"]["metadata"]["name"] == "later"


async def test_a_token_that_is_not_replaced(managed: Managed, at_home: Connection) -> None:
    """The refusal is reported, and the Secret is read once per refusal."""
    async with await Connection.from_secret(at_home, "fleet", "shop-kubeconfig", key="value") as made:
        managed.taken = set()
        with pytest.raises(Refused) as refused:
            await made.cluster_uid()
    assert refused.value.status == 401
    assert managed.reads == 2


async def test_a_new_token_goes_only_to_its_server(managed: Managed, at_home: Connection) -> None:
    """If the Secret now names another server, its token is not sent to the old one."""
    async with await Connection.from_secret(at_home, "fleet", "shop-kubeconfig", key="value") as made:
        managed.write("token-2", server="https://elsewhere.example")
        managed.taken = set()
        with pytest.raises(Refused):
            await made.cluster_uid()
    assert {*managed.sent} == {"token-1"}


@pytest.mark.parametrize("answer", [refusal(403, "Forbidden"), refusal(404, "NotFound"), Answer(200, b"{}"), Answer(0)])
async def test_an_unreadable_secret(managed: Managed, at_home: Connection, answer: Answer) -> None:
    """The token stays in use while the cluster accepts it."""
    clock = Clock()
    async with await Connection.from_secret(at_home, "fleet", "shop-kubeconfig", key="value", monotonic=clock) as made:
        managed.home.documents[managed.path()] = answer
        for _ in range(2):
            before = managed.reads
            async with asyncio.timeout(20):
                while managed.reads == before:  # no other read starts while one ends
                    clock.seconds += rotation.READ_SECONDS
                    await made.get(ANYTHING)
        made_uid = await made.cluster_uid()
    assert made_uid == "uid"
    assert {*managed.sent} == {"token-1"}


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        (
            "shop-user-kubeconfig",
            "value",
            ["exec is refused", "name: shop-kubeconfig, key: value", "spec.connection.eks"],
        ),
        (
            "shop-kubeconfig",
            "relative",
            ["tokenFile is refused", "set spec.connection.kubeconfigSecretRef.key to value"],
        ),
        ("shop-kubeconfig", "token-file", ["not a mapping", "Put a corrected one into it"]),
        ("shop-kubeconfig", "kubeconfig", ["its keys: relative, token-file, value", "kubeconfigSecretRef.key"]),
    ],
)
async def test_secrets_for_other_purposes(
    managed: Managed, at_home: Connection, name: str, key: str, message: list[str]
) -> None:
    """For the other kubeconfigs that Cluster API writes, the message names the one with a token."""
    with pytest.raises(KubeconfigError) as refused:
        await Connection.from_secret(at_home, "fleet", name, key=key)
    for part in message:
        assert part in str(refused.value)
