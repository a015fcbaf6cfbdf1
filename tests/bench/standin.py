"""A server that looks like an API server with any number of policy reports, which it makes up as they are asked for.

It answers what the operator asks of a monitored cluster (discovery, kube-system's uid, namespaces, paged listings,
watches with bookmarks) over plain HTTP on loopback, and nothing else: no TLS, no authorisation, no other kinds. So it
can hold a million reports, which etcd cannot, and serve them faster than an API server would.

`python -m tests.bench.standin --reports N` prints its URL and ends with its standard input. `POST /_rewrite?second=S`
tells every open watch that each report was rewritten with that time and nothing else.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import msgspec
from aiohttp import web

from dev import stand
from tests.bench import shape
from tests.bench.sink import serve

UID = "6f1d7f3e-0000-4000-8000-bench0000000"
CREATED = "2026-01-01T00:00:00Z"
LISTED = 1_000_000_000
"""The resourceVersion of each listing; events count on from it."""
BOOKMARK_SECONDS = 10.0
EVENTS_A_WRITE = 200
NUMBER, SECOND, REVISION = 987_654_321, 987_654_322, "987654323"
"""Stand in the template where numbers differ."""

Document = dict[str, Any]


class Template:
    """Makes a report's JSON from a number, a second and a resourceVersion: by far quicker than encoding it."""

    def __init__(self, build: Callable[[int], Document]) -> None:
        document = build(NUMBER)
        document["metadata"] |= {"resourceVersion": REVISION, "creationTimestamp": CREATED, "uid": UID}
        text = msgspec.json.encode(document).decode().replace("%", "%%")
        for word, place in (
            (f'"{shape.space(NUMBER)}"', '"team-%(space)d"'),
            (str(NUMBER), "%(number)d"),
            (str(SECOND), "%(second)d"),
            (REVISION, "%(revision)d"),
        ):
            text = text.replace(word, place)
        self._text = text

    def __call__(self, number: int, *, second: int, revision: int) -> str:
        return self._text % {
            "number": number,
            "space": number % shape.SPACES,
            "second": second,
            "revision": revision,
        }


class Standin:
    def __init__(self, *, reports: int, failing: int, wide: bool) -> None:
        self._number = reports
        build = shape.wide if wide else shape.report
        self._template = Template(lambda number: build(number, failing=failing, second=SECOND))
        spaces = [*shape.namespaces(), {"metadata": {"name": "kube-system"}}]
        self._spaces = [_named(document) for document in spaces]
        self._second = 1_790_000_000
        self._revision = LISTED
        self._watches: set[asyncio.Queue[int]] = set()

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

    async def namespaces(self, request: web.Request) -> web.StreamResponse:
        return await self._few(request, kind="NamespaceList", items=self._spaces)

    async def _few(self, request: web.Request, *, kind: str, items: list[Document]) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request, reports=False)
        return _json(msgspec.json.encode({"kind": kind, "metadata": _version(self._revision), "items": items}).decode())

    async def _watch(self, request: web.Request, *, reports: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[int] = asyncio.Queue()
        if reports:
            self._watches.add(queue)
        seconds = float(request.query.get("timeoutSeconds", "300"))
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        second = await asyncio.wait_for(queue.get(), BOOKMARK_SECONDS)
                    except TimeoutError:
                        await response.write(self._bookmark())
                        continue
                    for part in self._rewritten(second):
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


def application(standin: Standin) -> web.Application:
    root = f"/apis/{shape.GROUP}"
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/kube-system", _kube_system)
    app.router.add_get("/api/v1/namespaces", standin.namespaces)
    app.router.add_get(root, _group)
    app.router.add_get(f"{root}/{shape.VERSION}", _kinds)
    app.router.add_get(f"{root}/{shape.VERSION}/{shape.RESOURCE}", standin.reports)
    app.router.add_get(f"{root}/{shape.VERSION}/clusterpolicyreports", standin.cluster_reports)
    app.router.add_post("/_rewrite", standin.rewrite)
    return app


async def _kube_system(_: web.Request) -> web.Response:
    return _json(msgspec.json.encode({"metadata": {"name": "kube-system", "uid": UID}}).decode())


async def _group(_: web.Request) -> web.Response:
    version = {"groupVersion": f"{shape.GROUP}/{shape.VERSION}", "version": shape.VERSION}
    group = {"kind": "APIGroup", "name": shape.GROUP, "versions": [version], "preferredVersion": version}
    return _json(msgspec.json.encode(group).decode())


async def _kinds(_: web.Request) -> web.Response:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    kinds = [
        {"name": shape.RESOURCE, "kind": "PolicyReport", "namespaced": True, "verbs": verbs},
        {"name": "clusterpolicyreports", "kind": "ClusterPolicyReport", "namespaced": False, "verbs": verbs},
    ]
    return _json(msgspec.json.encode({"kind": "APIResourceList", "resources": kinds}).decode())


def _named(document: Document) -> Document:
    return {**document, "metadata": {**document["metadata"], "uid": UID, "resourceVersion": str(LISTED)}}


def _version(revision: int) -> Document:
    return {"resourceVersion": str(revision)}


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


@contextlib.contextmanager
def running(*, reports: int, failing: int, wide: bool = False) -> Iterator[str]:
    """As a process of its own; gives its URL."""
    command = [sys.executable, "-m", "tests.bench.standin", "--reports", str(reports), "--failing", str(failing)]
    with subprocess.Popen(  # noqa: S603  (ourselves)
        command + ["--wide"] * wide, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=stand.ROOT, text=True
    ) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout is not None else ""
            if not url:
                raise RuntimeError("the stand-in for an API server did not start")
            yield url
        finally:
            process.terminate()


def rewrite(url: str, *, second: int) -> int:
    """Tell the watches; how many there are."""
    request = Request(f"{url}/_rewrite?second={second}", method="POST")  # noqa: S310  (our own http address)
    with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
        return int(msgspec.json.decode(answer.read())["watches"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, required=True)
    parser.add_argument("--failing", type=int, default=2)
    parser.add_argument("--wide", action="store_true", help="thirty results a report")
    given = parser.parse_args()
    asyncio.run(serve(application(Standin(reports=given.reports, failing=given.failing, wide=given.wide))))


if __name__ == "__main__":
    main()
