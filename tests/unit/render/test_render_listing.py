"""Reading a cluster page by page: failures are reported, and the rest is read."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from policyhub.kube.backoff import Clock
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.time_slice import TimeSlice
from policyhub.render.listing import listing, owners, policies
from policyhub.render.raw_object import RawObject, ReadError

Answer = dict[str, Any] | Exception
GROUP = "wgpolicyk8s.io"
API = f"/apis/{GROUP}/v1alpha2"
KINDS = [("policyreports", "PolicyReport", True), ("clusterpolicyreports", "ClusterPolicyReport", False)]
SERVED: dict[str, Answer] = {
    f"/apis/{GROUP}": {"versions": [{"version": "v1alpha2"}]},
    API: {
        "resources": [
            {"name": name, "kind": kind, "namespaced": spaced, "verbs": ["list", "watch", "create"]}
            for name, kind, spaced in KINDS
        ]
    },
}


class Server:
    """Answers each path from a list; the last answer repeats."""

    def __init__(self, answers: Mapping[str, Answer | list[Answer]]) -> None:
        self._answers = {path: list(a) if isinstance(a, list) else [a] for path, a in answers.items()}
        self.time_slice = TimeSlice()
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None) -> bytes:
        self.asked.append((path, dict(params or {})))
        answers = self._answers.get(path, [Refused(404, "NotFound", "")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()

    @asynccontextmanager
    async def page(self, path: str, params: Mapping[str, str], *, accept: str | None) -> AsyncIterator[bytearray]:
        yield bytearray(await self.get(path, params, accept=accept))


def page(*names: str, following: str = "") -> dict[str, Any]:
    items = [{"metadata": {"name": name, "namespace": "shop"}} for name in names]
    return {"metadata": {"continue": following}, "items": items}


class Rest(Clock):
    """No pause in tests."""

    async def sleep(self, seconds: float) -> None: ...


async def listed(server: Server, *groups: str) -> list[str]:
    found: list[RawObject | ReadError] = []
    await listing(cast("Connection", server), groups or (GROUP,), found.append, Rest())
    return [str(one) if isinstance(one, ReadError) else f"{one.kind} {one.location}" for one in found]


async def test_pages_are_followed() -> None:
    """All pages of all served kinds; unserved kinds are not reported."""
    reports = [page("a", "b", following="more"), page("c")]
    server = Server(
        {
            **SERVED,
            f"{API}/policyreports": cast("list[Answer]", reports),
            f"{API}/clusterpolicyreports": {"metadata": {}},
        }
    )
    assert await listed(server, GROUP, "openreports.io") == [
        f"PolicyReport policyreports.{GROUP} shop/{name}" for name in "abc"
    ]
    assert (f"{API}/policyreports", {"limit": "500", "continue": "more"}) in server.asked


async def test_a_forbidden_list_is_reported() -> None:
    """One refused API does not prevent the others from being read; an unreadable group is named."""
    refused = Refused(403, "Forbidden", "no")
    server = Server(
        {
            **SERVED,
            f"{API}/policyreports": refused,
            f"{API}/clusterpolicyreports": page("x"),
            "/apis/openreports.io": Refused(403, "Forbidden", "neither"),
        }
    )
    assert sorted(await listed(server, GROUP, "openreports.io")) == [
        f"ClusterPolicyReport clusterpolicyreports.{GROUP} shop/x",
        "openreports.io: its APIs cannot be discovered: 403 Forbidden: neither",
        f"policyreports.{GROUP}: cannot be listed: 403 Forbidden: no",
    ]


async def test_a_page_is_retried() -> None:
    """A server that is busy or unreachable for a moment costs nothing; a lasting failure is reported."""
    busy: list[Answer] = [Refused(503, "Busy", ""), Unreachable("away"), page("a")]
    server = Server({**SERVED, f"{API}/policyreports": busy, f"{API}/clusterpolicyreports": Unreachable("gone")})
    assert sorted(await listed(server)) == [
        f"PolicyReport policyreports.{GROUP} shop/a",
        f"clusterpolicyreports.{GROUP}: cannot be listed: gone",
    ]


async def test_an_expired_list_starts_again() -> None:
    """From the first page, with larger pages."""
    answers: list[Answer] = [page("a", following="old"), Refused(410, "Expired", ""), page("a", "b")]
    server = Server({**SERVED, f"{API}/policyreports": answers, f"{API}/clusterpolicyreports": page()})
    assert len(await listed(server)) == 3
    assert (f"{API}/policyreports", {"limit": "1000"}) in server.asked


async def test_owners_are_listed_without_ended_pods() -> None:
    """Pods by a field selector; a refusal is reported with its API."""
    server = Server(
        {
            "/api/v1/pods": page("p"),
            "/apis/apps/v1/replicasets": page("r"),
            "/apis/batch/v1/jobs": Refused(403, "No", ""),
        }
    )
    found: list[tuple[str, bool]] = []
    await owners(
        cast("Connection", server), lambda r, one: found.append((r.plural, isinstance(one, ReadError))), Rest()
    )
    assert sorted(found) == [("jobs", True), ("pods", False), ("replicasets", False)]
    assert server.asked[0][1]["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"


async def test_policies_are_read_as_metadata() -> None:
    """Of served kinds of the requested groups; a refused kind is reported, the others are read."""
    kinds = [("clusterpolicies", "ClusterPolicy"), ("policies", "Policy")]
    root = "/apis/kyverno.io"
    server = Server(
        {
            root: {"versions": [{"version": "v1"}]},
            f"{root}/v1": {
                "resources": [{"name": n, "kind": k, "namespaced": True, "verbs": ["list", "watch"]} for n, k in kinds]
            },
            f"{root}/v1/clusterpolicies": page("a", "b"),
            f"{root}/v1/policies": Refused(403, "Forbidden", "no"),
        }
    )
    read: list[tuple[str, str]] = []
    await policies(cast("Connection", server), [GROUP], lambda r, one: read.append((r.kind, str(one.location))), Rest())
    assert read == [
        ("ClusterPolicy", "clusterpolicies.kyverno.io shop/a"),
        ("ClusterPolicy", "clusterpolicies.kyverno.io shop/b"),
        ("Policy", "policies.kyverno.io"),
    ]
    assert not [path for path, _ in server.asked if "templates" in path]
