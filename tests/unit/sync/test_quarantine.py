"""Other clusters' findings under this cluster's prefix: a few are left alone, many stop sending."""

from collections.abc import Callable

import pytest

from policyhub.sync import figures
from policyhub.sync.entry import Observation, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import Change
from policyhub.sync.quarantine import CONFLICT_ABOVE, MAX_REMEMBERED
from tests.unit.sync.test_ledger import NOW, RULES, SOURCE_API, WALL, fresh, id_of, report

OTHER = "uid-2"
LATER = NOW + ACK_OVERRULES_MS + 2


def theirs(number: int, uid: str = OTHER, *, archived: bool = False) -> Observation:
    return Observation(
        id_of(number), ObservedFinding("d", WALL - 9, WALL - 5, archived=archived), uid, SOURCE_API, f"r{number}"
    )


def decision(made: Ledger, number: int) -> object:
    made.sources.set_reports_listed(listed=True)
    return made.decide(made.entries[id_of(number)], rules=RULES, now=NOW, wall_clock=WALL)[0]


@pytest.mark.parametrize("uid", [OTHER, ""], ids=["another uid", "no uid"])
def test_a_foreign_finding_is_left_alone_and_others_are_sent(uid: str) -> None:
    """An id that belongs to another cluster is never sent, desired or not; other ids are."""
    made = fresh(read=False)
    report(made, "a", [1, 2])
    made.observed.take_part("", [theirs(1, uid), theirs(3, uid)], now=NOW)
    made.finish_inventory()
    assert made.observed.quarantine.ids == {id_of(1): uid, id_of(3): uid}
    assert not made.observed.quarantine.conflict
    assert decision(made, 1) is Hold.QUARANTINED
    assert decision(made, 2) is Change.NEW
    assert figures.quarantined(made) == 1
    assert id_of(3) not in made.entries


def test_many_foreign_findings_are_a_conflict() -> None:
    """More than ten of one uid, active or archived, are an active cluster; ten of each of several are not."""
    made = fresh(read=False)
    made.observed.take_part("", [theirs(n, "uid-3", archived=n % 2 == 0) for n in range(CONFLICT_ABOVE)], now=NOW)
    made.observed.take_part("", [theirs(n) for n in range(100, 100 + CONFLICT_ABOVE)], now=NOW)
    before = made.observed.quarantine.conflict
    made.observed.take_part("", [theirs(99)], now=NOW)
    assert (before, made.observed.quarantine.conflict) == (False, True)


def test_one_finding_read_often_counts_once() -> None:
    """However often it is read, by pages, parts, lookups and second reads."""
    made = fresh(read=False)
    for _ in range(CONFLICT_ABOVE + 1):
        made.observed.take_foreign(id_of(1), OTHER, archived=False, now=NOW, inventory=True)
        made.observed.take_part("", [theirs(1)], now=NOW)
        made.observed.take_read([theirs(1)], now=NOW)
        made.observed.take_lookup(id_of(1), theirs(1), now=NOW)
    assert made.observed.quarantine.counts == {OTHER: 1}


def test_memory_is_bounded() -> None:
    """Of 100,000 foreign findings 1,000 are remembered; that many are a conflict, for any uids."""
    made = fresh(read=False)
    for number in range(100_000):
        made.observed.take_foreign(
            f"policyhub/alpha/{number:x}", f"uid-{number % 500}", archived=False, now=NOW, inventory=True
        )
    assert len(made.observed.quarantine.ids) == sum(made.observed.quarantine.counts.values()) == MAX_REMEMBERED
    assert made.observed.quarantine.conflict
    assert len(made.observed._recheck_scheduled) == MAX_REMEMBERED


def test_a_conflict_ends_with_the_findings() -> None:
    """An inventory without them ends the conflict; findings that it may have skipped are read by id first."""
    made = fresh(read=False)
    report(made, "a", [1])
    made.observed.take_part("", [theirs(n) for n in range(1, CONFLICT_ABOVE + 2)], now=NOW)
    made.finish_inventory()
    stopped = [made.observed.quarantine.conflict]
    made.observed.take_part("", [], now=NOW)
    made.finish_inventory()
    stopped.append(made.observed.quarantine.conflict)
    assert stopped == [True, False]
    assert decision(made, 1) is Hold.QUARANTINED
    assert set(made.observed.lookups.take(100)) == {id_of(n) for n in range(1, CONFLICT_ABOVE + 2)}
    for number in range(1, CONFLICT_ABOVE + 2):
        made.observed.take_lookup(id_of(number), None, now=NOW)
    assert not made.observed.quarantine.ids
    assert decision(made, 1) is Change.NEW


def test_an_inventory_that_lacks_it_proves_nothing() -> None:
    """Pages that shift during reading skip some: a quarantined id that an inventory lacks is read by id."""
    made = fresh(read=False)
    report(made, "a", [1])
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    made.observed.take_part("", [], now=NOW)
    made.finish_inventory()
    assert decision(made, 1) is Hold.QUARANTINED
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.take_lookup(id_of(1), theirs(1), now=NOW)
    assert decision(made, 1) is Hold.QUARANTINED


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        pytest.param(None, Change.NEW, id="deleted"),
        pytest.param(theirs(1, archived=True), Change.REACTIVATED, id="archived by its owner"),
        pytest.param(theirs(1, "uid-1"), Change.CHANGED, id="ours"),
    ],
)
@pytest.mark.parametrize("way", ["look-up", "inventory"])
def test_a_finding_released_by_its_owner_leaves_the_quarantine(
    answer: Observation | None, change: Change, way: str
) -> None:
    """It is read by id after 15 minutes, and by each inventory."""
    made = fresh(read=False)
    report(made, "a", [1])
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    if way == "inventory":
        made.observed.take_part("", [] if answer is None else [answer], now=NOW)
        made.finish_inventory()
    else:
        made.wake(LATER)
    if answer is None or way == "look-up":
        assert made.observed.lookups.take(20) == [id_of(1)]
        made.observed.take_lookup(id_of(1), answer, now=LATER)
    assert not made.observed.quarantine.ids
    assert id_of(1) in made.agenda.dirty
    assert decision(made, 1) is change


def test_a_foreign_finding_that_nobody_reports_is_read_as_well() -> None:
    """The status shows the current state, not that of the last inventory."""
    made = fresh(read=False)
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    made.wake(LATER)
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.retry_lookup(id_of(1))
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.take_lookup(id_of(1), None, now=LATER)
    assert not made.observed.quarantine.ids
    made.wake(LATER + 10**12)
    assert made.observed.lookups.take(20) == []


def test_an_adopted_uid_is_not_foreign() -> None:
    """Findings without a uid can be taken over like those of another one."""
    made = fresh(read=False)
    made.observed.adopted = frozenset({""})
    report(made, "a", [1])
    made.observed.take_part("", [theirs(1, "")], now=NOW)
    assert not made.observed.quarantine.counts
    assert decision(made, 1) is Change.CHANGED


def in_hub(made: Ledger) -> None:
    made.observed.take_part("", [theirs(1, "uid-1")], now=NOW)


def acknowledged(made: Ledger) -> None:
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)


@pytest.mark.parametrize("before", [in_hub, acknowledged], ids=["read as ours", "acknowledged a moment ago"])
def test_a_finding_overwritten_by_another_cluster_is_left_alone(before: Callable[[Ledger], None]) -> None:
    """We do not overwrite it, and no longer count it as ours."""
    made = fresh()
    report(made, "a", [1])
    before(made)
    assert made.guard.total() == 1
    made.observed.take_read([theirs(1)], now=NOW + 1)
    assert decision(made, 1) is Hold.QUARANTINED
    assert made.guard.total() == 0
    assert made.finding_counts.triage.total() == 0


def test_a_call_in_flight_ends_before_the_quarantine() -> None:
    """A foreign finding read while our import is in flight is quarantined when the call has ended, and read again."""
    made = fresh()
    report(made, "a", [1])
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.observed.take_read([theirs(1)], now=NOW)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)
    assert decision(made, 1) is Hold.QUARANTINED
    made.wake(LATER)
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.take_lookup(
        id_of(1),
        Observation(id_of(1), ObservedFinding(entry.digest, WALL, WALL, archived=False), "uid-1", SOURCE_API, "r1"),
        now=LATER,
    )
    assert not made.observed.quarantine.ids
    assert decision(made, 1) is None


def test_one_finding_of_the_former_cluster_is_a_conflict() -> None:
    """If another cluster answers than before, nothing is sent until the admin adopts the former uid."""
    made = fresh(read=False)
    made.observed.quarantine.former = frozenset({theirs(1).cluster_uid})
    report(made, "a", [1, 2])
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    assert made.observed.quarantine.conflict


def test_a_failed_lookup_after_an_unanswered_call_of_another_ledger_is_repeated() -> None:
    """Nobody reports the finding here, and Security Hub may still hold it."""
    made = fresh()
    made.observed.note_other_import(id_of(1), None, now=NOW)
    made.wake(LATER)
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.retry_lookup(id_of(1))
    assert made.observed.lookups.take(20) == [id_of(1)]
