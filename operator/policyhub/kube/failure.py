"""Turns failed requests into Refused or Unreachable.

Of an error's body a limited prefix is read, for a limited time. No error contains a credential.
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

_MAX_ERROR_BYTES = 65_536
"""Of an error's body that are read: it contains one sentence."""
_ERROR_SECONDS = 10.0

Secrets = Callable[[], frozenset[str]]
"""Returns the credentials that a server or a proxy can echo. It is called late: a token is read during the request."""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    """The Status object of an API server's error."""

    reason: str = ""
    message: str = ""
    details: _Details | None = None


class _NotAStatus(Exception):
    """An error's body that is not a Status object."""


_status = msgspec.json.Decoder(_Status)


@contextlib.contextmanager
def unreachable(secrets: Secrets, server: str = "") -> Iterator[None]:
    """Turns all failures of a request to `server` without an answer into Unreachable. For network errors the message
    names the stage, with host and port.

    ValueError: a URL or header that aiohttp does not send; KubeconfigError and OSError: unreadable credentials. The
    library's error is not chained: its text contains the proxy's password.
    """
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError, KubeconfigError) as error:  # TimeoutError is an OSError
        known = network.explain(error, server)
        raise Unreachable(known or f"{type(error).__name__}: {error}", secrets=secrets()) from None


async def refused(response: aiohttp.ClientResponse, secrets: Secrets) -> Refused:
    """The error for an answer with an error status."""
    status = _Status()
    with contextlib.suppress(Unreachable, _NotAStatus), unreachable(secrets):
        async with asyncio.timeout(_ERROR_SECONDS):
            status = decoded(_status, await _read_prefix(response), _NotAStatus)
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


async def _read_prefix(response: aiohttp.ClientResponse) -> bytearray:
    """Of an error's body."""
    read = bytearray()
    while len(read) < _MAX_ERROR_BYTES and (chunk := await response.content.read(_MAX_ERROR_BYTES - len(read))):
        read += chunk
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    return body.unpacked_prefix(read, packing, _MAX_ERROR_BYTES)
