"""The rate limit of calls, in virtual time."""

import asyncio

import pytest

from policyhub.securityhub.rate_limit import FLOOR, IMPORTS, READS, Quota, TokenBucket


class Time:
    """A clock that advances when somebody sleeps."""

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
    """An hour of silence gives one burst, not an hour's calls."""
    tokens = bucket(time)
    time.now += 3600
    for _ in range(4):
        await tokens.acquire()
    assert len(time.sleeps) == 1


async def test_callers_are_served_in_order(time: Time) -> None:
    """In the order of their arrival, even if all have to wait."""
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


async def test_urgent_callers_go_first(time: Time) -> None:
    """An urgent caller gets the next token, but at most every second one while others wait."""
    tokens = bucket(time, burst=1)
    await tokens.acquire()
    served: list[str] = []

    async def call(name: str) -> None:
        await tokens.acquire(urgent=name.startswith("urgent"))
        served.append(name)

    async with asyncio.TaskGroup() as calls:
        for name in ("a", "b", "c", "urgent 1", "urgent 2", "urgent 3"):
            calls.create_task(call(name))
    assert served == ["urgent 1", "a", "urgent 2", "b", "urgent 3", "c"]


async def test_a_cancelled_urgent_caller_lets_the_next_go(time: Time) -> None:
    """It takes no token, and the caller behind it is woken."""
    tokens = bucket(time, burst=1)
    await tokens.acquire()
    first, second = (asyncio.create_task(tokens.acquire(urgent=urgent)) for urgent in (True, False))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()


async def test_throttled_calls_halve_the_rate_once(time: Time) -> None:
    """However many calls in flight are throttled at once, the rate is halved once, and the burst is gone."""
    tokens = bucket(time, rate=8.0)
    for _ in range(4):
        tokens.throttled()
    assert tokens.rate == 4.0
    started = time.clock()
    await tokens.acquire()
    assert time.clock() - started == pytest.approx(0.25)


async def test_rate_never_falls_below_its_floor(time: Time) -> None:
    """One call in two seconds is always allowed, or the whole share if that is smaller."""
    tokens, small = bucket(time, rate=8.0), bucket(time, rate=0.1)
    for _ in range(10):
        tokens.throttled()
        small.throttled()
        await time.sleep(1.0)
    assert tokens.rate == FLOOR
    assert small.rate == 0.1


async def test_answers_bring_the_rate_back(time: Time) -> None:
    """Each answer adds a fixed step, up to the initial rate."""
    tokens = bucket(time, rate=8.0)
    tokens.throttled()
    tokens.answered()
    assert tokens.rate == pytest.approx(4.4)
    for _ in range(30):
        tokens.answered()
    assert tokens.rate == 8.0


@pytest.mark.parametrize(("quota", "rate", "burst"), [(IMPORTS, 8, 24), (READS, 2.4, 4.8), (Quota(1, 1), 0.8, 1)])
async def test_share_counts_for_rate_and_burst(time: Time, quota: Quota, rate: float, burst: float) -> None:
    """By default 80 % of both are used; a burst below one call would never allow one."""
    tokens = quota.bucket(clock=time.clock, sleep=time.sleep)
    assert tokens.rate == pytest.approx(rate)
    while not time.sleeps:
        await tokens.acquire()
        burst -= 1
    assert -1 <= burst < 0


@pytest.mark.parametrize("share", [0, -0.5, 1.1])
def test_share_lies_between_nothing_and_all(share: float) -> None:
    """A share of a quota is between 0 and 1."""
    with pytest.raises(ValueError, match="share"):
        IMPORTS.bucket(share=share)
