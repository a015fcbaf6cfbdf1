"""Whether a process that stood still may send: the table of `policyhub.mandate`, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from policyhub.mandate import STILL_SECONDS, Mandate
from tests.unit.lease.virtual import now, run


class Process:
    """Whose clock goes on while its event loop does not."""

    def __init__(self, *, divided: bool = True) -> None:
        self.frozen = 0.0
        self.reads = 0
        self.reading: Callable[[], Awaitable[bool]] = self._read
        self.mandate = Mandate(divided=divided, clock=lambda: now() + self.frozen)

    async def _read(self) -> bool:
        return True

    async def _count(self) -> bool:
        self.reads += 1
        return await self.reading()

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.mandate.keep(self._count))


def test_while_the_loop_goes_round_nothing_is_asked() -> None:
    """An hour in which the event loop is busy for less than it may be."""

    async def work() -> None:
        process = Process()
        task = process.start()
        for _ in range(720):
            process.frozen += STILL_SECONDS - 2
            await asyncio.sleep(5)
            assert process.mandate.holds()
        assert process.reads == 0
        task.cancel()

    run(work())


@pytest.mark.parametrize("failures", [0, 3])
def test_frozen_it_sends_nothing_before_it_has_read(failures: int) -> None:
    """From the moment at which it wakes, also before its event loop knows, until the MonitoredClusters were read."""

    async def work() -> None:
        process, left = Process(), [failures]
        asked = asyncio.Event()

        async def read() -> bool:
            asked.set()
            await asyncio.sleep(7)
            left[0] -= 1
            return left[0] < 0

        process.reading = read
        task = process.start()
        await asyncio.sleep(10)
        assert process.mandate.holds()
        process.frozen += STILL_SECONDS + 2
        assert not process.mandate.holds()  # a thread asks first
        await asked.wait()
        for _ in range(failures * 9 + 6):
            assert not process.mandate.holds()
            await asyncio.sleep(1)
        await asyncio.sleep(2)
        assert process.mandate.holds()
        assert process.reads == failures + 1
        task.cancel()

    run(work())


def test_frozen_again_while_it_reads_it_reads_again() -> None:
    """What it reads may have been written before it was frozen once more."""

    async def work() -> None:
        process = Process()

        async def read() -> bool:
            await asyncio.sleep(4)
            return True

        process.reading = read
        task = process.start()
        await asyncio.sleep(1)
        process.frozen += 60
        await asyncio.sleep(3)
        assert process.reads == 1
        process.frozen += 60
        await asyncio.sleep(3)
        assert not process.mandate.holds()
        await asyncio.sleep(4)
        assert process.mandate.holds()
        assert process.reads == 2
        task.cancel()

    run(work())


def test_that_it_stood_by_for_long_is_no_standstill() -> None:
    """A replica waits for its lease before it sends anything."""

    async def work() -> None:
        process = Process()
        await asyncio.sleep(3_600)
        task = process.start()
        await asyncio.sleep(5)
        assert process.mandate.holds()
        assert process.reads == 0
        task.cancel()

    run(work())


def test_without_a_selector_nobody_else_takes_a_cluster() -> None:
    """So nothing is asked of a process that slept."""

    async def work() -> None:
        process = Process(divided=False)
        task = process.start()
        await asyncio.sleep(1)
        process.frozen += 3_600
        assert process.mandate.holds()
        task.cancel()

    run(work())
