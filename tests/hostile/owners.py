"""Attacks by who belongs to whom."""

from typing import Any

from tests.hostile.checker import TENANT
from tests.hostile.scenario import Stage, scenario
from tests.hostile.tenant import owner, report, result, thing

REVISION = "deployment.kubernetes.io/revision"
GRACE_SECONDS = 40.0
"""How long an owner that nobody knows may be waited for."""


@scenario("a revision of 4,301 digits", says=(), restart=True)
def digits(stage: Stage) -> None:
    """An annotation that Python refuses to read as a number, on a Pod, a ReplicaSet and a Job. Whatever it is, it means
    the newest revision or none, so there is nothing to say of it.
    """
    for kind in ("Pod", "ReplicaSet", "Job"):
        for number, text in enumerate(("9" * 4_301, "-" + "1" * 4_301, "1_0", "\u0664\u0662", "1e9", " 1 ", "nan")):
            stage.tenant.put(thing(kind, f"digits-{kind.lower()}-{number}", annotations={REVISION: text}))
            for _ in range(3):
                stage.tenant.patch(kind, f"digits-{kind.lower()}-{number}", {"metadata": {"labels": {"a": str(_)}}})


def _hidden(stage: Stage, policy: str, names: set[str]) -> None:
    """Each of these Pods, or what it really belongs to, has a finding of its own."""

    def found() -> set[str]:
        return {f["Resources"][0]["Details"]["Other"]["Name"] for f in stage.arena.active(policy)}

    if not stage.expect(lambda: names <= found(), "", seconds=GRACE_SECONDS):
        stage.problems[-1] = f"violations of running Pods have no finding: {sorted(names - found())}"


def _pods(stage: Stage, policy: str, owners: dict[str, dict[str, Any]]) -> None:
    for name, by in owners.items():
        stage.tenant.put(thing("Pod", name, owner=by))
        stage.tenant.put(report(f"{policy}-{name}", result(policy, name, kind="Pod")))
    stage.afterwards.append(lambda: _hidden(stage, policy, set(owners)))


@scenario("ghosts as owners", restart=True)
def ghosts(stage: Stage) -> None:
    """Controllers that do not exist, have another uid or API version, or are of a kind that nobody has heard of: for
    new Pods, and for one that has a finding already.
    """
    real = stage.tenant.put(thing("ReplicaSet", "real")) or {"metadata": {"uid": "?"}}
    uid = real["metadata"]["uid"]
    stage.tenant.put(thing("Pod", "known"))
    stage.tenant.put(report("ghost-known", result("ghost", "known", kind="Pod")))
    stage.expect(lambda: len(stage.arena.active("ghost")) == 1, "the first Pod has no finding")
    stage.tenant.patch("Pod", "known", {"metadata": {"ownerReferences": [owner("ReplicaSet", "nobody")]}})
    _pods(
        stage,
        "ghost",
        {
            "ghost": owner("ReplicaSet", "nobody"),
            "ghost-job": owner("Job", "nobody", api="batch/v1"),
            "ghost-pod": owner("Pod", "nobody", api="v1"),
            "other-uid": owner("ReplicaSet", "real", uid="22222222-2222-2222-2222-222222222222"),
            "other-version": owner("ReplicaSet", "real", uid=uid, api="example.com/v1"),
        },
    )
    # what nobody watches may be the subject (an Argo Rollout is): it is in the tenant's namespace, and has a finding
    stage.tenant.put(thing("Pod", "fantasy", owner=owner("Phantom", "x" * 5_000, api="example.com/v1")))
    stage.tenant.put(report("ghost-fantasy", result("fantasy", "fantasy", kind="Pod")))
    stage.afterwards.append(lambda: _any(stage, "fantasy"))


def _any(stage: Stage, policy: str) -> None:
    stage.expect(lambda: bool(stage.arena.active(policy)), f"{policy}: no finding at all", seconds=GRACE_SECONDS)


@scenario("cycles of owners", restart=True)
def cycles(stage: Stage) -> None:
    """ReplicaSets that own each other: two, fifty in a ring, and one that owns itself; with Pods below them."""
    tops = {}
    for ring, size in (("self", 1), ("pair", 2), ("ring", 50)):
        uids = {}
        for number in range(size):
            stored = stage.tenant.put(thing("ReplicaSet", f"{ring}-{number}")) or {"metadata": {"uid": "?"}}
            uids[number] = stored["metadata"]["uid"]
        for number in range(size):
            above = (number + 1) % size
            change = {"metadata": {"ownerReferences": [owner("ReplicaSet", f"{ring}-{above}", uid=uids[above])]}}
            stage.tenant.patch("ReplicaSet", f"{ring}-{number}", change)
        tops[f"below-{ring}"] = owner("ReplicaSet", f"{ring}-0", uid=uids[0])
    _pods(stage, "cycle", tops)


@scenario("a hundred owners", says=())
def chain(stage: Stage) -> None:
    """A chain of a thousand ReplicaSets, a Pod below the last, and an object with a thousand references."""
    uid = "11111111-1111-1111-1111-111111111111"
    for number in range(1_000):
        by = owner("ReplicaSet", f"chain-{number - 1}", uid=uid) if number else None
        stored = stage.tenant.put(thing("ReplicaSet", f"chain-{number}", owner=by))
        uid = stored["metadata"]["uid"] if stored else uid
        if stage.over:
            break
    stage.tenant.put(thing("Pod", "last", owner=owner("ReplicaSet", f"chain-{number}", uid=uid)))
    stage.tenant.put(report("chain", result("chain", "last", kind="Pod")))
    crowd = thing("Pod", "crowd")
    crowd["metadata"]["ownerReferences"] = [
        {**owner("ReplicaSet", f"none-{n}"), "controller": False} for n in range(1_000)
    ]
    stage.tenant.put(crowd)
    stage.tenant.put(report("crowd", result("chain", "crowd", kind="Pod", message=TENANT)))


@scenario("a Pod with 50,000 results between two owners", seconds=25)
def to_and_fro(stage: Stage) -> None:
    """Ten reports of 5,000 results on one Pod, which is given one ReplicaSet after the other, as fast as it goes."""
    uids = {}
    for name in ("here", "there"):
        stored = stage.tenant.put(thing("ReplicaSet", name)) or {"metadata": {"uid": "?"}}
        uids[name] = stored["metadata"]["uid"]
    stage.tenant.put(thing("Pod", "flips", owner=owner("ReplicaSet", "here", uid=uids["here"])))
    for number in range(10):
        results = [
            {"source": "tenant", "policy": f"flips-{number}", "rule": f"{n}", "result": "fail"} for n in range(5_000)
        ]
        about = {"apiVersion": "v1", "kind": "Pod", "name": "flips", "namespace": TENANT}
        stage.tenant.put(report(f"flips-{number}", *results, scope=about))
    while not stage.over:
        for name in ("there", "here"):
            change = {"metadata": {"ownerReferences": [owner("ReplicaSet", name, uid=uids[name])]}}
            stage.tenant.patch("Pod", "flips", change)
