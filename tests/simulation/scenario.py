"""A scenario by seed: a world, a schedule of actions and faults, and quiet days at the end; and the search for the
shortest story that still breaks a promise, by leaving actions out.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tests.simulation.actions import FLAWS
from tests.simulation.auditors import Constraint
from tests.simulation.cluster import Workload
from tests.simulation.faults import KINDS
from tests.simulation.kinds import (
    CONFIGMAP,
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    POD,
    SERVICE,
    STATEFULSET,
    constraint_kind,
)
from tests.simulation.oracle import when
from tests.simulation.rules import Policy
from tests.simulation.world import TENANT, Outcome, World, play

TOGETHER_SECONDS = 400.0
"""Faults come in clusters: the events around one moment are minutes apart."""
TURN_HOURS = 2.0
"""During quiet: the interval at which a person reviews what the guard holds."""


@dataclass(frozen=True)
class Size:
    """How long a world lasts, and how much it contains."""

    settle_hours: float
    """Before the first action, so that scans have seen every object once."""
    busy_hours: tuple[float, float]
    actions: tuple[int, int]
    quiet_hours: float
    namespaces: tuple[str, ...]
    intervals: tuple[float, ...]
    """Seconds between two scans of Kyverno; one of these is chosen."""


LONG = Size(4.0, (3.0, 16.0), (3, 14), 20.0, ("shop", "team"), (3_600.0, 7_200.0, 21_600.0))
"""The quiet time is longer than the oracle waits for a finding that should end."""
SHORT = Size(2.0, (1.0, 3.0), (2, 7), 4.0, ("shop",), (1_800.0, 3_600.0))
"""A fifth of the work: checks all promises except that findings of ended violations end."""


@dataclass(frozen=True)
class Action:
    at: float
    """Seconds since the start of the world."""
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{when(self.at)} {self.kind}"


@dataclass(frozen=True)
class Scenario:
    seed: int
    actions: tuple[Action, ...]
    hours: float
    size: Size = LONG

    @classmethod
    def of(cls, seed: int, kinds: Sequence[str], size: Size = LONG) -> "Scenario":
        rng = random.Random(f"scenario {seed}")
        hours = rng.uniform(*size.busy_hours)
        number = rng.randint(*size.actions)
        settled = 3_600 * size.settle_hours
        moments = [settled + rng.uniform(0, 3_600 * hours) for _ in range(1 + number // 4)]
        chosen = sorted(
            (rng.choice(moments) + rng.expovariate(1 / TOGETHER_SECONDS), rng.choice(sorted(kinds)))
            for _ in range(number)
        )
        return cls(seed, tuple(Action(at, kind, n) for n, (at, kind) in enumerate(chosen)), hours, size)

    def play(self) -> Outcome:
        return play(self._story, seed=f"world {self.seed}")

    async def _story(self, world: World) -> None:
        furnish(world, random.Random(f"furniture {self.seed}"), self.size)
        world.start()
        await world.after(hours=self.size.settle_hours)
        others: list[asyncio.Task[None]] = []
        for action in self.actions:
            await asyncio.sleep(max(0.0, action.at - world.loop.elapsed))
            world.stir()
            done = KINDS[action.kind](world, random.Random(f"{self.seed} {action.number}"))
            if done is not None:
                others.append(world.loop.create_task(_finish(done)))
        for other in others:
            await other
        await asyncio.sleep(max(0.0, 3_600 * (self.size.settle_hours + self.hours) - world.loop.elapsed))
        await quiet(world, self.size.quiet_hours)


async def _finish(work: Awaitable[None]) -> None:
    await work


def furnish(world: World, rng: random.Random, size: Size = LONG) -> None:
    """A cluster of a dozen workloads, some with flaws, and engines with their own policies and intervals."""
    cluster, kyverno = world.cluster, world.kyverno
    for namespace in size.namespaces:
        cluster.namespace(namespace)
        for number in range(rng.randint(2, 4)):
            cluster.deploy(Workload(DEPLOYMENT, namespace, f"web-{number}", _flaws(rng), replicas=rng.randint(1, 3)))
        cluster.deploy(Workload(STATEFULSET, namespace, "db", _flaws(rng), replicas=2))
        cluster.deploy(Workload(DAEMONSET, namespace, "agent", _flaws(rng), replicas=1))
        cluster.deploy(Workload(CRONJOB, namespace, "report", _flaws(rng)))
        cluster.deploy(Workload(SERVICE, namespace, "front", {"nodeport"}))
        cluster.deploy(Workload(CONFIGMAP, namespace, "settings", {"secret"}))
        cluster.deploy(Workload(POD, namespace, "debug", {"caps"}))
    cluster.namespace(TENANT)
    kyverno.interval = rng.choice(size.intervals)
    kyverno.duration = kyverno.interval * rng.uniform(0.05, 0.9)
    kyverno.order = rng.choice(("any", "any", "pods", "controllers"))
    kyverno.add(Policy("caps", "caps", "caps", title="Drop capabilities", severity="high"))
    kyverno.add(Policy("root", "root", "root"))
    kyverno.add(Policy("probes", "probes", "probes", (DEPLOYMENT, STATEFULSET)))
    kyverno.add(Policy("ports", "ports", "nodeport", (SERVICE,), title="No node ports"))
    world.gatekeeper.interval = rng.choice((1_800.0, 3_600.0))
    kinds = (DEPLOYMENT, POD, SERVICE)
    world.gatekeeper.add(Constraint(constraint_kind("K8sNoRoot"), "no-root", "root", kinds))
    world.gatekeeper.add(Constraint(constraint_kind("K8sPorts"), "ports", "nodeport", kinds))
    world.trivy.policies["Secrets in ConfigMaps"] = Policy("Secrets in ConfigMaps", "KSV-0109", "secret")
    world.keep_jobs = rng.random() < 0.5


def _flaws(rng: random.Random) -> set[str]:
    return {flaw for flaw in FLAWS[:3] if rng.random() < 0.4}


async def quiet(world: World, hours: float) -> None:
    """Hours without faults. A person approves a held archive if all of its violations have really ended."""
    for _ in range(round(hours / TURN_HOURS)):
        await world.after(hours=TURN_HOURS)
        for source in sorted(world.product.guarded()):
            if not world.oracle.mistaken(source):
                world.product.approve(source)
                world.disturb()


def shortest(scenario: Scenario, fails: Callable[[Outcome], bool]) -> Scenario:
    """Leave actions out, first halves, then single ones, while the story still fails."""
    size = max(1, len(scenario.actions) // 2)
    while True:
        start, left_out = 0, False
        while start < len(scenario.actions):
            fewer = replace(scenario, actions=scenario.actions[:start] + scenario.actions[start + size :])
            if fails(fewer.play()):
                scenario, left_out = fewer, True
            else:
                start += size
        if size == 1 and not left_out:
            return scenario
        size = max(1, size // 2)
