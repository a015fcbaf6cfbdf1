"""Whom a connection believes and who it is, and where a name may lead.

What a Secret names is not trusted: none of its names leads to where clouds hand out credentials.
"""

import contextlib
import os
import socket
import ssl
from asyncio import sslproto
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import ResolveResult

from policyhub.kube import kubeconfig
from policyhub.kube.kubeconfig import Access, KubeconfigError

_READ: Final = 2**14
"""Bytes that a TLS connection reads at once, into a buffer that it keeps while it lives: one record, which is what
OpenSSL gives out at a time. asyncio's 256 KiB were three quarters of what a cluster of 30 watches took."""


class Resolver(aiohttp.ThreadedResolver):
    """For what a Secret names: no name leads to where clouds hand out credentials."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        allowed = [result for result in found if not kubeconfig.is_link_local(result["host"])]
        if not allowed:
            raise OSError(f"{host} leads to a link-local address")
        return allowed


def trust(access: Access) -> ssl.SSLContext:
    """Whom to believe, and who we are. TLS connections made from then on read `_READ` bytes. Raises KubeconfigError.

    Certificate and key never reach a file system: OpenSSL reads them from anonymous memory that is gone on return.
    """
    sslproto.SSLProtocol.max_size = _READ  # asyncio has no other way to say it: this is for all of the process
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


def way(access: Access) -> str | None:
    """The proxy that leads there: the access's own, else that of HTTPS_PROXY, but for hosts in NO_PROXY.

    Asked once for a connection. aiohttp would ask for each request, in a thread (a sixteenth of what a start with many
    clusters costs), and read ~/.netrc as well, whose password is nothing for a cluster.
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
    """A path that OpenSSL can read, to bytes that no file system ever holds."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
