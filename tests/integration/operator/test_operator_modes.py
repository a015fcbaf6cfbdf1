"""One operator, one cluster, and several MonitoredClusters with different modes and filters."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import World, outcomes, report, result

FILTERS: dict[str, Any] = {
    "namespaces": {"exclude": ["kube-*", "bank"]},
    "results": ["fail", "error"],
    "minimumSeverity": "medium",
    "sources": {"exclude": ["OtherEngine"], "openReports": False},
}


@pytest.fixture(scope="module")
def live(home: World) -> Iterator[World]:
    """`alpha` sends everything, `keeping` archives nothing, `dry` sends nothing, `picky` filters."""
    home.clear()
    home.monitor(archiveDelay="1s")
    home.monitor("keeping", archiveDelay="1s", mode="NoArchive")
    home.monitor("dry", archiveDelay="1s", mode="DryRun")
    home.monitor("picky", archiveDelay="1s", **FILTERS)
    home.start()
    for name in ("alpha", "keeping", "picky"):
        home.synced(name)
    yield home
    home.clear()


def test_no_archive(live: World) -> None:
    """Mode NoArchive creates and changes findings and archives none, whether a result passes or disappears."""
    live.apply(*(workload("Deployment", name) for name in ("gone", "fixed", "changed")))
    gone = report("gone", result("mode"))
    live.apply(gone, report("fixed", result("mode")), report("changed", result("mode")))
    live.await_states("mode", cluster="keeping", gone="ACTIVE", fixed="ACTIVE", changed="ACTIVE")
    live.delete(gone, workload("Deployment", "gone"))
    live.apply(report("fixed", result("mode", result="pass")), report("changed", result("mode", severity="high")))
    live.await_states("mode", gone="ARCHIVED", fixed="ARCHIVED", changed="ACTIVE")
    live.until(lambda: live.of("mode", cluster="keeping")["changed"]["Severity"]["Label"] == "HIGH", "the change")
    assert set(live.states("mode", cluster="keeping").values()) == {"ACTIVE"}
    live.until(lambda: live.monitored("keeping")["status"]["findings"]["held"] == 2, "the status to count both")
    live.synced("keeping")


def test_dry_run(live: World) -> None:
    """Mode DryRun sends nothing, is Ready, and its status counts the findings that it would send."""
    live.apply(report("web", result("dry"), result("dry-too")))
    live.await_states("dry", web="ACTIVE")
    output = live.await_condition("InSync", "False", reason="DryRun", name="dry")
    assert "nothing is sent" in output["message"]
    live.await_condition("Ready", "True", reason="DryRun", name="dry")

    def would() -> bool:
        status = live.monitored("dry")["status"]
        active, pending = status["findings"]["active"], status["findings"]["pending"]
        nothing_else = {"create": active, "reopen": 0, "update": 0, "archive": 0}
        return bool(status["wouldSend"] == nothing_else and pending == active)

    live.until(would, "the status to count what would be sent")
    assert live.operator.metric("policyhub_oldest_pending_seconds", cluster="dry") == 0
    assert "wouldSend" not in live.monitored("alpha")["status"]
    live.until(
        lambda: (
            live.monitored("dry")["status"]["findings"]["active"]
            == live.monitored("alpha")["status"]["findings"]["active"]
        ),
        "the same number of findings",
    )
    assert live.found(cluster="dry") == {}


def test_filters(live: World) -> None:
    """Only violations that pass the filters of namespace, result, severity, engine and API become findings. Removing a
    filter lets the others in without sending anything again; adding it again archives them after the delay.
    """
    other = report("engine", result("filter", source="OtherEngine"))
    live.apply(
        report("wanted", result("filter")),
        report("broken", result("filter", result="error", severity="critical")),
        report("banked", result("filter"), namespace="bank"),
        report("kube-public", result("filter"), kind="ClusterPolicyReport"),
        report("warned", result("filter", result="warn")),
        report("low", result("filter", severity="low")),
        report("unknown", result("filter", severity=None)),
        other,
        report("open", result("filter"), kind="Report"),
        report("last", result("filter")),
    )
    expected = dict.fromkeys(("wanted", "broken", "unknown", "last"), "ACTIVE")
    live.await_states("filter", cluster="picky", **expected)
    everything = {*expected, "banked", "kube-public", "warned", "low", "engine", "open"}
    live.await_states("filter", **dict.fromkeys(everything, "ACTIVE"))
    live.synced("picky")
    assert live.states("filter", cluster="picky") == expected

    mark = live.mark()
    live.monitor("picky", archiveDelay="1s", **{**FILTERS, "namespaces": {"exclude": ["kube-*"]}})
    live.await_states("filter", cluster="picky", **expected, banked="ACTIVE")
    assert outcomes(live.journal(mark)) == ["created"]
    live.monitor("picky", archiveDelay="1s", **FILTERS)
    live.await_states("filter", cluster="picky", **expected, banked="ARCHIVED")
    assert outcomes(live.journal(mark)) == ["archived", "created"]


def test_a_changed_mode(live: World) -> None:
    """A MonitoredCluster that changes from DryRun to Sync then sends its findings."""
    live.monitor("dry", archiveDelay="1s", mode="Sync")
    live.synced("dry")
    live.until(lambda: "wouldSend" not in live.monitored("dry")["status"], "the numbers of the dry run to go")
    assert set(live.found(cluster="dry")) == set(live.found(state="ACTIVE"))
