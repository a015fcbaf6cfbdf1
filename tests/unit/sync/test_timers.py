"""At most one timer for each thing, and a heap that does not grow by what is asked for again."""

import random

from policyhub.clock import SteadyMs
from policyhub.sync.timers import Timers

NOW = SteadyMs(1_790_000_000_000)


def test_each_thing_comes_once_at_the_earliest_time() -> None:
    """Whatever was asked for later is asked for again by who is looked at."""
    timers: Timers[str] = Timers()
    for due in (7, 5, 9, 5):
        timers.set("a", NOW + due)
    timers.set("b", NOW + 6)
    timers.set("c", NOW + 1)
    timers.drop("c")
    assert len(timers) == 2
    assert timers.pop(NOW + 4) is None
    assert [timers.pop(NOW + 100) for _ in range(3)] == ["a", "b", None]
    timers.set("a", NOW + 9)
    assert timers.pop(NOW + 9) == "a"


def test_the_heap_is_bounded() -> None:
    """By the things that have a timer, whatever is set, moved and dropped."""
    timers: Timers[int] = Timers()
    rng = random.Random(1)  # noqa: S311  (the same each time)
    for step in range(20_000):
        item = rng.randrange(100)
        timers.set(item, NOW + 50_000 - step)
        if step % 3 == 0:
            timers.drop(item)
    assert len(timers._heap) <= 1_000 + 2 * 100
    found = list(iter(lambda: timers.pop(NOW + 100_000), None))
    assert len(found) == len(set(found))
