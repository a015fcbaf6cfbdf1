"""What one namespace may take."""

import pytest

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import ParsedReport, SourceKey, Subject, Violation
from policyhub.sync.usage import DAY_MS, TEXT_BYTES, Excess, Limits, Meter, Usage

NOW = SteadyMs(1_790_000_000_000)
WEB = Subject("apps", "Deployment", "shop", "web")


def test_a_namespace_has_its_limit_and_no_other_feels_it() -> None:
    """What one namespace may not take, another still may."""
    meter = Meter(namespace=10, cluster=100)
    meter.add("team-a", 10)
    assert meter.exceeds("team-a", 1) is Excess.NAMESPACE
    assert meter.exceeds("shop", 10) is None
    meter.add("team-a", -1)
    assert meter.exceeds("team-a", 1) is None


def test_sources_outside_of_namespaces_are_not_held_to_a_namespaces_limit() -> None:
    """What a constraint lists about a namespace does not suffer from what is written in it."""
    meter = Meter(namespace=10, cluster=100)
    meter.add("team-a", 10)
    assert meter.exceeds("team-a", 5, scoped=False) is None
    assert meter.exceeds("", 50) is None


@pytest.mark.parametrize(("namespace", "refused"), [("team-a", Excess.CLUSTER), ("shop", None), ("new", None)])
def test_a_full_cluster_takes_what_is_within_a_fair_share(namespace: str, refused: Excess | None) -> None:
    """Where many namespaces have filled a cluster, those with little still get what they need."""
    meter = Meter(namespace=90, cluster=100)
    meter.add("team-a", 50)
    meter.add("team-b", 48)
    meter.add("shop", 2)
    assert meter.exceeds(namespace, 20) is refused


def test_nothing_is_kept_of_namespaces_that_have_nothing() -> None:
    """A namespace that came and went leaves no trace."""
    meter = Meter(namespace=10, cluster=100)
    meter.add("team-a", 3)
    meter.add("team-a", -3)
    assert not meter.used
    assert meter.total == 0


def parsed(name: str, *messages: str, namespace: str = "team-a", spoke: int = 0) -> ParsedReport:
    violations = tuple(
        (
            Violation(
                source="kyverno",
                policy="p",
                rule=f"r{number}",
                subject=WEB,
                discriminator="",
                result="fail",
                severity=None,
                category="",
                message=message,
            ),
            None,
        )
        for number, message in enumerate(messages)
    )
    return ParsedReport(
        key=SourceKey("wgpolicyk8s.io", "policyreports", namespace, name),
        violations=violations,
        created=None,
        complete=True,
        covered=tuple((Subject("", "Pod", namespace, f"p{n}"), frozenset({("kyverno", "p")})) for n in range(spoke)),
    )


def test_texts_are_counted() -> None:
    """A namespace may hold 2 kB of text for each finding that it may have; then what it said before stands."""
    shares = Usage(Limits(namespace_findings=2))
    assert shares.charge(parsed("a", "x" * TEXT_BYTES)) is None
    assert shares.charge(parsed("b", "x" * TEXT_BYTES)) is Excess.NAMESPACE
    assert shares.charge(parsed("b", "x" * TEXT_BYTES, namespace="shop")) is None
    assert shares.charge(parsed("a", "short")) is None, "less is always taken"
    assert shares.charge(parsed("b", "x" * TEXT_BYTES)) is None
    shares.drop(parsed("b").key)
    assert shares.charge(parsed("c", "x" * TEXT_BYTES)) is None


def test_reports_about_pods_are_counted() -> None:
    """Also what passes is remembered, for Pods; it is bounded too."""
    shares = Usage(Limits(namespace_findings=2))
    assert shares.charge(parsed("a", spoke=100)) is Excess.NAMESPACE


def test_imports_of_a_day_end_and_begin_again() -> None:
    """A namespace's imports are limited for each day; no other namespace is."""
    shares = Usage(Limits(namespace_imports=3))
    for _ in range(3):
        assert shares.exhausted_until(WEB, now=NOW) == NEVER
        shares.count_import("shop", now=NOW)
    assert shares.exhausted_until(WEB, now=NOW) == NOW + DAY_MS
    assert shares.exhausted_namespaces(now=NOW) == ["shop"]
    assert shares.exhausted_until(Subject("", "Namespace", "", "shop"), now=NOW) == NOW + DAY_MS, (
        "its Namespace is its own"
    )
    assert shares.exhausted_until(Subject("", "Pod", "bank", "p"), now=NOW) == NEVER
    assert shares.exhausted_until(None, now=NOW) == NEVER
    assert shares.exhausted_until(WEB, now=NOW + DAY_MS) == NEVER
    assert not shares.any_exhausted
    shares.count_import("shop", now=NOW + DAY_MS)
    assert shares.exhausted_until(WEB, now=NOW + DAY_MS) == NEVER


def test_imports_outside_of_namespaces_have_no_limit() -> None:
    """Nobody who may write in a namespace causes them."""
    shares = Usage(Limits(namespace_imports=1))
    for _ in range(5):
        shares.count_import("", now=NOW)
    assert not shares.any_exhausted
