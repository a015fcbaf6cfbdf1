"""One operator with a short archive delay: which silence is evidence, and which is not."""

import time
from collections.abc import Iterator

import pytest

from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import World, constraint, held, report, result

DELAY_SECONDS = 2


@pytest.fixture(scope="module")
def live(home: World) -> Iterator[World]:
    """A running operator. Every test has policies of its own, so that none sees another's findings."""
    home.clear()
    home.monitor(archiveDelay=f"{DELAY_SECONDS}s")
    home.start()
    home.synced()
    yield home
    home.clear()


def outlast_the_delay(world: World, policy: str) -> None:
    """Return when a violation that goes missing after this call has been archived for that: whatever went missing
    before it, and was going to be archived, is archived by then.
    """
    document = report("clock", result(policy))
    world.apply(document)
    world.await_states(policy, clock="ACTIVE")
    world.delete(document)
    world.await_states(policy, clock="ARCHIVED")


def test_deleted_report(live: World) -> None:
    """A violation whose report is deleted is archived when the delay has passed, and not before."""
    document = report("web", result("deleted"))
    live.apply(document)
    live.await_states("deleted", web="ACTIVE")
    mark, moment = live.mark(), time.time()
    live.delete(document)
    live.await_states("deleted", web="ARCHIVED")
    (archived,) = live.journal(mark)
    assert archived["time"] - moment >= DELAY_SECONDS


def test_report_that_comes_back(live: World) -> None:
    """A report that is deleted and written anew within the delay, with a new uid and new times, causes no call."""
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
    assert [entry["outcome"] for entry in live.journal(mark)] == ["created", "archived"]  # those of the clock


def test_truncated_constraint(live: World) -> None:
    """An object that leaves the list of a constraint which counts more than it lists is not archived, nor is all when
    the list is cut to nothing; what two later audits lack that list all again is archived.
    """
    kind = "K8sAllowedRepos"
    live.apply(*(workload("Pod", f"pod-{name}") for name in "abcxy"))
    live.apply(constraint("cut", "pod-a", "pod-b", total=4), constraint("emptied", "pod-x", "pod-y"))
    listed = dict.fromkeys(("pod-a", "pod-b", "pod-x", "pod-y", "cut"), "ACTIVE")  # with what is said of the list
    live.await_states(kind, **listed)
    live.write_status(constraint("cut", "pod-b", "pod-c", total=4))
    live.write_status(constraint("emptied", total=2))
    listed["emptied"] = "ACTIVE"
    live.await_states(kind, **listed, **{"pod-c": "ACTIVE"})
    outlast_the_delay(live, "cut-clock")
    assert live.states(kind) == {**listed, "pod-c": "ACTIVE"}
    live.until(lambda: live.operator.metric("policyhub_constraint_violations_unlisted") == 4, "the gauge to tell")
    live.audit("cut", "pod-c")
    live.audit("emptied", "pod-y")
    gone = dict.fromkeys(("pod-a", "pod-b", "pod-x", "cut", "emptied"), "ARCHIVED")
    live.await_states(kind, **gone, **{"pod-c": "ACTIVE", "pod-y": "ACTIVE"})


def test_unaudited_constraint(live: World) -> None:
    """A constraint that is deleted and made anew, and one whose status is wiped, says nothing before its next audit;
    what two audits lack is archived.
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


def test_deleted_constraint(live: World) -> None:
    """The violations of a deleted constraint are archived after the delay."""
    document = constraint("dropped", "pod-x", namespace="bank", kind="K8sRequiredLabels")
    live.apply(document)
    live.until(lambda: live.states("K8sRequiredLabels").get("pod-x") == "ACTIVE", "the finding")
    live.delete(document)
    live.until(lambda: live.states("K8sRequiredLabels").get("pod-x") == "ARCHIVED", "it to be archived")
