"""Any graph of owners: each object's target exists, in its own namespace, whatever the order of events."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policyhub.clock import SteadyMs
from policyhub.kube.sink import ReflectorState
from policyhub.model.violation import Subject
from policyhub.sync import rollup_targets
from policyhub.sync.links import GRACE_MS
from policyhub.sync.owner_sink import OwnerSink
from policyhub.sync.owners import Owners, Unresolved
from policyhub.sync.rollup_targets import DELETION_GRACE_MS

WATCHING = ReflectorState(phase="watching")
VERSIONS = {
    "Pod": "v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1",
    "CronJob": "batch/v1", "Rollout": "example.com/v1", "Fantasy": "example.com/v1", "ConfigMap": "v1",
}  # fmt: skip
THREE = ("Pod", "ReplicaSet", "Job")
WATCHED = (*THREE, "Deployment", "StatefulSet", "CronJob")
NAMESPACES = ("a", "b")

Key = tuple[str, str, str]
Document = dict[str, Any]

keys = st.tuples(st.sampled_from(WATCHED), st.sampled_from(NAMESPACES), st.sampled_from("xy"))
references = st.builds(
    lambda kind, name, uid, controller: {
        "apiVersion": VERSIONS[kind], "kind": kind, "name": name, "uid": uid, "controller": controller,
    },
    st.sampled_from(sorted(VERSIONS)), st.sampled_from("xy"), st.sampled_from(["1", "2", ""]),
    st.sampled_from([True, True, True, False]),
)  # fmt: skip
documents = st.builds(
    lambda uid, created, revision, owners: {
        "uid": uid, "creationTimestamp": f"2026-01-01T00:00:0{created}Z", "ownerReferences": owners,
        "annotations": {"deployment.kubernetes.io/revision": revision},
    },
    st.sampled_from("12"), st.integers(0, 3), st.sampled_from("012"), st.lists(references, max_size=2),
)  # fmt: skip
events = st.lists(st.tuples(keys, st.none() | documents, st.integers(0, 40)), max_size=40)


class World:
    """Owners that get every event, and beside them a count of what the operator would be notified of."""

    def __init__(self, listed: dict[Key, Document]) -> None:
        self.now = SteadyMs(1_790_000_000_000)
        self.targets: dict[Subject, Subject | Unresolved] = {}
        self.owners = Owners(now=lambda: self.now, on_change=lambda _: None, on_malformed=lambda *_: None)
        sinks = (*self.owners.controller_sinks.values(), *self.owners.sinks.values())
        self.sinks: dict[str, OwnerSink] = {sink.resource.kind: sink for sink in sinks}
        for sink in sinks:
            sink.begin()
        for key, metadata in listed.items():
            self.put(key, metadata)
        for sink in sinks:
            sink.finish()
            sink.state(WATCHING)

    def put(self, key: Key, metadata: Document | None) -> None:
        kind, namespace, name = key
        raw = json.dumps({"metadata": {"name": name, "namespace": namespace, **(metadata or {})}}).encode()
        (self.sinks[kind].delete if metadata is None else self.sinks[kind].upsert)(raw)

    def wait(self, milliseconds: int) -> None:
        while (question := self.owners.next_group_version()) is not None:
            self.owners.record_kinds(*question, frozenset({"Rollout"}))
        self.now += milliseconds
        self.owners.expire()
        while self.owners.advance():
            pass

    def settled(self) -> dict[Subject, Subject | Unresolved]:
        self.wait(DELETION_GRACE_MS)
        for _ in range(4):
            self.wait(GRACE_MS + 1000)
        found = {}
        for kind in THREE:
            group = VERSIONS[kind].rpartition("/")[0]
            for namespace in NAMESPACES:
                for name in "xy":
                    of = Subject(group, kind, namespace, name)
                    found[of] = self.owners.resolve(of)
        return found


@settings(deadline=None, max_examples=300)
@given(events, st.sampled_from([1, 500]))
def test_the_order_of_events_does_not_matter(happened: list[tuple[Key, Document | None, int]], at_once: int) -> None:
    """Once the graces have passed, everything is as if it had just been listed; and each object counts for exactly one
    that is there, of its own namespace, if it is no revision out of use. So it is in whatever slices it is done.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollup_targets, "MAX_AT_ONCE", at_once)
        _compare(happened)


def _compare(happened: list[tuple[Key, Document | None, int]]) -> None:
    world = World({})
    there: dict[Key, Document | None] = {}
    for key, metadata, seconds in happened:
        there[key] = metadata
        world.put(key, metadata)
        world.wait(seconds * 1000)
    found = world.settled()
    fresh = World({key: metadata for key, metadata in there.items() if metadata is not None})
    assert found == fresh.settled()
    assert world.owners.unverified_owners.keys() == fresh.owners.unverified_owners.keys()
    assert [s.number for s in world.owners.unverified_owners.values()] == [
        s.number for s in fresh.owners.unverified_owners.values()
    ]
    exist = {
        Subject(VERSIONS[kind].rpartition("/")[0], kind, namespace, name)
        for (kind, namespace, name), owner in there.items()
        if owner is not None
    }
    for of, counts_for in found.items():
        if of not in exist:
            assert counts_for is Unresolved.DELETED
        elif counts_for is Unresolved.IDLE:
            assert of.kind != "Pod"
        else:
            assert isinstance(counts_for, Subject)
            assert counts_for.namespace == of.namespace
            assert counts_for in exist or counts_for.kind == "Rollout"
            assert (of in world.owners.descendants(counts_for)) == (counts_for != of)
    for namespace in NAMESPACES:
        assert not world.owners.has_unknown(namespace)
    heads = {home for of, home in found.items() if isinstance(home, Subject) and home != of}
    for head in heads:
        assert world.owners.descendants(head) == {of for of, home in found.items() if home == head and of != head}
