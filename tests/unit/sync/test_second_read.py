"""Differences from before a start wait for the second read if another process sent findings shortly before."""

from collections.abc import Callable

import msgspec
import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.model.violation import Violation
from policyhub.sync import figures
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.entry import ListingState, Loss, Observation, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Change, Decision
from tests.unit.sync.test_ledger import NOW, RULES, SOURCE_API, WALL, id_of, key, nothing, report, violation

STARTED = NOW - 10_000
STALE = ObservedFinding("older", WALL - 99_999, WALL - 99_999, archived=False)


def after_a_handover(acknowledged: Acknowledged | None = None) -> Ledger:
    made = Ledger(
        cluster_id="alpha",
        cluster_uid="uid-1",
        default_severity="MEDIUM",
        on_dirty=lambda: None,
        acknowledged=acknowledged,
        started=STARTED,
    )
    made.observed.progress.recheck_backlog = made.observed.progress.second_read.due = True
    made.sources.set_reports_listed(listed=True)
    made.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=STARTED))
    made.sources.confirm([SOURCE_API], now=NOW)
    return made


def shown(observed: ObservedFinding) -> Observation:
    return Observation(id_of(1), observed, "uid-1", SOURCE_API, "r1", source="kyverno", policy="p")


def listed(made: Ledger, *, message: str = "m", numbers: tuple[int, ...] = (1,)) -> None:
    """By the first listing."""
    claims: list[tuple[Violation, WallMs | None]] = [(violation(n, message), WALL) for n in numbers]
    made.read(key("a"), claims, complete=True, passed=nothing, now=STARTED, backlog=True)


def decided(made: Ledger, *, now: SteadyMs = NOW) -> Decision:
    entry = made.entries[id_of(1)]
    decision, evidence = made.decide(entry, rules=RULES, now=now, wall_clock=WALL)
    if not isinstance(decision, Change):
        made.mark_decided(entry, decision, lost=evidence.lost)
    return decision


def passes(made: Ledger) -> None:
    """The finding passes."""
    made.mark_passed([violation(1).identity], key=key("a"))
    assert made.entries[id_of(1)].loss is Loss.PASSED


def as_desired(made: Ledger) -> ObservedFinding:
    return ObservedFinding(made.entries[id_of(1)].digest, STALE.created_at, WALL - 1, archived=False)


SHOWN = {
    "changed": (STALE, Change.CHANGED),
    "reactivated": (msgspec.structs.replace(STALE, archived=True), Change.REACTIVATED),
}


@pytest.mark.parametrize(("stale", "change"), SHOWN.values(), ids=SHOWN)
def test_a_difference_that_the_former_process_has_sent_is_not_sent_again(
    stale: ObservedFinding, change: Change
) -> None:
    """It waits, counts as pending, and has gone when the second read shows what that process sent."""
    made = after_a_handover()
    listed(made)
    made.observed.take_part("", [shown(stale)], now=NOW)
    assert decided(made) is Hold.SECOND_READ
    assert figures.pending(made) == 1
    assert figures.oldest_pending(made) == STARTED
    made.observed.take_read([shown(as_desired(made))], now=NOW)
    assert decided(made) is None
    made.observed.progress.end_backlog_recheck()
    assert not figures.pending(made)


@pytest.mark.parametrize(("stale", "change"), SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda made: made.observed.progress.end_backlog_recheck(), id="the second read is complete"),
        pytest.param(
            lambda made: made.observed.progress.skip_inventory(recheck_backlog=True), id="nothing can be read"
        ),
    ],
)
def test_a_difference_that_lasts_is_sent(
    stale: ObservedFinding, change: Change, end: Callable[[Ledger], object]
) -> None:
    """After the second read, or when it is not waited for any longer."""
    made = after_a_handover()
    listed(made)
    made.observed.take_part("", [shown(stale)], now=NOW)
    assert decided(made) is Hold.SECOND_READ
    end(made)
    assert id_of(1) in made.agenda.dirty
    assert decided(made) is change


def test_an_archive_that_the_former_process_has_sent_is_not_sent_again() -> None:
    """Nobody has reported the finding in this process, and the inventory shows it active."""
    made = after_a_handover()
    listed(made, numbers=())
    made.observed.take_part("", [shown(STALE)], now=NOW)
    made.finish_inventory()
    passes(made)
    assert decided(made, now=NOW + 60_000) is Hold.SECOND_READ
    made.observed.take_read([shown(msgspec.structs.replace(STALE, updated_at=WALL - 1, archived=True))], now=NOW)
    assert decided(made, now=NOW + 60_000) is None


def test_an_archive_that_lasts_is_sent() -> None:
    """After the second read it is still active."""
    made = after_a_handover()
    listed(made, numbers=())
    made.observed.take_part("", [shown(STALE)], now=NOW)
    made.finish_inventory()
    passes(made)
    assert decided(made, now=NOW + 60_000) is Hold.SECOND_READ
    made.observed.progress.end_backlog_recheck()
    assert decided(made, now=NOW + 60_000) is Change.ARCHIVED


def rewritten(made: Ledger) -> None:
    report(made, "a", [1], message="another")


def fixed(made: Ledger) -> None:
    made.read(key("a"), [], complete=True, passed=lambda: frozenset({violation(1).identity}), now=NOW)


def unanswered(made: Ledger) -> None:
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.mark_unanswered(entry, as_desired(made))


@pytest.mark.parametrize(
    ("event", "change"),
    [
        pytest.param(rewritten, Change.CHANGED, id="its text changes"),
        pytest.param(fixed, Change.ARCHIVED, id="it is fixed"),
        pytest.param(unanswered, Change.CHANGED, id="its import got no answer"),
    ],
)
def test_what_happens_after_the_start_does_not_wait(event: Callable[[Ledger], None], change: Change) -> None:
    """An event is newer than what the former process sent, and own imports are known."""
    made = after_a_handover()
    listed(made)
    made.observed.take_part("", [shown(as_desired(made))], now=NOW)
    made.finish_inventory()
    assert decided(made) is None
    event(made)
    assert decided(made, now=NOW + 60_000) is change


def test_a_violation_that_returns_after_the_start_does_not_wait() -> None:
    """It is reactivated at once."""
    made = after_a_handover()
    listed(made, numbers=())
    made.observed.take_part("", [shown(msgspec.structs.replace(STALE, archived=True))], now=NOW)
    report(made, "a", [1])
    assert decided(made) is Change.REACTIVATED


def test_an_unchanged_report_after_the_start_is_no_change() -> None:
    """A scan that writes it again says nothing new."""
    made = after_a_handover()
    listed(made)
    made.observed.take_part("", [shown(STALE)], now=NOW)
    report(made, "a", [1])
    assert decided(made) is Hold.SECOND_READ


@pytest.mark.parametrize(("age", "waits"), [(1, False), (-1, True)], ids=["since the start", "before the start"])
def test_an_acknowledgement_of_this_process(age: int, *, waits: bool) -> None:
    """From before the start it says nothing: another process had the cluster since."""
    noted = Acknowledged()
    made = after_a_handover(noted)
    noted.note(made.observed, id_of(1), STALE, STARTED + age)
    listed(made)
    assert made.entries[id_of(1)].observed == STALE
    assert decided(made) is (Hold.SECOND_READ if waits else Change.CHANGED)


@pytest.mark.parametrize(("seconds", "waits"), [(90, True), (91, False)])
@pytest.mark.parametrize("digits", [0, 1, 4])
def test_a_part_of_the_inventory_that_is_read_late_does_not_wait(seconds: int, digits: int, *, waits: bool) -> None:
    """A large inventory takes minutes: what it shows then is not older than the start."""
    made = after_a_handover()
    listed(made)
    part = id_of(1).rpartition("/")[2][:digits]
    began = STARTED + 1000 * seconds
    made.observed.take_part(part, [shown(STALE)], now=began + 30_000, began=began)
    assert decided(made) is (Hold.SECOND_READ if waits else Change.CHANGED)


def test_without_another_process_nothing_waits() -> None:
    """It stopped long ago, or there was none."""
    made = after_a_handover()
    made.observed.progress.recheck_backlog = made.observed.progress.second_read.due = False
    listed(made)
    made.observed.take_part("", [shown(STALE)], now=NOW)
    assert decided(made) is Change.CHANGED
