"""The stage at which a request failed, from nested errors of the libraries."""

import asyncio
import errno
import socket
import ssl

import aiohttp
import aiohttp.abc
import pytest
from botocore import exceptions as boto
from urllib3.exceptions import NameResolutionError, NewConnectionError

from policyhub import network

URL = "https://sts.eu-west-1.amazonaws.com/"


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Chained as with `raise … from …`."""
    error.__cause__ = cause
    return error


def new_connection(cause: Exception) -> BaseException:
    return raised(NewConnectionError(None, f"Failed to establish a new connection: {cause}"), cause)  # type: ignore[arg-type]


def resolution() -> NameResolutionError:
    return NameResolutionError("sts", None, socket.gaierror(-2, "Name or service not known"))  # type: ignore[arg-type]


CASES: dict[str, tuple[BaseException, network.Stage | None]] = {
    "botocore: DNS": (boto.EndpointConnectionError(endpoint_url=URL, error=resolution()), "dns"),
    "botocore: refused": (
        boto.EndpointConnectionError(endpoint_url=URL, error=new_connection(ConnectionRefusedError(111, "refused"))),
        "refused",
    ),
    "botocore: no route": (
        boto.EndpointConnectionError(endpoint_url=URL, error=new_connection(OSError(errno.EHOSTUNREACH, "no route"))),
        "no-route",
    ),
    "botocore: connecting takes too long": (boto.ConnectTimeoutError(endpoint_url=URL, error=None), "timeout"),
    "botocore: the answer takes too long": (boto.ReadTimeoutError(endpoint_url=URL, error=None), "timeout"),
    "botocore: TLS": (boto.SSLError(endpoint_url=URL, error=ssl.SSLError(1, "certificate verify failed")), "tls"),
    "botocore: proxy": (boto.ProxyConnectionError(proxy_url="http://10.0.0.5:3128", error=OSError(111, "x")), "proxy"),
    "botocore: closed": (boto.ConnectionClosedError(endpoint_url=URL, error=None), "closed"),
    "no error of the network": (boto.NoCredentialsError(), None),
    "a file": (FileNotFoundError(errno.ENOENT, "no such file", "/token"), None),
    "several addresses": (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] …"), "refused"),
    "time-out": (TimeoutError(), "timeout"),
    "reset": (ConnectionResetError(errno.ECONNRESET, "reset"), "closed"),
}


@pytest.mark.parametrize(("error", "stage"), CASES.values(), ids=CASES.keys())
def test_the_stage_comes_from_the_innermost_error(error: BaseException, stage: network.Stage | None) -> None:
    """However the library wraps it; other errors have no stage."""
    assert network.stage(error) == stage
    output = network.explain(error, network.url(error) or URL)
    if stage is None:
        assert output == ""
    else:
        assert output.startswith("sts.eu-west-1.amazonaws.com:443: ")
        assert network.TEXT[stage] in output


def test_the_proxy_is_named_without_its_password() -> None:
    """An admin looks for host and port."""
    error = boto.ProxyConnectionError(proxy_url="http://user:secret@10.0.0.5:3128", error=OSError(111, "x"))
    output = network.explain(error, URL)
    assert "(10.0.0.5:3128)" in output
    assert "secret" not in output


def test_a_hidden_cause_is_ignored() -> None:
    """`raise … from None` means that the previous error is irrelevant."""
    error = ValueError("another matter")
    error.__context__, error.__suppress_context__ = TimeoutError(), False
    assert network.stage(error) == "timeout"
    error.__suppress_context__ = True
    assert network.stage(error) is None


def test_cyclic_causes_end() -> None:
    """A cycle of causes is visited once."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert network.stage(first) is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://sts.amazonaws.com/", "sts.amazonaws.com:443"),
        ("http://169.254.170.23/v1/credentials", "169.254.170.23:80"),
        ("https://[fd00:ec2::23]:8443/x", "[fd00:ec2::23]:8443"),
        ("https://user:secret@host:1", "host:1"),
        ("https://host:99999", ""),
        ("no url", ""),
    ],
)
def test_addresses(url: str, address: str) -> None:
    """Host and port, never the part before the `@`."""
    assert network.address(url) == address


class NoName(aiohttp.abc.AbstractResolver):
    """Resolves no name."""

    async def resolve(self, *_: object, **__: object) -> list[aiohttp.abc.ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def close(self) -> None:
        pass


async def stage_of(url: str, *, resolver: NoName | None = None) -> network.Stage | None:
    """The stage of aiohttp's error."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as session:
        with pytest.raises(aiohttp.ClientError) as raised_:
            await session.get(url)
    return network.stage(raised_.value)


async def test_aiohttps_own_errors() -> None:
    """As really raised: a name without an address, a closed port, a server without TLS."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    assert await stage_of("https://sts.example", resolver=NoName()) == "dns"
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        assert await stage_of(url) == "tls"
    assert await stage_of(url) == "refused"
