"""What a result on a Pod, ReplicaSet or Job counts for."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.sources.violation import Subject
from policyhub.sync.owners import JOBS, PODS, REPLICASETS, Owners, Unresolved

WATCHING = ReflectorState(phase="watching")
CUT = ReflectorState(phase="failed", reason="WatchFailed")
FORBIDDEN = ReflectorState(phase="failed", reason="ListingForbidden")
GROUPS = {"Pod": "", "ReplicaSet": "apps", "Job": "batch", "Deployment": "apps", "CronJob": "batch"}
RESOURCES = {"Pod": PODS, "ReplicaSet": REPLICASETS, "Job": JOBS}


def subject(kind: str, name: str, group: str | None = None) -> Subject:
    return Subject(GROUPS[kind] if group is None else group, kind, "shop", name)


def thing(
    name: str,
    owner: tuple[str, str, str] | None = None,
    *,
    revision: str | None = None,
    created: str = "2026-01-01T00:00:00Z",
    controller: bool = True,
) -> dict[str, Any]:
    """Metadata as the API server gives it; `owner` is (apiVersion, kind, name)."""
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": created}
    if owner is not None:
        version, kind, named = owner
        reference = {"apiVersion": version, "kind": kind, "name": named, "uid": "u", "controller": controller}
        metadata["ownerReferences"] = [reference]
    if revision is not None:
        metadata["annotations"] = {"deployment.kubernetes.io/revision": revision}
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}


class World:
    def __init__(self) -> None:
        self.now = 1_790_000_000_000
        self.told: list[set[Subject] | None] = []
        self.malformed: list[str] = []
        self.owners = Owners(
            now=lambda: self.now,
            on_change=self.told.append,
            on_malformed=lambda origin, _: self.malformed.append(origin),
        )

    def refuse(self, resource: Resource, *, after: int = 0) -> None:
        """One more listing is refused."""
        self.now += after
        sink = self.owners.sinks[resource]
        sink.begin()
        sink.abort()
        sink.state(FORBIDDEN)

    def list(self, kind: str, things: Sequence[dict[str, Any]] = (), *, live: bool = True) -> None:
        sink = self.owners.sinks[RESOURCES[kind]]
        sink.begin()
        for one in things:
            sink.upsert(json.dumps(one).encode())
        sink.finish()
        if live:
            sink.state(WATCHING)

    def put(self, kind: str, one: dict[str, Any]) -> None:
        self.owners.sinks[RESOURCES[kind]].upsert(json.dumps(one).encode())

    def drop(self, kind: str, name: str) -> None:
        self.owners.sinks[RESOURCES[kind]].delete(json.dumps(thing(name)).encode())


WEB = ("apps/v1", "Deployment", "web")
OLD = ("apps/v1", "ReplicaSet", "web-old")
NEW = ("apps/v1", "ReplicaSet", "web-new")


def world() -> World:
    made = World()
    made.list("ReplicaSet", [thing("web-old", WEB, revision="1"), thing("web-new", WEB, revision="2"), thing("alone")])
    made.list(
        "Pod",
        [
            thing("web-new-1", NEW),
            thing("bare"),
            thing("static", ("v1", "Node", "node-1")),
            thing("alone-1", ("apps/v1", "ReplicaSet", "alone")),
            thing("db-0", ("apps/v1", "StatefulSet", "db")),
            thing("rolled-1", ("argoproj.io/v1alpha1", "Rollout", "rolled")),
            thing("nightly-1-a", ("batch/v1", "Job", "nightly-1")),
            thing("loose", WEB, controller=False),
            thing("lost-1", ("apps/v1", "ReplicaSet", "lost")),
        ],
    )
    made.list("Job", [thing("nightly-1", ("batch/v1", "CronJob", "nightly")), thing("once")])
    return made


DEPLOYMENT = subject("Deployment", "web")


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (subject("Pod", "web-new-1"), DEPLOYMENT),
        (subject("ReplicaSet", "web-new"), DEPLOYMENT),
        (subject("ReplicaSet", "web-old"), Unresolved.IDLE),
        (subject("ReplicaSet", "alone"), subject("ReplicaSet", "alone")),
        (subject("Pod", "alone-1"), subject("ReplicaSet", "alone")),
        (subject("Pod", "bare"), subject("Pod", "bare")),
        (subject("Pod", "static"), subject("Pod", "static")),
        (subject("Pod", "loose"), subject("Pod", "loose")),
        (subject("Pod", "db-0"), Subject("apps", "StatefulSet", "shop", "db")),
        (subject("Pod", "rolled-1"), Subject("argoproj.io", "Rollout", "shop", "rolled")),
        (subject("Pod", "nightly-1-a"), subject("CronJob", "nightly")),
        (subject("Job", "nightly-1"), subject("CronJob", "nightly")),
        (subject("Job", "once"), subject("Job", "once")),
        (subject("Pod", "none"), Unresolved.GONE),
        (subject("Pod", "lost-1"), Unresolved.UNKNOWN),
        (subject("Pod", "none", group="example.com"), subject("Pod", "none", group="example.com")),
        (DEPLOYMENT, DEPLOYMENT),
    ],
    ids=lambda value: getattr(value, "name", "") if isinstance(value, Subject) else str(value),
)
def test_what_counts_for_what(of: Subject, expected: Subject | Unresolved) -> None:
    """Each row of the module's table."""
    assert world().owners.subject(of) == expected


def test_nothing_is_known_before_all_are_listed() -> None:
    """A Pod whose ReplicaSet may still come counts for nothing yet; everything else does at once."""
    made = World()
    made.list("Pod", [thing("bare")])
    assert made.owners.subject(subject("Pod", "bare")) is Unresolved.UNKNOWN
    assert made.owners.subject(DEPLOYMENT) == DEPLOYMENT
    made.list("ReplicaSet")
    made.list("Job")
    assert made.owners.subject(subject("Pod", "bare")) == subject("Pod", "bare")
    assert made.told[-1] is None


def test_what_was_known_stands_when_a_watch_is_cut() -> None:
    """Only that something is not there can no longer be told."""
    made = world()
    made.owners.sinks[PODS].state(CUT)
    assert made.owners.subject(subject("Pod", "web-new-1")) == DEPLOYMENT
    assert made.owners.subject(subject("Pod", "none")) is Unresolved.UNKNOWN
    assert not made.owners.gone(subject("Pod", "none"))
    made.now += 5
    made.owners.sinks[PODS].state(WATCHING)
    assert made.owners.since == made.now
    assert made.owners.gone(subject("Pod", "none"))


def test_where_listing_is_forbidden_everything_counts_for_itself() -> None:
    """Until it is allowed; a right that is lost later takes nothing back."""
    made = World()
    made.list("Pod", [thing("web-new-1", NEW)])
    made.list("ReplicaSet", [thing("web-new", WEB)])
    made.refuse(JOBS)
    made.refuse(JOBS, after=20_000)
    pod = subject("Pod", "web-new-1")
    assert made.owners.subject(pod) == pod
    made.list("Job")
    assert made.owners.subject(pod) == DEPLOYMENT
    made.refuse(JOBS)
    made.refuse(JOBS, after=20_000)
    assert made.owners.subject(pod) == DEPLOYMENT
    assert not made.owners.since


def test_a_refusal_is_believed_when_it_stands() -> None:
    """An API server that reads its rules refuses for a moment what they allow: until a listing that began a while after
    the first refusal is refused too, nobody knows; and any other answer begins that anew.
    """
    made = World()
    made.list("Pod", [thing("web-new-1", NEW)])
    made.list("ReplicaSet", [thing("web-new", WEB)])
    pod = subject("Pod", "web-new-1")
    for after in (0, 1_000, 13_000):
        made.refuse(JOBS, after=after)
        assert made.owners.subject(pod) is Unresolved.UNKNOWN
    made.now += 5_000
    made.owners.sinks[JOBS].state(CUT)
    for after in (1_000, 14_000):
        made.refuse(JOBS, after=after)
        assert made.owners.subject(pod) is Unresolved.UNKNOWN
    made.refuse(JOBS, after=1_000)
    assert made.owners.subject(pod) == pod


def test_an_old_revision_counts_again_when_it_has_pods() -> None:
    """A rollback, or a rollout under way: whatever has Pods is in use."""
    made = world()
    made.put("Pod", thing("web-old-1", OLD))
    assert made.owners.subject(subject("ReplicaSet", "web-old")) == DEPLOYMENT
    assert subject("ReplicaSet", "web-old") in (made.told[-1] or ())
    made.drop("Pod", "web-old-1")
    assert made.owners.subject(subject("ReplicaSet", "web-old")) is Unresolved.IDLE


def test_a_new_revision_puts_the_old_one_out_of_use() -> None:
    """Whose meaning may have changed is told: the old one's too."""
    made = World()
    made.list("ReplicaSet", [thing("web-old", WEB, revision="1")])
    made.list("Pod")
    made.list("Job")
    assert made.owners.subject(subject("ReplicaSet", "web-old")) == DEPLOYMENT
    made.put("ReplicaSet", thing("web-new", WEB, revision="2"))
    assert made.owners.subject(subject("ReplicaSet", "web-old")) is Unresolved.IDLE
    assert subject("ReplicaSet", "web-old") in (made.told[-1] or ())


def test_the_newest_job_speaks_for_its_cronjob() -> None:
    """Its Pods have ended and are not listed; the Jobs before it are history."""
    made = world()
    made.put("Job", thing("nightly-2", ("batch/v1", "CronJob", "nightly"), created="2026-01-02T00:00:00Z"))
    made.drop("Pod", "nightly-1-a")
    assert made.owners.subject(subject("Job", "nightly-1")) is Unresolved.IDLE
    assert made.owners.subject(subject("Job", "nightly-2")) == subject("CronJob", "nightly")


def test_an_adopted_pod_moves() -> None:
    """A Pod that is given another controller counts for that one, and its former one is told of."""
    made = world()
    made.put("Pod", thing("bare", NEW))
    assert made.owners.subject(subject("Pod", "bare")) == DEPLOYMENT
    made.put("Pod", thing("bare", ("apps/v1", "StatefulSet", "db")))
    assert made.owners.subject(subject("Pod", "bare")) == Subject("apps", "StatefulSet", "shop", "db")
    assert set(made.owners.below(DEPLOYMENT)) == {subject("ReplicaSet", "web-new"), subject("Pod", "web-new-1")}


def test_a_rewrite_is_no_news() -> None:
    """Pods are written several times in their life; nobody is told."""
    made = world()
    before = len(made.told)
    made.put("Pod", thing("web-new-1", NEW))
    made.list("Pod", [thing("web-new-1", NEW)], live=False)
    assert all(touched is None or subject("Pod", "web-new-1") not in touched for touched in made.told[before:])


def test_a_listing_sweeps() -> None:
    """What a complete listing lacks is gone, and its owner has lost it."""
    made = world()
    made.list("Pod", [thing("web-new-1", NEW)])
    assert made.owners.gone(subject("Pod", "db-0"))
    assert made.owners.extinct(Subject("apps", "StatefulSet", "shop", "db"))
    assert not made.owners.extinct(DEPLOYMENT)


def test_a_listing_with_an_unreadable_object_sweeps_nothing() -> None:
    """It may be any of those that are known, and nothing is gone for sure until all can be read."""
    made = world()
    sink = made.owners.sinks[PODS]
    sink.begin()
    sink.upsert(b'{"metadata": 7}')
    sink.finish()
    sink.state(WATCHING)
    assert made.owners.subject(subject("Pod", "bare")) == subject("Pod", "bare")
    assert not made.owners.since
    assert made.malformed == ["pods"]
    made.list("Pod")
    assert made.owners.gone(subject("Pod", "bare"))


def test_owners_that_own_each_other_end() -> None:
    """References are anybody's to write."""
    made = World()
    made.list("ReplicaSet", [thing("a", ("apps/v1", "ReplicaSet", "b")), thing("b", ("apps/v1", "ReplicaSet", "a"))])
    made.list("Pod", [thing("p", ("apps/v1", "ReplicaSet", "a"))])
    made.list("Job")
    assert made.owners.subject(subject("Pod", "p")) is Unresolved.UNKNOWN
    assert made.owners.below(subject("ReplicaSet", "a")) == {subject("Pod", "p")}
