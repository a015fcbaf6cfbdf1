"""Two replicas: one is at work, and the other follows it, whatever becomes of the first."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.error import HTTPError

import pytest

from policyhub.app import LEASE_LOST
from policyhub.securityhub.client import WORKERS
from policyhub.securityhub.credentials import CALL_SECONDS
from tests.integration.operator.world import Document, report, result
from tests.integration.takeover.conftest import Pair, Replica

REPORTS, RESULTS = 100, 30


def backlog() -> list[Document]:
    """3,000 violations."""
    return [report(f"app-{n}", *(result(f"policy-{m}") for m in range(RESULTS))) for n in range(REPORTS)]


def busy(pair: Pair, first: Replica, *, imports: int) -> None:
    """Give the first replica a backlog, and wait until it has sent so many calls of it."""
    pair.world.until(lambda: first.process.metric("policyhub_in_sync", cluster="alpha") == 1, "it to be in sync")
    pair.world.apply(*backlog())
    spin(lambda: first.imports >= imports, "the first imports")


def spin(holds: Callable[[], bool], what: str) -> None:
    """Wait without asking anybody: what is looked at changes within milliseconds."""
    end = time.monotonic() + 180  # a second look a minute after the take-over comes before the backlog
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.002)


def all_there(pair: Pair) -> bool:
    return len(pair.world.hub.findings(record_state="ACTIVE")) == REPORTS * RESULTS


def created(pair: Pair) -> dict[str, str]:
    return {f["Id"]: f["CreatedAt"] for f in pair.world.hub.findings()}


def sent_once(pair: Pair) -> None:
    """Every finding was imported exactly once, by whichever replica."""
    journal = pair.world.journal()
    assert Counter(entry["outcome"] for entry in journal) == {"created": REPORTS * RESULTS}
    assert len({entry["id"] for entry in journal}) == REPORTS * RESULTS
    assert not [entry for entry in journal if entry["redundant"]]


def test_the_other_stands_by(pair: Pair) -> None:
    """The second replica is ready and says that it stands by, calls nothing, and ends in order when it is told to; the
    first goes on. Killed and started in its own Pod, it takes its own lease without waiting.
    """
    first = pair.start("one")
    pair.world.until(lambda: first.process.metric("policyhub_in_sync", cluster="alpha") == 1, "it to be in sync")
    second = pair.start("two")
    assert [r.process.metric("policyhub_leader") for r in (first, second)] == [1, 0]
    assert pair.lease()["holderIdentity"] == "one"
    assert "waiting_for_lease" in second.events()
    second.process.stop()
    assert second.code == 0
    assert not second.calls
    assert pair.lease()["holderIdentity"] == "one"
    pair.world.apply(report("app", result("later")))
    pair.world.until(lambda: pair.world.states("later") == {"app": "ACTIVE"}, "the first to go on")
    first.process.kill()
    again = pair.start("one")
    assert again.process.metric("policyhub_leader") == 1
    assert "waiting_for_lease" not in again.events()
    assert pair.lease()["leaseTransitions"] == 0


def test_without_permission(pair: Pair) -> None:
    """A replica that may not use the Lease is not ready, says which permission it lacks, and begins when it has it."""
    binding = next(
        d
        for d in pair.world.installed.documents
        if d["kind"] == "RoleBinding" and d["metadata"]["name"] == "policyhub-lease"
    )
    pair.world.delete(binding)
    try:
        only = pair.start("one", wait=False)
        pair.world.until(lambda: "lease_forbidden" in only.events(), "it to be told")
        assert not only.process.ready
        with pytest.raises(HTTPError) as caught:
            only.process.get("/readyz")
        assert caught.value.code == 503
        reported = caught.value.read().decode()
        assert "get, patch and create on leases of coordination.k8s.io in namespace policyhub" in reported
        assert not only.calls
    finally:
        pair.world.cluster.apply([binding])
    pair.world.until(lambda: only.process.metric("policyhub_in_sync", cluster="alpha") == 1, "it to be in sync")
    assert pair.lease()["holderIdentity"] == "one"


def test_killed_under_load(pair: Pair) -> None:
    """Killed by -9 while 3,000 findings are imported: the other is at work by itself, sends what the first had not, and
    nothing twice; no CreatedAt moves.
    """
    first = pair.start("one")
    second = pair.start("two")
    busy(pair, first, imports=4)
    killed = time.monotonic()
    first.process.kill()
    before = created(pair)
    assert 0 < len(before) < REPORTS * RESULTS
    spin(lambda: bool(second.calls), "the second to begin")
    spin(lambda: second.imports > 0, "the second to import")
    imported = next(at for at, path, _ in second.calls if "import" in path)
    pair.world.until(lambda: all_there(pair), "all findings", seconds=180)
    print(  # noqa: T201  (a figure of the documentation)
        f"\nkill -9 with {len(before)} of {REPORTS * RESULTS} findings sent: first call of the other after"
        f" {second.first - killed:.1f} s, first import after {imported - killed:.1f} s, all sent after"
        f" {time.monotonic() - killed:.1f} s"
    )
    assert first.last < second.first
    sent_once(pair)
    assert {id_: at for id_, at in created(pair).items() if id_ in before} == before
    assert pair.lease()["holderIdentity"] == "two"
    assert pair.lease()["leaseTransitions"] == 1


def test_handed_over(pair: Pair) -> None:
    """SIGTERM under load: the first sends what it has, gives the lease up and ends with 0; the other begins only then,
    and finds nothing to send.
    """
    first = pair.start("one")
    second = pair.start("two")
    busy(pair, first, imports=4)
    signalled = time.monotonic()
    first.process.stop()
    ended = time.monotonic()
    assert first.code == 0
    assert "lease_released" in first.events()
    spin(lambda: bool(second.calls), "the second to begin")
    print(  # noqa: T201  (a figure of the documentation)
        f"\nSIGTERM: the first was gone after {ended - signalled:.1f} s, first call of the other after"
        f" {second.first - signalled:.1f} s"
    )
    assert first.last < second.first
    pair.world.until(lambda: second.process.metric("policyhub_in_sync", cluster="alpha") == 1, "the second in sync")
    assert all_there(pair)
    assert second.imports == 0
    sent_once(pair)


def test_cut_off(pair: Pair) -> None:
    """A holder whose API server has fallen silent goes on for as long as its calls are sure to end in time, sends none
    after that, ends by itself with 3, and only then the other begins; together they send everything once.
    """
    first = pair.start(
        "one", POLICYHUB_HUB_QUOTA_SHARE="0.05"
    )  # one call in two seconds: it has something to send all the time
    second = pair.start("two")
    busy(pair, first, imports=3)
    first.relay.stall()
    cut = time.monotonic()
    pair.world.until(lambda: first.code is not None, "the first to end")
    ended = time.monotonic()
    assert first.code == LEASE_LOST
    lost = next(line for line in first.process.log() if line.get("event") == "lease_lost")
    assert "no answer within 2 s" in lost["reason"]
    assert not second.calls
    spin(lambda: bool(second.calls), "the second to begin")
    print(  # noqa: T201  (a figure of the documentation)
        f"\ncut off: last call of the first after {first.last - cut:.1f} s, its end after {ended - cut:.1f} s,"
        f" first call of the other after {second.first - cut:.1f} s"
    )
    assert first.last > cut, "it was to be busy"
    assert first.last + CALL_SECONDS < second.first
    pair.world.until(lambda: all_there(pair), "all findings", seconds=180)
    sent_once(pair)


def test_frozen(pair: Pair) -> None:
    """A holder that is frozen, as a virtual machine that sleeps, and wakes when another is at work, ends by itself with
    3. It begins no call any more; what it was about to send when it was frozen may still leave, one call a thread.
    """
    first = pair.start("one", POLICYHUB_HUB_QUOTA_SHARE="0.05")
    second = pair.start("two")
    busy(pair, first, imports=3)
    assert first.process._child is not None
    os.kill(first.process._child.pid, signal.SIGSTOP)
    frozen = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    spin(lambda: second.imports > 0, "the second to import")
    os.kill(first.process._child.pid, signal.SIGCONT)
    pair.world.until(lambda: first.code is not None, "the first to end")
    assert first.code == LEASE_LOST
    assert "lease_lost" in first.events()
    late = first.signed_after(second.first)
    assert len(late) <= 2 * WORKERS
    assert all("" < signed <= frozen for signed in late)
    pair.world.until(lambda: all_there(pair), "all findings", seconds=180)
    if not late:
        sent_once(pair)
