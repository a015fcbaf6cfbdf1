"""Archived findings that nobody reports: only the latest are kept as entries; others are read before they are sent."""

from policyhub.findings.identity import finding_id
from policyhub.model.violation import SourceKey, Violation
from policyhub.sync.archive import ID_TTL_MS, Archive
from policyhub.sync.entry import Observation, ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import DAY_MS, Change
from tests.unit.sync.test_evidence import NOW, REPORT, WALL, act, entry_of, ledger, report, sent, violation

MAX_ENTRIES = 3


def id_(number: int) -> str:
    return finding_id("alpha", violation(f"web{number}").identity)


def small() -> Ledger:
    made = ledger()
    made.observed.archive.max_entries = MAX_ENTRIES
    return made


def key(number: int) -> SourceKey:
    return SourceKey(REPORT.group, REPORT.resource, REPORT.namespace, f"r{number}")


def end(made: Ledger, number: int) -> Violation:
    """A violation that has ended, with an archived finding."""
    reported = violation(f"web{number}")
    report(made, key(number), reported)
    sent(made, reported)
    made.read(key(number), [], complete=True, passed=lambda: frozenset({reported.identity}), now=NOW)
    entry = sent(made, reported, archived=True)
    assert act(made, entry, now=NOW) is None
    return reported


def test_only_the_latest_are_kept() -> None:
    made = small()
    for number in range(10):
        end(made, number)
        made.evaluate_guard(now=NOW)
    assert list(made.entries) == [id_(7), id_(8), id_(9)]
    assert len(made.observed.archive) == 7


def test_a_dropped_finding_is_read_before_it_is_sent() -> None:
    """Its `CreatedAt` stays; if Security Hub has deleted it, it is new."""
    made = small()
    reported = [end(made, number) for number in range(6)]
    made.evaluate_guard(now=NOW)
    for number in (0, 1):
        report(made, key(number), reported[number])
    assert made.observed.lookups.take(20) == [id_(0), id_(1)]
    assert not [i for i in made.agenda.dirty if i in {id_(0), id_(1)}]
    known = ObservedFinding("d", WALL - 5, WALL, archived=True)
    held = Observation(
        id_(0), known, "uid-1", REPORT.source_api, "r", source="kyverno", object_ref=reported[0].object_ref
    )
    made.observed.take_lookup(id_(0), held, now=NOW)
    made.observed.take_lookup(id_(1), None, now=NOW)
    entry = entry_of(made, reported[0])
    assert entry.observed == known
    assert act(made, entry, now=NOW) is Change.REACTIVATED
    assert act(made, entry_of(made, reported[1]), now=NOW) is Change.NEW
    report(made, key(9), violation("never"))
    assert not made.observed.lookups.take(20)


def test_one_of_a_first_listing_is_read_too() -> None:
    """The inventory has passed it already and does not read it again."""
    made = small()
    reported = [end(made, number) for number in range(4)]
    made.evaluate_guard(now=NOW)
    made.read(key(0), [(reported[0], None)], complete=True, passed=frozenset, now=NOW, backlog=True)
    assert made.observed.lookups.take(20) == [id_(0)]


def test_an_inventory_does_not_bring_them_back() -> None:
    made = small()
    reported = [end(made, number) for number in range(6)]
    made.evaluate_guard(now=NOW)
    before = list(made.entries)
    known = ObservedFinding("d", WALL, WALL, archived=True)
    made.observed.take_part(
        "",
        [
            Observation(id_(n), known, "uid-1", REPORT.source_api, "r", source="kyverno", object_ref=one.object_ref)
            for n, one in enumerate(reported)
        ],
        now=NOW + DAY_MS,
    )
    assert list(made.entries) == before
    made.observed.take_part(
        "",
        [
            Observation(
                id_(0),
                ObservedFinding("d", WALL, WALL, archived=False),
                "uid-1",
                REPORT.source_api,
                "r",
                source="kyverno",
            )
        ],
        now=NOW + DAY_MS,
    )
    assert id_(0) in made.entries  # somebody has activated it


def test_reported_findings_are_not_dropped() -> None:
    """Findings in flight and dirty findings are not dropped."""
    made = small()
    reported = [end(made, number) for number in range(6)]
    report(made, key(0), reported[0])
    made.mark_in_flight(made.entries[id_(1)])
    made.evaluate_guard(now=NOW)
    assert {id_(0), id_(1)} < made.entries.keys()
    assert id_(2) not in made.entries


def test_ids_are_forgotten_when_security_hub_has_forgotten_them() -> None:
    archive = Archive()
    archive.drop(id_(1), now=NOW)
    archive.drop(id_(2), now=NOW + ID_TTL_MS)
    assert id_(1) in archive
    archive.drop(id_(3), now=NOW + ID_TTL_MS + 1)
    assert id_(1) not in archive
    assert id_(2) in archive


def test_one_that_is_read_each_day_is_kept_once() -> None:
    archive = Archive()
    for day in range(40):
        archive.drop(id_(1), now=NOW + day * DAY_MS)
    assert len(archive) == 1
    assert id_(1) in archive


def test_the_oldest_ids_are_forgotten() -> None:
    archive = Archive(max_ids=10)
    for number in range(25):
        archive.drop(id_(number), now=NOW)
        assert len(archive) <= 10
    assert [number for number in range(25) if id_(number) in archive] == list(range(15, 25))


def test_ids_that_are_not_ours() -> None:
    """Other importers may use any id under our prefix: it is handled like any id."""
    made = small()
    for number in range(6):
        end(made, number)
    odd = "policyhub/alpha/a-test"
    held = Observation(
        odd, ObservedFinding("d", WALL, WALL, archived=True), "uid-1", REPORT.source_api, "r", source="kyverno"
    )
    made.observed.take_part("", [held], now=NOW)
    assert act(made, made.entries[odd], now=NOW) is None
    for number in range(6, 12):
        end(made, number)
    made.evaluate_guard(now=NOW)
    assert odd not in made.entries
    assert odd in made.observed.archive
    made.observed.take_lookup(odd, held, now=NOW)
    made.observed.take_part("", [held], now=NOW)


def test_the_latest_stay_the_latest() -> None:
    """An inventory reads all of them again, in another order."""
    made = small()
    reported = [end(made, number) for number in range(3)]
    for number in (2, 1, 0):
        assert act(made, entry_of(made, reported[number]), now=NOW) is None
    end(made, 3)
    made.evaluate_guard(now=NOW)
    assert set(made.entries) == {id_(1), id_(2), id_(3)}


def test_a_reactivated_finding_is_sent_if_it_cannot_be_read() -> None:
    """After 15 minutes."""
    made = small()
    reported = [end(made, number) for number in range(4)]
    made.evaluate_guard(now=NOW)
    report(made, key(0), reported[0])
    assert made.observed.progress.count_returning() == 1
    made.evaluate_guard(now=NOW + ACK_OVERRULES_MS)
    assert id_(0) not in made.agenda.dirty
    made.evaluate_guard(now=NOW + ACK_OVERRULES_MS + 1)
    assert id_(0) in made.agenda.dirty
    assert act(made, entry_of(made, reported[0]), now=NOW + ACK_OVERRULES_MS + 1) is Change.NEW
