"""Actions of a simulated world, by kind. Each action gets the world and its own random generator, so that its choices
do not depend on the other actions of the story, and actions can be left out of a story.

`KINDS` lists them. An action that needs an engine or a setting that its world does not have does nothing.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.simulation.cluster import Workload
from tests.simulation.kinds import (
    CLUSTER_POLICY_REPORT,
    CONTROLLERS,
    DEPLOYMENT,
    OPEN,
    POLICY_REPORT,
    REPORT,
    STATEFULSET,
)
from tests.simulation.world import TENANT, World

Act = Callable[[World, random.Random], Awaitable[None] | None]
KINDS: dict[str, Act] = {}
FLAWS = ("caps", "probes", "root", "nodeport", "secret")

F = TypeVar("F", bound=Act)
T = TypeVar("T")


def action(act: F) -> F:
    KINDS[act.__name__.rstrip("_")] = act
    return act


def pick(world: World, rng: random.Random, *kinds: object) -> Workload | None:
    found = [w for w in world.cluster.there() if w.namespace != TENANT and (not kinds or w.kind in kinds)]
    return rng.choice(found) if found else None


def minutes(rng: random.Random, least: float, most: float) -> float:
    return 60 * rng.uniform(least, most)


# -- the users of the cluster -------------------------------------------------------------------------------------


@action
def rollout(world: World, rng: random.Random) -> None:
    """A new revision, with the same flaws."""
    if (workload := pick(world, rng, *CONTROLLERS)) is not None:
        world.cluster.change(workload)


@action
def break_(world: World, rng: random.Random) -> None:
    if (workload := pick(world, rng)) is not None:
        world.cluster.change(workload, add=rng.choice(FLAWS))


@action
def fix(world: World, rng: random.Random) -> None:
    bad = [w for w in world.cluster.there() if w.flaws]
    if bad:
        workload = rng.choice(bad)
        world.cluster.change(workload, remove=rng.choice(sorted(workload.flaws)))


@action
def inject(world: World, rng: random.Random) -> None:
    """All Pods get a sidecar with a flaw from now on. No Pod template shows it."""
    if (workload := pick(world, rng, DEPLOYMENT, STATEFULSET)) is not None:
        world.cluster.change(workload, add="root", sidecar=True)


@action
def scale_down(world: World, rng: random.Random) -> None:
    if (workload := pick(world, rng, DEPLOYMENT, STATEFULSET)) is not None:
        world.cluster.scale(workload, 0)


@action
def scale_up(world: World, rng: random.Random) -> None:
    down = [w for w in world.cluster.there(DEPLOYMENT, STATEFULSET) if w.replicas == 0]
    if down:
        world.cluster.scale(rng.choice(down), 2)


@action
def delete(world: World, rng: random.Random) -> None:
    if (workload := pick(world, rng)) is not None:
        world.cluster.delete(workload)


@action
def create(world: World, rng: random.Random) -> None:
    """Create an object again that was deleted long ago."""
    gone = sorted((w for w in world.cluster.workloads.values() if not w.exists), key=lambda w: (w.namespace, w.name))
    if gone:
        workload = rng.choice(gone)
        workload.revision = 0
        world.cluster.deploy(workload)


@action
def recreate(world: World, rng: random.Random) -> None:
    """Delete an object and create it again under the same name, seconds to minutes later."""
    if (workload := pick(world, rng)) is not None:
        world.cluster.recreate(workload, seconds=rng.choice((10, 60, 300)))


@action
def end_namespace(world: World, rng: random.Random) -> None:
    world.cluster.end_namespace(rng.choice([n for n in world.cluster.namespaces() if n != TENANT]))


@action
def revive_namespace(world: World, rng: random.Random) -> None:
    for name in world.cluster.namespaces():
        world.cluster.revive_namespace(name)


# -- policies -----------------------------------------------------------------------------------------------------


@action
def policy_edit(world: World, rng: random.Random) -> None:
    if world.kyverno.policies:
        policy = world.kyverno.policies[rng.choice(sorted(world.kyverno.policies))]
        policy.severity = rng.choice(("low", "medium", "high"))
        world.kyverno.add(policy)


@action
def policy_delete(world: World, rng: random.Random) -> None:
    if world.kyverno.policies:
        world.kyverno.drop(rng.choice(sorted(world.kyverno.policies)))


@action
def exception(world: World, rng: random.Random) -> None:
    workload = pick(world, rng)
    if workload is not None and world.kyverno.policies:
        policy = world.kyverno.policies[rng.choice(sorted(world.kyverno.policies))]
        policy.excepted.add((workload.namespace, workload.name))
        world.truth.mark()


@action
async def policy_error(world: World, rng: random.Random) -> None:
    """A policy cannot be evaluated for some hours."""
    if world.kyverno.policies:
        name = rng.choice(sorted(world.kyverno.policies))
        world.kyverno.erring.add(name)
        await world.after(hours=rng.uniform(2, 8))
        world.kyverno.erring.discard(name)


@action
def constraint_delete(world: World, rng: random.Random) -> None:
    if world.gatekeeper.constraints:
        world.gatekeeper.drop(rng.choice(sorted(world.gatekeeper.constraints)))
        world.truth.mark()


@action
def template_delete(world: World, rng: random.Random) -> None:
    if world.gatekeeper.constraints:
        name = rng.choice(sorted(world.gatekeeper.constraints))
        world.gatekeeper.drop_template(world.gatekeeper.constraints[name].kind)
        world.truth.mark()


@action
def constraint_again(world: World, rng: random.Random) -> None:
    """Delete a constraint and create it again at once: it has no status before the next audit."""
    if world.gatekeeper.constraints:
        constraint = world.gatekeeper.constraints[rng.choice(sorted(world.gatekeeper.constraints))]
        world.gatekeeper.drop(constraint.name)
        world.gatekeeper.add(constraint)


# -- engines ------------------------------------------------------------------------------------------------------


@action
async def engine_stopped(world: World, rng: random.Random) -> None:
    """Kyverno stops for a while. When it starts again, it rewrites all its reports."""
    world.kyverno.running = False
    world.disturb()
    await world.after(seconds=minutes(rng, 5, 600))
    world.kyverno.running = True
    world.kyverno.rescan()
    world.disturb(world.kyverno.duration + 120)


@action
def rescan(world: World, rng: random.Random) -> None:
    world.kyverno.rescan()


@action
def wipe(world: World, rng: random.Random) -> None:
    """All reports are deleted. The next scan, which starts at once, creates them again."""
    world.kyverno.wipe()
    world.kyverno.rescan()
    world.disturb(world.kyverno.duration + 300)


@action
def switch(world: World, rng: random.Random) -> None:
    if world.kyverno.group == "wgpolicyk8s.io":
        world.kyverno.switch()
        world.disturb(world.kyverno.duration + 4 * 3_600)


@action
def uninstall(world: World, rng: random.Random) -> None:
    """An engine is uninstalled with its policies; its CRDs remain."""
    world.uninstalled = True
    world.kyverno.running = False
    for name in sorted(world.kyverno.policies):
        world.kyverno.drop(name)
    world.kyverno.wipe()
    world.disturb()


@action
async def audit_stopped(world: World, rng: random.Random) -> None:
    world.gatekeeper.running = False
    await world.after(hours=rng.uniform(1, 12))
    world.gatekeeper.running = True


@action
async def audit_partial(world: World, rng: random.Random) -> None:
    """Listing one kind fails for two or more audits."""
    kind = rng.choice(("Pod", "Deployment", "Service"))
    world.gatekeeper.unlistable.add(kind)
    await world.after(seconds=world.gatekeeper.interval * rng.uniform(1, 3))
    world.gatekeeper.unlistable.discard(kind)


@action
async def audit_limit(world: World, rng: random.Random) -> None:
    world.gatekeeper.limit = rng.choice((1, 3))
    await world.after(hours=rng.uniform(2, 12))
    world.gatekeeper.limit = 500


@action
def background(world: World, rng: random.Random) -> None:
    """From now on, only background scans evaluate a policy."""
    if world.kyverno.policies:
        world.kyverno.policies[rng.choice(sorted(world.kyverno.policies))].admission = False


@action
def fail_only(world: World, rng: random.Random) -> None:
    """Kyverno restarts with `--allowedResults=fail` and rewrites its reports."""
    world.kyverno.fail_only = True
    world.kyverno.rescan()


@action
def old_crds(world: World, rng: random.Random) -> None:
    """After a switch of report APIs, the reports and the CRDs of the old API are deleted, as the documentation
    advises.
    """
    if world.kyverno.group == OPEN:
        for kind in (POLICY_REPORT, CLUSTER_POLICY_REPORT):
            world.server.remove(kind)


@action
async def other_api(world: World, rng: random.Random) -> None:
    """A second report API is installed. Nobody writes to it, and the operator may not list it. Later it is removed."""
    if world.kyverno.group != OPEN and not world.server.serves(REPORT):
        seconds = minutes(rng, 30, 300)
        world.api("403", REPORT.path, seconds=seconds)
        world.server.install(REPORT)
        await world.after(seconds=seconds)
        if world.kyverno.group != OPEN:
            world.server.remove(REPORT)
