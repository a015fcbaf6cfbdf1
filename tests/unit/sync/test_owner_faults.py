"""What OwnersKnown says of the reflectors of Pods, their owners and controllers."""

from types import SimpleNamespace
from typing import cast

import pytest

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.context import owner_faults
from policyhub.kube.changed_names import NameBudget
from policyhub.kube.connection import Connection
from policyhub.kube.reflector import Reflector
from policyhub.kube.resource import Resource
from policyhub.kube.sink import Phase, ReflectorState, Sink
from policyhub.kube.time_slice import TimeSlice
from policyhub.sync.owners import CONTROLLERS, PODS

DEPLOYMENTS, STATEFULSETS, *_ = CONTROLLERS
FORBIDDEN = Reason.LISTING_FORBIDDEN


def reflector(resource: Resource, phase: Phase, reason: Reason | None = None) -> Reflector:
    """One in this state, which never runs."""
    connection = SimpleNamespace(time_slice=TimeSlice(), name_budget=NameBudget(), server="https://cluster")
    made = Reflector(cast(Connection, connection), resource, cast(Sink, None))
    made._reporter.state = ReflectorState(phase, Cause(reason, "because") if reason is not None else None)
    return made


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([(PODS, "watching", None), (DEPLOYMENTS, "watching", None)], []),
        ([(PODS, "listing", None), (DEPLOYMENTS, "watching", None)], [("Listing", "pods")]),
        ([(PODS, "watching", None), (DEPLOYMENTS, "listing", None)], [("Listing", "deployments")]),
        ([(PODS, "failed", Reason.FAULT), (DEPLOYMENTS, "watching", None)], [("Fault", "pods: because")]),
        ([(PODS, "failed", FORBIDDEN)], [("Forbidden", "findings are not rolled up")]),
        (
            [
                (PODS, "watching", None),
                (DEPLOYMENTS, "failed", FORBIDDEN),
                (STATEFULSETS, "watching", None),
            ],
            [("Forbidden", "may not list deployments, so it cannot verify")],
        ),
        (
            [(PODS, "watching", None)] + [(one, "failed", FORBIDDEN) for one in (DEPLOYMENTS, STATEFULSETS)],
            [("Forbidden", "may not list deployments, statefulsets, so it cannot verify")],
        ),
        ([(PODS, "watching", None), (DEPLOYMENTS, "vanished", Reason.VANISHED)], []),
        ([(PODS, "vanished", Reason.VANISHED)], [("Vanished", "pods: because")]),
    ],
)
def test_what_stands_in_the_way(
    states: list[tuple[Resource, Phase, Reason | None]], expected: list[tuple[str, str]]
) -> None:
    """Where a right is missing the chart's value is named; a controller's kind that is not served is no fault."""
    faults = owner_faults([reflector(*state) for state in states])
    assert [fault.reason for fault in faults] == [reason for reason, _ in expected]
    for fault, (reason, words) in zip(faults, expected, strict=True):
        assert words in fault.message
        assert ("rbac.rollUp" in fault.message) == (reason == "Forbidden")
