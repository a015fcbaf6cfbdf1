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


def entry(known: ObservedFinding | None, *, wanted: bool, rejected: str = "", deferred: SteadyMs = NEVER) -> Entry:
    made = Entry(ID)
    made.observed, made.desired, made.digest = known, wanted, "d"
    made.rejected, made.substituted_since = rejected, deferred
    return made


def desired(known: ObservedFinding | None = None, *, rejected: str = "", deferred: SteadyMs = NEVER) -> Entry:
    return entry(known, wanted=True, rejected=rejected, deferred=deferred)


def lost(known: ObservedFinding | None = ACTIVE, *, rejected: str = "") -> Entry:
    return entry(known, wanted=False, rejected=rejected)


UNKNOWN_CONTENT = ObservedFinding("", WALL, WALL, archived=False)
OTHER_VERSION = ObservedFinding("d", WALL, WALL, archived=False, renderer="0")


@pytest.mark.parametrize(
    ("made", "evidence", "expected"),
    [
        pytest.param(desired(), Evidence(), Change.NEW, id="new"),
        pytest.param(desired(), Evidence(not_before=NOW), Change.NEW, id="new: the other API has had its time"),
        pytest.param(desired(), Evidence(not_before=LATER), Wait(LATER), id="new: waits for the other API"),
        pytest.param(desired(), Evidence(settled=LATER), Change.NEW, id="new: is sent before the first listings"),
        pytest.param(desired(ACTIVE), Evidence(settled=LATER, not_before=LATER), None, id="unchanged"),
        pytest.param(desired(OTHER), Evidence(), Change.CHANGED, id="changed"),
        pytest.param(desired(OTHER), Evidence(settled=NOW), Change.CHANGED, id="changed: all was heard"),
        pytest.param(desired(OTHER), Evidence(settled=LATER), Wait(LATER), id="changed: waits for the first listings"),
        pytest.param(
            desired(UNKNOWN_CONTENT), Evidence(settled=LATER), Change.CHANGED, id="of unknown content: is sent at once"
        ),
        pytest.param(
            desired(UNKNOWN_CONTENT, deferred=NOW), Evidence(), Change.CHANGED, id="of unknown content, by its Pods"
        ),
        pytest.param(desired(OTHER, deferred=NOW), Evidence(), Wait(NOW + DELAY), id="its Pods speak: waits"),
        pytest.param(desired(OTHER, deferred=NOW - DELAY), Evidence(), Change.CHANGED, id="its Pods speak: it is over"),
        pytest.param(
            desired(OTHER, deferred=NOW),
            Evidence(settled=NOW + DELAY + 1),
            Wait(NOW + DELAY + 1),
            id="its Pods speak, and not all was heard: the later of both",
        ),
        pytest.param(desired(ARCHIVED), Evidence(), Change.REACTIVATED, id="came back"),
        pytest.param(desired(ARCHIVED), Evidence(settled=LATER), Wait(LATER), id="came back: not all was heard"),
        pytest.param(desired(ARCHIVED), Evidence(not_before=LATER), Wait(LATER), id="came back: the other API"),
        pytest.param(desired(ARCHIVED), Evidence(settled=NOW, not_before=NOW), Change.REACTIVATED, id="came back: due"),
        pytest.param(desired(ACTIVE), Evidence(refresh=True), Change.REFRESHED, id="would be forgotten"),
        pytest.param(desired(OTHER_VERSION), Evidence(), Change.REFRESHED, id="of another version"),
        pytest.param(desired(OTHER), Evidence(refresh=True), Change.CHANGED, id="old and changed: changed"),
        pytest.param(
            desired(OTHER), Evidence(wording=LATER), Wait(LATER, Hold.WORDING), id="changed: its words alone, again"
        ),
        pytest.param(desired(OTHER), Evidence(wording=NOW), Change.CHANGED, id="changed: a day after the last words"),
        pytest.param(desired(ARCHIVED), Evidence(wording=LATER), Change.REACTIVATED, id="came back: with any words"),
        pytest.param(
            desired(ACTIVE), Evidence(wording=LATER, refresh=True), Change.REFRESHED, id="old: with any words"
        ),
        pytest.param(desired(rejected="d"), Evidence(), Hold.REJECTED, id="refused"),
        pytest.param(desired(rejected="e"), Evidence(), Change.NEW, id="other content was refused"),
    ],
)
def test_what_is_reported(made: Entry, evidence: Evidence, expected: Decision) -> None:
    """The rows of the table for findings that somebody reports."""
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
            lost(rejected=ARCHIVE_REJECTED), graded(Grade.PASSED), Hold.REJECTED, id="its archived body was refused"
        ),
        pytest.param(lost(rejected="d"), graded(Grade.PASSED), Change.ARCHIVED, id="another body was refused"),
        pytest.param(lost(), Evidence(Grade.PASSED, since=NOW, delayed=False), Change.ARCHIVED, id="at once"),
        pytest.param(lost(), Evidence(Grade.PASSED, since=NOW), Wait(NOW + DELAY), id="delayed"),
        pytest.param(
            lost(), Evidence(Grade.PASSED, since=LATER, delayed=False), Wait(LATER), id="at once, from its time on"
        ),
        pytest.param(
            lost(), graded(Grade.REPEATED, not_before=LATER), Wait(LATER), id="what the cut watch missed is heard"
        ),
        pytest.param(lost(), graded(Grade.REPEATED, not_before=NOW), Change.ARCHIVED, id="it was heard"),
        pytest.param(lost(), graded(Grade.REPEATED, since=NOW - DELAY + 1), Wait(LATER), id="a moment too early"),
        pytest.param(lost(), graded(Grade.REPEATED, confirmed=False), Hold.UNCONFIRMED, id="unconfirmed"),
        pytest.param(
            lost(), graded(Grade.REPEATED, since=NOW, confirmed=False), Wait(NOW + DELAY), id="unconfirmed: time first"
        ),
        pytest.param(
            lost(), graded(Grade.REPEATED, confirmed=False, closed=True), Hold.UNCONFIRMED, id="unconfirmed and guarded"
        ),
    ],
)
def test_what_nobody_reports(made: Entry, evidence: Evidence, expected: Decision) -> None:
    """The rows of the table for findings that nobody reports."""
    assert decide(made, evidence, RULES, NOW) == expected


ARCHIVES = [grade for grade in Grade if grade is not Grade.NONE]


@pytest.mark.parametrize("grade", ARCHIVES)
def test_every_grade_waits_for_the_delay_and_then_archives(grade: Grade) -> None:
    """Where the delay applies, of whatever grade the evidence is."""
    evidence = Evidence(grade, since=NOW)
    assert decide(lost(), evidence, RULES, NOW + DELAY - 1) == Wait(NOW + DELAY)
    assert decide(lost(), evidence, RULES, NOW + DELAY) is Change.ARCHIVED


@pytest.mark.parametrize("grade", ARCHIVES)
def test_the_guard_holds_what_may_err_and_nothing_else(grade: Grade) -> None:
    """Certain evidence and a person's word need no guard."""
    expected = Hold.GUARD if grade in GUARDED else Change.ARCHIVED
    assert decide(lost(), graded(grade, closed=True), RULES, NOW) is expected


def test_what_is_guarded() -> None:
    """All that is neither a pass, nor a deletion that the API server tells of, nor approved of by a person."""
    assert set(ARCHIVES) - GUARDED == {Grade.PASSED, Grade.DELETED, Grade.APPROVED}


@pytest.mark.parametrize("grade", ARCHIVES)
def test_no_archive_holds_every_grade(grade: Grade) -> None:
    """The mode forbids what the evidence allows; what is reported goes on."""
    rules = Rules(archive_delay_ms=DELAY, archive=False)
    assert decide(lost(), graded(grade), rules, NOW) is Hold.MODE
    assert decide(desired(), Evidence(), rules, NOW) is Change.NEW


BLOCKED = Wait(LATER, Hold.FAILED)


@pytest.mark.parametrize(
    ("made", "evidence"),
    [
        pytest.param(desired(), Evidence(), id="new"),
        pytest.param(desired(OTHER), Evidence(), id="changed"),
        pytest.param(desired(ARCHIVED), Evidence(), id="came back"),
        pytest.param(desired(OTHER_VERSION), Evidence(), id="refreshed"),
        pytest.param(lost(), graded(Grade.PASSED), id="archived"),
    ],
)
def test_what_is_blocked_is_not_sent_whatever_it_is(made: Entry, evidence: Evidence) -> None:
    """Until its time, with the reason; from then on as if it had never been."""
    before = decide(made, evidence, RULES, NOW)
    blocked = msgspec.structs.replace(evidence, blocked=BLOCKED)
    assert decide(made, blocked, RULES, NOW) == BLOCKED
    assert decide(made, blocked, RULES, LATER) == before
    assert isinstance(before, Change)


@pytest.mark.parametrize(
    ("made", "evidence", "expected"),
    [
        pytest.param(desired(ACTIVE), Evidence(), None, id="nothing to do"),
        pytest.param(desired(rejected="d"), Evidence(), Hold.REJECTED, id="refused"),
        pytest.param(lost(), Evidence(hold=Hold.SOURCE), Hold.SOURCE, id="no evidence"),
        pytest.param(lost(), Evidence(Grade.PASSED, since=NOW), Wait(NOW + DELAY), id="delayed"),
    ],
)
def test_what_waits_otherwise_keeps_its_own_reason(made: Entry, evidence: Evidence, expected: Decision) -> None:
    """That it could not be sent now does not hide why it is not to be sent."""
    assert decide(made, msgspec.structs.replace(evidence, blocked=BLOCKED), RULES, NOW) == expected


@pytest.mark.parametrize("known", [None, ACTIVE, OTHER, ARCHIVED])
def test_what_is_quarantined_is_never_sent(known: ObservedFinding | None) -> None:
    """The id is another cluster's finding: reported or not, whatever else is known."""
    quarantined = graded(Grade.PASSED, quarantined=True, refresh=True)
    assert decide(desired(known), quarantined, RULES, NOW) is Hold.QUARANTINED
    assert decide(lost(known), quarantined, RULES, NOW) is None
