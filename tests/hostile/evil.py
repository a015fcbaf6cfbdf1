"""A malicious API server: `python -m tests.hostile.evil MODE FOLDER` prints its port and serves until its standard
input ends. It has one thread, and costs only its clients.

| mode | answer |
|---|---|
| gzip | 300 MiB of blanks, compressed to 300 kB, to every request |
| endless | lists of reports always have one more page |
| deep | nested lists, 200,000 levels deep |
| kinds | two thousand constraint kinds |
| drip | one byte a second |
| wide | endless list pages of 200 MiB, uncompressed |
| silent | accepts connections and never answers |
| giant | reports of 7 MiB each, with 20,000 results that pass: in its list, and repeatedly in its watch |
| huge | the same with 10 MiB, above the operator's limit |
| flood | rewrites of one report with changing times, as fast as they are read |
"""

import asyncio
import gzip
import itertools
import json
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from dev.cluster.certificate import Authority

MODES = ("gzip", "endless", "deep", "kinds", "drip", "wide")
NOISY = ("silent", "giant", "huge", "flood")
"""Modes that need no malice: `make bench` measures what these cost the other clusters."""
BOMB_MIB = 300
RESULTS = {"giant": 20_000, "huge": 30_000}
UID = "99999999-9999-9999-9999-999999999999"
DRIP_SECONDS = 1.0
GROUPS = ("wgpolicyk8s.io", "openreports.io", "constraints.gatekeeper.sh")

Document = dict[str, Any]


class Evil:
    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._pages = itertools.count()
        self._bomb = gzip.compress(b" " * (BOMB_MIB << 20)) if mode == "gzip" else b""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if self._mode == "silent":
            await asyncio.Event().wait()
        if self._mode == "gzip":
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            return web.Response(body=self._bomb, headers=headers)
        if self._mode == "deep":
            return web.Response(body=b"[" * 200_000 + b"]" * 200_000, content_type="application/json")
        if self._mode == "drip":
            return await self._drip(request)
        if path.endswith("/namespaces/kube-system"):
            return web.json_response({"metadata": {"name": "kube-system", "uid": UID}})
        if path in ("/api", "/apis") or path.rpartition("/")[0] == "/apis" or path.count("/") == 3:
            return web.json_response(self._discovery(path))
        if request.query.get("watch") and self._mode in NOISY and path.endswith("policyreports"):
            return await self._noise(request)
        if request.query.get("watch"):
            await asyncio.sleep(30)
            return web.Response(body=b"")
        if self._mode == "wide":
            return await self._wide(request)
        return web.json_response(self._page())

    def _discovery(self, path: str) -> Document:
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "groups": [_group(name) for name in GROUPS]}
        if path.count("/") == 2:
            return {"kind": "APIGroup", **_group(path.rpartition("/")[2])}
        group = path.split("/")[2]
        return {
            "kind": "APIResourceList",
            "groupVersion": f"{group}/{_version(group)}",
            "resources": [
                {
                    "name": plural, "singularName": "", "namespaced": group != GROUPS[2], "kind": kind,
                    "verbs": ["get", "list", "watch"], "categories": ["constraint"],
                }
                for plural, kind in self._kinds(group)
            ],
        }  # fmt: skip

    def _kinds(self, group: str) -> Iterator[tuple[str, str]]:
        if group == GROUPS[0]:
            yield "policyreports", "PolicyReport"
        elif group == GROUPS[1]:
            yield "reports", "Report"
        elif self._mode == "kinds":
            yield from ((f"kind{number}", f"Kind{number}") for number in range(2_000))

    def _page(self) -> Document:
        number = next(self._pages)
        more = {"continue": f"page-{number}", "remainingItemCount": 10**9} if self._mode == "endless" else {}
        items = [_report(f"r{number}-{n}") for n in range(500)] if self._mode == "endless" else []
        if self._mode in RESULTS:
            items = [_giant(n, second=1, results=RESULTS[self._mode]) for n in range(2)]
        return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1", **more}, "items": items}

    async def _wide(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[')
        for number in itertools.count():
            if _gone(request):
                break
            await response.write(json.dumps(_report(f"w{number}", "x" * 50_000)).encode() + b",")
            await asyncio.sleep(0)  # otherwise it never learns that the client has gone
        return response

    async def _noise(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for number in itertools.count(2):
            if _gone(request):
                break
            if self._mode in RESULTS:
                objects = [_giant(number % 2, second=number, results=RESULTS[self._mode])]
            else:
                objects = [_report("same", second=second) for second in range(number * 200, number * 200 + 200)]
            events = ({"type": "MODIFIED", "object": document} for document in objects)
            await response.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))
            await asyncio.sleep(0)
        return response

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not _gone(request):
            await response.write(b" ")
            await asyncio.sleep(DRIP_SECONDS)
        return response


def _gone(request: web.Request) -> bool:
    """Whether the client has gone."""
    return request.transport is None or request.transport.is_closing()


def _version(group: str) -> str:
    return {"wgpolicyk8s.io": "v1alpha2", "openreports.io": "v1alpha1"}.get(group, "v1beta1")


def _group(name: str) -> Document:
    version = {"groupVersion": f"{name}/{_version(name)}", "version": _version(name)}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _report(name: str, text: str = "no", *, second: int = 0) -> Document:
    return {
        "metadata": {"name": name, "namespace": "x", "resourceVersion": str(second or 1), "uid": name},
        "results": [
            {
                "policy": "p", "result": "fail", "source": "evil", "message": text,
                "resources": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "x", "name": name}],
                **({"timestamp": {"seconds": second, "nanos": 0}} if second else {}),
            }
        ],
    }  # fmt: skip


def _giant(number: int, *, second: int, results: int) -> Document:
    one = _report(f"giant-{number}", "m" * 150, second=second)
    passing = {**one["results"][0], "result": "pass"}
    return {**one, "results": [{**passing, "policy": f"p{n}"} for n in range(results)]}


async def serve(mode: str, folder: Path) -> None:
    authority = Authority(folder)
    pair = authority.issue("evil")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Evil(mode).answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
