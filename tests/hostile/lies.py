"""Attacks with forged reports and policies: about other tenants' objects, or under an engine's name."""

import time
from typing import Any

from tests.hostile.checker import MARK, TENANT
from tests.hostile.company import ENGINES, KIND, POLICIES, REPOS
from tests.hostile.harness import HOME, SPACES
from tests.hostile.scenario import Context, scenario
from tests.hostile.tenant import report, result, workload

Document = dict[str, Any]


@scenario("about objects of others", restart=True)
def others(context: Context) -> None:
    """Reports under the names of the company's engines, about objects of other namespaces, the cluster and Nodes, by
    result and by scope: failing ones pass, others fail with another text, and objects that do not exist fail.
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
            context.tenant.put(report(f"others-{engine}", *results, kind=kind))
            results = [result(policy, "", resources=[], result=outcome, source=engine) for policy in POLICIES]
            for number, place in enumerate(places):
                context.tenant.put(report(f"scoped-{engine}-{number}", *results, kind=kind, scope=place))
        if context.over and turn > 2:
            break


@scenario("an engine's name", expected_texts=(), seconds=10)
def forged(context: Context) -> None:
    """Reports under the names of the company's engines about the tenant's objects, with current, future and
    ten-year-old times.
    """
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
            context.tenant.put(report(name, *results, kind=kind, summary={"error": 9}))


@scenario("policies of the same name", expected_texts=())
def policies(context: Context) -> None:
    """Policies in the tenant's namespace with the names of the company's, with other titles and remediations; one has
    the name that a Kubewarden policy of namespace `team` has in reports.
    """
    theirs = f"namespaced-{TENANT}-limits"  # of namespace `team`: a-limits
    context.harness.guest("team", report("kubewarden", result(theirs, "app", source="kubewarden")))
    context.stack.callback(context.harness.leave, "team")
    context.expect(lambda: len(context.harness.active(theirs)) == 1, "no finding of Kubewarden's policy")
    annotations = {
        "policies.kyverno.io/title": MARK,
        "policies.kyverno.io/description": MARK,
        "policies.kyverno.io/remediation": MARK,
        "io.kubewarden.policy.title": MARK,
        "io.kubewarden.policy.description": MARK,
    }
    for policy in POLICIES:
        for kind, version in (("Policy", "kyverno.io/v1"), ("AdmissionPolicy", "policies.kubewarden.io/v1")):
            metadata = {"name": policy, "namespace": TENANT, "annotations": annotations}
            context.tenant.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"module": MARK}})
    context.afterwards.append(lambda: _unworded(context, theirs))
    huge = {f"policies.kyverno.io/{number}": "x" * 20_000 for number in range(10)}
    metadata = {"name": "huge", "namespace": TENANT, "annotations": huge}
    context.tenant.put({"apiVersion": "kyverno.io/v1", "kind": "Policy", "metadata": metadata, "spec": {}})


def _unworded(context: Context, policy: str) -> None:
    if MARK in f"{context.harness.active(policy)}":
        context.problems.append("the tenant's policy changed the text of another namespace's finding")


@scenario("one violation by many names", expected_texts=())
def twins(context: Context) -> None:
    """The same violation many times: in both APIs, in many reports, with alternating texts."""
    context.tenant.put(workload("ConfigMap", "twin"))

    def again(turn: int) -> None:
        for kind in ("PolicyReport", "Report"):
            entry = result("twin", "twin", message=f"{MARK} {turn}", severity=("low", "high")[turn % 2])
            context.tenant.rewrite(report(f"twin-{turn % 20}", *[entry] * 20, kind=kind))

    context.tenant.repeat(again, 500)
