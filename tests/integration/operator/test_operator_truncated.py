"""The findings about truncated lists, from the truncated list to the archive, on a real API server."""

import copy
from typing import Any

import pytest

from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import World, constraint, outcomes, report, result

DELAY_SECONDS = 2
STRICT: dict[str, Any] = {"archiveDelay": f"{DELAY_SECONDS}s", "minimumSeverity": "critical", "results": ["error"]}
"""Selects no violation that is reported here, so that only notices remain."""

Document = dict[str, Any]


@pytest.fixture
def strict(world: World) -> World:
    world.monitor(**STRICT)
    world.start()
    world.synced()
    return world


def notices(world: World) -> dict[str, tuple[str, str, str]]:
    """The notice of each list in Security Hub: its state, the number of listed violations, and the total."""
    found = {}
    for about, finding in world.found().items():
        fields = finding["ProductFields"]
        assert fields["policyhub/result"] == "truncated"
        assert finding["Severity"]["Label"] == "INFORMATIONAL"
        numbers = (fields["policyhub/property/listed"], fields["policyhub/property/total"])
        found[about[5]] = (finding["RecordState"], *numbers)
    return found


def unlisted(world: World) -> float:
    return world.operator.metric("policyhub_constraint_violations_unlisted")


def summed(name: str, *, fail: int, namespace: str = "shop") -> Document:
    return {**report(name, result("policy"), namespace=namespace), "summary": {"fail": fail}}


def test_from_the_truncated_list_to_the_archive(strict: World) -> None:
    """It is sent whatever filters apply; a slightly different number or a restart sends nothing, twice the number does;
    complete lists archive it, and so does the deletion of the constraint.
    """
    strict.apply(*(workload("Pod", f"pod-{name}") for name in "ab"))
    strict.apply(constraint("cut", "pod-a", "pod-b", total=5), constraint("dropped", "pod-a", total=3))
    strict.until(lambda: len(notices(strict)) == 2, "both notices")
    assert notices(strict) == {"cut": ("ACTIVE", "2", "5"), "dropped": ("ACTIVE", "1", "3")}
    strict.synced()

    mark = strict.mark()
    strict.write_status(constraint("cut", "pod-a", "pod-b", total=9))
    strict.until(lambda: unlisted(strict) == 9, "nine of twelve to be unlisted")
    strict.operator.kill()
    strict.write_status(constraint("cut", "pod-a", total=8))
    strict.start()
    strict.synced()
    strict.until(lambda: unlisted(strict) == 9, "the lists to be read again")
    assert strict.journal(mark) == []

    strict.write_status(constraint("cut", "pod-a", total=10))
    strict.until(lambda: notices(strict)["cut"] == ("ACTIVE", "1", "10"), "twice the number")
    assert outcomes(strict.journal(mark)) == ["changed"]

    strict.audit("cut", "pod-a")
    strict.until(lambda: notices(strict)["cut"][0] == "ARCHIVED", "complete lists to archive it")
    assert notices(strict)["dropped"][0] == "ACTIVE"
    strict.delete(constraint("dropped"))
    strict.until(lambda: notices(strict)["dropped"][0] == "ARCHIVED", "the deleted constraint's to be archived")


def test_a_list_that_was_completed_during_downtime(strict: World) -> None:
    """For a report it is seen at the start, for a constraint with the next audits; the notice of a deleted object is
    archived too.
    """
    strict.apply(workload("Pod", "pod-a"))
    strict.apply(constraint("whole", "pod-a", total=3), constraint("gone", "pod-a", total=3))
    strict.apply(summed("short", fail=4), summed("left", fail=4), summed("cut", fail=4))
    names = {"whole", "gone", "report-short", "report-left", "report-cut"}
    strict.until(lambda: notices(strict).keys() == names, "the notices")
    strict.operator.kill()
    strict.write_status(constraint("whole", "pod-a"))
    strict.apply(summed("short", fail=1))
    strict.delete(constraint("gone"), summed("left", fail=4))
    strict.start()
    strict.synced()
    strict.audit("whole", "pod-a")
    left = {"report-cut"}
    strict.until(lambda: {n for n, (state, *_) in notices(strict).items() if state == "ACTIVE"} == left, "the archives")


def test_the_switch_archives_them(strict: World) -> None:
    """With the switch set no notice is sent."""
    strict.apply(workload("Pod", "pod-a"))
    cut = constraint("cut", "pod-a", total=3)
    strict.apply(cut, summed("short", fail=4))
    strict.until(lambda: len(notices(strict)) == 2, "the notices")
    strict.monitor(**STRICT, sources={"truncatedLists": False})
    strict.until(lambda: strict.monitored()["status"].get("observedGeneration") == 2, "the spec to be taken")

    def archived_by_the_next_audit() -> bool:
        """The first audit may be before the watch starts, so audits continue."""
        strict.write_status(constraint("cut", "pod-a", total=4))
        return {state for state, *_ in notices(strict).values()} == {"ARCHIVED"}

    strict.until(archived_by_the_next_audit, "both to be archived")
    strict.apply(constraint("another", "pod-a", total=3))
    strict.until(lambda: unlisted(strict) == 5, "it to be read")
    assert len(notices(strict)) == 2


def test_a_tenants_report_is_about_its_own_namespace(strict: World) -> None:
    """Whatever name and subject it has; the notice of the company's constraint depends on the constraint only."""
    strict.apply(workload("Pod", "pod-a"))
    strict.apply(constraint("repos", "pod-a", total=3))
    forged = copy.deepcopy(summed("repos", fail=40, namespace="tenant"))
    forged["metadata"]["name"] = "repos"
    forged["scope"] = {"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sAllowedRepos", "name": "repos"}
    forged["results"][0] |= {"source": "gatekeeper", "policy": "K8sAllowedRepos", "rule": "repos"}
    strict.apply(forged)
    strict.until(lambda: len(strict.found()) == 2, "both notices")
    objects = {(about[3], about[4]): finding for about, finding in strict.found().items()}
    assert objects.keys() == {("K8sAllowedRepos", ""), ("PolicyReport", "tenant")}
    forged["summary"], forged["results"][0]["result"] = {"fail": 0}, "pass"
    strict.apply(forged)
    strict.until(
        lambda: {f["RecordState"] for f in strict.found().values()} == {"ACTIVE", "ARCHIVED"}, "its own to end"
    )
    theirs = next(f for about, f in strict.found().items() if about[3] == "K8sAllowedRepos")
    assert theirs["RecordState"] == "ACTIVE"
