"""Restarts of the operator: what a new process finds, and what an old one leaves."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import pytest

from dev.hub.process import HubProcess
from dev.testbed import Operator
from tests.integration.operator.world import World, outcomes, report, result

DELAY_SECONDS = 3


@pytest.fixture(scope="module")
def silent(second: World) -> Iterator[World]:
    """The second cluster, with its own hub that gives no answer to imports."""
    second.clear()
    with HubProcess.start() as hub:
        world = World(second.installed, hub)
        world.monitor()
        world.start()
        world.synced()
        hub.fault("timeout_before", operation="BatchImportFindings", delay_seconds=60)
        world.apply(report("late", result("late")))
        world.until(lambda: world.operator.metric("policyhub_violations", cluster="alpha") == 1, "it to be seen")
        yield world
        world.clear()


@pytest.fixture(scope="module", autouse=True)
def stopping(silent: World) -> Iterator[Future[float]]:
    """An operator that is stopping: that takes long, so the other tests of the module run meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(silent.operator.stop)


def test_kill_and_restart(world: World) -> None:
    """After kill -9 nothing unchanged is imported again and no CreatedAt moves; violations that were fixed meanwhile
    are archived at once, those that disappeared after the delay, new ones are imported.
    """
    gone = report("gone", result("restart"))
    world.apply(
        *(report(f"kept-{n}", result("kept"), result("kept-too", result="warn")) for n in range(60)),
        gone,
        report("fixed", result("restart")),
        report("spared", result("restart")),
    )
    world.monitor(archiveDelay=f"{DELAY_SECONDS}s")
    world.start()
    world.until(lambda: len(world.found(state="ACTIVE")) == 123, "the findings")
    before = world.found()
    world.operator.kill()
    world.delete(gone)
    world.apply(report("fixed", result("restart", result="pass")), report("new", result("restart")))
    mark = world.mark()
    world.start()
    world.await_states("restart", gone="ARCHIVED", fixed="ARCHIVED", spared="ACTIVE", new="ACTIVE")
    world.synced()
    sent = world.journal(mark)
    assert outcomes(sent) == ["archived", "archived", "created"]
    assert not any(entry["redundant"] for entry in sent)
    assert len(world.calls(mark, "BatchImportFindings")) <= 3
    after = world.found()
    assert {about: after[about]["CreatedAt"] for about in before} == {
        about: finding["CreatedAt"] for about, finding in before.items()
    }
    done = {entry["id"]: entry["time"] for entry in sent}
    findings = world.of("restart")
    assert done[findings["gone"]["Id"]] - started_at(world) > DELAY_SECONDS
    assert done[findings["fixed"]["Id"]] <= done[findings["gone"]["Id"]]  # on a busy machine both leave in one call


def started_at(world: World) -> float:
    """When the current process started to watch (Unix seconds)."""
    line = next(line for line in world.operator.log() if line.get("event") == "monitored_cluster_started")
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def exit_code(operator: Operator) -> int | None:
    return operator._child.returncode if operator._child is not None else None


def test_sigterm_sends_pending_findings(world: World) -> None:
    """Findings that were seen and not sent at SIGTERM are in the hub when the process ends, with code 0, within 20
    s.
    """
    world.monitor()
    operator = world.start()
    world.synced()
    world.hub.fault("throttle", operation="BatchImportFindings", count=1)
    mark = world.mark()
    world.apply(*(report(f"late-{n}", result("late"), result("late-too")) for n in range(30)))
    world.until(lambda: bool(world.calls(mark, "BatchImportFindings")), "the first call, which is refused")
    world.until(lambda: operator.metric("policyhub_violations", cluster="alpha") == 60, "all violations to be seen")
    assert operator.stop() < 20
    assert exit_code(operator) == 0
    assert len(world.found(state="ACTIVE")) == 60


def test_sigterm_while_the_hub_is_silent(silent: World, stopping: Future[float]) -> None:
    """A hub that does not answer delays the end by at most 20 s, and the next process sends the rest."""
    assert stopping.result() < 20
    assert exit_code(silent.operator) == 0
    assert silent.journal() == []
    silent.hub.clear_faults()
    silent.start()
    silent.await_states("late", late="ACTIVE")
