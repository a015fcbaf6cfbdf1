"""What happens to the company, one thing after the other. Each step acts and returns when the engines' own objects say
what it led to; the stage then compares Security Hub with them.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from dev.company.workload import WORKLOADS, Workload
from dev.engines import policies
from dev.stand import Document
from tests.e2e.stage import Stage
from tests.faults.truth import Violation

NOTHING: frozenset[str] = frozenset()
FOUND = frozenset({"created", "changed"})
BACK = frozenset({"reactivated", "changed"})
LESS = frozenset({"archived", "changed"})
"""Changed: where the Deployment's own result comes later or goes earlier than its Pods'."""

ADDED = {"docker-socket", "host-path", "host-ports"}
"""What the cart has not at first; the socket of the runtime is a path of the node too."""
APPS = "/apis/apps/v1/namespaces"


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
    stage.until(lambda: stage.scanned(began), "Kyverno to look at the new Pods")


def await_rollout(stage: Stage, deployment: Workload) -> None:
    """Until only new Pods are left and Gatekeeper has begun an audit since."""
    path = f"{APPS}/{deployment.namespace}/deployments/{deployment.name}"
    stage.until(lambda: rolled_out(stage.cluster.request("GET", path)), f"the rollout of {deployment.name}")
    done = time.time()
    stage.until(lambda: stage.audited(done), "Gatekeeper to look at the new Pods")


def rolled_out(deployment: Document) -> bool:
    status, replicas = deployment["status"], deployment["spec"]["replicas"]
    same = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    numbers = [status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    return same and numbers == [replicas] * 3


def kill_operator(stage: Stage) -> None:
    stage.operator.kill()
    stage.operator.start()
    stage.until(lambda: stage.operator.metric("policyhub_in_sync") == 1, "the operator to be in sync")


def workload(namespace: str, name: str) -> Workload:
    return next(w for w in WORKLOADS if (w.namespace, w.name) == (namespace, name))


def both(of: Workload, flaws: set[str]) -> list[Violation]:
    """What the two engines say of it."""
    about = (of.kind, of.namespace, of.name)
    rules = [rule for rule in policies.RULES if rule.flaw in flaws]
    kyverno = [Violation("kyverno", rule.policy, rule.flaw, *about) for rule in rules]
    return kyverno + [Violation("gatekeeper", rule.template, f"no-{rule.flaw}", *about) for rule in rules]


def added(violation: Violation) -> bool:
    return violation in both(workload("shop", "cart"), ADDED)


STEPS = (
    Step("first sync", first_sync, frozenset({"created"})),
    Step("violate", violate, FOUND, added),
    Step("fix", fix, LESS, added),
    Step("relapse", violate, BACK, added),
    Step("roll out", roll_out, NOTHING),
    Step("kill the operator", kill_operator, NOTHING),
)
