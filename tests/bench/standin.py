"""A stand-in for an API server with any number of policy reports, which it generates when they are requested.

It answers the operator's requests to a monitored cluster (discovery, kube-system's uid, namespaces, paged lists,
watches with bookmarks) on loopback, and no others: no authorisation, no other kinds, except optional kinds of
constraints without objects. So it can serve a million reports, which etcd cannot hold, and faster than an API server
would.

`python -m tests.bench.standin --reports N` prints its URL and ends with its standard input. `POST /_rewrite?second=S`
sends every open watch a rewrite of each report with only that time changed, `POST /_fresh?number=N&second=S` the
creation of a report, which no list has.
"""

import argparse
import asyncio
import contextlib
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, Request, build_opener

import msgspec
from aiohttp import web

from dev import testbed
from dev.cluster.certificate import Authority
from policyhub.model.source_apis import CONSTRAINTS
from tests.bench import shape
from tests.bench.sink import serve

UID = "6f1d7f3e-0000-4000-8000-bench0000000"
CREATED = "2026-01-01T00:00:00Z"
LISTED = 1_000_000_000
"""The resourceVersion of each list; events continue from it."""
REPLICAS = 10
"""Pods per Deployment."""
BOOKMARK_SECONDS = 60.0
"""The interval of real API servers; each bookmark of thousands of watches costs both ends a wake-up."""
EVENTS_A_WRITE = 200
VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
NUMBER, SECOND, REVISION = 987_654_321, 987_654_322, "987654323"
"""Placeholders in the template for the numbers."""

Document = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Template:
    """Makes a report's JSON from a number, a second and a resourceVersion: much faster than encoding it."""

    def __init__(self, build: Callable[[int], Document]) -> None:
        document = build(NUMBER)
        document["metadata"] |= {"resourceVersion": REVISION, "creationTimestamp": CREATED, "uid": UID}
        text = msgspec.json.encode(document).decode().replace("%", "%%")
        for placeholder, place in (
            (f'"{shape.space(NUMBER)}"', '"team-%(space)d"'),
            (str(NUMBER), "%(number)d"),
            (str(SECOND), "%(second)d"),
            (REVISION, "%(revision)d"),
        ):
            text = text.replace(placeholder, place)
        self._text = text

    def __call__(self, number: int, *, second: int, revision: int) -> str:
        return self._text % {
            "number": number,
            "space": number % shape.SPACES,
            "second": second,
            "revision": revision,
        }


class Standin:
    def __init__(self, *, reports: int, failing: int, wide: bool, pods: int, kinds: int) -> None:
        self.asked: Counter[str] = Counter()
        """Numbers of list pages and watches, by path."""
        self._number = reports
        self._pods = pods
        self.kinds = kinds
        """Number of constraint kinds, all without objects; if there are any, the controllers of workloads are served
        too.
        """
        build = shape.wide if wide else shape.report
        self._template = Template(lambda number: build(number, failing=failing, second=SECOND))
        spaces = [*shape.namespaces(), {"metadata": {"name": "kube-system"}}]
        self._spaces = [_named(document) for document in spaces]
        self._second = 1_790_000_000
        self._revision = LISTED
        self._watches: set[asyncio.Queue[int | bytes]] = set()
        """The queues of report watches: each item is the time of a rewrite, or an event."""

    async def reports(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request, reports=True)
        start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        end = min(start + limit, self._number)
        items = ",".join(self._template(n, second=self._second, revision=LISTED) for n in range(start, end))
        following = str(end) if end < self._number else ""
        return _json(
            '{"apiVersion":"wgpolicyk8s.io/v1alpha2","kind":"PolicyReportList","metadata":'
            f'{{"resourceVersion":"{self._revision}","continue":"{following}"}},"items":[{items}]}}'
        )

    async def cluster_reports(self, request: web.Request) -> web.StreamResponse:
        return await self._few(request, kind="ClusterPolicyReportList", items=[])

    async def pods(self, request: web.Request) -> web.StreamResponse:
        return await self._many(request, self._pods, pod)

    async def replica_sets(self, request: web.Request) -> web.StreamResponse:
        return await self._many(request, -(-self._pods // REPLICAS), replica_set)

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        return await self._many(request, 0, pod)

    async def _many(self, request: web.Request, number: int, build: Callable[[int], Document]) -> web.StreamResponse:
        """Metadata only, one page at a time."""
        if request.query.get("watch") == "true":
            return await self._watch(request, reports=False)
        start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        end = min(start + limit, number)
        metadata = {**_version(self._revision), "continue": str(end) if end < number else ""}
        items = [build(n) for n in range(start, end)]
        page = {"kind": "PartialObjectMetadataList", "metadata": metadata, "items": items}
        return _json(msgspec.json.encode(page).decode())

    async def requests(self, _: web.Request) -> web.Response:
        return _json(msgspec.json.encode(self.asked).decode())

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        verb = "watch" if "watch" in request.query else "list"
        self.asked[f"{verb} {request.path}"] += 1
        return await handler(request)

    async def empty(self, request: web.Request) -> web.StreamResponse:
        return await self._few(request, kind="List", items=[])

    async def constraints(self, _: web.Request) -> web.Response:
        kinds = [
            {"name": _constraints(n), "kind": f"K8sKind{n}", "namespaced": False, "verbs": VERBS}
            for n in range(self.kinds)
        ]
        return _json(msgspec.json.encode({"kind": "APIResourceList", "resources": kinds}).decode())

    async def namespaces(self, request: web.Request) -> web.StreamResponse:
        return await self._few(request, kind="NamespaceList", items=self._spaces)

    async def _few(self, request: web.Request, *, kind: str, items: list[Document]) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request, reports=False)
        return _json(msgspec.json.encode({"kind": kind, "metadata": _version(self._revision), "items": items}).decode())

    async def _watch(self, request: web.Request, *, reports: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[int | bytes] = asyncio.Queue()
        if reports:
            self._watches.add(queue)
        seconds = float(request.query.get("timeoutSeconds", "300"))
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        item = await asyncio.wait_for(queue.get(), BOOKMARK_SECONDS)
                    except TimeoutError:
                        await response.write(self._bookmark())
                        continue
                    for part in [item] if isinstance(item, bytes) else self._rewritten(item):
                        await response.write(part)
        self._watches.discard(queue)
        return response

    def _bookmark(self) -> bytes:
        return msgspec.json.encode({"type": "BOOKMARK", "object": {"metadata": _version(self._revision)}}) + b"\n"

    def _rewritten(self, second: int) -> Iterator[bytes]:
        lines: list[str] = []
        for number in range(self._number):
            self._revision += 1
            body = self._template(number, second=second, revision=self._revision)
            lines.append(f'{{"type":"MODIFIED","object":{body}}}\n')
            if len(lines) == EVENTS_A_WRITE:
                yield "".join(lines).encode()
                lines.clear()
        yield "".join(lines).encode() or self._bookmark()

    async def rewrite(self, request: web.Request) -> web.Response:
        self._second = int(request.query["second"])
        for queue in self._watches:
            queue.put_nowait(self._second)
        return _json(f'{{"watches":{len(self._watches)}}}')

    async def fresh(self, request: web.Request) -> web.Response:
        self._revision += 1
        number, second = int(request.query["number"]), int(request.query["second"])
        body = self._template(number, second=second, revision=self._revision)
        for queue in self._watches:
            queue.put_nowait(f'{{"type":"ADDED","object":{body}}}\n'.encode())
        return _json(f'{{"watches":{len(self._watches)}}}')


def application(standin: Standin) -> web.Application:
    root = f"/apis/{shape.GROUP}"
    app = web.Application(middlewares=[standin.count])
    app.router.add_get("/api/v1/pods", standin.pods)
    app.router.add_get("/apis/apps/v1/replicasets", standin.replica_sets)
    app.router.add_get("/apis/batch/v1/jobs", standin.jobs)
    app.router.add_get("/_requests", standin.requests)
    app.router.add_get("/api/v1/namespaces/kube-system", _kube_system)
    app.router.add_get("/api/v1/namespaces", standin.namespaces)
    if standin.kinds:
        served = f"/apis/{CONSTRAINTS}/v1beta1"
        for plural in ("deployments", "statefulsets", "daemonsets"):
            app.router.add_get(f"/apis/apps/v1/{plural}", standin.empty)
        app.router.add_get("/apis/batch/v1/cronjobs", standin.empty)
        app.router.add_get("/api/v1/replicationcontrollers", standin.empty)
        app.router.add_get(f"/apis/{CONSTRAINTS}", _constraint_group)
        app.router.add_get(served, standin.constraints)
        for number in range(standin.kinds):
            app.router.add_get(f"{served}/{_constraints(number)}", standin.empty)
    app.router.add_get(root, _group)
    app.router.add_get(f"{root}/{shape.VERSION}", _kinds)
    app.router.add_get(f"{root}/{shape.VERSION}/{shape.RESOURCE}", standin.reports)
    app.router.add_get(f"{root}/{shape.VERSION}/clusterpolicyreports", standin.cluster_reports)
    app.router.add_post("/_rewrite", standin.rewrite)
    app.router.add_post("/_fresh", standin.fresh)
    return app


def pod(number: int) -> Document:
    """The metadata of a Pod of the ReplicaSet that its number selects."""
    of = number // REPLICAS
    name = f"{_replica_set(of)}-{number % REPLICAS:05d}"
    return _owned("Pod", number, name, of, owner={"kind": "ReplicaSet", "name": _replica_set(of), "uid": _uid(1, of)})


def replica_set(number: int) -> Document:
    """The metadata of a Deployment's only ReplicaSet."""
    owner = {"kind": "Deployment", "name": f"app-{number}", "uid": _uid(2, number)}
    return _owned("ReplicaSet", number, _replica_set(number), number, owner=owner)


def _owned(kind: str, number: int, name: str, deployment: int, *, owner: Document) -> Document:
    metadata = {
        "name": name,
        "namespace": shape.space(deployment),
        "uid": _uid(0 if kind == "Pod" else 1, number),
        "resourceVersion": str(LISTED),
        "creationTimestamp": CREATED,
        "labels": {"app.kubernetes.io/name": f"app-{deployment}", "pod-template-hash": "5d9c7b8f6d"},
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "ownerReferences": [{"apiVersion": "apps/v1", "controller": True, "blockOwnerDeletion": True, **owner}],
    }
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}


def _replica_set(number: int) -> str:
    return f"app-{number}-5d9c7b8f6d"


def _uid(kind: int, number: int) -> str:
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


async def _kube_system(request: web.Request) -> web.Response:
    """A different uid for each token, because clusters with the same uid conflict."""
    uid = str(uuid.uuid5(uuid.NAMESPACE_URL, request.headers.get("Authorization", "")))
    return _json(msgspec.json.encode({"metadata": {"name": "kube-system", "uid": uid}}).decode())


async def _group(_: web.Request) -> web.Response:
    return _served(shape.GROUP, shape.VERSION)


async def _constraint_group(_: web.Request) -> web.Response:
    return _served(CONSTRAINTS, "v1beta1")


def _served(name: str, in_version: str) -> web.Response:
    version = {"groupVersion": f"{name}/{in_version}", "version": in_version}
    group = {"kind": "APIGroup", "name": name, "versions": [version], "preferredVersion": version}
    return _json(msgspec.json.encode(group).decode())


def _constraints(number: int) -> str:
    return f"k8skind{number}"


async def _kinds(_: web.Request) -> web.Response:
    kinds = [
        {"name": shape.RESOURCE, "kind": "PolicyReport", "namespaced": True, "verbs": VERBS},
        {"name": "clusterpolicyreports", "kind": "ClusterPolicyReport", "namespaced": False, "verbs": VERBS},
    ]
    return _json(msgspec.json.encode({"kind": "APIResourceList", "resources": kinds}).decode())


def _named(document: Document) -> Document:
    return {**document, "metadata": {**document["metadata"], "uid": UID, "resourceVersion": str(LISTED)}}


def _version(revision: int) -> Document:
    return {"resourceVersion": str(revision)}


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


class Address(NamedTuple):
    """Commands and queries for the stand-in go to `url`, by plain http; the operator connects to `api`."""

    url: str
    api: str
    ca: str
    """PEM."""


@contextlib.contextmanager
def running(*, reports: int, failing: int, wide: bool = False, pods: int = 0, kinds: int = 0) -> Iterator[Address]:
    """Run the stand-in as a separate process."""
    folder = tempfile.TemporaryDirectory()
    authority = Authority(Path(folder.name))
    pair = authority.issue("standin")
    numbers = {"--reports": reports, "--failing": failing, "--pods": pods, "--kinds": kinds}
    command = [sys.executable, "-m", "tests.bench.standin"]
    command += [placeholder for name, number in numbers.items() for placeholder in (name, str(number))]
    command += ["--certificate", str(pair.certificate), "--key", str(pair.key)]
    with (
        folder,
        subprocess.Popen(  # noqa: S603  (ourselves)
            command + ["--wide"] * wide, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=testbed.ROOT, text=True
        ) as process,
    ):
        try:
            url, api = ("" if process.stdout is None else process.stdout.readline().strip() for _ in range(2))
            if not api:
                raise RuntimeError("the stand-in for an API server did not start")
            yield Address(url, api, authority.pem)
        finally:
            process.terminate()


def rewrite(url: str, *, second: int) -> int:
    """Rewrite all reports; returns the number of watches."""
    return _post(f"{url}/_rewrite?second={second}")


def fresh(url: str, number: int, *, second: int) -> int:
    """Create a new report, which fails like the others; returns the number of watches."""
    return _post(f"{url}/_fresh?number={number}&second={second}")


def _post(url: str) -> int:
    with build_opener(ProxyHandler({})).open(Request(url, method="POST"), timeout=10) as answer:  # noqa: S310  (our own http address)
        return int(msgspec.json.decode(answer.read())["watches"])


def asked(url: str) -> dict[str, int]:
    """Request counts by verb and path."""
    with build_opener(ProxyHandler({})).open(f"{url}/_requests", timeout=10) as answer:
        counts: dict[str, int] = msgspec.json.decode(answer.read())
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, required=True)
    parser.add_argument("--failing", type=int, default=2)
    parser.add_argument("--wide", action="store_true", help="thirty results a report")
    parser.add_argument("--pods", type=int, default=0, help="ten of each Deployment")
    parser.add_argument("--kinds", type=int, default=0, help="of constraints")
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    given = vars(parser.parse_args())
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(given.pop("certificate"), given.pop("key"))
    asyncio.run(serve(application(Standin(**given)), tls=tls))


if __name__ == "__main__":
    main()
