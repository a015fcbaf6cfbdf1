"""The leader lease: what a replica does with the record that it reads, in virtual time."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from policyhub.kube.connection import Refused, Unreachable
from policyhub.kube.lease import Lease, Timing, name_of
from policyhub.securityhub.credentials import CALL_SECONDS
from tests.unit.lease.virtual import Server, Wire, now, run, wall_clock

TIMING = Timing()
HOURS = 3600.0


def replica(server: Server, name: str, *, clock: Callable[[], float] = now, wire: Wire | None = None) -> Lease:
    return Lease(
        wire or Wire(server), namespaced_name="security/policyhub", identity=name, clock=clock, wall_clock=wall_clock
    )


def test_the_numbers_fit() -> None:
    """After one lost renewal a call can still be sent; a killed holder is replaced with 10 of 30 seconds to spare."""
    after_one_lost = TIMING.duration - TIMING.margin - TIMING.renew - TIMING.request - TIMING.retry
    assert after_one_lost > CALL_SECONDS
    assert TIMING.duration + TIMING.poll <= 30 - 10


# -- standing by ------------------------------------------------------------------------------------------------------


def spec(holder: str | None, *, lasts: int | None = 20) -> dict[str, object]:
    return {"holderIdentity": holder, "leaseDurationSeconds": lasts, "leaseTransitions": 4, "acquireTime": "then"}


@pytest.mark.parametrize(
    ("found", "seconds", "transitions"),
    [
        pytest.param(None, 0, 0, id="not there"),
        pytest.param(spec(""), 0, 5, id="nobody's"),
        pytest.param(spec(None), 0, 5, id="never had"),
        pytest.param(spec("a"), 0, 4, id="its own"),
        pytest.param(spec("b"), 20, 5, id="another's"),
        pytest.param(spec("b", lasts=7), 7, 5, id="another's, for as long as it says"),
        pytest.param(spec("b", lasts=None), 18, 5, id="another's, which says nothing"),
    ],
)
def test_when_it_is_acquired(found: dict[str, object] | None, seconds: float, transitions: int) -> None:
    """A free lease is acquired at once; another's, when it was seen unchanged for its duration."""
    server = Server()
    if found is not None:
        server.write(found)

    async def scene() -> None:
        lease = replica(server, "a")
        await lease.acquire()
        assert now() == pytest.approx(seconds, abs=0.01)
        assert lease.remaining() == pytest.approx(17)
        assert server.spec["holderIdentity"] == "a"
        assert server.spec["leaseDurationSeconds"] == 18
        assert server.spec["leaseTransitions"] == transitions
        assert server.spec["renewTime"] == "2026-01-01T00:00:00.000000Z"
        assert (server.spec["acquireTime"] == "then") == (found is not None and found["holderIdentity"] == "a")

    run(scene())


def test_a_standby_waits_while_it_is_renewed() -> None:
    """However long it takes and whatever the wall clock says: while the holder renews it, nobody else acquires it."""
    server = Server()

    async def scene() -> None:
        holder, other = replica(server, "a"), replica(server, "b")
        await holder.acquire()
        keeping = asyncio.create_task(holder.keep_renewed())
        taking = asyncio.create_task(other.acquire())
        await asyncio.sleep(10 * HOURS)
        assert holder.permits(CALL_SECONDS)
        assert not taking.done()
        assert (other.holder, other.observed, other.remaining()) == ("a", True, 0)
        killed = now()
        keeping.cancel()
        await taking
        assert TIMING.duration - TIMING.renew < now() - killed <= TIMING.duration + TIMING.poll

    run(scene())


def test_a_deleted_lease_counts_as_held() -> None:
    """A deleted Lease is not acquired before its holder would have noticed; the holder creates it again."""
    server = Server()

    async def scene() -> None:
        holder, other = replica(server, "a"), replica(server, "b")
        await holder.acquire()
        taking = asyncio.create_task(other.acquire())
        await asyncio.sleep(1)
        server.lease = None
        keeping = asyncio.create_task(holder.keep_renewed())
        await asyncio.sleep(HOURS)
        assert not taking.done()
        assert not keeping.done()
        assert server.spec["holderIdentity"] == "a"

    run(scene())


def test_two_replicas_write_at_once() -> None:
    """One of two simultaneous writes is rejected by its version, and that replica waits."""
    server = Server()

    async def scene() -> None:
        replicas = [replica(server, name) for name in "abc"]
        taking = [asyncio.create_task(lease.acquire()) for lease in replicas]
        await asyncio.sleep(5)
        assert [lease.remaining() > 0 for lease in replicas] == [True, False, False]
        assert [task.done() for task in taking] == [True, False, False]

    run(scene())


@pytest.mark.parametrize(
    ("last_renewed", "expected"),
    [
        pytest.param("2026-09-21T12:00:00.000000Z", "2026-09-21T12:00:00+00:00", id="as Kubernetes writes it"),
        pytest.param("2026-09-21T14:00:00+02:00", "2026-09-21T14:00:00+02:00", id="elsewhere"),
        pytest.param("2026-09-21T12:00:00", None, id="without a zone"),
        pytest.param("yesterday", None, id="no time"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_the_successor_knows_the_last_renewal(last_renewed: str | None, expected: str | None) -> None:
    """A new holder learns when it was last renewed or released, and keeps that over its own renewals."""
    server = Server()
    server.write({**spec(""), "renewTime": last_renewed})

    async def scene() -> None:
        lease = replica(server, "a")
        await lease.acquire()
        await lease._renew()
        assert (lease.last_renewed and lease.last_renewed.isoformat()) == expected

    run(scene())


# -- trouble ----------------------------------------------------------------------------------------------------------


def failing(error: Exception, verb: str = "") -> Callable[[str], Awaitable[None]]:
    async def before(asked: str) -> None:
        if verb in {"", asked}:
            raise error

    return before


@pytest.mark.parametrize("verb", ["get", "post"])
def test_a_missing_permission_is_named(verb: str) -> None:
    """403 is reported once, as an error with the missing permission and its place; when it is granted, work starts."""
    server = Server()

    async def scene() -> None:
        wire = Wire(server, failing(Refused(403, "Forbidden", "no"), verb))
        lease = replica(server, "a", wire=wire)
        taking = asyncio.create_task(lease.acquire())
        await asyncio.sleep(60)
        assert not lease.permits(0)
        assert re.search(
            "403.*get, patch and create on leases of coordination.k8s.io in namespace security", lease.last_error
        )
        wire.before = Wire(server).before
        await taking

    with capture_logs() as logs:
        run(scene())
    errors = [line for line in logs if line["log_level"] == "error"]
    assert [line["event"] for line in errors] == ["lease_forbidden"]


def test_lost_renewals_stop_the_holder_before_another_starts() -> None:
    """Without renewals a holder permits calls only while they would end in time; it has ended before another starts."""
    server = Server()

    async def scene() -> None:
        wire = Wire(server)
        holder, other = replica(server, "a", wire=wire), replica(server, "b")
        await holder.acquire()
        keeping = asyncio.create_task(holder.keep_renewed())
        taking = asyncio.create_task(other.acquire())
        await asyncio.sleep(100.5)
        last_renewed, cut = 99.0, 100.5
        wire.before = failing(Unreachable("cut"))
        assert holder.permits(CALL_SECONDS)
        await asyncio.sleep(last_renewed + 17 - CALL_SECONDS - 0.1 - cut)
        assert holder.permits(CALL_SECONDS)
        await asyncio.sleep(0.2)
        assert not holder.permits(CALL_SECONDS)
        await keeping
        assert now() == pytest.approx(last_renewed + 17, abs=0.01)
        assert holder.lost == "not renewed in time: cut"
        assert not taking.done()
        await taking
        assert last_renewed + 18 <= now() <= last_renewed + 20

    run(scene())


def test_a_stalled_server_costs_one_attempt() -> None:
    """A missing answer is awaited for 2 s; then the next attempt succeeds, and calls continue throughout."""
    server = Server()

    async def scene() -> None:
        stalls = [True]

        async def before(_: str) -> None:
            if now() > 10 and stalls:
                stalls.pop()
                await asyncio.sleep(HOURS)

        holder = replica(server, "a", wire=Wire(server, before))
        await holder.acquire()
        keeping = asyncio.create_task(holder.keep_renewed())
        least = 17.0
        while now() < 40:
            await asyncio.sleep(0.1)
            least = min(least, holder.remaining())
        assert least > CALL_SECONDS
        assert not keeping.done()

    run(scene())


def test_a_lost_answer_is_no_conflict() -> None:
    """A renewal that was written but not answered is recognised as its own, and renewed."""
    server = Server()

    async def scene() -> None:
        lost = ["patch answered"]

        async def before(verb: str) -> None:
            if verb in lost:
                lost.clear()
                raise Unreachable("cut")

        holder = replica(server, "a", wire=Wire(server, before))
        await holder.acquire()
        keeping = asyncio.create_task(holder.keep_renewed())
        await asyncio.sleep(60)
        assert not keeping.done()
        assert server.spec["leaseTransitions"] == 0

    run(scene())


def test_time_counts_from_before_the_request() -> None:
    """A renewal that took a second is valid for a second less."""
    server = Server()

    async def scene() -> None:
        async def slow(verb: str) -> None:
            if verb == "post answered":
                await asyncio.sleep(1)

        lease = replica(server, "a", wire=Wire(server, slow))
        await lease.acquire()
        assert lease.remaining() == pytest.approx(16)

    run(scene())


@pytest.mark.parametrize(
    ("holder", "keeps"), [("b", False), ("", True), ("a", True)], ids=["another", "nobody", "itself"]
)
def test_a_foreign_change_of_the_record(holder: str, *, keeps: bool) -> None:
    """A holder that reads another's name has lost it at once; an emptied or otherwise changed record is renewed."""
    server = Server()

    async def scene() -> None:
        lease = replica(server, "a")
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep_renewed())
        await asyncio.sleep(1)
        server.write({"holderIdentity": holder})
        await asyncio.sleep(4)
        assert keeping.done() is not keeps
        assert lease.permits(0) is keeps
        assert lease.lost == ("" if keeps else "b has it")

    run(scene())


# -- giving it up -----------------------------------------------------------------------------------------------------


def test_a_released_lease_is_acquired_at_the_next_read() -> None:
    """A released lease is acquired within the 2 s between reads, and nothing is permitted from before the release."""
    server = Server()

    async def scene() -> None:
        async def before(verb: str) -> None:
            if verb == "patch" and first.remaining() == 0:
                assert not first.permits(0)

        first = replica(server, "a", wire=Wire(server, before))
        second = replica(server, "b")
        await first.acquire()
        taking = asyncio.create_task(second.acquire())
        await asyncio.sleep(3.5)
        await first.release()
        assert server.spec["holderIdentity"] == ""
        assert first.remaining() == 0
        released = now()
        await taking
        assert now() - released <= 2
        assert server.spec["leaseTransitions"] == 1

    run(scene())


@pytest.mark.parametrize("holder", ["b", ""])
def test_a_foreign_lease_is_not_released(holder: str) -> None:
    """A waiting replica leaves the Lease unchanged."""
    server = Server()
    server.write(spec(holder))

    async def scene() -> None:
        wire = Wire(server)
        await replica(server, "a", wire=wire).release()
        assert wire.requests == ["get"]

    run(scene())


def test_a_cancelled_attempt_that_was_written_is_released() -> None:
    """A replica that is stopped while it acquires the lease finds out that it has it, and releases it."""
    server = Server()

    async def scene() -> None:
        async def before(verb: str) -> None:
            if verb == "post answered":
                await asyncio.sleep(2)

        lease = replica(server, "a", wire=Wire(server, before))
        taking = asyncio.create_task(lease.acquire())
        await asyncio.sleep(1)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert server.spec["holderIdentity"] == "a"
        await lease.release()
        assert server.spec["holderIdentity"] == ""

    run(scene())


def test_a_failed_release_is_reported() -> None:
    """If the API server does not answer, the process still ends, and the Lease expires."""
    server = Server()

    async def scene() -> None:
        wire = Wire(server)
        lease = replica(server, "a", wire=wire)
        await lease.acquire()
        wire.before = failing(Unreachable("cut"))
        await lease.release()
        assert not lease.permits(0)

    with capture_logs() as logs:
        run(scene())
    assert logs[-1]["event"] == "lease_not_released"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({"POD_NAME": "policyhub-1"}, "policyhub-1"), ({}, "host_7"), ({"POD_NAME": ""}, "host_7")],
)
def test_the_identity_of_a_replica(environ: dict[str, str], expected: str) -> None:
    """The Pod's name, else a unique name."""
    assert name_of(environ, host="host", unique="7") == expected
