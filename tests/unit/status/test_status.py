"""The status of a MonitoredCluster: whatever the operator reads, the API server accepts the status that it builds."""

import random
import shlex
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Condition, ConditionType, Status, status_patch
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.capture import snapshot_of
from policyhub.cluster.conflict import ADOPT_ANNOTATION, adopted
from policyhub.cluster.runner import DataPlane, Work
from policyhub.cluster.site import Site
from policyhub.cluster.sources import Source
from policyhub.cluster.tick import _seen as seen
from policyhub.control import status
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.securityhub.client import HubClient
from policyhub.settings import Settings
from policyhub.sync.engine import Engine
from policyhub.sync.entry import Observation, ObservedFinding
from policyhub.sync.guard import GuardHold
from policyhub.sync.ledger import Ledger
from policyhub.sync.quarantine import CONFLICT_ABOVE
from tests.unit.sync.test_ledger import id_of, report

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
MONTH_MS = 30 * 24 * 3_600_000
LONG = "!" + "x" * 33_000
ODD = "\x1b[31mred\u202e\x00"


def plane(**annotations: str) -> DataPlane:
    """A connected data plane that has read everything and has nothing to send."""
    monitored = MonitoredCluster.model_validate(
        {
            "metadata": {"name": "alpha", "annotations": annotations},
            "spec": {"connection": {"inCluster": {}}, "rollUp": False},
        }
    )
    site = Site(
        monitored=monitored,
        account="111122223333",
        region="eu-west-1",
        hub=cast("HubClient", SimpleNamespace(partition="aws", product_arn="p")),
        engine=cast(
            "Engine",
            SimpleNamespace(hub_name="hub", problem=None, read_problem=None, wake=lambda: None, acknowledged=None),
        ),
        settings=Settings(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: NOW,
        wall=lambda: WALL,
        rng=random.Random(1),  # noqa: S311  (jitter)
    )
    made = DataPlane(site, connect=lambda: pytest.fail("nothing is connected here"))
    made.record()
    state = made.state
    state.connection = state.account = state.discovery = state.inventory = None
    state.cluster_uid = "uid-1"
    feed = made.begin().queue
    feed.ledger.observed.take_part("", [], now=NOW)
    feed.ledger.sources.set_reports_listed(listed=True)
    feed.sends = True
    work(made).sources.watched["served"] = source("served")
    return made


def work(made: DataPlane) -> Work:
    assert made.work is not None
    return made.work


def ledger(made: DataPlane) -> Ledger:
    assert made.ledger is not None
    return made.ledger


def source(plural: str, *, problem: Cause | None = None, newest: int = NOW // 1000) -> Source:
    reflector: Any = SimpleNamespace(state=ReflectorState(cause=problem), counters=SimpleNamespace(objects=1))
    view: Any = SimpleNamespace(
        last_listed=NOW, listed_at=WALL + MONTH_MS, newest=newest, newest_by={}, unlisted={}, unaudited={}
    )
    return Source(Resource(CONSTRAINTS, "v1beta1", plural, "Kind", False), view, reflector, cast("Any", None))


def build(made: DataPlane) -> Status:
    return status.build(snapshot_of(made, now=NOW), previous={}, generation=1, now=NOW, wall=WALL)


def condition(built: Status, type_: str) -> Condition:
    return next(condition for condition in built.conditions if condition.type == type_)


def status_and_reason(built: Status, type_: str) -> tuple[str, str]:
    found = condition(built, type_)
    return found.status, found.reason


def test_all_is_well() -> None:
    """The base of the other tests: Ready, and no conflict."""
    built = build(plane())
    assert status_and_reason(built, "Ready") == ("True", "AllWell")
    assert status_and_reason(built, "IdentityConflict") == ("False", "NoConflict")


def _guard(made: DataPlane) -> None:
    for number in range(9):
        ledger(made).guard._held[f"{number}{LONG}{ODD}", ""] = GuardHold(since=NOW, lost=20, total=20)


def _connection(made: DataPlane) -> None:
    made.state.connection = Cause(Reason.API_ERROR, LONG + ODD)


def _hub(made: DataPlane) -> None:
    made.state.account = Cause(Reason.ACCESS_DENIED, ODD + LONG * 20)


def _uid(made: DataPlane) -> None:
    made.state.cluster_uid = LONG + ODD


def _frozen(made: DataPlane) -> None:
    work(made).sources.watched["x"] = source("x")
    ledger(made).desired.superseded = frozenset((f"{number}{LONG}", "openreports.io", "shop") for number in range(50))


def _sources(made: DataPlane) -> None:
    for number in range(2_000):
        work(made).sources.watched[f"{number}"] = source(f"k{number:04}" + "x" * 250)


def _named(made: DataPlane) -> None:
    for plural in (LONG, ODD, "", "Upper", "a b", "-a", "ok"):
        work(made).sources.watched[plural] = source(plural)


def _troubled(made: DataPlane) -> None:
    bad = Cause(Reason.LISTING_FAILED, LONG + ODD)
    for number in range(2_000):
        work(made).sources.watched[f"{number}{LONG}"] = source(f"k{number}", problem=bad)


def _times(made: DataPlane) -> None:
    work(made).sources.watched["x"] = source("x", newest=10**15)


def _foreign(made: DataPlane) -> None:
    for number in range(5):
        ledger(made).observed.take_foreign(
            f"policyhub/alpha/{number}{LONG}", f"{ODD}{LONG}{number}", archived=False, now=NOW
        )


def _other(made: DataPlane) -> None:
    for number in range(CONFLICT_ABOVE + 1):
        ledger(made).observed.take_foreign(f"policyhub/alpha/{number}", ODD + LONG, archived=False, now=NOW)


def _rivals(made: DataPlane) -> None:
    made.rivals = tuple(f"{number}" + "x" * 250 for number in range(5_000))


@pytest.mark.parametrize(
    "harm",
    [_guard, _connection, _hub, _uid, _frozen, _sources, _named, _troubled, _times, _foreign, _other, _rivals],
)
def test_any_input_makes_a_valid_status(harm: Any) -> None:
    """No text of a cluster, an engine, a producer or AWS makes a status that cannot be built or is rejected."""
    made = plane()
    harm(made)
    built = build(made)
    assert all(len(each.message) <= status.MESSAGE for each in built.conditions)
    assert not any(signature in each.message for each in built.conditions for signature in "\x1b\u202e\x00")
    names = [each.resource for each in built.sources]
    assert len(names) == len(set(names)) <= 1024
    assert all(name.isascii() and name.isprintable() and len(name) <= 317 for name in names)
    assert len(msgspec.json.encode(status_patch(built))) < 500_000
    Status.model_validate(status_patch(built)["status"])


def test_the_longest_status_is_small_enough() -> None:
    """All conditions and sources at their longest have less than 500 kB, in whatever script."""
    made = plane()
    _sources(made)
    long = Cause(Reason.FAULT, "\U0001f600" * 50_000)
    made.state.connection = made.state.account = made.state.discovery = made.state.inventory = long
    built = build(made)
    worst = status.failed(1, long.message, previous={}, wall=WALL)
    assert len(msgspec.json.encode(status_patch(built))) < 500_000
    both = {**status_patch(built)["status"], "conditions": status_patch(worst)["status"]["conditions"]}
    assert len(msgspec.json.encode(both)) < 500_000


@pytest.mark.parametrize(
    ("harm", "type_", "expected_text"),
    [
        pytest.param(_sources, "SourcesComplete", "status.sources shows 50 of 2,001", id="sources beyond the list"),
        pytest.param(
            _named,
            "SourcesComplete",
            "shows 2 of 8, those with a problem first; 6 with an invalid",
            id="sources named otherwise",
        ),
        pytest.param(_uid, "Connected", "not shown", id="uid"),
    ],
)
def test_omissions_are_reported(harm: Any, type_: ConditionType, expected_text: str) -> None:
    """What the API server would reject is left out of the status, and a condition says so."""
    made = plane()
    harm(made)
    built = build(made)
    assert expected_text in condition(built, type_).message
    if harm is _named:
        assert [each.resource for each in built.sources] == [f"{it}.v1beta1.{CONSTRAINTS}" for it in ("ok", "served")]
    if harm is _uid:
        assert built.cluster_uid is None


def test_a_foreign_finding_does_not_stop_the_cluster() -> None:
    """One that the cluster does not report: Ready stays True with a reason that asks for action."""
    made = plane()
    ledger(made).observed.take_foreign(id_of(1), "uid-2", archived=False, now=NOW)
    built = build(made)
    assert status_and_reason(built, "Ready") == ("True", "ForeignFindings")
    assert status_and_reason(built, "InSync") == ("True", "InSync")
    assert status_and_reason(built, "IdentityConflict") == ("True", "ForeignFindings")
    message = condition(built, "IdentityConflict").message
    for part in ("1 finding in Security Hub has this", id_of(1), "uid-2", f"{ADOPT_ANNOTATION}=uid-2", "archive"):
        assert part in message


def test_a_foreign_finding_that_the_cluster_reports() -> None:
    """It cannot be sent: Security Hub does not match the cluster, and Ready says why."""
    made = plane()
    report(ledger(made), "a", [1])
    ledger(made).agenda.dirty.clear()
    ledger(made).observed.take_foreign(id_of(1), "uid-2", archived=False, now=NOW)
    ledger(made).agenda.dirty.clear()
    built = build(made)
    assert status_and_reason(built, "InSync") == ("False", "FindingsQuarantined")
    assert status_and_reason(built, "Ready") == ("False", "FindingsQuarantined")
    assert status_and_reason(built, "IdentityConflict") == ("True", "ForeignFindings")
    assert not made.in_sync


def test_many_foreign_findings_stop_the_cluster() -> None:
    """Another active cluster: Ready is False with both remedies."""
    made = plane()
    _other(made)
    built = build(made)
    assert status_and_reason(built, "Ready") == ("False", "OtherCluster")
    assert status_and_reason(built, "InSync") == ("False", "IdentityConflict")


@pytest.mark.parametrize(
    ("uid", "before", "after"),
    [
        pytest.param("uid-2", "", {"uid-2"}, id="a uid"),
        pytest.param("", "", {""}, id="no uid"),
        pytest.param("", "uid-0, uid-9", {"uid-0", "uid-9", ""}, id="beside others"),
    ],
)
def test_the_command_adopts_the_uids_it_names(uid: str, before: str, after: set[str]) -> None:
    """In a shell it is one command, its annotation is read as the intended uids, and keeps earlier ones."""
    made = plane(**{ADOPT_ANNOTATION: before} if before else {})
    ledger(made).observed.take_foreign(id_of(1), uid, archived=False, now=NOW)
    message = condition(build(made), "IdentityConflict").message
    command = message.partition("take it over: ")[2]
    *start, annotation = shlex.split(command)
    assert start == ["kubectl", "annotate", "--overwrite", "monitoredcluster", "alpha"]
    name, _, value = annotation.partition("=")
    assert adopted({name: value}) == after


@pytest.mark.parametrize("uid", ["x; rm -rf /", "$(id)", "'`id`'", "a,b", ODD])
def test_no_command_contains_an_invalid_uid(uid: str) -> None:
    """Whoever can write findings cannot write into an admin's shell."""
    made = plane()
    ledger(made).observed.take_foreign(id_of(1), uid, archived=False, now=NOW)
    assert "kubectl" not in condition(build(made), "IdentityConflict").message


def test_the_older_of_two_continues() -> None:
    """The older one stays Ready and names the younger; the younger sends nothing and names the older."""
    older, younger = plane(), plane()
    older.claim(older="", younger=("beta",), unlisted=False)
    younger.claim(older="alpha", younger=(), unlisted=False)
    assert status_and_reason(build(older), "Ready") == ("True", "AllWell")
    assert status_and_reason(build(older), "IdentityConflict") == ("True", "AlsoClaimed")
    assert "beta" in condition(build(older), "IdentityConflict").message
    assert status_and_reason(build(younger), "Ready") == ("False", "ClaimedTwice")
    assert "alpha" in condition(build(younger), "IdentityConflict").message
    assert work(older).queue.sends
    assert not work(younger).queue.sends


def test_nothing_is_sent_before_all_were_listed() -> None:
    """An older one may exist without an event so far."""
    made = plane()
    made.claim(older="", younger=(), unlisted=True)
    assert not work(made).queue.sends
    assert status_and_reason(build(made), "InSync") == ("False", "Starting")


def test_nothing_is_sent_before_the_restart_after_another_operator() -> None:
    """The status has the true reason."""
    made = plane()
    made.claim(older="", younger=(), unlisted=False, restarts=True)
    assert not work(made).queue.sends
    assert status_and_reason(build(made), "InSync") == ("False", "Starting")
    assert "starts again" in condition(build(made), "InSync").message


@pytest.mark.parametrize("reason", [Reason.RETIRING, Reason.RETIRE_FAILED])
def test_the_message_of_a_retiring_cluster(reason: Reason) -> None:
    """Its findings are being archived, and the message says what is left to do."""
    built = status.refused(1, Cause(reason, "3 findings are archived"), previous={}, kept=Status(), wall=WALL)
    assert condition(built, "Ready").message == "3 findings are archived"


def test_a_failed_status_has_nothing_else() -> None:
    """Ready is False, all others are Unknown, and earlier numbers and sources go; identity and hub stay."""
    fresh = status.failed(3, f"it cannot be built ({LONG})", previous={}, wall=WALL)
    assert {(c.type, c.status) for c in fresh.conditions if c.type == "Ready"} == {("Ready", "False")}
    assert {c.status for c in fresh.conditions if c.type != "Ready"} == {"Unknown"}
    assert {c.reason for c in fresh.conditions} == {"StatusFailed"}
    assert {c.type for c in fresh.conditions} == {c.type for c in build(plane()).conditions}
    body = status.failed_patch(fresh)["status"]
    assert body["findings"] is None
    assert body["sources"] == []
    assert not {"identity", "hub", "clusterUid"} & body.keys()


def test_the_time_of_a_list_is_wall_clock_time() -> None:
    """In status and metric, although delays are measured by the monotonic clock."""
    made = plane()
    assert made.work is not None
    listed = source("k8spsp")
    made.work.sources.watched[listed.resource.group_resource] = listed
    output = build(made).sources[0]
    assert output.last_listed == datetime.fromtimestamp((WALL + MONTH_MS) // 1000, UTC)
    assert seen(listed, frozenset()).last_listed == WALL + MONTH_MS


def test_no_alert_for_engines_without_usable_times() -> None:
    """PolicyhubEngineSilent uses this gauge: it omits excluded engines, event logs unless configured, and engines whose
    times do not change, as with Trivy's adapter (model/engines.py).
    """
    listed = source("policyreports")
    listed.view.newest_by.update({"kyverno": 1, "Falco": 1, "Tracee": 1, "Trivy Compliance": 1})
    assert seen(listed, frozenset({"falco"}), events=False).newest_by == {"kyverno": 1}
    assert seen(listed, frozenset(), events=True).newest_by == {"kyverno": 1, "Falco": 1, "Tracee": 1}


def test_open_counts_what_security_hub_has() -> None:
    """Not the desired findings: an unsent one is not open, and one that nobody reports any more is."""
    made = plane()
    work(made).inventory.began_at = WALL
    report(ledger(made), "a", [1])
    unsent = build(made).findings
    assert unsent is not None
    assert (unsent.active, unsent.pending, unsent.open) == (1, 1, 0)
    known = ObservedFinding("digest", WallMs(1), WallMs(2), archived=False)
    ledger(made).observed.take_read([Observation(id_of(2), known, "uid-1", "origin", "r2")], now=NOW)
    held = build(made).findings
    assert held is not None
    assert (held.active, held.open) == (1, 1)
    report(ledger(made), "a", [])
    ledger(made).agenda.dirty.clear()
    left = build(made).findings
    assert left is not None
    assert (left.active, left.open) == (0, 1)
