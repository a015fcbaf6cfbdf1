"""Faults of a simulated world, by kind, in the form of `actions`: of the API server, of Security Hub and its users, of
the operator's process, and of malicious tenants.
"""

import random

from tests.simulation import tenants
from tests.simulation.actions import KINDS, action, minutes, pick
from tests.simulation.world import World

# -- the API server -----------------------------------------------------------------------------------------------


@action
def cut(world: World, rng: random.Random) -> None:
    world.server.cut()
    world.disturb()


@action
def expire(world: World, rng: random.Random) -> None:
    world.server.expire()
    world.disturb()


@action
def api_down(world: World, rng: random.Random) -> None:
    world.api("down", seconds=minutes(rng, 0.2, 60))
    world.server.cut()


@action
def api_refuses(world: World, rng: random.Random) -> None:
    """The API server refuses or fails some reads for a while."""
    prefix = rng.choice(
        ("/apis/wgpolicyk8s.io", "/apis/openreports.io", "/api/v1/pods", "/apis/apps", "/apis/batch", "")
    )
    world.api(rng.choice(("401", "403", "500", "503", "timeout")), prefix, seconds=minutes(rng, 0.2, 60))
    world.server.cut(prefix)


@action
def api_stalls(world: World, rng: random.Random) -> None:
    world.api("stall", rng.choice(("", "/api/v1/pods", "/apis/wgpolicyk8s.io")), seconds=minutes(rng, 1, 30))


@action
def api_late(world: World, rng: random.Random) -> None:
    world.api("late", seconds=minutes(rng, 1, 60))


@action
def api_slow(world: World, rng: random.Random) -> None:
    world.api("slow", seconds=minutes(rng, 5, 60))


@action
async def policies_refused(world: World, rng: random.Random) -> None:
    """The API server refuses to list policy objects for some seconds while the operator starts."""
    world.api("403", "/apis/kyverno.io/v1/clusterpolicies", seconds=rng.uniform(1, 30))
    await world.restart()


@action
async def replace(world: World, rng: random.Random) -> None:
    """From now on, another cluster answers at the address."""
    world.oracle.replaced = True
    world.kyverno.running = world.gatekeeper.running = world.trivy.running = False
    world.server.replace()


# -- Security Hub and its users ------------------------------------------------------------------------------------


@action
def hub_throttles(world: World, rng: random.Random) -> None:
    world.aws("throttle", seconds=minutes(rng, 1, 120), amount=rng.uniform(0.3, 0.95))


@action
def hub_loses(world: World, rng: random.Random) -> None:
    world.aws("lose", seconds=minutes(rng, 1, 60), amount=rng.uniform(0.3, 0.95))


@action
def hub_fails_some(world: World, rng: random.Random) -> None:
    world.aws("fail", seconds=minutes(rng, 1, 60), amount=rng.uniform(0.1, 0.6))


@action
def hub_down(world: World, rng: random.Random) -> None:
    """For less time than the operator waits for an inventory."""
    world.aws("down", seconds=minutes(rng, 1, 12))


@action
def hub_away(world: World, rng: random.Random) -> None:
    """For longer than the operator waits for an inventory."""
    world.aws("down", seconds=minutes(rng, 20, 180))


@action
def hub_unread(world: World, rng: random.Random) -> None:
    world.aws("unread", seconds=minutes(rng, 1, 10))


@action
def hub_lags(world: World, rng: random.Random) -> None:
    world.aws("lag", seconds=minutes(rng, 10, 300), amount=rng.uniform(5, 60))


@action
async def hub_emptied(world: World, rng: random.Random) -> None:
    """Security Hub is disabled, and enabled again without findings."""
    seconds = minutes(rng, 1, 60)
    world.aws("disabled", seconds=seconds)
    world.hub.empty()
    await world.after(seconds=seconds)


@action
def triage(world: World, rng: random.Random) -> None:
    """An analyst or an automation rule updates some findings."""
    for id_ in sorted(world.hub.stored):
        if rng.random() < 0.3:
            values = (
                {"Workflow": {"Status": rng.choice(("NOTIFIED", "SUPPRESSED", "RESOLVED"))}},
                {"Note": {"Text": "seen", "UpdatedBy": "analyst"}},
                {"Severity": {"Label": "INFORMATIONAL"}},
            )
            world.hub.customize(id_, **rng.choice(values))


# -- the operator -------------------------------------------------------------------------------------------------


@action
async def restart(world: World, rng: random.Random) -> None:
    await world.restart(pause=rng.choice((0, 5, 60)))


@action
async def away(world: World, rng: random.Random) -> None:
    """The operator is down for hours."""
    await world.restart(pause=minutes(rng, 30, 600))


@action
async def clock_ahead(world: World, rng: random.Random) -> None:
    """The operator starts with a clock that is weeks ahead and is corrected later."""
    world.product.skew_ms = 40 * 86_400_000
    await world.restart()
    await world.after(minutes=5)
    world.product.skew_ms = 0


@action
def clock_back(world: World, rng: random.Random) -> None:
    world.product.skew_ms -= rng.choice((60_000, 3_600_000))


# -- tenants ------------------------------------------------------------------------------------------------------


@action
def tenant_freshest(world: World, rng: random.Random) -> None:
    tenants.freshest(world.server)


@action
def tenant_error(world: World, rng: random.Random) -> None:
    tenants.unreadable(world.server)


@action
def tenant_passes(world: World, rng: random.Random) -> None:
    if (workload := pick(world, rng)) is not None:
        tenants.passes(world.server, workload)


@action
def tenant_revision(world: World, rng: random.Random) -> None:
    tenants.revision(world.server)


@action
def hub_fails_all(world: World, rng: random.Random) -> None:
    """Security Hub rejects each finding of each request by id."""
    world.aws("fail", seconds=minutes(rng, 10, 40), amount=1.0)


@action
async def results_fail(world: World, rng: random.Random) -> None:
    """From now on, the MonitoredCluster selects results `fail` only."""
    world.product.spec["results"] = ["fail"]
    await world.restart()


__all__ = ["KINDS"]
