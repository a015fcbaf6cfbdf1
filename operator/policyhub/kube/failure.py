"""What a request that failed becomes: the server's own no, or why there is no usable answer.

Of a server's no a bounded beginning is read, for a bounded time. No error holds a credential.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import aiohttp
import msgspec

from policyhub import network
from policyhub.kube import body
from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.kubeconfig import KubeconfigError

_MAX_REFUSAL = 65_536
"""Bytes read of an error's body: it holds one sentence."""
_REFUSAL_SECONDS = 10.0

Secrets = Callable[[], frozenset[str]]
"""The credentials that a server or a proxy can send back, as they are now: a token is read while a request is made."""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    """What an API server says when it refuses."""

    reason: str = ""
    message: str = ""
    details: _Details | None = None


class _NoStatus(Exception):  # noqa: N818  (says what happened)
    """An error's body that is none of an API server."""


_status = msgspec.json.Decoder(_Status)


@contextlib.contextmanager
def unreachable(secrets: Secrets, server: str = "") -> Iterator[None]:
    """Every way in which a request to `server` fails without an answer; of the network's the stage is named, with host
    and port.

    ValueError: a URL or header that aiohttp will not send; KubeconfigError and OSError: credentials unreadable. The
    library's errors are not kept beside ours: their texts hold the proxy's password.
    """
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError, KubeconfigError) as error:  # TimeoutError is an OSError
        known = network.explain(error, server)
        raise Unreachable(known or f"{type(error).__name__}: {error}", secrets=secrets()) from None


async def refused(response: aiohttp.ClientResponse, secrets: Secrets) -> Refused:
    """What an answer that says no becomes."""
    status = _Status()
    with contextlib.suppress(Unreachable, _NoStatus), unreachable(secrets):
        async with asyncio.timeout(_REFUSAL_SECONDS):
            status = decoded(_status, await _beginning(response), _NoStatus)
    retry_after = status.details.retry_after_seconds if status.details else None
    if (header := response.headers.get("Retry-After", "")[:20]).isdecimal():  # the other form, a date, is not sent
        retry_after = float(header)
    return Refused(
        response.status,
        status.reason or response.reason or "Unknown",
        status.message,
        retry_after=retry_after,
        secrets=secrets(),
    )


async def _beginning(response: aiohttp.ClientResponse) -> bytearray:
    """Of an error's body."""
    read = bytearray()
    while len(read) < _MAX_REFUSAL and (chunk := await response.content.read(_MAX_REFUSAL - len(read))):
        read += chunk
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    return body.beginning(read, packing, _MAX_REFUSAL)
