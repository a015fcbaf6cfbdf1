"""The port of probes and metrics: its addresses and answers, and its behaviour under hostile clients."""

import asyncio
import contextlib
import gzip
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from policyhub.metrics.definitions import Metrics
from policyhub.metrics.server import LIMITS, Limits, serve

ROOT = Path(__file__).resolve().parents[3]
KUBELET_SECONDS = 5.0
"""The timeout of the chart's probes."""
PROBES = 20
"""Probes during a complete attack: the same number on slow and fast machines."""
RSS_MIB = 48
"""The memory that a flood may add: the connections' buffers, a few bodies, and the allocator's reserve."""


def a_registry(series: int = 10) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(series):
        metrics.violations.labels("prod-eu", "kyverno", f"some-policy-name-{number}", "HIGH").set(number)
    return registry


class Counting(Collector):
    """Counts its collections."""

    def __init__(self, *, fails: int = 0) -> None:
        self.asked = 0
        self._fails = fails

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        if self.asked <= self._fails:
            raise ValueError("not now")
        yield from ()


class Port:
    """A server, and the requests that it rejected."""

    def __init__(self, port: int, refused: Counter[str]) -> None:
        self.port = port
        self.refused = refused

    async def ask(self, request: bytes, *, source: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
        """Send a request; returns status, headers and body up to the close."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(request)
                await writer.drain()
            head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        line, *fields = head.decode().split("\r\n")
        return int(line.split(" ")[1]), dict(field.split(": ", 1) for field in fields), body

    async def get(self, path: str, *headers: str, source: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
        return await self.ask("\r\n".join((f"GET {path} HTTP/1.1", *headers, "", "")).encode(), source=source)

    async def refuses(self, reason: str, number: int = 1) -> None:
        for _ in range(1_000):
            if self.refused[reason] >= number:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.refused} after ten seconds")

    async def scraped(self, text: bytes = b"", *, source: str = "127.0.0.1", answer: int = 200) -> None:
        """Wait for a scrape with this status and text."""
        for _ in range(100):
            status, _, body = await self.get("/metrics", source=source)
            if status == answer and text in body:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("no such answer in ten seconds")


@contextlib.asynccontextmanager
async def served(
    registry: CollectorRegistry | None = None, *, not_ready_reason: str = "", limits: Limits = LIMITS
) -> AsyncIterator[Port]:
    refused: Counter[str] = Counter()

    def refuse(reason: str) -> None:
        refused[reason] += 1

    async with serve(
        host="127.0.0.1",
        port=0,
        registry=registry or CollectorRegistry(),
        not_ready_reason=lambda: not_ready_reason,
        on_refused=refuse,
        limits=limits,
    ) as port:
        yield Port(port, refused)


@contextlib.asynccontextmanager
async def attack(kind: str, port: Port, *, number: int, seconds: float) -> AsyncIterator[None]:
    """Run an attack during the block, which starts after all of the attacker's connections have been tried."""
    attacker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.component.control.readers", kind, str(port.port), str(number), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert attacker.stdout is not None
        assert await asyncio.wait_for(attacker.stdout.readline(), 60) == b"ready\n"
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            attacker.kill()
        await attacker.wait()


async def probe(port: Port) -> float:
    """Request /healthz as the kubelet does, several times a second; returns the seconds of each answer. A failure ends
    the test.
    """
    started = time.monotonic()
    status, _, body = await asyncio.wait_for(port.get("/healthz"), KUBELET_SECONDS)
    assert (status, body) == (200, b"ok\n")
    took = time.monotonic() - started
    await asyncio.sleep(0.1)
    return took


@contextlib.asynccontextmanager
async def a_kubelet(port: Port) -> AsyncIterator[None]:
    """Probe during the block."""

    async def probes() -> None:
        while True:
            await probe(port)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(probes())
        yield
        task.cancel()


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_without_a_host_both_address_families_answer(address: str) -> None:
    """A kubelet uses the Pod's address, which may be of either family."""
    if address == "[::1]" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with (
        serve(host=None, port=0, registry=CollectorRegistry(), not_ready_reason=lambda: "") as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}:{port}/healthz") as answer,
    ):
        assert answer.status == 200


async def test_a_host_restricts_the_address() -> None:
    """With a host, only that address listens."""
    async with serve(host="127.0.0.1", port=0, registry=CollectorRegistry(), not_ready_reason=lambda: "") as port:
        with socket.socket() as other:
            other.bind(("127.0.0.2", port))  # free


async def test_readyz_lists_missing_conditions() -> None:
    """/readyz is 503 with what is missing, and 200 if nothing is."""
    async with served(not_ready_reason="the lease") as port:
        assert (await port.get("/readyz"))[::2] == (503, b"the lease\n")
        assert (await port.get("/healthz"))[0] == 200
    async with served() as port:
        assert (await port.get("/readyz"))[::2] == (200, b"ok\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", 200, id="HTTP/1.0"),
        pytest.param(b"GET /healthz?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, id="a query"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n\r\n" * 500, 200, id="pipelined"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 404, id="another path"),
        pytest.param(b"GET /metrics/../healthz HTTP/1.1\r\n\r\n", 404, id="no path is resolved"),
        pytest.param(b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789", 405, id="another method"),
        pytest.param(b"hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"\r\n\r\n", 400, id="nothing"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n\xff", 400, id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param(b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400, id="as to a proxy"),
        pytest.param(b"GET /" + b"a" * 20_000, 431, id="a long path"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 16_400 + b"\r\n\r\n", 431, id="a long header"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n" + b"X: a\r\n" * 100_000, 431, id="many headers"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nAccept: " + b"a;q=1," * 2000 + b"\r\n\r\n", 200, id="many in Accept"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n" + b"Accept: a\r\n" * 1000 + b"\r\n", 200, id="Accept often"),
    ],
)
async def test_one_answer_per_connection(request_: bytes, status: int) -> None:
    """Whatever and however much the client sends."""
    async with served() as port:
        code, headers, body = await port.ask(request_)
        assert code == status
        assert int(headers["Content-Length"]) == len(body)
        assert headers["Connection"] == "close"


async def test_head_has_no_body() -> None:
    """HEAD has the headers of GET."""
    async with served() as port:
        status, headers, body = await port.ask(b"HEAD /healthz HTTP/1.1\r\n\r\n")
        assert (status, headers["Content-Length"], body) == (200, "3", b"")


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param("", TEXT, id="nothing"),
        pytest.param("*/*", TEXT, id="a browser"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2",
            OPENMETRICS,
            id="Prometheus",
        ),
        pytest.param("application/openmetrics-text", OPENMETRICS, id="any OpenMetrics"),
        pytest.param("application/openmetrics-text;version=0.0.1", TEXT, id="an old OpenMetrics"),
        pytest.param("application/openmetrics-text;q=0.0", TEXT, id="refused"),
        pytest.param('application/openmetrics-text;version=9.9"x', TEXT, id="nonsense"),
        pytest.param(f"{',' * 100}application/openmetrics-text", TEXT, id="too many values"),
        pytest.param(f"{';' * 2_000},application/openmetrics-text", TEXT, id="too long"),
    ],
)
@pytest.mark.parametrize("encoding", ["", "gzip", "br;q=1.0, gzip;q=0.8"])
async def test_metrics_formats(accept: str, kind: str, encoding: str) -> None:
    """OpenMetrics and gzip for clients that accept them; no header of the request is echoed."""
    async with served(a_registry()) as port:
        _, headers, body = await port.get("/metrics", f"Accept: {accept}", f"Accept-Encoding: {encoding}")
    assert headers["Content-Type"] == kind
    assert headers.get("Content-Encoding", "") == ("gzip" if encoding else "")
    text = (gzip.decompress(body) if encoding else body).decode()
    families: Iterable[Metric] = parse_openmetrics(text) if "openmetrics" in kind else parse_text(text)  # type: ignore[no-untyped-call]
    assert len(next(f for f in families if f.name == "policyhub_violations").samples) == 10


async def test_concurrent_scrapes_share_one_body() -> None:
    """Metrics are collected once per second for all clients, and once for each of two formats."""
    registry = CollectorRegistry()
    registry.register(counting := Counting())
    before = counting.asked
    async with served(registry) as port:
        encodings = ("gzip", "br") * 4
        asked = (
            port.get("/metrics", f"Accept-Encoding: {e}", source=f"127.0.0.{n}") for n, e in enumerate(encodings, 2)
        )
        answers = await asyncio.gather(*asked)
        assert {status for status, _, _ in answers} == {200}
        assert counting.asked - before == 1
        await port.get("/metrics", "Accept: application/openmetrics-text")
        assert counting.asked - before == 2


async def test_a_body_is_cached_for_a_second() -> None:
    """A scrape a second later has new values."""
    registry = CollectorRegistry()
    gauge = Gauge("some", "thing", registry=registry)
    async with served(registry) as port:
        assert b"some 0.0" in (await port.get("/metrics"))[2]
        gauge.set(7)
        await port.scraped(b"some 7.0")


async def test_a_failing_collector() -> None:
    """Metrics that cannot be encoded are a 500 for their client; probes and the next scrape work."""
    registry = CollectorRegistry()
    registry.register(Counting(fails=2))  # registering collects once, too
    async with served(registry) as port:
        assert (await port.get("/metrics"))[::2] == (500, b"the metrics cannot be encoded: ValueError\n")
        assert (await port.get("/healthz"))[0] == 200
        await port.scraped()


async def test_incomplete_requests_time_out() -> None:
    """A silent client, or one that sends a header byte by byte, is dropped after its time, not at its next byte."""
    async with served(limits=Limits(head_seconds=0.2)) as port:
        silent, silence = await asyncio.open_connection("127.0.0.1", port.port)
        _, slow = await asyncio.open_connection("127.0.0.1", port.port)
        for _ in range(200):
            if port.refused["slow_request"] == 2:
                break
            slow.write(b"a")
            await asyncio.sleep(0.05)
        assert port.refused == {"slow_request": 2}
        with pytest.raises(ConnectionResetError):
            await silent.read()
        silence.close()
        slow.close()


async def test_slow_readers_time_out() -> None:
    """An unread answer is dropped after its time, with the kernel's buffers."""
    async with served(a_registry(20_000), limits=Limits(stall_seconds=0.2)) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port.port))
            client.send(b"GET /metrics HTTP/1.1\r\n\r\n")
            await port.refuses("slow_reader")


async def test_concurrent_scrapes_are_limited() -> None:
    """One address has few scrapes at once, and all together a limited number: others get 503 at once, and probes are
    answered. A scrape that has not read for a while is dropped.
    """
    limits = Limits(scrapes=3, peer_scrapes=2, stalled_seconds=1.0)
    async with served(a_registry(20_000), limits=limits) as port, contextlib.AsyncExitStack() as stack:

        async def hang(source: str) -> None:
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.bind((source, 0))
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port.port))
            client.send(b"GET /metrics HTTP/1.1\r\n\r\n")

        await hang("127.0.0.2")
        await hang("127.0.0.2")
        status, headers, _ = await port.get("/metrics", source="127.0.0.2")
        assert (status, headers["Retry-After"]) == (503, "1")
        await hang("127.0.0.3")
        assert (await port.get("/metrics", source="127.0.0.3"))[0] == 503
        assert (await port.get("/healthz"))[0] == 200
        assert port.refused == {"scrapes": 2}
        await port.scraped(source="127.0.0.3")
        assert port.refused["slow_reader"] == 1


async def test_a_greedy_client_does_not_block_others() -> None:
    """If all places are taken, the address with the most loses one to an address with fewer."""
    limits = Limits(scrapes=4, peer_scrapes=2, stalled_seconds=60.0)
    async with served(a_registry(20_000), limits=limits) as port, contextlib.AsyncExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.bind((source, 0))
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port.port))
            client.send(b"GET /metrics HTTP/1.1\r\n\r\n")
        for source in ("127.0.0.2", "127.0.0.3"):
            await port.scraped(source=source, answer=503)
        assert (await port.get("/metrics", source="127.0.0.9"))[0] == 200


async def test_the_greediest_address_loses_its_oldest_connection() -> None:
    """Above the connection limit, only the address with the most connections loses one."""
    async with served(limits=Limits(connections=4)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port, local_addr=("127.0.0.2", 0))
        kept = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(10)]
        await port.refuses("connections", 7)
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
        kept[-1][1].write(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (await asyncio.wait_for(kept[-1][0].read(), 10)).startswith(b"HTTP/1.1 200")
        for _, other in (*kept, (reader, writer)):
            other.close()


async def test_closing_the_server_closes_its_connections() -> None:
    """The port is free again afterwards."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        await port.get("/healthz")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    with socket.create_server(("127.0.0.1", port.port)):
        pass


@pytest.mark.parametrize(
    ("kind", "number", "reason"),
    [
        pytest.param("non_readers", 950, "slow_reader", id="950 non-readers"),
        pytest.param("connections", 5_000, "connections", id="5,000 connections"),
        pytest.param("slowloris", 900, "connections", id="slowloris of 900"),
        pytest.param("scrapers", 300, "", id="scrapes without a pause"),
        pytest.param("wide_headers", 300, "", id="headers of 15,000 values"),
    ],
)
async def test_hostile_clients_affect_neither_memory_nor_probes(
    kind: str, number: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under each flood the kubelet gets every answer within its timeout, and the memory does not grow."""
    async with served(a_registry(5_000)) as port:
        await port.get("/metrics")  # one scrape's memory is allocated before
        before, cpu = rss_mib(), time.process_time()
        started = time.monotonic()
        async with a_kubelet(port), attack(kind, port, number=number, seconds=120.0):
            took = [await probe(port) for _ in range(PROBES)]
            grown = rss_mib() - before
            status, _, _ = await port.get("/metrics", source="127.0.0.9")
        share = (time.process_time() - cpu) / (time.monotonic() - started)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kind}: +{grown:.1f} MiB, {max(took):.3f} s at worst, {share:.0%} of a core, {dict(port.refused)}\n"
        )
    assert grown < RSS_MIB
    assert status in {200, 503}
    assert not reason or port.refused[reason]
