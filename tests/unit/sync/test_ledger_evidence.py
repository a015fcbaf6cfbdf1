"""What the ledger adds to the evidence of `grading`: inventory, guard, formerly missing evidence, clocks."""

from collections.abc import Callable

import pytest

from policyhub.model.violation import Violation
from policyhub.sync.entry import Entry, ListingState, ObservedFinding
from policyhub.sync.evidence import CHANGE_WAIT_MS
from policyhub.sync.existence import Presence
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import DAY_MS, REFRESH_MS, Change, Wait, refresh_due
from policyhub.sync.usage import Limits
from tests.unit.sync.fake_existence import FakeExistence
from tests.unit.sync.test_evidence import (
    CONSTRAINT,
    DELAY,
    LIVE,
    NOW,
    REPORT,
    RULES,
    WALL,
    act,
    entry_of,
    ledger,
    listed,
    only_in_hub,
    report,
    sent,
    violation,
)


def unread() -> Ledger:
    """Like `ledger`, with its inventory in progress."""
    made = ledger()
    made.observed.progress.complete = False
    return made


def reported_and_lost(made: Ledger, *reported: Violation) -> Entry:
    report(made, REPORT, *(reported or (violation(),)))
    entry = sent(made, *(reported or (violation(),)))
    made.forget(REPORT, now=NOW)
    return entry


# -- the inventory ----------------------------------------------------------------------------------------------------


def test_nothing_guarded_is_archived_before_the_inventory_is_complete() -> None:
    """The guard has not counted all findings of the source: one of one may be one of thousands. Then it is decided
    again.
    """
    made = unread()
    entry = reported_and_lost(made)
    for _ in range(2):
        assert act(made, entry, now=NOW + DAY_MS) is Hold.GUARD
    made.finish_inventory()
    assert entry.id in made.agenda.dirty
    assert act(made, entry, now=NOW + DAY_MS) is Change.ARCHIVED


@pytest.mark.parametrize("by", ["a pass", "a deletion"])
def test_certain_evidence_waits_for_no_inventory(by: str) -> None:
    """It does not depend on how much its source has lost."""
    made = unread()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    if by == "a pass":
        made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    else:
        made.forget(REPORT, now=NOW)
        asked = FakeExistence()
        asked.subjects[violation().subject] = Presence.ABSENT
        made.sources.existence = asked
        made.sources.discovered = NOW + DAY_MS
    assert act(made, entry, now=NOW + DELAY) is Change.ARCHIVED


# -- what was missing before ------------------------------------------------------------------------------------------


def source_back(made: Ledger) -> Callable[[], None]:
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=False))
    return lambda: made.sources.set_listing_state(REPORT.source_api, LIVE)


def reports_listed(made: Ledger) -> Callable[[], None]:
    made.sources.set_reports_listed(listed=False)
    return lambda: made.sources.set_reports_listed(listed=True)


def evaluated(made: Ledger) -> Callable[[], None]:
    made.sources.set_unevaluated(REPORT, frozenset({entry_of(made, violation()).id}))

    def ends() -> None:
        made.sources.set_unevaluated(REPORT, frozenset())

    return ends


def scanned_again(made: Ledger) -> Callable[[], None]:
    asked = FakeExistence(p=Presence.PRESENT)
    asked.subjects[violation().subject] = Presence.PRESENT
    made.sources.existence = asked

    def ends() -> None:
        asked.subjects.clear()

    return ends


@pytest.mark.parametrize(
    ("state", "hold"),
    [
        pytest.param(source_back, Hold.SOURCE, id="its API is live again"),
        pytest.param(reports_listed, Hold.SOURCE, id="all APIs were listed"),
        pytest.param(evaluated, Hold.UNLISTED, id="it could be evaluated"),
        pytest.param(scanned_again, Hold.UNREPORTED, id="what was unreported is not"),
    ],
)
def test_the_delay_restarts_when_evidence_becomes_available(
    state: Callable[[Ledger], Callable[[], None]], hold: Hold
) -> None:
    """Findings may come back in several steps: the finding waits for one more delay, however old the loss."""
    made = ledger()
    entry = reported_and_lost(made)
    end = state(made)
    assert act(made, entry, now=NOW + DAY_MS) is hold
    end()
    at = NOW + DAY_MS + 500
    assert act(made, entry, now=at) == Wait(at + DELAY)
    assert act(made, entry, now=at + DELAY - 1) == Wait(at + DELAY)
    assert act(made, entry, now=at + DELAY) is Change.ARCHIVED


def test_a_restarted_delay_is_for_that_loss_only() -> None:
    """A violation that was reported again and lost again waits from its new loss."""
    made = ledger()
    entry = reported_and_lost(made)
    source_back(made)()
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=False))
    act(made, entry, now=NOW)
    made.sources.set_listing_state(REPORT.source_api, LIVE)
    assert act(made, entry, now=NOW + 5 * DELAY) == Wait(NOW + 6 * DELAY)
    report(made, REPORT, violation(), now=NOW + DELAY)
    made.forget(REPORT, now=NOW + DELAY)
    assert act(made, entry, now=NOW + DELAY) == Wait(NOW + 2 * DELAY)


@pytest.mark.parametrize("hold", [Hold.AUDIT, Hold.PRESENCE, Hold.UNCONFIRMED, Hold.GUARD])
def test_other_holds_do_not_restart_the_delay(hold: Hold) -> None:
    """An audit, an answer, a discovery and an approval add to existing evidence."""
    made = ledger()
    asked = FakeExistence()
    made.sources.existence = asked
    if hold is Hold.AUDIT:
        report(made, CONSTRAINT, listed(), audited=100)
        entry = sent(made, listed())
        report(made, CONSTRAINT, audited=110)
    else:
        entry = reported_and_lost(made)
    asked.silent = hold is Hold.PRESENCE
    made.observed.progress.complete = hold is not Hold.GUARD
    confirmed = dict(made.sources.confirmed)
    if hold is Hold.UNCONFIRMED:
        made.sources.confirmed[REPORT.source_api] = NOW - 1
    made.guard.add_lost(entry.id, ("kyverno", "shop"))
    held = act(made, entry, now=NOW + DELAY)
    assert (held.hold if isinstance(held, Wait) else held) is hold
    asked.silent = False
    made.observed.progress.complete = True
    made.sources.confirmed = confirmed
    report(made, CONSTRAINT, audited=120)
    made.guard.add_lost(entry.id, ("kyverno", "shop"))
    assert act(made, entry, now=NOW + DELAY) is Change.ARCHIVED


# -- what is known otherwise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [False, True], ids=["changed", "came back"])
def test_changes_wait_for_the_first_listings(*, archived: bool) -> None:
    """Half an hour at most; new findings do not wait."""
    made = ledger()
    made.sources.set_reports_listed(listed=False, now=NOW)
    report(made, REPORT, violation(), violation("new"))
    entry = entry_of(made, violation())
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding("other", WALL, WALL, archived), now=NOW)
    change = Change.REACTIVATED if archived else Change.CHANGED
    assert act(made, entry, now=NOW) == Wait(NOW + CHANGE_WAIT_MS)
    assert made.decide(entry_of(made, violation("new")), rules=RULES, now=NOW, wall_clock=WALL)[0] is Change.NEW
    assert made.decide(entry, rules=RULES, now=NOW + CHANGE_WAIT_MS, wall_clock=WALL)[0] is change
    made.sources.set_reports_listed(listed=True, now=NOW + 5)
    assert entry.id in made.agenda.dirty
    assert act(made, entry, now=NOW + 5) is change


def test_changes_of_a_constraint_wait_for_its_own_listing() -> None:
    """They do not wait for report APIs."""
    made = ledger()
    made.sources.set_reports_listed(listed=False, now=NOW)
    made.sources.listed.discard(CONSTRAINT.source_api)
    report(made, CONSTRAINT, listed(), audited=100)
    entry = entry_of(made, listed())
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding("other", WALL, WALL, archived=False), now=NOW)
    assert act(made, entry, now=NOW) == Wait(NOW + CHANGE_WAIT_MS)
    made.sources.listed.add(CONSTRAINT.source_api)
    assert act(made, entry, now=NOW) is Change.CHANGED


@pytest.mark.parametrize(
    ("wall_clock", "since_acknowledged", "refreshed"),
    [
        pytest.param(REFRESH_MS, DAY_MS, True, id="thirty days old"),
        pytest.param(REFRESH_MS, DAY_MS - 1, False, id="thirty days old, but sent within a day"),
        pytest.param(0, 40 * DAY_MS, False, id="new by the wall clock: the process or its clock was suspended"),
    ],
)
def test_refreshes_go_by_the_wall_clock(wall_clock: int, since_acknowledged: int, *, refreshed: bool) -> None:
    """Security Hub has its own clock; a jump of the wall clock sends nothing twice a day."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    due = NOW + since_acknowledged
    decision, _ = made.decide(entry, rules=RULES, now=due, wall_clock=WALL + wall_clock)
    assert decision is (Change.REFRESHED if refreshed else None)


def test_a_refresh_is_due_at_its_time() -> None:
    """And not a millisecond earlier."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    due = refresh_due(entry.id, WALL)
    later = NOW + 2 * DAY_MS
    assert made.decide(entry, rules=RULES, now=later, wall_clock=due - 1)[0] is None
    assert made.decide(entry, rules=RULES, now=later, wall_clock=due)[0] is Change.REFRESHED


# -- what is blocked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_desired", [True, False], ids=["new", "archived"])
def test_a_failed_finding_waits(*, is_desired: bool) -> None:
    """For any kind of import, until the end of its back-off."""
    made = ledger()
    report(made, REPORT, violation())
    entry = entry_of(made, violation()) if is_desired else sent(made, violation())
    if not is_desired:
        made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    made.observed.outcomes.postpone(entry.id, until=NOW + 50)
    assert act(made, entry, now=NOW) == Wait(NOW + 50, Hold.FAILED)
    assert act(made, entry, now=NOW + 50) is (Change.NEW if is_desired else Change.ARCHIVED)


def test_a_failed_import_of_an_ended_violation_leaves_nothing() -> None:
    """Security Hub failed the finding: it was not written, and there is nothing to archive."""
    made = ledger()
    report(made, REPORT, violation())
    entry = entry_of(made, violation())
    made.mark_in_flight(entry)
    made.observed.outcomes.postpone(entry.id, until=NOW + 50)
    made.release(entry)
    assert entry.observed is None
    made.forget(REPORT, now=NOW)
    if entry.id in made.entries:
        assert act(made, entry, now=NOW + DAY_MS) is None
    assert entry.id not in made.entries
    assert not made.observed.outcomes.failures(entry.id)


def test_a_namespace_that_used_up_its_imports_waits() -> None:
    """Until it may import again, with that hold."""
    made = Ledger(
        cluster_id="alpha",
        cluster_uid="uid-1",
        default_severity="MEDIUM",
        on_dirty=lambda: None,
        limits=Limits(namespace_imports=1),
    )
    made.observed.take_part("", [], now=NOW)
    report(made, REPORT, violation())
    entry = entry_of(made, violation())
    assert act(made, entry, now=NOW) is Change.NEW
    made.usage.count_import("shop", now=NOW)
    decision = act(made, entry, now=NOW)
    assert isinstance(decision, Wait)
    assert decision.hold is Hold.BUDGET
    assert decision.until > NOW


@pytest.mark.parametrize("is_desired", [True, False], ids=["reported", "lost"])
def test_another_clusters_finding_is_left_alone(*, is_desired: bool) -> None:
    """Whatever else is known about it."""
    made = ledger()
    entry = only_in_hub(made, violation(), REPORT)
    if is_desired:
        report(made, REPORT, violation())
    made.observed.quarantine.add(entry.id, "uid-2", archived=False, inventory=False)
    evidence = made.evidence(entry, rules=RULES, now=NOW + DAY_MS, wall_clock=WALL)
    assert evidence.quarantined
    assert made.decide(entry, rules=RULES, now=NOW + DAY_MS, wall_clock=WALL)[0] is (
        Hold.QUARANTINED if is_desired else None
    )
