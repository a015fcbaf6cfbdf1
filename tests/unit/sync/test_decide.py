"""The comparison alone: (entry, evidence, rules, time) → decision, without a ledger."""

import msgspec
import pytest

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sync.entry import Entry, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.plan import (
    ARCHIVE_REJECTED,
    GUARDED,
    Change,
    Decision,
    Evidence,
    Grade,
    Rules,
    Wait,
    decide,
)

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
ID = "policyhub/alpha/0123456789abcdef0123456789abcdef"
ACTIVE = ObservedFinding("d", WALL, WALL, archived=False)
ARCHIVED = ObservedFinding("d", WALL, WALL, archived=True)
OTHER = ObservedFinding("other", WALL, WALL, archived=False)
LATER = NOW + 1


def entry(known: ObservedFinding | None, *, is_desired: bool, rejected: str = "", deferred: SteadyMs = NEVER) -> Entry:
    made = Entry(ID)
    made.observed, made.desired, made.digest = known, is_desired, "d"
    made.rejected, made.substituted_since = rejected, deferred
    return made


def desired(known: ObservedFinding | None = None, *, rejected: str = "", deferred: SteadyMs = NEVER) -> Entry:
    return entry(known, is_desired=True, rejected=rejected, deferred=deferred)


def lost(known: ObservedFinding | None = ACTIVE, *, rejected: str = "") -> Entry:
    return entry(known, is_desired=False, rejected=rejected)


UNKNOWN_CONTENT = ObservedFinding("", WALL, WALL, archived=False)
OTHER_VERSION = ObservedFinding("d", WALL, WALL, archived=False, renderer="0")


@pytest.mark.parametrize(
    ("made", "evidence", "expected"),
    [
        pytest.param(desired(), Evidence(), Change.NEW, id="new"),
        pytest.param(desired(), Evidence(not_before=NOW), Change.NEW, id="new: the wait for the other API is over"),
        pytest.param(desired(), Evidence(not_before=LATER), Wait(LATER), id="new: waits for the other API"),
        pytest.param(
            desired(), Evidence(changes_wait_until=LATER), Change.NEW, id="new: is sent before the first listings"
        ),
        pytest.param(desired(ACTIVE), Evidence(changes_wait_until=LATER, not_before=LATER), None, id="unchanged"),
        pytest.param(desired(OTHER), Evidence(), Change.CHANGED, id="changed"),
        pytest.param(
            desired(OTHER),
            Evidence(changes_wait_until=NOW),
            Change.CHANGED,
            id="changed: the wait for the first listings is over",
        ),
        pytest.param(
            desired(OTHER), Evidence(changes_wait_until=LATER), Wait(LATER), id="changed: waits for the first listings"
        ),
        pytest.param(
            desired(UNKNOWN_CONTENT),
            Evidence(changes_wait_until=LATER),
            Change.CHANGED,
            id="unknown content: is sent at once",
        ),
        pytest.param(
            desired(UNKNOWN_CONTENT, deferred=NOW), Evidence(), Change.CHANGED, id="unknown content, reported by Pods"
        ),
        pytest.param(desired(OTHER, deferred=NOW), Evidence(), Wait(NOW + DELAY), id="reported by Pods: waits"),
        pytest.param(
            desired(OTHER, deferred=NOW - DELAY), Evidence(), Change.CHANGED, id="reported by Pods: the wait is over"
        ),
        pytest.param(
            desired(OTHER, deferred=NOW),
            Evidence(changes_wait_until=NOW + DELAY + 1),
            Wait(NOW + DELAY + 1),
            id="reported by Pods, and not all is listed: the later of both",
        ),
        pytest.param(desired(ARCHIVED), Evidence(), Change.REACTIVATED, id="reactivated"),
        pytest.param(
            desired(ARCHIVED), Evidence(changes_wait_until=LATER), Wait(LATER), id="reactivated: not all is listed"
        ),
        pytest.param(desired(ARCHIVED), Evidence(not_before=LATER), Wait(LATER), id="reactivated: the other API"),
        pytest.param(
            desired(ARCHIVED),
            Evidence(changes_wait_until=NOW, not_before=NOW),
            Change.REACTIVATED,
            id="reactivated: due",
        ),
        pytest.param(desired(ACTIVE), Evidence(refresh=True), Change.REFRESHED, id="due for a refresh"),
        pytest.param(desired(OTHER_VERSION), Evidence(), Change.REFRESHED, id="another renderer version"),
        pytest.param(desired(OTHER), Evidence(refresh=True), Change.CHANGED, id="old and changed: changed"),
        pytest.param(
            desired(OTHER),
            Evidence(rewording_waits_until=LATER),
            Wait(LATER, Hold.WORDING),
            id="changed: wording only, again",
        ),
        pytest.param(
            desired(OTHER),
            Evidence(rewording_waits_until=NOW),
            Change.CHANGED,
            id="changed: a day after the last rewording",
        ),
        pytest.param(
            desired(ARCHIVED),
            Evidence(rewording_waits_until=LATER),
            Change.REACTIVATED,
            id="reactivated: with any wording",
        ),
        pytest.param(
            desired(ACTIVE),
            Evidence(rewording_waits_until=LATER, refresh=True),
            Change.REFRESHED,
            id="old: with any wording",
        ),
        pytest.param(desired(rejected="d"), Evidence(), Hold.REJECTED, id="rejected"),
        pytest.param(desired(rejected="e"), Evidence(), Change.NEW, id="other content was rejected"),
    ],
)
def test_reported_findings(made: Entry, evidence: Evidence, expected: Decision) -> None:
    """The rows of the table for desired findings."""
    assert decide(made, evidence, RULES, NOW) == expected


def graded(grade: Grade, **others: object) -> Evidence:
    return msgspec.structs.replace(Evidence(grade, since=NOW - DELAY), **others)


@pytest.mark.parametrize(
    ("made", "evidence", "expected"),
    [
        pytest.param(lost(None), graded(Grade.PASSED), None, id="not there"),
        pytest.param(lost(ARCHIVED), graded(Grade.PASSED), None, id="archived already"),
        pytest.param(lost(), Evidence(hold=Hold.SOURCE), Hold.SOURCE, id="no evidence: its reason"),
        pytest.param(
            lost(), Evidence(hold=Hold.UNREPORTED, since=SteadyMs(0)), Hold.UNREPORTED, id="no evidence: never by time"
        ),
        pytest.param(
            lost(),
            Evidence(hold=Hold.PRESENCE, not_before=LATER),
            Wait(LATER, Hold.PRESENCE),
            id="no evidence: its reason, and when it is decided again",
        ),
        pytest.param(lost(), Evidence(not_before=LATER), None, id="no evidence and no reason"),
        pytest.param(
            lost(rejected=ARCHIVE_REJECTED), graded(Grade.PASSED), Hold.REJECTED, id="its archived body was rejected"
        ),
        pytest.param(lost(rejected="d"), graded(Grade.PASSED), Change.ARCHIVED, id="another body was rejected"),
        pytest.param(lost(), Evidence(Grade.PASSED, since=NOW, delayed=False), Change.ARCHIVED, id="at once"),
        pytest.param(lost(), Evidence(Grade.PASSED, since=NOW), Wait(NOW + DELAY), id="delayed"),
        pytest.param(
            lost(),
            Evidence(Grade.PASSED, since=LATER, delayed=False),
            Wait(LATER),
            id="at once, but not before its evidence",
        ),
        pytest.param(
            lost(), graded(Grade.REPEATED, not_before=LATER), Wait(LATER), id="waits for the events of a resumed watch"
        ),
        pytest.param(
            lost(), graded(Grade.REPEATED, not_before=NOW), Change.ARCHIVED, id="the wait for the resumed watch is over"
        ),
        pytest.param(lost(), graded(Grade.REPEATED, since=NOW - DELAY + 1), Wait(LATER), id="a moment too early"),
        pytest.param(lost(), graded(Grade.REPEATED, confirmed=False), Hold.UNCONFIRMED, id="unconfirmed"),
        pytest.param(
            lost(), graded(Grade.REPEATED, since=NOW, confirmed=False), Wait(NOW + DELAY), id="unconfirmed: time first"
        ),
        pytest.param(
            lost(),
            graded(Grade.REPEATED, confirmed=False, held_by_guard=True),
            Hold.UNCONFIRMED,
            id="unconfirmed and guarded",
        ),
    ],
)
def test_findings_that_nobody_reports(made: Entry, evidence: Evidence, expected: Decision) -> None:
    """The rows of the table for findings that nobody reports."""
    assert decide(made, evidence, RULES, NOW) == expected


ARCHIVES = [grade for grade in Grade if grade is not Grade.NONE]


@pytest.mark.parametrize("grade", ARCHIVES)
def test_every_grade_waits_for_the_delay_and_then_archives(grade: Grade) -> None:
    """If the delay applies, for each grade."""
    evidence = Evidence(grade, since=NOW)
    assert decide(lost(), evidence, RULES, NOW + DELAY - 1) == Wait(NOW + DELAY)
    assert decide(lost(), evidence, RULES, NOW + DELAY) is Change.ARCHIVED


@pytest.mark.parametrize("grade", ARCHIVES)
def test_the_guard_holds_uncertain_evidence_only(grade: Grade) -> None:
    """Certain evidence and an approval need no guard."""
    expected = Hold.GUARD if grade in GUARDED else Change.ARCHIVED
    assert decide(lost(), graded(grade, held_by_guard=True), RULES, NOW) is expected


def test_what_is_guarded() -> None:
    """Everything but a pass, a deletion that the API server confirms, and an approval."""
    assert set(ARCHIVES) - GUARDED == {Grade.PASSED, Grade.DELETED, Grade.APPROVED}


@pytest.mark.parametrize("grade", ARCHIVES)
def test_no_archive_holds_every_grade(grade: Grade) -> None:
    """The mode forbids what the evidence permits; desired findings are still sent."""
    rules = Rules(archive_delay_ms=DELAY, archive=False)
    assert decide(lost(), graded(grade), rules, NOW) is Hold.MODE
    assert decide(desired(), Evidence(), rules, NOW) is Change.NEW


BLOCKED = Wait(LATER, Hold.FAILED)


@pytest.mark.parametrize(
    ("made", "evidence"),
    [
        pytest.param(desired(), Evidence(), id="new"),
        pytest.param(desired(OTHER), Evidence(), id="changed"),
        pytest.param(desired(ARCHIVED), Evidence(), id="reactivated"),
        pytest.param(desired(OTHER_VERSION), Evidence(), id="refreshed"),
        pytest.param(lost(), graded(Grade.PASSED), id="archived"),
    ],
)
def test_an_import_wait_delays_any_change(made: Entry, evidence: Evidence) -> None:
    """Until its time, with its hold; afterwards it has no effect."""
    before = decide(made, evidence, RULES, NOW)
    blocked = msgspec.structs.replace(evidence, import_wait=BLOCKED)
    assert decide(made, blocked, RULES, NOW) == BLOCKED
    assert decide(made, blocked, RULES, LATER) == before
    assert isinstance(before, Change)


@pytest.mark.parametrize(
    ("made", "evidence", "expected"),
    [
        pytest.param(desired(ACTIVE), Evidence(), None, id="nothing to do"),
        pytest.param(desired(rejected="d"), Evidence(), Hold.REJECTED, id="rejected"),
        pytest.param(lost(), Evidence(hold=Hold.SOURCE), Hold.SOURCE, id="no evidence"),
        pytest.param(lost(), Evidence(Grade.PASSED, since=NOW), Wait(NOW + DELAY), id="delayed"),
    ],
)
def test_another_hold_keeps_its_reason(made: Entry, evidence: Evidence, expected: Decision) -> None:
    """An import wait does not hide why nothing is to be sent."""
    assert decide(made, msgspec.structs.replace(evidence, import_wait=BLOCKED), RULES, NOW) == expected


@pytest.mark.parametrize("known", [None, ACTIVE, OTHER, ARCHIVED])
def test_a_quarantined_finding_is_never_sent(known: ObservedFinding | None) -> None:
    """The id belongs to another cluster: reported or not, whatever else is known."""
    quarantined = graded(Grade.PASSED, quarantined=True, refresh=True)
    assert decide(desired(known), quarantined, RULES, NOW) is Hold.QUARANTINED
    assert decide(lost(known), quarantined, RULES, NOW) is None
