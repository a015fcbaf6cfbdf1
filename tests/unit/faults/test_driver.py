"""Who changes the cluster in the fault bench knows what it has done: the census of the API server's objects says so."""

import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.faults.audits import Audits
from tests.faults.census import Census
from tests.faults.company import FIRST, STILL
from tests.faults.engines import HOURLY, KYVERNO, REVISION, SIDECAR, derived
from tests.faults.family import Ref
from tests.faults.paper import Result
from tests.faults.scene import Scene
from tests.faults.truth import CONSTRAINTS, GATEKEEPER
from tests.faults.workloads import Workloads

Document = dict[str, Any]


class Paper:
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
    scene = Scene(Paper(), seed=seed)  # type: ignore[arg-type]  # as far as it is asked
    workloads = Workloads(scene)
    workloads.begin()
    audits = Audits(scene, workloads)
    audits.begin()
    return scene, workloads, audits


def census(scene: Scene) -> Census:
    return Census.take(scene.cluster, restarted=False)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_done_is_known(seed: int) -> None:
    """Whenever one looks, what is believed is what the objects come to, and what lasts has never ended."""
    scene, workloads, audits = opened(seed)
    kinds = (workloads.roll, workloads.tick, workloads.scale, workloads.vanish, workloads.turn, workloads.again)
    lasting = {v for v in scene.truth.violations() if v.name in {name for *_, name in STILL} and v.kind != "CronJob"}
    lasting = {v for v in lasting if v.source != GATEKEEPER}
    assert {v.source for v in lasting} == {KYVERNO, REVISION, HOURLY}
    for step in range(150):
        scene.rng.choice((*kinds, workloads.lose, audits.again, audits.drop))()
        scene.tick()
        if step % 5:
            continue
        told, unlisted = census(scene), audits.unlisted(restarted=False)
        assert told.seen.keys() <= scene.truth.violations()
        assert {v for v in scene.truth.violations() - told.seen.keys() if not unlisted.leaves_open(v)} == set()
        assert told.family.things == scene.truth.family.things
        assert told.unlisted.cut == unlisted.cut
    assert {v for v in lasting if len(scene.truth.existed[v]) > 1 or len(scene.truth.existed[v][0]) > 1} == set()
    assert scene.turned > 100


def test_who_is_late_comes_round() -> None:
    """While the late engine stays away, lasting Pods are replaced and its violations neither called for nor over."""
    scene, workloads, _ = opened(1)
    scene.finish()
    before = {v for v in scene.truth.violations() if v.source == HOURLY and "still-" in v.name and v.kind != "CronJob"}
    workloads.stay_away()
    workloads.replace()
    scene.finish()
    assert before & scene.truth.violations() == set()
    assert all(scene.truth.unseen(violation) and len(scene.truth.existed[violation][-1]) == 1 for violation in before)
    workloads.come_round()
    assert before <= scene.truth.violations()


def test_an_audit_that_is_overtaken_lists_none_that_live() -> None:
    """Pods are replaced while it goes on: nothing is called for, and nothing is over."""
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
        assert not known & census(scene).seen.keys()
        assert all(scene.truth.unseen(v) and len(scene.truth.existed[v][-1]) == 1 for v in known)


def test_a_mended_deployment_keeps_what_was_broken() -> None:
    """Its old ReplicaSet is there, with a report that fails, and nothing calls for the Deployment."""
    scene, workloads, _ = opened(1)
    scene.finish()
    workloads.mend()
    mended = [w for w in workloads.all if all(r.outcome == "pass" for said in w.said.values() for r in said)]
    assert mended
    for workload in mended:
        old, new = workload.layers
        assert (old.pods, len(new.pods)) == ([], workload.replicas)
        assert {r.outcome for r in scene.results[REVISION, "PolicyReport", old.ref]} == {"fail"}
        assert not {v for v in scene.truth.violations() if v.subject == workload.about and v.source != GATEKEEPER}


def test_a_closed_namespace_is_empty() -> None:
    """All that was in it is gone, and comes again under other names."""
    scene, workloads, _ = opened(1)
    names = {workload.about for workload in workloads.all if workload.about.namespace == "west"}
    scene.close("west")
    workloads.leave("west")
    assert {ref for ref in scene.truth.family.things if ref.namespace == "west"} == set()
    assert {violation for violation in scene.truth.violations() if violation.namespace == "west"} == set()
    scene.finish()
    again = {workload.about for workload in workloads.all if workload.about.namespace == "west"}
    assert again
    assert not again & names


def test_derived_rules() -> None:
    """As Kyverno writes them for each kind, cut at 63 characters; a sidecar is in Pods only."""
    said = [Result("alpha", "check"), Result("beta", "x" * 62), SIDECAR]
    assert derived(said, "Pod") == said
    assert [r.rule for r in derived(said, "Deployment")] == ["autogen-check", f"autogen-{'x' * 55}"]
    assert [r.rule for r in derived(said, "CronJob")] == ["autogen-cronjob-check", f"autogen-cronjob-{'x' * 47}"]


def test_a_static_pod_is_its_own() -> None:
    """It belongs to its node, and counts for itself."""
    scene, _, _ = opened(1)
    own = {ref for ref, one in scene.truth.family.things.items() if one.owner is None}
    assert {ref.namespace for ref in own if ref.kind == "Pod"} == {"north", "south", "west"}
    assert all(scene.truth.family.counts_for(ref) == Ref(*ref) for ref in own)
