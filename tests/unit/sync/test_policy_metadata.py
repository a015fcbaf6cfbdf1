"""What is known of policies, when it is known, and which sources are to be read again."""

import json
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings.identity import finding_id
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Subject, Violation
from policyhub.sources.filter import Filter
from policyhub.sync.entry import Entry
from policyhub.sync.ledger import Ledger
from policyhub.sync.policy_metadata import (
    DEBOUNCE_MS,
    MIN_RELIST_INTERVAL_MS,
    REFUSAL_GRACE_MS,
    PolicyMetadata,
    PolicySink,
    concerns,
)
from tests.unit.violation import VIOLATION

START = SteadyMs(1_790_000_000_000)
CLUSTER_POLICY = Resource("kyverno.io", "v1", "clusterpolicies", "ClusterPolicy", namespaced=False)
TEMPLATE = Resource("templates.gatekeeper.sh", "v1", "constrainttemplates", "ConstraintTemplate", namespaced=False)
REPORTS = Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport", namespaced=True)
LIMITS = Resource("constraints.gatekeeper.sh", "v1beta1", "k8slimits", "K8sLimits", namespaced=False)
CALLED = [("kyverno", "probes"), ("gatekeeper", "K8sLimits")]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> SteadyMs:
        return self.now


def policy_object(name: str, *, namespace: str = "", **annotations: str) -> bytes:
    """A policy; `title="T"` is its title."""
    keyed = {f"policies.kyverno.io/{key}": value for key, value in annotations.items()}
    return json.dumps({"metadata": {"name": name, "namespace": namespace, "annotations": keyed}}).encode()


def listed(sink: PolicySink, *policies: bytes) -> None:
    sink.begin()
    for policy in policies:
        sink.upsert(policy)
    sink.finish()


def violation(source: str = "kyverno", policy: str = "probes") -> Violation:
    return msgspec.structs.replace(VIOLATION, source=source, policy=policy)


def title(policies: PolicyMetadata, source: str = "kyverno", policy: str = "probes") -> str | None:
    return dict(policies.enrich(violation(source, policy)).properties).get("policy-title")


@pytest.mark.parametrize(
    ("group_resource", "source", "policy"),
    [
        ("clusterpolicies.kyverno.io", "kyverno", "p"),
        ("policies.kyverno.io", "kyverno", "shop/p"),
        ("validatingpolicies.policies.kyverno.io", "KyvernoValidatingPolicy", "p"),
        ("namespacedvalidatingpolicies.policies.kyverno.io", "KyvernoValidatingPolicy", "shop/p"),
        ("imagevalidatingpolicies.policies.kyverno.io", "KyvernoImageValidatingPolicy", "p"),
        ("namespacedimagevalidatingpolicies.policies.kyverno.io", "KyvernoImageValidatingPolicy", "shop/p"),
        ("validatingadmissionpolicies.admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "p"),
        ("clusteradmissionpolicies.policies.kubewarden.io", "kubewarden", "clusterwide-p"),
        ("admissionpolicies.policies.kubewarden.io", "kubewarden", "namespaced-shop-p"),
        ("clusteradmissionpolicygroups.policies.kubewarden.io", "kubewarden", "clusterwide-group-p"),
        ("admissionpolicygroups.policies.kubewarden.io", "kubewarden", "namespaced-group-shop-p"),
        ("constrainttemplates.templates.gatekeeper.sh", "gatekeeper", "P"),
    ],
)
def test_a_policy_is_known_by_the_name_that_its_engine_gives_it(group_resource: str, source: str, policy: str) -> None:
    """Namespaced ones by their namespace too, as each engine writes it; templates by the kind that they make."""
    policies = PolicyMetadata(now=Clock(), on_malformed=print)
    plural, _, group = group_resource.partition(".")
    sink = policies.sink(Resource(group, "v1", plural, "K", namespaced="shop" in policy))
    listed(sink, policy_object("p", namespace="shop" if "shop" in policy else "", title="T"))
    assert title(policies, source, policy) == "T"
    assert title(policies, source, "other") is None
    assert title(policies, "another", policy) is None


KUBEWARDENS = Resource("policies.kubewarden.io", "v1", "admissionpolicies", "AdmissionPolicy", namespaced=True)
KYVERNOS = Resource("kyverno.io", "v1", "policies", "Policy", namespaced=True)


def found_in(namespace: str, source: str, policy: str, *, kind: str = "Deployment") -> Violation:
    subject = Subject("apps", kind, namespace, "cart") if kind != "Namespace" else Subject("", kind, "", namespace)
    return msgspec.structs.replace(violation(source, policy), subject=subject)


@pytest.mark.parametrize("order", [("a", "a-b"), ("a-b", "a")])
def test_two_policies_that_kubewarden_calls_alike_each_word_their_own_namespace(order: tuple[str, str]) -> None:
    """`b-c` in `a` and `c` in `a-b` are both `namespaced-a-b-c`; whichever came last says nothing of the other's."""
    policies = PolicyMetadata(now=Clock(), on_malformed=print)
    written = {
        "a": policy_object("b-c", namespace="a", title="of a", severity="low"),
        "a-b": policy_object("c", namespace="a-b", title="of a-b", severity="critical"),
    }
    listed(policies.sink(KUBEWARDENS), *(written[namespace] for namespace in order))
    for namespace, severity in (("a", "LOW"), ("a-b", "CRITICAL")):
        enriched = policies.enrich(found_in(namespace, "kubewarden", "namespaced-a-b-c"))
        assert (dict(enriched.properties)["policy-title"], enriched.severity) == (f"of {namespace}", severity)


@pytest.mark.parametrize("kind", ["Deployment", "Namespace"])
def test_a_policy_of_a_namespace_does_not_apply_to_another(kind: str) -> None:
    """Neither words nor a severity, whoever reports that it is violated there; of its own namespace it does."""
    policies = PolicyMetadata(now=Clock(), on_malformed=print)
    listed(policies.sink(KYVERNOS), policy_object("p", namespace="team-a", title="Mine", severity="low"))
    for namespace in ("team-b", "kube-system"):
        theirs = found_in(namespace, "kyverno", "team-a/p", kind=kind)
        assert policies.enrich(theirs) == theirs
    nowhere = msgspec.structs.replace(theirs, subject=Subject("", "Node", "", "team-a"))
    assert policies.enrich(nowhere) == nowhere
    assert policies.enrich(found_in("team-a", "kyverno", "team-a/p", kind=kind)).severity == "LOW"


def test_where_a_namespace_has_none_the_cluster_wide_policy_applies() -> None:
    """Also where both are called alike."""
    policies = PolicyMetadata(now=Clock(), on_malformed=print)
    listed(policies.sink(CLUSTER_POLICY), policy_object("team-a/p", title="For all"))
    listed(policies.sink(KYVERNOS), policy_object("p", namespace="team-a", title="Mine"))
    for namespace, reported in (("team-a", "Mine"), ("team-b", "For all")):
        assert dict(policies.enrich(found_in(namespace, "kyverno", "team-a/p")).properties)["policy-title"] == reported
    for _ in range(3):
        listed(policies.sink(KYVERNOS))
    assert dict(policies.enrich(found_in("team-a", "kyverno", "team-a/p")).properties)["policy-title"] == "For all"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[" * 100_000,
        b'{"metadata": {"name": "\xff"}}',
        b'{"metadata": {"name": 1}}',
    ],
)
def test_a_policy_that_cannot_be_read_is_reported_and_stops_nothing(raw: bytes) -> None:
    """Deep, not UTF-8, without a namespace: each is one policy's."""
    reported: list[tuple[str, str]] = []
    policies = PolicyMetadata(
        now=Clock(), on_malformed=lambda group_resource, why: reported.append((group_resource, why))
    )
    listed(policies.sink(KYVERNOS), raw, policy_object("p", namespace="shop", title="T"))
    assert [group_resource for group_resource, _ in reported] == ["policies.kyverno.io"]
    assert title(policies, "kyverno", "shop/p") == "T"


def test_known_texts_stay_while_a_policy_cannot_be_read() -> None:
    """It may be the one that seems to be missing."""
    policies = PolicyMetadata(now=Clock(), on_malformed=lambda *_: None)
    sink = policies.sink(KYVERNOS)
    listed(sink, policy_object("p", namespace="shop", title="T"))
    for _ in range(3):
        listed(sink, b"{")
    assert title(policies, "kyverno", "shop/p") == "T"
    for _ in range(2):
        listed(sink)
    assert title(policies, "kyverno", "shop/p") is None


def test_a_template_names_the_severity_of_its_constraints() -> None:
    """A constraint's own stands, and goes before how admission would react; the template stands between."""
    policies = PolicyMetadata(now=Clock(), on_malformed=print)
    listed(policies.sink(TEMPLATE), policy_object("k8slimits", severity="critical"))
    assert policies.template_severity("k8slimits") == "CRITICAL"
    assert policies.template_severity("k8sother") is None


def test_a_change_is_reported_once_after_a_quiet_period() -> None:
    """Policies come by the dozen; what nobody violates needs no reading."""
    clock = Clock()
    policies = PolicyMetadata(now=clock, on_malformed=print)
    sink = policies.sink(CLUSTER_POLICY)
    listed(sink, policy_object("probes", title="T"), policy_object("limits", title="L"))
    policies.discard_changes()
    assert policies.changed(CALLED) == frozenset()
    sink.upsert(policy_object("probes", title="New"))
    sink.upsert(policy_object("limits", title="New"))
    assert policies.changed(CALLED) == frozenset()
    clock.now += DEBOUNCE_MS
    assert policies.changed(CALLED) == {("kyverno", "probes")}
    assert policies.changed(CALLED) == frozenset()
    sink.upsert(policy_object("probes", title="New"))
    clock.now += DEBOUNCE_MS
    assert policies.changed(CALLED) == frozenset(), "the same words are no news"
    sink.upsert(policy_object("probes"))
    clock.now += DEBOUNCE_MS
    assert policies.changed(CALLED) == frozenset(), "not again within a minute"
    clock.now += MIN_RELIST_INTERVAL_MS
    assert policies.changed(CALLED) == {("kyverno", "probes")}, "saying nothing any more is news"


def test_texts_of_a_deleted_policy_stay_for_one_more_listing() -> None:
    """Its violations go with it: no reason to send them once more before. Then it is forgotten, which is no news."""
    clock = Clock()
    policies = PolicyMetadata(now=clock, on_malformed=print)
    sink = policies.sink(CLUSTER_POLICY)
    listed(sink, policy_object("probes", title="T"))
    policies.discard_changes()
    sink.delete(policy_object("probes"))
    assert title(policies) == "T"
    listed(sink)
    assert title(policies) == "T"
    sink.begin()
    sink.abort()
    assert title(policies) == "T"
    listed(sink)
    assert title(policies) is None
    clock.now += MIN_RELIST_INTERVAL_MS
    assert policies.changed(CALLED) == frozenset()
    listed(sink, policy_object("probes", title="T"))
    listed(sink)
    listed(sink, policy_object("probes", title="T"))
    listed(sink)
    assert title(policies) == "T", "two listings in a row"


def test_a_kind_is_synced_when_listed_or_refused() -> None:
    """A failure is neither, nor is a refusal before it has stood; what cannot be read loses nothing else."""
    reported: list[str] = []
    clock = Clock()
    policies = PolicyMetadata(
        now=clock,
        on_synced=lambda: reported.append("synced"),
        on_malformed=lambda group_resource, _: reported.append(group_resource),
    )
    sink = policies.sink(CLUSTER_POLICY)
    sink.state(ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FAILED)))
    assert reported == []
    refused = ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN))
    sink.state(refused)
    clock.now += REFUSAL_GRACE_MS - 1
    sink.state(refused)
    assert reported == []
    sink.state(ReflectorState(phase="failed", cause=Cause(Reason.UNREACHABLE)))
    clock.now += 1
    sink.state(refused)
    assert reported == [], "refused anew since"
    clock.now += REFUSAL_GRACE_MS
    sink.state(refused)
    assert reported == ["synced"]
    other = policies.sink(TEMPLATE)
    listed(other, b'{"metadata": {"name": 7}}', policy_object("k8slimits", title="T"))
    assert other.synced
    assert title(policies, "gatekeeper", "K8sLimits") == "T"
    assert reported == ["synced", "constrainttemplates.templates.gatekeeper.sh", "synced"]


def test_known_texts_outlast_listings_with_unreadable_objects() -> None:
    """The policy that could not be taken may be any of those that a listing lacks."""
    reported: list[str] = []
    policies = PolicyMetadata(
        now=Clock(), on_malformed=lambda group_resource, why: reported.append(f"{group_resource} {why}")
    )
    sink = policies.sink(TEMPLATE)
    listed(sink, policy_object("k8slimits", title="T"))
    for _ in range(3):
        sink.begin()
        sink.unreadable(b"", ValueError("7" * 5_000))
        sink.finish()
    assert title(policies, "gatekeeper", "K8sLimits") == "T"
    assert len(reported) == 3
    assert all(len(message) < 600 for message in reported)
    for _ in range(2):
        listed(sink)
    assert title(policies, "gatekeeper", "K8sLimits") != "T"


def test_which_sources_are_read_again() -> None:
    """All reports for a policy, since any of them may name it; of constraints the template's own kind alone."""
    assert concerns(REPORTS, frozenset({("kyverno", "probes")}))
    assert not concerns(REPORTS, frozenset({("gatekeeper", "k8slimits")}))
    assert concerns(LIMITS, frozenset({("gatekeeper", "k8slimits"), ("kyverno", "probes")}))
    assert not concerns(LIMITS, frozenset({("gatekeeper", "k8sother"), ("kyverno", "probes")}))


class World:
    """One report of one object, seen by a view."""

    def __init__(self, **wanted: Any) -> None:
        self.clock = Clock()
        self.policies = PolicyMetadata(now=self.clock, on_malformed=print)
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
        self.ledger.observed.take_part("", [], now=START)
        self.sinks = {
            resource: ReportSink(
                cluster="alpha",
                group=resource.group,
                resource=resource.plural,
                ledger=self.ledger,
                filter_=Filter(**wanted),
                metrics=Metrics(CollectorRegistry()),
                now=self.clock,
                wall_clock=lambda: WallMs(int(self.clock())),
                policies=self.policies,
            )
            for resource in (REPORTS, LIMITS)
        }

    def report(self, **members: str) -> None:
        result = {"source": "kyverno", "policy": "probes", "rule": "r", "result": "fail", "message": "m", **members}
        scope = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "namespace": "shop"}
        report = {"metadata": {"name": "r", "namespace": "shop"}, "scope": scope, "results": [result]}
        self.sinks[REPORTS].upsert(json.dumps(report).encode())

    def audit(self) -> None:
        listed = [{"group": "apps", "version": "v1", "kind": "Deployment", "name": "cart", "namespace": "shop"}]
        status = {"auditTimestamp": "2026-09-01T00:00:00Z", "totalViolations": 1, "violations": listed}
        constraint = {"kind": "K8sLimits", "metadata": {"name": "limits"}, "status": status}
        self.sinks[LIMITS].upsert(json.dumps(constraint).encode())

    @property
    def entry(self) -> Entry:
        [entry] = self.ledger.entries.values()
        return entry


def test_a_finding_shows_the_texts_of_its_policy() -> None:
    """Another digest, the same id: it is sent once more when the report is read again, and not a third time."""
    world = World()
    world.report()
    plain = world.entry.digest
    assert world.entry.id == finding_id("alpha", violation().identity)
    listed(world.policies.sink(CLUSTER_POLICY), policy_object("probes", title="T", severity="high"))
    world.report()
    reported = world.entry.digest
    assert reported != plain
    assert world.entry.representative is not None
    assert (world.entry.representative.severity, dict(world.entry.representative.properties)) == (
        "HIGH",
        {"policy-title": "T"},
    )
    world.ledger.agenda.dirty.clear()
    world.report()
    assert not world.ledger.agenda.dirty


def test_the_policys_severity_decides_whether_a_violation_is_wanted() -> None:
    """The filter sees what the reader of the finding would see."""
    world = World(minimum_severity="HIGH")
    world.report()
    world.audit()
    assert list(world.ledger.entries.values()) == []
    listed(world.policies.sink(TEMPLATE), policy_object("k8slimits", severity="low"))
    listed(world.policies.sink(CLUSTER_POLICY), policy_object("probes", severity="critical"))
    world.report()
    world.audit()
    assert [entry.source for entry in world.ledger.entries.values() if entry.desired] == ["kyverno"]
