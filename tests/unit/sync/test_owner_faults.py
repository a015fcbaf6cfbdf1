"""What OwnersKnown says of the reflectors of Pods, their owners and controllers."""

from types import SimpleNamespace
from typing import cast

import pytest

from policyhub.cluster.context import owner_faults
from policyhub.kube.connection import Connection
from policyhub.kube.overtaken import Room
from policyhub.kube.pace import Pace
from policyhub.kube.reflector import Reflector
from policyhub.kube.resource import Resource
from policyhub.kube.sink import Phase, Reason, ReflectorState, Sink
from policyhub.sync.owners import CONTROLLERS, PODS

DEPLOYMENTS, STATEFULSETS, *_ = CONTROLLERS


def reflector(resource: Resource, phase: Phase, reason: Reason = "") -> Reflector:
    """One in this state, which never runs."""
    connection = SimpleNamespace(pace=Pace(), room=Room(), server="https://cluster")
    made = Reflector(cast(Connection, connection), resource, cast(Sink, None))
    made._standing.state = ReflectorState(phase, reason, "because")
    return made


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([(PODS, "watching", ""), (DEPLOYMENTS, "watching", "")], []),
        ([(PODS, "listing", ""), (DEPLOYMENTS, "watching", "")], [("Listing", "pods")]),
        ([(PODS, "watching", ""), (DEPLOYMENTS, "listing", "")], [("Listing", "deployments")]),
        ([(PODS, "failed", "Fault"), (DEPLOYMENTS, "watching", "")], [("Fault", "pods: because")]),
        ([(PODS, "failed", "ListingForbidden")], [("Forbidden", "every object counts for itself")]),
        (
            [(PODS, "watching", ""), (DEPLOYMENTS, "failed", "ListingForbidden"), (STATEFULSETS, "watching", "")],
            [("Forbidden", "may not list deployments: which of these")],
        ),
        (
            [(PODS, "watching", "")] + [(one, "failed", "ListingForbidden") for one in (DEPLOYMENTS, STATEFULSETS)],
            [("Forbidden", "may not list deployments, statefulsets: which of these")],
        ),
        ([(PODS, "watching", ""), (DEPLOYMENTS, "vanished", "Vanished")], []),
        ([(PODS, "vanished", "Vanished")], [("Vanished", "pods: because")]),
    ],
)
def test_what_stands_in_the_way(states: list[tuple[Resource, Phase, Reason]], expected: list[tuple[str, str]]) -> None:
    """Where a right is missing the chart's value is named; a controller's kind that is not served is no fault."""
    faults = owner_faults([reflector(*state) for state in states])
    assert [fault.reason for fault in faults] == [reason for reason, _ in expected]
    for fault, (reason, words) in zip(faults, expected, strict=True):
        assert words in fault.message
        assert ("rbac.rollUp" in fault.message) == (reason == "Forbidden")
