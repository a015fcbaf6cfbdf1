"""Our own samples from wire to finding: the engines' recordings, and what other producers write by their source.

tests/shared asks the same of more objects, where they are at hand.
"""

from collections.abc import Callable
from typing import Any

import pytest

from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from tests.unit.findings import mapping
from tests.unit.sources.recorded import Recorded, at, everything

Objections = Callable[[dict[str, Any]], list[str]]

PRODUCERS = [Recorded(name, document) for name in mapping.names() for document in mapping.documents(name)]
SAMPLES = pytest.mark.parametrize("one", [*everything(), *PRODUCERS], ids=lambda one: one.name)


def ids(one: Recorded) -> list[str]:
    return [finding_id(mapping.ARN, violation.identity) for violation in one.read().plain_violations]


@SAMPLES
def test_security_hub_accepts_each_finding(one: Recorded, objections: Objections) -> None:
    """By Security Hub's limits, by the local hub, by botocore; active or archived."""
    for archived in (False, True):
        assert [
            objections(finding) for finding in mapping.findings(one.read(), archived=archived) if objections(finding)
        ] == []


@SAMPLES
def test_each_bad_result_is_a_violation_of_its_own(one: Recorded) -> None:
    """Each has its own id. Entries of a constraint about one object are one violation."""
    assert len(ids(one)) == len(set(ids(one))) == one.violations


def test_no_two_objects_share_a_finding() -> None:
    """Neither the reports and constraints of one moment, nor the samples of all producers."""
    for objects in (at("company"), PRODUCERS):
        found = [id_ for one in objects for id_ in ids(one)]
        assert len(found) == len(set(found)) == sum(one.violations for one in objects)


@SAMPLES
def test_each_pass_is_evidence_for_another_violation(one: Recorded) -> None:
    """No object passes and fails at once, and no pass is lost."""
    assert len(one.passed()) == one.passes
    assert not one.passed() & {violation.identity for violation in one.read().plain_violations}


@SAMPLES
def test_a_rescan_changes_nothing(one: Recorded) -> None:
    """Kyverno's background scan and Gatekeeper's audit write every object again: nothing is to be sent."""
    before, after = one.read().plain_violations, one.rescanned().read().plain_violations
    assert before == after
    assert [digest(violation) for violation in before] == [digest(violation) for violation in after]
    assert one.passed() == one.rescanned().passed()


@SAMPLES
def test_order_changes_nothing(one: Recorded) -> None:
    """Results and entries may come in any order, with their times."""
    assert one.reordered().read().violations == one.read().violations
