"""What the real engines wrote about our own company, once results count for controllers: known from its design."""

import json
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from dev.company import Company, Violation
from dev.engines import truth
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.sources.filter import Filter
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import JOBS, PODS, REPLICASETS, Owners
from policyhub.sync.rollup import Rollup
from tests.unit.sources.recorded import Recorded, at

NOW = SteadyMs(1_800_000_000_000)
WATCHING = ReflectorState(phase="watching", listed=1.0)
RESOURCES = {"Pod": PODS, "ReplicaSet": REPLICASETS, "Job": JOBS}
ALL = Filter(
    exclude_sources=(),
    include_namespaces=("*",),
    exclude_namespaces=(),
    results=frozenset({"fail", "warn", "error"}),
    minimum_severity="INFORMATIONAL",
    default_severity="MEDIUM",
)
FLAWS = {(o.kind, o.namespace, o.name): found for o, found in Company.build().flaws.items()}
REPORTS = ("policyreports", "clusterpolicyreports")


def violations(recorded: Iterable[Recorded], *, owners: Iterable[Recorded]) -> set[Violation]:
    """What the ledger wants when it has seen these owners and objects."""
    malformed: list[tuple[str, ...]] = []
    ledger = Ledger(cluster_id="alpha", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
    known = Owners(
        now=lambda: NOW,
        on_change=lambda objects: rollup.shift(objects, now=NOW),
        on_malformed=lambda *arguments: malformed.append(arguments),
    )
    rollup = Rollup(ledger=ledger, owners=known)
    ledger.sources.ownership = rollup
    for sink in known.sinks.values():
        sink.begin()
    for one in owners:
        known.sinks[RESOURCES[one.document["kind"]]].upsert(one.raw)
    for sink in known.sinks.values():
        sink.finish()
        sink.state(WATCHING)
    report_sinks: dict[tuple[str, str], ReportSink] = {}
    for one in recorded:
        place = one.group, one.resource
        if place not in report_sinks:
            report_sinks[place] = ReportSink(
                cluster="alpha",
                group=one.group,
                resource=one.resource,
                ledger=ledger,
                filter_=ALL,
                metrics=Metrics(CollectorRegistry()),
                now=lambda: NOW,
                wall_clock=lambda: WallMs(int(NOW)),
                rollup=rollup,
            )
        report_sinks[place].upsert(json.dumps(one.document).encode())
    voices = [entry.representative for entry in ledger.entries.values() if entry.desired and entry.representative]
    found = [Violation(v.source, v.policy, v.rule, v.subject.kind, v.subject.namespace, v.subject.name) for v in voices]
    assert malformed == []
    assert len(found) == len(set(found))
    return set(found)


def of_kyverno(*subjects: tuple[str, str, str]) -> set[Violation]:
    """What its policies must find, by the company's design."""
    return {
        violation for about in subjects for violation in truth.about(*about, FLAWS) if violation.source != "gatekeeper"
    }


def test_reports_of_a_workload_are_its_findings() -> None:
    """Those of a Deployment, its ReplicaSet and Pods, of a DaemonSet, CronJob, Service and Namespace: one each flaw."""
    expected = of_kyverno(
        ("Deployment", "payments", "gateway"),
        ("Deployment", "shop", "catalog"),
        ("DaemonSet", "platform", "node-agent"),
        ("CronJob", "payments", "reconcile"),
        ("Service", "shop", "legacy-api"),
        ("Namespace", "", "monitoring"),
    )
    results = [result for one in at("company", *REPORTS) for result in one.document["results"]]
    failing = sum(result["result"] == "fail" for result in results)
    assert failing > len(expected) > 30
    assert violations(at("company", *REPORTS), owners=at("company", "owners")) == expected


@pytest.mark.parametrize(
    ("kind", "flaw"),
    [
        ("HarbourPrivileged", "privileged"),
        ("HarbourUidZero", "uid-zero"),
        ("HarbourHostPath", "host-path"),
        ("HarbourDockerSocket", "docker-socket"),
        ("HarbourNodePort", "node-port"),
        ("HarbourOpenNetwork", "open-network"),
    ],
)
def test_listed_pods_are_findings_of_what_made_them(kind: str, flaw: str) -> None:
    """A constraint that lists Pods is one finding for each workload; Services and Namespaces count for themselves."""
    listed = [one for one in at("company", "constraints") if one.document["kind"] == kind]
    expected = {violation for violation in truth.wanted(FLAWS) if violation.policy == kind}
    assert expected
    assert violations(listed, owners=at("company", "owners")) == expected


def test_a_rollout_changes_nothing() -> None:
    """New ReplicaSet, new Pods, and the old ReplicaSet kept for a rollback: the Deployment's findings, as ever."""
    names = {one.document["scope"]["name"] for one in at("rollout", "policyreports")}
    assert len(names) >= 5, "Deployment and Service of one name, two ReplicaSets, two Pods"
    found = violations(at("rollout", "policyreports"), owners=at("rollout", "owners"))
    assert found == of_kyverno(("Deployment", "shop", "web"))
