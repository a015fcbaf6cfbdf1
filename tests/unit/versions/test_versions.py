"""Which state of an object is accepted: the table of `policyhub.control.versions`."""

import pytest

from policyhub.control import versions
from policyhub.control.versions import Freshness, Versions, compared

CURRENT, OUTDATED, UNCERTAIN = Freshness


@pytest.mark.parametrize(
    ("version", "other", "order"),
    [
        ("9", "10", -1),
        ("10", "9", 1),
        ("10", "10", 0),
        ("18446744073709551616", "9", 1),
        ("a", "a", 0),
        ("a", "9", None),
        ("9", "", None),
        ("9", "٩٩", None),
        ("9", "010", None),
        ("9", "-10", None),
    ],
)
def test_versions_are_ordered_as_numbers(version: str, other: str, order: int | None) -> None:
    assert compared(version, other) == order


@pytest.mark.parametrize(
    ("recorded", "from_event", "came", "event", "late", "asked_after"),
    [
        pytest.param(None, True, ("1", "7"), CURRENT, CURRENT, CURRENT, id="nothing is noted"),
        pytest.param(("1", "7"), True, ("1", "7"), CURRENT, CURRENT, CURRENT, id="the same"),
        pytest.param(("1", "7"), True, ("1", "8"), CURRENT, CURRENT, CURRENT, id="newer"),
        pytest.param(("1", "7"), True, ("1", "6"), OUTDATED, OUTDATED, UNCERTAIN, id="older"),
        pytest.param(("2", "7"), True, ("1", "6"), OUTDATED, OUTDATED, UNCERTAIN, id="a former object"),
        pytest.param(("1", "x"), True, ("2", "y"), UNCERTAIN, UNCERTAIN, UNCERTAIN, id="no order, another object"),
        pytest.param(("1", "x"), True, ("1", "y"), CURRENT, UNCERTAIN, CURRENT, id="no order, told by an event"),
        pytest.param(("1", "x"), False, ("1", "y"), UNCERTAIN, UNCERTAIN, CURRENT, id="no order, listed"),
    ],
)
def test_the_table(
    *,
    recorded: tuple[str, str] | None,
    from_event: bool,
    came: tuple[str, str],
    event: Freshness,
    late: Freshness,
    asked_after: Freshness,
) -> None:
    """An event; the answer to a request from before the noted state; the answer to a request after it."""
    known = Versions()
    before = known.moment()
    if recorded is not None:
        known.record("alpha", *recorded, from_event=from_event)
    after = known.moment()
    assert known.classify("alpha", *came) is event
    assert known.classify("alpha", *came, requested_at=before) is late
    assert known.classify("alpha", *came, requested_at=after) is asked_after


def test_an_absence_is_accepted_if_it_was_read_later() -> None:
    known = Versions()
    known.record("alpha", "1", "7", from_event=True)
    before = known.moment()
    known.mark_gone("alpha", "1")
    after = known.moment()
    assert known.classify("alpha", "1", "9") is OUTDATED
    assert known.classify("alpha", "1", "7", requested_at=before) is OUTDATED
    assert known.classify("alpha", "1", "7", requested_at=after) is UNCERTAIN
    known.record("alpha", "1", "7", from_event=False)
    assert known.classify("alpha", "1", "8") is CURRENT


def test_a_deleted_objects_version_covers_its_predecessors() -> None:
    """Events of a former object may arrive after the end of its successor."""
    known = Versions()
    known.record("alpha", "2", "7", from_event=True)
    known.mark_gone("alpha", "2")
    assert known.classify("alpha", "1", "5") is OUTDATED
    assert known.classify("alpha", "3", "8") is CURRENT
    assert not known.missing(frozenset(), requested_at=known.moment())


def test_the_number_of_remembered_objects_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless creations and deletions do not fill the memory; existing objects stay known."""
    monkeypatch.setattr(versions, "MAX_GONE", 3)
    known = Versions()
    known.record("stays", "0", "1", from_event=True)
    for number in range(1, 100):
        known.record(f"name-{number}", str(number), str(number), from_event=True)
        known.mark_gone(f"name-{number}", str(number))
    assert len(known._gone) == 3
    assert sorted(known._newest) == ["name-97", "name-98", "name-99", "stays"]
