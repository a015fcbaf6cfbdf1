"""A producer that changes the wording at each scan: the wording is sent once a day, everything else at once."""

from typing import Any

import msgspec
import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.model.violation import Severity, Violation
from policyhub.securityhub import inventory
from policyhub.sync import figures
from policyhub.sync.holds import Hold
from policyhub.sync.lookups import observation_of
from tests.component.sync.test_engine import KEY, World, id_of, until, violation, working

HOUR = 3_600_000


class Producer:
    """Of one finding, number 1; an hour passes with each scan."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scans = 0

    async def scan(self, found: Violation | None = None, *, hours: int = 1) -> None:
        """Report this message, otherwise a new one."""
        self.scans += 1
        world = self.world
        world.now = SteadyMs(int(world.now) + hours * HOUR)
        world.wall_clock = world.now
        call = found or violation(1, f"seen at pass {self.scans}")
        world.ledger.read(KEY, [(call, None)], complete=True, passed=frozenset, now=world.now, backlog=False)
        world.ledger.refresh(wall_clock=WallMs(int(world.wall_clock)), now=world.now)
        world.ledger.wake(world.now)
        world.engine.wake()
        await until(lambda: not world.pending())

    @property
    def sent(self) -> list[dict[str, Any]]:
        return self.world.hub.sent


async def test_wording_that_changes_at_each_scan_is_sent_once_a_day() -> None:
    """Three times a day at once, then the latest once a day."""
    async with working() as world:
        producer = Producer(world)
        for _ in range(4):
            await producer.scan()
        assert len(producer.sent) == 4  # new, and three times other words
        for _ in range(24 * 3 + 1):
            await producer.scan()
        assert len(producer.sent) == 4 + 3
        assert figures.waiting(world.ledger) == dict.fromkeys(figures.waiting(world.ledger), 0)
        assert world.ledger.agenda.count(Hold.WORDING) == 1
        days = [finding["Description"].rpartition("pass ")[2] for finding in producer.sent[4:]]
        assert [int(day.strip(".")) for day in days] == [4 + 24 * n for n in range(1, 4)]
        of = {"hub": "hub", "change": "changed"}
        took = world.metrics.registry.get_sample_value("policyhub_delivery_seconds_sum", of)
        assert took is not None
        assert took < HOUR / 1000  # what is meant to wait is no slow delivery


@pytest.mark.parametrize("change", ["severity", "result", "passes", "fails anew"])
async def test_other_changes_are_sent_at_once(change: str) -> None:
    """With the latest wording; later changes of wording are still held."""
    async with working() as world:
        producer = Producer(world)
        for _ in range(10):
            await producer.scan()
        before = len(producer.sent)
        assert before == 4
        worse: dict[str, Any] = {"severity": {"severity": "CRITICAL"}, "result": {"result": "error"}}.get(change, {})
        if worse:
            await producer.scan(msgspec.structs.replace(violation(1, "latest words"), **worse))
        else:
            world.now = SteadyMs(int(world.now) + HOUR)
            world.wall_clock = world.now
            world.claim([], passed=[1])
            await until(lambda: producer.sent[-1]["RecordState"] == "ARCHIVED" and not world.pending())
            if change == "passes":
                return
            before += 1
            await producer.scan(violation(1, "latest words"))
        assert len(producer.sent) == before + 1
        assert "latest words" in producer.sent[-1]["Description"]
        assert producer.sent[-1]["RecordState"] == "ACTIVE"


async def test_a_flapping_severity_is_never_held() -> None:
    """However often."""
    async with working() as world:
        producer = Producer(world)
        severities: list[Severity] = ["HIGH", "LOW"]
        for n in range(20):
            await producer.scan(msgspec.structs.replace(violation(1), severity=severities[n % 2]))
        assert len(producer.sent) == 20


async def test_occasional_changes_of_wording_are_sent_at_once() -> None:
    """Twice a day is not flapping, and flapping ends after two days without a change."""
    async with working() as world:
        producer = Producer(world)
        for _ in range(10):
            await producer.scan(hours=13)
        assert len(producer.sent) == 10
        for _ in range(10):
            await producer.scan()
        held = len(producer.sent)
        assert held < 20
        same = violation(1, "the last words")
        await producer.scan(same)
        for _ in range(4):
            await producer.scan(same, hours=24)
        assert "the last words" in producer.sent[-1]["Description"]
        before = len(producer.sent)
        await producer.scan()
        assert len(producer.sent) == before + 1


async def test_a_flapping_finding_delays_no_other() -> None:
    """Another finding of the same report and policy is sent when it changes."""
    async with working() as world:
        producer = Producer(world)
        for _ in range(10):
            await producer.scan()
        before = len(producer.sent)
        world.claim([1, 2])
        await until(lambda: id_of(2) in world.hub.held_ids)
        world.claim([1, 2], message="other")
        await until(lambda: not world.pending())
        assert [finding["Id"] for finding in producer.sent[before:]] == [id_of(2)] * 2


async def test_producer_and_member_are_named() -> None:
    """With the member of its results that changes."""
    async with working() as world:
        producer = Producer(world)
        for n in range(6):
            base = violation(1, "the same")
            await producer.scan(
                msgspec.structs.replace(base, properties=(("count", str(n)), ("image", "nginx"))), hours=2
            )
        assert world.ledger.observed.outcomes.flapping() == {("kyverno", "properties.count"): 1}
        for _ in range(4):
            await producer.scan(violation(1, "the same"), hours=24)
        assert world.ledger.observed.outcomes.flapping() == {}


async def after_restart(world: World, read: dict[str, Any]) -> Producer:
    """Security Hub holds this finding; twenty scans change its wording."""
    world.ledger.observed.take_part("", [observation_of(inventory.from_asff(read))], now=world.now)
    world.ledger.finish_inventory()
    producer = Producer(world)
    producer.scans = 100
    for _ in range(20):
        await producer.scan()
    return producer


async def test_findings_read_from_security_hub_count_too() -> None:
    """After a restart the first change of wording is recognised, whatever severity an analyst has set."""
    async with working() as first:
        await Producer(first).scan()
        [sent] = first.hub.sent
    read = {**sent, "Severity": {"Label": "LOW"}, "Workflow": {"Status": "NOTIFIED"}}
    async with working(read=False) as world:
        producer = await after_restart(world, read)
        assert len(producer.sent) == 3


async def test_wording_of_another_renderer_version_does_not_count() -> None:
    """An upgrade that changes all wording makes no finding flap: three more changes are sent at once."""
    async with working() as first:
        await Producer(first).scan()
        [sent] = first.hub.sent
    older = {**sent, "ProductFields": {**sent["ProductFields"], "policyhub/renderer": "0", "policyhub/digest": "older"}}
    async with working(read=False) as world:
        producer = await after_restart(world, older)
        assert len(producer.sent) == 1 + 3
