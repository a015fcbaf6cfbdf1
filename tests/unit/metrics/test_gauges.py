"""The gauges of a cluster, on a registry, for ledgers with given inputs."""

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.gauges import SERIES_EACH, Gauges, SourceGauges
from policyhub.findings.identity import finding_id
from policyhub.metrics.ages import DAY
from policyhub.metrics.definitions import Metrics
from policyhub.metrics.series import LABEL, label
from policyhub.model.violation import SourceKey, Subject, Violation
from policyhub.sync.age_statistics import AgeStatistics
from policyhub.sync.entry import Observation, ObservedFinding, Triage
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Change

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
DAYS = DAY * 1000
HUB = "111122223333/eu-west-1"
SLA = {"CRITICAL": 7, "HIGH": 30}
Severities = tuple[str, ...]


class Scene:
    """A ledger with violations v0, v1 … of these severities, and the registry of its gauges."""

    def __init__(self, *severities: str, namespaces: bool = False, read: bool = True) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, version="1.2.3", namespaces=namespaces)
        self.gauges = Gauges(self.metrics, cluster="alpha", hub=HUB, sla_days=SLA, clock=lambda: NOW)
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="uid", default_severity="MEDIUM", on_dirty=lambda: None)
        if read:
            self.ledger.observed.take_part("", [], now=NOW)
        self.say(*severities)

    def say(self, *severities: str) -> None:
        calls: list[tuple[Violation, WallMs | None]] = [
            (violation(number, severity), WALL - number * DAYS) for number, severity in enumerate(severities)
        ]
        key = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "report")
        self.ledger.read(key, calls, complete=True, passed=frozenset, now=NOW - 5000)

    def send(self, *numbers: int) -> None:
        """Imported and acknowledged, each seen as many days ago as its number."""
        for number in numbers:
            entry = self.ledger.entries[id_of(number)]
            self.ledger.mark_in_flight(entry)
            known = ObservedFinding(entry.digest, WALL - number * DAYS, WALL, archived=not entry.desired)
            self.ledger.acknowledge(entry, known, now=NOW)

    def inventory(self, **triage: tuple[str, str]) -> None:
        """Security Hub's later answer: the workflow status and severity of v0, and so on."""
        held = []
        for name, pair in triage.items():
            entry = self.ledger.entries[id_of(int(name[1:]))]
            assert entry.observed is not None
            held.append(
                Observation(
                    entry.id, entry.observed, "uid", entry.source_api, entry.rule, "kyverno", triage=Triage(*pair)
                )
            )
        self.ledger.observed.take_read(held, now=NOW + 3_600_000)

    def show(self, *, in_sync: bool = False, sends: bool = True, inventory: WallMs = WALL) -> None:
        statistics = AgeStatistics(
            sla_days=SLA, now=NOW, wall_clock=WALL, namespaces=self.metrics.namespaces, shown=self.gauges.shown
        )
        for entry in self.ledger.entries.values():
            statistics.count(entry)
        self.gauges.count(statistics)
        self.gauges.findings(self.ledger, in_sync=in_sync, sends=sends, inventory=inventory)

    def get(self, name: str, **labels: str) -> float | None:
        value: float | None = self.registry.get_sample_value(f"policyhub_{name}", {"cluster": "alpha", **labels})
        return value

    def samples(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        found = (s for family in self.registry.collect() for s in family.samples)
        return [(sample.labels, sample.value) for sample in found if sample.name == f"policyhub_{name}"]

    def series(self, name: str) -> list[Mapping[str, str]]:
        return [s.labels for family in self.registry.collect() for s in family.samples if s.name == f"policyhub_{name}"]


def violation(number: int, severity: str = "HIGH") -> Violation:
    return Violation(
        source="kyverno",
        policy="p",
        rule=f"r{number}",
        subject=Subject("apps", "Deployment", "shop" if number % 2 else "bank", "web"),
        discriminator="",
        result="fail",
        severity=severity,  # type: ignore[arg-type]  # the tests write labels as they are
        category="",
        message="m",
    )


def id_of(number: int) -> str:
    return finding_id("alpha", violation(number).identity)


def test_violations_are_counted_and_leave_no_series_behind() -> None:
    """Violations by engine, policy and severity, without a namespace; ended ones take their series with them."""
    scene = Scene("HIGH", "HIGH", "LOW")
    scene.show()
    assert scene.get("violations", source="kyverno", policy="p", severity="HIGH") == 2
    assert scene.get("violations", source="kyverno", policy="p", severity="LOW") == 1
    assert "namespace" not in scene.series("violations")[0]
    scene.say("HIGH")
    scene.show()
    assert [labels["severity"] for labels in scene.series("violations")] == ["HIGH"]


def test_namespaces_are_shown_on_request() -> None:
    """With the setting, violations are counted by namespace too."""
    scene = Scene("HIGH", "HIGH", "HIGH", namespaces=True)
    scene.show()
    one = scene.get("violations", source="kyverno", policy="p", severity="HIGH", namespace="shop")
    other = scene.get("violations", source="kyverno", policy="p", severity="HIGH", namespace="bank")
    assert (one, other) == (1, 2)


def report(ledger: Ledger, namespace: str, policies: Iterable[str], *, objects: int = 1) -> None:
    """A report of a namespace: this many of its objects violate each of the policies."""
    calls: list[tuple[Violation, WallMs | None]] = [
        (
            Violation(
                source="kyverno",
                policy=policy,
                rule="r",
                subject=Subject("apps", "Deployment", namespace, f"web-{number}"),
                discriminator="",
                result="fail",
                severity="HIGH",
                category="",
                message="m",
            ),
            WALL,
        )
        for policy in policies
        for number in range(objects)
    ]
    key = SourceKey("wgpolicyk8s.io", "policyreports", namespace, "report")
    ledger.read(key, calls, complete=True, passed=frozenset, now=NOW)


@pytest.mark.parametrize("first", [True, False], ids=["the hostile one first", "the others first"])
@pytest.mark.parametrize("namespaces", [False, True], ids=["", "by namespace"])
def test_no_namespace_displaces_others(*, first: bool, namespaces: bool) -> None:
    """A namespace reports 5,200 policies of its own, each more often than any real one; ten real namespaces and 20
    others with 200 policies exist: every real series is exact, in any order, and no violation is lost.
    """
    scene = Scene(namespaces=namespaces)
    names = [f"real-{number}" for number in range(200)]

    def hostile() -> None:
        report(scene.ledger, "evil", [*(f"fake-{number}" for number in range(5_200)), *names[:10]], objects=6)
        scene.show()

    if first:
        hostile()
    for number in range(20):
        report(scene.ledger, f"team-{number}", names[number % 4 :: 4])
    scene.show()
    if not first:
        hostile()
    scene.show()
    real: Counter[str] = Counter()
    fakes = 0
    for labels, value in scene.samples("violations"):
        if labels.get("namespace") == "evil" or labels["policy"].startswith("fake-"):
            fakes += 1
        elif labels["policy"] != "(other)":
            real[labels["policy"]] += int(value)
    assert real == {name: 11 if name in names[:10] and not namespaces else 5 for name in names}
    assert fakes <= SERIES_EACH
    assert (
        scene.ledger.finding_counts.violations.total()
        == sum(value for _, value in scene.samples("violations"))
        == 32_260
    )


def test_released_space_is_used_again() -> None:
    """When the names of a namespace end, others of it are shown again; few names are all shown."""
    scene = Scene()
    report(scene.ledger, "evil", [f"fake-{number}" for number in range(1_000)])
    scene.show()
    assert len(scene.series("violations")) == SERIES_EACH + 1
    report(scene.ledger, "evil", [f"more-{number}" for number in range(1_000)])
    scene.show()
    scene.show()
    shown = [labels["policy"] for labels in scene.series("violations")]
    assert len([name for name in shown if name.startswith("more-")]) == SERIES_EACH
    report(scene.ledger, "evil", [f"few-{number}" for number in range(SERIES_EACH)])
    scene.gauges.findings(scene.ledger, in_sync=True, sends=True, inventory=WALL)
    assert len(scene.series("violations")) == SERIES_EACH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("require-labels", "require-labels", id="a name"),
        pytest.param("", "", id="empty"),
        pytest.param("Grüße, 世界 \U0001f600", "Grüße, 世界 \U0001f600", id="letters of all languages"),
        pytest.param("a" * LABEL, "a" * LABEL, id="the longest"),
        pytest.param("a" * (LABEL + 1), None, id="too long"),
        pytest.param("a" * 1_000_000, None, id="far too long"),
        pytest.param("a\x1b[31m\n\u202eb", None, id="escapes and directions"),
        pytest.param("require-labels\u200b", None, id="looks like another"),
        pytest.param("\ud800", None, id="half a surrogate"),
    ],
)
def test_labels_are_short_and_printable(text: str, expected: str | None) -> None:
    """A value has at most 128 printable characters. A changed value stays distinct from all others."""
    value = label(text)
    assert value == expected or (expected is None and "~" in value)
    assert len(value) <= LABEL
    assert value.isprintable()
    assert value.encode().decode() == value
    assert expected is not None or label(f"{text}x") != value


def test_similar_labels_do_not_collide() -> None:
    """Two policies whose names differ after the 128th character, or in unprintable characters, have two series. Each
    ends with its violations.
    """
    scene = Scene()
    long = "p" * LABEL
    report(scene.ledger, "shop", [f"{long}1", f"{long}2", "short", "sho\x00rt"], objects=3)
    scene.show()
    assert [scene.get("violations", **{**m, "cluster": "alpha"}) for m in scene.series("violations")] == [3.0] * 4
    report(scene.ledger, "shop", ["short"])
    scene.show()
    assert [labels["policy"] for labels in scene.series("violations")] == ["short"]
    scene.gauges.forget()
    assert scene.series("violations") == []


def test_findings_follow_imports_and_the_inventory() -> None:
    """A sent finding is NEW with the engine's severity; the inventory adds the analysts' changes."""
    scene = Scene("CRITICAL", "HIGH", "HIGH")
    scene.send(0, 1, 2)
    scene.show()
    assert scene.get("findings", hub=HUB, workflow_status="NEW", severity="HIGH") == 2
    scene.inventory(v0=("NOTIFIED", "CRITICAL"), v1=("SUPPRESSED", "LOW"))
    scene.show()
    assert scene.get("findings", hub=HUB, workflow_status="NOTIFIED", severity="CRITICAL") == 1
    assert scene.get("findings", hub=HUB, workflow_status="SUPPRESSED", severity="LOW") == 1
    assert scene.get("findings", hub=HUB, workflow_status="NEW", severity="HIGH") == 1
    assert scene.get("inventory_timestamp_seconds", hub=HUB) == NOW / 1000


def test_triage_is_not_shown_before_it_was_read() -> None:
    """Before an inventory is complete there is no series of findings, so that none looks unsuppressed."""
    scene = Scene("HIGH")
    scene.show(inventory=WallMs(0))
    assert scene.series("findings") == scene.series("inventory_timestamp_seconds") == []


def test_relapse_makes_notified_new_and_keeps_suppressed() -> None:
    """As in Security Hub: a reactivated finding is NEW, unless it is suppressed."""
    scene = Scene("HIGH", "HIGH")
    scene.send(0, 1)
    scene.inventory(v0=("NOTIFIED", "HIGH"), v1=("SUPPRESSED", "HIGH"))
    scene.say()
    scene.send(0, 1)
    assert not +scene.ledger.finding_counts.triage
    scene.say("HIGH", "HIGH")
    scene.send(0, 1)
    assert +scene.ledger.finding_counts.triage == {("NEW", "HIGH"): 1, ("SUPPRESSED", "HIGH"): 1}


def test_severity_follows_the_engine_until_an_analyst_changes_it() -> None:
    """A policy that becomes critical makes its findings critical at once, except those that an analyst has rated."""
    scene = Scene("HIGH", "HIGH")
    scene.send(0, 1)
    scene.inventory(v1=("NOTIFIED", "LOW"))
    scene.say("CRITICAL", "CRITICAL")
    assert +scene.ledger.finding_counts.triage == {("NEW", "CRITICAL"): 1, ("NOTIFIED", "LOW"): 1}


def test_ages_and_deadlines_leave_suppressed_findings_out() -> None:
    """Violations older than their severity's days are past their SLA; suppressed ones are not, resolved ones are."""
    scene = Scene(*["CRITICAL"] * 10)
    scene.send(*range(10))
    scene.show()
    assert scene.get("violations_past_sla", severity="CRITICAL") == 2  # 8 and 9 days old, 7 allowed
    assert scene.get("violations_past_sla", severity="HIGH") == 0
    assert scene.get("violations_past_sla", severity="LOW") is None
    assert scene.get("sla_seconds", severity="CRITICAL") == 7 * DAY
    scene.inventory(v9=("SUPPRESSED", "CRITICAL"), v8=("RESOLVED", "CRITICAL"))
    scene.show()
    assert scene.get("violations_past_sla", severity="CRITICAL") == 1
    assert scene.get("violation_age_seconds_gcount", severity="CRITICAL") == 9
    assert scene.get("violation_age_seconds_gsum", severity="CRITICAL") == sum(range(9)) * DAY
    buckets = {le: scene.get("violation_age_seconds_bucket", severity="CRITICAL", le=str(le * DAY)) for le in (1, 2, 7)}
    assert buckets == {1: 2, 2: 3, 7: 8}


def test_an_analysts_severity_decides_the_deadline() -> None:
    """A finding that an analyst has rated lower has the deadline of that severity."""
    scene = Scene(*["CRITICAL"] * 10)
    scene.send(*range(10))
    scene.inventory(v9=("NEW", "HIGH"))
    scene.show()
    assert scene.get("violations_past_sla", severity="CRITICAL") == 1
    assert scene.get("violations_past_sla", severity="HIGH") == 0


def test_pending_findings_and_the_oldest_of_them() -> None:
    """Pending findings are counted by lane, with the age of the oldest; none is pending after it was sent."""
    scene = Scene("HIGH", "HIGH")
    scene.show()
    assert scene.get("findings_pending", hub=HUB, lane="urgent") == 2
    assert scene.get("oldest_pending_seconds", hub=HUB) == 5
    assert scene.get("in_sync") == 0
    scene.show(sends=False)
    assert scene.get("oldest_pending_seconds", hub=HUB) == 0  # a dry run is not late
    scene.send(0, 1)
    for number in (0, 1):
        scene.ledger.mark_decided(scene.ledger.entries[id_of(number)], None)
    scene.show(in_sync=True)
    assert scene.get("findings_pending", hub=HUB, lane="urgent") == 0
    assert scene.get("oldest_pending_seconds", hub=HUB) == 0
    assert scene.get("in_sync") == 1


def test_unread_findings_are_in_their_own_lane() -> None:
    """Findings that the inventory has not reached are pending as `unread`."""
    scene = Scene("HIGH", read=False)
    scene.show()
    assert scene.get("findings_pending", hub=HUB, lane="unread") == 1


def test_rejected_and_held_findings_are_counted() -> None:
    """Findings that Security Hub rejects, and those that may not be archived yet, are counted, the latter by reason."""
    scene = Scene("HIGH", "HIGH")
    scene.send(1)
    refused = scene.ledger.entries[id_of(0)]
    scene.ledger.mark_in_flight(refused)
    scene.ledger.reject(refused, refused.digest)
    scene.ledger.mark_decided(refused, Hold("rejected"))
    scene.say("HIGH")
    scene.ledger.mark_decided(scene.ledger.entries[id_of(1)], Hold("guard"))
    scene.show()
    assert scene.get("findings_refused") == 1
    assert scene.get("archives_held", reason="guard") == 1
    scene.ledger.mark_decided(scene.ledger.entries[id_of(1)], Hold("archive_delay"))
    scene.show()
    assert [labels["reason"] for labels in scene.series("archives_held")] == ["archive_delay"]


def test_source_states() -> None:
    """Each API with its reason, its last list, its engines' newest results, and Gatekeeper's unlisted violations."""
    scene = Scene()
    reports, pods = "policyreports.wgpolicyk8s.io", "k8spods.constraints.gatekeeper.sh"
    whole = SourceGauges(source_api=reports, last_listed=WALL, newest_by={"kyverno": 1, "trivy": 2})
    cut = SourceGauges(source_api=pods, constraint_kind="K8sPods", unlisted=7, newest_by={"gatekeeper": 3})
    scene.gauges.sources([whole, cut], unknown=["openreports.io"])
    assert scene.get("source_complete", source=reports, reason="") == 1
    assert scene.get("source_complete", source="openreports.io", reason="DiscoveryFailed") == 0
    assert scene.get("last_complete_listing_timestamp_seconds", source=reports) == NOW / 1000
    assert scene.get("newest_result_timestamp_seconds", source=reports, engine="trivy") == 2
    assert scene.get("newest_result_timestamp_seconds", source=pods, engine="gatekeeper") == 3
    assert scene.get("constraint_violations_unlisted", constraint_kind="K8sPods") == 7
    scene.gauges.sources([SourceGauges(source_api=reports, problem="ListingForbidden", last_listed=WALL)], unknown=[])
    assert scene.series("source_complete") == [
        {"cluster": "alpha", "source": reports, "reason": "ListingForbidden"},
    ]


def test_conditions_replace_each_other() -> None:
    """A condition has one series, of its current status and reason."""
    scene = Scene()
    scene.metrics.set_conditions("alpha", [("Ready", "False", "Listing"), ("Connected", "True", "Connected")])
    scene.metrics.set_conditions("alpha", [("Ready", "True", "AllWell")])
    assert scene.series("condition") == [
        {"cluster": "alpha", "condition": "Ready", "status": "True", "reason": "AllWell"}
    ]


def test_a_forgotten_cluster_leaves_no_gauge() -> None:
    """When a cluster is released, every series that describes it is gone; another cluster's stay."""
    scene = Scene("HIGH")
    scene.send(0)
    scene.show()
    scene.gauges.sources([SourceGauges(source_api="o", last_listed=WALL)], unknown=[])
    scene.metrics.set_conditions("alpha", [("Ready", "True", "AllWell")])
    scene.metrics.set_conditions("beta", [("Ready", "True", "AllWell")])
    scene.gauges.forget()
    left = {s.labels["cluster"] for f in scene.registry.collect() for s in f.samples if "cluster" in s.labels}
    assert left == {"beta"}
    scene.show()
    assert scene.get("violations", source="kyverno", policy="p", severity="HIGH") == 1


@pytest.mark.parametrize("change", list(Change))
def test_counters_and_histograms_have_their_labels(change: Change) -> None:
    """The counts of the hub and the sources are exposed under the defined names."""
    scene = Scene()
    m = scene.metrics
    m.findings_sent.labels(HUB, change).inc()
    m.delivery_seconds.labels(HUB, change).observe(1)
    m.findings_rejected.labels(HUB, "InvalidInput").inc()
    m.hub_requests.labels(HUB, "GetFindings", "OK").inc()
    m.hub_request_seconds.labels(HUB, "GetFindings", "OK").observe(0.1)
    m.hub_rate_limit.labels(HUB, "GetFindings").set(2.4)
    m.watch_events.labels("alpha", "o", "semantic").inc()
    m.source_objects_malformed.labels("alpha", "o", "malformed-object").inc()
    get = scene.registry.get_sample_value
    assert get("policyhub_findings_sent_total", {"hub": HUB, "change": change}) == 1
    assert get("policyhub_delivery_seconds_count", {"hub": HUB, "change": change}) == 1
    assert get("policyhub_build_info", {"version": "1.2.3"}) == 1


def test_every_metric_that_is_exposed_is_defined() -> None:
    """The definitions have each metric of ours with its type and labels, and no other."""
    scene = Scene("HIGH")
    test_counters_and_histograms_have_their_labels(Change.NEW)
    scene.show()
    exposed = {f.name for f in scene.registry.collect() if f.name.startswith("policyhub_")}
    assert exposed == {d.name.removesuffix("_total") for d in scene.metrics.definitions}
    assert len(exposed) == len(scene.metrics.definitions)


def test_prometheus_can_parse_the_exposition() -> None:
    """The text format of all metrics parses, including the gauge histogram with cumulative buckets."""
    scene = Scene("HIGH", "HIGH", "CRITICAL")
    scene.show()
    text = generate_latest(scene.registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ages = families["policyhub_violation_age_seconds"]
    high = [s.value for s in ages.samples if s.name.endswith("_bucket") and s.labels["severity"] == "HIGH"]
    assert high == sorted(high)
    assert high[-1] == 2


@pytest.mark.parametrize("ahead", [-30 * DAYS, 30 * DAYS], ids=["put back", "put forward"])
def test_the_age_of_a_violation_without_a_time(ahead: int) -> None:
    """Its report has none, and Security Hub has not acknowledged it: it is counted by the monotonic clock, whatever the
    wall clock was set to.
    """
    scene = Scene()
    key = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "report")
    scene.ledger.read(key, [(violation(0, "CRITICAL"), None)], complete=True, passed=frozenset, now=NOW - 5000)
    statistics = AgeStatistics(sla_days=SLA, now=NOW, wall_clock=WALL + ahead, namespaces=False)
    for entry in scene.ledger.entries.values():
        statistics.count(entry)
    assert statistics.ages["CRITICAL"].seconds == 5
    assert statistics.past_sla["CRITICAL"] == 0
