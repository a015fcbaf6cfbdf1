"""The comparison: a table of (desired, observed, evidence) → decision."""

from collections.abc import Callable

import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Identity, SourceKey, Subject, Violation
from policyhub.sync.entry import Entry, ListingState, Observation, ObservedFinding
from policyhub.sync.grading import RESUME_MS
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import (
    ARCHIVE_REJECTED,
    DAY_MS,
    REFRESH_MS,
    Change,
    Decision,
    Rules,
    Wait,
    decide,
    next_update,
    refresh_due,
)

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
REPORT = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r1")
CONSTRAINT = SourceKey("constraints.gatekeeper.sh", "k8sallowedrepos", "", "repos")


def violation(name: str = "web", *, source: str = "kyverno", rule: str = "r", message: str = "m") -> Violation:
    return Violation(
        source=source,
        policy="p",
        rule=rule,
        subject=Subject("apps", "Deployment", "shop", name),
        discriminator="",
        result="fail",
        severity="HIGH",
        category="",
        message=message,
    )


def nothing() -> frozenset[Identity]:
    return frozenset()


def ledger(*, read: bool = True, covered: bool = True) -> Ledger:
    made = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    if read:
        made.observed.take_part("", [], now=NOW - DAY_MS)
        made.finish_inventory()
    if covered:
        made.sources.set_reports_listed(listed=True)
        for key in (REPORT, CONSTRAINT):
            made.sources.set_listing_state(key.source_api, ListingState(live=True, since=NOW - DAY_MS))
            made.sources.confirmed[key.source_api] = NOW + DAY_MS
    return made


def claim(made: Ledger, reported: Violation, *, key: SourceKey = REPORT, now: SteadyMs = NOW) -> Entry:
    made.read(key, [(reported, None)], complete=True, passed=nothing, now=now)
    return made.entries[finding_id("alpha", reported.identity)]


def sent(made: Ledger, entry: Entry, *, archived: bool = False, at: SteadyMs = NOW) -> None:
    """A successful import of the entry."""
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WallMs(int(at)), WallMs(int(at)), archived), now=at)


def is_desired(made: Ledger) -> Entry:
    return claim(made, violation())


def active(made: Ledger) -> Entry:
    entry = is_desired(made)
    sent(made, entry)
    return entry


def lost(made: Ledger) -> Entry:
    """Active, and its report omits it."""
    entry = active(made)
    made.read(REPORT, [], complete=True, passed=nothing, now=NOW)
    return entry


def passes(made: Ledger) -> Entry:
    """Active, and its report now shows a pass."""
    entry = active(made)
    made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    return entry


def archived(made: Ledger) -> Entry:
    entry = lost(made)
    sent(made, entry, archived=True)
    return entry


def relapsed(made: Ledger) -> Entry:
    archived(made)
    return is_desired(made)


def changed(made: Ledger) -> Entry:
    active(made)
    return claim(made, violation(message="worse"))


def old(made: Ledger) -> Entry:
    entry = is_desired(made)
    sent(made, entry, at=NOW - REFRESH_MS)
    return entry


def rejected(made: Ledger) -> Entry:
    entry = is_desired(made)
    made.mark_in_flight(entry)
    made.reject(entry, entry.digest)
    return entry


def rejected_then_changed(made: Ledger) -> Entry:
    rejected(made)
    return claim(made, violation(message="other"))


def archive_rejected(made: Ledger) -> Entry:
    entry = lost(made)
    made.mark_in_flight(entry)
    made.reject(entry, ARCHIVE_REJECTED)
    return entry


def only_in_hub(made: Ledger, *, key: SourceKey = REPORT, at: SteadyMs = NOW) -> Entry:
    reported = violation(rule="repos" if key is CONSTRAINT else "r")
    id_ = finding_id("alpha", reported.identity)
    known = ObservedFinding("d", WALL - DAY_MS, WALL - DAY_MS, archived=False)
    made.observed.take_part("", [Observation(id_, known, "uid-1", key.source_api, reported.rule)], now=at)
    return made.entries[id_]


def deleted_while_uncovered(made: Ledger) -> Entry:
    entry = lost(made)
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=False))
    return entry


def covered_again(made: Ledger) -> Entry:
    entry = deleted_while_uncovered(made)
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=True, since=NOW + DELAY))
    return entry


def of_truncated_constraint(made: Ledger) -> Entry:
    made.read(CONSTRAINT, [], complete=False, passed=nothing, now=NOW)
    return only_in_hub(made, key=CONSTRAINT)


def unconfirmed(made: Ledger) -> Entry:
    entry = lost(made)
    made.sources.confirmed[REPORT.source_api] = NOW - 1
    return entry


def cut_and_resumed(made: Ledger) -> Entry:
    """The watch was interrupted at the end of the delay, and resumed."""
    entry = lost(made)
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=False))
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=True, since=NOW - DAY_MS, resumed=NOW + DELAY))
    return entry


def beside_an_unreadable_report(made: Ledger) -> Entry:
    made.read(SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r2"), [], complete=False, passed=nothing, now=NOW)
    return only_in_hub(made)


def beside_a_blind_listing(made: Ledger) -> Entry:
    made.sources.set_unreadable(REPORT.source_api, frozenset({"shop"}))
    return only_in_hub(made)


def called_beside_an_unreadable_report(made: Ledger) -> Entry:
    made.read(SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r2"), [], complete=False, passed=nothing, now=NOW)
    return lost(made)


def passes_on_a_fresh_watch(made: Ledger) -> Entry:
    """Its report shows a pass, by a watch that began after the last discovery: another cluster may be answering."""
    entry = passes(made)
    made.sources.stream_started_at[REPORT.source_api] = NOW + 1
    made.sources.confirmed[REPORT.source_api] = NOW
    return entry


def others_unheard(made: Ledger) -> Entry:
    entry = passes(made)
    made.sources.set_reports_listed(listed=False)
    return entry


def returned_in_time(made: Ledger) -> Entry:
    lost(made)
    return claim(made, violation())


def unanswered(made: Ledger) -> Entry:
    """Its import got no answer, and then the violation ended."""
    entry = is_desired(made)
    made.mark_in_flight(entry)
    made.mark_unanswered(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False))
    made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    return entry


@pytest.mark.parametrize(
    ("state", "after", "expected"),
    [
        pytest.param(is_desired, 0, Change.NEW, id="new"),
        pytest.param(active, 0, None, id="unchanged"),
        pytest.param(changed, 0, Change.CHANGED, id="changed"),
        pytest.param(relapsed, 0, Change.REACTIVATED, id="relapsed"),
        pytest.param(old, 0, Change.REFRESHED, id="30 days old"),
        pytest.param(rejected, 0, Hold.REJECTED, id="permanently rejected"),
        pytest.param(rejected_then_changed, 0, Change.NEW, id="rejected, then other content"),
        pytest.param(passes, 0, Change.ARCHIVED, id="passes: at once"),
        pytest.param(passes_on_a_fresh_watch, DAY_MS, Hold.UNCONFIRMED, id="passes on a watch not yet confirmed"),
        pytest.param(lost, 0, Wait(NOW + DELAY), id="lost: waits"),
        pytest.param(lost, DELAY - 1, Wait(NOW + DELAY), id="lost: waits to the end"),
        pytest.param(lost, DELAY, Change.ARCHIVED, id="lost: archived after the delay"),
        pytest.param(returned_in_time, DELAY, None, id="reported again within the delay"),
        pytest.param(archived, DELAY, None, id="archived already"),
        pytest.param(archive_rejected, DELAY, Hold.REJECTED, id="archived body rejected"),
        pytest.param(deleted_while_uncovered, DAY_MS, Hold.SOURCE, id="its API is not live: never"),
        pytest.param(covered_again, DELAY, Wait(NOW + 2 * DELAY), id="its API is live again: the delay restarts"),
        pytest.param(covered_again, 2 * DELAY, Change.ARCHIVED, id="its API is live again: archived"),
        pytest.param(unconfirmed, DELAY, Hold.UNCONFIRMED, id="no discovery since: waits for one"),
        pytest.param(
            cut_and_resumed, DELAY, Wait(NOW + DELAY + RESUME_MS), id="watch interrupted: waits for its events"
        ),
        pytest.param(cut_and_resumed, DELAY + RESUME_MS, Change.ARCHIVED, id="watch interrupted: the delay continues"),
        pytest.param(beside_an_unreadable_report, DAY_MS, Hold.UNLISTED, id="a report could not be read fully: never"),
        pytest.param(beside_a_blind_listing, DAY_MS, Hold.UNLISTED, id="an object could not be read at all: never"),
        pytest.param(called_beside_an_unreadable_report, DELAY, Change.ARCHIVED, id="its own report was complete"),
        pytest.param(others_unheard, 0, Hold.SOURCE, id="another API may still report it: held, passing or not"),
        pytest.param(only_in_hub, DELAY, Change.ARCHIVED, id="only in the hub: archived after the delay"),
        pytest.param(of_truncated_constraint, DAY_MS, Hold.UNLISTED, id="its constraint is truncated: never"),
        pytest.param(unanswered, 0, Change.ARCHIVED, id="possibly written, then lost: archived"),
    ],
)
def test_decision(state: Callable[[Ledger], Entry], after: int, expected: Decision) -> None:
    """By the entry, its coverage and the time: the table of the module."""
    made = ledger()
    entry = state(made)
    evidence = made.evidence(entry, rules=RULES, now=NOW + after, wall_clock=WALL + after)
    assert decide(entry, evidence, RULES, NOW + after) == expected


def test_no_archive_mode_never_archives() -> None:
    """NoArchive holds archives, also on certain evidence."""
    made = ledger()
    rules = Rules(archive_delay_ms=0, archive=False)
    assert made.decide(passes(made), rules=rules, now=NOW + DAY_MS, wall_clock=WALL + DAY_MS)[0] is Hold.MODE


def test_unknown_api_is_no_evidence() -> None:
    """A finding whose API was never live in this process is held: its CRD may have been deleted while we were down."""
    made = ledger(covered=False)
    made.sources.set_reports_listed(listed=True)
    assert made.decide(only_in_hub(made), rules=RULES, now=NOW + DAY_MS, wall_clock=WALL + DAY_MS)[0] is Hold.SOURCE


def test_refreshes_are_spread_and_early_enough() -> None:
    """Between day 25 and day 30, spread by id."""
    dues = {refresh_due(f"policyhub/alpha/{n:032x}", WallMs(0)) for n in range(0, 65536, 4096)}
    assert len(dues) == 16
    assert min(dues) >= WallMs(25 * DAY_MS)
    assert max(dues) <= WallMs(30 * DAY_MS)


@pytest.mark.parametrize(
    ("known", "now", "expected"),
    [(None, 5, 5), (4, 5, 5), (5, 5, 6), (9, 5, 10)],
    ids=["first", "clock ahead", "same millisecond", "clock went back"],
)
def test_updated_at_grows(known: int | None, now: int, expected: int) -> None:
    """UpdatedAt always grows: Security Hub ignores an import that is not later."""
    assert int(next_update(None if known is None else WallMs(known), now=WallMs(now))) == expected
