"""Archiving with a short archive delay: which silence of an engine is evidence, and which is not."""

import time
from collections.abc import Iterator

import pytest

from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import World, constraint, held, report, result

DELAY_SECONDS = 2


@pytest.fixture(scope="module")
def live(home: World) -> Iterator[World]:
    """A running operator. Every test has its own policies, so that none sees another's findings."""
    home.clear()
    home.monitor(archiveDelay=f"{DELAY_SECONDS}s")
    home.start()
    home.synced()
    yield home
    home.clear()


def outlast_the_delay(world: World, policy: str) -> None:
    """Return after a violation that disappears after this call has been archived: by then, every violation that
    disappeared before and can be archived is archived.
    """
    document = report("clock", result(policy))
    world.apply(document)
    world.await_states(policy, clock="ACTIVE")
    world.delete(document)
    world.await_states(policy, clock="ARCHIVED")


def test_a_deleted_report(live: World) -> None:
    """Its violation is archived after the archive delay, and not before."""
    document = report("web", result("deleted"))
    live.apply(document)
    live.await_states("deleted", web="ACTIVE")
    mark, moment = live.mark(), time.time()
    live.delete(document)
    live.await_states("deleted", web="ARCHIVED")
    (archived,) = live.journal(mark)
    assert archived["time"] - moment >= DELAY_SECONDS


def test_a_report_that_is_recreated(live: World) -> None:
    """A report that is deleted and written again within the delay, with a new uid and new times, causes no call."""
    document = report("web", result("returning"))
    live.apply(document)
    live.await_states("returning", web="ACTIVE")
    live.synced()
    mark = live.mark()
    live.delete(document)
    live.until(lambda: held(live, "archive_delay") == 1, "the missing violation to be noticed")
    live.apply(report("web", result("returning")))
    live.until(lambda: held(live, "archive_delay") == 0, "its return to be noticed")
    assert live.calls(mark) == []
    outlast_the_delay(live, "returning-clock")
    assert live.states("returning") == {"web": "ACTIVE"}
    assert [entry["outcome"] for entry in live.journal(mark)] == ["created", "archived"]  # the times of the clock


def test_a_truncated_constraint(live: World) -> None:
    """An object that leaves the list of a truncated constraint is not archived, nor are all when the list becomes
    empty; after two later audits with complete lists, missing objects are archived.
    """
    kind = "K8sAllowedRepos"
    live.apply(*(workload("Pod", f"pod-{name}") for name in "abcxy"))
    live.apply(constraint("cut", "pod-a", "pod-b", total=4), constraint("emptied", "pod-x", "pod-y"))
    listed = dict.fromkeys(("pod-a", "pod-b", "pod-x", "pod-y", "cut"), "ACTIVE")  # with the notice of the list
    live.await_states(kind, **listed)
    live.write_status(constraint("cut", "pod-b", "pod-c", total=4))
    live.write_status(constraint("emptied", total=2))
    listed["emptied"] = "ACTIVE"
    live.await_states(kind, **listed, **{"pod-c": "ACTIVE"})
    outlast_the_delay(live, "cut-clock")
    assert live.states(kind) == {**listed, "pod-c": "ACTIVE"}
    live.until(lambda: live.operator.metric("policyhub_constraint_violations_unlisted") == 4, "the gauge to change")
    live.audit("cut", "pod-c")
    live.audit("emptied", "pod-y")
    gone = dict.fromkeys(("pod-a", "pod-b", "pod-x", "cut", "emptied"), "ARCHIVED")
    live.await_states(kind, **gone, **{"pod-c": "ACTIVE", "pod-y": "ACTIVE"})


def test_an_unaudited_constraint(live: World) -> None:
    """A recreated constraint, and one whose status is deleted, is no evidence before its next audit; what two audits
    lack is archived.
    """
    kind = "K8sRequiredLabels"
    live.apply(*(workload("Pod", f"pod-{name}") for name in "abc"))
    live.apply(constraint("wiped", "pod-a", kind=kind), constraint("renewed", "pod-b", "pod-c", kind=kind))
    live.await_states(kind, **{"pod-a": "ACTIVE", "pod-b": "ACTIVE", "pod-c": "ACTIVE"})
    live.write_status({**constraint("wiped", kind=kind), "status": {}})
    renewed = constraint("renewed", kind=kind)
    live.delete(renewed)
    del renewed["status"]
    live.create(renewed)
    outlast_the_delay(live, "wiped-clock")
    assert live.states(kind) == {"pod-a": "ACTIVE", "pod-b": "ACTIVE", "pod-c": "ACTIVE"}
    live.audit("wiped", kind=kind)
    live.audit("renewed", "pod-c", kind=kind)
    live.await_states(kind, **{"pod-a": "ARCHIVED", "pod-b": "ARCHIVED", "pod-c": "ACTIVE"})


def test_a_deleted_constraint(live: World) -> None:
    """Its violations are archived after the delay."""
    document = constraint("dropped", "pod-x", namespace="bank", kind="K8sRequiredLabels")
    live.apply(document)
    live.until(lambda: live.states("K8sRequiredLabels").get("pod-x") == "ACTIVE", "the finding")
    live.delete(document)
    live.until(lambda: live.states("K8sRequiredLabels").get("pod-x") == "ARCHIVED", "it to be archived")
