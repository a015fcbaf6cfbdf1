"""What a real operator tells of lists that are not whole, by a real API server: from the cut list to the archive."""

import copy
from typing import Any

import pytest

from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import World, constraint, outcomes, report, result

DELAY_SECONDS = 2
STRICT: dict[str, Any] = {"archiveDelay": f"{DELAY_SECONDS}s", "minimumSeverity": "critical", "results": ["error"]}
"""Asks for nothing that anybody reports here, so that notices are all there is."""

Document = dict[str, Any]


@pytest.fixture
def strict(world: World) -> World:
    world.monitor(**STRICT)
    world.start()
    world.synced()
    return world


def told(world: World) -> dict[str, tuple[str, str, str]]:
    """What Security Hub has of each list: its state, and how many are listed of how many."""
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


def test_from_the_cut_list_to_the_archive(strict: World) -> None:
    """Said whatever is asked for else; another number or a restart sends nothing, twice the number does; whole lists
    end it, and so does the end of the constraint.
    """
    strict.apply(*(workload("Pod", f"pod-{name}") for name in "ab"))
    strict.apply(constraint("cut", "pod-a", "pod-b", total=5), constraint("dropped", "pod-a", total=3))
    strict.until(lambda: len(told(strict)) == 2, "both notices")
    assert told(strict) == {"cut": ("ACTIVE", "2", "5"), "dropped": ("ACTIVE", "1", "3")}
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
    strict.until(lambda: told(strict)["cut"] == ("ACTIVE", "1", "10"), "twice the number")
    assert outcomes(strict.journal(mark)) == ["changed"]

    strict.audit("cut", "pod-a")
    strict.until(lambda: told(strict)["cut"][0] == "ARCHIVED", "whole lists to end it")
    assert told(strict)["dropped"][0] == "ACTIVE"
    strict.delete(constraint("dropped"))
    strict.until(lambda: told(strict)["dropped"][0] == "ARCHIVED", "the deleted constraint's to be archived")


def test_a_list_that_became_whole_while_nobody_looked(strict: World) -> None:
    """The report says so at the start, the constraint by its next audits; one whose object is gone is archived too."""
    strict.apply(workload("Pod", "pod-a"))
    strict.apply(constraint("whole", "pod-a", total=3), constraint("gone", "pod-a", total=3))
    strict.apply(summed("short", fail=4), summed("left", fail=4), summed("cut", fail=4))
    names = {"whole", "gone", "report-short", "report-left", "report-cut"}
    strict.until(lambda: told(strict).keys() == names, "the notices")
    strict.operator.kill()
    strict.write_status(constraint("whole", "pod-a"))
    strict.apply(summed("short", fail=1))
    strict.delete(constraint("gone"), summed("left", fail=4))
    strict.start()
    strict.synced()
    strict.audit("whole", "pod-a")
    left = {"report-cut"}
    strict.until(lambda: {n for n, (state, *_) in told(strict).items() if state == "ACTIVE"} == left, "the archives")


def test_the_switch_ends_them(strict: World) -> None:
    """And with it none comes."""
    strict.apply(workload("Pod", "pod-a"))
    cut = constraint("cut", "pod-a", total=3)
    strict.apply(cut, summed("short", fail=4))
    strict.until(lambda: len(told(strict)) == 2, "the notices")
    strict.monitor(**STRICT, sources={"truncatedLists": False})
    strict.until(lambda: strict.monitored()["status"].get("observedGeneration") == 2, "the spec to be taken")

    def archived_by_the_next_audit() -> bool:
        """The first may be read before anything is watched: audits go on."""
        strict.write_status(constraint("cut", "pod-a", total=4))
        return {state for state, *_ in told(strict).values()} == {"ARCHIVED"}

    strict.until(archived_by_the_next_audit, "both to be archived")
    strict.apply(constraint("another", "pod-a", total=3))
    strict.until(lambda: unlisted(strict) == 5, "it to be read")
    assert len(told(strict)) == 2


def test_a_tenants_report_speaks_of_its_own_namespace(strict: World) -> None:
    """Whatever it is called and says that it is about; the company's constraint is told of by itself alone."""
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
