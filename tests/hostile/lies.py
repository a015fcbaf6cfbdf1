"""Attacks by what is said, about whom and in whose name."""

import time
from typing import Any

from tests.hostile.arena import HOME, SPACES
from tests.hostile.checker import MARK, TENANT
from tests.hostile.company import ENGINES, KIND, POLICIES, REPOS
from tests.hostile.scenario import Stage, scenario
from tests.hostile.tenant import report, result, thing

Document = dict[str, Any]


@scenario("about objects of others", restart=True)
def others(stage: Stage) -> None:
    """In the names of the company's engines: what fails there passes, what is there fails in other words, and what is
    not there fails; about other namespaces', the cluster's and Nodes' objects, by result and by scope.
    """
    places: list[Document] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": space, "name": name}
        for space in SPACES[HOME]
        for name in ("web-0", "web-1", "web-5", "app-0", "invented")
    ]
    places += [
        {"apiVersion": "v1", "kind": "Namespace", "name": "shop"},
        {"apiVersion": "v1", "kind": "Namespace", "name": TENANT},
        {"apiVersion": "v1", "kind": "Node", "name": "node-1"},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": f"{SPACES[HOME][0]}-0"},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "cluster-admin"},
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-0"},
        {"kind": "Cluster", "name": "alpha"},
        {},
    ]
    for turn, outcome in enumerate(("fail", "pass", "error", "pass", "skip", "fail")):
        for engine, kind in ENGINES.items():
            results = [
                result(policy, "", resources=[place], result=outcome, source=engine, severity="critical")
                for policy in POLICIES
                for place in places
            ]
            stage.tenant.put(report(f"others-{engine}", *results, kind=kind))
            results = [result(policy, "", resources=[], result=outcome, source=engine) for policy in POLICIES]
            for number, place in enumerate(places):
                stage.tenant.put(report(f"scoped-{engine}-{number}", *results, kind=kind, scope=place))
        if stage.over and turn > 2:
            break


@scenario("an engine's name", says=(), seconds=10)
def forged(stage: Stage) -> None:
    """In the names of the company's engines about his own objects, as of now, tomorrow and ten years ago."""
    for engine in (*ENGINES, "gatekeeper", "Kyverno ", "KYVERNO", "policyhub", "", "Trivy ConfigAudit", "kubewarden"):
        for kind in ("PolicyReport", "Report"):
            results = [
                result(
                    policy, f"own-{number}", source=engine, timestamp={"seconds": int(time.time()) + ahead, "nanos": 0}
                )
                for policy in (*POLICIES, KIND, REPOS)
                for number, ahead in enumerate((0, 290, 86_400, -315_360_000))
            ]
            name = f"forged-{kind.lower()}-{len(engine)}-{ord((engine or '_')[0])}"
            stage.tenant.put(report(name, *results, kind=kind, summary={"error": 9}))


@scenario("policies of the same name", says=())
def policies(stage: Stage) -> None:
    """Policies in his own namespace that are called like the company's, with titles and remediations of his own; one of
    Kubewarden's by the name that a policy of namespace `team` has in reports.
    """
    theirs = f"namespaced-{TENANT}-limits"  # of namespace `team`: a-limits
    stage.arena.guest("team", report("kubewarden", result(theirs, "app", source="kubewarden")))
    stage.stack.callback(stage.arena.leave, "team")
    stage.expect(lambda: len(stage.arena.active(theirs)) == 1, "no finding of Kubewarden's policy")
    words = {
        "policies.kyverno.io/title": MARK,
        "policies.kyverno.io/description": MARK,
        "policies.kyverno.io/remediation": MARK,
        "io.kubewarden.policy.title": MARK,
        "io.kubewarden.policy.description": MARK,
    }
    for policy in POLICIES:
        for kind, version in (("Policy", "kyverno.io/v1"), ("AdmissionPolicy", "policies.kubewarden.io/v1")):
            metadata = {"name": policy, "namespace": TENANT, "annotations": words}
            stage.tenant.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"module": MARK}})
    stage.afterwards.append(lambda: _unworded(stage, theirs))
    huge = {f"policies.kyverno.io/{number}": "x" * 20_000 for number in range(10)}
    metadata = {"name": "huge", "namespace": TENANT, "annotations": huge}
    stage.tenant.put({"apiVersion": "kyverno.io/v1", "kind": "Policy", "metadata": metadata, "spec": {}})


def _unworded(stage: Stage, policy: str) -> None:
    if MARK in f"{stage.arena.active(policy)}":
        stage.problems.append("the tenant's policy words the finding of another namespace's")


@scenario("one violation by many names", says=())
def twins(stage: Stage) -> None:
    """The same violation again and again: by both APIs, in many reports, with words that alternate."""
    stage.tenant.put(thing("ConfigMap", "twin"))

    def again(turn: int) -> None:
        for kind in ("PolicyReport", "Report"):
            entry = result("twin", "twin", message=f"{MARK} {turn}", severity=("low", "high")[turn % 2])
            stage.tenant.rewrite(report(f"twin-{turn % 20}", *[entry] * 20, kind=kind))

    stage.tenant.repeat(again, 500)
