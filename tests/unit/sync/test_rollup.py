"""Results of Pods, ReplicaSets and Jobs as calls for their controllers, and what the end of one is worth."""

import json
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings.identity import finding_id
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Identity, ObjectRef, SourceKey, Subject
from policyhub.sources.filter import Filter
from policyhub.sync import moves
from policyhub.sync.entry import Entry, ListingState, Observation, ObservedFinding
from policyhub.sync.evidence import OWNERS
from policyhub.sync.existence import Presence
from policyhub.sync.grading import RESUME_MS
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import JOBS, PODS, REPLICASETS, Owners
from policyhub.sync.plan import DAY_MS, SUBSTITUTION_DELAY_MS, Change, Decision, Grade, Rules, Wait
from policyhub.sync.rollup import Rollup
from tests.unit.sync.fake_existence import FakeExistence

START = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(START))
DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
WATCHING = ReflectorState(phase="watching", listed=1.0)
REPORTS = ("wgpolicyk8s.io", "policyreports")
CONSTRAINTS = ("constraints.gatekeeper.sh", "k8slimits")
WEB = ("apps/v1", "Deployment", "web")
OLD, NEW = (("apps/v1", "ReplicaSet", f"web-{name}") for name in ("old", "new"))
DB = ("apps/v1", "StatefulSet", "db")
RESOURCES = {"Pod": PODS, "ReplicaSet": REPLICASETS, "Job": JOBS}
VERSIONS = {"Pod": "v1", "ReplicaSet": "apps/v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "Service": "v1"}
LISTED = {"Pod": ("", "v1"), "Deployment": ("apps", "v1")}


def workload(
    kind: str, name: str, owner: tuple[str, str, str] | None = None, *, created: str = "2026-08-01T00:00:00Z"
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "creationTimestamp": created,
    }
    if owner is not None:
        version, above, named = owner
        uid = f"uid-{named}"
        metadata["ownerReferences"] = [
            {"apiVersion": version, "kind": above, "name": named, "uid": uid, "controller": True}
        ]
    return {"kind": kind, "metadata": metadata}


class World:
    """One cluster: its owners, a view of reports and one of constraints, and a ledger that Security Hub has read."""

    def __init__(self, *, listed: bool = True) -> None:
        self.now = START
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
        self.owners = Owners(
            now=lambda: self.now, on_change=lambda o: self.rollup.shift(o, now=self.now), on_malformed=lambda *_: None
        )
        self.rollup = Rollup(ledger=self.ledger, owners=self.owners)
        self.ledger.sources.ownership = self.rollup
        self.report_sinks = {group: self._view(group, plural) for group, plural in (REPORTS, CONSTRAINTS)}
        self.ledger.observed.take_part("", [], now=self.now)
        self.ledger.finish_inventory()
        self.ledger.sources.set_reports_listed(listed=True)
        for report_sink in self.report_sinks.values():
            report_sink.begin()
            report_sink.finish()
            self.ledger.sources.set_listing_state(report_sink.source_api, ListingState(live=True, since=START - DAY_MS))
            self.ledger.sources.confirmed[report_sink.source_api] = START + DAY_MS
        for api in OWNERS:
            self.ledger.sources.confirmed[api] = START + DAY_MS
        if listed:
            self.lists()

    def _view(self, group: str, plural: str) -> ReportSink:
        return ReportSink(
            cluster="alpha",
            group=group,
            resource=plural,
            ledger=self.ledger,
            filter_=Filter(
                exclude_sources=(),
                include_namespaces=("*",),
                exclude_namespaces=(),
                results=frozenset({"fail", "warn", "error"}),
                minimum_severity="INFORMATIONAL",
                default_severity="MEDIUM",
            ),
            metrics=Metrics(CollectorRegistry()),
            now=lambda: self.now,
            wall_clock=lambda: WallMs(int(self.now)),
            rollup=self.rollup,
        )

    # -- the cluster ----------------------------------------------------------------------------------------------

    def lists(self, workloads: Iterable[dict[str, Any]] = (), *, controllers: bool = True) -> None:
        every = [*workloads, workload("Deployment", "web"), workload("StatefulSet", "db")]
        for resource, sink in {**(self.owners.controller_sinks if controllers else {}), **self.owners.sinks}.items():
            sink.begin()
            for one in every:
                if one["kind"] == resource.kind:
                    sink.upsert(json.dumps(one).encode())
            sink.finish()
            sink.state(WATCHING)

    def put(self, *workloads: dict[str, Any]) -> None:
        for one in workloads:
            self.owners.sinks[RESOURCES[one["kind"]]].upsert(json.dumps(one).encode())

    def drop(self, kind: str, *names: str) -> None:
        for name in names:
            self.owners.sinks[RESOURCES[kind]].delete(json.dumps(workload(kind, name)).encode())

    def report(self, kind: str, name: str, result: str = "fail", *, rule: str = "limits", **more: object) -> None:
        """Kyverno's report of one object."""
        content = {
            "source": "kyverno",
            "policy": "p",
            "rule": rule,
            "result": result,
            "message": f"{name} is bad",
            **more,
        }
        self.report_sinks[REPORTS[0]].upsert(json.dumps(self._report(kind, name, [content])).encode())

    def all_of(self, pods: Iterable[str], *, name: str = "all", policy: str = "p") -> None:
        """One report of many Pods."""
        results = [
            {
                "source": "kyverno",
                "policy": policy,
                "rule": "limits",
                "result": "fail",
                "message": f"{len(pod) % 2} of {pod}",
                "resources": [{"apiVersion": "v1", "kind": "Pod", "name": pod, "namespace": "shop"}],
            }
            for pod in pods
        ]
        document = {"metadata": {"name": name, "namespace": "shop"}, "results": results}
        self.report_sinks[REPORTS[0]].upsert(json.dumps(document).encode())

    def unreport(self, kind: str, name: str) -> None:
        self.report_sinks[REPORTS[0]].delete(json.dumps(self._report(kind, name, [])).encode())

    def _report(self, kind: str, name: str, results: list[dict[str, Any]]) -> dict[str, Any]:
        scope = {"apiVersion": VERSIONS[kind], "kind": kind, "name": name, "namespace": "shop"}
        return {"metadata": {"name": f"{kind}-{name}".lower(), "namespace": "shop"}, "scope": scope, "results": results}

    def audit(self, *names: tuple[str, str], total: int | None = None, at: int = 0) -> None:
        """What a constraint lists, the greatest first, at an audit."""
        listed = [
            {"group": LISTED[kind][0], "version": "v1", "kind": kind, "name": name, "namespace": "shop", "message": "m"}
            for kind, name in sorted(names, key=lambda pair: (LISTED[pair[0]], *pair), reverse=True)
        ]
        status = {
            "auditTimestamp": f"2026-09-01T00:00:{at:02}Z",
            "totalViolations": len(names) if total is None else total,
            "violations": listed,
        }
        constraint = {"kind": "K8sLimits", "metadata": {"name": "limits"}, "status": status}
        self.report_sinks[CONSTRAINTS[0]].upsert(json.dumps(constraint).encode())

    # -- what came of it ------------------------------------------------------------------------------------------

    @property
    def desired(self) -> dict[tuple[str, str], Entry]:
        return {(e.subject.kind, e.subject.name): e for e in self.ledger.entries.values() if e.desired and e.subject}

    def sent(self) -> None:
        """Security Hub has all that is wanted."""
        for entry in list(self.ledger.entries.values()):
            if entry.desired and not entry.in_flight:
                self.ledger.mark_in_flight(entry)
                self.ledger.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=self.now)
                self.ledger.mark_decided(entry, None)

    def asked(self, presence: Presence) -> None:
        """What the API server says of the Deployment, and that its policy exists."""
        existence = self.ledger.sources.existence = FakeExistence(p=Presence.PRESENT)
        existence.subjects[Subject("apps", "Deployment", "shop", "web")] = presence
        self.ledger.sources.discovered = START + DAY_MS

    def decide(self) -> Decision:
        """Of the one finding that there is."""
        [entry] = self.ledger.entries.values()
        decision = self.ledger.decide(entry, rules=RULES, now=self.now, wall_clock=WallMs(int(self.now)))[0]
        if isinstance(decision, Hold):
            self.ledger.mark_decided(entry, decision)
        return decision


def rollout() -> World:
    """A Deployment with two Pods, all called bad, and Security Hub has the finding."""
    world = World()
    world.put(
        workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD), workload("Pod", "web-old-2", OLD)
    )
    world.report("Deployment", "web", rule="autogen-limits")
    world.report("ReplicaSet", "web-old", rule="autogen-limits")
    world.report("Pod", "web-old-1")
    world.report("Pod", "web-old-2")
    world.sent()
    return world


def test_a_deployment_its_replicaset_and_its_pods_are_one_finding() -> None:
    """Four reports, one finding, in the Deployment's own words."""
    world = rollout()
    [entry] = world.desired.values()
    assert entry.subject == Subject("apps", "Deployment", "shop", "web")
    assert entry.representative is not None
    assert (entry.representative.rule, entry.representative.message) == ("limits", "web is bad")
    assert len(entry.claims) == 4


@pytest.mark.parametrize("passes", [True, False])
def test_a_pod_in_a_report_that_was_not_evaluated_whole(*, passes: bool) -> None:
    """Some policies could not be evaluated: what the Pod passes ends its call for the Deployment, what is missing does
    not.
    """
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD))
    world.report("Pod", "web-old-1")
    world.sent()
    content = {"source": "kyverno", "policy": "p", "rule": "limits", "result": "pass"}
    report = world._report("Pod", "web-old-1", [content] if passes else [])
    world.report_sinks[REPORTS[0]].upsert(json.dumps({**report, "summary": {"error": 1}}).encode())
    assert ("Deployment", "web") not in world.desired if passes else world.desired.keys() == {("Deployment", "web")}


def test_a_rollout_changes_nothing() -> None:
    """New Pods come, are scanned, old ones go: the same id, the same digest, nothing to send."""
    world = rollout()
    [entry] = world.desired.values()
    before = entry.id, entry.digest, entry.observed
    world.put(workload("ReplicaSet", "web-new", WEB), workload("Pod", "web-new-1", NEW))
    world.report("ReplicaSet", "web-new", rule="autogen-limits")
    world.report("Pod", "web-new-1")
    world.drop("Pod", "web-old-1", "web-old-2")
    world.unreport("Pod", "web-old-1")
    world.unreport("Pod", "web-old-2")
    world.drop("ReplicaSet", "web-old")
    [entry] = world.desired.values()
    assert (entry.id, entry.digest, entry.observed) == before
    assert world.decide() is None


def test_a_sidecar_that_only_the_pods_have() -> None:
    """What the Deployment passes and its Pods do not is found, once, and names no Pod."""
    world = World()
    world.put(
        workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD), workload("Pod", "web-old-2", OLD)
    )
    world.report("Deployment", "web", "pass", rule="autogen-limits")
    world.report("Pod", "web-old-1", message="sidecar of web-old-1 has no limits")
    world.report("Pod", "web-old-2", message="sidecar of web-old-2 has no limits")
    [(where, entry)] = world.desired.items()
    assert where == ("Deployment", "web")
    assert entry.representative is not None
    assert entry.representative.message == "sidecar of <pod> has no limits"


def test_results_wait_until_their_objects_are_known() -> None:
    """Before Pods are listed nothing of them is called for; others are called for at once."""
    world = World(listed=False)
    world.report("Pod", "web-old-1")
    world.report("Service", "web")
    assert set(world.desired) == {("Service", "web")}
    world.lists([workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD)])
    assert set(world.desired) == {("Service", "web"), ("Deployment", "web")}
    assert world.desired["Deployment", "web"].backlog


def test_a_report_that_comes_before_its_pod() -> None:
    """Two watches are in no order: the finding comes when the Pod is known, as fresh news."""
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB))
    world.report("Pod", "web-old-1")
    assert not world.desired
    world.put(workload("Pod", "web-old-1", OLD))
    assert set(world.desired) == {("Deployment", "web")}
    assert not world.desired["Deployment", "web"].backlog


def test_a_pod_comes_before_its_replicaset() -> None:
    """As above: it counts for nothing until it is known what for."""
    world = World()
    world.put(workload("Pod", "web-old-1", OLD))
    world.report("Pod", "web-old-1")
    assert not world.desired
    world.put(workload("ReplicaSet", "web-old", WEB))
    assert set(world.desired) == {("Deployment", "web")}


def test_one_report_of_many_pods() -> None:
    """Kyverno before 1.11 wrote one report for a policy: its results are calls of one source object."""
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD), workload("Pod", "bare"))
    results = [
        {
            "source": "kyverno",
            "policy": "p",
            "rule": "limits",
            "result": "fail",
            "resources": [{"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": "shop"}],
        }
        for name in ("web-old-1", "bare", "long-gone")
    ]
    document = {"metadata": {"name": "cpol-p", "namespace": "shop"}, "results": results}
    world.report_sinks[REPORTS[0]].upsert(json.dumps(document).encode())
    assert set(world.desired) == {("Deployment", "web"), ("Pod", "bare")}
    world.drop("Pod", "web-old-1")
    assert set(world.desired) == {("Pod", "bare")}


# -- the end ----------------------------------------------------------------------------------------------------------


def test_fixed_by_a_rollout() -> None:
    """The Deployment passes; its old Pods keep the finding; when the last is gone it is archived at once."""
    world = rollout()
    world.report("Deployment", "web", "pass", rule="autogen-limits")
    world.put(workload("ReplicaSet", "web-new", WEB), workload("Pod", "web-new-1", NEW))
    world.report("Pod", "web-new-1", "pass")
    world.report("ReplicaSet", "web-new", "pass", rule="autogen-limits")
    assert world.decide() == Wait(START + DELAY)  # its old Pods speak now, for a while
    world.sent()
    world.drop("Pod", "web-old-1")
    assert world.decide() is None
    world.drop("Pod", "web-old-2")
    world.drop("ReplicaSet", "web-old")
    assert world.decide() is Change.ARCHIVED


def test_fixed_by_a_rollout_that_is_not_scanned_yet() -> None:
    """An engine that scans once an hour: the finding stays until it has seen the new Pods."""
    world = rollout()
    world.report("Deployment", "web", "pass", rule="autogen-limits")
    world.put(workload("ReplicaSet", "web-new", WEB), workload("Pod", "web-new-1", NEW))
    world.drop("Pod", "web-old-1", "web-old-2")
    world.drop("ReplicaSet", "web-old")
    world.now += DELAY + DAY_MS // 2
    assert world.decide() is Hold.UNREPORTED
    world.report("Pod", "web-new-1", "pass")
    world.report("ReplicaSet", "web-new", "pass")
    assert world.rollup.has_changes
    world.ledger.sources.reconsider()
    assert world.decide() is Change.ARCHIVED


def test_a_rollout_under_a_slow_scanner_ends_nothing() -> None:
    """Only Pods are reported on: all old ones are gone, none of the new ones was seen. Then they fail as before."""
    world = World()
    world.put(workload("Pod", "db-0", DB), workload("Pod", "fine"))
    world.report("Pod", "fine", "pass")
    world.report("Pod", "db-0")
    world.sent()
    world.drop("Pod", "db-0")
    world.unreport("Pod", "db-0")
    world.put(workload("Pod", "db-0", DB))
    world.now += DAY_MS // 2
    assert world.decide() is Hold.UNREPORTED
    world.report("Pod", "db-0")
    assert world.decide() is None


def scanned(*reports: tuple[str, str, str, str], namespace: str = "shop") -> World:
    """A StatefulSet whose old Pod failed policy p, and is gone with its report; a new one is there. Before that there
    were these (policy, result, kind, name) in the namespace.
    """
    world = World()
    world.put(workload("Pod", "db-0", DB), workload("Pod", "other"))
    world.report("Pod", "db-0")
    world.report("StatefulSet", "db", rule="autogen-limits")
    for policy, result, kind, name in reports:
        content = {"source": "kyverno", "policy": policy, "rule": "limits", "result": result}
        report = world._report(kind, name, [content])
        for place in (report["metadata"], report["scope"]):
            place["namespace"] = namespace
        report["metadata"]["name"] += policy
        world.report_sinks[REPORTS[0]].upsert(json.dumps(report).encode())
    world.sent()
    world.drop("Pod", "db-0")
    world.unreport("Pod", "db-0")
    world.put(workload("Pod", "db-1", DB))
    return world


DB_SET = Subject("apps", "StatefulSet", "shop", "db")


@pytest.mark.parametrize(
    ("reports", "policy", "waits"),
    [
        ([("p", "pass", "Pod", "other")], "p", True),
        ([("p", "skip", "Service", "s")], "p", True),
        ([("p", "pass", "Pod", "other")], "", True),
        ([("p", "fail", "Pod", "other")], "p", False),
        ([("q", "pass", "Pod", "other")], "p", True),
        ([("p", "pass", "Pod", "other"), ("q", "pass", "Pod", "db-1")], "p", True),
        ([("p", "pass", "Pod", "other"), ("q", "pass", "Pod", "db-1")], "", False),
        ([("p", "pass", "Pod", "other"), ("p", "pass", "Pod", "db-1")], "p", False),
        ([("q", "pass", "Service", "s")], "q", False),
        ([("q", "fail", "Service", "s"), ("p", "pass", "Pod", "other")], "q", False),
    ],
    ids=[
        "it passes another Pod",
        "it skips a Service",
        "any policy of the engine",
        "it writes failures only",
        "another policy passes",
        "another policy has looked at the new Pod",
        "any policy has looked at the new Pod",
        "it has looked at the new Pod",
        "it reports on no Pods",
        "it reports on no Pods, and writes failures only",
    ],
)
def test_what_a_new_pod_waits_for(reports: list[tuple[str, str, str, str]], policy: str, *, waits: bool) -> None:
    """For the policy that reports on Pods there, and says so of clean ones too: not for the engine as a whole."""
    world = scanned(*reports)
    assert world.rollup.unreported("kyverno", policy, DB_SET) == waits
    assert not world.rollup.unreported("trivy", policy, DB_SET)


def test_new_pods_that_the_policy_does_not_match() -> None:
    """A rollout that takes the Pods out of a policy's reach: none is as old as the finding, the engine has looked at
    each of them, and its scan goes round without a word of that policy.
    """
    world = World()
    others = ("a", "b")
    world.put(workload("Pod", "db-0", DB), *(workload("Pod", other) for other in others))
    world.report("Pod", "db-0")
    for other in others:
        world.report("Pod", other, "pass")
    world.sent()
    world.asked(Presence.PRESENT)
    world.put(workload("Pod", "db-1", DB, created="2026-09-21T15:00:00Z"))
    world.drop("Pod", "db-0")
    world.unreport("Pod", "db-0")
    existence = world.ledger.sources.existence
    assert isinstance(existence, FakeExistence)
    existence.subjects[DB_SET] = Presence.PRESENT

    def scan(**policies: str) -> None:
        world.now += 3_600_000
        for name, policy in policies.items():
            stamp = {"seconds": int(world.now) // 1000, "nanos": 0}
            world.report("Pod", name.replace("_", "-"), "pass", policy=policy, timestamp=stamp)

    for _ in range(4):
        scan(a="p", b="p")
    assert world.decide() is Hold.UNREPORTED
    for _ in range(4):
        scan(a="p", b="p", db_1="another")
    assert world.decide() == Wait(world.now + DELAY)
    [entry] = world.ledger.entries.values()
    evidence = world.ledger.evidence(entry, rules=RULES, now=world.now, wall_clock=WallMs(int(world.now)))
    assert evidence.grade is Grade.REPEATED


@pytest.mark.parametrize("what", ["kind", "passing"])
def test_one_namespace_teaches_nothing_about_another(what: str) -> None:
    """Neither that a policy reports on Pods, nor that it writes passing results."""
    world = scanned(("p", "pass", "Pod", "db-9"), ("q", "pass", "Pod", "db-9"), namespace="team")
    assert not world.rollup.reports_passes("kyverno", "p", "shop")
    assert world.rollup.reports_passes("kyverno", "p", "team")
    if what == "kind":
        world.report("Service", "s", "pass", policy="q")
    assert not world.rollup.unreported("kyverno", "q" if what == "kind" else "p", DB_SET)


def test_of_an_unsettled_owner_everything_waits() -> None:
    """Whatever the policy writes: what counts for the object is not known yet."""
    world = scanned()
    assert not world.rollup.unreported("kyverno", "p", DB_SET)
    world.put(workload("Pod", "lost", ("apps/v1", "ReplicaSet", "ghost")))
    assert world.rollup.unreported("kyverno", "p", DB_SET)


def test_that_a_policy_writes_passing_results_is_news() -> None:
    """What is held for its namespace is decided again."""
    world = scanned()
    world.rollup.take_changes()
    world.report("Service", "s", "pass")
    has_changes = world.rollup.take_changes()
    assert has_changes is not None
    assert set(has_changes[0]) == {"shop"}
    world.report("Service", "s", "pass")
    assert not world.rollup.has_changes


def test_a_pod_that_passes_says_nothing_of_the_others() -> None:
    """Its pass ends its own call only, and is no positive evidence for the finding."""
    world = World()
    world.put(workload("Pod", "db-0", DB), workload("Pod", "db-1", DB))
    world.report("Pod", "db-0")
    world.report("Pod", "db-1")
    world.sent()
    world.report("Pod", "db-0", "pass")
    assert world.decide() is None
    world.report("Pod", "db-1", "pass")
    assert world.decide() == Wait(START + DELAY)


def test_a_bare_pod_that_is_deleted() -> None:
    """Known to be gone: no guard counts it, whichever of the two watches tells first."""
    for report_first in (True, False):
        world = World()
        world.put(workload("Pod", "bare"))
        world.report("Pod", "bare")
        world.sent()
        if report_first:
            world.unreport("Pod", "bare")
        world.drop("Pod", "bare")
        if not report_first:
            world.unreport("Pod", "bare")
        assert world.decide() == Wait(START + DELAY)
        world.now += DELAY
        assert world.decide() is Change.ARCHIVED


def test_a_deployment_that_is_deleted() -> None:
    """Its report and all that it owned went, and the API server says that it is gone; that it owns nothing is not
    enough.
    """
    world = rollout()
    for kind, name in (("Deployment", "web"), ("ReplicaSet", "web-old"), ("Pod", "web-old-1"), ("Pod", "web-old-2")):
        world.unreport(kind, name)
    world.drop("Pod", "web-old-1", "web-old-2")
    world.drop("ReplicaSet", "web-old")
    world.now += DELAY
    world.asked(Presence.PRESENT)
    assert world.decide() is Hold.UNREPORTED
    world.asked(Presence.ABSENT)
    assert world.decide() is Change.ARCHIVED


def test_a_deployment_that_is_deleted_while_the_audit_is_stopped() -> None:
    """The constraint goes on listing its Pods; they are gone, and so is it, as the API server says."""
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD))
    world.audit(("Pod", "web-old-1"))
    world.sent()
    world.drop("Pod", "web-old-1")
    assert world.decide() is Hold.AUDIT  # scaled down, perhaps
    world.drop("ReplicaSet", "web-old")
    world.asked(Presence.ABSENT)
    world.now += DELAY
    assert world.decide() is Change.ARCHIVED


def test_when_pods_speak_in_place_of_their_controller() -> None:
    """What they say is sent after the archive delay: mostly they go as its own result went. Where its report only went,
    it is written again, in the words of before, at the next scan: so after some hours.
    """
    world = rollout()
    world.report("Deployment", "web", "pass", rule="autogen-limits")
    assert world.decide() == Wait(START + DELAY)
    world.report("Deployment", "web", rule="autogen-limits")
    assert world.decide() is None
    world.report("Deployment", "web", rule="autogen-limits", message="other words")
    assert world.decide() is Change.CHANGED
    world.now += 5
    world.unreport("Deployment", "web")
    assert world.decide() == Wait(START + 5 + SUBSTITUTION_DELAY_MS)
    world.now += SUBSTITUTION_DELAY_MS
    assert world.decide() is Change.CHANGED
    world.report("Pod", "web-old-1", severity="critical")
    assert world.decide() is Change.CHANGED


def test_pods_that_are_reported_first_after_a_wipe_change_no_words() -> None:
    """All reports went, and the scan comes by the Pods before their controller: it has its own words again soon."""
    world = rollout()
    for kind, name in (("Deployment", "web"), ("ReplicaSet", "web-old"), ("Pod", "web-old-1"), ("Pod", "web-old-2")):
        world.unreport(kind, name)
    world.report("Pod", "web-old-1")
    assert world.decide() == Wait(START + SUBSTITUTION_DELAY_MS)
    world.report("Deployment", "web", rule="autogen-limits")
    assert world.decide() is None


def test_a_deployment_without_replicas_is_not_deleted() -> None:
    """It owns nothing any more, and its own report stands: the finding does too."""
    world = World()
    world.put(workload("Pod", "db-0", DB))
    world.report("StatefulSet", "db", rule="autogen-limits")
    world.report("Pod", "db-0")
    world.sent()
    world.drop("Pod", "db-0")
    world.unreport("Pod", "db-0")
    assert set(world.desired) == {("StatefulSet", "db")}


def test_nothing_is_archived_while_owners_are_not_known() -> None:
    """A cut watch: new Pods may be there that nobody told of. It counts from when they are watched again."""
    world = rollout()
    sink = world.owners.sinks[PODS]
    sink.state(ReflectorState(phase="failed", cause=Cause(Reason.UNREACHABLE)))
    for kind, name in (("Deployment", "web"), ("ReplicaSet", "web-old"), ("Pod", "web-old-1"), ("Pod", "web-old-2")):
        world.unreport(kind, name)
    world.now += DAY_MS // 2
    assert world.decide() is Hold.OWNERS_UNKNOWN
    sink.state(WATCHING)
    world.drop("Pod", "web-old-1", "web-old-2")
    world.drop("ReplicaSet", "web-old")
    world.ledger.sources.reconsider()
    assert world.decide() == Wait(world.now + DELAY)


def test_another_cluster_that_answers_has_no_pods() -> None:
    """Absence counts only once a discovery has confirmed the cluster since the listing that lacks them."""
    world = World()
    world.put(workload("Pod", "bare"))
    world.report("Pod", "bare")
    world.sent()
    world.now += 1_000
    for api in (*OWNERS, "policyreports.wgpolicyk8s.io"):
        world.ledger.sources.confirmed[api] = world.now
    world.now += 1_000
    world.lists()
    world.now += DELAY
    assert world.decide() is Hold.UNCONFIRMED


@pytest.mark.parametrize("reopened", ["listed again", "watched again"])
def test_pods_that_are_listed_again_are_believed_after_a_discovery(reopened: str) -> None:
    """That a Pod is gone is known by the listing or watch that lacks it: the cluster must have been confirmed since."""
    world = World()
    world.put(workload("Pod", "bare"))
    world.report("Pod", "bare")
    world.sent()
    world.unreport("Pod", "bare")
    world.now += 1_000
    for api in (*OWNERS, "policyreports.wgpolicyk8s.io"):
        world.ledger.sources.confirmed[api] = world.now
    world.now += 1_000
    pods = world.owners.sinks[PODS]
    if reopened == "listed again":
        pods.begin()
        pods.finish()
    else:
        pods.stream_started()
        world.drop("Pod", "bare")
    world.now += DELAY
    assert world.decide() is Hold.UNCONFIRMED
    world.ledger.sources.confirm(["policyreports.wgpolicyk8s.io"], now=world.now)
    world.now += DELAY
    assert world.decide() is Change.ARCHIVED


def test_after_a_restart_the_inventorys_finding_waits_for_the_pods() -> None:
    """Nobody calls for it yet, since Pods are not listed: it is not archived, however long that takes."""
    world = World(listed=False)
    world.report("Pod", "db-0")
    ident = Identity("kyverno", "p", "limits", Subject("apps", "StatefulSet", "shop", "db"), "")
    held = Observation(
        finding_id("alpha", ident),
        ObservedFinding("d", WALL, WALL, archived=False),
        "u",
        "policyreports.wgpolicyk8s.io",
        "limits",
        source="kyverno",
        object_ref=ObjectRef("apps", "v1", "StatefulSet", "shop", "db"),
    )
    world.ledger.observed.take_part("", [held], now=world.now)
    world.now += DAY_MS // 2
    assert world.decide() is Hold.OWNERS_UNKNOWN
    world.lists([workload("Pod", "db-0", DB)])
    assert set(world.desired) == {("StatefulSet", "db")}


def test_where_owners_are_forbidden_a_pod_is_its_own_finding() -> None:
    """Nothing waits, and ends are judged as without roll-up."""
    world = World(listed=False)
    pods = world.owners.sinks[PODS]
    pods.begin()
    pods.state(ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN)))
    world.report("Pod", "web-old-1")
    assert not world.desired
    world.now += 60_000
    pods.begin()
    pods.state(ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN)))
    assert set(world.desired) == {("Pod", "web-old-1")}
    world.sent()
    world.unreport("Pod", "web-old-1")
    assert world.decide() == Wait(max(world.now + DELAY, SteadyMs(RESUME_MS)))


# -- Gatekeeper -------------------------------------------------------------------------------------------------------


def test_dead_pods_in_a_constraint_make_no_finding() -> None:
    """A stopped audit goes on listing Pods that are gone."""
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB), workload("Pod", "web-old-1", OLD))
    world.audit(("Pod", "web-old-1"), ("Pod", "long-gone"))
    assert set(world.desired) == {("Deployment", "web")}
    world.sent()
    world.drop("Pod", "web-old-1")
    world.audit(("Pod", "web-old-1"), ("Pod", "long-gone"))
    assert not world.desired


def test_a_truncated_list_is_read_by_its_pods() -> None:
    """What counts is where the Pods stand in the list's order, not their Deployment."""
    world = World()
    world.put(
        workload("ReplicaSet", "web-old", WEB), workload("Pod", "m", OLD), workload("Pod", "a"), workload("Pod", "z")
    )
    world.audit(("Pod", "a"), ("Pod", "m"), total=3)
    world.sent()
    world.audit(("Pod", "a"), ("Pod", "b"), total=3, at=1)  # m is above: it may be there, unlisted
    assert ("Deployment", "web") in world.desired
    world.audit(("Pod", "a"), ("Pod", "z"), total=3, at=2)  # m is below, and not there
    assert ("Deployment", "web") not in world.desired
    entry = next(e for e in world.ledger.entries.values() if e.subject == Subject("apps", "Deployment", "shop", "web"))
    assert not entry.confirmed_by_audit
    world.audit(("Pod", "a"), ("Pod", "z"), total=3, at=3)
    world.audit(("Pod", "a"), ("Pod", "z"), total=3, at=4)
    assert entry.confirmed_by_audit


def test_a_pod_of_a_truncated_list_that_dies_unlisted() -> None:
    """Kept since it may be there, unlisted; known to be gone, it is not."""
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB), workload("Pod", "m", OLD), workload("Pod", "a"))
    world.audit(("Pod", "a"), ("Pod", "m"), total=3)
    world.audit(("Pod", "a"), ("Pod", "b"), total=3, at=1)
    assert ("Deployment", "web") in world.desired
    world.drop("Pod", "m")
    assert ("Deployment", "web") not in world.desired


def test_an_audit_that_began_before_the_new_pods_says_nothing_of_them() -> None:
    """A rollout during an audit: it lists the old Pods, or none. Only later ones that lack the new Pods count."""
    world = World()
    world.put(workload("ReplicaSet", "web-old", WEB), workload("Pod", "old", OLD))
    world.audit(("Pod", "old"), at=10)
    world.sent()
    world.put(workload("Pod", "new", OLD, created="2026-09-01T00:00:15Z"))
    world.drop("Pod", "old")
    [entry] = world.ledger.entries.values()
    world.audit(("Pod", "old"), at=10)  # its status written once more
    world.audit(at=14)
    world.audit(at=15)
    assert (entry.first_audit_without, entry.confirmed_by_audit) == (None, False)
    assert world.decide() is Hold.AUDIT
    world.audit(at=20)
    world.audit(at=30)
    assert entry.confirmed_by_audit
    assert world.decide() == Wait(START + DELAY)
    world.put(workload("Pod", "newer", OLD, created="2026-09-01T00:00:31Z"))
    assert world.decide() is Hold.UNREPORTED
    world.audit(("Pod", "newer"), at=40)
    assert world.desired


# -- what it costs ----------------------------------------------------------------------------------------------------


def steps(act: Callable[[], object]) -> int:
    """How many steps of our own code it takes."""
    number = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal number
        frame.f_trace_opcodes = True
        number += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return number


def siblings(number: int) -> World:
    """A StatefulSet with so many Pods, each with a report; and one report of them all."""
    world = World()
    world.put(*(workload("Pod", f"db-{n}", DB) for n in range(number)))
    for n in range(number):
        world.report("Pod", f"db-{n}")
    world.all_of(f"db-{n}" for n in range(number))
    world.sent()
    return world


AUDITS = SourceKey(group=CONSTRAINTS[0], resource=CONSTRAINTS[1], namespace="", name="limits")
COSTS: dict[str, Callable[[World], object]] = {
    "one more": lambda world: world.put(workload("Pod", "db-new", DB)),
    "one less": lambda world: world.drop("Pod", "db-7"),
    "one that moves": lambda world: world.put(workload("Pod", "db-7", WEB)),
    "one report that passes": lambda world: world.report("Pod", "db-7", "pass"),
    "one report that says something else": lambda world: world.report("Pod", "db-7", message="worse"),
    "one report that goes": lambda world: world.unreport("Pod", "db-7"),
    "what is asked at a decision": lambda world: [
        (
            world.rollup.unreported("kyverno", "p", of),
            world.rollup.unaudited(of, AUDITS, 0),
            world.rollup.object_refs(of, AUDITS),
            world.rollup.deleted(of),
        )
        for of in [Subject("apps", "StatefulSet", "shop", "db")]
    ],
}


@pytest.mark.parametrize("act", COSTS.values(), ids=COSTS)
def test_what_one_of_many_siblings_costs(act: Callable[[World], object]) -> None:
    """About the same among 50 and among 800."""

    def cost(number: int) -> int:
        world = siblings(number)
        world.drop("Pod", "db-1")  # the first that moves has the report of them all indexed
        return steps(lambda: act(world))

    assert cost(800) < 2 * cost(50) + 500


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 29), st.sampled_from(["db", "web-old", "", "gone"])), max_size=40),
    st.sampled_from([1, 7, 500]),
)
def test_a_report_of_many_pods_that_move(happened: list[tuple[int, str]], at_once: int) -> None:
    """However they came where they are, what is called for is what would be, had they been there before the report. So
    it is in whatever slices they move.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moves, "MAX_AT_ONCE", at_once)
        patch.setattr(moves, "SLICE", at_once)
        _compare(happened)


def _compare(happened: list[tuple[int, str]]) -> None:
    owners = {"db": DB, "web-old": OLD, "": None}

    def made(world: World, where: Iterable[tuple[int, str]]) -> None:
        for number, owner in where:
            if owner == "gone":
                world.drop("Pod", f"p-{number}")
            else:
                world.put(workload("Pod", f"p-{number}", owners[owner]))

    moved, fresh = World(), World()
    final = dict.fromkeys(range(30), "db")
    for world in (moved, fresh):
        world.put(workload("ReplicaSet", "web-old", WEB))
        made(world, final.items())
    moved.all_of(f"p-{number}" for number in range(30))
    for step, (number, owner) in enumerate(happened):
        made(moved, [(number, owner)])
        if step % 3 == 0:
            list(islice(moved.rollup.catch_up(now=moved.now), step % 4))
        if step % 7 == 6:  # it is written again while some of it has yet to move
            moved.all_of(f"p-{number}" for number in range(30))
    final.update(happened)
    made(fresh, final.items())
    fresh.all_of(f"p-{number}" for number in range(30))
    for world in (moved, fresh):
        list(world.rollup.catch_up(now=world.now))
        assert not world.ledger.sources.waiting_namespaces
        world.all_of((f"p-{number}" for number in range(0, 30, 3)), name="other", policy="q")
    assert {where: entry.representative for where, entry in moved.desired.items()} == {
        where: entry.representative for where, entry in fresh.desired.items()
    }
    assert {key: set(ids) for key, ids in moved.ledger.desired.objects.items()} == {
        key: set(ids) for key, ids in fresh.ledger.desired.objects.items()
    }
