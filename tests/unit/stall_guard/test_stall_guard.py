"""Whether a stalled process may send: the table of `policyhub.control.stall_guard`, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from policyhub.control.stall_guard import STALL_SECONDS, StallGuard
from tests.unit.lease.virtual import now, run


class Process:
    """A process whose clock continues while its event loop does not."""

    def __init__(self, *, sharded: bool = True) -> None:
        self.frozen = 0.0
        self.reads = 0
        self.reading: Callable[[], Awaitable[bool]] = self._read
        self.stall_guard = StallGuard(sharded=sharded, clock=lambda: now() + self.frozen)

    async def _read(self) -> bool:
        return True

    async def _count(self) -> bool:
        self.reads += 1
        return await self.reading()

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.stall_guard.run(self._count))


def test_a_running_loop_is_not_checked() -> None:
    """An hour in which the event loop is never busy for longer than the limit."""

    async def work() -> None:
        process = Process()
        task = process.start()
        for _ in range(720):
            process.frozen += STALL_SECONDS - 2
            await asyncio.sleep(5)
            assert process.stall_guard.permits_calls()
        assert process.reads == 0
        task.cancel()

    run(work())


@pytest.mark.parametrize("failures", [0, 3])
def test_a_frozen_process_sends_nothing_before_it_has_read(failures: int) -> None:
    """From its wake-up, even before its event loop runs, until the MonitoredClusters were read."""

    async def work() -> None:
        process, left = Process(), [failures]
        asked = asyncio.Event()

        async def reread() -> bool:
            asked.set()
            await asyncio.sleep(7)
            left[0] -= 1
            return left[0] < 0

        process.reading = reread
        task = process.start()
        await asyncio.sleep(10)
        assert process.stall_guard.permits_calls()
        process.frozen += STALL_SECONDS + 2
        assert not process.stall_guard.permits_calls()  # a thread checks first
        await asked.wait()
        for _ in range(failures * 9 + 6):
            assert not process.stall_guard.permits_calls()
            await asyncio.sleep(1)
        await asyncio.sleep(2)
        assert process.stall_guard.permits_calls()
        assert process.reads == failures + 1
        task.cancel()

    run(work())


def test_a_second_freeze_during_the_read_reads_again() -> None:
    """The answer may be from before the second freeze."""

    async def work() -> None:
        process = Process()

        async def reread() -> bool:
            await asyncio.sleep(4)
            return True

        process.reading = reread
        task = process.start()
        await asyncio.sleep(1)
        process.frozen += 60
        await asyncio.sleep(3)
        assert process.reads == 1
        process.frozen += 60
        await asyncio.sleep(3)
        assert not process.stall_guard.permits_calls()
        await asyncio.sleep(4)
        assert process.stall_guard.permits_calls()
        assert process.reads == 2
        task.cancel()

    run(work())


def test_waiting_for_the_lease_is_not_a_stall() -> None:
    """A replica waits for its lease before it sends anything."""

    async def work() -> None:
        process = Process()
        await asyncio.sleep(3_600)
        task = process.start()
        await asyncio.sleep(5)
        assert process.stall_guard.permits_calls()
        assert process.reads == 0
        task.cancel()

    run(work())


def test_without_a_selector_nothing_is_read() -> None:
    """No other operator can take over a cluster, so a process that slept need not read."""

    async def work() -> None:
        process = Process(sharded=False)
        task = process.start()
        await asyncio.sleep(1)
        process.frozen += 3_600
        assert process.stall_guard.permits_calls()
        task.cancel()

    run(work())
