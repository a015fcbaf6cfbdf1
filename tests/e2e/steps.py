"""The steps of the end-to-end run: changes of the company's cluster, one after the other. Each step acts and returns
when the engines' own objects show the effect; the environment then compares Security Hub with them.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from dev.company.workload import WORKLOADS, Workload
from dev.engines import Engine
from dev.engines.rules import RULES
from tests.e2e.environment import DELAY_SECONDS, LIMIT, Environment
from tests.faults.truth import CONSTRAINTS, Violation

NOTHING: frozenset[str] = frozenset()
FOUND = frozenset({"created", "changed"})
BACK = frozenset({"reactivated", "changed"})
LESS = frozenset({"archived", "changed"})
"""`changed`: if the Deployment's own result comes later or is removed earlier than its Pods'."""
AWAY_SECONDS = 3.0 * DELAY_SECONDS
"""How long an engine is stopped: longer than the archive delay."""
FEW = 5
"""Violations that Gatekeeper lists with its lowered limit."""

ADDED = {"docker-socket", "host-path", "host-ports"}
"""Flaws that the cart gets later; the runtime socket is a host path too."""
DELETED_POLICIES = ("harbour-no-digest", "harbour-latest", "payments/harbour-token")
"""Policies that are deleted: one for the whole cluster, one in CEL, one of a single namespace."""
TEMPLATES = "/apis/templates.gatekeeper.sh/v1/constrainttemplates"
APPS = "/apis/apps/v1/namespaces"
WGPOLICY = "/apis/wgpolicyk8s.io/v1alpha2"


class Step(NamedTuple):
    name: str
    act: Callable[[Environment], None]
    allowed: frozenset[str]
    """The allowed outcomes of findings."""
    of: Callable[[Violation], bool] = lambda _: True
    """The violations that the step may touch."""


def first_sync(env: Environment) -> None:
    env.operator.start()
    env.until(lambda: env.operator.metric("policyhub_in_sync") == 1, "the operator to be in sync")
    env.suppress()


def violate(env: Environment) -> None:
    cart = workload("shop", "cart")
    env.change(cart, add=ADDED)
    await_rollout(env, cart)
    env.until(lambda: env.claimed(*both(cart, ADDED)), "both engines to report the cart's violations")


def fix(env: Environment) -> None:
    cart = workload("shop", "cart")
    env.change(cart, remove=ADDED)
    await_rollout(env, cart)
    env.until(lambda: env.no_claims(added), "both engines to report no violation of the cart")


def roll_out(env: Environment) -> None:
    """A new annotation creates a new ReplicaSet and new Pods, which both engines scan."""
    web = workload("shop", "web")
    began = time.time()
    patch = {"spec": {"template": {"metadata": {"annotations": {"harbour.example/build": "2"}}}}}
    env.cluster.request("PATCH", f"{APPS}/shop/deployments/web", patch)
    await_rollout(env, web)
    env.until(lambda: env.scene.scanned(began), "Kyverno to scan the new Pods")


def await_rollout(env: Environment, deployment: Workload) -> None:
    """Wait until only new Pods are left and Gatekeeper has started an audit since."""
    of = (deployment.namespace, deployment.name)
    env.until(lambda: env.scene.rolled_out(*of), f"the rollout of {deployment.name}")
    done = time.time()
    env.until(lambda: env.scene.audited(done), "Gatekeeper to audit the new Pods")


def delete_object(env: Environment) -> None:
    env.delete(f"{APPS}/payments/deployments/fraud-check")
    env.until(lambda: env.no_claims(named("fraud-check")), "no claim about fraud-check")


def delete_policy(env: Environment) -> None:
    """One policy of each kind."""
    env.delete("/apis/kyverno.io/v1/clusterpolicies/harbour-no-digest")
    env.delete("/apis/policies.kyverno.io/v1/validatingpolicies/harbour-latest")
    env.delete("/apis/kyverno.io/v1/namespaces/payments/policies/harbour-token")
    env.until(lambda: env.no_claims(by(*DELETED_POLICIES)), "no result of the policies")


def delete_constraint(env: Environment) -> None:
    env.delete(f"{CONSTRAINTS}/harbourroot/no-root")
    env.until(lambda: env.no_claims(lambda v: v.policy == "HarbourRoot"), "the constraint to be gone")


def delete_template(env: Environment) -> None:
    env.delete(f"{TEMPLATES}/harbourescalation")
    env.until(lambda: env.no_claims(lambda v: v.policy == "HarbourEscalation"), "the kind to be gone")


def delete_namespace(env: Environment) -> None:
    env.delete("/api/v1/namespaces/analytics")
    env.until(lambda: env.no_claims(within("analytics")), "no claim about the namespace")


def kill(
    engine: Callable[[Environment], Engine], alive: Callable[[Environment, float], bool]
) -> Callable[[Environment], None]:
    """Kill an engine with SIGKILL and restart it; returns after it has scanned everything again."""

    def act(env: Environment) -> None:
        engine(env).kill()
        time.sleep(2)  # a kubelet's delay
        engine(env).start()
        now = time.time()
        env.until(lambda: alive(env, now), f"{engine(env).name} to be active")

    return act


def kill_controllers(env: Environment) -> None:
    """Kill the controllers, then delete a workload: nobody collects its dependents, and its Pods remain."""
    env.controllers.kill()
    env.delete(f"{APPS}/payments/deployments/ledger-api")
    time.sleep(AWAY_SECONDS)


def start_controllers(env: Environment) -> None:
    env.controllers.start()
    env.until(lambda: env.no_claims(named("ledger-api")), "no claim about the ledger's API")


def kill_operator(env: Environment) -> None:
    env.operator.kill()
    env.operator.start()
    env.until(lambda: env.operator.metric("policyhub_in_sync") == 1, "the operator to be in sync")


def limit(number: int) -> Callable[[Environment], None]:
    """Gatekeeper lists at most this many violations per constraint."""

    def act(env: Environment) -> None:
        env.gatekeeper.stop()
        env.gatekeeper.limit = number
        env.gatekeeper.start()
        now = time.time()
        env.until(lambda: env.scene.audited(now), f"an audit that lists {number} at most")
        if number < LIMIT:
            env.until(lambda: bool(env.mirror.now.cut), "lists that are cut")
        else:
            env.until(lambda: not env.mirror.now.cut, "whole lists")

    return act


def stop_kyverno(env: Environment) -> None:
    """While Kyverno is stopped, a workload is fixed, which no report shows, and another one is deleted, whose reports
    are garbage-collected.
    """
    env.kyverno.stop()
    env.change(workload("shop", "checkout"), remove=set(env.flaws["Deployment", "shop", "checkout"]))
    env.delete(f"{APPS}/shop/deployments/catalog")
    time.sleep(AWAY_SECONDS)
    env.until(lambda: env.no_claims(named("catalog")), "no claim about the catalog")
    env.until(lambda: env.no_claims(lambda v: v.name == "checkout" and v.source == "gatekeeper"), "the audit")


def stop_gatekeeper(env: Environment) -> None:
    """While Gatekeeper is stopped, a workload is deleted whose Pods stay listed: only the API server shows that they
    are gone.
    """
    env.gatekeeper.stop()
    env.delete(f"{APPS}/monitoring/deployments/grafana")
    time.sleep(AWAY_SECONDS)
    env.until(lambda: env.no_claims(named("grafana")), "no claim about grafana")


def start_gatekeeper(env: Environment) -> None:
    env.gatekeeper.start()
    now = time.time()
    env.until(lambda: env.scene.audited(now), "an audit")


def start_kyverno(env: Environment) -> None:
    env.kyverno.start()
    env.until(lambda: env.no_claims(named("checkout")), "no claim about the checkout")


def open_reports(env: Environment) -> None:
    """Kyverno writes all its reports again, into the other API; the old reports stay unchanged."""
    env.kyverno.stop()
    env.kyverno.open_reports = True
    env.kyverno.start()

    def written() -> bool:
        old, new = env.mirror.of("wgpolicyk8s.io"), env.mirror.of("openreports.io")
        return old.severities.keys() <= new.severities.keys()

    env.until(written, "the same results in openreports.io")


def drop_old_reports(env: Environment) -> None:
    """As the condition SupersededReports advises."""
    delete_reports(env)
    env.until(lambda: not env.mirror.of("wgpolicyk8s.io").severities, "the old reports to be gone")


def wipe_reports(env: Environment) -> None:
    """Delete all reports at once while Kyverno is active: its scan writes them again one by one."""
    before, began = env.claims(), time.time()
    delete_reports(env)
    env.until(lambda: env.scene.scanned(began), "Kyverno to scan everything again")
    env.until(lambda: env.claims() == before, "the same results as before")


def delete_reports(env: Environment) -> None:
    """Delete the reports of the older API."""
    for kind in ("policyreports", "clusterpolicyreports"):
        for report in env.cluster.request("GET", f"{WGPOLICY}/{kind}")["items"]:
            metadata = report["metadata"]
            where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
            env.delete(f"{WGPOLICY}{where}/{kind}/{metadata['name']}")


def workload(namespace: str, name: str) -> Workload:
    return next(w for w in WORKLOADS if (w.namespace, w.name) == (namespace, name))


def both(of: Workload, flaws: set[str]) -> list[Violation]:
    """The results of the two engines for these flaws."""
    about = (of.kind, of.namespace, of.name)
    rules = [rule for rule in RULES if rule.flaw in flaws]
    kyverno = [Violation(*rule.result, *about) for rule in rules]
    return kyverno + [Violation("gatekeeper", rule.template, f"no-{rule.flaw}", *about) for rule in rules]


def added(violation: Violation) -> bool:
    return violation in both(workload("shop", "cart"), ADDED)


def named(*names: str) -> Callable[[Violation], bool]:
    """Selects violations of objects with these names."""
    return lambda violation: violation.name in names


def by(*policies: str) -> Callable[[Violation], bool]:
    return lambda violation: violation.policy in policies


def of_lists(violation: Violation) -> bool:
    """Selects notices of truncated lists."""
    return (violation.kind, violation.name) == (violation.policy, violation.rule)


def within(namespace: str) -> Callable[[Violation], bool]:
    """Selects violations of a namespace or of anything in it."""
    return lambda v: v.namespace == namespace or (v.kind, v.name) == ("Namespace", namespace)


STEPS = (
    Step("first sync", first_sync, frozenset({"created"})),
    Step("violate", violate, FOUND, added),
    Step("fix", fix, LESS, added),
    Step("relapse", violate, BACK, added),
    Step("roll out", roll_out, NOTHING),
    Step("kill the operator", kill_operator, NOTHING),
    Step("delete an object", delete_object, LESS, named("fraud-check")),
    Step("delete policies", delete_policy, LESS, by(*DELETED_POLICIES)),
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
