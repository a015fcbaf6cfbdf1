"""A malicious server in place of an API server: raw HTTP, so that answers may be wrong, huge or endless.

Each attack is a function of path and query that writes arbitrary bytes. The server runs beside the test; its cost is
measured in a separate process (`victim`).
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

Write = Callable[[bytes], Awaitable[None]]
Attack = Callable[[str, dict[str, list[str]], Write], Awaitable[None]]

KINDS = 5_000
UID = b'{"metadata":{"name":"kube-system","uid":"evil"}}'


@asynccontextmanager
async def serve(attack: Attack) -> AsyncIterator[str]:
    """The URL of the server."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                url = urlsplit(head.split(b" ", 2)[1].decode())
                await attack(url.path, parse_qs(url.query), write)
        writer.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=2_000)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answer(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def packed(megabytes: int, form: int = zlib.MAX_WBITS | 16, beginning: bytes = b'{"a":"') -> bytes:
    """Compressed data that expands to this size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, form)
    block = b"x" * 2**20
    return packer.compress(beginning) + b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


def always(body: bytes, *headers: str) -> Attack:
    """The same answer to every request."""

    async def attack(_path: str, _query: dict[str, list[str]], write: Write) -> None:
        await write(answer(body, *headers))

    return attack


def bomb(encoding: str, body: bytes) -> Attack:
    return always(body, f"Content-Encoding: {encoding}")


async def endless_body(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    await write(CHUNKED + chunk(b'{"metadata":{"resourceVersion":"1"},"items":["'))
    while True:
        await write(chunk(b"x" * 2**18))


async def endless_headers(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while True:
        number += 1
        await write(b"".join(b"X-%d-%d: %b\r\n" % (number, n, b"y" * 1_000) for n in range(100)))


async def endless_continue(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    while True:
        await write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)


async def drip(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    await write(CHUNKED)
    while True:
        await write(chunk(b" "))
        await asyncio.sleep(0.01)


def listing(*, items: Callable[[int], list[dict[str, object]]], token: Callable[[int], str]) -> Attack:
    """Endless list pages."""
    pages = 0

    async def attack(path: str, _query: dict[str, list[str]], write: Write) -> None:
        nonlocal pages
        pages += 1
        metadata = {"resourceVersion": "5", "continue": token(pages)}
        await write(answer(json.dumps({"metadata": metadata, "items": items(pages)}).encode()))

    return attack


def kinds(watch: Attack) -> Attack:
    """This many kinds of constraints, each with an empty list, and an arbitrary watch."""
    entries = [
        {"name": f"kind{n:04}", "kind": f"Kind{n:04}", "namespaced": False, "verbs": ["list", "watch", "create"]}
        for n in range(KINDS)
    ]
    group = answer(b'{"versions":[{"version":"v1beta1"}]}')
    version = answer(gzip.compress(json.dumps({"resources": entries}).encode()), "Content-Encoding: gzip")
    empty = answer(b'{"metadata":{"resourceVersion":"5"},"items":[]}')

    async def attack(path: str, query: dict[str, list[str]], write: Write) -> None:
        if path == "/api/v1/namespaces/kube-system":
            await write(answer(UID))
        elif path.count("/") == 2:
            await write(group)
        elif path.count("/") == 3:
            await write(version)
        elif "watch" in query:
            await watch(path, query, write)
        else:
            await write(empty)

    return attack


async def flood(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    """Endless events."""
    await write(CHUNKED)
    event = {"type": "MODIFIED", "object": {"metadata": {"name": "x", "resourceVersion": "6"}, "a": "y" * 500}}
    lines = (json.dumps(event).encode() + b"\n") * 400
    while True:
        await write(chunk(lines))


async def halves(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    """A line that never ends, on each watch."""
    await write(CHUNKED)
    for _ in range(28):
        await write(chunk(b"x" * 2**18))  # 7 MiB: below the limit of a line
    await asyncio.Event().wait()


async def giant_line(_path: str, _query: dict[str, list[str]], write: Write) -> None:
    await write(CHUNKED)
    while True:
        await write(chunk(b"x" * 2**18))
