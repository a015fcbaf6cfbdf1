"""The reasons of conditions are the same in the code, the docs and the chart."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from policyhub.api.reason import Nature, Reason, Trait
from policyhub.api.status import ConditionType
from policyhub.cluster.remedies import REMEDIES
from policyhub.securityhub.errors import AccessKind, AccessLost, HubError
from tests.unit.clusterdiscovery.test_discovery_docs import table
from tests.unit.docs.test_docs import ROOT, SOURCES, code, first_cells, rows

PACKAGE = ROOT / "operator/policyhub"
DECIDED = {
    *(("Ready", reason) for reason in ("EngineSilent", "NoSourceServed", "AuditStale", "NotAudited", "ListsCut")),
    ("Ready", "DryRun"),
    ("SourcesComplete", "NoSourceServed"),
    ("OwnersKnown", "Listing"),
    ("PoliciesKnown", "Listing"),
    ("EnginesReporting", "NotConnected"),
}
"""Condition and reason whose status differs from the reason's own."""


def used(*files: Path) -> set[str]:
    """The members that the code uses."""
    return {
        node.attr
        for path in files or SOURCES
        for node in ast.walk(SOURCES[path])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    } & {*Reason.__members__}


def values(members: set[str]) -> set[str]:
    return {Reason[member].value for member in members}


def test_every_reason_is_explained() -> None:
    """The tables of docs/conditions.md and docs/discovery.md have each reason, and no other."""
    output = {reason for type_ in get_args(ConditionType) for reason in first_cells(type_)}
    discovered = table("Listed") | table("ClustersMade") | table("The state of a cluster", 1)
    assert output | discovered == {reason.value for reason in Reason}


def test_every_reason_is_used() -> None:
    """The code uses each member."""
    assert values(used()) == {reason.value for reason in Reason}


def test_every_source_and_hub_reason_is_in_its_condition() -> None:
    """A reflector's reasons are in SourcesComplete, Security Hub's in HubReachable."""
    assert values(used(PACKAGE / "kube/state_reporter.py", PACKAGE / "kube/reflector.py")) <= {
        *first_cells("SourcesComplete")
    }
    errors = {error.reason for error in HubError.__subclasses__() if error is not AccessLost}
    assert {*get_args(AccessKind), *errors} <= {*first_cells("HubReachable")}


@pytest.mark.parametrize("type_", get_args(ConditionType))
def test_the_status_of_a_reason_is_the_documented_one(type_: str) -> None:
    """Each row has the reason's status, except those that the condition decides."""
    for row in rows(type_):
        for word in code(row[0]):
            reason = Reason.known(word)
            assert reason is not None
            assert (reason.status == row[1]) == ((type_, word) not in DECIDED), word


@pytest.mark.parametrize("reason", Reason)
def test_the_api_accepts_every_reason(reason: Reason) -> None:
    """One CamelCase word, which both CRDs accept as the reason of a condition, a source, a place and a cluster."""
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]{0,63}", reason.value)
    assert Reason[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason.value).upper()] is reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_remedy(reason: Reason) -> None:
    """In the table or in its own message, unless no action is needed."""
    nothing = reason.nature is Nature.WELL or reason in {Reason.ROLL_UP_OFF, Reason.ENRICHMENT_OFF}
    assert nothing or Trait.ADVISED in reason.traits or reason in REMEDIES


@pytest.mark.parametrize("reason", Reason)
def test_reasons_that_end_on_their_own_are_unknown(reason: Reason) -> None:
    """Only work in progress is Unknown, or what another condition reports; Ready alone names problems."""
    if reason.status == "Unknown":
        assert reason.nature in {Nature.PROGRESS, Nature.ELSEWHERE}
    if Trait.ALONE in reason.traits:
        assert reason.nature is Nature.TROUBLE


def test_the_chart_uses_existing_reasons() -> None:
    """Alerts and dashboards match existing values of the label `reason` of policyhub_condition."""
    named = {
        word
        for path in sorted((ROOT / "charts").rglob("*"))
        if path.suffix in {".yaml", ".json", ".tpl", ".md"}
        for matched in re.findall(r'reason(?:=|!=|=~|!~)\\?"([A-Z][A-Za-z|]+)', path.read_text("utf-8"))
        for word in matched.split("|")
    }
    assert named
    assert all(Reason.known(word) for word in named), named


def test_an_unknown_reason_stays_text() -> None:
    """A reason of another version is kept as text; this version has no member for it."""
    assert Reason.known("SomethingNew") is None
    assert Reason.known("Listing") is Reason.LISTING
