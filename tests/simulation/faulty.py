"""Stories of faults that the operator had, numbered by the rows of the table of faults in README.md. The docstring of a
story is its right outcome.
"""

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
    """All reports are deleted and created again over hours, Pods first: nothing is archived, because no violation has
    ended.
    """
    await settle(world, *many(DEPLOYMENT, 30, "probes"))
    world.kyverno.order = "pods"
    world.kyverno.duration = 5 * 3_600
    world.kyverno.wipe()
    world.kyverno.rescan()
    await world.after(hours=8)


@story("1")
async def cronjobs_wiped(world: World) -> None:
    """The same with CronJobs between two runs: a CronJob that owns nothing is not deleted."""
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
    """The engine has stopped and its reports are deleted: nothing is archived."""
    await settle(world, *many(CRONJOB, 5, "caps"), *many(DEPLOYMENT, 20, "probes"), *many(SERVICE, 10, "nodeport"))
    world.kyverno.running = False
    world.kyverno.wipe()
    await world.after(days=1)


async def _superseded(world: World) -> list[Workload]:
    """The engine switched report APIs long ago; what was fixed since is archived."""
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
    await world.after(minutes=11)  # until discovery runs often again
    return targets


@story("2")
async def superseded_reconnect(world: World) -> None:
    """After ten minutes without an API server nothing is sent: superseded reports stay superseded."""
    await _superseded(world)
    world.api("down", seconds=600)
    world.api("slow", REPORT.path, seconds=1_800)
    world.server.cut()
    await world.after(hours=5)


@story("2")
async def superseded_401(world: World) -> None:
    """After a single 401 nothing is sent."""
    await _superseded(world)
    world.api("401", "/api/v1/namespaces/kube-system", seconds=90)
    world.api("slow", REPORT.path, seconds=900)
    await world.after(hours=5)


@story("2")
async def superseded_restart(world: World) -> None:
    """After a restart with a slow list nothing is sent."""
    await _superseded(world)
    world.api("slow", REPORT.path, seconds=900)
    await world.restart()
    await world.after(hours=5)


@story("3")
async def fail_only(world: World) -> None:
    """An engine writes failures only: a fixed violation is archived, because other reports show that the engine has
    scanned.
    """
    world.kyverno.fail_only = True
    target = web("caps")
    await settle(world, target, *many(DEPLOYMENT, 3, "caps"))
    world.cluster.change(target, remove="caps")
    await world.after(days=2)


@story("3")
async def policy_deleted(world: World) -> None:
    """A policy about Deployments only is deleted, and nothing reports on their Pods: its findings are archived."""
    world.kyverno.add(Policy("probes", "probes", "probes", (DEPLOYMENT,)))
    world.kyverno.add(Policy("caps", "caps", "caps", namespaces=frozenset({"team"})))
    await settle(world, web("probes"))
    world.kyverno.drop("probes")
    await world.after(days=2)


@story("3")
async def uninstalled(world: World) -> None:
    """The engine is uninstalled: the findings are held with ArchiveHeld, and archived after approval."""
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
    """A rollout between two scans; the new Pods have the sidecar too; a restart before the next scan: stays active."""
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
    """A scan finds the Deployment fixed before it scans the new Pods, whose sidecar violates: stays active."""
    world.kyverno.add(Policy("caps", "caps", "caps", admission=False))
    world.kyverno.order = "controllers"
    world.kyverno.duration = 3_600
    target = web("caps", sidecar="caps")
    await settle(world, target, hours=5)
    world.cluster.change(target, remove="caps")
    await world.after(hours=6)


@story("6", results=["fail"])
async def error_unwanted(world: World) -> None:
    """Results `error` are not selected: a policy that cannot be evaluated resolves no finding."""
    await settle(world, web("caps"), *many(SERVICE, 3, "nodeport"))
    world.kyverno.erring |= {"caps", "ports"}
    world.kyverno.rescan()
    await world.after(hours=5)


@story("8")
async def tenant_freshest(world: World) -> None:
    """A forged report in a tenant's namespace is newer than the engine's own: findings of other namespaces are not
    archived.
    """
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
    """A tenant has an unreadable report. Objects elsewhere are deleted while the operator is down: their findings are
    archived.
    """
    world.forbid(SERVICE.path)  # otherwise the API server would confirm the deletion
    target = Workload(SERVICE, "shop", "target", {"nodeport"})
    await settle(world, target)
    tenants.unreadable(world.server)
    world.loop.call_later(30, world.cluster.delete, target)
    await world.restart(pause=300)
    await world.after(days=2)


@story("8")
async def tenant_passes(world: World) -> None:
    """A forged `pass` about an object of another namespace resolves nothing, even if its own report was deleted."""
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
    """A tenant forges 100 findings; the reports of another namespace are deleted: nothing is archived."""
    world.forbid(SERVICE.path)  # otherwise the API server would confirm that they exist
    await settle(world, *many(SERVICE, 25, "nodeport"))
    tenants.claims(world.server, 100)
    await world.after(minutes=5)
    world.kyverno.running = False
    world.kyverno.wipe()
    await world.after(hours=4)


@story("9")
async def tenant_revision(world: World) -> None:
    """A ReplicaSet with a revision of 5,000 digits does not stop the processing of other objects."""
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
    """After a switch of report APIs and the removal of the old CRDs, what is fixed during the operator's downtime is
    archived.
    """
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
    """A Service is deleted and created again while its engine is stopped: its finding stays active."""
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
    """A sidecar violates a policy that admission does not evaluate: a rollout does not end its finding before the next
    scan.
    """
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
    """Security Hub is disabled and enabled again, empty: all findings are sent again."""
    await settle(world, *many(SERVICE, 5, "nodeport"))
    world.aws("disabled", seconds=1_200)
    world.hub.empty()
    await world.after(hours=6)


@story("17")
async def vanished_unlisted(world: World) -> None:
    """A report API that the operator may not list is removed: fixed violations are archived again."""
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
    """Two audits cannot list one kind: no finding of that kind is archived."""
    world.gatekeeper.add(Constraint(constraint_kind("K8sPorts"), "ports", "nodeport", (SERVICE, CONFIGMAP)))
    await settle(world, *many(SERVICE, 3, "nodeport"))
    world.gatekeeper.unlistable.add("Service")
    await world.after(hours=2)
    world.gatekeeper.unlistable.clear()
    await world.after(hours=2)


@story()
async def template_gone_unseen(world: World) -> None:
    """A ConstraintTemplate is deleted while the API server is unreachable: its findings are archived."""
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
    """A rule whose name begins with `cronjob-` keeps its name: its findings stay separate, for Pods and Deployments
    alike.
    """
    world.kyverno.add(Policy("named", "cronjob-caps", "caps"))
    await settle(world, web("caps"))
    await world.after(hours=2)


@story("23")
async def failed_by_name(world: World) -> None:
    """Security Hub rejects a new finding by id until its violation has ended: the finding is never created, not even
    ARCHIVED.
    """
    await settle(world)
    world.aws("fail", seconds=900, amount=1.0)
    world.cluster.deploy(target := Workload(SERVICE, "shop", "target", {"nodeport"}))
    await world.after(minutes=5)
    world.cluster.delete(target)
    await world.after(hours=6)


@story("15")
async def emptied_while_unreported(world: World) -> None:
    """Security Hub is emptied before a new constraint has its first audit: that audit brings all findings back."""
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
    """Security Hub is emptied and rejects each finding by id: a finding whose violation ends meanwhile is not created
    ARCHIVED.
    """
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
    """Another cluster answers, and its list of Pods comes first: findings that only Pods caused are not archived."""
    target = web("caps", sidecar="caps")
    await settle(world, target)
    world.cluster.change(target, remove="caps")
    await world.after(hours=3)
    discoveries = world.server.requests[f"/apis/{WG}"]
    while world.server.requests[f"/apis/{WG}"] == discoveries:  # the next discovery is as far away as possible
        await world.after(seconds=5)
    world.oracle.replaced = True
    world.kyverno.running = False
    world.server.replace(cut=POD.path)
    world.server.version = 10_000  # an older cluster: the watch cannot resume from its version
    world.server.expire(POD.path)
    await world.after(hours=3)


__all__ = ["STORIES"]
