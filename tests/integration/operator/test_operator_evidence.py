"""Bulk losses: many findings at once, whole namespaces, and superseded reports of an engine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.test_operator_archive import outlast_the_delay
from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import CLUSTERS, World, held, report, result

DELAY_SECONDS = 2
MANY = 30
APPROVE = "policyhub.dev/approve-archive"


@pytest.fixture(scope="module")
def live(home: World) -> Iterator[World]:
    """A running operator. Every test has its own engine, because the guard counts per engine."""
    home.clear()
    home.monitor(archiveDelay=f"{DELAY_SECONDS}s")
    home.start()
    home.synced()
    yield home
    home.clear()


def result_of(engine: str, *, hours_ago: float = 0, **members: Any) -> dict[str, Any]:
    """A result of an engine; the policy has the engine's name."""
    stamp = {"seconds": int(time.time() - hours_ago * 3600), "nanos": 0}
    return {**result(engine, **members), "source": engine, "timestamp": stamp}


def objects(engine: str, namespace: str = "shop") -> list[dict[str, Any]]:
    """The objects of the reports of an engine."""
    return [workload("Deployment", f"{engine}-{n}", namespace=namespace) for n in range(MANY)]


def approve(world: World, value: str) -> None:
    world.cluster.request("PATCH", f"{CLUSTERS}/alpha", {"metadata": {"annotations": {APPROVE: value}}})


def count(world: World, engine: str, state: str) -> int:
    return list(world.states(engine).values()).count(state)


def test_a_bulk_loss_waits_for_approval(live: World, tmp_path: Path) -> None:
    """An engine writes all its reports again without results: if its policies cannot be read and the objects exist, all
    its findings are held, with numbers and the remedy. An approval of another engine, or an expired one, changes
    nothing; the right one archives them.
    """
    live.apply(*objects("rewritten"))
    live.apply(*(report(f"rewritten-{n}", result_of("rewritten")) for n in range(MANY)))
    live.until(lambda: count(live, "rewritten", "ACTIVE") == MANY, "the findings")
    live.apply(*(report(f"rewritten-{n}") for n in range(MANY)))
    output = live.await_condition("ArchiveHeld", "True", reason="TooManyLost")
    assert f"rewritten: {MANY} of {MANY} active findings" in output["message"]
    live.until(lambda: held(live, "guard") == MANY, "the metric to change")
    now = datetime.now(UTC)
    approve(live, f"kyverno@{now.replace(year=now.year + 1):%Y-%m-%dT%H:%M:%SZ},rewritten@{now:%Y-%m-%dT%H:%M:%SZ}")
    outlast_the_delay(live, "guard-clock")
    assert count(live, "rewritten", "ACTIVE") == MANY
    command = [sys.executable, "-m", "policyhub", "archive", "alpha", "--approve", "rewritten"]
    config = live.cluster.kubeconfig_file(tmp_path / "admin.kubeconfig")
    subprocess.run(command, env={**os.environ, "KUBECONFIG": str(config)}, check=True)  # noqa: S603  (our own)
    annotations = live.cluster.request("GET", f"{CLUSTERS}/alpha")["metadata"]["annotations"]
    assert annotations[APPROVE].startswith("kyverno@")  # the other approval stays in effect, the expired one is gone
    live.until(lambda: count(live, "rewritten", "ARCHIVED") == MANY, "the approved ones to be archived")
    live.await_condition("ArchiveHeld", "False", reason="NothingHeld")
    approve(live, "")


def test_returning_results_need_no_approval(live: World) -> None:
    """When the results are written again nothing has been sent; findings whose results did not return are archived."""
    live.apply(*objects("restored"))
    live.apply(*(report(f"restored-{n}", result_of("restored")) for n in range(MANY)))
    live.until(lambda: count(live, "restored", "ACTIVE") == MANY, "the findings")
    live.synced()
    mark = live.mark()
    live.apply(*(report(f"restored-{n}") for n in range(MANY)))
    live.until(lambda: held(live, "guard") == MANY, "the guard to hold them")
    live.apply(*(report(f"restored-{n}", result_of("restored")) for n in range(1, MANY)))
    live.until(lambda: count(live, "restored", "ARCHIVED") == 1, "the one that is missing to be archived")
    assert live.states("restored")["restored-0"] == "ARCHIVED"
    assert [entry["outcome"] for entry in live.journal(mark)] == ["archived"]


def test_deleted_reports_are_no_evidence(live: World) -> None:
    """When an engine that lost all its reports writes them again nothing has been sent. Results that did not return are
    held, however few: they are archived when their object is deleted, or after approval.
    """
    live.apply(*objects("reinstalled"))
    reports = [report(f"reinstalled-{n}", result_of("reinstalled")) for n in range(MANY)]
    live.apply(*reports)
    live.until(lambda: count(live, "reinstalled", "ACTIVE") == MANY, "the findings")
    live.synced()
    mark = live.mark()
    live.delete(*reports, workload("Deployment", "reinstalled-0"))
    live.until(lambda: held(live, "unreported") == MANY - 1, "all others to be held")
    live.apply(*reports[2:])
    live.until(lambda: held(live, "unreported") == 1, "those to come back")
    live.until(lambda: count(live, "reinstalled", "ARCHIVED") == 1, "the one whose object is gone to be archived")
    assert live.states("reinstalled")["reinstalled-0"] == "ARCHIVED"
    assert held(live, "unreported") == 1
    approve(live, f"reinstalled@{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}")
    live.until(lambda: count(live, "reinstalled", "ARCHIVED") == 2, "the approved one to be archived")
    assert live.states("reinstalled")["reinstalled-1"] == "ARCHIVED"
    assert [entry["outcome"] for entry in live.journal(mark)] == ["archived", "archived"]
    approve(live, "")


def test_a_deleted_namespace_needs_no_approval(live: World) -> None:
    """Its findings are archived after the delay, however many there are."""
    live.apply(*objects("tenant", "tenant"))
    reports = [report(f"tenant-{n}", result_of("tenant"), namespace="tenant") for n in range(MANY)]
    live.apply(*reports)
    live.until(lambda: count(live, "tenant", "ACTIVE") == MANY, "the findings")
    live.delete(*reports)
    live.until(lambda: held(live, "unreported") == MANY, "all to be held")
    live.end_space("tenant")
    live.until(lambda: count(live, "tenant", "ARCHIVED") == MANY, "the findings to be archived")


def test_superseded_reports_are_ignored(live: World) -> None:
    """When an engine writes openreports only, its superseded reports of the other group keep no finding active that its
    next scan passes, and the condition says that they can be deleted; a failure in both APIs is one finding throughout.
    """
    live.apply(*(workload("Deployment", name) for name in ("fixed", "failing", "live")))
    live.apply(
        report("fixed", result_of("switched", hours_ago=5)),
        report("failing", result_of("switched", hours_ago=5)),
        report("live", result_of("switched", hours_ago=5)),
    )
    live.await_states("switched", fixed="ACTIVE", failing="ACTIVE", live="ACTIVE")
    live.synced()
    live.apply(
        report("fixed", result_of("switched", result="pass"), kind="Report"),
        report("failing", result_of("switched"), kind="Report"),
        report("live", result_of("switched"), kind="Report"),
    )
    output = live.await_condition("SourcesComplete", "True", reason="SupersededReports")
    assert "switched in wgpolicyk8s.io" in output["message"]
    time.sleep(1)  # times of results are in seconds: in the same one, the next scan would change nothing
    live.apply(report("fixed", result_of("switched", result="pass"), kind="Report"))
    live.await_states("switched", fixed="ARCHIVED", failing="ACTIVE", live="ACTIVE")
    live.operator.kill()
    mark = live.mark()
    live.start()
    live.synced()
    live.await_condition("SourcesComplete", "True", reason="SupersededReports")
    outlast_the_delay(live, "frozen-clock")
    assert live.states("switched") == {"fixed": "ARCHIVED", "failing": "ACTIVE", "live": "ACTIVE"}
    ids = {finding["Id"] for finding in live.of("switched").values()}
    assert [entry for entry in live.journal(mark) if entry["id"] in ids] == []
