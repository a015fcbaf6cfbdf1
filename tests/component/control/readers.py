"""Hostile clients of the operator's port: `python -m tests.component.control.readers KIND PORT NUMBER SECONDS`.

Each prints `ready` after trying all its connections, continues for SECONDS, and ends with its parent.
"""

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def _connected(port: int, number: int, *, room: int = 4096) -> Iterator[socket.socket]:
    """Connect from four addresses in turn; the kernel buffers `room` bytes of an unread answer."""
    for turn in range(number):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.settimeout(5)
        client.bind((f"127.0.0.{2 + turn % 4}", 0))
        with contextlib.suppress(OSError):
            client.connect(("127.0.0.1", port))
        yield client


def _send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.send(data)


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def non_readers(port: int, number: int, end: float) -> None:
    """Request /metrics and never read."""
    kept = []
    for client in _connected(port, number):
        _send(client, SCRAPE)
        kept.append(client)
    _ready()
    time.sleep(max(0.0, end - time.monotonic()))  # held open until the end; nothing to wait for


def connections(port: int, number: int, end: float) -> None:
    """Open silent connections, at most 500 at once."""
    kept: list[socket.socket] = []
    for client in _connected(port, number):
        kept.append(client)
        if len(kept) > 500:
            kept.pop(0).close()
    _ready()
    time.sleep(max(0.0, end - time.monotonic()))  # held open until the end; nothing to wait for


def slowloris(port: int, number: int, end: float) -> None:
    """Send an endless header, byte by byte."""
    kept = list(_connected(port, number))
    for client in kept:
        _send(client, b"GET /healthz HTTP/1.1\r\nX: ")
    _ready()
    while time.monotonic() < end:
        for client in kept:
            _send(client, b"a")
        time.sleep(0.1)  # the pace of the attack


def scrapers(port: int, number: int, end: float) -> None:
    """Scrape as fast as possible, with varying headers."""
    for turn in count():
        if turn == number:
            _ready()
        if turn >= number and time.monotonic() > end:
            return
        for client in _connected(port, 1, room=1 << 20):
            _send(client, SCRAPE.replace(b"Host: x", b"Accept: text/plain;version=1.%d.0;q=0.5" % turn))
            with contextlib.suppress(OSError):
                while client.recv(65_536):
                    pass
            client.close()


def wide_headers(port: int, number: int, end: float) -> None:
    """Scrape with as many header values as possible, and never read."""
    kept: list[socket.socket] = []
    for turn in count():
        if turn == number:
            _ready()
        if turn >= number and time.monotonic() > end:
            return
        for client in _connected(port, 1):
            _send(client, SCRAPE.replace(b"Host: x", b"Accept: " + b"," * 15_000))
            kept.append(client)
        if len(kept) > 60:
            kept.pop(0).close()


KINDS: dict[str, Callable[[int, int, float], None]] = {
    "non_readers": non_readers,
    "connections": connections,
    "slowloris": slowloris,
    "scrapers": scrapers,
    "wide_headers": wide_headers,
}


if __name__ == "__main__":
    kind, port, number, seconds = sys.argv[1:]
    KINDS[kind](int(port), int(number), time.monotonic() + float(seconds))
