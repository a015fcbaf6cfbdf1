"""The fault bench's own walk up the owners, and its own reading of rules and messages."""

from typing import Any

import pytest

from tests.faults import paper
from tests.faults.family import Family, Ref, plain, unnamed

WEB = Ref("Deployment", "north", "web")
OLD, NEW = Ref("ReplicaSet", "north", "web-1"), Ref("ReplicaSet", "north", "web-2")
POD = Ref("Pod", "north", "web-1-a")
CRON, FIRST, SECOND = Ref("CronJob", "north", "tidy"), Ref("Job", "north", "tidy-1"), Ref("Job", "north", "tidy-2")
LONG = "each-container-must-name-the-team-that-answers-for-it-at-night"


def stored(ref: Ref, *, owner: Ref | None = None, revision: int = 0, created: int = 0, **more: Any) -> dict[str, Any]:
    """As the API server has it."""
    document = paper.thing(ref, owner=owner, uid="1", revision=revision)
    document["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{created:02}Z"
    return {**document, **more}


def family(*documents: dict[str, Any]) -> Family:
    known = Family()
    for document in documents:
        known.put(document)
    return known


def rolled_out() -> Family:
    """The old ReplicaSet has a Pod still, the new one has none yet."""
    return family(
        stored(OLD, owner=WEB, revision=1), stored(NEW, owner=WEB, revision=2), stored(POD, owner=OLD, created=5)
    )


def test_pods_count_for_the_first_owner_that_stays() -> None:
    """Pods and ReplicaSets count for the Deployment; the Deployment, and what is no part of this, for itself."""
    known = rolled_out()
    role = Ref("ClusterRole", "", "admin")
    assert [known.counts_for(ref) for ref in (POD, OLD, NEW, WEB, role)] == [WEB, WEB, WEB, WEB, role]
    assert known.living(WEB) == {POD, OLD, NEW}


def test_what_is_kept_for_a_rollback_counts_for_nothing() -> None:
    """An old ReplicaSet counts while it has Pods; the newest counts without any. A Job is newer that came later."""
    known = rolled_out()
    known.drop(POD)
    assert [known.counts_for(ref) for ref in (POD, OLD, NEW)] == [None, None, WEB]
    jobs = family(stored(FIRST, owner=CRON, created=1), stored(SECOND, owner=CRON, created=2))
    assert [jobs.counts_for(ref) for ref in (FIRST, SECOND)] == [None, CRON]


def test_what_has_ended_is_not_there() -> None:
    """A Pod of a Job that has run counts for nothing, and keeps no old Job in use."""
    pod = Ref("Pod", "north", "tidy-1-a")
    known = family(stored(FIRST, owner=CRON, created=1), stored(pod, owner=FIRST))
    assert known.counts_for(pod) == CRON
    known.put(stored(pod, owner=FIRST, status={"phase": "Succeeded"}))
    known.put(stored(SECOND, owner=CRON, created=2))
    assert [known.counts_for(ref) for ref in (pod, FIRST)] == [None, None]


def test_what_nobody_owns_stands_for_itself() -> None:
    """A Pod without an owner, or of a Node, is its own; one whose ReplicaSet is gone is on its way out."""
    static = stored(POD, owner=Ref("Node", "", "node-1"))
    assert family(static).counts_for(POD) == POD
    assert family(stored(POD)).counts_for(POD) == POD
    assert family(stored(POD, owner=OLD)).counts_for(POD) is None
    alone = family(stored(OLD), stored(POD, owner=OLD))
    assert [alone.counts_for(ref) for ref in (POD, OLD)] == [OLD, OLD]


@pytest.mark.parametrize(
    ("source", "rule", "subject", "expected"),
    [
        ("kyverno", "autogen-check", WEB, "check"),
        ("kyverno", "autogen-cronjob-check", CRON, "check"),
        ("kyverno", "check", WEB, "check"),
        ("kyverno", "autogen-check", Ref("Ingress", "north", "web"), "autogen-check"),
        ("hourly", "autogen-check", WEB, "autogen-check"),
        ("kyverno", LONG, WEB, LONG[:55]),
        ("kyverno", LONG, CRON, LONG[:47]),
        ("kyverno", LONG, POD, LONG),
        ("hourly", LONG, WEB, LONG),
    ],
)
def test_rules_lose_what_was_derived(source: str, rule: str, subject: Ref, expected: str) -> None:
    """Kyverno's prefix goes, and what the longest prefix for the kind leaves no room for."""
    assert plain(source, rule, subject) == expected


def test_messages_lose_the_name_of_what_passes() -> None:
    """What is said of a Pod names none where it counts for its Deployment; an object's own message stays."""
    assert unnamed("web-1-a is bad", POD, WEB) == "<pod> is bad"
    assert unnamed("web is bad", WEB, WEB) == "web is bad"
