"""How often the metrics are encoded, by the tests' clock."""

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from policyhub.metrics.exposition import FRESH_SECONDS, SHARE, STALE_SECONDS, Exposition, Format


class Slow(Collector):
    """Takes this many seconds of the clock to collect."""

    def __init__(self, seconds: float) -> None:
        self.now = 100.0
        self.asked = 0
        self._seconds = seconds

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        self.now += self._seconds
        return iter(())


async def times(seconds: float, *, within: float) -> int:
    """How often a registry with this duration is encoded if it is requested every tenth of a second."""
    registry, slow = CollectorRegistry(), Slow(seconds)
    registry.register(slow)
    exposition = Exposition(registry, clock=lambda: slow.now)
    end = slow.now + within
    while slow.now < end:
        await exposition.body(Format())
        slow.now += 0.1
    exposition.close()
    return slow.asked


async def test_encoding_is_limited_to_once_a_second_and_a_tenth_of_the_time() -> None:
    """A fast registry is encoded once a second, one of half a second every five seconds, and no body is older than half
    a minute.
    """
    assert FRESH_SECONDS == 1 and SHARE == 10 and STALE_SECONDS == 30  # noqa: PT018  (one table)
    assert 50 <= await times(0.001, within=60) <= 60
    assert 10 <= await times(0.5, within=60) <= 12
    assert await times(10, within=400) == 10


async def test_concurrent_requests_share_one_body() -> None:
    """A gzip client waits for the plain body too: one encoding."""
    registry, slow = CollectorRegistry(), Slow(0)
    registry.register(slow)
    exposition = Exposition(registry, clock=lambda: slow.now)
    asked = [exposition.body(Format(gzip=bool(number % 2))) for number in range(100)]
    await asyncio.gather(*asked)
    assert slow.asked == 1
    assert len(set(asked)) == 2
    exposition.close()
