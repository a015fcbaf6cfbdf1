"""Other clusters' findings under this cluster's prefix: a few are left alone, many stop it."""

from collections.abc import Callable

import pytest

from policyhub.sync import figures
from policyhub.sync.entry import Observation, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import Change
from policyhub.sync.quarantine import MANY, MOST
from tests.unit.sync.test_ledger import NOW, ORIGIN, RULES, WALL, fresh, id_of, say

OTHER = "uid-2"
LATER = NOW + ACK_OVERRULES_MS + 2


def theirs(number: int, uid: str = OTHER, *, archived: bool = False) -> Observation:
    return Observation(
        id_of(number), ObservedFinding("d", WALL - 9, WALL - 5, archived=archived), uid, ORIGIN, f"r{number}"
    )


def verdict(made: Ledger, number: int) -> object:
    made.sources.list_reports(listed=True)
    return made.decide(made.entries[id_of(number)], rules=RULES, now=NOW, wall=WALL)[0]


@pytest.mark.parametrize("uid", [OTHER, ""], ids=["another uid", "no uid"])
def test_a_foreign_finding_is_left_alone_and_all_else_goes_on(uid: str) -> None:
    """An id that is another's in Security Hub is never sent, wanted or not; the others are."""
    made = fresh(read=False)
    say(made, "a", [1, 2])
    made.observed.take_part("", [theirs(1, uid), theirs(3, uid)], now=NOW)
    made.finish_inventory()
    assert made.observed.quarantine.ids == {id_of(1): uid, id_of(3): uid}
    assert not made.observed.quarantine.conflict
    assert verdict(made, 1) is Hold.QUARANTINED
    assert verdict(made, 2) is Change.NEW
    assert figures.quarantined(made) == 1
    assert id_of(3) not in made.entries


def test_many_foreign_findings_are_a_conflict() -> None:
    """More than ten of one uid, active or archived, are a cluster at work; ten of each of several are not."""
    made = fresh(read=False)
    made.observed.take_part("", [theirs(n, "uid-3", archived=n % 2 == 0) for n in range(MANY)], now=NOW)
    made.observed.take_part("", [theirs(n) for n in range(100, 100 + MANY)], now=NOW)
    before = made.observed.quarantine.conflict
    made.observed.take_part("", [theirs(99)], now=NOW)
    assert (before, made.observed.quarantine.conflict) == (False, True)


def test_one_finding_read_often_counts_once() -> None:
    """However often the same finding is met, by pages, parts, look-ups and second looks, it is one."""
    made = fresh(read=False)
    for _ in range(MANY + 1):
        made.observed.take_foreign(id_of(1), OTHER, archived=False, now=NOW, inventory=True)
        made.observed.take_part("", [theirs(1)], now=NOW)
        made.observed.take_read([theirs(1)], now=NOW)
        made.observed.answer(id_of(1), theirs(1), now=NOW)
    assert made.observed.quarantine.numbers == {OTHER: 1}


def test_what_is_remembered_is_bounded() -> None:
    """Of a hundred thousand foreign findings a thousand are remembered; that many are a conflict, of whatever uids."""
    made = fresh(read=False)
    for number in range(100_000):
        made.observed.take_foreign(
            f"policyhub/alpha/{number:x}", f"uid-{number % 500}", archived=False, now=NOW, inventory=True
        )
    assert len(made.observed.quarantine.ids) == sum(made.observed.quarantine.numbers.values()) == MOST
    assert made.observed.quarantine.conflict
    assert len(made.observed._asked_again) == MOST


def test_a_conflict_ends_with_the_findings() -> None:
    """An inventory that meets them no longer ends the conflict; what it may have skipped is read by id first."""
    made = fresh(read=False)
    say(made, "a", [1])
    made.observed.take_part("", [theirs(n) for n in range(1, MANY + 2)], now=NOW)
    made.finish_inventory()
    stopped = [made.observed.quarantine.conflict]
    made.observed.take_part("", [], now=NOW)
    made.finish_inventory()
    stopped.append(made.observed.quarantine.conflict)
    assert stopped == [True, False]
    assert verdict(made, 1) is Hold.QUARANTINED
    assert set(made.observed.lookups.take(100)) == {id_of(n) for n in range(1, MANY + 2)}
    for number in range(1, MANY + 2):
        made.observed.answer(id_of(number), None, now=NOW)
    assert not made.observed.quarantine.ids
    assert verdict(made, 1) is Change.NEW


def test_an_inventory_that_lacks_it_proves_nothing() -> None:
    """Pages that shift while they are read skip some: a quarantined id that an inventory lacks is asked for by id."""
    made = fresh(read=False)
    say(made, "a", [1])
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    made.observed.take_part("", [], now=NOW)
    made.finish_inventory()
    assert verdict(made, 1) is Hold.QUARANTINED
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.answer(id_of(1), theirs(1), now=NOW)
    assert verdict(made, 1) is Hold.QUARANTINED


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        pytest.param(None, Change.NEW, id="deleted"),
        pytest.param(theirs(1, archived=True), Change.REACTIVATED, id="archived by its owner"),
        pytest.param(theirs(1, "uid-1"), Change.CHANGED, id="ours after all"),
    ],
)
@pytest.mark.parametrize("way", ["look-up", "inventory"])
def test_what_its_owner_lets_go_leaves_the_quarantine(answer: Observation | None, change: Change, way: str) -> None:
    """It is asked for by id after a quarter of an hour, and met by each inventory."""
    made = fresh(read=False)
    say(made, "a", [1])
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    if way == "inventory":
        made.observed.take_part("", [] if answer is None else [answer], now=NOW)
        made.finish_inventory()
    else:
        made.wake(LATER)
    if answer is None or way == "look-up":
        assert made.observed.lookups.take(20) == [id_of(1)]
        made.observed.answer(id_of(1), answer, now=LATER)
    assert not made.observed.quarantine.ids
    assert id_of(1) in made.agenda.dirty
    assert verdict(made, 1) is change


def test_a_finding_that_nobody_reports_here_is_asked_for_as_well() -> None:
    """The status shows what is there now, not what the last inventory met."""
    made = fresh(read=False)
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    made.wake(LATER)
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.drop_lookup(id_of(1))
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.answer(id_of(1), None, now=LATER)
    assert not made.observed.quarantine.ids
    made.wake(LATER + 10**12)
    assert made.observed.lookups.take(20) == []


def test_an_adopted_uid_is_not_foreign() -> None:
    """Findings without a uid can be taken over like those of another one."""
    made = fresh(read=False)
    made.observed.adopted = frozenset({""})
    say(made, "a", [1])
    made.observed.take_part("", [theirs(1, "")], now=NOW)
    assert not made.observed.quarantine.numbers
    assert verdict(made, 1) is Change.CHANGED


def in_hub(made: Ledger) -> None:
    made.observed.take_part("", [theirs(1, "uid-1")], now=NOW)


def acknowledged(made: Ledger) -> None:
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)


@pytest.mark.parametrize("before", [in_hub, acknowledged], ids=["read as ours", "acknowledged a moment ago"])
def test_what_was_ours_and_is_anothers_now_is_left_alone(before: Callable[[Ledger], None]) -> None:
    """Another cluster has written over it: it is not written over in turn, and is no longer counted as ours."""
    made = fresh()
    say(made, "a", [1])
    before(made)
    assert made.guard.total() == 1
    made.observed.take_read([theirs(1)], now=NOW + 1)
    assert verdict(made, 1) is Hold.QUARANTINED
    assert made.guard.total() == 0
    assert made.standings.triage.total() == 0


def test_a_call_under_way_ends_before_it_is_left_alone() -> None:
    """What was met while our import was under way is quarantined when that has landed, and read once more."""
    made = fresh()
    say(made, "a", [1])
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.observed.take_read([theirs(1)], now=NOW)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)
    assert verdict(made, 1) is Hold.QUARANTINED
    made.wake(LATER)
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.answer(
        id_of(1),
        Observation(id_of(1), ObservedFinding(entry.digest, WALL, WALL, archived=False), "uid-1", ORIGIN, "r1"),
        now=LATER,
    )
    assert not made.observed.quarantine.ids
    assert verdict(made, 1) is None


def test_one_finding_of_the_cluster_that_was_here_before_is_a_conflict() -> None:
    """Where another cluster answers than before, nothing is sent before somebody has adopted its findings."""
    made = fresh(read=False)
    made.observed.quarantine.former = frozenset({theirs(1).cluster_uid})
    say(made, "a", [1, 2])
    made.observed.take_part("", [theirs(1)], now=NOW)
    made.finish_inventory()
    assert made.observed.quarantine.conflict


def test_a_look_up_after_another_ledgers_lost_call_is_done_again_too() -> None:
    """Nobody reports the finding here, and Security Hub may have it all the same."""
    made = fresh()
    made.observed.overtake(id_of(1), None, now=NOW)
    made.wake(LATER)
    assert made.observed.lookups.take(20) == [id_of(1)]
    made.observed.drop_lookup(id_of(1))
    assert made.observed.lookups.take(20) == [id_of(1)]
