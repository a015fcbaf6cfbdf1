"""TLS contexts, name resolution and proxies of connections.

A kubeconfig from a Secret is not trusted: its host names must not resolve to a cloud's metadata service.
"""

import asyncio
import contextlib
import functools
import os
import socket
import ssl
from asyncio import sslproto
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

from aiohttp.abc import AbstractResolver, ResolveResult

from policyhub.kube import kubeconfig
from policyhub.kube.kubeconfig import Access, KubeconfigError

_TLS_READ_BYTES: Final = 2**14
"""Read buffer of a TLS connection, kept while the connection lives: one TLS record, which OpenSSL returns at a time.
asyncio's default of 256 KiB was three quarters of the memory of a cluster with 30 watches."""


_RESOLVER_THREADS: Final = 32
"""Names that are looked up at once, of all clusters. A name server that does not answer holds a thread for half a
minute, which no request waits for any more: none of these threads does anything else.
"""
_resolvers = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolver")
_Lookup = tuple[str, int, socket.AddressFamily]
_lookups: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Lookup, asyncio.Future[list[Any]]]]" = WeakKeyDictionary()
"""In progress: all attempts to reach one host wait for one thread."""


async def _look_up(lookup: _Lookup) -> list[Any]:
    """As socket.getaddrinfo. Raises OSError."""
    loop = asyncio.get_running_loop()
    running = _lookups.setdefault(loop, {})
    if lookup not in running:
        host, port, family = lookup
        ask = functools.partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        running[lookup] = loop.run_in_executor(_resolvers, ask)
        running[lookup].add_done_callback(lambda done: _finished(running, lookup, done))
    return await asyncio.shield(running[lookup])


def _finished(
    running: dict[_Lookup, "asyncio.Future[list[Any]]"], lookup: _Lookup, done: "asyncio.Future[Any]"
) -> None:
    del running[lookup]
    if not done.cancelled():
        done.exception()  # whoever asked may have given up


class Resolver(AbstractResolver):
    """For kubeconfigs from Secrets: rejects names that resolve to link-local addresses, as a metadata service has."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in await _look_up((host, port, family))
        ]
        allowed = [result for result in found if not kubeconfig.is_link_local(result["host"])]
        if not allowed:
            raise OSError(f"{host} leads to a link-local address")
        return allowed

    async def close(self) -> None:
        """Lookups in progress go on."""


def trust(access: Access) -> ssl.SSLContext:
    """The TLS context with CA and client certificate. Later TLS connections of the process read `_TLS_READ_BYTES` at a
    time. Raises KubeconfigError.

    Certificate and key never reach a file system: OpenSSL reads them from anonymous memory that is freed on return.
    """
    sslproto.SSLProtocol.max_size = (
        _TLS_READ_BYTES  # asyncio has no other way to say it: this is for all of the process
    )
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
        raise KubeconfigError(f"kubeconfig refused: its certificates or key cannot be read: {error}") from None
    return context


def proxy_for(access: Access) -> str | None:
    """The URL of the proxy: that of `access`, else HTTPS_PROXY, except for hosts in NO_PROXY.

    Called once for a connection. aiohttp would look for each request, in a thread (a sixteenth of the cost of a start
    with many clusters), and would read ~/.netrc, whose passwords must not be sent to clusters.
    """
    there = urlsplit(access.server)
    # Plain http goes to this machine only, and a proxy would see the token.
    if access.proxy is not None or there.scheme != "https" or proxy_bypass(there.hostname or ""):
        return access.proxy
    found = getproxies().get("https", "")
    if found and "://" not in found:  # as curl and botocore read it
        found = f"http://{found}"
    return found if urlsplit(found).scheme == "http" else None


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path from which OpenSSL can read `content`, without a file system."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
