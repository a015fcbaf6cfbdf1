"""Stories of faults that the core had or has, by the rows of its table; the docstring is the right outcome."""

from tests.simulation import tenants
from tests.simulation.auditors import Constraint
from tests.simulation.cluster import Workload
from tests.simulation.kinds import (
    CLUSTER_POLICY_REPORT,
    CLUSTER_REPORT,
    CONFIGMAP,
    CRONJOB,
    DEPLOYMENT,
    POD,
    POLICY_REPORT,
    REPORT,
    SERVICE,
    WG,
    constraint_kind,
)
from tests.simulation.rules import Policy
from tests.simulation.stories import STORIES, many, settle, story, web
from tests.simulation.world import World


@story("1")
async def wiped_reports(world: World) -> None:
    """All reports are deleted and made anew over hours, Pods first: nothing is archived, no violation has ended."""
    await settle(world, *many(DEPLOYMENT, 30, "probes"))
    world.kyverno.order = "pods"
    world.kyverno.duration = 5 * 3_600
    world.kyverno.wipe()
    world.kyverno.rescan()
    await world.after(hours=8)


@story("1")
async def cronjobs_wiped(world: World) -> None:
    """The same with CronJobs between two runs: owning nothing is not being deleted."""
    world.keep_jobs = False
    await settle(world, *many(CRONJOB, 25, "caps"))
    await world.after(minutes=30)
    world.kyverno.running = False
    world.kyverno.wipe()
    await world.after(hours=1)
    world.kyverno.running = True
    world.kyverno.rescan()
    await world.after(hours=4)


@story("1")
async def engine_ended(world: World) -> None:
    """The engine has ended and its reports are deleted: nothing is archived."""
    await settle(world, *many(CRONJOB, 5, "caps"), *many(DEPLOYMENT, 20, "probes"), *many(SERVICE, 10, "nodeport"))
    world.kyverno.running = False
    world.kyverno.wipe()
    await world.after(days=1)


async def _superseded(world: World) -> list[Workload]:
    """A switch of report APIs long ago; what was fixed since is archived."""
    world.kyverno.interval, world.kyverno.duration = 3_600, 600
    targets = many(DEPLOYMENT, 5, "caps", "probes")
    await settle(world, *targets)
    world.kyverno.switch()
    await world.after(hours=5)
    for target in targets[:3]:
        world.cluster.change(target, remove="probes")
    world.kyverno.policies["probes"].severity = "low"
    world.kyverno.add(world.kyverno.policies["probes"])
    await world.after(hours=8)
    world.stir()
    await world.after(minutes=11)  # until discoveries are frequent again
    return targets


@story("2")
async def superseded_reconnect(world: World) -> None:
    """After ten minutes without an API server nothing is sent: the reports left behind stay left behind."""
    await _superseded(world)
    world.api("down", seconds=600)
    world.api("slow", REPORT.path, seconds=1_800)
    world.server.cut()
    await world.after(hours=5)


@story("2")
async def superseded_401(world: World) -> None:
    """After one 401 nothing is sent."""
    await _superseded(world)
    world.api("401", "/api/v1/namespaces/kube-system", seconds=90)
    world.api("slow", REPORT.path, seconds=900)
    await world.after(hours=5)


@story("2")
async def superseded_restart(world: World) -> None:
    """After a restart with a slow listing nothing is sent."""
    await _superseded(world)
    world.api("slow", REPORT.path, seconds=900)
    await world.restart()
    await world.after(hours=5)


@story("3")
async def fail_only(world: World) -> None:
    """An engine that writes failures only: what is fixed is archived, as other reports tell that it has looked."""
    world.kyverno.fail_only = True
    target = web("caps")
    await settle(world, target, *many(DEPLOYMENT, 3, "caps"))
    world.cluster.change(target, remove="caps")
    await world.after(days=2)


@story("3")
async def policy_deleted(world: World) -> None:
    """A policy about Deployments alone is deleted, where nothing reports on their Pods: archived."""
    world.kyverno.add(Policy("probes", "probes", "probes", (DEPLOYMENT,)))
    world.kyverno.add(Policy("caps", "caps", "caps", namespaces=frozenset({"team"})))
    await settle(world, web("probes"))
    world.kyverno.drop("probes")
    await world.after(days=2)


@story("3")
async def uninstalled(world: World) -> None:
    """The engine is uninstalled: held with ArchiveHeld, and archived once a person approves."""
    await settle(world, *many(DEPLOYMENT, 25, "caps"))
    world.uninstalled = True
    world.kyverno.running = False
    for name in sorted(world.kyverno.policies):
        world.kyverno.drop(name)
    world.kyverno.wipe()
    await world.after(hours=6)
    world.product.approve("kyverno")
    world.stir()
    await world.after(hours=6)
    world.oracle.approved(world.loop.elapsed, "kyverno")


@story("4")
async def grading_ignores_pods(world: World) -> None:
    """A rollout between two scans, new Pods have the sidecar too; a restart before the next scan: stays active."""
    world.kyverno.add(Policy("caps", "caps", "caps", admission=False))
    target = web(sidecar="caps")
    await settle(world, target)
    await world.after(hours=1.7)
    world.cluster.change(target)
    world.stir()
    await world.after(minutes=20)
    await world.restart()
    await world.after(hours=4)


@story("4")
async def pass_before_pods(world: World) -> None:
    """A scan finds the Deployment fixed before it looks at the new Pods, whose sidecar violates: stays active."""
    world.kyverno.add(Policy("caps", "caps", "caps", admission=False))
    world.kyverno.order = "controllers"
    world.kyverno.duration = 3_600
    target = web("caps", sidecar="caps")
    await settle(world, target, hours=5)
    world.cluster.change(target, remove="caps")
    await world.after(hours=6)


@story("6", results=["fail"])
async def error_unwanted(world: World) -> None:
    """Results `error` are not asked for: a policy that cannot be evaluated ends no finding."""
    await settle(world, web("caps"), *many(SERVICE, 3, "nodeport"))
    world.kyverno.erring |= {"caps", "ports"}
    world.kyverno.rescan()
    await world.after(hours=5)


@story("8")
async def tenant_freshest(world: World) -> None:
    """One forged report in a tenant's namespace, newer than the engine's own: nobody else's findings are archived."""
    world.kyverno.interval = 86_400
    world.server.install(REPORT)
    world.server.install(CLUSTER_REPORT)
    await settle(world, *many(SERVICE, 15, "nodeport"))
    await world.after(hours=3)
    world.stir()
    tenants.freshest(world.server)
    await world.after(hours=4)


@story("8 16")
async def tenant_unreadable(world: World) -> None:
    """One unreadable report of a tenant: what is deleted elsewhere while the operator is away is archived."""
    world.forbid(SERVICE.path)  # else the API server would tell that it is deleted
    target = Workload(SERVICE, "shop", "target", {"nodeport"})
    await settle(world, target)
    tenants.unreadable(world.server)
    world.loop.call_later(30, world.cluster.delete, target)
    await world.restart(pause=300)
    await world.after(days=2)


@story("8")
async def tenant_passes(world: World) -> None:
    """A forged `pass` about an object of another namespace ends nothing, also where its own report was wiped."""
    target = web("caps", "probes")
    await settle(world, target)
    tenants.passes(world.server, target)
    await world.after(hours=3)
    await world.restart()
    await world.after(hours=3)
    world.kyverno.running = False
    world.kyverno.wipe()
    await world.after(minutes=1)
    tenants.passes(world.server, target)
    await world.after(hours=2)


@story("8")
async def tenant_inflates(world: World) -> None:
    """A tenant has 100 findings by a forged report; the reports of another namespace are wiped: nothing is archived."""
    world.forbid(SERVICE.path)  # else the API server would tell that they exist
    await settle(world, *many(SERVICE, 25, "nodeport"))
    tenants.claims(world.server, 100)
    await world.after(minutes=5)
    world.kyverno.running = False
    world.kyverno.wipe()
    await world.after(hours=4)


@story("9")
async def tenant_revision(world: World) -> None:
    """A revision of 5,000 digits on one ReplicaSet stops nobody."""
    target = web("caps")
    await settle(world, target)
    tenants.revision(world.server)
    await world.restart()
    await world.after(minutes=10)
    world.cluster.change(target, add="probes")
    world.cluster.deploy(Workload(DEPLOYMENT, "shop", "fresh", sidecar={"caps"}))
    await world.after(hours=5)


@story("10")
async def migrated(world: World) -> None:
    """After a switch of report APIs and the removal of the old CRDs, what is fixed while nobody looks is archived."""
    target = web("probes")
    world.kyverno.interval, world.kyverno.duration = 3_600, 600
    await settle(world, target)
    world.kyverno.switch()
    await world.after(hours=2)
    for document in list(world.server.all(POLICY_REPORT)):
        world.server.delete(POLICY_REPORT, document["metadata"]["namespace"], document["metadata"]["name"])
    world.server.remove(POLICY_REPORT)
    world.server.remove(CLUSTER_POLICY_REPORT)
    await world.after(hours=1)
    world.loop.call_later(30, lambda: world.cluster.change(target, remove="probes"))
    await world.restart(pause=300)
    await world.after(days=2)


@story("13")
async def again_between_scans(world: World) -> None:
    """A Service is deleted and created again while its engine is stopped: its finding stays."""
    target = Workload(SERVICE, "shop", "target", {"nodeport"})
    await settle(world, target)
    world.kyverno.running = False
    world.cluster.recreate(target, seconds=60)
    await world.after(hours=5)
    world.kyverno.running = True
    world.kyverno.rescan()
    await world.after(hours=3)


@story("14")
async def background_only(world: World) -> None:
    """A policy without admission, violated by a sidecar: a rollout does not end its finding before the next scan."""
    world.kyverno.add(Policy("caps", "caps", "caps", admission=False))
    world.kyverno.add(Policy("labels", "labels", "labels"))
    target = web(sidecar="caps")
    await settle(world, target)
    await world.after(hours=1.7)
    world.cluster.change(target)
    world.stir()
    await world.after(hours=4)


@story("15")
async def hub_emptied(world: World) -> None:
    """Security Hub is disabled and enabled again, empty: all findings are there again."""
    await settle(world, *many(SERVICE, 5, "nodeport"))
    world.aws("disabled", seconds=1_200)
    world.hub.empty()
    await world.after(hours=6)


@story("17")
async def vanished_unlisted(world: World) -> None:
    """A report API that may not be listed goes: what is fixed is archived again."""
    world.server.install(REPORT)
    world.api("403", REPORT.path, seconds=6 * 3_600)
    target = Workload(SERVICE, "shop", "target", {"nodeport"})
    await settle(world, target)
    world.server.remove(REPORT)
    await world.after(hours=4)
    world.cluster.change(target, remove="nodeport")
    await world.after(days=2)


@story("18")
async def audits_partial(world: World) -> None:
    """Two audits cannot list one kind: no finding of it is archived."""
    world.gatekeeper.add(Constraint(constraint_kind("K8sPorts"), "ports", "nodeport", (SERVICE, CONFIGMAP)))
    await settle(world, *many(SERVICE, 3, "nodeport"))
    world.gatekeeper.blind.add("Service")
    await world.after(hours=2)
    world.gatekeeper.blind.clear()
    await world.after(hours=2)


@story()
async def template_gone_unseen(world: World) -> None:
    """A ConstraintTemplate is deleted while the API server cannot be reached: what it found is archived."""
    kind = constraint_kind("K8sPorts")
    world.gatekeeper.add(Constraint(kind, "ports", "nodeport", (SERVICE,)))
    await settle(world, *many(SERVICE, 3, "nodeport"))
    await world.after(minutes=11)
    world.api("down", seconds=1_500)
    await world.after(minutes=12)
    world.gatekeeper.drop_template(kind)
    world.truth.mark()
    await world.after(days=1)


@story("18")
async def rule_called_cronjob(world: World) -> None:
    """A rule whose name begins with `cronjob-` keeps it: its findings are its own, of Pods and Deployments alike."""
    world.kyverno.add(Policy("named", "cronjob-caps", "caps"))
    await settle(world, web("caps"))
    await world.after(hours=2)


@story("23")
async def failed_by_name(world: World) -> None:
    """A new finding is failed by name until its violation is gone: none is created, ARCHIVED or otherwise."""
    await settle(world)
    world.aws("fail", seconds=900, amount=1.0)
    world.cluster.deploy(target := Workload(SERVICE, "shop", "target", {"nodeport"}))
    await world.after(minutes=5)
    world.cluster.delete(target)
    await world.after(hours=6)


@story("15")
async def emptied_while_unreported(world: World) -> None:
    """Security Hub is emptied while a constraint made again was not audited yet: with its audit all are there again."""
    constraint = Constraint(constraint_kind("K8sPorts"), "ports", "nodeport", (SERVICE,))
    world.gatekeeper.add(constraint)
    await settle(world, *many(SERVICE, 3, "nodeport"))
    world.gatekeeper.running = False
    world.gatekeeper.drop("ports")
    world.gatekeeper.add(constraint)
    await world.after(minutes=10)
    world.aws("disabled", seconds=1_200)
    world.hub.empty()
    await world.after(hours=4)
    world.gatekeeper.running = True
    await world.after(hours=4)


@story("15 23")
async def emptied_and_failed(world: World) -> None:
    """Emptied, Security Hub fails each finding by name: one whose violation ends meanwhile is not created ARCHIVED."""
    await settle(world, target := Workload(SERVICE, "shop", "target", {"nodeport"}), *many(SERVICE, 3, "nodeport"))
    world.aws("disabled", seconds=900)
    world.aws("fail", seconds=7_200, amount=1.0)
    world.hub.empty()
    await world.after(hours=1)
    world.cluster.delete(target)
    await world.after(hours=6)


@story("24")
async def back_in_flight(world: World) -> None:
    """A violation comes back while the answers to its archive are lost: active again within the hour."""
    target = Workload(SERVICE, "shop", "target", {"nodeport"})
    await settle(world, target)
    world.aws("lose", seconds=300, amount=1.0)
    world.cluster.change(target, remove="nodeport")
    while not any(one.outcome == "archived" for one in world.hub.journal):
        await world.after(seconds=1)
    world.cluster.change(target, add="nodeport")
    await world.after(hours=4)


@story("18")
async def pods_of_another_cluster(world: World) -> None:
    """Another cluster answers, first the listing of Pods: what only Pods violated is not archived."""
    target = web("caps", sidecar="caps")
    await settle(world, target)
    world.cluster.change(target, remove="caps")
    await world.after(hours=3)
    discoveries = world.server.requests[f"/apis/{WG}"]
    while world.server.requests[f"/apis/{WG}"] == discoveries:  # the next one is as far away as can be
        await world.after(seconds=5)
    world.oracle.replaced = True
    world.kyverno.running = False
    world.server.replace(cut=POD.path)
    world.server.version = 10_000  # an older cluster: what the watch would resume from is gone
    world.server.expire(POD.path)
    await world.after(hours=3)


__all__ = ["STORIES"]
