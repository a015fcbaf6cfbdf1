"""When the policies of a cluster count as known, for a server that serves, refuses or fails."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.clock import SteadyMs
from policyhub.cluster.context import Context, policy_faults
from policyhub.cluster.policy_watcher import LONG_REFUSAL_GRACE_MS, MAX_WAIT_MS, PolicyWatcher
from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import Access
from policyhub.model.source_apis import SOURCE_GROUPS
from policyhub.settings import Settings
from policyhub.sync.ledger import Ledger
from policyhub.sync.policy_metadata import REFUSAL_GRACE_MS, PolicyMetadata
from tests.component.kube.apiserver import Answer, ApiServer, refusal

START = SteadyMs(1_790_000_000_000)
GROUP = "/apis/kyverno.io"
SOURCE_API = "clusterpolicies.kyverno.io"
KINDS = {"name": "clusterpolicies", "kind": "ClusterPolicy", "namespaced": False, "verbs": ["create", "list", "watch"]}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> SteadyMs:
        return self.now


class Rig:
    """A running PolicyWatcher."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.policies = PolicyMetadata(now=self.clock, on_malformed=print)
        self.library = PolicyWatcher(
            self.policies,
            groups=SOURCE_GROUPS,
            relist_interval=3600,
            discovery_interval=0.05,
            now=self.clock,
            rng=random.Random(1),  # noqa: S311  (jitter)
        )

    @asynccontextmanager
    async def running(self, api: ApiServer) -> AsyncIterator[PolicyWatcher]:
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
    """Serve one kind of policies."""
    api.documents[GROUP] = answer({"versions": [{"version": "v1"}]})
    api.documents[f"{GROUP}/v1"] = answer({"resources": [KINDS]})
    api.documents[f"{GROUP}/v1/clusterpolicies"] = listing


async def test_unserved_policies_are_known(api: ApiServer) -> None:
    """404 of every group."""
    async with Rig().running(api) as library:
        await library.wait_until_ready(seconds=10)
        assert library.is_ready
        assert library.unknown == {}


async def test_a_lasting_refusal_is_accepted(api: ApiServer) -> None:
    """403, and again after the grace period: nothing can be known of that kind, without waiting for the reflector's
    next retry.
    """
    serve(api, refusal(403, "Forbidden"))
    rig = Rig()
    async with rig.running(api) as library:
        await library.wait_until_ready(seconds=0.5)
        assert [library.is_ready] == [False]
        assert library.reflectors[SOURCE_API].state.reason == "ListingForbidden"
        assert policy_faults(library)[SOURCE_API].reason == "Listing"
        rig.clock.now += REFUSAL_GRACE_MS
        while not library.is_ready:
            await library.wait_until_ready(seconds=0.1)
        assert library.is_ready
        assert policy_faults(library)[SOURCE_API].reason == "Forbidden"


async def test_a_temporary_refusal_is_ignored(api: ApiServer) -> None:
    """403 while RBAC is not loaded yet: policies that are listed later are known before anything is rendered."""
    serve(api, refusal(403, "Forbidden"))
    rig = Rig()
    async with rig.running(api) as library:
        await library.wait_until_ready(seconds=0.5)
        policy = {"metadata": {"name": "probes", "annotations": {"policies.kyverno.io/title": "T"}}}
        serve(api, answer({"metadata": {"resourceVersion": "5"}, "items": [policy]}))
        rig.clock.now += REFUSAL_GRACE_MS
        while not library.is_ready:
            await library.wait_until_ready(seconds=0.1)
        assert library.is_ready
        assert library.reflectors[SOURCE_API].state.reason != "ListingForbidden"
        assert rig.policies._texts


@pytest.mark.parametrize(
    ("statuses", "patience"),
    [
        pytest.param([], REFUSAL_GRACE_MS, id="a new cluster"),
        pytest.param([("PoliciesKnown", "False", "Forbidden")], REFUSAL_GRACE_MS, id="refused before"),
        pytest.param(
            [("InSync", "True", "InSync"), ("PoliciesKnown", "True", "Watched")],
            LONG_REFUSAL_GRACE_MS,
            id="known before",
        ),
        pytest.param(
            [("PoliciesKnown", "False", "ListingFailed")], LONG_REFUSAL_GRACE_MS, id="not to be read at that moment"
        ),
    ],
)
def test_an_unexpected_refusal_must_last_longer(statuses: list[tuple[str, str, str]], patience: int) -> None:
    """If policies were known before the start, an early decision would change the findings' texts."""
    moment = {"message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [{"type": type_, "status": status, "reason": reason, **moment} for type_, status, reason in statuses]
    body = {"metadata": {"name": "a"}, "spec": {"connection": {"inCluster": {}}}, "status": {"conditions": conditions}}
    monitored = MonitoredCluster.model_validate(body)
    site: Any = SimpleNamespace(spec=monitored.spec, monitored=monitored, now=Clock(), rng=None, settings=Settings())
    ledger = Ledger(cluster_id="a", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
    context = Context(site, ledger)
    assert context.policy_metadata is not None
    assert context.policy_metadata.refusal_grace_ms == patience


@pytest.mark.parametrize("path", [GROUP, f"{GROUP}/v1/clusterpolicies"], ids=["discovery", "listing"])
async def test_a_failure_is_awaited_for_a_limited_time(api: ApiServer, path: str) -> None:
    """500 may be temporary; findings wait for 15 minutes, not longer."""
    serve(api, refusal(500, "InternalError"))
    api.documents[path] = refusal(500, "InternalError")
    rig = Rig()
    async with rig.running(api) as library:
        await library.wait_until_ready(seconds=0.5)
        assert not library.is_ready
        rig.clock.now += MAX_WAIT_MS
        await library.wait_until_ready(seconds=0.1)
        assert library.is_ready
