"""Attacks with ownerReferences."""

from typing import Any

from tests.hostile.checker import TENANT
from tests.hostile.scenario import Context, scenario
from tests.hostile.tenant import owner, report, result, workload

REVISION = "deployment.kubernetes.io/revision"
GRACE_SECONDS = 40.0
"""How long the operator may wait for an unknown owner."""


@scenario("a revision of 4,301 digits", expected_texts=(), restart=True)
def digits(context: Context) -> None:
    """An annotation that Python refuses to read as a number, on a Pod, a ReplicaSet and a Job. It counts as the newest
    revision or none, so the status has nothing to report.
    """
    for kind in ("Pod", "ReplicaSet", "Job"):
        for number, text in enumerate(("9" * 4_301, "-" + "1" * 4_301, "1_0", "\u0664\u0662", "1e9", " 1 ", "nan")):
            context.tenant.put(workload(kind, f"digits-{kind.lower()}-{number}", annotations={REVISION: text}))
            for _ in range(3):
                context.tenant.patch(kind, f"digits-{kind.lower()}-{number}", {"metadata": {"labels": {"a": str(_)}}})


def _hidden(context: Context, policy: str, names: set[str]) -> None:
    """Each of these Pods, or its real owner, has a finding of its own."""

    def found() -> set[str]:
        return {f["Resources"][0]["Details"]["Other"]["Name"] for f in context.harness.active(policy)}

    if not context.expect(lambda: names <= found(), "", seconds=GRACE_SECONDS):
        context.problems[-1] = f"violations of running Pods have no finding: {sorted(names - found())}"


def _pods(context: Context, policy: str, owners: dict[str, dict[str, Any]]) -> None:
    for name, by in owners.items():
        context.tenant.put(workload("Pod", name, owner=by))
        context.tenant.put(report(f"{policy}-{name}", result(policy, name, kind="Pod")))
    context.afterwards.append(lambda: _hidden(context, policy, set(owners)))


@scenario("ghosts as owners", restart=True)
def ghosts(context: Context) -> None:
    """Controllers that do not exist, or have another uid, API version or an unknown kind: for new Pods, and for one
    that has a finding already.
    """
    real = context.tenant.put(workload("ReplicaSet", "real")) or {"metadata": {"uid": "?"}}
    uid = real["metadata"]["uid"]
    context.tenant.put(workload("Pod", "known"))
    context.tenant.put(report("ghost-known", result("ghost", "known", kind="Pod")))
    context.expect(lambda: len(context.harness.active("ghost")) == 1, "the first Pod has no finding")
    context.tenant.patch("Pod", "known", {"metadata": {"ownerReferences": [owner("ReplicaSet", "nobody")]}})
    _pods(
        context,
        "ghost",
        {
            "ghost": owner("ReplicaSet", "nobody"),
            "ghost-job": owner("Job", "nobody", api="batch/v1"),
            "ghost-pod": owner("Pod", "nobody", api="v1"),
            "other-uid": owner("ReplicaSet", "real", uid="22222222-2222-2222-2222-222222222222"),
            "other-version": owner("ReplicaSet", "real", uid=uid, api="example.com/v1"),
        },
    )
    # a kind that the operator does not watch may be the subject (such as an Argo Rollout): it is in the tenant's
    # namespace
    context.tenant.put(workload("Pod", "fantasy", owner=owner("Phantom", "x" * 5_000, api="example.com/v1")))
    context.tenant.put(report("ghost-fantasy", result("fantasy", "fantasy", kind="Pod")))
    context.afterwards.append(lambda: _any(context, "fantasy"))


def _any(context: Context, policy: str) -> None:
    context.expect(lambda: bool(context.harness.active(policy)), f"{policy}: no finding at all", seconds=GRACE_SECONDS)


@scenario("cycles of owners", restart=True)
def cycles(context: Context) -> None:
    """ReplicaSets that own each other, with Pods: two, a ring of fifty, and one that owns itself."""
    tops = {}
    for ring, size in (("self", 1), ("pair", 2), ("ring", 50)):
        uids = {}
        for number in range(size):
            stored = context.tenant.put(workload("ReplicaSet", f"{ring}-{number}")) or {"metadata": {"uid": "?"}}
            uids[number] = stored["metadata"]["uid"]
        for number in range(size):
            above = (number + 1) % size
            change = {"metadata": {"ownerReferences": [owner("ReplicaSet", f"{ring}-{above}", uid=uids[above])]}}
            context.tenant.patch("ReplicaSet", f"{ring}-{number}", change)
        tops[f"below-{ring}"] = owner("ReplicaSet", f"{ring}-0", uid=uids[0])
    _pods(context, "cycle", tops)


@scenario("a hundred owners", expected_texts=())
def chain(context: Context) -> None:
    """A chain of a thousand ReplicaSets with a Pod at its end, and an object with a thousand ownerReferences."""
    uid = "11111111-1111-1111-1111-111111111111"
    for number in range(1_000):
        by = owner("ReplicaSet", f"chain-{number - 1}", uid=uid) if number else None
        stored = context.tenant.put(workload("ReplicaSet", f"chain-{number}", owner=by))
        uid = stored["metadata"]["uid"] if stored else uid
        if context.over:
            break
    context.tenant.put(workload("Pod", "last", owner=owner("ReplicaSet", f"chain-{number}", uid=uid)))
    context.tenant.put(report("chain", result("chain", "last", kind="Pod")))
    crowd = workload("Pod", "crowd")
    crowd["metadata"]["ownerReferences"] = [
        {**owner("ReplicaSet", f"none-{n}"), "controller": False} for n in range(1_000)
    ]
    context.tenant.put(crowd)
    context.tenant.put(report("crowd", result("chain", "crowd", kind="Pod", message=TENANT)))


@scenario("a Pod with 50,000 results between two owners", seconds=25)
def to_and_fro(context: Context) -> None:
    """Ten reports of 5,000 results on one Pod, whose owner changes as fast as the API server allows."""
    uids = {}
    for name in ("here", "there"):
        stored = context.tenant.put(workload("ReplicaSet", name)) or {"metadata": {"uid": "?"}}
        uids[name] = stored["metadata"]["uid"]
    context.tenant.put(workload("Pod", "flips", owner=owner("ReplicaSet", "here", uid=uids["here"])))
    for number in range(10):
        results = [
            {"source": "tenant", "policy": f"flips-{number}", "rule": f"{n}", "result": "fail"} for n in range(5_000)
        ]
        about = {"apiVersion": "v1", "kind": "Pod", "name": "flips", "namespace": TENANT}
        context.tenant.put(report(f"flips-{number}", *results, scope=about))
    while not context.over:
        for name in ("there", "here"):
            change = {"metadata": {"ownerReferences": [owner("ReplicaSet", name, uid=uids[name])]}}
            context.tenant.patch("Pod", "flips", change)
