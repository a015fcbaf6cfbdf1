"""Which change of a condition creates an Event, and of which type."""

from datetime import UTC, datetime
from typing import Literal, cast, get_args

import pytest

from policyhub.api.reason import Nature, Reason
from policyhub.api.status import Condition, ConditionType
from policyhub.control import events
from tests.unit.docs.test_docs import code, rows

EPOCH = datetime.fromtimestamp(0, UTC)


def condition(text: str) -> Condition:
    """From `Type=Status/Reason`."""
    type_, _, rest = text.partition("=")
    state, _, reason = rest.partition("/")
    return Condition(
        type=cast("ConditionType", type_),
        status=cast("Literal['True', 'False', 'Unknown']", state),
        reason=reason,
        message="m",
        observed_generation=1,
        last_transition_time=EPOCH,
    )


BAD_STATUS = {"ArchiveHeld": "True", "IdentityConflict": "True"}


@pytest.mark.parametrize("type_", [type_ for type_ in get_args(ConditionType) if type_ != "Ready"])
def test_documented_problems_create_a_warning_or_are_deliberate(type_: ConditionType) -> None:
    """A row of docs/conditions.md with a bad status is a problem with a Warning, a choice, or temporary or reported
    elsewhere.
    """
    bad = BAD_STATUS.get(type_, "False")
    for row in rows(type_):
        if row[1] != bad:
            continue
        for word in code(row[0]):
            reason = Reason.known(word)
            assert reason is not None
            nature = reason.nature_in(type_)
            assert nature is not Nature.WELL
            expected = {Nature.TROUBLE: "Warning", Nature.CHOICE: "Normal"}.get(nature)
            assert events.event_type(condition(f"{type_}={bad}/{word}"), None) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param("", "OwnersKnown=False/RollUpOff", "Normal", id="spec.rollUp is false"),
        pytest.param("", "PoliciesKnown=False/EnrichmentOff", "Normal", id="spec.enrichment is false"),
        pytest.param("", "OwnersKnown=False/ExistenceForbidden", "Normal", id="rbac.existence is false"),
        pytest.param("", "OwnersKnown=False/Forbidden", "Normal", id="rbac.rollUp is false"),
        pytest.param("", "Connected=False/Forbidden", "Warning", id="forbidden where it is needed"),
        pytest.param("", "EnginesReporting=False/NoSourceServed", "Normal", id="no engine yet"),
        pytest.param("", "InSync=False/DryRun", None, id="mode DryRun"),
        pytest.param("", "Ready=True/DryRun", "Normal", id="mode DryRun is ready"),
        pytest.param("", "Ready=False/UnknownRegion", "Warning", id="no such Region"),
        pytest.param("", "Ready=False/AwsConfiguration", "Warning", id="no such profile"),
        pytest.param("Ready=False/UnknownRegion", "Ready=False/UnknownRegion", None, id="still no such Region"),
        pytest.param("Ready=False/UnknownRegion", "Ready=False/InvalidSpec", "Warning", id="another mistake"),
        pytest.param("Ready=True/AllWell", "Ready=False/Unavailable", None, id="HubReachable says it"),
        pytest.param("HubReachable=True/Reachable", "HubReachable=False/Unavailable", "Warning", id="no route"),
        pytest.param("HubReachable=False/Unavailable", "HubReachable=False/AccessDenied", None, id="still not well"),
        pytest.param("HubReachable=False/Unavailable", "HubReachable=True/Reachable", None, id="Ready says it"),
        pytest.param("Ready=False/Unavailable", "Ready=True/AllWell", "Normal", id="well again"),
        pytest.param("Ready=True/AllWell", "Ready=True/ArchiveHeld", None, id="still ready"),
        pytest.param("", "ArchiveHeld=True/TooManyLost", "Warning", id="held"),
        pytest.param("", "ArchiveHeld=False/NothingHeld", None, id="not held"),
        pytest.param("", "InSync=Unknown/StatusFailed", None, id="Ready says that the status failed"),
        pytest.param("Connected=False/ClusterDeleting", "Connected=False/ClusterGone", "Warning", id="deleted by now"),
        pytest.param("Connected=False/Unreachable", "Connected=False/ClusterGone", "Warning", id="gone, it turns out"),
        pytest.param("Connected=False/ClusterGone", "Connected=False/ClusterGone", None, id="still gone"),
        pytest.param("Connected=False/ClusterCreating", "Connected=False/ClusterFailed", "Warning", id="failed"),
        pytest.param("Connected=False/Unreachable", "Connected=False/AccessDenied", None, id="troubles take turns"),
        pytest.param("Connected=False/Unreachable", "Connected=False/ClusterDeleting", None, id="a choice after one"),
        pytest.param("InSync=False/Pending", "InSync=False/FindingsRejected", None, id="another condition's turn"),
        pytest.param("", "Connected=False/SomethingNew", "Warning", id="a reason that nobody has decided"),
    ],
)
def test_which_changes_create_an_event(before: str, now: str, expected: events.EventType | None) -> None:
    """Deliberate settings create no Warning, real problems do, and no change creates two."""
    assert events.event_type(condition(now), condition(before) if before else None) == expected
