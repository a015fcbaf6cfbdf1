"""The lease over real sockets, with times a twentieth of the real ones; and its deadline in a thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from policyhub.kube.connection import Connection, Refused
from policyhub.kube.kubeconfig import Access
from policyhub.kube.lease import Lease, Timing
from tests.component.kube.apiserver import Answer, ApiServer, _answer, refusal
from tests.unit.lease.virtual import PATH, Server

TIMING = Timing(duration=1, margin=0.05, renew=0.1, retry=0.05, request=0.15, poll=0.05)
CALL = 0.5


class LeaseServer:
    """An API server of one Lease. It can stall, and give other answers."""

    def __init__(self) -> None:
        self.lease = Server()
        self.instead: Answer | None = None
        self.stalled = asyncio.Event()
        self.stalled.set()  # set: it answers

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await self.stalled.wait()
        if self.instead is not None:
            return await _answer(request, self.instead)
        try:
            match request.method:
                case "GET":
                    body = self.lease.get()
                case "POST":
                    body = self.lease.post(await request.json())
                case _:
                    assert request.content_type == "application/merge-patch+json"
                    body = self.lease.patch(await request.json())
        except Refused as error:
            return await _answer(request, refusal(error.status, error.reason))
        return web.Response(body=body, content_type="application/json")


@pytest.fixture
async def server() -> AsyncIterator[tuple[ApiServer, LeaseServer]]:
    leases = LeaseServer()
    api = ApiServer()
    api.handlers = {PATH: leases.answer, f"{PATH}/policyhub": leases.answer}
    async with api.serve():
        yield api, leases
        leases.stalled.set()


def replica(connection: Connection, name: str) -> Lease:
    return Lease(
        connection,
        namespaced_name="security/policyhub",
        identity=name,
        clock=time.monotonic,
        wall_clock=lambda: datetime.now(UTC),
        timing=TIMING,
    )


async def test_a_stalled_server_stops_the_holder_before_another_starts(server: tuple[ApiServer, LeaseServer]) -> None:
    """While the API server does not answer, the holder stops permitting calls, then ends; only when the server answers
    again does another take the lease.
    """
    api, leases = server
    async with Connection(Access(server=api.url)) as one, Connection(Access(server=api.url)) as two:
        first, second = replica(one, "a"), replica(two, "b")
        await first.acquire()
        keeping = asyncio.create_task(first.keep_renewed())
        taking = asyncio.create_task(second.acquire())
        await asyncio.sleep(3 * TIMING.duration)
        assert first.permits(CALL)
        leases.stalled.clear()
        last_permitted = time.monotonic()
        while not keeping.done():
            if first.permits(CALL):
                last_permitted = time.monotonic()
            await asyncio.sleep(0.005)
        ended = time.monotonic()
        assert first.lost.startswith("not renewed in time: no answer within")
        leases.stalled.set()
        await taking
        assert last_permitted + CALL < ended + TIMING.request
        assert second.permits(CALL)
        assert leases.lease.spec["holderIdentity"] == "b"
        assert first.remaining() == 0


async def test_of_two_simultaneous_starts_one_gets_the_lease(server: tuple[ApiServer, LeaseServer]) -> None:
    """The other gets 409 and waits, without a log line."""
    api, leases = server
    async with Connection(Access(server=api.url)) as one, Connection(Access(server=api.url)) as two:
        replicas = [replica(one, "a"), replica(two, "b")]
        with capture_logs() as logs:
            taking = [asyncio.create_task(lease.acquire()) for lease in replicas]
            await asyncio.wait(taking, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(4 * TIMING.poll)
        assert sorted(lease.permits(0) for lease in replicas) == [False, True]
        assert {line["log_level"] for line in logs} == {"info"}
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
        assert leases.lease.spec["leaseTransitions"] == 0


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (refusal(403, "Forbidden"), "lease_forbidden"),
        (refusal(500, "InternalError"), "lease_error"),
        (Answer(200, b'{"kind": "Lease"}'), "lease_error"),
        (Answer(0), "lease_error"),
    ],
    ids=["403", "500", "no lease", "cut"],
)
async def test_an_unreadable_lease(server: tuple[ApiServer, LeaseServer], answer: Answer, event: str) -> None:
    """Whatever the server answers, it is reported once and retried, and nothing starts meanwhile."""
    api, leases = server
    leases.instead = answer
    async with Connection(Access(server=api.url)) as one:
        lease = replica(one, "a")
        with capture_logs() as logs:
            taking = asyncio.create_task(lease.acquire())
            await asyncio.sleep(6 * TIMING.poll)
            assert not taking.done()
            assert not lease.observed
            leases.instead = None
            await taking
        assert [line["event"] for line in logs] == [event, "lease_acquired"]
        assert lease.permits(CALL)


async def test_the_deadline_works_while_the_loop_hangs(server: tuple[ApiServer, LeaseServer]) -> None:
    """A blocked event loop cannot renew or notice the deadline: the thread does."""
    api, _ = server
    ended = threading.Event()
    async with Connection(Access(server=api.url)) as one:
        lease = replica(one, "a")
        await lease.acquire()
        lease.call_when_lost(ended.set)
        assert ended.wait(5), "the loop stands still here"
    assert lease.remaining() == 0
    assert lease.lost == "not renewed in time: the event loop was busy"


async def test_a_release_is_not_a_loss(server: tuple[ApiServer, LeaseServer]) -> None:
    """An orderly release ends nothing: the process completes its work."""
    api, leases = server
    ended = threading.Event()
    async with Connection(Access(server=api.url)) as one:
        lease = replica(one, "a")
        await lease.acquire()
        lease.call_when_lost(ended.set)
        await lease.release()
        await asyncio.sleep(1.5 * TIMING.duration)
    assert not ended.is_set()
    assert leases.lease.spec["holderIdentity"] == ""


async def test_a_lost_lease_ends_the_holder_at_once(server: tuple[ApiServer, LeaseServer]) -> None:
    """A holder that reads another's name ends at its next renewal, not at its deadline."""
    api, leases = server
    ended = threading.Event()
    async with Connection(Access(server=api.url)) as one:
        lease = replica(one, "a")
        await lease.acquire()
        lease.call_when_lost(ended.set)
        leases.lease.write({"holderIdentity": "b"})
        await lease.keep_renewed()
        await asyncio.to_thread(ended.wait, 5)
    assert lease.lost == "b has it"
