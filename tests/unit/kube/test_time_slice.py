import asyncio

from policyhub.kube.time_slice import SLICE_SECONDS, TimeSlice


class Work:
    """Time that passes only with work."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rounds = 0
        self.done: list[str] = []
        self.time_slice = TimeSlice(clock=lambda: self.now)

    async def worker(self, name: str, objects: int, seconds: float) -> None:
        for _ in range(objects):
            if self.time_slice.must_wait(name):
                await self.time_slice.wait_turn(name)
            self.now += seconds
            self.done.append(name)
            self.time_slice.end_work()

    async def others(self) -> None:
        while True:
            self.rounds += 1
            await asyncio.sleep(0)


async def test_all_watches_share_a_slice_per_loop_iteration() -> None:
    """However many reflectors have work: other tasks run after each slice."""
    work = Work()
    others = asyncio.create_task(work.others())
    await asyncio.gather(*(work.worker(f"w{number}", 40, SLICE_SECONDS / 4) for number in range(25)))
    others.cancel()
    assert work.rounds >= 25 * 40 / 4 / 2  # a slice takes a little longer, because an object is not divided
    assert len(work.done) == 25 * 40


async def test_reflectors_take_turns() -> None:
    """None delays the others of its own cluster."""
    work = Work()
    await asyncio.gather(work.worker("flood", 1_000, SLICE_SECONDS), work.worker("small", 10, SLICE_SECONDS))
    assert max(index for index, name in enumerate(work.done) if name == "small") < 40


async def test_little_work_does_not_wait() -> None:
    """Within a slice no loop iteration is lost."""
    work = Work()
    others = asyncio.create_task(work.others())
    await work.worker("one", 100, 0.0)
    assert work.rounds == 0
    others.cancel()


async def test_a_cancelled_turn_delays_nobody() -> None:
    """The next one in the queue gets it."""
    work = Work()
    work.time_slice.must_wait("a")
    work.now += 1
    work.time_slice.end_work()
    waiting = [asyncio.create_task(work.time_slice.wait_turn(name)) for name in "bcd"]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    async with asyncio.timeout(10):
        await waiting[2]
