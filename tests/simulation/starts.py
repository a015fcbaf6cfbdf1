"""Stories of the operator's starts: restarts, changes of its spec, late inventories, wrong clocks. The docstring of a
story is its right outcome.
"""

from tests.simulation.cluster import Workload
from tests.simulation.faulty import STORIES
from tests.simulation.kinds import CLUSTER_POLICY, CRONJOB, DEPLOYMENT, POD, POLICY_REPORT, SERVICE
from tests.simulation.rules import Policy
from tests.simulation.stories import many, settle, story, web
from tests.simulation.world import World


@story("5")
async def policies_refused(world: World) -> None:
    """The API server answers 403 once for policy objects at a start: nothing is sent."""
    await settle(world, *many(DEPLOYMENT, 5, "caps"))
    world.api("403", CLUSTER_POLICY.path, seconds=30)
    await world.restart()
    await world.after(hours=3)


@story("5")
async def owners_refused(world: World) -> None:
    """Listing Pods is refused for seconds at a start: nothing is sent, and no Pod gets a finding of its own."""
    await settle(world, web("caps", sidecar="probes"), *many(DEPLOYMENT, 5, "caps"))
    world.api("403", POD.path, seconds=10)
    await world.restart()
    await world.after(hours=3)


@story("7")
async def slow_listing(world: World) -> None:
    """A restart whose list is slower than the inventory: nothing is sent."""
    await settle(world, *many(DEPLOYMENT, 25, "caps"))
    world.api("slow", POLICY_REPORT.path, seconds=900)
    await world.restart()
    await world.after(hours=2)


@story("1")
async def wiped_while_away(world: World) -> None:
    """Reports are deleted while the operator is down, and a CronJob runs once before its next scan: its finding stays
    active.
    """
    world.keep_jobs = False
    await settle(world, web("probes"), Workload(CRONJOB, "shop", "report", {"caps"}))
    world.kyverno.order = "pods"
    world.kyverno.duration = 8 * 3_600
    world.kyverno.wipe()
    world.kyverno.rescan()
    await world.restart(pause=60)
    await world.after(hours=4)


@story("4")
async def pass_from_inventory(world: World) -> None:
    """At a start, a Deployment's pass is reported, but not yet its Pods, whose sidecar violates: stays active."""
    world.kyverno.add(Policy("caps", "caps", "caps", admission=False))
    await settle(world, web(sidecar="caps"))
    world.kyverno.order = "controllers"
    world.kyverno.duration = 3 * 3_600
    world.kyverno.wipe()
    world.kyverno.rescan()
    await world.restart(pause=4_200)
    await world.after(hours=4)


@story("11")
async def guard_over_restart(world: World) -> None:
    """Half of the reports are deleted and the guard holds; a restart with a slow inventory releases nothing."""
    world.forbid(SERVICE.path)  # otherwise the API server would confirm that they exist
    await settle(world, *many(SERVICE, 70, "nodeport"), *many(SERVICE, 60, "nodeport", namespace="team"))
    world.kyverno.running = False
    for document in list(world.server.all(POLICY_REPORT)):
        if document["metadata"]["namespace"] == "shop":
            world.server.delete(POLICY_REPORT, "shop", document["metadata"]["name"])
    await world.after(hours=1)
    world.aws("slow", seconds=7_200, amount=250)
    await world.restart()
    await world.after(hours=4)


@story("12")
async def clock_ahead(world: World) -> None:
    """A start with a clock 40 days ahead that is corrected five minutes later: nothing is sent."""
    await settle(world, *many(SERVICE, 3, "nodeport"))
    world.product.skew_ms = 40 * 86_400_000
    await world.product.stop()
    world.product.start()
    await world.after(minutes=5)
    world.product.skew_ms = 0
    await world.after(minutes=10)


@story("18")
async def inventory_overtaken(world: World) -> None:
    """An inventory takes forty minutes and shows the state at its start: findings that were sent since are not sent
    again.
    """
    await settle(world, web("caps"), *many(SERVICE, 3, "nodeport"))
    world.aws("slow", seconds=3 * 3_600, amount=2_400)
    world.aws("disabled", seconds=840)  # the end of the fault starts an inventory
    await world.after(minutes=25)
    world.kyverno.policies["caps"].title = "Drop all capabilities"
    world.kyverno.add(world.kyverno.policies["caps"])
    await world.after(hours=4)


async def sent_under_lag(world: World) -> None:
    """Findings were sent three seconds ago, and GetFindings is a minute behind."""
    await settle(world)
    world.aws("lag", seconds=1_200, amount=60)
    for workload in many(SERVICE, 20, "nodeport"):
        world.cluster.deploy(workload)
    while not any(one.at > world.loop.elapsed - 5 and one.outcome == "new" for one in world.hub.journal):
        await world.after(seconds=1)
    await world.after(seconds=3)


@story("20")
async def restart_under_lag(world: World) -> None:
    """A restart while GetFindings is a minute behind: nothing is sent again, no CreatedAt moves."""
    await sent_under_lag(world)
    await world.restart()
    await world.after(hours=3)


@story("20")
async def changed_under_lag(world: World) -> None:
    """A restart seconds after findings were reactivated, changed or archived, while GetFindings is a minute behind:
    nothing is sent again.
    """
    services = many(SERVICE, 9, "nodeport")
    await settle(world, *services)
    for workload in services[:5]:
        world.cluster.change(workload, remove="nodeport")
    await world.after(hours=5)
    world.aws("lag", seconds=4 * 3_600, amount=60)
    world.kyverno.duration = 15

    async def restart_after(outcome: str) -> None:
        sent = len(world.hub.journal)
        while not any(one.outcome == outcome for one in world.hub.journal[sent:]):
            await world.after(seconds=1)
        await world.after(seconds=20)
        await world.restart()
        await world.after(minutes=30)

    for workload in services[:5]:
        world.cluster.change(workload, add="nodeport")
    await restart_after("reactivated")
    world.kyverno.add(Policy("ports", "ports", "nodeport", (SERVICE,), severity="high"))
    world.kyverno.rescan()
    await restart_after("changed")
    for workload in services[:3]:
        world.cluster.change(workload, remove="nodeport")
    await restart_after("archived")


@story("20")
async def spec_under_lag(world: World) -> None:
    """A spec changes while GetFindings is a minute behind: nothing is sent again, no CreatedAt moves."""
    await sent_under_lag(world)
    await world.product.respec(archiveDelay="15m")
    await world.after(hours=3)


@story("21")
async def unread_at_start(world: World) -> None:
    """GetFindings is refused for half an hour at a start: findings are at most sent again unchanged, with the same
    CreatedAt.
    """
    await settle(world, *many(SERVICE, 5, "nodeport"))
    await world.after(hours=2.5)
    world.aws("unread", seconds=1_800)
    await world.restart()
    await world.after(hours=3)


__all__ = ["STORIES"]
