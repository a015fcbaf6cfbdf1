"""Losses that are more than one report: many at once, whole namespaces, and reports that an engine left behind."""

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
    """A running operator. Every test has an engine of its own, since the guard counts by engine."""
    home.clear()
    home.monitor(archiveDelay=f"{DELAY_SECONDS}s")
    home.start()
    home.synced()
    yield home
    home.clear()


def said(engine: str, *, hours_ago: float = 0, **members: Any) -> dict[str, Any]:
    """A result of an engine: its name is the policy's too."""
    stamp = {"seconds": int(time.time() - hours_ago * 3600), "nanos": 0}
    return {**result(engine, **members), "source": engine, "timestamp": stamp}


def objects(engine: str, namespace: str = "shop") -> list[dict[str, Any]]:
    """What the many reports of an engine are about."""
    return [workload("Deployment", f"{engine}-{n}", namespace=namespace) for n in range(MANY)]


def approve(world: World, value: str) -> None:
    world.cluster.request("PATCH", f"{CLUSTERS}/alpha", {"metadata": {"annotations": {APPROVE: value}}})


def count(world: World, engine: str, state: str) -> int:
    return list(world.states(engine).values()).count(state)


def test_many_lost_at_once_wait_for_a_person(live: World, tmp_path: Path) -> None:
    """All findings of an engine that wrote all its reports again without them are held where its policies cannot be
    asked for and the objects exist, with numbers and the remedy; an approval of another engine, or one that has
    expired, changes nothing; the right one archives them.
    """
    live.apply(*objects("rewritten"))
    live.apply(*(report(f"rewritten-{n}", said("rewritten")) for n in range(MANY)))
    live.until(lambda: count(live, "rewritten", "ACTIVE") == MANY, "the findings")
    live.apply(*(report(f"rewritten-{n}") for n in range(MANY)))
    told = live.await_condition("ArchiveHeld", "True", reason="TooManyLost")
    assert f"rewritten: {MANY} of {MANY} active findings" in told["message"]
    live.until(lambda: held(live, "guard") == MANY, "the metric to tell")
    now = datetime.now(UTC)
    approve(live, f"kyverno@{now.replace(year=now.year + 1):%Y-%m-%dT%H:%M:%SZ},rewritten@{now:%Y-%m-%dT%H:%M:%SZ}")
    outlast_the_delay(live, "guard-clock")
    assert count(live, "rewritten", "ACTIVE") == MANY
    command = [sys.executable, "-m", "policyhub", "archive", "alpha", "--approve", "rewritten"]
    config = live.cluster.kubeconfig_file(tmp_path / "admin.kubeconfig")
    subprocess.run(command, env={**os.environ, "KUBECONFIG": str(config)}, check=True)  # noqa: S603  (our own)
    annotations = live.cluster.request("GET", f"{CLUSTERS}/alpha")["metadata"]["annotations"]
    assert annotations[APPROVE].startswith("kyverno@")  # the other approval stands, the one that ended is gone
    live.until(lambda: count(live, "rewritten", "ARCHIVED") == MANY, "the approved ones to be archived")
    live.await_condition("ArchiveHeld", "False", reason="NothingHeld")
    approve(live, "")


def test_what_comes_back_needs_no_approval(live: World) -> None:
    """When the results are written again nothing has been sent, and what did not come back with them is archived."""
    live.apply(*objects("restored"))
    live.apply(*(report(f"restored-{n}", said("restored")) for n in range(MANY)))
    live.until(lambda: count(live, "restored", "ACTIVE") == MANY, "the findings")
    live.synced()
    mark = live.mark()
    live.apply(*(report(f"restored-{n}") for n in range(MANY)))
    live.until(lambda: held(live, "guard") == MANY, "the guard to hold them")
    live.apply(*(report(f"restored-{n}", said("restored")) for n in range(1, MANY)))
    live.until(lambda: count(live, "restored", "ARCHIVED") == 1, "the one that is missing to be archived")
    assert live.states("restored")["restored-0"] == "ARCHIVED"
    assert [entry["outcome"] for entry in live.journal(mark)] == ["archived"]


def test_wiped_reports_are_no_evidence(live: World) -> None:
    """When an engine that lost all its reports writes them anew nothing has been sent. What did not come back with them
    is held, however little it is: it is archived where its object is deleted, or a person approves.
    """
    live.apply(*objects("reinstalled"))
    reports = [report(f"reinstalled-{n}", said("reinstalled")) for n in range(MANY)]
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


def test_deleted_namespace_needs_no_approval(live: World) -> None:
    """The findings of a namespace that was deleted are archived after the delay, however many they are."""
    live.apply(*objects("tenant", "tenant"))
    reports = [report(f"tenant-{n}", said("tenant"), namespace="tenant") for n in range(MANY)]
    live.apply(*reports)
    live.until(lambda: count(live, "tenant", "ACTIVE") == MANY, "the findings")
    live.delete(*reports)
    live.until(lambda: held(live, "unreported") == MANY, "all to be held")
    live.end_space("tenant")
    live.until(lambda: count(live, "tenant", "ARCHIVED") == MANY, "the findings to be archived")


def test_reports_that_were_left_behind_count_no_longer(live: World) -> None:
    """Once an engine speaks through openreports alone, its superseded reports of the other group keep no finding open
    that its next scan passes, and the condition says that they can be deleted; what fails in both is one finding all
    along.
    """
    live.apply(*(workload("Deployment", name) for name in ("fixed", "failing", "live")))
    live.apply(
        report("fixed", said("switched", hours_ago=5)),
        report("failing", said("switched", hours_ago=5)),
        report("live", said("switched", hours_ago=5)),
    )
    live.await_states("switched", fixed="ACTIVE", failing="ACTIVE", live="ACTIVE")
    live.synced()
    live.apply(
        report("fixed", said("switched", result="pass"), kind="Report"),
        report("failing", said("switched"), kind="Report"),
        report("live", said("switched"), kind="Report"),
    )
    told = live.await_condition("SourcesComplete", "True", reason="SupersededReports")
    assert "switched in wgpolicyk8s.io" in told["message"]
    live.apply(report("fixed", said("switched", result="pass"), kind="Report"))
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
