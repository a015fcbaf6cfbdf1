"""No error text contains a secret that a proxy or a server echoes."""

import asyncio
import base64
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.kubeconfig import KubeconfigError
from tests.component.kube.apiserver import ApiServer

PASSWORD = "S3CRET-PASSWORD"
TOKEN = "T0KEN-SECRET-abcdef"
HIDDEN = (PASSWORD, TOKEN, base64.b64encode(f"u:{PASSWORD}".encode()).decode()[:16])


@pytest.fixture
def heads() -> list[bytes]:
    """The heads of the requests that the proxy got."""
    return []


@pytest.fixture
async def proxy(heads: list[bytes]) -> AsyncIterator[str]:
    """A proxy that answers 407 with the head of the request in its status line; its address."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            heads.append(head := await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 407 No " + head.replace(b"\r\n", b" ") + b"\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def kubeconfig(server: str = "https://h.example:6443", user: object = None, **cluster: object) -> dict[str, Any]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "users": [{"name": "u", "user": user or {"token": TOKEN}}],
        "clusters": [{"name": "k", "cluster": {"server": server, **cluster}}],
    }


async def error_text(source: bytes | dict[str, Any]) -> str:
    """The error of a request, as in a traceback."""
    with pytest.raises((Refused, Unreachable, KubeconfigError)) as caught:
        async with await Connection.from_kubeconfig(source) as connection:
            await connection.get("/api")
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("environment", [False, True], ids=["kubeconfig", "environment"])
@pytest.mark.parametrize("form", ["http://u:{}@{}", "http://u:{}@127.0.0.1:1", "http://u:{}@127.0.0.1:99999"])
async def test_proxies(
    proxy: str, heads: list[bytes], form: str, monkeypatch: pytest.MonkeyPatch, *, environment: bool
) -> None:
    """A proxy that echoes, one that is unreachable, one with an invalid URL: its password goes to it only."""
    url = form.format(PASSWORD, proxy)
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    if environment:
        monkeypatch.setenv("HTTPS_PROXY", url)
        output = await error_text(kubeconfig())
    else:
        output = await error_text(kubeconfig(**{"proxy-url": url}))
    assert not [secret for secret in HIDDEN if secret in output]
    signed_in = f"Proxy-Authorization: Basic {base64.b64encode(f'u:{PASSWORD}'.encode()).decode()}"
    assert [signed_in.encode() in head for head in heads] == [True] * url.endswith(proxy)


async def test_plain_http_uses_no_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy would see the token."""
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert "407" not in await error_text(kubeconfig("http://127.0.0.1:1"))


@pytest.mark.parametrize("place", ["message", "reason", "status line"])
async def test_an_api_server_that_echoes(place: str) -> None:
    """Its own text may appear, but not our token."""
    api = ApiServer()

    async def echo(request: web.Request) -> web.StreamResponse:
        sent = request.headers["Authorization"]
        if place == "status line":
            return web.Response(status=403, reason=sent)
        return web.json_response(
            {place: f"you sent {sent} {sent[:20]} {base64.b64encode(sent[7:].encode())!r}"}, status=403
        )

    api.handlers["/api"] = echo
    async with api.serve():
        output = await error_text(kubeconfig(api.url))
    assert "***" in output
    assert not [secret for secret in HIDDEN if secret in output]
    assert base64.b64encode(TOKEN.encode()).decode() not in output


@pytest.mark.parametrize(
    "source",
    [
        kubeconfig(f"https://u:{PASSWORD}@h:1"),
        kubeconfig(f"https://u:{PASSWORD}@h:99999"),
        kubeconfig(**{"proxy-url": f"socks5://u:{PASSWORD}@h:1"}),
        kubeconfig(user={"token": TOKEN + "\nX: y"}),
        kubeconfig(user={"client-key-data": TOKEN, "client-certificate-data": "x"}),
        kubeconfig(user={"username": "u", "password": PASSWORD}),
        kubeconfig(user={"exec": {"command": "sh", "args": [TOKEN]}}),
        {**kubeconfig(), "current-context": TOKEN},
        f"token: {TOKEN}\n  - : :\n\t".encode(),
        TOKEN.encode(),
        b"\xff\xfe" + TOKEN.encode(),
    ],
    ids=[
        "server", "bad port", "socks", "two lines", "no key", "password", "exec", "a name", "no YAML", "text",
        "no UTF-8",
    ],
)  # fmt: skip
async def test_kubeconfigs(source: bytes | dict[str, Any]) -> None:
    """A rejected value is reported by its place, never by its content."""
    output = await error_text(source)
    assert not [secret for secret in HIDDEN if secret in output.rpartition("KubeconfigError")[2]]


async def test_a_file_that_is_not_yaml(tmp_path: Any) -> None:
    """The parser would quote the line with the token."""
    (tmp_path / "config").write_text(f"users: [{{token: {TOKEN}}}\n  b: : c")
    with pytest.raises(KubeconfigError, match=r"not valid YAML \(line \d\)") as caught:
        await Connection.from_file(str(tmp_path / "config"))
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
