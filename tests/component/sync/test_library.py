"""When the policies of a cluster count as known, against a server that serves, refuses or fails."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import Access
from policyhub.sync.library import PATIENCE_MS, Library
from policyhub.sync.policies import Policies
from tests.component.kube.apiserver import Answer, ApiServer, refusal

START = 1_790_000_000_000
GROUP = "/apis/kyverno.io"
KINDS = {"name": "clusterpolicies", "kind": "ClusterPolicy", "namespaced": False, "verbs": ["create", "list", "watch"]}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Stand:
    """A library at work."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.policies = Policies(now=self.clock, on_malformed=print)
        self.library = Library(
            self.policies,
            reports=True,
            gatekeeper=True,
            relist_interval=3600,
            discovery_interval=0.05,
            now=self.clock,
            rng=random.Random(1),  # noqa: S311  (jitter)
        )

    @asynccontextmanager
    async def at_work(self, api: ApiServer) -> AsyncIterator[Library]:
        async with Connection(Access(server=api.url)) as connection:
            task = asyncio.create_task(self.library.run(connection))
            yield self.library
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert self.library.reflectors == {}


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


def answer(document: object) -> Answer:
    return Answer(200, json.dumps(document).encode())


def serve(api: ApiServer, listing: Answer) -> None:
    """One kind of policies."""
    api.documents[GROUP] = answer({"versions": [{"version": "v1"}]})
    api.documents[f"{GROUP}/v1"] = answer({"resources": [KINDS]})
    api.documents[f"{GROUP}/v1/clusterpolicies"] = listing


async def test_where_no_policies_are_served_all_is_known(api: ApiServer) -> None:
    """404 of every group."""
    async with Stand().at_work(api) as library:
        await library.settle(seconds=10)
        assert library.settled
        assert library.unknown == {}


async def test_a_refusal_is_an_answer(api: ApiServer) -> None:
    """403: nothing is to be known of that kind."""
    serve(api, refusal(403, "Forbidden"))
    async with Stand().at_work(api) as library:
        await library.settle(seconds=10)
        assert library.settled
        assert library.reflectors["clusterpolicies.kyverno.io"].state.reason == "ListingForbidden"


@pytest.mark.parametrize("path", [GROUP, f"{GROUP}/v1/clusterpolicies"], ids=["discovery", "listing"])
async def test_a_failure_is_waited_for_and_not_for_ever(api: ApiServer, path: str) -> None:
    """500 may be a moment's; findings wait for a quarter of an hour, not longer."""
    serve(api, refusal(500, "InternalError"))
    api.documents[path] = refusal(500, "InternalError")
    stand = Stand()
    async with stand.at_work(api) as library:
        await library.settle(seconds=0.5)
        assert not library.settled
        stand.clock.now += PATIENCE_MS
        await library.settle(seconds=0.1)
        assert library.settled
