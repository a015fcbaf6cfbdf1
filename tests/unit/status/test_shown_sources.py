"""Which sources a status shows, and that it says how many it leaves out."""

import pytest

from policyhub.api.reason import Reason
from policyhub.cluster.shown import SOURCES, left_out, shown
from policyhub.cluster.snapshot import SourceSeen


def named(number: int, state: Reason | None = None) -> SourceSeen:
    return SourceSeen(name=f"k{number:04}.v1.x", state=state)


def test_those_that_are_not_well_come_first() -> None:
    """What is wrong, then what is still listed, then what is watched, each by name."""
    given = [
        named(3),
        named(2, Reason.LISTING),
        named(4, Reason.WATCH_FAILED),
        named(1),
        named(0, Reason.LISTING_FORBIDDEN),
    ]
    assert [source.name[:5] for source in shown(given)] == ["k0000", "k0004", "k0002", "k0001", "k0003"]


@pytest.mark.parametrize("bad", [0, 1, SOURCES, SOURCES + 1])
def test_no_source_that_is_wrong_gives_way_to_one_that_is_well(bad: int) -> None:
    """Of hundreds at most `SOURCES` are shown; those that are wrong are among them as long as there is room."""
    given = [
        *(named(number) for number in range(500)),
        *(named(number, Reason.WATCH_FAILED) for number in range(500, 500 + bad)),
    ]
    told = shown(given)
    assert len(told) == SOURCES
    assert sum(source.state is Reason.WATCH_FAILED for source in told) == min(bad, SOURCES)
    assert left_out(given) == f"; status.sources shows {SOURCES} of {500 + bad}, those with a problem first"


def test_what_the_api_server_would_not_take_is_left_out() -> None:
    """One of a name, and none that no Kubernetes resource can have: Gatekeeper's kinds are named as tenants please."""
    given = [
        named(1),
        named(1),
        SourceSeen(name="Upper", state=Reason.FAULT),
        SourceSeen(name="-a"),
        SourceSeen(name="k" * 318),
    ]
    assert shown(given) == [named(1)]
    assert left_out(given).endswith("shows 1 of 5, those with a problem first; 3 with an invalid resource name")


def test_all_are_shown_where_they_fit() -> None:
    """Then nothing is said of it."""
    assert left_out([named(number) for number in range(SOURCES)]) == ""
