"""Names that a name server does not answer for: they hold threads, and delay nobody but their own clusters."""

import asyncio
import gzip
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from policyhub.kube import trust
from policyhub.kube.connection import Connection
from policyhub.kube.errors import Unreachable
from policyhub.kube.kubeconfig import Access
from policyhub.kube.trust import Resolver
from tests.component.kube import evil

THREADS = 6
"""Of the default executor of a Pod with two CPUs."""


class NameServer:
    """Does not answer for names that begin with `dead`, until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: Counter[str] = Counter()
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: str, *args: Any, **kwargs: Any) -> Any:
        self.asked[host] += 1
        if not host.startswith("dead"):
            return self._real(host, *args, **kwargs)
        self.released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.released.set()


def dead(number: int) -> Connection:
    return Connection(Access(server=f"https://dead-{number}.example.com", untrusted=True), connect_seconds=0.1)


async def given_up(connection: Connection) -> None:
    with pytest.raises(Unreachable):
        await connection.cluster_uid()


async def test_dead_names_delay_no_other_work(names: NameServer) -> None:
    """All requests have given up, and the lookups still hold threads: pages of a sound cluster are unpacked."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    page = gzip.compress(os.urandom(100_000), 1)  # more than is unpacked on the event loop
    connections = [dead(number) for number in range(THREADS + 1)]
    await asyncio.gather(*map(given_up, connections))
    async with evil.serve(evil.bomb("gzip", page)) as url, Connection(Access(server=url)) as sound:
        async with asyncio.timeout(5):
            await sound.get("/apis/x")
    names.released.set()
    for connection in connections:
        await connection.close()


async def test_one_host_holds_one_thread(names: NameServer) -> None:
    """However often it is tried, by one MonitoredCluster or by several: others are looked up meanwhile."""
    for _ in range(3):
        connections = [dead(1) for _ in range(trust._RESOLVER_THREADS)]
        await asyncio.gather(*map(given_up, connections))
        for connection in connections:
            await connection.close()
    assert names.asked["dead-1.example.com"] == 1
    async with asyncio.timeout(5):
        found = await Resolver().resolve("localhost", 443)
    assert {one["host"] for one in found} == {"127.0.0.1"}
    names.released.set()
    with pytest.raises(OSError, match="Temporary failure"):
        await Resolver().resolve("dead-1.example.com", 443)
    with pytest.raises(OSError, match="Temporary failure"):  # the last answer is not kept
        await Resolver().resolve("dead-1.example.com", 443)
    assert 2 <= names.asked["dead-1.example.com"] <= 3


async def test_whoever_gives_up_ends_no_other_lookup(names: NameServer) -> None:
    """Two wait for one name, and one is cancelled: the other one gets the answer."""
    first, second = (asyncio.create_task(Resolver().resolve("dead-2.example.com", 443)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0)
    names.released.set()
    with pytest.raises(OSError, match="Temporary failure"):
        await second
    assert first.cancelled()
