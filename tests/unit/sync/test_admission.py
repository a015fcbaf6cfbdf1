"""Which freely chosen names get their own metric series."""

import json
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.metrics.definitions import Metrics
from policyhub.model.engines import MAX_ENGINES, MAX_ENGINES_PER_NAMESPACE
from policyhub.sources.filter import Filter
from policyhub.sync.admission import Admission
from policyhub.sync.ledger import Ledger

NOW = SteadyMs(1_790_000_000_000)


def test_a_namespace_has_a_quota() -> None:
    """Beyond its quota the names of a namespace are not shown until another namespace uses them or it drops names."""
    names: Admission[str] = Admission(total=10, each=2)
    assert [names.admit(name, "a") for name in "uvw"] == [True, True, False]
    assert "w" not in names
    assert names.admit("w", "b")
    assert names.admit("w", "a")
    assert not names.admit("x", "a")
    names.retain({"v", "w"})
    assert "u" not in names
    assert names.admit("x", "a")


def test_the_total_is_limited() -> None:
    """All namespaces together have a limit, cluster-scoped objects half of it; known names use no quota."""
    names: Admission[str] = Admission(total=4, each=3, known={"known"})
    assert [names.admit(name, "") for name in "uvw"] == [True, True, False]
    assert [names.admit(name, "a") for name in "wxy"] == [True, True, False]
    assert not names.admit("z", "b")
    assert names.admit("known", "b")
    assert "known" in names


def sink() -> ReportSink:
    return ReportSink(
        cluster="alpha",
        group="wgpolicyk8s.io",
        resource="policyreports",
        ledger=Ledger(cluster_id="alpha", cluster_uid="uid", default_severity="MEDIUM", on_dirty=lambda: None),
        filter_=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: NOW,
        wall_clock=lambda: WallMs(int(NOW)),
    )


def report(namespace: str, engines: Iterable[str], *, at: int) -> bytes:
    results = [
        {"source": name, "policy": "p", "result": "pass", "timestamp": {"seconds": at, "nanos": 0}} for name in engines
    ]
    document = {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"namespace": namespace, "name": "r", "creationTimestamp": "2026-09-21T00:00:00Z"},
        "scope": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "web"},
        "results": results,
    }
    return json.dumps(document).encode()


def test_no_namespace_displaces_engines() -> None:
    """A namespace that names 5,000 engines, newer than all others, brings in ten; other namespaces' and the known ones
    are there whenever they come. Nothing is kept of those that are not admitted.
    """
    whole, at = sink(), NOW // 1000 - 100
    for turn in range(10):
        whole.upsert(report("evil", [f"fake-{turn}-{number}" for number in range(500)], at=at + 50))
    whole.upsert(report("shop", ["our-scanner", "kyverno"], at=at))
    for namespace in range(20):
        whole.upsert(report(f"evil-{namespace}", [f"more-{namespace}-{number}" for number in range(100)], at=at))
    whole.upsert(report("bank", ["Trivy ConfigAudit", "our-scanner"], at=at + 1))
    named = whole.newest_by
    assert named["our-scanner"] == at + 1
    assert named["kyverno"] == at
    assert named["Trivy ConfigAudit"] == at + 1
    assert len([name for name in named if name.startswith("fake-")]) == MAX_ENGINES_PER_NAMESPACE
    assert len(named) <= MAX_ENGINES + 2
