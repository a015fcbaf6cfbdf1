"""The listing of our own objects: in pages of one resourceVersion, each small enough to wait for nobody else's."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from policyhub.control.monitored import ATTEMPTS, EXPIRED, PAGE, MonitoredClusters
from policyhub.kube import body
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import TooLarge
from policyhub.kube.kubeconfig import Access
from tests.component.kube import evil

OBJECT_BYTES = 25_000
"""Eleven conditions, 50 sources, and their managedFields."""
FLEET = [
    {"metadata": {"name": f"c{n}", "uid": f"u{n}"}, "status": {"message": "x" * (OBJECT_BYTES - 70)}}
    for n in range(2 * PAGE + 50)
]

Hook = Callable[[int], None]


class Server:
    """Answers as an API server does; `hook` is called with the number of the request."""

    def __init__(self, *, hook: Hook = lambda _: None, most_bytes: int = body.MAX_DOCUMENT_BYTES) -> None:
        self.hook = hook
        self.most_bytes = most_bytes
        self.version = 7
        self.asked: list[dict[str, str]] = []

    async def get(self, _: str, params: Mapping[str, str] | None = None, *, limit: int = 0) -> bytes:
        asked = dict(params or {})
        self.asked.append(asked)
        self.hook(len(self.asked))
        start, size = int(asked.get("continue", "0")), int(asked["limit"])
        rest = FLEET[start + size :]
        token = {"continue": str(start + size)} if rest else {}
        answer = json.dumps(
            {"metadata": {"resourceVersion": str(self.version), **token}, "items": FLEET[start : start + size]}
        ).encode()
        if len(answer) > self.most_bytes:
            raise TooLarge("larger")
        return answer


async def names(server: Server) -> list[str]:
    listed = await MonitoredClusters(cast("Connection", server)).list_all()
    return [name for name, _ in listed]


EVERYONE = [one["metadata"]["name"] for one in FLEET]


async def test_all_pages_are_read() -> None:
    """Each once, with the limit, and from the token of the one before."""
    server = Server()
    assert await names(server) == EVERYONE
    assert [(one["limit"], one.get("continue")) for one in server.asked] == [
        (str(PAGE), None),
        (str(PAGE), str(PAGE)),
        (str(PAGE), str(2 * PAGE)),
    ]


async def test_a_listing_that_expires_begins_again() -> None:
    """Objects of the pages before are not mixed with later ones."""

    def expire(number: int) -> None:
        if number == 3:
            raise Refused(EXPIRED, "Expired", "the provided continue parameter is too old")

    server = Server(hook=expire)
    assert await names(server) == EVERYONE
    assert [one.get("continue") for one in server.asked] == [None, "100", "200", None, "100", "200"]


async def test_pages_of_different_versions_are_not_mixed() -> None:
    """An API server may go on with another version where the first has expired."""

    def change(number: int) -> None:
        server.version += number == 2

    server = Server(hook=change)
    assert await names(server) == EVERYONE
    assert [one.get("continue") for one in server.asked] == [None, "100", None, "100", "200"]


async def test_a_listing_that_always_expires_fails() -> None:
    """So the list is incomplete, and nobody is forgotten by it."""

    def expire(_: int) -> None:
        if "continue" in server.asked[-1]:
            raise Refused(EXPIRED, "Expired", "too old")

    server = Server(hook=expire)
    with pytest.raises(Refused, match="too old"):
        await names(server)
    assert len(server.asked) == 2 * ATTEMPTS


async def test_a_page_that_is_too_large_is_asked_for_again() -> None:
    """With a quarter of the objects, down to one."""
    server = Server(most_bytes=10 * OBJECT_BYTES)
    assert await names(server) == EVERYONE
    assert [one["limit"] for one in server.asked[:3]] == ["100", "25", "6"]
    with pytest.raises(TooLarge):
        await names(Server(most_bytes=10))


async def test_a_listing_that_never_ends() -> None:
    """A token that was used before leads nowhere."""

    class Endless(Server):
        async def get(self, path: str, params: Mapping[str, str] | None = None, *, limit: int = 0) -> bytes:
            answer: dict[str, Any] = json.loads(await super().get(path, {"limit": "1"}))
            return json.dumps({**answer, "metadata": {"resourceVersion": "7", "continue": "again"}}).encode()

    with pytest.raises(Unreachable, match="never ends"):
        await names(Endless())


async def test_our_own_objects_are_read_beside_a_large_page_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the one place for a large page does not keep the control plane from its own objects: a page of the
    largest ones is small enough.
    """
    monkeypatch.setattr(body, "LARGE_SECONDS", 0.3)
    large = b'"' + b"x" * (body.CONCURRENT_BYTES + 10) + b'"'
    fleet = json.dumps({"metadata": {"resourceVersion": "7"}, "items": FLEET[:PAGE]}).encode()
    async with (
        evil.serve(evil.always(fleet)) as home_url,
        evil.serve(evil.always(large)) as bad_url,
        Connection(Access(server=home_url)) as home,
        Connection(Access(server=bad_url)) as bad,
        bad.page("/apis/wgpolicyk8s.io/v1alpha2/policyreports"),
    ):
        assert len(await MonitoredClusters(home).list_all()) == PAGE
    assert PAGE * OBJECT_BYTES < body.CONCURRENT_BYTES == body.MAX_DOCUMENT_BYTES
