import asyncio
import base64
import contextlib
import gzip
import json
import os
import sys
import tracemalloc
from asyncio import sslproto
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

import policyhub
from policyhub.api.reason import Reason
from policyhub.kube import watch_lines as watched
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import NotTried
from policyhub.kube.kubeconfig import Access, KubeconfigError
from policyhub.kube.trust import Resolver
from tests.component.kube.apiserver import RESOURCE, Answer, ApiServer, refusal
from tests.component.kube.authority import Authority
from tests.component.kube.mirror import until

PATH = "/api/v1/anything"


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def connection(api: ApiServer) -> AsyncIterator[Connection]:
    async with Connection(Access(server=api.url)) as made:
        yield made


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def kubeconfig(server: str, ca: bytes | None, user: dict[str, Any]) -> dict[str, Any]:
    cluster: dict[str, Any] = {"server": server}
    if ca is not None:
        cluster["certificate-authority-data"] = encoded(ca)
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }


def open_files() -> list[str]:
    return [link.resolve().name for link in Path("/proc/self/fd").iterdir()]


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


# --- requests


async def test_get(api: ApiServer, connection: Connection) -> None:
    """The body is returned unchanged; parameters are encoded; the client has a User-Agent."""
    api.documents[PATH] = Answer(200, b'{"a": 1}')
    assert await connection.get(PATH, {"continue": "a=&b", "limit": "5"}) == b'{"a": 1}'
    [request] = api.requests
    assert request.params == {"continue": "a=&b", "limit": "5"}
    assert request.headers["User-Agent"] == f"policyhub/{policyhub.__version__}"
    assert request.headers["Accept"] == "application/json"


@pytest.mark.parametrize(("verb", "media"), [("patch", "application/merge-patch+json"), ("post", "application/json")])
async def test_writes(api: ApiServer, connection: Connection, verb: str, media: str) -> None:
    """Bodies are JSON, in the API server's media type."""
    api.documents[PATH] = Answer(200, b"{}")
    write: Callable[[str, object], Any] = getattr(connection, verb)
    assert await write(PATH, {"status": {"ä": None}}) == b"{}"
    [request] = api.requests
    assert (request.verb, request.headers["Content-Type"]) == (verb.upper(), media)
    assert json.loads(request.body) == {"status": {"ä": None}}


async def test_refused(api: ApiServer, connection: Connection) -> None:
    """The error has the status, and the server's reason and message."""
    api.documents[PATH] = refusal(403, "Forbidden", {"Retry-After": "3"})
    with pytest.raises(Refused, match="403 Forbidden: told to") as caught:
        await connection.get(PATH)
    assert (caught.value.status, caught.value.reason, caught.value.retry_after) == (403, "Forbidden", 3)


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"message": 7}', b"\xff" * 100_000])
async def test_refused_without_a_status(api: ApiServer, connection: Connection, body: bytes) -> None:
    """A gateway's error page is an error with the HTTP reason; a date in Retry-After is ignored."""
    api.documents[PATH] = Answer(502, body, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    with pytest.raises(Refused) as caught:
        await connection.get(PATH)
    assert (caught.value.status, caught.value.reason, caught.value.retry_after) == (502, "Bad Gateway", None)


async def test_long_messages_are_cut(api: ApiServer, connection: Connection) -> None:
    """A server's message ends up in conditions and logs: it is truncated."""
    api.documents[PATH] = Answer(500, json.dumps({"message": "x" * 10_000, "reason": "Long"}).encode())
    with pytest.raises(Refused) as caught:
        await connection.get(PATH)
    assert len(caught.value.message) == 500


async def test_redirects_are_not_followed(api: ApiServer, connection: Connection) -> None:
    """A server cannot redirect this process, or its token."""
    api.documents[PATH] = Answer(302, b"", {"Location": "/elsewhere"})
    with pytest.raises(Refused, match="302"):
        await connection.get(PATH)
    assert len(api.requests) == 1


async def test_compressed_answers(api: ApiServer, connection: Connection) -> None:
    """Answers may be compressed; streams may not, because an event must not wait for a block to fill."""
    api.documents[PATH] = Answer(200, gzip.compress(b"x" * 1000), {"Content-Encoding": "gzip"})
    assert await connection.get(PATH) == b"x" * 1000
    api.documents[PATH] = Answer(200)
    async with connection.stream(PATH, idle_seconds=5):
        pass
    assert [request.headers["Accept-Encoding"] for request in api.requests] == ["gzip", "identity"]


async def test_connections_are_reused(api: ApiServer, connection: Connection) -> None:
    """Even after an error: no TLS handshake for each request."""
    api.documents[PATH] = Answer(200, b"{}")
    await connection.get(PATH)
    with pytest.raises(Refused):
        await connection.get("/missing")
    await connection.get(PATH)
    assert len({request.peer for request in api.requests}) == 1


async def test_nobody_listens() -> None:
    """A refused TCP connection is Unreachable."""
    async with Connection(Access(server="http://127.0.0.1:1")) as connection:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
            await connection.get(PATH)


async def test_no_answer_in_time(api: ApiServer) -> None:
    """A server that accepts and stays silent is Unreachable after the read timeout."""

    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    api.handlers[PATH] = never
    async with Connection(Access(server=api.url), read_seconds=0.02) as connection:
        with pytest.raises(Unreachable, match="no answer in time"):
            await connection.get(PATH)


@pytest.mark.parametrize(
    ("refusals", "made", "found"),
    [(0, 1, "uid"), (1, 2, "uid"), (2, 2, "401")],
    ids=["taken", "refused for a moment", "refused"],
)
async def test_a_401_is_retried_with_a_new_token(api: ApiServer, refusals: int, made: int, found: str) -> None:
    """If a new token can be made, one 401 does not end the connection; a 401 for the new token does."""
    tokens: list[str] = []
    sent: list[str] = []
    current = ""

    async def token() -> str:
        nonlocal current
        if not current:
            current = f"token-{len(tokens)}"
            tokens.append(current)
        return current

    def forget() -> None:
        nonlocal current
        current = ""

    async def answer(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["Authorization"])
        if len(sent) <= refusals:
            return web.json_response({"kind": "Status", "reason": "Unauthorized"}, status=401)
        return web.json_response({"metadata": {"uid": "uid"}})

    api.handlers["/api/v1/namespaces/kube-system"] = answer
    async with Connection(Access(server=api.url), token=token, forget=forget) as connection:
        try:
            outcome = await connection.cluster_uid()
        except Refused as error:
            outcome = str(error.status)
    assert (outcome, len(tokens), len(sent)) == (found, made, made)
    assert sent[-1] == f"Bearer {tokens[-1]}"


async def test_a_slow_sign_in_is_not_the_servers_silence(api: ApiServer) -> None:
    """The time of a sign-in does not count for the server's timeout."""

    async def late() -> str:
        await asyncio.sleep(0.1)
        raise NotTried(Reason.UNAVAILABLE, "AWS has not answered")

    async with Connection(Access(server=api.url), token=late, connect_seconds=0.01, read_seconds=0.01) as connection:
        with pytest.raises(NotTried, match="AWS has not answered"):
            await connection.get("/api")


async def test_a_truncated_answer(api: ApiServer, connection: Connection) -> None:
    """Half a body is an error."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    api.handlers[PATH] = half
    with pytest.raises(Unreachable):
        await connection.get(PATH)


async def test_cluster_uid(api: ApiServer, connection: Connection) -> None:
    """The uid of kube-system; any other answer shows that it is not a Kubernetes API server."""
    path = "/api/v1/namespaces/kube-system"
    api.documents[path] = Answer(200, b'{"kind":"Namespace","metadata":{"name":"kube-system","uid":"u-1"}}')
    assert await connection.cluster_uid() == "u-1"
    api.documents[path] = Answer(200, b'{"metadata":{"uid":"' + b"u" * 1_000 + b'"}}')
    with pytest.raises(Unreachable, match="does not answer as"):
        await connection.cluster_uid()
    api.documents[path] = Answer(200, b"<html>welcome</html>")
    with pytest.raises(Unreachable, match="does not answer as a Kubernetes API server"):
        await connection.cluster_uid()


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"Date": "Wed, 25 Nov 2026 08:00:00 GMT"}, datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ({"Date": "yesterday"}, None),
    ],
    ids=["date", "no date"],
)
async def test_dated(api: ApiServer, connection: Connection, headers: dict[str, str], sent: datetime | None) -> None:
    """The body is returned with the time in the server's Date header, if that is valid."""
    api.documents["/version"] = Answer(200, b"{}", headers)
    assert await connection.dated("/version") == (b"{}", sent)


async def test_a_secrets_kubeconfig(api: ApiServer, connection: Connection) -> None:
    """The kubeconfig in a Secret leads to its cluster; a rejected one, or a missing key, is reported by name."""
    path = "/api/v1/namespaces/hub/secrets/beta"
    config = json.dumps(kubeconfig("https://beta.example", None, {"token": "t"})).encode()
    api.documents[path] = Answer(200, json.dumps({"data": {"kubeconfig": encoded(config)}}).encode())
    async with await Connection.from_secret(connection, "hub", "beta", key="kubeconfig") as other:
        assert other.server == "https://beta.example"
    with pytest.raises(KubeconfigError, match="Secret hub/beta has no key value"):
        await Connection.from_secret(connection, "hub", "beta", key="value")
    api.documents[path] = refusal(403, "Forbidden")
    with pytest.raises(KubeconfigError, match="may not read Secret hub/beta"):
        await Connection.from_secret(connection, "hub", "beta", key="kubeconfig")


@pytest.mark.parametrize(
    ("value", "expected_text"),
    [
        (encoded(json.dumps(kubeconfig("http://127.0.0.1:1", None, {"token": "t"})).encode()), "use https"),
        (encoded(b"x" * 100_000), "larger than 64 KiB"),
        ("not base64!", "is not base64"),
        (7, "cannot be read"),
        ("[" * 50_000, "is not base64"),
    ],
    ids=["plain http", "large", "no base64", "a number", "brackets"],
)
async def test_a_forbidden_kubeconfig_in_a_secret(
    api: ApiServer, connection: Connection, value: object, expected_text: str
) -> None:
    """Stricter than for a mapping from a program: no plain http at all, and a size limit."""
    api.documents["/api/v1/namespaces/hub/secrets/beta"] = Answer(200, json.dumps({"data": {"k": value}}).encode())
    with pytest.raises(KubeconfigError, match=expected_text):
        await Connection.from_secret(connection, "hub", "beta", key="k")


async def test_names_that_resolve_to_link_local_addresses() -> None:
    """A Secret's host name is checked again after it was resolved."""
    with pytest.raises(OSError, match="leads to a link-local address"):
        await Resolver().resolve("169.254.169.254", 443)
    assert [found["host"] for found in await Resolver().resolve("127.0.0.1", 443)] == ["127.0.0.1"]


# --- lines


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"d", b"\n"], [b"ab", b"cd"]),
        ([b"\n\na\n\n"], [b"", b"", b"a", b""]),
        ([b"a\n", b"\n", b"b\n"], [b"a", b"", b"b"]),
        ([b"a\nunfinished"], [b"a"]),
        ([], []),
        ([b"x" * 3_000_000, b"y" * 3_000_000 + b"\nz\n"], [b"x" * 3_000_000 + b"y" * 3_000_000, b"z"]),
    ],
    ids=["together", "cut", "empty", "lone newline", "unfinished", "nothing", "6 MB"],
)
async def test_lines(api: ApiServer, connection: Connection, chunks: list[bytes], lines: list[bytes]) -> None:
    """However the network splits them; an unfinished last line is dropped."""

    async def in_chunks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.005)
        return response

    api.handlers[PATH] = in_chunks
    async with connection.stream(PATH, idle_seconds=5) as stream:
        assert [line async for line in stream] == lines


async def test_an_endless_line(api: ApiServer, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server cannot fill the memory with one line."""
    monkeypatch.setattr(watched, "MAX_LINE", 100_000)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)

    api.handlers[PATH] = endless
    async with connection.stream(PATH, idle_seconds=5) as stream:
        with pytest.raises(Unreachable, match="longer than"):
            await anext(stream)


async def test_a_stream_is_open_before_its_first_line(api: ApiServer) -> None:
    """Entering needs only the server's status; leaving closes the connection; the pause between lines may be long."""
    watch = {"watch": "true", "resourceVersion": "1"}
    async with (
        Connection(Access(server=api.url), read_seconds=0.01) as connection,
        connection.stream(RESOURCE.path, watch, idle_seconds=5) as stream,
    ):
        await until(lambda: api.watches)
        await asyncio.sleep(0.02)  # longer than read_seconds, which applies to answers
        api.put("a")
        assert b'"ADDED"' in await anext(stream)
    await until(lambda: not api.watches)


async def test_a_refused_stream(connection: Connection) -> None:
    """The error is raised on entering."""
    with pytest.raises(Refused, match="404"):
        async with connection.stream("/missing", idle_seconds=5):
            pass


async def test_errors_of_the_reader_pass_through(api: ApiServer, connection: Connection) -> None:
    """An error in the block is not taken for a network error."""
    with pytest.raises(OSError, match="mine"):
        async with connection.stream(RESOURCE.path, {"watch": "true", "resourceVersion": "1"}, idle_seconds=5):
            raise OSError("mine")
    await until(lambda: not api.watches)


# --- in the cluster


async def test_in_cluster_reads_a_rotated_token(authority: Authority, tmp_path: Path) -> None:
    """The kubelet replaces the token file; the next request has the new token."""
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    (tmp_path / "token").write_text("first\n")
    api = ApiServer()
    async with api.serve(tls=authority.server(tmp_path)):
        host, _, port = api.url.removeprefix("https://").partition(":")
        environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        async with await Connection.in_cluster(folder=tmp_path, environ=environ) as connection:
            api.documents[PATH] = Answer(200, b"{}")
            await connection.get(PATH)
            (tmp_path / "token").write_text("second")
            await connection.get(PATH)
            (tmp_path / "token").unlink()
            with pytest.raises(Unreachable, match="token"):
                await connection.get(PATH)
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer first", "Bearer second"]


async def test_in_cluster_outside_a_pod(tmp_path: Path) -> None:
    """There is no service account, and the error says so."""
    with pytest.raises(KubeconfigError, match="no service account"):
        await Connection.in_cluster(folder=tmp_path, environ={})


# --- by kubeconfig


@pytest.mark.parametrize("bundle", [None, os.devnull], ids=["without SSL_CERT_FILE", "with"])
async def test_token_over_tls(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str | None
) -> None:
    """The CA of the kubeconfig is used, whatever the environment says."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if bundle:
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
    api = ApiServer()
    api.documents[PATH] = Answer(200, b"{}")
    async with api.serve(tls=authority.server(tmp_path)):
        source = yaml.safe_dump(kubeconfig(api.url, authority.pem, {"token": "t"})).encode()
        async with await Connection.from_kubeconfig(source) as connection:
            assert await connection.get(PATH) == b"{}"
    assert api.requests[0].headers["Authorization"] == "Bearer t"


async def test_client_certificate_leaves_no_file(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificate and key are used without being written: a read-only, empty temporary folder is sufficient."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    certificate, key = authority.issue("operator")
    api = ApiServer()
    api.documents[PATH] = Answer(200, b"{}")
    async with api.serve(tls=authority.server(tmp_path, ask_client=True)):
        user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
        async with await Connection.from_kubeconfig(kubeconfig(api.url, authority.pem, user)) as connection:
            assert await connection.get(PATH) == b"{}"
            assert not [name for name in open_files() if "memfd:pem" in name]
    assert "Authorization" not in api.requests[0].headers


async def test_a_netrc_is_ignored(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password for the host in the environment is not sent to a cluster with other credentials."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    api = ApiServer()
    certificate, key = authority.issue("operator")
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    api.documents[PATH] = Answer(200, b"{}")
    tls = authority.server(tmp_path, ask_client=True)
    async with (
        api.serve(tls=tls),
        await Connection.from_kubeconfig(kubeconfig(api.url, authority.pem, user)) as connection,
    ):
        await connection.get(PATH)
    [request] = api.requests
    assert "Authorization" not in request.headers


async def test_another_authority(authority: Authority, tmp_path: Path) -> None:
    """A server that the kubeconfig's CA did not sign is not contacted."""
    api = ApiServer()
    async with api.serve(tls=authority.server(tmp_path)):
        source = kubeconfig(api.url, Authority().pem, {"token": "t"})
        async with await Connection.from_kubeconfig(source) as connection:
            with pytest.raises(Unreachable, match="certificate"):
                await connection.get(PATH)
    assert api.requests == []


async def test_invalid_certificates() -> None:
    """Invalid PEM is an error of the kubeconfig."""
    source = kubeconfig("https://127.0.0.1", b"-----BEGIN CERTIFICATE-----\nnonsense", {"token": "t"})
    with pytest.raises(KubeconfigError, match="certificates or key cannot be read"):
        await Connection.from_kubeconfig(source)


async def test_a_local_kubeconfig_may_do_anything(api: ApiServer, tmp_path: Path) -> None:
    """Plug-ins run; a user's own file may do what a Secret may not."""
    api.documents[PATH] = Answer(200, b"{}")
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "p"}}
    program = tmp_path / "plugin.py"
    program.write_text(f"print({json.dumps(json.dumps(credential))})")
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(program)],
            "interactiveMode": "Never",
        }
    }
    source = kubeconfig(api.url, None, user)
    (tmp_path / "config").write_text(yaml.safe_dump(source))
    async with await Connection.from_file(str(tmp_path / "config")) as connection:
        await connection.get(PATH)
    assert api.requests[0].headers["Authorization"] == "Bearer p"
    with pytest.raises(KubeconfigError, match="exec is refused"):
        await Connection.from_kubeconfig(source)


@pytest.mark.parametrize("content", [None, "", "a: [", "clusters: 7", "current-context: x"])
async def test_an_unusable_kubeconfig_file(tmp_path: Path, content: str | None) -> None:
    """Missing, empty or broken: one error that names the file."""
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeconfigError, match="config cannot be used"):
        await Connection.from_file(str(path))


async def test_closing_twice(api: ApiServer) -> None:
    """A second close has no effect."""
    connection = Connection(Access(server=api.url))
    await connection.close()
    await connection.close()


# --- memory


async def test_an_idle_watch_over_tls_needs_little_memory(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet has thousands of idle watches: each holds less than a quarter of asyncio's default buffer, but can read
    answers of any size.
    """
    default = 2**18
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", default)
    api = ApiServer()
    content = os.urandom(2**20)
    api.documents[PATH] = Answer(200, content)
    number = 10
    async with api.serve(tls=authority.server(tmp_path)), contextlib.AsyncExitStack() as stack:
        access = Access(server=api.url, authority=authority.pem)
        connection = await stack.enter_async_context(Connection(access))
        params = {"watch": "true"}
        path = f"{RESOURCE.path}"
        await stack.enter_async_context(connection.stream(path, params, idle_seconds=60))
        assert await connection.get(PATH) == content
        tracemalloc.start()
        try:
            for _ in range(number):
                await stack.enter_async_context(connection.stream(path, params, idle_seconds=60))
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held / number < default / 2, "of both ends, which are in this process"
