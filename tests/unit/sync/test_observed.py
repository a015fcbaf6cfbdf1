"""What Security Hub holds: when a read takes precedence over an acknowledgement."""

from collections.abc import Callable

import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.sync.entry import Entry, Observation, ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import Change
from tests.unit.sync.test_ledger import NOW, RULES, SOURCE_API, WALL, fresh, id_of, key, report

SLOW = 3 * ACK_OVERRULES_MS
"""How long a part of an inventory takes, with throttling."""


def acknowledged(at: SteadyMs) -> tuple[Ledger, ObservedFinding]:
    made = fresh()
    report(made, "a", [1])
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    known = ObservedFinding(entry.digest, WallMs(int(at)), WallMs(int(at)), archived=False)
    made.acknowledge(entry, known, now=at)
    return made, known


STALE = ObservedFinding("older", WALL - 99_999, WALL - 99_999, archived=True)


@pytest.mark.parametrize("lacks", [False, True], ids=["it shows it as it was", "it lacks it"])
@pytest.mark.parametrize(
    ("began", "overrules"),
    [
        pytest.param(NOW - 5, False, id="it began before the acknowledgement"),
        pytest.param(NOW + ACK_OVERRULES_MS, False, id="it began while that was recent"),
        pytest.param(NOW + ACK_OVERRULES_MS + 1, True, id="it began when that was no longer recent"),
    ],
)
def test_a_slow_part_of_an_inventory_does_not_show_later_imports(
    began: int,
    *,
    overrules: bool,
    lacks: bool,
) -> None:
    """The start of its reading counts, however long it took; otherwise the finding is read by id."""
    made, known = acknowledged(NOW)
    entry = made.entries[id_of(1)]
    shown = [] if lacks else [Observation(entry.id, STALE, "uid-1", SOURCE_API, "r1")]
    end = began + SLOW
    made.observed.take_part("", shown, now=SteadyMs(end), began=SteadyMs(began))
    if overrules:
        assert entry.observed == (known if lacks else STALE)
        assert (entry.id in made.observed.lookups) == lacks
        return
    assert entry.observed == known
    assert entry.id not in made.observed.lookups
    made.wake(SteadyMs(end))
    assert made.observed.lookups.take(20) == [entry.id]
    made.observed.take_lookup(entry.id, Observation(entry.id, known, "uid-1", SOURCE_API, "r1"), now=SteadyMs(end))
    assert entry.observed == known


def test_a_part_without_a_start_time_is_current() -> None:
    """It was read at once."""
    made, known = acknowledged(NOW)
    entry = made.entries[id_of(1)]
    held = Observation(entry.id, STALE, "uid-1", SOURCE_API, "r1")
    made.observed.take_part("", [held], now=NOW + ACK_OVERRULES_MS)
    assert entry.observed == known
    made.observed.take_part("", [held], now=NOW + ACK_OVERRULES_MS + 1)
    assert entry.observed == STALE


def test_a_finding_in_flight_is_not_taken_from_an_inventory() -> None:
    """The answer of its call is newer than any read."""
    made, known = acknowledged(NOW - 2 * ACK_OVERRULES_MS)
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.observed.take_part("", [Observation(entry.id, STALE, "uid-1", SOURCE_API, "r1")], now=NOW)
    made.observed.take_part("", [], now=NOW)
    made.observed.take_lookup(entry.id, None, now=NOW)
    assert entry.observed == known


def test_acknowledgements_from_before_a_disabled_hub_do_not_count() -> None:
    """The hub is empty when it is enabled again: missing findings are read by id at once, and sent again."""
    made, _ = acknowledged(NOW)
    entry = made.entries[id_of(1)]
    made.observed.mark_hub_disabled()
    made.observed.take_part("", [], now=NOW + 1)
    assert made.observed.lookups.take(20) == [entry.id]
    made.observed.take_lookup(entry.id, None, now=NOW + 1)
    assert entry.observed is not None
    assert not entry.observed.digest
    assert entry.id in made.agenda.dirty


LATER = NOW + ACK_OVERRULES_MS + 1
WALL_LATER = WALL + ACK_OVERRULES_MS + 1


def test_a_finding_missing_while_unreported_is_sent_when_it_is_reported_again() -> None:
    """A hub that was emptied does not hold it, whatever it acknowledged before."""
    made, known = acknowledged(NOW)
    entry = made.entries[id_of(1)]
    made.forget(key("a"), now=NOW)
    made.observed.take_part("", [], now=LATER)
    report(made, "a", [1])
    assert entry.digest == known.digest
    assert made.decide(entry, rules=RULES, now=LATER, wall_clock=WALL_LATER)[0] is Change.CHANGED


def never_sent(made: Ledger, entry: Entry) -> None:
    pass


def failed_by_name(made: Ledger, entry: Entry) -> None:
    made.mark_in_flight(entry)
    made.release(entry)


def in_a_call(made: Ledger, entry: Entry) -> None:
    made.mark_in_flight(entry)


def unanswered(made: Ledger, entry: Entry) -> None:
    made.mark_in_flight(entry)
    made.mark_unanswered(entry, ObservedFinding(entry.digest, WALL, WALL_LATER, archived=False))


def taken(made: Ledger, entry: Entry) -> None:
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL_LATER, archived=False), now=LATER)


@pytest.mark.parametrize(
    ("became", "reads"),
    [(never_sent, True), (failed_by_name, True), (in_a_call, False), (unanswered, False), (taken, False)],
)
def test_a_finding_to_be_created_again_is_read_before_it_is_archived(
    became: Callable[[Ledger, Entry], None],
    *,
    reads: bool,
) -> None:
    """Unless the import was accepted or unanswered: otherwise the archive would create it as ARCHIVED."""
    made, _ = acknowledged(NOW)
    entry = made.entries[id_of(1)]
    made.observed.take_lookup(entry.id, None, now=LATER)
    became(made, entry)
    made.forget(key("a"), now=LATER)
    assert (entry.representative is None and entry.body is None) == reads
