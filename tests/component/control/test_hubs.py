"""Hubs without users are closed: their threads, tasks and series go, and their rate-limit buckets later."""

import asyncio
import gc
import random
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from botocore.exceptions import UnknownRegionError
from prometheus_client import CollectorRegistry, generate_latest

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.control import hub_registry
from policyhub.control.hub_registry import KEPT_SECONDS, Hubs
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.target import HubTarget
from policyhub.settings import Settings
from policyhub.sync.entry import ObservedFinding
from tests.unit.sync.test_acknowledged import Sender

ACCOUNT, REGION = "111122223333", "eu-west-1"
CHANGES = 200
KNOWN = ObservedFinding("digest", WallMs(1), WallMs(2), archived=False)


def key(role: str = "", *, account: str = ACCOUNT, region: str = REGION) -> HubTarget:
    return HubTarget(account, region, role)


class Stand:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.time = 0.0
        self.hubs = Hubs(
            settings=Settings(),
            metrics=Metrics(self.registry),
            now=lambda: NEVER,
            wall=lambda: UNDATED,
            rng=random.Random(1),  # noqa: S311  (jitter)
            may_send=lambda _: True,
            clock=lambda: self.time,
        )

    def series(self) -> int:
        """Lines of /metrics that name a hub."""
        return sum('hub="' in line for line in generate_latest(self.registry).decode().splitlines())


@asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    yield made
    await made.hubs.close(seconds=5)


def threads() -> int:
    return sum(thread.name.startswith("hub") for thread in threading.enumerate())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  (threads set no asyncio event)
            await asyncio.sleep(0.01)


async def call(client: HubClient, work: Callable[[], object]) -> None:
    """Use the client's threads and observer as a call to AWS does."""
    await client._call("BatchImportFindings", work)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([key(f"arn:aws:iam::{ACCOUNT}:role/r{n}") for n in range(CHANGES)], id="another role each time"),
        pytest.param([key(region=f"eu-west-{n % 90 + 10}", account=f"{n:012}") for n in range(CHANGES)], id="account"),
    ],
)
async def test_changed_specs_leave_nothing_behind(keys: list[HubTarget]) -> None:
    """However often a spec changes, threads, tasks, objects and series are those of the hubs in use."""
    async with stand() as made:
        tasks = len(asyncio.all_tasks())
        opened: weakref.WeakSet[HubClient] = weakref.WeakSet()  # those of this test only
        for each in keys:
            client, _ = made.hubs.open(each)
            opened.add(client)
            await call(client, lambda: None)
            assert made.series()
            made.hubs.release(each)
        await until(lambda: threads() == 0 and len(asyncio.all_tasks()) == tasks)
        assert made.hubs.names == ()
        assert made.series() == 0
        gc.collect()
        assert len(opened) <= 1  # the last one, from `client`


async def test_a_hub_stays_while_it_is_used() -> None:
    """Two data planes share one hub; it is closed when the second one releases it, and a third one opens it again."""
    async with stand() as made:
        first = made.hubs.open(key())
        assert made.hubs.open(key()) == first
        made.hubs.release(key())
        assert made.hubs.open(key()) == first
        made.hubs.release(key())
        made.hubs.release(key())
        assert made.hubs.open(key()) != first


async def test_series_stay_while_another_role_is_open() -> None:
    """Series are named by account and Region: they go with the last role that writes there."""
    async with stand() as made:
        client, _ = made.hubs.open(key("arn:aws:iam::111122223333:role/a"))
        made.hubs.open(key("arn:aws:iam::111122223333:role/b"))
        await call(client, lambda: None)
        made.hubs.release(key("arn:aws:iam::111122223333:role/a"))
        assert made.series()
        made.hubs.release(key("arn:aws:iam::111122223333:role/b"))
        assert not made.series()


async def test_a_release_waits_for_no_call_and_loses_none() -> None:
    """A call in flight ends normally after the release, without its own series; the process end waits for it, as for
    any other.
    """
    async with stand() as made:
        started, ended = threading.Event(), threading.Event()

        def work() -> None:
            started.set()
            ended.wait(20)

        client, _ = made.hubs.open(key())
        calling = asyncio.create_task(call(client, work))
        await until(started.is_set)
        calling.cancel()
        made.hubs.release(key())
        await asyncio.sleep(0)
        assert not await made.hubs.close()
        ended.set()
        assert await made.hubs.close(seconds=20)
        await until(lambda: threads() == 0)
        assert not made.series()


async def test_buckets_outlive_their_hub_for_a_while() -> None:
    """Used quota stays used when the hub is closed and opened again, even with another role; a bucket is dropped when
    it has long been full.
    """
    async with stand() as made:
        client, _ = made.hubs.open(key("arn:aws:iam::111122223333:role/a"))
        client.imports.throttled()
        rate = client.imports.rate
        made.hubs.release(key("arn:aws:iam::111122223333:role/a"))
        made.time = KEPT_SECONDS
        client, _ = made.hubs.open(key("arn:aws:iam::111122223333:role/b"))
        assert client.imports.rate == rate
        made.hubs.release(key("arn:aws:iam::111122223333:role/b"))
        made.time += KEPT_SECONDS + 1
        client, _ = made.hubs.open(key())
        assert client.imports.rate > rate


async def test_recent_acknowledgements_outlive_their_hub() -> None:
    """A MonitoredCluster that is deleted and created again, even with another role, has them; in another account or
    Region it does not, and later nobody has.
    """
    async with stand() as made:
        _, engine = made.hubs.open(key("arn:aws:iam::111122223333:role/a"))
        engine.acknowledged.note(Sender("uid"), "policyhub/alpha/1", KNOWN, SteadyMs(0))
        made.hubs.release(key("arn:aws:iam::111122223333:role/a"))
        made.time = KEPT_SECONDS
        _, engine = made.hubs.open(key("arn:aws:iam::111122223333:role/b"))
        assert engine.acknowledged.recent("uid", "policyhub/alpha/1", SteadyMs(0)) == KNOWN
        for elsewhere in (key(account="444455556666"), key(region="eu-central-1")):
            _, other = made.hubs.open(elsewhere)
            assert not other.acknowledged
        made.hubs.release(key("arn:aws:iam::111122223333:role/b"))
        made.time += KEPT_SECONDS + 1
        _, engine = made.hubs.open(key())
        assert not engine.acknowledged


async def test_buckets_of_many_hubs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last buckets of unused hubs are kept."""
    kept = 50
    monkeypatch.setattr(hub_registry, "PLACES_KEPT", kept)
    async with stand() as made:
        for number in range(kept + 20):
            each = key(account=f"{number:012}")
            made.hubs.open(each)
            made.hubs.release(each)
        assert len(made.hubs._places) <= kept + 1
        assert (f"{kept + 19:012}", REGION) in made.hubs._places


async def test_a_hub_that_cannot_be_opened() -> None:
    """An unknown Region costs an error, and no thread."""
    async with stand() as made:
        for number in range(20):
            with pytest.raises(UnknownRegionError):
                made.hubs.open(key(region=f"moon-base-{number}"))
        assert threads() == 0
        assert not made.hubs._places
