"""The rollup target of a result on a Pod, ReplicaSet or Job."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.model.violation import Subject
from policyhub.sync.owners import CONTROLLERS, JOBS, PODS, REPLICASETS, Owners, Unresolved

WATCHING = ReflectorState(phase="watching")
CUT = ReflectorState(phase="failed", cause=Cause(Reason.WATCH_FAILED))
FORBIDDEN = ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN))
GROUPS = {"Pod": "", "ReplicaSet": "apps", "Job": "batch", "Deployment": "apps", "CronJob": "batch"}
RESOURCES = {"Pod": PODS, "ReplicaSet": REPLICASETS, "Job": JOBS}


def subject(kind: str, name: str, group: str | None = None) -> Subject:
    return Subject(GROUPS[kind] if group is None else group, kind, "shop", name)


def workload(
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
        reference = {
            "apiVersion": version,
            "kind": kind,
            "name": named,
            "uid": f"uid-{named}",
            "controller": controller,
        }
        metadata["ownerReferences"] = [reference]
    if revision is not None:
        metadata["annotations"] = {"deployment.kubernetes.io/revision": revision}
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}


class World:
    def __init__(self, *, controllers: bool = True) -> None:
        self.now = SteadyMs(1_790_000_000_000)
        self.notified: list[set[Subject] | None] = []
        self.malformed: list[str] = []
        self.owners = Owners(
            now=lambda: self.now,
            on_change=self.notified.append,
            on_malformed=lambda origin, _: self.malformed.append(origin),
        )
        for resource in CONTROLLERS if controllers else ():
            self.control(resource.kind)

    def refuse_listing(self, resource: Resource, *, after: int = 0) -> None:
        """Another listing is refused."""
        self.now += after
        sink = self.owners.sinks[resource]
        sink.begin()
        sink.abort()
        sink.state(FORBIDDEN)

    def list(self, kind: str, workloads: Sequence[dict[str, Any]] = (), *, live: bool = True) -> None:
        sink = self.owners.sinks[RESOURCES[kind]]
        sink.begin()
        for one in workloads:
            sink.upsert(json.dumps(one).encode())
        sink.finish()
        if live:
            sink.state(WATCHING)

    def control(self, kind: str, *names: str) -> None:
        """A listing of built-in controllers."""
        sink = next(sink for resource, sink in self.owners.controller_sinks.items() if resource.kind == kind)
        sink.begin()
        for name in names:
            sink.upsert(json.dumps(workload(name)).encode())
        sink.finish()
        sink.state(WATCHING)

    def answer(self, group: str, version: str, *kinds: str) -> None:
        assert self.owners.next_group_version() == (group, version)
        self.owners.record_kinds(group, version, frozenset(kinds))

    def wait(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.owners.expire()

    def put(self, kind: str, one: dict[str, Any]) -> None:
        self.owners.sinks[RESOURCES[kind]].upsert(json.dumps(one).encode())

    def drop(self, kind: str, name: str) -> None:
        self.owners.sinks[RESOURCES[kind]].delete(json.dumps(workload(name)).encode())


WEB = ("apps/v1", "Deployment", "web")
OLD = ("apps/v1", "ReplicaSet", "web-old")
NEW = ("apps/v1", "ReplicaSet", "web-new")


def world() -> World:
    made = World()
    made.control("Deployment", "web")
    made.control("StatefulSet", "db")
    made.control("CronJob", "nightly")
    made.list(
        "ReplicaSet",
        [workload("web-old", WEB, revision="1"), workload("web-new", WEB, revision="2"), workload("alone")],
    )
    made.list(
        "Pod",
        [
            workload("web-new-1", NEW),
            workload("bare"),
            workload("static", ("v1", "Node", "node-1")),
            workload("alone-1", ("apps/v1", "ReplicaSet", "alone")),
            workload("db-0", ("apps/v1", "StatefulSet", "db")),
            workload("rolled-1", ("argoproj.io/v1alpha1", "Rollout", "rolled")),
            workload("nightly-1-a", ("batch/v1", "Job", "nightly-1")),
            workload("loose", WEB, controller=False),
            workload("lost-1", ("apps/v1", "ReplicaSet", "lost")),
        ],
    )
    made.list("Job", [workload("nightly-1", ("batch/v1", "CronJob", "nightly")), workload("once")])
    made.answer("argoproj.io", "v1alpha1", "Rollout")
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
        (subject("Pod", "none"), Unresolved.DELETED),
        (subject("Pod", "lost-1"), Unresolved.UNKNOWN),
        (subject("Pod", "none", group="example.com"), subject("Pod", "none", group="example.com")),
        (DEPLOYMENT, DEPLOYMENT),
    ],
    ids=lambda value: getattr(value, "name", "") if isinstance(value, Subject) else str(value),
)
def test_the_rollup_target_of_each_object(of: Subject, expected: Subject | Unresolved) -> None:
    """Each row of the module's table."""
    assert world().owners.resolve(of) == expected


def test_nothing_is_known_before_all_are_listed() -> None:
    """A Pod whose ReplicaSet may still come has no target yet; everything else has one at once."""
    made = World()
    made.list("Pod", [workload("bare")])
    assert made.owners.resolve(subject("Pod", "bare")) is Unresolved.UNKNOWN
    assert made.owners.resolve(DEPLOYMENT) == DEPLOYMENT
    made.list("ReplicaSet")
    made.list("Job")
    assert made.owners.resolve(subject("Pod", "bare")) == subject("Pod", "bare")
    assert made.notified[-1] is None


def test_an_interrupted_watch_keeps_what_is_known() -> None:
    """Only that an object is missing is no longer evidence."""
    made = world()
    made.owners.sinks[PODS].state(CUT)
    assert made.owners.resolve(subject("Pod", "web-new-1")) == DEPLOYMENT
    assert made.owners.resolve(subject("Pod", "none")) is Unresolved.UNKNOWN
    assert not made.owners.is_deleted(subject("Pod", "none"))
    made.now += 5
    made.owners.sinks[PODS].state(WATCHING)
    assert made.owners.since == made.now
    assert made.owners.is_deleted(subject("Pod", "none"))


def test_nothing_rolls_up_where_listing_is_forbidden() -> None:
    """Until it is allowed; a permission that is lost later changes nothing."""
    made = World()
    made.control("Deployment", "web")
    made.list("Pod", [workload("web-new-1", NEW)])
    made.list("ReplicaSet", [workload("web-new", WEB)])
    made.refuse_listing(JOBS)
    made.refuse_listing(JOBS, after=20_000)
    pod = subject("Pod", "web-new-1")
    assert made.owners.resolve(pod) == pod
    made.list("Job")
    assert made.owners.resolve(pod) == DEPLOYMENT
    made.refuse_listing(JOBS)
    made.refuse_listing(JOBS, after=20_000)
    assert made.owners.resolve(pod) == DEPLOYMENT
    assert not made.owners.since


def test_a_refusal_is_accepted_after_its_grace_period() -> None:
    """While an API server loads its rules it refuses what they allow: until a listing that began a while after the
    first refusal is refused too, nothing is accepted.
    """
    made = World()
    made.list("Pod", [workload("web-new-1", NEW)])
    made.list("ReplicaSet", [workload("web-new", WEB)])
    pod = subject("Pod", "web-new-1")
    for after in (0, 1_000, 13_000):
        made.refuse_listing(JOBS, after=after)
        assert made.owners.resolve(pod) is Unresolved.UNKNOWN
    made.now += 5_000
    made.owners.sinks[JOBS].state(CUT)
    for after in (1_000, 14_000):
        made.refuse_listing(JOBS, after=after)
        assert made.owners.resolve(pod) is Unresolved.UNKNOWN
    made.refuse_listing(JOBS, after=1_000)
    assert made.owners.resolve(pod) == pod


def test_an_old_revision_rolls_up_again_when_it_has_pods() -> None:
    """A rollback, or a rollout that is not finished: a revision with Pods is in use."""
    made = world()
    made.put("Pod", workload("web-old-1", OLD))
    assert made.owners.resolve(subject("ReplicaSet", "web-old")) == DEPLOYMENT
    assert subject("ReplicaSet", "web-old") in (made.notified[-1] or ())
    made.drop("Pod", "web-old-1")
    assert made.owners.resolve(subject("ReplicaSet", "web-old")) is Unresolved.IDLE


def test_a_new_revision_makes_the_old_one_idle() -> None:
    """Both revisions are reported as changed."""
    made = World()
    made.control("Deployment", "web")
    made.list("ReplicaSet", [workload("web-old", WEB, revision="1")])
    made.list("Pod")
    made.list("Job")
    assert made.owners.resolve(subject("ReplicaSet", "web-old")) == DEPLOYMENT
    made.put("ReplicaSet", workload("web-new", WEB, revision="2"))
    assert made.owners.resolve(subject("ReplicaSet", "web-old")) is Unresolved.IDLE
    assert subject("ReplicaSet", "web-old") in (made.notified[-1] or ())


def test_only_the_newest_job_rolls_up_to_its_cronjob() -> None:
    """Its Pods have ended and are not listed; older Jobs are history."""
    made = world()
    made.put("Job", workload("nightly-2", ("batch/v1", "CronJob", "nightly"), created="2026-01-02T00:00:00Z"))
    made.drop("Pod", "nightly-1-a")
    assert made.owners.resolve(subject("Job", "nightly-1")) is Unresolved.IDLE
    assert made.owners.resolve(subject("Job", "nightly-2")) == subject("CronJob", "nightly")


def test_an_adopted_pod_moves() -> None:
    """A Pod that gets another controller rolls up to that one; its former target is reported as changed too."""
    made = world()
    made.put("Pod", workload("bare", NEW))
    assert made.owners.resolve(subject("Pod", "bare")) == DEPLOYMENT
    made.put("Pod", workload("bare", ("apps/v1", "StatefulSet", "db")))
    assert made.owners.resolve(subject("Pod", "bare")) == Subject("apps", "StatefulSet", "shop", "db")
    assert set(made.owners.descendants(DEPLOYMENT)) == {subject("ReplicaSet", "web-new"), subject("Pod", "web-new-1")}


def test_a_rewrite_without_a_change_notifies_nobody() -> None:
    """Pods are written several times in their life."""
    made = world()
    before = len(made.notified)
    made.put("Pod", workload("web-new-1", NEW))
    made.list("Pod", [workload("web-new-1", NEW)], live=False)
    assert all(changed is None or subject("Pod", "web-new-1") not in changed for changed in made.notified[before:])


def test_objects_that_a_listing_lacks_are_deleted() -> None:
    """A complete listing is evidence for every object."""
    made = world()
    made.list("Pod", [workload("web-new-1", NEW)])
    assert made.owners.is_deleted(subject("Pod", "db-0"))


def test_a_listing_with_an_unreadable_object_deletes_nothing() -> None:
    """It may be any known object, so nothing counts as deleted until all can be read."""
    made = world()
    sink = made.owners.sinks[PODS]
    sink.begin()
    sink.upsert(b'{"metadata": 7}')
    sink.finish()
    sink.state(WATCHING)
    assert made.owners.resolve(subject("Pod", "bare")) == subject("Pod", "bare")
    assert not made.owners.since
    assert made.malformed == ["pods"]
    made.list("Pod")
    assert made.owners.is_deleted(subject("Pod", "bare"))


# -- what is named is verified ----------------------------------------------------------------------------------------


def ref(api_version: str, kind: str, name: str, uid: str | None = None, **more: object) -> dict[str, Any]:
    return {
        "apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{name}" if uid is None else uid,
        "controller": True, **more,
    }  # fmt: skip


def owned(name: str, *references: object, **more: Any) -> dict[str, Any]:
    """Metadata with these owner references, of any shape."""
    one = workload(name, **more)
    one["metadata"]["ownerReferences"] = list(references)
    return one


BAD = subject("Pod", "bad")
REFERENCES: dict[str, tuple[dict[str, Any], Subject]] = {
    "the right one": (ref("apps/v1", "ReplicaSet", "web-new"), DEPLOYMENT),
    "an older version of the right group": (ref("apps/v1beta2", "ReplicaSet", "web-new"), DEPLOYMENT),
    "a ghost": (ref("apps/v1", "ReplicaSet", "ghost"), BAD),
    "another uid": (ref("apps/v1", "ReplicaSet", "web-new", "uid-other"), BAD),
    "no uid": (ref("apps/v1", "ReplicaSet", "web-new", ""), BAD),
    "another group": (ref("v1", "ReplicaSet", "web-new"), BAD),
    "a group that is borrowed": (ref("aquasecurity.github.io/v1", "ReplicaSet", "web-new"), BAD),
    "no version": (ref("apps/", "ReplicaSet", "web-new"), BAD),
    "no apiVersion": (ref("", "ReplicaSet", "web-new"), BAD),
    "another namespace's object": (ref("apps/v1", "ReplicaSet", "elsewhere"), BAD),
    "a name with a line break": (ref("apps/v1", "ReplicaSet", "web-new\n"), BAD),
    "a name of 300 letters": (ref("apps/v1", "ReplicaSet", "w" * 300), BAD),
    "a Deployment itself": (ref("apps/v1", "Deployment", "web"), BAD),
    "a CronJob itself": (ref("batch/v1", "CronJob", "nightly"), BAD),
    "a ConfigMap": (ref("v1", "ConfigMap", "map"), BAD),
    "a role": (ref("rbac.authorization.k8s.io/v1", "Role", "role"), BAD),
    "a StatefulSet that is there": (ref("apps/v1", "StatefulSet", "db"), Subject("apps", "StatefulSet", "shop", "db")),
    "a StatefulSet that is not": (ref("apps/v1", "StatefulSet", "gone"), BAD),
    "a DaemonSet that is not": (ref("apps/v1", "DaemonSet", "gone"), BAD),
    "a ReplicationController that is not": (ref("v1", "ReplicationController", "gone"), BAD),
    "itself": (ref("v1", "Pod", "bad"), BAD),
    "an older Pod": (ref("v1", "Pod", "bare"), subject("Pod", "bare")),
    "an older Pod that has an owner": (ref("v1", "Pod", "web-new-1"), subject("Pod", "web-new-1")),
    "a Pod that is gone": (ref("v1", "Pod", "none"), BAD),
    "a kind that is served": (
        ref("argoproj.io/v1alpha1", "Rollout", "rolled"),
        Subject("argoproj.io", "Rollout", "shop", "rolled"),
    ),
    "a served kind by another uid": (ref("argoproj.io/v1alpha1", "Rollout", "rolled", "uid-other"), BAD),
    "a kind that is not served": (ref("argoproj.io/v1alpha1", "Fantasy", "rolled"), BAD),
    "not as the controller": (ref("apps/v1", "ReplicaSet", "web-new", controller=False), BAD),
}


@pytest.mark.parametrize(("reference", "expected"), REFERENCES.values(), ids=REFERENCES)
def test_a_controller_is_verified(reference: dict[str, Any], expected: Subject) -> None:
    """A Pod rolls up to the owner that it names only if that is its controller; otherwise, after the grace period, to
    itself.
    """
    made = world()
    made.put("Pod", owned("bad", reference, created="2026-02-01T00:00:00Z"))
    while (question := made.owners.next_group_version()) is not None:
        made.owners.record_kinds(*question, frozenset({"Rollout"}))
    made.wait(31)
    assert made.owners.resolve(BAD) == expected
    unverified_owners = made.owners.unverified_owners
    # lost-1 names a ReplicaSet that is not there
    assert unverified_owners["shop"].number == (2 if expected == BAD and reference["controller"] else 1)


def test_of_two_controllers_the_first_is_taken() -> None:
    """The API server accepts one only."""
    made = world()
    made.put(
        "Pod", owned("bad", ref("v1", "ConfigMap", "m", controller=False), ref("apps/v1", "ReplicaSet", "web-new"))
    )
    assert made.owners.resolve(BAD) == DEPLOYMENT
    made.put("Pod", owned("two", ref("apps/v1", "StatefulSet", "db"), ref("apps/v1", "ReplicaSet", "web-new")))
    assert made.owners.resolve(subject("Pod", "two")) == Subject("apps", "StatefulSet", "shop", "db")


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kinds", [("ReplicaSet",), ("Job",), ("ReplicaSet", "Job"), ("Pod",)], ids="-".join)
def test_owners_that_own_each_other(kinds: tuple[str, ...], length: int) -> None:
    """Whatever their kinds, they and a Pod below them roll up to an object that exists."""
    made = world()
    ring = [(kinds[number % len(kinds)], f"ring-{number}") for number in range(length)]
    versions = {"ReplicaSet": "apps/v1", "Job": "batch/v1", "Pod": "v1"}
    for (kind, name), (above, named) in zip(ring, ring[1:] + ring[:1], strict=True):
        made.put(kind, owned(name, ref(versions[above], above, named)))
    made.put("Pod", owned("bad", ref(versions[kinds[0]], kinds[0], "ring-0"), created="2026-02-01T00:00:00Z"))
    made.wait(31)
    assert made.owners.resolve(BAD) == (subject("Pod", "ring-0") if kinds == ("Pod",) else BAD)
    for kind, name in ring:
        assert made.owners.resolve(subject(kind, name)) == subject(kind, name)
    assert made.owners.unverified_owners["shop"].number >= length


def test_nothing_moves_during_the_grace_period() -> None:
    """A Pod with a target keeps it, a new one has none yet; after the grace period each is its own target."""
    made = world()
    made.put("Pod", workload("web-new-1", ("apps/v1", "ReplicaSet", "ghost")))
    made.put("Pod", workload("bad", ("apps/v1", "ReplicaSet", "ghost")))
    old = subject("Pod", "web-new-1")
    made.wait(29)
    assert made.owners.resolve(old) == DEPLOYMENT
    assert made.owners.resolve(BAD) is Unresolved.UNKNOWN
    assert made.owners.has_unknown("shop")
    made.notified.clear()
    made.wait(2)
    assert made.notified == [{old, BAD, subject("Pod", "lost-1")}]
    assert made.owners.resolve(old) == old
    assert made.owners.resolve(BAD) == BAD
    assert not made.owners.has_unknown("shop")
    assert "names ReplicaSet ghost as its controller, which does not exist" in made.owners._links.explain(BAD)


def test_a_controller_that_is_listed_late() -> None:
    """Within the grace period nothing changes; after it, its Pods return to it."""
    for seconds in (10, 40):
        made = world()
        made.put("Pod", workload("late-1", ("apps/v1", "ReplicaSet", "late")))
        made.wait(seconds)
        made.put("ReplicaSet", workload("late", WEB, revision="3"))
        assert made.owners.resolve(subject("Pod", "late-1")) == DEPLOYMENT


def test_no_grace_period_ends_while_a_watch_is_interrupted() -> None:
    """An unknown controller may exist: nothing moves until all watches were live for the grace period."""
    made = world()
    made.put("Pod", workload("bad", ("apps/v1", "StatefulSet", "late")))
    sets = made.owners.controller_sinks[CONTROLLERS[1]]
    for sink in (made.owners.sinks[REPLICASETS], sets):
        sink.state(CUT)
        made.wait(600)
        assert made.owners.resolve(BAD) is Unresolved.UNKNOWN
        sink.state(WATCHING)
        made.wait(20)
        assert made.owners.resolve(BAD) is Unresolved.UNKNOWN
    made.wait(20)
    assert made.owners.resolve(BAD) == BAD


def test_a_replicaset_that_is_created_again() -> None:
    """It has another uid, so the Pods of the old one are not its own; as a rule they are deleted with the old one."""
    made = world()
    made.drop("ReplicaSet", "web-new")
    again = workload("web-new", WEB, revision="2")
    again["metadata"]["uid"] = "uid-again"
    made.put("ReplicaSet", again)
    pod = subject("Pod", "web-new-1")
    assert made.owners.resolve(pod) == DEPLOYMENT
    made.wait(31)
    assert made.owners.resolve(pod) == DEPLOYMENT
    made.wait(3600)
    assert made.owners.resolve(pod) == pod
    assert "with a uid that it does not have" in made.owners._links.explain(pod)


def test_a_pod_that_comes_after_its_controller_was_deleted_does_not_roll_up() -> None:
    """Only Pods that existed when the controller was deleted are deleted with it: no new Pod can hide behind it."""
    made = world()
    made.drop("ReplicaSet", "web-new")
    made.put("Pod", workload("web-new-9", NEW))
    made.wait(31)
    late = subject("Pod", "web-new-9")
    assert made.owners.resolve(late) == late
    assert made.owners.resolve(subject("Pod", "web-new-1")) == DEPLOYMENT


def test_a_pod_that_is_being_deleted_stays() -> None:
    """Its ReplicaSet was deleted first: a Pod that takes longer than the grace period to end keeps its target."""
    made = world()
    ending = workload("web-new-1", NEW)
    ending["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    made.put("Pod", ending)
    made.drop("ReplicaSet", "web-new")
    pod = subject("Pod", "web-new-1")
    made.wait(600)
    assert made.owners.resolve(pod) == DEPLOYMENT
    made.wait(3600)
    assert made.owners.resolve(pod) == pod


def test_an_object_that_is_being_deleted_has_one_timer() -> None:
    """A ReplicaSet that a finalizer keeps, however often it is written, also under other names one after the other."""
    made = world()
    ghost = ref("apps/v1", "Deployment", "ghost")
    for number in range(3_000):
        one = owned("web-new", ghost, revision=str(number))
        one["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        made.put("ReplicaSet", one)
        if number == 1_500:
            made.wait(31)
    assert made.owners.resolve(subject("ReplicaSet", "web-new")) == DEPLOYMENT
    timers = made.owners._links.timers
    assert len(timers) <= 4
    for number in range(3_000):
        made.put("ReplicaSet", owned(f"web-{number}", ghost))
        made.drop("ReplicaSet", f"web-{number}")
    assert len(timers) <= 4
    assert len(timers._heap) <= 1_010


def test_changes_while_the_controller_is_missing() -> None:
    """It takes effect when the controller exists again: an old revision that has Pods by now is in use."""
    made = world()
    made.control("Deployment")
    made.put("Pod", workload("web-old-1", OLD))
    assert made.owners.resolve(subject("ReplicaSet", "web-old")) is Unresolved.IDLE
    made.control("Deployment", "web")
    assert made.owners.resolve(subject("ReplicaSet", "web-old")) == DEPLOYMENT
    assert made.owners.resolve(subject("Pod", "web-old-1")) == DEPLOYMENT


def test_a_deployment_that_is_deleted_first() -> None:
    """Its ReplicaSet and Pods roll up to it until they are deleted."""
    made = world()
    made.control("Deployment")
    assert made.owners.resolve(subject("Pod", "web-new-1")) == DEPLOYMENT


def refuse_listing(made: World, kind: str, *, after: int = 0) -> None:
    made.now += after
    sink = next(sink for resource, sink in made.owners.controller_sinks.items() if resource.kind == kind)
    sink.begin()
    sink.abort()
    sink.state(FORBIDDEN)


def test_controllers_that_may_not_be_listed_are_assumed() -> None:
    """An installation with the permissions of an older version: roll-up goes on, unverified."""
    made = World(controllers=False)
    made.owners.controller_sinks[CONTROLLERS[0]].begin()
    made.list("ReplicaSet", [workload("web-new", WEB)])
    made.list("Pod", [workload("web-new-1", NEW)])
    made.list("Job")
    assert not made.owners.listed
    refuse_listing(made, "Deployment")
    assert made.owners.resolve(subject("Pod", "web-new-1")) == DEPLOYMENT
    made.control("Deployment", "other")
    made.wait(31)
    assert made.owners.resolve(subject("Pod", "web-new-1")) == subject("Pod", "web-new-1")
    refuse_listing(made, "Deployment")
    refuse_listing(made, "Deployment", after=20_000)
    made.wait(11)
    assert made.owners.resolve(subject("Pod", "web-new-1")) == DEPLOYMENT


def test_the_oldest_object_decides_which_custom_resource_is_meant() -> None:
    """Objects that name another uid are their own target; when the oldest is deleted, the next oldest decides."""
    made = world()
    rollout = Subject("argoproj.io", "Rollout", "shop", "rolled")
    made.put(
        "Pod", owned("newer", ref("argoproj.io/v1alpha1", "Rollout", "rolled", "uid-b"), created="2026-03-01T00:00:00Z")
    )
    made.wait(31)
    newer, older = subject("Pod", "newer"), subject("Pod", "rolled-1")
    assert (made.owners.resolve(older), made.owners.resolve(newer)) == (rollout, newer)
    made.drop("Pod", "rolled-1")
    assert made.owners.resolve(newer) == rollout


def test_discovery_is_asked_for_kinds() -> None:
    """Each once, and again after an hour; a failed request is repeated soon, the kind counting as served meanwhile."""
    made = world()
    made.put("Pod", owned("bad", ref("example.com/v1", "Widget", "w")))
    assert made.owners.resolve(BAD) is Unresolved.UNKNOWN
    assert made.owners.next_group_version() == ("example.com", "v1")
    made.owners.record_kinds("example.com", "v1", None)
    widget = Subject("example.com", "Widget", "shop", "w")
    assert made.owners.resolve(BAD) == widget
    assert made.owners.next_group_version() is None
    made.now += 61_000
    made.answer("example.com", "v1")
    assert made.owners.resolve(BAD) == widget
    made.wait(31)
    assert made.owners.resolve(BAD) == BAD
    assert "serves no Widget.example.com/v1" in made.owners._links.explain(BAD)
    made.now += 3_600_000
    made.owners.record_kinds("argoproj.io", "v1alpha1", None)
    made.answer("example.com", "v1", "Widget")
    assert made.owners.resolve(BAD) == widget


def test_one_namespace_causes_few_requests() -> None:
    """Eight kinds that are not proven; others count as not served until a slot is free. Other namespaces have their own
    slots.
    """
    made = world()
    for number in range(50):
        made.put("Pod", owned(f"bad-{number}", ref(f"g{number}.example.com/v1", "Widget", "w")))
    other = owned("good", ref("other.example.com/v1", "Widget", "w"))
    other["metadata"]["namespace"] = "else"
    made.put("Pod", other)
    asked = []
    while (question := made.owners.next_group_version()) is not None:
        asked.append(question)
        made.owners.record_kinds(*question, frozenset())
    assert len(asked) == 9
    assert ("other.example.com", "v1") in asked
    made.wait(31)
    assert made.owners.unverified_owners["shop"].number == 51
    for number in range(50):
        made.drop("Pod", f"bad-{number}")
    assert len(made.owners.served) == 2


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["9" * 4301, "9" * 300_000, "²", "٣" * 5000, "+5", "-1", "", " 7", "0x9", "1e9", "1_000", "0" * 5000 + "3"],
    ids=lambda text: f"{text[:4]}…{len(text)}",
)
def test_a_revision_of_any_text(text: str) -> None:
    """No number counts as none, and too large a number as the largest; the rest of the object is read."""
    made = world()
    made.put("ReplicaSet", workload("web-odd", WEB, revision=text))
    assert made.owners.resolve(subject("ReplicaSet", "web-odd")) in {DEPLOYMENT, Unresolved.IDLE}
    assert made.owners.since
    assert made.malformed == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("creationTimestamp", "0001-01-01T00:00:00+23:59"),
        ("creationTimestamp", "9" * 5000),
        ("creationTimestamp", 7),
        ("annotations", ["x"]),
        ("annotations", {"deployment.kubernetes.io/revision": 5}),
        ("ownerReferences", [None]),
        ("ownerReferences", {"a": 1}),
        ("ownerReferences", [{"controller": "yes"}]),
        ("uid", 7),
    ],
)
def test_an_object_of_any_shape(member: str, value: object) -> None:
    """It exists, and is its own target at worst; its listing is still complete, and its name is reported."""
    made = world()
    odd = workload("odd")
    odd["metadata"][member] = value
    made.list("Pod", [odd, workload("bare")])
    assert made.owners.resolve(subject("Pod", "odd")) == subject("Pod", "odd")
    assert made.owners.resolve(subject("Pod", "bare")) == subject("Pod", "bare")
    assert made.owners.since
    assert made.malformed in ([], ["pods"])


def test_an_object_that_cannot_be_taken_exists() -> None:
    """A failure with one object concerns that object only: it has no controller."""
    made = world()
    sink = made.owners.sinks[PODS]
    sink.unreadable(json.dumps(workload("web-new-1", NEW)).encode(), ZeroDivisionError("x"))
    assert made.owners.resolve(subject("Pod", "web-new-1")) == subject("Pod", "web-new-1")
    assert made.owners.since
    assert made.malformed == ["pods"]


# -- what it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [250, 8000])
def test_a_change_of_one_sibling_affects_few(number: int) -> None:
    """A Job that comes, changes or goes affects itself and the newest before and after, however many there are."""
    made = world()
    nightly = ("batch/v1", "CronJob", "nightly")
    made.list("Job", [workload(f"many-{n:05}", nightly, created="2026-01-02T00:00:00Z") for n in range(number)])
    made.notified.clear()
    made.put("Job", workload("many-00000", nightly, created="2026-01-02T00:00:01Z"))
    made.put("Job", workload("newest", nightly, created="2026-01-03T00:00:00Z"))
    made.drop("Job", "newest")
    made.drop("Job", "many-00007")
    assert [len(notified or ()) for notified in made.notified] == [2, 2, 2, 1]


@pytest.mark.parametrize("number", [250, 8000])
def test_an_owner_that_comes_and_goes_moves_nothing_else(number: int) -> None:
    """Its Pods wait for the grace period, and by then it is back."""
    made = world()
    made.list("Pod", [workload(f"web-new-{n}", NEW) for n in range(number)])
    made.notified.clear()
    for _ in range(10):
        made.put("ReplicaSet", owned("web-new", ref("apps/v1", "Deployment", "ghost"), revision="2"))
        made.put("ReplicaSet", workload("web-new", WEB, revision="2"))
        made.wait(5)
    assert max(len(notified or ()) for notified in made.notified) <= 3
    assert len(made.owners.descendants(DEPLOYMENT)) == number + 1


def test_an_owner_between_two_deployments_takes_its_pods_along_once() -> None:
    """Both exist: the Pods follow at the first move, and then not again before the grace period has passed."""
    made = world()
    made.control("Deployment", "web", "other")
    other = subject("Deployment", "other")
    made.put("ReplicaSet", workload("web-new", ("apps/v1", "Deployment", "other"), revision="2"))
    assert made.owners.resolve(subject("Pod", "web-new-1")) == other
    made.put("ReplicaSet", workload("web-new", WEB, revision="2"))
    assert made.owners.resolve(subject("Pod", "web-new-1")) == other
    made.wait(31)
    assert made.owners.resolve(subject("Pod", "web-new-1")) == DEPLOYMENT


def test_memory_of_deleted_objects_is_bounded() -> None:
    """Nothing is kept of owners without dependents."""
    made = world()
    made.drop("Pod", "db-0")
    for number in range(2_100):
        one = owned(f"p-{number}", ref("argoproj.io/v1alpha1", "Rollout", f"r-{number}"))
        one["metadata"]["namespace"] = "else"
        made.owners.sinks[PODS].upsert(json.dumps(one).encode())
        made.owners.sinks[PODS].delete(json.dumps(one).encode())
    assert (len(made.owners._links.by_owner), len(made.owners._links.custom_owners), len(made.owners.served)) == (
        7,
        1,
        1,
    )
