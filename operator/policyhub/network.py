"""The stage at which a request without an answer failed, and its description: an admin's checks depend on it.

| stage    | the error, or one of its causes                                              |
|----------|------------------------------------------------------------------------------|
| proxy    | the proxy cannot be reached, or does not let the request through             |
| dns      | the name has no address                                                      |
| refused  | nothing listens at the address, or a firewall rejects the connection         |
| no-route | the network has no route to it                                               |
| tls      | the certificate is not trusted, or the server does not speak TLS             |
| timeout  | no answer in time: a firewall or security group that drops, or a slow server |
| closed   | the connection ended before an answer                                        |

Libraries wrap errors; botocore keeps the inner one in `kwargs`, aiohttp in `os_error`. Their classes are recognised by
name, so that neither library is imported. Pure: no I/O, no clock.
"""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

Stage = Literal["proxy", "dns", "refused", "no-route", "tls", "timeout", "closed"]

TEXT: dict[Stage, str] = {
    "proxy": "the proxy cannot be reached, or does not let the request through",
    "dns": "the name has no address (DNS)",
    "refused": "the connection was refused",
    "no-route": "there is no route to it",
    "tls": "TLS failed",
    "timeout": "no answer in time",
    "closed": "the connection was closed before an answer",
}
_PORTS = {"https": 443, "http": 80}
_DEPTH = 20
_BY_NAME: dict[str, Stage] = {
    "ProxyConnectionError": "proxy",
    "ClientProxyConnectionError": "proxy",
    "ClientHttpProxyError": "proxy",
    "ProxyError": "proxy",
    "NameResolutionError": "dns",
    "SSLError": "tls",
    "ConnectTimeoutError": "timeout",
    "ReadTimeoutError": "timeout",
    "ConnectionClosedError": "closed",
    "ServerDisconnectedError": "closed",
    "RemoteDisconnected": "closed",
}
_BY_NUMBER: dict[int, Stage] = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no-route",
    errno.ENETUNREACH: "no-route",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "closed",
    errno.EPIPE: "closed",
}


def stage(error: BaseException) -> Stage | None:
    """None if it is not a network error, or an unknown one."""
    return next((found for one in _causes(error) if (found := _stage(one)) is not None), None)


def url(error: BaseException) -> str:
    """The requested URL, if botocore's errors contain it; else empty."""
    return next((str(found) for one in _causes(error) if (found := _kwargs(one).get("endpoint_url"))), "")


def address(requested: str) -> str:
    """`host:port` of a URL; empty where it has no host."""
    try:
        parts = urlsplit(requested)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return ""
    host = parts.hostname or ""
    return host and (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def certificate(error: BaseException) -> str:
    """OpenSSL's reason why a certificate is not trusted; else empty."""
    return next((str(found) for one in _causes(error) if (found := getattr(one, "verify_message", ""))), "")


def explain(error: BaseException, requested: str) -> str:
    """`host:port: what happened`; empty if it is not a known network error."""
    found = stage(error)
    if found is None:
        return ""
    why = certificate(error) if found == "tls" else _proxy(error) if found == "proxy" else ""
    return f"{address(requested) or 'the server'}: {TEXT[found]}{f' ({why})' if why else ''}"


def _stage(error: BaseException) -> Stage | None:
    if (named := _BY_NAME.get(type(error).__name__)) is not None:
        return named
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError):
        if error.errno is not None:
            return _BY_NUMBER.get(error.errno)
        # Several addresses of one name that all failed: asyncio puts them into one text, without a number.
        return next((found for number, found in _BY_NUMBER.items() if f"[Errno {number}]" in str(error)), None)
    return None


def _proxy(error: BaseException) -> str:
    """Its host and port."""
    for one in _causes(error):
        if requested := _kwargs(one).get("proxy_url"):
            return address(str(requested))
        if type(one).__name__ == "ClientProxyConnectionError":
            return f"{getattr(one, 'host', '')}:{getattr(one, 'port', '')}"
    return ""


def _kwargs(error: BaseException) -> dict[str, object]:
    kept = getattr(error, "kwargs", None)
    return kept if isinstance(kept, dict) else {}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, the outermost first."""
    remaining, seen = [error], 0
    while remaining and seen < _DEPTH:
        one = remaining.pop(0)
        seen += 1
        yield one
        inner = (
            _kwargs(one).get("error"),
            getattr(one, "os_error", None),
            getattr(one, "certificate_error", None),
            one.__cause__,
            None if one.__suppress_context__ else one.__context__,
        )
        remaining += [each for each in inner if isinstance(each, BaseException)]
