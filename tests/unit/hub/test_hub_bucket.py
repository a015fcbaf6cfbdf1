"""The pace of calls, in virtual time."""

import asyncio

import pytest

from policyhub.hub.bucket import IMPORTS, READS, Quota, TokenBucket


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def bucket(time: Time, *, rate: float = 10, burst: float = 3) -> TokenBucket:
    return TokenBucket(rate=rate, burst=burst, clock=time.clock, sleep=time.sleep)


async def test_burst_then_rate(time: Time) -> None:
    """The burst is free, then each token takes 1/rate; one sleep for each, no polling."""
    tokens = bucket(time)
    for _ in range(8):
        await tokens.acquire()
    assert time.now == pytest.approx(1000.5)
    assert time.sleeps == pytest.approx([0.1] * 5)


async def test_idle_time_fills_only_to_the_burst(time: Time) -> None:
    """An hour of silence allows one burst, not an hour's calls."""
    tokens = bucket(time)
    time.now += 3600
    for _ in range(4):
        await tokens.acquire()
    assert len(time.sleeps) == 1


async def test_callers_are_served_in_order(time: Time) -> None:
    """Who came first goes first, also when all have to wait."""
    tokens = bucket(time, burst=1)
    served: list[int] = []

    async def call(number: int) -> None:
        await tokens.acquire()
        served.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(call(number))
    assert served == list(range(20))


async def test_cancelled_caller_takes_no_token(time: Time) -> None:
    """A caller that is cancelled while waiting neither takes a token nor blocks those behind it."""
    tokens = bucket(time, burst=1)
    await tokens.acquire()
    started = time.now
    waiting = [asyncio.create_task(tokens.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await waiting[2]
    assert time.now == pytest.approx(started + 0.1)
    assert [task.cancelled() for task in waiting] == [True, True, False]


async def test_rate_can_be_set(time: Time) -> None:
    """A new rate counts from the moment it is set; what was earned before keeps the old one."""
    tokens = bucket(time, burst=2)
    for _ in range(2):
        await tokens.acquire()
    time.now += 0.1
    tokens.rate = 1.0
    assert tokens.rate == 1.0
    for _ in range(2):
        await tokens.acquire()
    assert time.sleeps == pytest.approx([1.0])


@pytest.mark.parametrize("rate", [0, -1])
async def test_rate_must_be_positive(time: Time, rate: float) -> None:
    """A rate of nothing would wait for ever."""
    with pytest.raises(ValueError, match="above 0"):
        bucket(time).rate = rate


@pytest.mark.parametrize(("quota", "rate", "burst"), [(IMPORTS, 8, 24), (READS, 2.4, 4.8), (Quota(1, 1), 0.8, 1)])
async def test_share_counts_for_rate_and_burst(time: Time, quota: Quota, rate: float, burst: float) -> None:
    """Four fifths of both are used by default; a burst of less than one call would never let one through."""
    tokens = quota.bucket(clock=time.clock, sleep=time.sleep)
    assert tokens.rate == pytest.approx(rate)
    while not time.sleeps:
        await tokens.acquire()
        burst -= 1
    assert -1 <= burst < 0


@pytest.mark.parametrize("share", [0, -0.5, 1.1])
def test_share_lies_between_nothing_and_all(share: float) -> None:
    """No share of a quota is more than the quota."""
    with pytest.raises(ValueError, match="share"):
        IMPORTS.bucket(share=share)
