"""The load of lookups on an API server, and the effect of unusable answers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.kube.backoff import Clock
from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import Access
from policyhub.model.violation import Subject
from policyhub.sync.existence import LIST_FROM, Answer, Existence, FoundObject, PolicyName, Presence, Referent
from policyhub.sync.existence_client import PAGE_SIZE, RATE, ExistenceClient
from tests.component.kube.apiserver import Answer as Reply
from tests.component.kube.apiserver import ApiServer, refusal

Document = dict[str, Any]
PODS = "/api/v1/namespaces/shop/pods"
VERBS = ["create", "delete", "get", "list", "watch"]
ABSENT, PRESENT, UNKNOWN = Presence.ABSENT, Presence.PRESENT, Presence.UNKNOWN


def pod(name: str) -> Subject:
    return Subject("", "Pod", "shop", name)


def json_of(document: object) -> Reply:
    return Reply(200, json.dumps(document).encode())


def kinds(*served: tuple[str, str, bool], verbs: list[str] = VERBS) -> Reply:
    entries = [{"name": name, "kind": kind, "namespaced": inside, "verbs": verbs} for name, kind, inside in served]
    return json_of({"resources": entries})


def missing(name: str, resource: str = "pods") -> Reply:
    body = {"kind": "Status", "code": 404, "reason": "NotFound", "message": f'{resource} "{name}" not found'}
    return Reply(404, json.dumps(body).encode())


def pod_document(name: str, **metadata: object) -> Document:
    return {"metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", **metadata}}


async def _reply(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": "application/json"})


def listing(names: list[str], before: Callable[[int], Reply | None] = lambda _: None) -> Any:
    """A handler of a listing in pages; `before` may answer the page that begins at an offset instead."""

    async def handle(request: web.Request) -> web.Response:
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        if (instead := before(start)) is not None:
            return await _reply(instead)
        metadata = {"continue": str(start + limit)} if start + limit < len(names) else {}
        items = [pod_document(name) for name in names[start : start + limit]]
        return web.json_response({"metadata": metadata, "items": items})

    return handle


class Rig:
    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.ahead = 0
        self.existence = Existence(now=self.now)
        self.asker = ExistenceClient(self.existence, cluster="alpha", now=self.now, rate=10_000)

    def now(self) -> SteadyMs:
        return SteadyMs(round(time.monotonic() * 1000) + self.ahead)

    def ask(self, *referents: Referent, since: SteadyMs) -> list[Answer | None]:
        return [
            self.existence.policy(it.source, it.policy, since=since)
            if isinstance(it, PolicyName)
            else self.existence.subject(it, since=since)
            for it in referents
        ]

    async def presence(self, *referents: Referent, passes: int = 0) -> list[Presence]:
        """`passes`: milliseconds between two checks."""
        since = self.now()
        async with asyncio.timeout(60):
            while True:
                found = [answer.presence for answer in self.ask(*referents, since=since) if answer is not None]
                if len(found) == len(referents):
                    return found
                await asyncio.sleep(0.02)
                self.ahead += passes
                self.existence.on_request()

    async def until(self, condition: Callable[[], object], *, passes: int = 0) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)
                self.ahead += passes
                self.existence.on_request()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with Connection(Access(server=self.api.url)) as connection:
            task = asyncio.create_task(self.asker.run(connection))
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        server.documents["/api/v1"] = kinds(("pods", "Pod", True), ("secrets", "Secret", True))
        groups = [
            {"name": name, "versions": [{"version": version} for version in versions]}
            for name, versions in {"apps": ("v1",), "kyverno.io": ("v2beta1", "v1"), "down.example": ("v1",)}.items()
        ]
        server.documents["/apis"] = json_of({"groups": groups})
        server.documents["/apis/apps/v1"] = kinds(("deployments", "Deployment", True))
        server.documents["/apis/kyverno.io/v1"] = kinds(("clusterpolicies", "ClusterPolicy", False))
        server.documents["/apis/kyverno.io/v2beta1"] = kinds(("clusterpolicies", "ClusterPolicy", False))
        server.documents["/apis/down.example/v1"] = refusal(503, "ServiceUnavailable")
        yield server


async def test_five_thousand_losses(api: ApiServer) -> None:
    """At once, of one kind in one namespace: one document of discovery and ten pages, for metadata alone."""
    there = [f"p{number}" for number in range(4_990)]
    api.handlers[PODS] = listing(there)
    rig = Rig(api)
    async with rig.running():
        asked = [pod(f"p{number}") for number in range(5_000)]
        assert await rig.presence(*asked) == [PRESENT] * 4_990 + [ABSENT] * 10
    assert rig.asker.requests == len(api.requests) == 1 + 5_000 // PAGE_SIZE
    pages = [request for request in api.requests if "limit" in request.params]
    assert {request.headers["Accept"] for request in pages} == {
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    }


async def test_requests_are_paced() -> None:
    """At most `RATE` requests a second, whatever the number of lookups."""
    slept: list[float] = []

    class Virtual(Clock):
        def monotonic(self) -> float:
            return sum(slept)

        async def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    asker = ExistenceClient(
        Existence(now=lambda: SteadyMs(1)), cluster="alpha", now=lambda: SteadyMs(1), clock=Virtual()
    )
    for _ in range(31):
        await asker._turn()
    assert sum(slept) == pytest.approx(30 / RATE)


async def test_a_page_that_fails(api: ApiServer) -> None:
    """Objects on earlier pages exist; others have no answer until a listing was read to its end."""
    broken = True
    names = [f"p{number}" for number in range(PAGE_SIZE + 5)]
    api.handlers[PODS] = listing(names, lambda start: refusal(500, "InternalError") if start and broken else None)
    rig = Rig(api)
    first, last, gone = pod("p0"), pod(f"p{PAGE_SIZE + 1}"), pod("x")
    many = [pod(f"x{number}") for number in range(LIST_FROM)]
    async with rig.running():
        since = rig.now()
        await rig.until(lambda: rig.ask(first, last, gone, *many, since=since)[0])
        assert rig.ask(last, gone, *many, since=since) == [None] * (LIST_FROM + 2)
        broken = False
        assert await rig.presence(first, last, gone, *many, passes=1_000) == [PRESENT, PRESENT] + [ABSENT] * (
            LIST_FROM + 1
        )


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(404, b"404 page not found"), id="not served"),
        pytest.param(refusal(404, "NotFound"), id="the kind is not found"),
        pytest.param(missing("a", "deployments.apps"), id="of another kind"),
        pytest.param(refusal(500, "InternalError"), id="500"),
        pytest.param(refusal(401, "Unauthorized"), id="401"),
        pytest.param(json_of(pod_document("b")), id="another object"),
        pytest.param(json_of({"metadata": {"name": "a"}}), id="no uid"),
        pytest.param(Reply(200, b"<html>"), id="not JSON"),
        pytest.param(Reply(0), id="cut"),
    ],
)
async def test_unusable_answers(api: ApiServer, reply: Reply) -> None:
    """The lookup stays pending, and is answered when the server works again."""
    path = f"{PODS}/a"
    api.documents[path] = reply
    rig = Rig(api)
    async with rig.running():
        since = rig.now()
        assert rig.ask(pod("a"), since=since) == [None]
        await rig.until(lambda: rig.asker.requests >= 4, passes=1_000)
        assert rig.ask(pod("a"), since=since) == [None]
        api.documents[path] = missing("a")
        assert await rig.presence(pod("a"), passes=1_000) == [ABSENT]


@pytest.mark.parametrize(("status", "forbidden"), [(403, ["pods"]), (406, []), (405, [])])
async def test_permanent_refusals(api: ApiServer, status: int, forbidden: list[str]) -> None:
    """A server without the metadata-only format is not asked for whole objects."""
    api.documents[f"{PODS}/a"] = refusal(status, "No")
    rig = Rig(api)
    async with rig.running():
        assert await rig.presence(pod("a"), passes=1_000) == [UNKNOWN]
    assert rig.existence.forbidden == forbidden
    assert {request.headers["Accept"] for request in api.requests} == {
        "application/json",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    }


async def test_discovery_that_is_forbidden(api: ApiServer) -> None:
    """Then no path is known, and a permission is missing."""
    api.documents["/apis"] = refusal(403, "Forbidden")
    rig = Rig(api)
    async with rig.running():
        assert await rig.presence(Subject("apps", "Deployment", "shop", "a"), passes=1_000) == [UNKNOWN]
    assert rig.existence.forbidden == ["/apis"]


async def test_groups_that_are_not_served_cost_one_request(api: ApiServer) -> None:
    """However many a tenant invents; none of their names becomes part of a path."""
    rig = Rig(api)
    made_up = [Subject(f"g{number}.example", "Kind", "shop", "a") for number in range(1_000)]
    async with rig.running():
        rig.ask(*made_up, since=rig.now())
        api.documents[f"{PODS}/a"] = missing("a")
        assert await rig.presence(pod("a")) == [ABSENT]
        await rig.until(lambda: (rig.existence.next_due() or NEVER) > rig.now())
    assert rig.asker.requests == 3
    assert rig.existence.waiting == 1_000


async def test_discovery_that_fails_is_no_storm(api: ApiServer) -> None:
    """While the groups cannot be read, all lookups wait with increasing back-off."""
    api.documents["/apis"] = refusal(503, "ServiceUnavailable")
    rig = Rig(api)
    async with rig.running():
        rig.ask(*(Subject(f"g{number}.example", "Kind", "shop", "a") for number in range(1_000)), since=rig.now())
        await rig.until(lambda: rig.asker.requests >= 4)
        due = rig.existence.next_due()
        assert due is not None
        assert due > rig.now()
    assert rig.asker.requests < 20


async def test_a_group_that_is_down(api: ApiServer) -> None:
    """It delays its own lookups only."""
    api.documents[f"{PODS}/a"] = missing("a")
    rig = Rig(api)
    down = [Subject("down.example", "Load", f"n{number}", "a") for number in range(500)]
    async with rig.running():
        since = rig.now()
        rig.ask(*down, since=since)
        await rig.until(lambda: rig.asker.requests >= 2)
        assert await rig.presence(pod("a")) == [ABSENT]
        assert rig.ask(*down, since=since) == [None] * 500


async def test_names_are_quoted(api: ApiServer) -> None:
    """A name ends where its object's path ends."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return await _reply(missing("x"))

    names = ["a?b=c#d", "system:a", "é"]
    for name in names:
        api.handlers[f"{PODS}/{name}"] = handle
    rig = Rig(api)
    async with rig.running():
        assert await rig.presence(*map(pod, names)) == [ABSENT] * 3
    assert sorted(seen) == sorted([f"{PODS}/%C3%A9", f"{PODS}/a%3Fb=c%23d", f"{PODS}/system:a"])


async def test_a_change_of_the_status_does_not_count(api: ApiServer) -> None:
    """The newest time of all managers except those of the status; unknown if it cannot be read."""
    managers = [
        {"time": "2026-11-28T10:00:00Z"},
        {"time": "2026-11-28T10:00:05Z", "subresource": ""},
        {"time": "2026-11-28T11:00:00Z", "subresource": "status"},
        {"time": "yesterday"},
        {},
    ]
    api.documents[f"{PODS}/a"] = json_of(pod_document("a", managedFields=managers))
    api.documents[f"{PODS}/b"] = json_of(pod_document("b", managedFields=managers[2:]))
    rig = Rig(api)
    async with rig.running():
        assert await rig.presence(pod("a"), pod("b")) == [PRESENT, PRESENT]
    found = [FoundObject(a.uid, a.changed_at) for a in rig.ask(pod("a"), pod("b"), since=SteadyMs(0)) if a]
    assert found == [FoundObject("uid-a", WallMs(1_795_860_005_000)), FoundObject("uid-b", WallMs(0))]


async def test_an_object_without_a_readable_name(api: ApiServer) -> None:
    """Such a listing proves presence, not absence: the others are read one by one."""

    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {}, "items": [pod_document("p0"), {"metadata": {"name": 7}}]})

    api.handlers[PODS] = handle
    asked = [pod(f"p{number}") for number in range(LIST_FROM)]
    for it in asked:
        api.documents[f"{PODS}/{it.name}"] = missing(it.name)
    rig = Rig(api)
    async with rig.running():
        assert await rig.presence(*asked) == [PRESENT] + [ABSENT] * (LIST_FROM - 1)
    assert rig.asker.requests == 2 + LIST_FROM - 1


async def test_a_reconnect_loses_no_lookup(api: ApiServer) -> None:
    """Lookups in flight at the end of a connection are sent over the next one."""
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(3_600)
        raise AssertionError

    path = f"{PODS}/a"
    api.handlers[path] = hang
    rig = Rig(api)
    async with rig.running():
        assert rig.ask(pod("a"), since=SteadyMs(0)) == [None]
        await arrived.wait()
    del api.handlers[path]
    api.documents[path] = missing("a")
    async with rig.running():
        assert await rig.presence(pod("a")) == [ABSENT]


@pytest.mark.parametrize(
    ("after", "presence"),
    [
        pytest.param(kinds(("clusterpolicies", "ClusterPolicy", False)), ABSENT, id="still served"),
        pytest.param(kinds(("clusterpolicies", "ClusterPolicy", False), verbs=["list"]), UNKNOWN, id="ending"),
        pytest.param(kinds(), UNKNOWN, id="not served any more"),
    ],
)
async def test_an_engine_that_is_removed(api: ApiServer, after: Reply, presence: Presence) -> None:
    """Its policies are deleted before their kind: their absence does not end their findings."""
    found = api.documents["/apis/kyverno.io/v1"]
    assert found.status == 200

    async def handle(_: web.Request) -> web.Response:
        api.documents["/apis/kyverno.io/v1"] = api.documents["/apis/kyverno.io/v2beta1"] = after
        return web.json_response({"metadata": {}, "items": []})

    for version in ("v1", "v2beta1"):
        api.handlers[f"/apis/kyverno.io/{version}/clusterpolicies"] = handle
    rig = Rig(api)
    async with rig.running():
        assert await rig.presence(PolicyName("kyverno", "a"), passes=2_000) == [presence]


async def test_policies_whose_names_cannot_be_split(api: ApiServer) -> None:
    """Kubewarden joins namespace and name; not all its kinds may be served."""
    group = "policies.kubewarden.io"
    api.documents["/apis"] = json_of({"groups": [{"name": group, "versions": [{"version": "v1"}]}]})
    api.documents[f"/apis/{group}/v1"] = kinds(("admissionpolicies", "AdmissionPolicy", True))
    item = {"metadata": {"namespace": "a-b", "name": "c", "uid": "u"}}
    api.documents[f"/apis/{group}/v1/admissionpolicies"] = json_of({"metadata": {}, "items": [item]})
    rig = Rig(api)
    names = ("namespaced-a-b-c", "namespaced-a-c", "namespaced-group-a-b", "clusterwide-a")
    async with rig.running():
        found = await rig.presence(*(PolicyName("kubewarden", name) for name in names), passes=2_000)
    assert found == [PRESENT, ABSENT, ABSENT, UNKNOWN]
