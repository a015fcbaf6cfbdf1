"""Named, scripted stories on the same models, each with its right outcome. What the oracle finds in one is an error of
the operator.

Each starts in a small cluster without pending changes, and ends with quiet days if its outcome needs them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.auditors import Constraint
from tests.simulation.cluster import Workload
from tests.simulation.kinds import CONFIGMAP, CRONJOB, DEPLOYMENT, SERVICE, STATEFULSET, Kind, constraint_kind
from tests.simulation.rules import Policy
from tests.simulation.world import TENANT, Outcome, World, play

Act = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    name: str
    rows: str
    """Rows of the table of faults in README.md; empty: none."""
    right: str
    act: Act
    spec: dict[str, Any]

    def play(self) -> Outcome:
        return play(self.act, seed=self.name, **self.spec)


STORIES: dict[str, Story] = {}


def story(rows: str = "", **spec: Any) -> Callable[[Act], Act]:
    """Register a story. Its docstring is its right outcome."""

    def register(act: Act) -> Act:
        name = getattr(act, "__name__", "")
        STORIES[name] = Story(name, rows, (act.__doc__ or "").strip(), act, spec)
        return act

    return register


async def settle(world: World, *workloads: Workload, hours: float = 3.0) -> None:
    """Deploy these workloads and three more, with policies, and wait until scans (half an hour of every two) have seen
    them.
    """
    for namespace in ("shop", "team", TENANT):
        world.cluster.namespace(namespace)
    kyverno = world.kyverno
    if not kyverno.policies:
        kyverno.add(Policy("caps", "caps", "caps", title="Drop capabilities"))
        kyverno.add(Policy("probes", "probes", "probes", (DEPLOYMENT,)))
        kyverno.add(Policy("ports", "ports", "nodeport", (SERVICE,)))
    for workload in (
        *workloads,
        Workload(DEPLOYMENT, "team", "other", {"caps"}),
        Workload(SERVICE, "team", "front", {"nodeport"}),
        Workload(STATEFULSET, "team", "db", {"caps"}),
    ):
        world.cluster.deploy(workload)
    world.start()
    await world.after(hours=hours)
    world.stir()


def many(kind: Kind, number: int, *flaws: str, namespace: str = "shop") -> list[Workload]:
    return [Workload(kind, namespace, f"{kind.name.lower()}-{n:02}", set(flaws)) for n in range(number)]


def web(*flaws: str, sidecar: str = "", replicas: int = 2) -> Workload:
    return Workload(DEPLOYMENT, "shop", "web", set(flaws), sidecar={sidecar} if sidecar else set(), replicas=replicas)


@story()
async def restarts(world: World) -> None:
    """A restart sends nothing that is unchanged."""
    await settle(world, web("caps", "probes"), *many(SERVICE, 10, "nodeport"))
    for _ in range(4):
        await world.restart(pause=20)
        await world.after(hours=1)


@story()
async def fixes(world: World) -> None:
    """A rollout's fixes are archived, its new violations become active, and nothing else is sent."""
    target = web("caps")
    await settle(world, target)
    world.cluster.change(target, remove="caps")
    await world.after(hours=3)
    world.cluster.change(target, add="probes")
    await world.after(days=1.5)


@story()
async def sidecar(world: World) -> None:
    """Violations that only Pods have stay active over rollouts while admission evaluates the policies."""
    target = web(sidecar="caps")
    await settle(world, target)
    for _ in range(3):
        world.cluster.change(target)
        await world.after(hours=3)


@story()
async def cut_lists(world: World) -> None:
    """A constraint lists three violations of eight and more: one notice at eight, one at sixteen, none at a start, and
    it ends with a complete list. The notice of a deleted constraint ends too.
    """
    gatekeeper = world.gatekeeper
    gatekeeper.limit = 3
    for name in ("ports", "spare"):
        gatekeeper.add(Constraint(constraint_kind("K8sPorts"), name, "nodeport", (SERVICE,)))
    await settle(world, *many(SERVICE, 7, "nodeport"))
    for workload in many(SERVICE, 9, "nodeport", namespace="team"):
        world.cluster.deploy(workload)
        await world.after(hours=1)
        await world.restart(pause=20)
    gatekeeper.drop("spare")
    await world.after(hours=3)
    gatekeeper.limit = 500
    await world.after(days=1.5)


@story()
async def namespace_again(world: World) -> None:
    """A namespace is deleted and created again a day later: its findings are archived, then active again."""
    await settle(world, web("caps"), *many(SERVICE, 3, "nodeport"))
    world.cluster.end_namespace("shop")
    await world.after(days=1)
    world.cluster.revive_namespace("shop")
    await world.after(days=1.5)


@story()
async def api_server_away(world: World) -> None:
    """An hour without the API server causes no import."""
    await settle(world, web("caps"))
    world.api("down", seconds=3_600)
    world.server.cut()
    await world.after(hours=6)


@story()
async def crds_removed(world: World) -> None:
    """The CRDs of the reports are deleted: their findings stay active, even over a restart."""
    await settle(world, web("caps"))
    world.kyverno.running = False
    for kind in (world.kyverno.report,):
        world.server.remove(kind)
    await world.after(hours=6)
    await world.restart()
    await world.after(days=1)


@story()
async def cluster_replaced(world: World) -> None:
    """Another cluster answers at the address: no finding is sent for it, and none is archived."""
    await settle(world, web("caps"))
    world.oracle.replaced = True
    world.kyverno.running = False
    world.server.replace()
    await world.after(hours=6)
    await world.restart()
    await world.after(days=1)


@story()
async def answers_lost(world: World) -> None:
    """Imports are written but their answers are lost: the same body is sent again at most."""
    target = web("caps")
    await settle(world, target, *many(SERVICE, 8, "nodeport"))
    world.aws("lose", seconds=3_600, amount=0.7)
    world.cluster.change(target, remove="caps")
    for workload in many(CONFIGMAP, 1):
        world.cluster.deploy(workload)
    await world.after(minutes=30)
    world.cluster.change(target, add="caps")
    await world.after(days=1)


@story()
async def engine_restarted(world: World) -> None:
    """Kyverno is stopped for hours and rewrites all its reports: nothing is sent."""
    await settle(world, web("caps"), *many(SERVICE, 5, "nodeport"))
    world.kyverno.running = False
    await world.after(hours=5)
    world.kyverno.running = True
    world.kyverno.rescan()
    await world.after(hours=4)


@story()
async def triage_kept(world: World) -> None:
    """Values that analysts and automation rules set stay as they are, over restarts and an archive."""
    target = web("caps")
    await settle(world, target)
    for id_ in sorted(world.hub.stored):
        world.hub.customize(id_, Workflow={"Status": "SUPPRESSED"}, Severity={"Label": "INFORMATIONAL"})
    await world.restart()
    await world.after(hours=1)
    world.cluster.change(target, remove="caps")
    await world.after(hours=6)


@story()
async def months(world: World) -> None:
    """Five weeks without a change: one refresh, nothing else."""
    await settle(world, web("caps"))
    world.kyverno.interval = 43_200
    await world.after(days=35)


def table() -> str:
    lines = (f"{name:24} {one.rows or '-':5} {one.right.splitlines()[0]}" for name, one in sorted(STORIES.items()))
    return "\n".join(lines)


__all__ = ["CRONJOB", "STORIES", "Story", "many", "settle", "story", "table", "web"]
