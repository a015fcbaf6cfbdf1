"""Which sources a status shows, and the number of the others."""

import pytest

from policyhub.api.reason import Reason
from policyhub.cluster.shown import SOURCES, left_out, shown
from policyhub.cluster.snapshot import SourceSeen


def named(number: int, state: Reason | None = None) -> SourceSeen:
    return SourceSeen(name=f"k{number:04}.v1.x", state=state)


def test_problems_come_first() -> None:
    """Sources with a problem, then those being listed, then watched ones, each by name."""
    given = [
        named(3),
        named(2, Reason.LISTING),
        named(4, Reason.WATCH_FAILED),
        named(1),
        named(0, Reason.LISTING_FORBIDDEN),
    ]
    assert [source.name[:5] for source in shown(given)] == ["k0000", "k0004", "k0002", "k0001", "k0003"]


@pytest.mark.parametrize("bad", [0, 1, SOURCES, SOURCES + 1])
def test_no_problem_gives_way_to_a_healthy_source(bad: int) -> None:
    """At most `SOURCES` of hundreds are shown; those with a problem first, as long as there is room."""
    given = [
        *(named(number) for number in range(500)),
        *(named(number, Reason.WATCH_FAILED) for number in range(500, 500 + bad)),
    ]
    output = shown(given)
    assert len(output) == SOURCES
    assert sum(source.state is Reason.WATCH_FAILED for source in output) == min(bad, SOURCES)
    assert left_out(given) == f"; status.sources shows {SOURCES} of {500 + bad}, those with a problem first"


def test_sources_that_the_api_server_rejects_are_left_out() -> None:
    """Duplicate names, and invalid resource names: tenants can choose the names of Gatekeeper's kinds."""
    given = [
        named(1),
        named(1),
        SourceSeen(name="Upper", state=Reason.FAULT),
        SourceSeen(name="-a"),
        SourceSeen(name="k" * 318),
    ]
    assert shown(given) == [named(1)]
    assert left_out(given).endswith("shows 1 of 5, those with a problem first; 3 with an invalid resource name")


def test_all_sources_are_shown_if_they_fit() -> None:
    """Then no number of others is shown."""
    assert left_out([named(number) for number in range(SOURCES)]) == ""
