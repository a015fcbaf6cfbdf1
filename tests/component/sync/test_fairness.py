"""A flood of one namespace or cluster at the engine: how many calls the others wait."""

import asyncio
import random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from policyhub.clock import SteadyMs, WallMs
from policyhub.findings.asff import Cluster
from policyhub.findings.identity import finding_id
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Identity, ObjectRef, SourceKey, Subject, Violation
from policyhub.sync import figures
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.engine import Engine
from policyhub.sync.entry import ListingState, Observation, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Rules
from policyhub.sync.usage import Limits
from tests.component.sync.test_engine import NOW, SOURCE_API, WALL, MemoryHub, until

FLOOD = 5_000


def cluster(name: str) -> Cluster:
    return Cluster(
        id=name,
        name=name,
        arn=None,
        uid="uid-1",
        account="111122223333",
        region="eu-west-1",
        partition="aws",
        product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
    )


class World:
    """Two clusters with one hub."""

    def __init__(self, *, read: bool = True, limits: Limits | None = None) -> None:
        self.hub = MemoryHub()
        self.engine = Engine(
            hub=self.hub,
            hub_name="hub",
            metrics=Metrics(CollectorRegistry()),
            now=lambda: NOW,
            wall_clock=lambda: WALL,
            clock=asyncio.get_running_loop().time,
            rng=random.Random(1),  # noqa: S311  (jitter)
        )
        self.alpha, self.beta = (self._ledger(name, read=read, limits=limits) for name in ("alpha", "beta"))

    def _ledger(self, name: str, *, read: bool, limits: Limits | None) -> Ledger:
        ledger = Ledger(
            cluster_id=name,
            cluster_uid="uid-1",
            default_severity="MEDIUM",
            on_dirty=self.engine.wake,
            limits=limits,
        )
        self.engine.attach(
            ClusterQueue(name=name, ledger=ledger, cluster=cluster(name), rules=Rules(archive_delay_ms=0), sends=True)
        )
        if read:
            ledger.observed.take_part("", [], now=SteadyMs(0))
            ledger.finish_inventory()
        ledger.sources.set_reports_listed(listed=True)
        ledger.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=SteadyMs(1)))
        ledger.sources.confirmed[SOURCE_API] = NOW + 10**12
        return ledger

    def calls_until(self, id_: str) -> int | None:
        """The number of the call that sent a finding."""
        return next((n for n, call in enumerate(self.hub.calls, 1) if any(f["Id"] == id_ for f in call)), None)


def violation(namespace: str, number: int, message: str = "m") -> Violation:
    return Violation(
        source="kyverno",
        policy="p",
        rule=f"r{number}",
        subject=Subject("apps", "Deployment", namespace, "web"),
        discriminator="",
        result="fail",
        severity="HIGH",
        category="",
        message=message,
    )


def id_of(name: str, namespace: str, number: int) -> str:
    return finding_id(name, violation(namespace, number).identity)


def claim(ledger: Ledger, namespace: str, number: int, message: str = "m", *, start: int = 0, **more: Any) -> None:
    def nothing() -> frozenset[Identity]:
        return frozenset()

    key = SourceKey("wgpolicyk8s.io", "policyreports", namespace, f"r{start}")
    calls: list[tuple[Violation, WallMs | None]] = [
        (violation(namespace, start + n, message), None) for n in range(number)
    ]
    ledger.read(key, calls, complete=True, passed=nothing, now=NOW, **more)


def known(ledger: Ledger, namespace: str, number: int) -> str:
    """Security Hub has the finding already."""
    claim(ledger, namespace, 1, start=number)
    entry = ledger.entries[id_of(ledger.cluster_id, namespace, number)]
    ledger.mark_in_flight(entry)
    ledger.acknowledge(
        entry, ObservedFinding(digest=entry.digest, created_at=WALL - 1, updated_at=WALL - 1, archived=False), now=NOW
    )
    ledger.mark_decided(entry, None)
    return entry.id


@pytest.mark.parametrize("change", ["new", "changed", "backlog", "archived"])
@pytest.mark.parametrize("where", ["alpha", "beta"])
async def test_a_flood_of_one_namespace_delays_no_other(change: str, where: str) -> None:
    """Beside thousands of pending findings of one namespace, a finding of another namespace or cluster is in the next
    composed call.
    """
    world = World()
    ledger = world.alpha if where == "alpha" else world.beta
    there = known(ledger, "shop", 7) if change in {"changed", "archived"} else id_of(where, "shop", 7)
    claim(world.alpha, "team-a", FLOOD, start=100_000)
    match change:
        case "new":
            claim(ledger, "shop", 1, start=7)
        case "changed":
            claim(ledger, "shop", 1, "other", start=7)
        case "backlog":
            claim(ledger, "shop", 1, start=7, backlog=True)
        case "archived":
            key = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r7")
            identity = violation("shop", 7).identity
            ledger.read(key, [], complete=True, passed=lambda: frozenset({identity}), now=NOW)
    task = asyncio.create_task(world.engine.run())
    await until(lambda: world.calls_until(there) is not None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.calls_until(there) == 1


async def test_two_floods_share_each_call() -> None:
    """Two clusters with floods in the same lane."""
    world = World()
    claim(world.alpha, "team-a", 1_000)
    claim(world.beta, "team-b", 1_000)
    task = asyncio.create_task(world.engine.run())
    await until(lambda: len(world.hub.calls) >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for call in world.hub.calls:
        assert sum(f["Id"].startswith("policyhub/alpha/") for f in call) == 50


async def test_look_ups_take_turns() -> None:
    """Before the inventory reaches them, fresh violations are looked up in turns of clusters and namespaces."""
    world = World(read=False)
    claim(world.alpha, "team-a", FLOOD)
    claim(world.alpha, "shop", 1, start=900_000)
    claim(world.beta, "bank", 1, start=900_000)
    task = asyncio.create_task(world.engine.run())
    await until(lambda: len(world.hub.looked_up) >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    asked = {id_ for ids in world.hub.looked_up[:2] for id_ in ids}
    assert {id_of("alpha", "shop", 900_000), id_of("beta", "bank", 900_000)} <= asked


async def test_reads_before_archives_take_turns() -> None:
    """Thousands of one namespace's findings that only Security Hub knows do not delay the archive of another's."""
    world = World(read=False)

    def held(namespace: str, number: int) -> Observation:
        return Observation(
            id=id_of("alpha", namespace, number),
            observed=ObservedFinding(digest="d", created_at=WALL - 1, updated_at=WALL - 1, archived=False),
            cluster_uid="uid-1",
            source_api=SOURCE_API,
            rule="r",
            source=f"kyverno-{namespace}",
            object_ref=ObjectRef("apps", "v1", "Deployment", namespace, "web"),
        )

    flood = [held("team-a", number) for number in range(1_000)]
    world.alpha.observed.take_part("", [*flood, held("shop", 7)], now=NOW)
    world.alpha.finish_inventory()
    world.alpha.guard.approved = {"kyverno-team-a": NOW + 10**12}
    task = asyncio.create_task(world.engine.run())
    for _ in range(100):
        await asyncio.sleep(0.02)
        world.alpha.evaluate_guard(now=NOW)
        if len(world.hub.looked_up) >= 3:
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    asked = [id_ for ids in world.hub.looked_up[:3] for id_ in ids]
    assert id_of("alpha", "shop", 7) in asked


async def test_a_namespace_with_a_used_up_import_limit() -> None:
    """Only that namespace stops; its waiting findings are not pending, and are sent the next day."""
    world = World(limits=Limits(namespace_imports=100))
    claim(world.alpha, "team-a", 500)
    claim(world.alpha, "shop", 150, start=900_000)
    task = asyncio.create_task(world.engine.run())
    await until(lambda: not figures.pending(world.alpha))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    sent = [f["Resources"][0]["Details"]["Other"]["Namespace"] for f in world.hub.sent]
    assert 100 <= sent.count("team-a") < 100 + 4 * 100, "calls under way when the limit is reached still count"
    assert 100 <= sent.count("shop") <= 150
    assert world.alpha.agenda.count(Hold.BUDGET)
    assert world.alpha.usage.exhausted_namespaces(now=NOW) == ["shop", "team-a"]
