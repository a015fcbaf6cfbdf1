"""What a result on a Pod, ReplicaSet or Job counts for."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.sources.violation import Subject
from policyhub.sync.owners import CONTROLLERS, JOBS, PODS, REPLICASETS, Owners, Unresolved

WATCHING = ReflectorState(phase="watching")
CUT = ReflectorState(phase="failed", cause=Cause(Reason.WATCH_FAILED))
FORBIDDEN = ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN))
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
        self.told: list[set[Subject] | None] = []
        self.malformed: list[str] = []
        self.owners = Owners(
            now=lambda: self.now,
            on_change=self.told.append,
            on_malformed=lambda origin, _: self.malformed.append(origin),
        )
        for resource in CONTROLLERS if controllers else ():
            self.control(resource.kind)

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

    def control(self, kind: str, *names: str) -> None:
        """A listing of built-in controllers."""
        sink = next(sink for resource, sink in self.owners.verifiers.items() if resource.kind == kind)
        sink.begin()
        for name in names:
            sink.upsert(json.dumps(thing(name)).encode())
        sink.finish()
        sink.state(WATCHING)

    def answer(self, group: str, version: str, *kinds: str) -> None:
        assert self.owners.question() == (group, version)
        self.owners.answer(group, version, frozenset(kinds))

    def wait(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.owners.expire()

    def put(self, kind: str, one: dict[str, Any]) -> None:
        self.owners.sinks[RESOURCES[kind]].upsert(json.dumps(one).encode())

    def drop(self, kind: str, name: str) -> None:
        self.owners.sinks[RESOURCES[kind]].delete(json.dumps(thing(name)).encode())


WEB = ("apps/v1", "Deployment", "web")
OLD = ("apps/v1", "ReplicaSet", "web-old")
NEW = ("apps/v1", "ReplicaSet", "web-new")


def world() -> World:
    made = World()
    made.control("Deployment", "web")
    made.control("StatefulSet", "db")
    made.control("CronJob", "nightly")
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
    made.control("Deployment", "web")
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
    made.control("Deployment", "web")
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
    assert set(made.owners.descendants(DEPLOYMENT)) == {subject("ReplicaSet", "web-new"), subject("Pod", "web-new-1")}


def test_a_rewrite_is_no_news() -> None:
    """Pods are written several times in their life; nobody is told."""
    made = world()
    before = len(made.told)
    made.put("Pod", thing("web-new-1", NEW))
    made.list("Pod", [thing("web-new-1", NEW)], live=False)
    assert all(touched is None or subject("Pod", "web-new-1") not in touched for touched in made.told[before:])


def test_a_listing_sweeps() -> None:
    """What a complete listing lacks is gone."""
    made = world()
    made.list("Pod", [thing("web-new-1", NEW)])
    assert made.owners.gone(subject("Pod", "db-0"))


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


# -- what is named is verified ----------------------------------------------------------------------------------------


def ref(api_version: str, kind: str, name: str, uid: str | None = None, **more: object) -> dict[str, Any]:
    return {
        "apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{name}" if uid is None else uid,
        "controller": True, **more,
    }  # fmt: skip


def owned(name: str, *references: object, **more: Any) -> dict[str, Any]:
    """Metadata with these owner references, whatever they are."""
    one = thing(name, **more)
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
    """A Pod counts for what it names only where that is its controller; after the grace, else, for itself."""
    made = world()
    made.put("Pod", owned("bad", reference, created="2026-02-01T00:00:00Z"))
    while (question := made.owners.question()) is not None:
        made.owners.answer(*question, frozenset({"Rollout"}))
    made.wait(31)
    assert made.owners.subject(BAD) == expected
    strays = made.owners.strays
    # lost-1 names a ReplicaSet that is not there
    assert strays["shop"].number == (2 if expected == BAD and reference["controller"] else 1)


def test_of_two_controllers_the_first_counts() -> None:
    """The API server takes one only."""
    made = world()
    made.put(
        "Pod", owned("bad", ref("v1", "ConfigMap", "m", controller=False), ref("apps/v1", "ReplicaSet", "web-new"))
    )
    assert made.owners.subject(BAD) == DEPLOYMENT
    made.put("Pod", owned("two", ref("apps/v1", "StatefulSet", "db"), ref("apps/v1", "ReplicaSet", "web-new")))
    assert made.owners.subject(subject("Pod", "two")) == Subject("apps", "StatefulSet", "shop", "db")


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kinds", [("ReplicaSet",), ("Job",), ("ReplicaSet", "Job"), ("Pod",)], ids="-".join)
def test_owners_that_own_each_other(kinds: tuple[str, ...], length: int) -> None:
    """Whatever they are, a Pod below them counts for something that is there, and so do they."""
    made = world()
    ring = [(kinds[number % len(kinds)], f"ring-{number}") for number in range(length)]
    versions = {"ReplicaSet": "apps/v1", "Job": "batch/v1", "Pod": "v1"}
    for (kind, name), (above, named) in zip(ring, ring[1:] + ring[:1], strict=True):
        made.put(kind, owned(name, ref(versions[above], above, named)))
    made.put("Pod", owned("bad", ref(versions[kinds[0]], kinds[0], "ring-0"), created="2026-02-01T00:00:00Z"))
    made.wait(31)
    assert made.owners.subject(BAD) == (subject("Pod", "ring-0") if kinds == ("Pod",) else BAD)
    for kind, name in ring:
        assert made.owners.subject(subject(kind, name)) == subject(kind, name)
    assert made.owners.strays["shop"].number >= length


def test_nothing_moves_during_the_grace() -> None:
    """A Pod that counted for something goes on to; a new one is not known yet; then each counts for itself, as told."""
    made = world()
    made.put("Pod", thing("web-new-1", ("apps/v1", "ReplicaSet", "ghost")))
    made.put("Pod", thing("bad", ("apps/v1", "ReplicaSet", "ghost")))
    old = subject("Pod", "web-new-1")
    made.wait(29)
    assert made.owners.subject(old) == DEPLOYMENT
    assert made.owners.subject(BAD) is Unresolved.UNKNOWN
    assert made.owners.unsettled("shop")
    made.told.clear()
    made.wait(2)
    assert made.told == [{old, BAD, subject("Pod", "lost-1")}]
    assert made.owners.subject(old) == old
    assert made.owners.subject(BAD) == BAD
    assert not made.owners.unsettled("shop")
    assert "names ReplicaSet ghost as its controller, which is not there" in made.owners._links.why(BAD)


def test_a_ghost_that_appears() -> None:
    """Within the grace nobody notices that its watch was late; after it, its Pods come back to it."""
    for seconds in (10, 40):
        made = world()
        made.put("Pod", thing("late-1", ("apps/v1", "ReplicaSet", "late")))
        made.wait(seconds)
        made.put("ReplicaSet", thing("late", WEB, revision="3"))
        assert made.owners.subject(subject("Pod", "late-1")) == DEPLOYMENT


def test_while_a_watch_is_cut_no_grace_ends() -> None:
    """What is not known may be there: nothing moves until all were seen live for as long."""
    made = world()
    made.put("Pod", thing("bad", ("apps/v1", "StatefulSet", "late")))
    sets = made.owners.verifiers[CONTROLLERS[1]]
    for sink in (made.owners.sinks[REPLICASETS], sets):
        sink.state(CUT)
        made.wait(600)
        assert made.owners.subject(BAD) is Unresolved.UNKNOWN
        sink.state(WATCHING)
        made.wait(20)
        assert made.owners.subject(BAD) is Unresolved.UNKNOWN
    made.wait(20)
    assert made.owners.subject(BAD) == BAD


def test_a_replicaset_that_is_made_again() -> None:
    """It has another uid: the Pods of the old one are not its own. They go with the old one, as a rule."""
    made = world()
    made.drop("ReplicaSet", "web-new")
    again = thing("web-new", WEB, revision="2")
    again["metadata"]["uid"] = "uid-again"
    made.put("ReplicaSet", again)
    pod = subject("Pod", "web-new-1")
    assert made.owners.subject(pod) == DEPLOYMENT
    made.wait(31)
    assert made.owners.subject(pod) == DEPLOYMENT
    made.wait(3600)
    assert made.owners.subject(pod) == pod
    assert "by another uid than it has" in made.owners._links.why(pod)


def test_what_comes_after_its_controller_has_gone_counts_for_itself() -> None:
    """Only what was there when the controller was deleted goes with it: nobody hides new Pods behind it."""
    made = world()
    made.drop("ReplicaSet", "web-new")
    made.put("Pod", thing("web-new-9", NEW))
    made.wait(31)
    late = subject("Pod", "web-new-9")
    assert made.owners.subject(late) == late
    assert made.owners.subject(subject("Pod", "web-new-1")) == DEPLOYMENT


def test_a_pod_that_is_being_deleted_stays() -> None:
    """Its ReplicaSet went first: what has half a minute and more to end is no stray."""
    made = world()
    ending = thing("web-new-1", NEW)
    ending["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    made.put("Pod", ending)
    made.drop("ReplicaSet", "web-new")
    pod = subject("Pod", "web-new-1")
    made.wait(600)
    assert made.owners.subject(pod) == DEPLOYMENT
    made.wait(3600)
    assert made.owners.subject(pod) == pod


def test_what_is_being_deleted_has_one_timer() -> None:
    """A ReplicaSet that a finalizer keeps, however often it is written, also under other names one after the other."""
    made = world()
    ghost = ref("apps/v1", "Deployment", "ghost")
    for number in range(3_000):
        one = owned("web-new", ghost, revision=str(number))
        one["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        made.put("ReplicaSet", one)
        if number == 1_500:
            made.wait(31)
    assert made.owners.subject(subject("ReplicaSet", "web-new")) == DEPLOYMENT
    timers = made.owners._links.timers
    assert len(timers) <= 4
    for number in range(3_000):
        made.put("ReplicaSet", owned(f"web-{number}", ghost))
        made.drop("ReplicaSet", f"web-{number}")
    assert len(timers) <= 4
    assert len(timers._heap) <= 1_010


def test_what_changes_while_its_controller_is_not_there() -> None:
    """It is seen when the controller is there again: an old revision that has Pods now is in use."""
    made = world()
    made.control("Deployment")
    made.put("Pod", thing("web-old-1", OLD))
    assert made.owners.subject(subject("ReplicaSet", "web-old")) is Unresolved.IDLE
    made.control("Deployment", "web")
    assert made.owners.subject(subject("ReplicaSet", "web-old")) == DEPLOYMENT
    assert made.owners.subject(subject("Pod", "web-old-1")) == DEPLOYMENT


def test_a_deployment_that_is_deleted_first() -> None:
    """Its ReplicaSet and Pods count for it until they are gone."""
    made = world()
    made.control("Deployment")
    assert made.owners.subject(subject("Pod", "web-new-1")) == DEPLOYMENT


def refuse(made: World, kind: str, *, after: int = 0) -> None:
    made.now += after
    sink = next(sink for resource, sink in made.owners.verifiers.items() if resource.kind == kind)
    sink.begin()
    sink.abort()
    sink.state(FORBIDDEN)


def test_where_controllers_may_not_be_listed_they_are_believed() -> None:
    """An installation with the rights of an older version: roll-up goes on, unverified."""
    made = World(controllers=False)
    made.owners.verifiers[CONTROLLERS[0]].begin()
    made.list("ReplicaSet", [thing("web-new", WEB)])
    made.list("Pod", [thing("web-new-1", NEW)])
    made.list("Job")
    assert not made.owners.listed
    refuse(made, "Deployment")
    assert made.owners.subject(subject("Pod", "web-new-1")) == DEPLOYMENT
    made.control("Deployment", "other")
    made.wait(31)
    assert made.owners.subject(subject("Pod", "web-new-1")) == subject("Pod", "web-new-1")
    refuse(made, "Deployment")
    refuse(made, "Deployment", after=20_000)
    made.wait(11)
    assert made.owners.subject(subject("Pod", "web-new-1")) == DEPLOYMENT


def test_the_oldest_says_which_custom_resource_it_is() -> None:
    """Those that name another uid count for themselves; when it has gone, the next oldest says."""
    made = world()
    rollout = Subject("argoproj.io", "Rollout", "shop", "rolled")
    made.put(
        "Pod", owned("newer", ref("argoproj.io/v1alpha1", "Rollout", "rolled", "uid-b"), created="2026-03-01T00:00:00Z")
    )
    made.wait(31)
    newer, older = subject("Pod", "newer"), subject("Pod", "rolled-1")
    assert (made.owners.subject(older), made.owners.subject(newer)) == (rollout, newer)
    made.drop("Pod", "rolled-1")
    assert made.owners.subject(newer) == rollout


def test_kinds_are_asked_for() -> None:
    """Each once, and again after an hour; a failure is asked again soon, and believed meanwhile."""
    made = world()
    made.put("Pod", owned("bad", ref("example.com/v1", "Widget", "w")))
    assert made.owners.subject(BAD) is Unresolved.UNKNOWN
    assert made.owners.question() == ("example.com", "v1")
    made.owners.answer("example.com", "v1", None)
    widget = Subject("example.com", "Widget", "shop", "w")
    assert made.owners.subject(BAD) == widget
    assert made.owners.question() is None
    made.now += 61_000
    made.answer("example.com", "v1")
    assert made.owners.subject(BAD) == widget
    made.wait(31)
    assert made.owners.subject(BAD) == BAD
    assert "serves no Widget.example.com/v1" in made.owners._links.why(BAD)
    made.now += 3_600_000
    made.owners.answer("argoproj.io", "v1alpha1", None)
    made.answer("example.com", "v1", "Widget")
    assert made.owners.subject(BAD) == widget


def test_one_namespace_makes_few_questions() -> None:
    """Eight kinds that are not proven; the others are none, until a place is free. Others have their own places."""
    made = world()
    for number in range(50):
        made.put("Pod", owned(f"bad-{number}", ref(f"g{number}.example.com/v1", "Widget", "w")))
    other = owned("good", ref("other.example.com/v1", "Widget", "w"))
    other["metadata"]["namespace"] = "else"
    made.put("Pod", other)
    asked = []
    while (question := made.owners.question()) is not None:
        asked.append(question)
        made.owners.answer(*question, frozenset())
    assert len(asked) == 9
    assert ("other.example.com", "v1") in asked
    made.wait(31)
    assert made.owners.strays["shop"].number == 51
    for number in range(50):
        made.drop("Pod", f"bad-{number}")
    assert len(made.owners.served) == 2


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["9" * 4301, "9" * 300_000, "²", "٣" * 5000, "+5", "-1", "", " 7", "0x9", "1e9", "1_000", "0" * 5000 + "3"],
    ids=lambda said: f"{said[:4]}…{len(said)}",
)
def test_a_revision_of_any_text(said: str) -> None:
    """What is no number is none, and what is too great is the greatest: nothing else of the object is lost."""
    made = world()
    made.put("ReplicaSet", thing("web-odd", WEB, revision=said))
    assert made.owners.subject(subject("ReplicaSet", "web-odd")) in {DEPLOYMENT, Unresolved.IDLE}
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
    """It is there, and counts for itself at the worst: no listing is blind by it, and it is named."""
    made = world()
    odd = thing("odd")
    odd["metadata"][member] = value
    made.list("Pod", [odd, thing("bare")])
    assert made.owners.subject(subject("Pod", "odd")) == subject("Pod", "odd")
    assert made.owners.subject(subject("Pod", "bare")) == subject("Pod", "bare")
    assert made.owners.since
    assert made.malformed in ([], ["pods"])


def test_an_object_that_cannot_be_taken_is_there() -> None:
    """Whatever else goes wrong with one object is that object's: it has no controller."""
    made = world()
    sink = made.owners.sinks[PODS]
    sink.unreadable(json.dumps(thing("web-new-1", NEW)).encode(), ZeroDivisionError("x"))
    assert made.owners.subject(subject("Pod", "web-new-1")) == subject("Pod", "web-new-1")
    assert made.owners.since
    assert made.malformed == ["pods"]


# -- what it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [250, 8000])
def test_one_of_many_siblings_touches_few(number: int) -> None:
    """A Job that comes, changes or goes concerns itself and the newest before and after, however many there are."""
    made = world()
    nightly = ("batch/v1", "CronJob", "nightly")
    made.list("Job", [thing(f"many-{n:05}", nightly, created="2026-01-02T00:00:00Z") for n in range(number)])
    made.told.clear()
    made.put("Job", thing("many-00000", nightly, created="2026-01-02T00:00:01Z"))
    made.put("Job", thing("newest", nightly, created="2026-01-03T00:00:00Z"))
    made.drop("Job", "newest")
    made.drop("Job", "many-00007")
    assert [len(told or ()) for told in made.told] == [2, 2, 2, 1]


@pytest.mark.parametrize("number", [250, 8000])
def test_an_owner_to_and_fro_moves_nobody_else(number: int) -> None:
    """Its Pods wait for the grace, and by then it is back: nobody is told of them."""
    made = world()
    made.list("Pod", [thing(f"web-new-{n}", NEW) for n in range(number)])
    made.told.clear()
    for _ in range(10):
        made.put("ReplicaSet", owned("web-new", ref("apps/v1", "Deployment", "ghost"), revision="2"))
        made.put("ReplicaSet", thing("web-new", WEB, revision="2"))
        made.wait(5)
    assert max(len(told or ()) for told in made.told) <= 3
    assert len(made.owners.descendants(DEPLOYMENT)) == number + 1


def test_an_owner_between_two_deployments_takes_its_pods_along_once() -> None:
    """Both are real: the Pods follow at the first move, and then not again before the grace has passed."""
    made = world()
    made.control("Deployment", "web", "other")
    other = subject("Deployment", "other")
    made.put("ReplicaSet", thing("web-new", ("apps/v1", "Deployment", "other"), revision="2"))
    assert made.owners.subject(subject("Pod", "web-new-1")) == other
    made.put("ReplicaSet", thing("web-new", WEB, revision="2"))
    assert made.owners.subject(subject("Pod", "web-new-1")) == other
    made.wait(31)
    assert made.owners.subject(subject("Pod", "web-new-1")) == DEPLOYMENT


def test_what_is_remembered_of_the_gone_is_bounded() -> None:
    """Of owners that have nothing left nothing is kept."""
    made = world()
    made.drop("Pod", "db-0")
    for number in range(2_100):
        one = owned(f"p-{number}", ref("argoproj.io/v1alpha1", "Rollout", f"r-{number}"))
        one["metadata"]["namespace"] = "else"
        made.owners.sinks[PODS].upsert(json.dumps(one).encode())
        made.owners.sinks[PODS].delete(json.dumps(one).encode())
    assert (len(made.owners._links.by), len(made.owners._links.customs), len(made.owners.served)) == (7, 1, 1)
