"""Requests to one API server: the connection, the bytes of its answers, and its errors.

Bodies are not decoded here. Every request has time-outs. None follows a redirect: a hostile server must not redirect
the token or this process. The memory that a server can make this process use is bounded:

| held                                        | at most                                                               |
|---------------------------------------------|-----------------------------------------------------------------------|
| an answer, decompressed                     | `body.MAX_DOCUMENT_BYTES`; a page of a listing `body.MAX_PAGE_BYTES`, |
|                                             | one large page at a time                                              |
| pages in progress, of one server            | `_LISTINGS`                                                           |
| lines of watches                            | see `watch_lines`                                                     |
| sockets of one server                       | `_SOCKETS`; watches that are being opened `_OPENINGS`                 |
| names of objects, while they are listed     | `changed_names.MAX_BYTES`                                             |

Errors, named for what the caller does about them (`errors`, `kubeconfig`):

    Refused       the server answered with an error: `status` and `reason` decide the remedy
    Unreachable   no usable answer: network, TLS, time-out, or something that is not the Kubernetes API
    ├── TooLarge  more than is held: ask for less
    └── NotTried  no request was sent: no token could be created for it
    KubeconfigError   no request was sent: the configuration cannot be used
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any, Self

import aiohttp
import msgspec

import policyhub
from policyhub import redaction
from policyhub.kube import body, kubeconfig, secret, user_kubeconfig
from policyhub.kube.changed_names import NameBudget
from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Refused, TooLarge, Unreachable
from policyhub.kube.failure import refused, unreachable
from policyhub.kube.kubeconfig import Access, KubeconfigError
from policyhub.kube.rotation import Rotation
from policyhub.kube.time_slice import TimeSlice
from policyhub.kube.trust import Resolver, proxy_for, trust
from policyhub.kube.user_kubeconfig import Token
from policyhub.kube.watch_lines import WatchLines

__all__ = ["Connection", "Refused", "TooLarge", "Unreachable"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_KINDS = 1_000
"""Kinds of objects of one group that are read: Gatekeeper's library has 40, its largest users some hundreds."""
_LONGEST_UID = 128
"""Characters; a UUID has 36. It is stored, and becomes part of findings."""
_SMALL_SECONDS = 60.0
"""Time-out for one document."""
_BUFFER = 2**16
_WATCH_BUFFER = 2**14
"""Bytes read ahead; small, because there can be a thousand watches."""
_LISTINGS = 4
"""Pages in progress at a time: bounds memory, and the load when hundreds of kinds are listed at the start."""
_OPENINGS = 32
"""Watches that are being opened at a time."""
_SOCKETS = MAX_KINDS + 64

Params = Mapping[str, str]


class Connection:
    """Requests to one API server. Create it with a constructor below, inside a running loop; close it once."""

    def __init__(
        self,
        access: Access,
        *,
        token: Token | None = None,
        forget: Callable[[], None] | None = None,
        connect_seconds: float = 10,
        read_seconds: float = 60,
        total_seconds: float = 600,
    ) -> None:
        """`token` is called before each request; else the token of `access` is sent, if it has one. After `forget`
        the next token is new. `read_seconds` is the longest pause within an answer, `total_seconds` the longest answer.
        Raises KubeconfigError.
        """
        self.server = access.server
        """For logs and status."""
        self._access = access
        self._token = token
        self._forget = forget
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._total_seconds = total_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_SOCKETS, ssl=trust(access), resolver=Resolver() if access.untrusted else None
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "User-Agent": f"policyhub/{policyhub.__version__}"},
            read_bufsize=_BUFFER,
            auto_decompress=False,  # aiohttp would decompress without a limit
        )
        self._proxy = proxy_for(access)
        self.time_slice = TimeSlice()
        """For the work on this server's objects."""
        self.name_budget = NameBudget()
        """For `ChangedNames` of all its reflectors."""
        self._listings = asyncio.Semaphore(_LISTINGS)
        self._openings = asyncio.Semaphore(_OPENINGS)
        self._watch_lines = WatchLines()
        self._secrets = redaction.of_environment(os.environ) | redaction.of_url(access.proxy or "")
        self._sent: tuple[str, ...] = (access.token or "",)
        """The token that was sent last."""

    @classmethod
    async def in_cluster(
        cls, *, folder: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ
    ) -> "Connection":
        """The cluster that this process runs in, as its service account. Raises KubeconfigError outside a Pod."""
        token = user_kubeconfig.file_token(folder / "token")
        try:
            await token()
            server = in_cluster_address(environ)
            authority = (folder / "ca.crt").read_bytes()
        except (KeyError, OSError, ValueError) as error:
            raise KubeconfigError(
                f"no service account to use: {error}",
                remedy="Run the operator in a Pod whose service account token is mounted"
                " (automountServiceAccountToken), or outside a cluster with KUBECONFIG",
            ) from error
        return cls(Access(server=server, authority=authority), token=token)

    @classmethod
    async def from_kubeconfig(cls, source: bytes | Mapping[str, object]) -> "Connection":
        """A kubeconfig without plug-ins and file names, see `kubeconfig`. Raises KubeconfigError."""
        return cls(await asyncio.to_thread(kubeconfig.parse, source))

    @classmethod
    async def from_secret(
        cls,
        home: "Connection",
        namespace: str,
        name: str,
        *,
        key: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "Connection":
        """A kubeconfig in a Secret in the cluster of `home`, with stricter rules: its authors are not trusted. When the
        Secret gets a new token, the connection uses it, see `rotation`.

        Raises KubeconfigError; Unreachable of `home`.
        """
        ref = secret.SecretKeyRef(namespace, name, key)

        async def read() -> bytes:
            try:
                raw = await home.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
            except Refused as error:
                raise secret.refused(ref, error) from error
            except Unreachable as error:
                raise Unreachable(f"{ref} was not read, the operator's own cluster does not answer: {error}") from error
            return secret.content(ref, raw)

        content = await read()
        try:
            access = await asyncio.to_thread(kubeconfig.parse, content, untrusted=True)
            if access.token is None:
                return cls(access)
            kept = Rotation(read, content, access, monotonic=monotonic)
            return cls(access, token=kept.token, forget=kept.forget)
        except KubeconfigError as error:
            raise secret.unusable(ref, str(error)) from None

    @classmethod
    async def from_file(cls, paths: str, *, context: str | None = None) -> "Connection":
        """The kubeconfig files of the user who runs this process, see `user_kubeconfig`. Raises KubeconfigError."""
        access, token = await user_kubeconfig.load(paths, context=context)
        return cls(access, token=token)

    @classmethod
    async def home(cls) -> "Connection":
        """The home cluster, which holds policyhub's own objects: the Pod's, else that of KUBECONFIG. Raises
        KubeconfigError.
        """
        if (SERVICE_ACCOUNT / "token").exists():
            return await cls.in_cluster()
        return await cls.from_file(os.environ.get("KUBECONFIG") or user_kubeconfig.DEFAULT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends requests in progress; may be called twice."""
        await self._session.close()

    async def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        accept: str | None = None,
        limit: int = body.MAX_DOCUMENT_BYTES,
    ) -> bytes:
        """The body of the answer. `accept` is the Accept header. Raises Refused, Unreachable; TooLarge for an answer of
        more than `limit` bytes.
        """
        return await self._exchange("GET", path, params=params, accept=accept, limit=limit)

    @contextlib.asynccontextmanager
    async def page(
        self, path: str, params: Params | None = None, *, accept: str | None = None
    ) -> AsyncIterator[bytearray]:
        """The body of one page of a listing, to be used within the block: few are held at a time. Raises as `get`."""
        async with self._listings, contextlib.AsyncExitStack() as stack:
            yield (
                await self._answer(
                    "GET",
                    path,
                    params=params,
                    accept=accept,
                    limit=body.MAX_PAGE_BYTES,
                    seconds=self._total_seconds,
                    stack=stack,
                )
            )[0]

    async def dated(self, path: str) -> tuple[bytes, datetime | None]:
        """The body, and the answer's Date header if it has a valid one. Raises Refused, Unreachable."""
        async with contextlib.AsyncExitStack() as stack:
            content, headers = await self._answer("GET", path, stack=stack)
        try:
            return bytes(content), parsedate_to_datetime(headers.get("Date", ""))
        except (ValueError, OverflowError):
            return bytes(content), None

    async def patch(self, path: str, body: object) -> bytes:
        """A JSON merge patch; `body` is anything msgspec encodes. Raises Refused, Unreachable."""
        return await self._exchange("PATCH", path, sends=body, media="application/merge-patch+json")

    async def post(self, path: str, body: object) -> bytes:
        """`body` is anything msgspec encodes. Raises Refused, Unreachable."""
        return await self._exchange("POST", path, sends=body, media="application/json")

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Params | None = None, *, idle_seconds: float, accept: str | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a streaming answer, such as a watch; entered once the server has accepted the request.

        Iterating raises Unreachable if the connection is cut, is silent for `idle_seconds` or does not end a line, and
        TooLarge for a line longer than `watch_lines.MAX_LINE`. An unfinished last line is dropped. Empty lines are
        returned, so that the reader notices a server that sends nothing else. Leaving the block closes the connection.
        """
        timeout = aiohttp.ClientTimeout(connect=self._connect_seconds, sock_read=idle_seconds)
        async with self._openings:
            response = await self._open(
                "GET", path, params=params, timeout=timeout, accept=accept, encoding="identity", buffer=_WATCH_BUFFER
            )
        try:
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
                raise Unreachable(f"{path}: a compressed watch, which was not requested")
            async with contextlib.aclosing(self._watch_lines.read(response, path, lambda: self.secrets)) as lines:
                yield lines
        finally:
            response.close()

    async def cluster_uid(self) -> str:
        """The uid of the namespace kube-system, which identifies the cluster. Raises as `get`.

        If the token is refused, the request is repeated once with a new token, if one can be created: the session of
        the old one may have ended, or the server's own check of the token may have failed for a moment.
        """
        path = "/api/v1/namespaces/kube-system"
        try:
            content = await self.get(path)
        except Refused as error:
            if error.status != 401 or self._forget is None:
                raise
            self._forget()
            content = await self.get(path)
        return decoded(
            _identified,
            content,
            lambda why: Unreachable(f"{self.server} does not answer as a Kubernetes API server: {why}"),
        ).metadata.uid

    async def _exchange(self, method: str, path: str, **more: Any) -> bytes:
        async with contextlib.AsyncExitStack() as stack:
            content, _ = await self._answer(method, path, stack=stack, **more)
            return bytes(content)

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        stack: contextlib.AsyncExitStack,
        params: Params | None = None,
        sends: object = None,
        media: str | None = None,
        accept: str | None = None,
        limit: int = body.MAX_DOCUMENT_BYTES,
        seconds: float | None = None,
    ) -> tuple[bytearray, Mapping[str, str]]:
        """Body and headers; `stack` as in `body.read`."""
        total = min(_SMALL_SECONDS, self._total_seconds) if seconds is None else seconds
        timeout = aiohttp.ClientTimeout(total=total, connect=self._connect_seconds, sock_read=self._read_seconds)
        data = None if media is None else msgspec.json.encode(sends)
        response = await self._open(method, path, params=params, timeout=timeout, data=data, media=media, accept=accept)
        try:
            with unreachable(lambda: self.secrets, self.server):
                return await body.read(response, path, cap=limit, stack=stack), response.headers
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
        buffer: int = _BUFFER,
    ) -> aiohttp.ClientResponse:
        """Gzip by default: reports shrink to a fourteenth, and are decompressed in a thread, at 500 MB/s."""
        headers = {"Accept-Encoding": encoding}
        if media is not None:
            headers["Content-Type"] = media
        if accept is not None:
            headers["Accept"] = accept
        with unreachable(lambda: self.secrets, self.server):
            token = self._access.token if self._token is None else await self._token()
            if token:
                if token != self._sent[-1]:  # an answer to an earlier request may still contain the previous token
                    self._sent = (self._sent[-1], token)
                headers["Authorization"] = f"Bearer {token}"
            # The time-out does not include the time for getting the token.
            async with asyncio.timeout(self._connect_seconds + self._read_seconds):
                response = await self._session.request(
                    method,
                    self.server + path,
                    params=params,
                    data=data,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._proxy,
                    server_hostname=self._access.tls_server_name,
                    read_bufsize=buffer,
                )
        if not 200 <= response.status < 300:
            try:
                raise await refused(response, lambda: self.secrets)
            finally:
                response.close()
        return response

    @property
    def secrets(self) -> frozenset[str]:
        """The credentials that a server or a proxy can send back."""
        return self._secrets | set(self._sent)


def in_cluster_address(environ: Mapping[str, str]) -> str:
    """The API server's, as the kubelet names it to every container. Raises KeyError."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class _Uid(msgspec.Struct):
    uid: Annotated[str, msgspec.Meta(max_length=_LONGEST_UID)]


class _Identified(msgspec.Struct):
    metadata: _Uid


_identified = msgspec.json.Decoder(_Identified)
