"""Reflector and discovery on a real API server; the fake server of the component tests must behave the same."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from dev import crds
from dev.cluster import Cluster, ControlPlane
from policyhub.clock import SteadyMs
from policyhub.cluster.sinks import namespaces
from policyhub.kube import listing
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import Discovery, discover
from policyhub.kube.listing import PAGE
from policyhub.kube.reflector import Reflector
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.model.source_apis import SOURCE_GROUPS

Document = dict[str, Any]
API = "/apis/wgpolicyk8s.io/v1alpha2"
REPORTS = f"{API}/namespaces/default/policyreports"
SPACES = "/api/v1/namespaces"
COUNT = PAGE + 20


class Names:
    """A sink that stores names only."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.states: list[ReflectorState] = []
        self._listed: set[str] | None = None

    def begin(self) -> None:
        self._listed = set()

    def stream_started(self) -> None:
        pass

    def upsert(self, raw: msgspec.Raw) -> None:
        name = msgspec.json.decode(raw)["metadata"]["name"]
        self.known.add(name)
        if self._listed is not None:
            self._listed.add(name)

    def upsert_during_listing(self, raw: msgspec.Raw, *, new: bool) -> None:
        self.upsert(raw)

    def delete(self, raw: msgspec.Raw) -> None:
        name = msgspec.json.decode(raw)["metadata"]["name"]
        self.known.discard(name)
        if self._listed is not None:
            self._listed.discard(name)

    def unreadable(self, raw: msgspec.Raw, error: Exception) -> None:
        raise AssertionError(error)

    def finish(self) -> None:
        assert self._listed is not None
        self.known, self._listed = self._listed, None

    def abort(self) -> None:
        self._listed = None

    def state(self, state: ReflectorState) -> None:
        self.states.append(state)


def report(name: str) -> Document:
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"name": name, "namespace": "default"},
        "results": [{"policy": "p", "result": "fail"}],
    }


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (another process changes what is waited for)
            await asyncio.sleep(0.02)


async def found(connection: Connection) -> Discovery:
    return await discover(connection, SOURCE_GROUPS)


async def until_found(connection: Connection, condition: Callable[[Discovery], object]) -> None:
    """Until discovery has no unknown group: meanwhile a group may list a version that already answers 404."""
    async with asyncio.timeout(60):
        while (discovery := await found(connection)).unknown or not condition(discovery):  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def reflecting(connection: Connection, resource: Resource) -> AsyncIterator[tuple[Reflector, Names]]:
    names = Names()
    async with running(Reflector(connection, resource, names)) as reflector:
        yield reflector, names


@asynccontextmanager
async def running(reflector: Reflector) -> AsyncIterator[Reflector]:
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Iterator[Cluster]:
    """A separate cluster, because its API server is stopped and its CRDs are deleted."""
    cluster = plane.cluster("reflector")
    cluster.apply(
        [*crds.policy_reports("v1alpha2", "v1beta1"), crds.constraint("K8sFirst"), crds.constraint("K8sLast")]
    )
    cluster.apply(report(f"r{number:04}") for number in range(COUNT))
    account: Document = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
    cluster.request("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    yield cluster
    cluster.stop()


async def test_events_during_a_list(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes during a paged list arrive before its last page; deleted, changed and recreated objects end in their final
    state.
    """
    monkeypatch.setattr(listing, "PAGE", 100)
    last, again = f"r{COUNT - 1:04}", f"r{COUNT - 2:04}"
    resource = Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport", namespaced=True)
    async with await Connection.from_kubeconfig(cluster.kubeconfig()) as connection:
        names, page = Names(), connection.page
        pages = 0
        known: set[str] = set()

        @asynccontextmanager
        async def third(*args: Any, **kwargs: Any) -> AsyncIterator[bytearray]:
            nonlocal pages, known
            pages += 1
            if pages == 3:
                await asyncio.to_thread(cluster.request, "DELETE", f"{REPORTS}/{last}")
                await asyncio.to_thread(cluster.request, "DELETE", f"{REPORTS}/{again}")
                for name in (again, "beside"):
                    await asyncio.to_thread(cluster.request, "POST", REPORTS, report(name))
                await until(lambda: {again, "beside"} <= names.known)
                known = set(names.known)
            async with page(*args, **kwargs) as body:
                yield body

        monkeypatch.setattr(connection, "page", third)
        async with running(Reflector(connection, resource, names)) as reflector:
            await until(lambda: reflector.state.live)
            assert pages > 3, "more followed"
            assert known == {*(f"r{number:04}" for number in range(200)), again, "beside"}
            assert reflector.counters.watches == 1
            assert names.known == {*(f"r{number:04}" for number in range(COUNT - 1)), "beside"}
            assert reflector.counters.objects == COUNT
    await asyncio.to_thread(cluster.request, "POST", REPORTS, report(last))
    await asyncio.to_thread(cluster.request, "DELETE", f"{REPORTS}/beside")


async def test_the_life_cycle_of_a_resource(cluster: Cluster) -> None:
    """Paged list, events, an API server that stops and returns, a deleted CRD: the sink follows each."""
    async with await Connection.from_kubeconfig(cluster.kubeconfig()) as connection:
        assert await connection.cluster_uid() == cluster.uid
        discovery = await found(connection)
        assert discovery.unknown == {}
        assert [resource.path.removeprefix("/apis/") for resource in discovery.served] == [
            "constraints.gatekeeper.sh/v1beta1/k8sfirst",
            "constraints.gatekeeper.sh/v1beta1/k8slast",
            "wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
            "wgpolicyk8s.io/v1alpha2/policyreports",
        ]
        reports = discovery.served[-1]
        async with reflecting(connection, reports) as (reflector, names):
            await until(lambda: reflector.state.live)
            assert len(names.known) == COUNT

            await asyncio.to_thread(cluster.request, "POST", REPORTS, report("new"))
            await until(lambda: "new" in names.known)
            await asyncio.to_thread(cluster.request, "DELETE", f"{REPORTS}/r0000")
            await until(lambda: "r0000" not in names.known)
            assert reflector.counters.listings == 1

            await asyncio.to_thread(cluster.kill)
            await until(lambda: reflector.state.reason == "Unreachable")
            assert len(names.known) == COUNT
            await asyncio.to_thread(cluster.restart)
            await asyncio.to_thread(cluster.request, "DELETE", f"{REPORTS}/r0001")
            await asyncio.to_thread(cluster.request, "POST", REPORTS, report("newer"))
            reflector.request_relist()
            await until(lambda: reflector.state.live and "newer" in names.known and "r0001" not in names.known)
            assert names.known == {*(f"r{number:04}" for number in range(2, COUNT)), "new", "newer"}

            definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/policyreports.wgpolicyk8s.io"
            await asyncio.to_thread(cluster.request, "DELETE", definition)
            await until(lambda: reflector.state.phase == "vanished")
            assert not names.known, "each object of a deleted CRD is DELETED before the resource is gone"
        await until_found(connection, lambda discovery: discovery.absent(reports))


class Existence:
    """What the operator would know from the namespace sink."""

    def __init__(self) -> None:
        self.stream_started_at: dict[str, SteadyMs] = {}
        self.known: set[str] = set()
        self.gone: list[str] = []
        self.live = False

    def list_namespaces(self, names: frozenset[str], *, now: SteadyMs) -> None:
        assert now
        self.known = set(names)

    def add_namespace(self, name: str) -> None:
        self.known.add(name)

    def remove_namespace(self, name: str, *, now: SteadyMs) -> None:
        assert now
        self.known.discard(name)
        self.gone.append(name)

    def namespaces_live(self, *, live: bool, now: SteadyMs) -> None:
        self.live = live


async def test_namespaces(cluster: Cluster) -> None:
    """They are listed and watched like any resource; a namespace is gone when its deletion has finished, not before."""
    existence = Existence()
    sink = namespaces.NamespaceSink(existence, cluster="alpha", now=lambda: SteadyMs(1))
    async with (
        await Connection.from_kubeconfig(cluster.kubeconfig()) as connection,
        running(Reflector(connection, namespaces.RESOURCE, sink)),
    ):
        await until(lambda: existence.live)
        assert {"default", "kube-system"} <= existence.known
        assert existence.stream_started_at == {"namespaces": SteadyMs(1)}
        for name in ("shop", "bank"):
            namespace: Document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await asyncio.to_thread(cluster.request, "POST", SPACES, namespace)
            if name == "shop":
                await asyncio.to_thread(cluster.request, "DELETE", f"{SPACES}/shop")
        await until(lambda: "bank" in existence.known)
        assert "shop" in existence.known, "it is Terminating"
        assert not existence.gone
        ending = await asyncio.to_thread(cluster.request, "GET", f"{SPACES}/shop")
        ending["spec"]["finalizers"] = []  # a controller manager does this when the namespace is empty
        await asyncio.to_thread(cluster.request, "PUT", f"{SPACES}/shop/finalize", ending)
        await until(lambda: existence.gone)
        assert existence.gone == ["shop"]
        assert "shop" not in existence.known
        assert existence.live


async def test_forbidden_namespaces(cluster: Cluster) -> None:
    """Without the permission no namespace is taken for existing or gone."""
    existence = Existence()
    sink = namespaces.NamespaceSink(existence, cluster="alpha", now=lambda: SteadyMs(1))
    config = cluster.kubeconfig_for(namespace="default", service_account="nobody")
    async with (
        await Connection.from_kubeconfig(config) as connection,
        running(Reflector(connection, namespaces.RESOURCE, sink, forbidden_cap=namespaces.FORBIDDEN_CAP)) as reflector,
    ):
        await until(lambda: reflector.state.reason == "ListingForbidden")
        assert "namespaces" in reflector.state.message
    assert (existence.known, existence.gone, existence.live) == (set(), [], False)


async def test_the_last_constraint_kind_is_removed(cluster: Cluster) -> None:
    """After the last template is deleted its group answers 404: no constraints, and no error."""
    async with await Connection.from_kubeconfig(cluster.kubeconfig()) as connection:
        for kind in ("k8sfirst", "k8slast"):
            await asyncio.to_thread(cluster.remove_crd, kind, "constraints.gatekeeper.sh")
        await until_found(connection, lambda discovery: not any("constraints" in r.group for r in discovery.served))


async def test_a_service_account_without_permissions(cluster: Cluster) -> None:
    """The API server's 403 becomes a reason that names the missing permission; nothing is known of the objects."""
    config = cluster.kubeconfig_for(namespace="default", service_account="nobody")
    resource = Resource("wgpolicyk8s.io", "v1alpha2", "clusterpolicyreports", "ClusterPolicyReport", namespaced=False)
    async with (
        await Connection.from_kubeconfig(config) as connection,
        reflecting(connection, resource) as (reflector, names),
    ):
        await until(lambda: reflector.state.reason == "ListingForbidden")
        assert "clusterpolicyreports" in reflector.state.message
        assert not names.known
