"""The driver's record of the truth matches what the API server's objects say."""

import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.faults.audits import Audits
from tests.faults.cluster_state import ClusterState
from tests.faults.engines import HOURLY, KYVERNO, REVISION, SIDECAR, derived
from tests.faults.manifests import Result
from tests.faults.owner_graph import Ref
from tests.faults.scene import Scene
from tests.faults.truth import CONSTRAINTS, GATEKEEPER
from tests.faults.workload_model import FIRST, PERMANENT
from tests.faults.workloads import Workloads

Document = dict[str, Any]


class FakeApiServer:
    """An API server that stores what it gets."""

    def __init__(self) -> None:
        self.stored: dict[str, Document] = {}

    def path(self, document: Document) -> str:
        version, metadata = document["apiVersion"], document["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        space = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
        return f"{root}/{space}{document['kind'].lower()}s/{metadata['name']}"

    def apply(self, documents: Iterable[Document]) -> None:
        for document in documents:
            self.stored[self.path(document)] = document

    def request(self, method: str, path: str, body: Any = None, **_: Any) -> Document:
        if method == "POST":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            name = "/".join((path, body["metadata"]["name"]))
            assert name not in self.stored
            fresh: Document = {**body, "metadata": {**body["metadata"], "uid": name, "creationTimestamp": stamp}}
            self.stored[name] = fresh
            return fresh
        if method == "PATCH":
            stored = self.stored[path.removesuffix("/status")]
            stored |= body
            return stored
        if method == "DELETE":
            there = [name for name in self.stored if name == path or name.rpartition("/")[0] == path]
            return {gone: self.stored.pop(gone) for gone in there}
        if path == CONSTRAINTS:
            kinds: set[str] = {d["kind"] for name, d in self.stored.items() if name.startswith(CONSTRAINTS)}
            return {"resources": [{"name": f"{served.lower()}s", "kind": served} for served in kinds]}
        root, plural = path.rsplit("/", 1)
        items = [d for name, d in self.stored.items() if name.startswith(root) and name.split("/")[-2] == plural]
        return {"items": items}


def opened(seed: int) -> tuple[Scene, Workloads, Audits]:
    scene = Scene(FakeApiServer(), seed=seed)  # type: ignore[arg-type]  # as far as it is asked
    workloads = Workloads(scene)
    workloads.begin()
    audits = Audits(scene, workloads)
    audits.begin()
    return scene, workloads, audits


def read_state(scene: Scene) -> ClusterState:
    return ClusterState.take(scene.cluster, restarted=False)


@pytest.mark.parametrize("seed", range(4))
def test_the_recorded_truth_matches_the_objects(seed: int) -> None:
    """At every step the recorded violations match the objects, and permanent violations never end."""
    scene, workloads, audits = opened(seed)
    kinds = (
        workloads.roll,
        workloads.tick,
        workloads.scale,
        workloads.vanish,
        workloads.change_results,
        workloads.again,
    )
    names = {name for *_, name in PERMANENT}
    lasting = {v for v in scene.truth.violations() if v.name in names and v.kind != "CronJob"}
    lasting = {v for v in lasting if v.source != GATEKEEPER}
    assert {v.source for v in lasting} == {KYVERNO, REVISION, HOURLY}
    for step in range(150):
        scene.rng.choice((*kinds, workloads.drop_report, audits.again, audits.drop))()
        scene.tick()
        if step % 5:
            continue
        state, unlisted = read_state(scene), audits.unlisted(restarted=False)
        assert state.seen.keys() <= scene.truth.violations()
        assert {v for v in scene.truth.violations() - state.seen.keys() if not unlisted.leaves_open(v)} == set()
        assert state.owner_graph.objects == scene.truth.owner_graph.objects
        assert state.unlisted.cut == unlisted.cut
    assert {v for v in lasting if len(scene.truth.existed[v]) > 1 or len(scene.truth.existed[v][0]) > 1} == set()
    assert scene.pod_changes > 100


def test_a_paused_engine_ends_no_violation() -> None:
    """While the late engine is paused and permanent Pods are replaced, its violations are neither claimed nor ended."""
    scene, workloads, _ = opened(1)
    scene.finish()
    before = {v for v in scene.truth.violations() if v.source == HOURLY and "still-" in v.name and v.kind != "CronJob"}
    workloads.pause_late_engine()
    workloads.replace()
    scene.finish()
    assert before & scene.truth.violations() == set()
    assert all(
        scene.truth.unscanned(violation) and len(scene.truth.existed[violation][-1]) == 1 for violation in before
    )
    workloads.resume_late_engine()
    assert before <= scene.truth.violations()


def test_an_overtaken_audit_ends_no_violation() -> None:
    """Pods are replaced during the audit, so it lists none of the new ones: nothing is claimed, and nothing ends."""
    scene, workloads, audits = opened(1)
    scene.finish()
    audits.rest()
    known = {v for v in scene.truth.violations() if v.source == GATEKEEPER and v.name.startswith(FIRST)}
    assert len(known) == 6
    for _ in range(2):
        audits.overtaken()
        workloads.replace()
        scene.finish()
        assert not known & scene.truth.violations()
        assert not known & read_state(scene).seen.keys()
        assert all(scene.truth.unscanned(v) and len(scene.truth.existed[v][-1]) == 1 for v in known)


def test_a_fixed_deployment_keeps_its_old_replicaset() -> None:
    """The old ReplicaSet exists with a failing report, and no violation rolls up to the Deployment."""
    scene, workloads, _ = opened(1)
    scene.finish()
    workloads.fix_deployment()
    fixed = [w for w in workloads.all if all(r.outcome == "pass" for of in w.results_by_engine.values() for r in of)]
    assert fixed
    for workload in fixed:
        old, new = workload.layers
        assert (old.pods, len(new.pods)) == ([], workload.replicas)
        assert {r.outcome for r in scene.results[REVISION, "PolicyReport", old.ref]} == {"fail"}
        assert not {v for v in scene.truth.violations() if v.subject == workload.about and v.source != GATEKEEPER}


def test_a_deleted_namespace_is_empty() -> None:
    """All its objects are gone, and come back under other names."""
    scene, workloads, _ = opened(1)
    names = {workload.about for workload in workloads.all if workload.about.namespace == "west"}
    scene.close("west")
    workloads.close_namespace("west")
    assert {ref for ref in scene.truth.owner_graph.objects if ref.namespace == "west"} == set()
    assert {violation for violation in scene.truth.violations() if violation.namespace == "west"} == set()
    scene.finish()
    again = {workload.about for workload in workloads.all if workload.about.namespace == "west"}
    assert again
    assert not again & names


def test_derived_rule_names() -> None:
    """As Kyverno names them for each kind, cut at 63 characters; the sidecar policy matches Pods only."""
    results = [Result("alpha", "check"), Result("beta", "x" * 62), SIDECAR]
    assert derived(results, "Pod") == results
    assert [r.rule for r in derived(results, "Deployment")] == ["autogen-check", f"autogen-{'x' * 55}"]
    assert [r.rule for r in derived(results, "CronJob")] == ["autogen-cronjob-check", f"autogen-cronjob-{'x' * 47}"]


def test_a_static_pod_is_not_rolled_up() -> None:
    """Its owner is a node."""
    scene, _, _ = opened(1)
    own = {ref for ref, one in scene.truth.owner_graph.objects.items() if one.owner is None}
    assert {ref.namespace for ref in own if ref.kind == "Pod"} == {"north", "south", "west"}
    assert all(scene.truth.owner_graph.rolls_up_to(ref) == Ref(*ref) for ref in own)
