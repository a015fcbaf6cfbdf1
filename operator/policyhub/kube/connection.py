"""One API server: how it is reached, what it answers as bytes, and the two ways in which it does not.

Nothing here decodes a body that was asked for. Every request has time-outs, none follows a redirect (a hostile server
must not send the token, or this process, elsewhere), and the number of watches is not limited by the connection pool.

Errors, named for what the caller does about them:

    Refused       the server answered and said no: `status` and `reason` tell the remedy
    Unreachable   no usable answer: network, TLS, time-out, or something that is not the Kubernetes API
    KubeconfigError   nothing was tried: what was configured cannot be used
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

import policyhub
from policyhub.kube import kubeconfig, local
from policyhub.kube.kubeconfig import Access, KubeconfigError
from policyhub.kube.local import Token

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_LINE = 64 * 1024 * 1024
"""Bytes of one watch event. etcd holds 1.5 MiB; aggregated API servers hold more; an endless line is an attack."""
_MAX_REFUSAL = 65_536
"""Bytes read of an error's body: it holds one sentence."""
_MAX_MESSAGE = 500
_BUFFER = 2**21
"""Bytes read ahead of an answer: a watch event of etcd's 1.5 MiB passes without a pause."""
_LISTINGS = 4
"""Pages under way at once: bounds memory, and the load when hundreds of kinds are listed at start."""

Params = Mapping[str, str]


class Refused(Exception):  # noqa: N818  (the name says what happened)
    """The API server answered with an error."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason[:_MAX_MESSAGE]
        self.message = message[:_MAX_MESSAGE] or "the answer holds no message"
        super().__init__(f"{status} {self.reason}: {self.message}")
        self.retry_after = retry_after
        """Seconds that the server asks to wait."""


class Unreachable(Exception):  # noqa: N818  (the name says what happened)
    """No usable answer: network, TLS, time-out, or not a Kubernetes API server."""


class Connection:
    """Requests to one API server. Made by one of the three constructors below, inside a running loop; closed once."""

    def __init__(
        self,
        access: Access,
        *,
        token: Token | None = None,
        connect_seconds: float = 10,
        read_seconds: float = 60,
        total_seconds: float = 600,
    ) -> None:
        """`token` is asked before each request; without it that of `access` is sent, if it has one. `read_seconds` is
        the longest silence within an answer, `total_seconds` the longest answer. Raises KubeconfigError.
        """
        self.server = access.server
        """For logs and status."""
        self._access = access
        self._token = token
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._total_seconds = total_seconds
        self._session = aiohttp.ClientSession(
            # No limit: Gatekeeper alone can have hundreds of kinds to watch.
            connector=aiohttp.TCPConnector(limit=0, ssl=_trust(access)),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "User-Agent": f"policyhub/{policyhub.__version__}"},
            trust_env=True,  # HTTPS_PROXY and NO_PROXY, where the access names no proxy
            read_bufsize=_BUFFER,
        )
        self.listings = asyncio.Semaphore(_LISTINGS)
        """Held for each page of a listing, by whoever lists."""

    @classmethod
    async def in_cluster(
        cls, *, folder: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ
    ) -> "Connection":
        """The cluster that this process runs in, as its service account. Raises KubeconfigError outside a Pod."""
        token = local.file_token(folder / "token")
        try:
            await token()
            server = in_cluster_address(environ)
            authority = (folder / "ca.crt").read_bytes()
        except (KeyError, OSError, ValueError) as error:
            raise KubeconfigError(f"no service account to use: {error}") from error
        return cls(Access(server=server, authority=authority), token=token)

    @classmethod
    async def from_kubeconfig(cls, source: bytes | Mapping[str, object]) -> "Connection":
        """A kubeconfig out of a Secret; what it may ask for is decided in `kubeconfig`. Raises KubeconfigError."""
        return cls(kubeconfig.parse(source))

    @classmethod
    async def from_secret(cls, home: "Connection", namespace: str, name: str, *, key: str) -> "Connection":
        """The same, read from the Secret in the cluster of `home`. Raises KubeconfigError; Unreachable of `home`."""
        where = f"Secret {namespace}/{name}"
        try:
            raw = await home.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except Refused as error:
            raise KubeconfigError(
                f"{where} cannot be read: {error}; name it in the chart's kubeconfigSecrets"
            ) from error
        value = msgspec.json.decode(raw, type=_Secret).data.get(key)
        if value is None:
            raise KubeconfigError(f"{where} has no key {key}; spec.connection.kubeconfigSecretRef.key names it")
        return await cls.from_kubeconfig(value)

    @classmethod
    async def from_file(cls, paths: str, *, context: str | None = None) -> "Connection":
        """A kubeconfig of the person who runs this process, as `local` reads it. Raises KubeconfigError."""
        access, token = await local.load(paths, context=context)
        return cls(access, token=token)

    @classmethod
    async def home(cls) -> "Connection":
        """The cluster that our own objects live in: the Pod's, else that of KUBECONFIG. Raises KubeconfigError."""
        if (SERVICE_ACCOUNT / "token").exists():
            return await cls.in_cluster()
        return await cls.from_file(os.environ.get("KUBECONFIG") or local.DEFAULT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is under way; safe to call twice."""
        await self._session.close()

    async def get(self, path: str, params: Params | None = None, *, accept: str | None = None) -> bytes:
        """The body of the answer; `accept` where another form of it is wanted. Raises Refused, Unreachable."""
        return await self._exchange("GET", path, params=params, accept=accept)

    async def dated(self, path: str) -> tuple[bytes, datetime | None]:
        """The body, and when the server sent it by its own clock, if it says. Raises Refused, Unreachable."""
        body, headers = await self._answer("GET", path)
        try:
            return body, parsedate_to_datetime(headers.get("Date", ""))
        except ValueError:
            return body, None

    async def patch(self, path: str, body: object) -> bytes:
        """A JSON merge patch; `body` is anything msgspec encodes. Raises Refused, Unreachable."""
        return await self._exchange("PATCH", path, body=body, media="application/merge-patch+json")

    async def post(self, path: str, body: object) -> bytes:
        """`body` is anything msgspec encodes. Raises Refused, Unreachable."""
        return await self._exchange("POST", path, body=body, media="application/json")

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Params | None = None, *, idle_seconds: float, accept: str | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lines of an answer that does not end by itself, such as a watch; entered once the server has accepted it.

        The lines raise Unreachable when the connection is cut or silent for `idle_seconds`; an unfinished last line is
        dropped. Leaving the block closes the connection.
        """
        timeout = aiohttp.ClientTimeout(connect=self._connect_seconds, sock_read=idle_seconds)
        response = await self._open("GET", path, params=params, timeout=timeout, accept=accept, encoding="identity")
        try:
            yield _lines(response)
        finally:
            response.close()

    async def cluster_uid(self) -> str:
        """What tells this cluster from every other: the uid of its namespace kube-system. Raises as `get`."""
        body = await self.get("/api/v1/namespaces/kube-system")
        try:
            return msgspec.json.decode(body, type=_Identified).metadata.uid
        except msgspec.MsgspecError as error:
            raise Unreachable(f"{self.server} does not answer as a Kubernetes API server: {error}") from error

    async def _exchange(self, method: str, path: str, **more: Any) -> bytes:
        body, _ = await self._answer(method, path, **more)
        return body

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        media: str | None = None,
        accept: str | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers."""
        timeout = aiohttp.ClientTimeout(
            total=self._total_seconds, connect=self._connect_seconds, sock_read=self._read_seconds
        )
        data = None if media is None else msgspec.json.encode(body)
        response = await self._open(method, path, params=params, timeout=timeout, data=data, media=media, accept=accept)
        try:
            with _unreachable():
                return await response.read(), response.headers
        finally:
            response.close()  # a body read to its end has already given its connection back

    async def _open(
        self,
        method: str,
        path: str,
        *,
        params: Params | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (handed on to aiohttp, which keeps it)
        data: bytes | None = None,
        media: str | None = None,
        accept: str | None = None,
        encoding: str = "gzip",
    ) -> aiohttp.ClientResponse:
        """Gzip: reports shrink to a fourteenth, and it is undone off the loop, at 500 MB/s."""
        headers = {"Accept-Encoding": encoding}
        if media is not None:
            headers["Content-Type"] = media
        if accept is not None:
            headers["Accept"] = accept
        with _unreachable():
            async with asyncio.timeout(self._connect_seconds + self._read_seconds):
                token = self._access.token if self._token is None else await self._token()
                if token:
                    headers["Authorization"] = f"Bearer {token}"
                response = await self._session.request(
                    method,
                    self.server + path,
                    params=params,
                    data=data,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._access.proxy,
                    server_hostname=self._access.tls_server_name,
                )
        if response.status >= 300:
            try:
                raise await _refused(response)
            finally:
                response.close()
        return response


def in_cluster_address(environ: Mapping[str, str]) -> str:
    """The API server's, as the kubelet names it to every container. Raises KeyError."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _trust(access: Access) -> ssl.SSLContext:
    """Whom to believe, and who we are. Raises KubeconfigError.

    Certificate and key never reach a file system: OpenSSL reads them from anonymous memory that is gone on return.
    """
    try:
        context = ssl.create_default_context(cadata=access.authority.decode("ascii") if access.authority else None)
        # Python 3.13 asks for extensions that the CAs of older clusters lack, and that no other client asks for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not access.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.certificate and access.key:
            with _in_memory(access.certificate) as certificate, _in_memory(access.key) as key:
                context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise KubeconfigError(f"kubeconfig refused: its certificates or key cannot be read: {error}") from error
    return context


class _Uid(msgspec.Struct):
    uid: str


class _Identified(msgspec.Struct):
    metadata: _Uid


class _Secret(msgspec.Struct):
    data: dict[str, bytes] = {}
    """Msgspec reads base64 into bytes."""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    """What an API server says when it refuses."""

    reason: str = ""
    message: str = ""
    details: _Details | None = None


async def _refused(response: aiohttp.ClientResponse) -> Refused:
    status = _Status()
    with contextlib.suppress(Unreachable, msgspec.MsgspecError), _unreachable():
        status = msgspec.json.decode(await response.content.read(_MAX_REFUSAL), type=_Status)
    retry_after = status.details.retry_after_seconds if status.details else None
    if (header := response.headers.get("Retry-After", "")).isdecimal():  # the other form, a date, is not sent
        retry_after = float(header)
    return Refused(
        response.status,
        status.reason or response.reason or "Unknown",
        status.message,
        retry_after=retry_after,
    )


@contextlib.contextmanager
def _unreachable() -> Iterator[None]:
    """Every way in which a request fails without an answer.

    ValueError: a URL or header that aiohttp will not send; KubeconfigError and OSError: credentials unreadable.
    """
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"no answer in time ({type(error).__name__})") from error
    except (aiohttp.ClientError, OSError, ValueError, KubeconfigError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}"[:_MAX_MESSAGE]) from error


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path that OpenSSL can read, to bytes that no file system ever holds."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The non-empty lines, however the network cut them; a line of many chunks is joined once, not once per chunk."""
    pending: list[bytes] = []
    size = 0
    while True:
        with _unreachable():
            chunk = await response.content.readany()
        if not chunk:
            return
        first, *rest = chunk.split(b"\n")
        pending.append(first)
        size += len(first)
        if size > MAX_LINE:
            raise Unreachable(f"a line is longer than {MAX_LINE} bytes")
        if not rest:
            continue
        if line := b"".join(pending):
            yield line
        tail = rest.pop()
        for line in rest:
            if line:
                yield line
        pending, size = [tail], len(tail)
