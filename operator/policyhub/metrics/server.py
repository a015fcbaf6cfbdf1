"""/metrics, /healthz and /readyz, served by the operator's own event loop: a blocked loop fails its probe.

Clients may be hostile, but the kubelet must get its answer. So this is not a general server: it reads one request for
one of three paths from a connection, answers it and closes. It ignores data after the request. Limits (`Limits`):

| a client that                            | is treated like this                                                      |
|------------------------------------------|---------------------------------------------------------------------------|
| sends nothing, or sends slowly           | dropped after head_seconds                                                |
| sends more than head_bytes of headers    | 431                                                                       |
| requests /metrics and does not read      | dropped after stall_seconds, or earlier if others need the slot           |
| reads slowly                             | dropped after write_seconds                                               |
| requests /metrics during `scrapes`       | 503, unless one of these has not read for a second; else the oldest       |
|   others, or during `peer_scrapes` of    | scrape of the address with the most is dropped for an address with fewer  |
|   its own address                        |                                                                           |
| exceeds `connections`                    | the oldest connection of the address with the most is dropped             |
| exceeds `accepts` in pause_seconds       | waits in the kernel's queue, while the loop does other work               |

Memory: the requests of one second share one body (`exposition`); the kernel buffers at most send_bytes for a
connection. If a request arrives together with its connection, as a probe does, it is answered before other connections
are dropped to make room.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import IntEnum

from prometheus_client import CollectorRegistry

from policyhub.metrics.exposition import Exposition, Format


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for clients of the port."""

    connections: int = 128
    """At once: the kubelet and a few Prometheus servers need five."""
    scrapes: int = 16
    peer_scrapes: int = 4
    """From one address."""
    backlog: int = 512
    """Connections that wait in the kernel: those of 0.3 seconds."""
    accepts: int = 16
    pause_seconds: float = 0.01
    """1,600 connections a second cost about a seventh of a core; the kubelet opens one every few seconds."""
    head_seconds: float = 5.0
    head_bytes: int = 16_384
    """Prometheus sends 500 bytes; a mesh may add certificates and tokens."""
    stall_seconds: float = 10.0
    write_seconds: float = 60.0
    """The longest scrape time-out that makes sense."""
    stalled_seconds: float = 1.0
    """A scrape that has not read for so long gives way to others."""
    send_bytes: int = 65_536
    receive_bytes: int = 16_384


LIMITS = Limits()
_CHUNK = 16_384
_LINGER_READS = 4
"""After the answer, until the client closes: so much more of its body is thrown away."""
_SWEEP_SECONDS = 0.5
_ABORT = struct.pack("ii", 1, 0)
_METHODS = frozenset({"GET", "HEAD"})
_TEXT = "Content-Type: text/plain; charset=utf-8\r\n"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class State(IntEnum):
    """The state of a connection. If one must be dropped, the greatest state goes first."""

    ANSWERING = 0
    """/metrics is being encoded, or the kernel takes no more of the answer for now."""
    READING = 1
    """The request is not complete yet."""
    ANSWERED = 2
    """The kernel has the complete answer. The connection stays, and counts, until the client closes it."""


@contextlib.asynccontextmanager
async def serve(
    *,
    host: str | None,
    port: int,
    registry: CollectorRegistry,
    not_ready_reason: Callable[[], str],
    on_refused: Callable[[str], None] = lambda _: None,
    limits: Limits = LIMITS,
) -> AsyncIterator[int]:
    """Serve until the block is left; yields the port. Without a host it listens on all IPv4 and IPv6 addresses: a Pod
    of an IPv6 cluster has only IPv6. `not_ready_reason` returns why the operator is not ready, empty if it is.
    `on_refused` gets the reason when a connection is dropped or refused.

    Raises OSError if the port is not available.
    """
    exposition = Exposition(registry)
    with everywhere(port) if host is None else _at(host, port) as listener:
        server = _Server(listener, exposition, not_ready_reason, on_refused, limits)
        try:
            yield listener.getsockname()[1]
        finally:
            server.close()
            exposition.close()


def everywhere(port: int) -> socket.socket:
    """Listens on every address of both families, or of IPv4 only if there is no IPv6. Raises OSError."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=LIMITS.backlog)
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # these two: IPv6 is switched off
                raise
    return socket.create_server(("", port), backlog=LIMITS.backlog)


def _at(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family, backlog=LIMITS.backlog)


class _Server:
    """The listening socket and all connections."""

    def __init__(
        self,
        listener: socket.socket,
        exposition: Exposition,
        not_ready_reason: Callable[[], str],
        on_refused: Callable[[str], None],
        limits: Limits,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.exposition = exposition
        self.not_ready_reason = not_ready_reason
        self.on_refused = on_refused
        self.limits = limits
        self.connections: dict[_Connection, None] = {}
        """In the order of opening."""
        self.scrapes: dict[_Connection, None] = {}
        self._listener = listener
        listener.setblocking(False)
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.send_bytes
        )  # accepted sockets inherit both
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.limits.receive_bytes)
        self._listen()
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
        self._pause: asyncio.TimerHandle | None = None

    def close(self) -> None:
        self.loop.remove_reader(self._listener)
        self._timer.cancel()
        if self._pause is not None:
            self._pause.cancel()
        for connection in list(self.connections):
            connection.close(abort=False)

    def _listen(self) -> None:
        self.loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        wait = self.limits.pause_seconds
        for _ in range(self.limits.accepts):
            try:
                client, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError:  # no descriptor or memory is left: there may be some in a second
                wait = 1.0
                break
            client.setblocking(False)
            connection = _Connection(self, client, address[0])
            connection.readable()
            self._make_room(connection)
        self.loop.remove_reader(self._listener)
        self._pause = self.loop.call_later(wait, self._listen)

    def _make_room(self, newcomer: "_Connection") -> None:
        if len(self.connections) <= self.limits.connections:
            return
        peers = Counter(connection.peer for connection in self.connections)
        others = (connection for connection in self.connections if connection is not newcomer)
        victim = max(others, key=lambda other: (peers[other.peer], other.state))  # the first of equals: the oldest
        self.drop(victim, "connections")

    def drop(self, connection: "_Connection", reason: str) -> None:
        """Close a connection. It counts as refused, unless it is an answered probe that only the client must close."""
        done = connection.state is State.ANSWERED and connection not in self.scrapes
        if not done:
            self.on_refused(reason)
        connection.close(abort=not done)

    def may_scrape(self, newcomer: "_Connection") -> bool:
        """Whether the newcomer gets a slot for a scrape. A scrape that does not read is dropped for it, or one of an
        address with more scrapes: otherwise a few busy clients could keep Prometheus out.
        """
        rivals = [other for other in self.scrapes if other.peer == newcomer.peer]
        if len(rivals) < self.limits.peer_scrapes:
            if len(self.scrapes) < self.limits.scrapes:
                return True
            rivals = list(self.scrapes)
        now = self.loop.time()
        stalled = next((other for other in rivals if other.stalled(now, self.limits.stalled_seconds)), None)
        if stalled is not None:
            self.drop(stalled, "slow_reader")
            return True
        peers = Counter(other.peer for other in rivals)
        greediest = max(rivals, key=lambda other: peers[other.peer])  # the first of equals: the oldest
        if peers[greediest.peer] <= peers[newcomer.peer] + 1:
            return False
        self.drop(greediest, "scrapes")
        return True

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            if connection.state is State.READING:
                if now - connection.opened > self.limits.head_seconds:
                    self.drop(connection, "slow_request")
            elif (
                connection.stalled(now, self.limits.stall_seconds)
                or now - connection.opened > self.limits.write_seconds
            ):
                self.drop(connection, "slow_reader")
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)


class _Connection:
    """One request and its answer."""

    def __init__(self, server: _Server, client: socket.socket, peer: str) -> None:
        self.peer = peer
        self.state = State.READING
        self.opened = server.loop.time()
        self._server = server
        self._client = client
        self._head = bytearray()
        self._out: deque[memoryview] = deque()
        self._moved = self.opened
        """When the kernel last accepted data."""
        self._reads = _LINGER_READS
        self._writing = False
        server.connections[self] = None
        server.loop.add_reader(client, self.readable)

    def stalled(self, now: float, seconds: float) -> bool:
        """Whether there is an answer, and the client has read nothing of it for so long."""
        return (bool(self._out) or self.state is State.ANSWERED) and now - self._moved > seconds

    def close(self, *, abort: bool) -> None:
        """`abort`: discard the data that the kernel still holds."""
        server = self._server
        if self not in server.connections:
            return
        del server.connections[self]
        server.scrapes.pop(self, None)
        server.loop.remove_reader(self._client)
        server.loop.remove_writer(self._client)
        if abort:
            with contextlib.suppress(OSError):
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._client.close()
        self._out.clear()
        self._head.clear()

    def readable(self) -> None:
        try:
            data = self._client.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # it has closed, or shut down one half: before a complete request, or after the answer
            self.close(abort=False)
        elif self.state is State.ANSWERED:
            self._reads -= 1
            if not self._reads:
                self.close(abort=True)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        start = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(b"\r\n\r\n", start)
        if end < 0 and len(self._head) < self._server.limits.head_bytes:
            return
        self.state = State.ANSWERING
        self._server.loop.remove_reader(self._client)
        if end < 0 or end > self._server.limits.head_bytes:
            self._refuse(431)
        else:
            self._request(self._head[:end].decode("latin-1"))
        self._head.clear()

    def _request(self, head: str) -> None:
        line, *fields = head.split("\r\n")
        method, _, rest = line.partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not target.startswith("/"):
            self._refuse(400)
            return
        only_head = method == "HEAD"
        path = target.partition("?")[0]
        if path not in {"/metrics", "/healthz", "/readyz"}:
            self._answer(404, _TEXT, b"not found\n", only_head=only_head)
        elif method not in _METHODS:
            self._answer(405, f"{_TEXT}Allow: GET, HEAD\r\n", b"GET or HEAD\n")
        elif path == "/metrics":
            self._scrape(fields, only_head=only_head)
        else:
            missing = self._server.not_ready_reason() if path == "/readyz" else ""
            self._answer(503 if missing else 200, _TEXT, f"{missing or 'ok'}\n".encode(), only_head=only_head)

    def _refuse(self, status: int) -> None:
        self._server.on_refused("malformed")
        self._answer(status, _TEXT, f"{_REASONS[status]}\n".encode())

    def _scrape(self, fields: list[str], *, only_head: bool) -> None:
        server = self._server
        if not server.may_scrape(self):
            server.on_refused("scrapes")
            self._answer(503, f"{_TEXT}Retry-After: 1\r\n", b"too many scrapes at once\n", only_head=only_head)
            return
        server.scrapes[self] = None
        form = Format.accepted(accept=_header(fields, "accept"), encoding=_header(fields, "accept-encoding"))

        def encoded(task: asyncio.Task[bytes]) -> None:
            if task.cancelled():
                return
            if task.exception() is not None:
                text = f"the metrics cannot be encoded: {type(task.exception()).__name__}\n"
                self._answer(500, _TEXT, text.encode(), only_head=only_head)
            else:
                self._answer(200, form.headers, task.result(), only_head=only_head)

        body = server.exposition.body(form)
        if body.done():
            encoded(body)
        else:
            body.add_done_callback(encoded)

    def _answer(self, status: int, headers: str, body: bytes, *, only_head: bool = False) -> None:
        if self not in self._server.connections:
            return
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}Content-Length: {len(body)}\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        self._moved = self._server.loop.time()
        self._out.append(memoryview(head.encode()))
        if body and not only_head:
            self._out.append(memoryview(body))
        self._write()

    def _write(self) -> None:
        loop = self._server.loop
        try:
            while self._out:
                sent = self._client.send(self._out[0])
                self._moved = loop.time()
                if sent == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][sent:]
            self._client.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            if not self._writing:
                self._writing = True
                loop.add_writer(self._client, self._write)
            return
        except OSError:  # the client is gone
            self.close(abort=True)
            return
        loop.remove_writer(self._client)
        self.state = State.ANSWERED
        loop.add_reader(self._client, self.readable)


def _header(fields: list[str], name: str) -> str:
    """All headers with that name, joined by commas."""
    pairs = (field.partition(":") for field in fields)
    return ",".join(value.strip() for key, _, value in pairs if key.lower() == name)
