"""What happens to the company, one thing after the other. Each step acts and returns when the engines' own objects say
what it led to; the stage then compares Security Hub with them.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from dev.company.workload import WORKLOADS, Workload
from dev.engines import Engine
from dev.engines.rules import RULES
from tests.e2e.stage import DELAY_SECONDS, LIMIT, Stage
from tests.faults.truth import CONSTRAINTS, Violation

NOTHING: frozenset[str] = frozenset()
FOUND = frozenset({"created", "changed"})
BACK = frozenset({"reactivated", "changed"})
LESS = frozenset({"archived", "changed"})
"""Changed: where the Deployment's own result comes later or goes earlier than its Pods'."""
AWAY_SECONDS = 3.0 * DELAY_SECONDS
"""How long an engine is away: longer than the archive delay."""
FEW = 5
"""Violations that Gatekeeper lists with its limit lowered."""

ADDED = {"docker-socket", "host-path", "host-ports"}
"""What the cart has not at first; the socket of the runtime is a path of the node too."""
GONE = ("harbour-no-digest", "harbour-latest", "payments/harbour-token")
"""Policies that are deleted: for the whole cluster, in CEL, of one namespace."""
TEMPLATES = "/apis/templates.gatekeeper.sh/v1/constrainttemplates"
APPS = "/apis/apps/v1/namespaces"
WGPOLICY = "/apis/wgpolicyk8s.io/v1alpha2"


class Step(NamedTuple):
    name: str
    act: Callable[[Stage], None]
    allowed: frozenset[str]
    """What may happen to findings."""
    of: Callable[[Violation], bool] = lambda _: True
    """And to which."""


def first_sync(stage: Stage) -> None:
    stage.operator.start()
    stage.until(lambda: stage.operator.metric("policyhub_in_sync") == 1, "the operator to be in sync")
    stage.suppress()


def violate(stage: Stage) -> None:
    cart = workload("shop", "cart")
    stage.change(cart, add=ADDED)
    await_rollout(stage, cart)
    stage.until(lambda: stage.claimed(*both(cart, ADDED)), "both engines to find what is wrong with the cart")


def fix(stage: Stage) -> None:
    cart = workload("shop", "cart")
    stage.change(cart, remove=ADDED)
    await_rollout(stage, cart)
    stage.until(lambda: stage.none(added), "both engines to find nothing wrong with the cart")


def roll_out(stage: Stage) -> None:
    """A new label makes a new ReplicaSet and new Pods, which both engines look at."""
    web = workload("shop", "web")
    began = time.time()
    patch = {"spec": {"template": {"metadata": {"annotations": {"harbour.example/build": "2"}}}}}
    stage.cluster.request("PATCH", f"{APPS}/shop/deployments/web", patch)
    await_rollout(stage, web)
    stage.until(lambda: stage.scene.scanned(began), "Kyverno to look at the new Pods")


def await_rollout(stage: Stage, deployment: Workload) -> None:
    """Until only new Pods are left and Gatekeeper has begun an audit since."""
    of = (deployment.namespace, deployment.name)
    stage.until(lambda: stage.scene.rolled_out(*of), f"the rollout of {deployment.name}")
    done = time.time()
    stage.until(lambda: stage.scene.audited(done), "Gatekeeper to look at the new Pods")


def delete_object(stage: Stage) -> None:
    stage.delete(f"{APPS}/payments/deployments/fraud-check")
    stage.until(lambda: stage.none(named("fraud-check")), "nothing to be said of fraud-check")


def delete_policy(stage: Stage) -> None:
    """One of each kind."""
    stage.delete("/apis/kyverno.io/v1/clusterpolicies/harbour-no-digest")
    stage.delete("/apis/policies.kyverno.io/v1/validatingpolicies/harbour-latest")
    stage.delete("/apis/kyverno.io/v1/namespaces/payments/policies/harbour-token")
    stage.until(lambda: stage.none(by(*GONE)), "no result of the policies")


def delete_constraint(stage: Stage) -> None:
    stage.delete(f"{CONSTRAINTS}/harbourroot/no-root")
    stage.until(lambda: stage.none(lambda v: v.policy == "HarbourRoot"), "the constraint to be gone")


def delete_template(stage: Stage) -> None:
    stage.delete(f"{TEMPLATES}/harbourescalation")
    stage.until(lambda: stage.none(lambda v: v.policy == "HarbourEscalation"), "the kind to be gone")


def delete_namespace(stage: Stage) -> None:
    stage.delete("/api/v1/namespaces/analytics")
    stage.until(lambda: stage.none(within("analytics")), "nothing to be said of the namespace")


def kill(engine: Callable[[Stage], Engine], alive: Callable[[Stage, float], bool]) -> Callable[[Stage], None]:
    """As the kernel does; back after a moment, and it goes on when it has looked at everything again."""

    def act(stage: Stage) -> None:
        engine(stage).kill()
        time.sleep(2)  # as a kubelet takes to start it again
        engine(stage).start()
        now = time.time()
        stage.until(lambda: alive(stage, now), f"{engine(stage).name} to be at work")

    return act


def kill_controllers(stage: Stage) -> None:
    """Meanwhile a workload is deleted, and nobody collects what it has left behind: its Pods go on."""
    stage.controllers.kill()
    stage.delete(f"{APPS}/payments/deployments/ledger-api")
    time.sleep(AWAY_SECONDS)


def start_controllers(stage: Stage) -> None:
    stage.controllers.start()
    stage.until(lambda: stage.none(named("ledger-api")), "nothing to be said of the ledger's API")


def kill_operator(stage: Stage) -> None:
    stage.operator.kill()
    stage.operator.start()
    stage.until(lambda: stage.operator.metric("policyhub_in_sync") == 1, "the operator to be in sync")


def limit(number: int) -> Callable[[Stage], None]:
    """Gatekeeper lists so many violations of a constraint at most."""

    def act(stage: Stage) -> None:
        stage.gatekeeper.stop()
        stage.gatekeeper.limit = number
        stage.gatekeeper.start()
        now = time.time()
        stage.until(lambda: stage.scene.audited(now), f"an audit that lists {number} at most")
        if number < LIMIT:
            stage.until(lambda: bool(stage.mirror.now.cut), "lists that are cut")
        else:
            stage.until(lambda: not stage.mirror.now.cut, "whole lists")

    return act


def stop_kyverno(stage: Stage) -> None:
    """Meanwhile a workload is mended, which nobody says, and another one deleted, whose reports are collected."""
    stage.kyverno.stop()
    stage.change(workload("shop", "checkout"), remove=set(stage.flaws["Deployment", "shop", "checkout"]))
    stage.delete(f"{APPS}/shop/deployments/catalog")
    time.sleep(AWAY_SECONDS)
    stage.until(lambda: stage.none(named("catalog")), "nothing to be said of the catalog")
    stage.until(lambda: stage.none(lambda v: v.name == "checkout" and v.source == "gatekeeper"), "the audit")


def stop_gatekeeper(stage: Stage) -> None:
    """Meanwhile a workload is deleted whose Pods stay listed: nobody but the API server says that they are gone."""
    stage.gatekeeper.stop()
    stage.delete(f"{APPS}/monitoring/deployments/grafana")
    time.sleep(AWAY_SECONDS)
    stage.until(lambda: stage.none(named("grafana")), "nothing to be said of grafana")


def start_gatekeeper(stage: Stage) -> None:
    stage.gatekeeper.start()
    now = time.time()
    stage.until(lambda: stage.scene.audited(now), "an audit")


def start_kyverno(stage: Stage) -> None:
    stage.kyverno.start()
    stage.until(lambda: stage.none(named("checkout")), "nothing to be wrong with the checkout")


def open_reports(stage: Stage) -> None:
    """Kyverno writes all of it anew, into the other API; what it wrote before stays as it is."""
    stage.kyverno.stop()
    stage.kyverno.open_reports = True
    stage.kyverno.start()

    def written() -> bool:
        old, new = stage.mirror.of("wgpolicyk8s.io"), stage.mirror.of("openreports.io")
        return old.severities.keys() <= new.severities.keys()

    stage.until(written, "the same results in openreports.io")


def drop_old_reports(stage: Stage) -> None:
    """As the operator's condition SupersededReports advises."""
    delete_reports(stage)
    stage.until(lambda: not stage.mirror.of("wgpolicyk8s.io").severities, "the old reports to be gone")


def wipe_reports(stage: Stage) -> None:
    """All of them, at once, while Kyverno is at work: it writes them again as its scan comes by."""
    before, began = stage.claims(), time.time()
    delete_reports(stage)
    stage.until(lambda: stage.scene.scanned(began), "Kyverno to look at all of it again")
    stage.until(lambda: stage.claims() == before, "the same results as before")


def delete_reports(stage: Stage) -> None:
    """Of the older API."""
    for kind in ("policyreports", "clusterpolicyreports"):
        for report in stage.cluster.request("GET", f"{WGPOLICY}/{kind}")["items"]:
            metadata = report["metadata"]
            where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
            stage.delete(f"{WGPOLICY}{where}/{kind}/{metadata['name']}")


def workload(namespace: str, name: str) -> Workload:
    return next(w for w in WORKLOADS if (w.namespace, w.name) == (namespace, name))


def both(of: Workload, flaws: set[str]) -> list[Violation]:
    """What the two engines say of it."""
    about = (of.kind, of.namespace, of.name)
    rules = [rule for rule in RULES if rule.flaw in flaws]
    kyverno = [Violation(*rule.result, *about) for rule in rules]
    return kyverno + [Violation("gatekeeper", rule.template, f"no-{rule.flaw}", *about) for rule in rules]


def added(violation: Violation) -> bool:
    return violation in both(workload("shop", "cart"), ADDED)


def named(*names: str) -> Callable[[Violation], bool]:
    """What is about these objects."""
    return lambda violation: violation.name in names


def by(*policies: str) -> Callable[[Violation], bool]:
    return lambda violation: violation.policy in policies


def of_lists(violation: Violation) -> bool:
    """What is said of constraints that do not list all."""
    return (violation.kind, violation.name) == (violation.policy, violation.rule)


def within(namespace: str) -> Callable[[Violation], bool]:
    """What is about a namespace or anything in it."""
    return lambda v: v.namespace == namespace or (v.kind, v.name) == ("Namespace", namespace)


STEPS = (
    Step("first sync", first_sync, frozenset({"created"})),
    Step("violate", violate, FOUND, added),
    Step("fix", fix, LESS, added),
    Step("relapse", violate, BACK, added),
    Step("roll out", roll_out, NOTHING),
    Step("kill the operator", kill_operator, NOTHING),
    Step("delete an object", delete_object, LESS, named("fraud-check")),
    Step("delete policies", delete_policy, LESS, by(*GONE)),
    Step("delete a constraint", delete_constraint, LESS, by("HarbourRoot")),
    Step("delete a template", delete_template, LESS, by("HarbourEscalation")),
    Step("delete a namespace", delete_namespace, LESS, within("analytics")),
    Step("kill Kyverno", kill(lambda s: s.kyverno, lambda s, t: s.scene.scanned(t)), NOTHING),
    Step("wipe Kyverno's reports", wipe_reports, NOTHING),
    Step("kill Gatekeeper", kill(lambda s: s.gatekeeper, lambda s, t: s.scene.audited(t)), NOTHING),
    Step("kill the controllers for a while", kill_controllers, frozenset({"changed"}), named("ledger-api")),
    Step("start them again", start_controllers, LESS, named("ledger-api")),
    Step("lower Gatekeeper's limit", limit(FEW), frozenset({"created"}), of_lists),
    Step("kill the operator with lists cut", kill_operator, NOTHING),
    Step("raise the limit again", limit(LIMIT), frozenset({"archived"}), of_lists),
    Step("stop Kyverno for a while", stop_kyverno, LESS, named("catalog", "checkout")),
    Step("start Kyverno again", start_kyverno, LESS, named("checkout")),
    Step("stop Gatekeeper for a while", stop_gatekeeper, LESS, named("grafana")),
    Step("start Gatekeeper again", start_gatekeeper, NOTHING),
    Step("switch to openreports", open_reports, NOTHING),
    Step("delete the old reports", drop_old_reports, NOTHING),
    Step("fix under openreports", fix, LESS, added),
)
