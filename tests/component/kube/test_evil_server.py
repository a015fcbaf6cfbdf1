"""A malicious server costs only its own cluster. Memory is measured in a separate process, beside a sound cluster."""

import asyncio
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from policyhub.kube import body, failure, listing_limits
from policyhub.kube import connection as connection_module
from policyhub.kube import watch_lines as watched
from policyhub.kube.connection import Connection, TooLarge, Unreachable
from policyhub.kube.discovery import discover
from policyhub.kube.kubeconfig import Access
from policyhub.kube.reflector import Reflector
from policyhub.model.source_apis import CONSTRAINTS, SOURCE_GROUPS
from tests.component.kube import evil
from tests.component.kube.apiserver import RESOURCE, Answer, ApiServer
from tests.component.kube.evil import Attack
from tests.component.kube.mirror import Mirror, VirtualClock, until
from tests.component.kube.test_reflector import running

PATH = "/api/v1/anything"
BOUND = 300
"""Peak MiB under an attack, process included: the chart's limit is 512."""


async def beside(attack: Attack, what: str, *, seconds: float) -> dict[str, Any]:
    """The victim's figures, with a sound cluster of 20 reports that gets a new one ten times a second."""
    api = ApiServer()
    for number in range(20):
        api.put(f"r{number}", results=[])
    api.documents["/version"] = Answer(200, b"{}")

    async def change() -> None:
        while True:
            api.put("changing", results=[])
            await asyncio.sleep(0.1)

    async with api.serve(), evil.serve(attack) as url:
        changes = asyncio.create_task(change())
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.component.kube.victim", what, str(seconds), url, api.url,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            async with asyncio.timeout(90):
                printed, _ = await process.communicate()
        finally:
            changes.cancel()
    output: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return output


BOMB = evil.packed(350)
PAGE_OF_NOTHING = b'{"metadata":{"resourceVersion":"5"},"items":[' + b"{}," * 20_000_000 + b"{}]}"


@pytest.mark.parametrize(
    ("attack", "what", "expected_text"),
    [
        (evil.bomb("gzip", BOMB), "uid", "larger than 4 MiB"),
        (evil.bomb("gzip", BOMB), "discover", "larger than 4 MiB"),
        (evil.bomb("gzip", BOMB), "list", "larger than 64 MiB"),
        (evil.bomb("deflate", evil.packed(350, -zlib.MAX_WBITS)), "list", "larger than 64 MiB"),
        (evil.bomb("gzip", gzip.compress(b"{}") + BOMB), "list", "something follows its end"),
        (evil.bomb("gzip, gzip", gzip.compress(BOMB)), "list", "the encoding 'gzip, gzip'"),
        (evil.bomb("gzip", gzip.compress(PAGE_OF_NOTHING, 1)), "list", "more than 2000000 parts"),
        (evil.endless_body, "list", "larger than 64 MiB"),
        (evil.endless_headers, "list", "Unreachable"),
        (evil.endless_continue, "list", ""),
    ],
    ids=[
        "gzip, uid", "gzip, discovery", "gzip, page", "deflate, page", "two members", "nested", "page of nothing",
        "endless body", "endless headers", "endless 100",
    ],
)  # fmt: skip
async def test_malicious_bytes(attack: Attack, what: str, expected_text: str) -> None:
    """However much is sent or decompressed, it is an error of this cluster, and the other one continues."""
    output = await beside(attack, what, seconds=30)
    assert expected_text in json.dumps(output)
    assert output["peak"] < BOUND
    assert output["seen"] > 20
    assert output["answers"] > 5


@pytest.mark.parametrize(
    "watch", [evil.flood, evil.halves, evil.giant_line, evil.drip], ids=["flood", "halves", "giant lines", "drip"]
)
async def test_thousands_of_kinds(watch: Attack) -> None:
    """The first thousand are read, and the limit is reported; their watches have a common limit of bytes and time."""
    output = await beside(evil.kinds(watch), "kinds", seconds=8)
    assert output["served"] == connection_module.MAX_KINDS
    assert "serves 5000 kinds; only the first 1000" in output["unknown"]["constraints.gatekeeper.sh"]
    assert output["files"] < connection_module.MAX_KINDS + 100
    assert output["peak"] < 2 * BOUND
    assert output["seen"] > 20
    assert output["answers"] > 5


def named(number: int) -> dict[str, object]:
    return {"metadata": {"name": f"n{number}"}}


@pytest.mark.parametrize(
    ("items", "token", "expected_text"),
    [
        (lambda _: [], str, "pages brought no new object"),
        (lambda _: [named(n) for n in range(5)], str, "pages brought no new object"),
        (lambda page: [named(page * 10 + n) for n in range(10)], str, "more follows after"),
        (lambda page: [named(page)], lambda page: str(page % 7), "comes again"),
        (lambda page: [named(page)], lambda _: "same", "stays the same"),
        (lambda page: [named(page)], lambda page: str(page) * 10_000, "cannot be read"),
    ],
    ids=["empty pages", "the same objects", "new objects", "a circle of tokens", "one token", "long tokens"],
)
async def test_endless_lists_end(
    items: Callable[[int], list[dict[str, object]]],
    token: Callable[[int], str],
    expected_text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the pages contain, a list ends, and replaces nothing."""
    monkeypatch.setattr(listing_limits, "MAX_OBJECTS", 2_000)

    async with evil.serve(evil.listing(items=items, token=token)) as url, Connection(Access(server=url)) as connection:
        mirror = Mirror()
        reflector = Reflector(connection, RESOURCE, mirror, clock=VirtualClock(), jitter=lambda: 0.5)
        task = asyncio.create_task(reflector.run())
        try:
            await until(lambda: "abort" in mirror.calls and mirror.states)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert "finish" not in mirror.calls
        assert expected_text in mirror.states[0].message
        assert mirror.states[0].reason == "ListingFailed"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b'{"versions":' * 100_000, b'{"versions":[{"version":' + b"9" * 5_000 + b"}]}",
        b'{"versions":[{"version":"\xff\xfe"}]}', b'{"versions":[{"version":"\\ud800"}]}', b'"\\ud800', b"null", b"",
    ],
    ids=["brackets", "objects", "digits", "not UTF-8", "half a surrogate", "cut", "null", "nothing"],
)  # fmt: skip
async def test_invalid_json(content: bytes) -> None:
    """Discovery and the cluster's uid raise their own errors for any content."""
    async with evil.serve(evil.always(content)) as url, Connection(Access(server=url)) as connection:
        found = await discover(connection, SOURCE_GROUPS)
        assert found.served == ()
        assert len(found.unknown) == 3
        with pytest.raises(Unreachable):
            await connection.cluster_uid()


async def test_invalid_names_in_discovery() -> None:
    """Their resources are ignored, and the group is incomplete: nothing of it counts as absent."""
    entries = [
        {"name": name, "kind": kind, "namespaced": False, "verbs": ["list", "watch", "create"]}
        for name, kind in [("good", "Good"), ("../secrets?x=", "A"), ("UPPER", "B"), ("b\x1b[2J", "C"), ("c", "d e")]
    ]
    group = {"versions": [{"version": "v1beta1"}, {"version": "../../v1"}]}

    async def attack(path: str, _query: dict[str, list[str]], write: evil.Write) -> None:
        await write(evil.answer(json.dumps(group if path.count("/") == 2 else {"resources": entries}).encode()))

    async with evil.serve(attack) as url, Connection(Access(server=url)) as connection:
        found = await discover(connection, {CONSTRAINTS})
    assert [resource.plural for resource in found.served] == ["good"]
    assert "3 kinds have names that Kubernetes does not take" in found.unknown["constraints.gatekeeper.sh"]
    assert all(reason.isprintable() for reason in found.unknown.values())


async def test_a_slow_answer_times_out() -> None:
    """A byte now and then is no silence; the whole answer has a time limit."""
    async with evil.serve(evil.drip) as url, Connection(Access(server=url), total_seconds=0.2) as connection:
        with pytest.raises(Unreachable, match="no answer in time"):
            await connection.get(PATH)


async def test_an_endless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that sends bytes without ever completing a line is cut."""
    monkeypatch.setattr(watched, "_LINE_SECONDS", 0.2)
    async with (
        evil.serve(evil.drip) as url,
        Connection(Access(server=url)) as connection,
        connection.stream(PATH, idle_seconds=5) as lines,
    ):
        with pytest.raises(Unreachable, match="did not end within"):
            await anext(lines)


async def test_a_compressed_watch() -> None:
    """It was not requested, and is not decompressed."""
    async with evil.serve(evil.bomb("gzip", BOMB)) as url, Connection(Access(server=url)) as connection:
        with pytest.raises(Unreachable, match="compressed"):
            async with connection.stream(PATH, idle_seconds=5):
                pass


async def test_a_large_page_is_requested_again_with_fewer_objects() -> None:
    """500 real objects can exceed the limit of an answer: a quarter is requested, until it fits."""
    api = ApiServer()
    for number in range(60):
        api.put(f"r{number:03}", message="x" * 1_400_000)
    async with running(api) as rig:
        await until(lambda: rig.reflector.counters.listings, seconds=60)
        assert len(rig.mirror.objects) == 60
        limits = [int(params["limit"]) for params in api.asked("list")]
        assert limits[:2] == [500, 125]
        assert limits[-1] <= 31


async def test_one_large_answer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the whole process: another one waits and times out; small ones pass."""
    monkeypatch.setattr(body, "LARGE_SECONDS", 0.3)
    large = b'"' + b"x" * (body.CONCURRENT_BYTES + 10) + b'"'
    async with (
        evil.serve(evil.always(large)) as url,
        evil.serve(evil.always(b"{}")) as other,
        Connection(Access(server=url)) as one,
        Connection(Access(server=other)) as two,
    ):
        async with one.page(PATH) as held:
            assert bytes(held) == large
            with pytest.raises(TooLarge, match="other large ones came first"):
                async with one.page(PATH):
                    pass
            assert await two.get(PATH) == b"{}"
        async with one.page(PATH) as again:
            assert bytes(again) == large


@pytest.mark.parametrize("status", [101, 199, 300, 304, 999], ids=str)
async def test_other_statuses(status: int) -> None:
    """Only a success is an answer."""

    async def attack(_path: str, _query: dict[str, list[str]], write: evil.Write) -> None:
        await write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}" % status)

    async with evil.serve(attack) as url, Connection(Access(server=url), read_seconds=1) as connection:
        with pytest.raises((Unreachable, connection_module.Refused)):
            await connection.get(PATH)


async def test_a_compressed_or_slow_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's message is decompressed up to a limit; it need not end."""
    monkeypatch.setattr(failure, "_ERROR_SECONDS", 0.2)
    api = ApiServer()
    sentence = json.dumps({"reason": "Forbidden", "message": "no \x1b[31m\u202egnp"}).encode()
    api.documents[PATH] = Answer(403, gzip.compress(sentence), {"Content-Encoding": "gzip"})
    api.documents["/bomb"] = Answer(403, BOMB, {"Content-Encoding": "gzip"})

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    api.handlers["/drip"] = dripping
    async with api.serve(), Connection(Access(server=api.url)) as connection:
        with pytest.raises(connection_module.Refused, match=r"403 Forbidden: no \[31mgnp"):
            await connection.get(PATH)
        with pytest.raises(connection_module.Refused, match="403"):
            await connection.get("/bomb")
        with pytest.raises(connection_module.Refused, match="500"):
            await connection.get("/drip")
