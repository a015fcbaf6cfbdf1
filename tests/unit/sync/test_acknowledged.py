"""Acknowledgements outlive ledgers while they are recent."""

from hypothesis import given
from hypothesis import strategies as st

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sync.acknowledged import RECENT_MS, Acknowledged
from policyhub.sync.entry import Entry, Observation, ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookup_queue import REREAD_MS
from policyhub.sync.plan import Change
from tests.unit.sync.test_evidence import LIVE, REPORT, act, entry_of, report, violation

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))


class Sender:
    """The part of a ledger that is notified of imports by other ledgers."""

    def __init__(self, cluster_uid: str = "uid") -> None:
        self.cluster_uid = cluster_uid
        self.notified: list[tuple[str, bool]] = []
        """Each id, and whether its import was acknowledged."""

    def note_other_import(self, id_: str, known: ObservedFinding | None, *, now: SteadyMs) -> None:
        self.notified.append((id_, known is not None))


SENDER = Sender()
A, B = ("uid", "a"), ("uid", "b")


def known(updated_at: int, *, archived: bool = False) -> ObservedFinding:
    return ObservedFinding("digest", WallMs(1), WallMs(updated_at), archived=archived)


def test_the_last_acknowledgement_is_valid_for_15_minutes() -> None:
    noted = Acknowledged()
    noted.note(SENDER, "a", known(1), NOW)
    noted.note(SENDER, "a", known(2, archived=True), NOW + 1000)
    assert noted.recent(*A, NOW + 1000 + RECENT_MS) == known(2, archived=True)
    assert noted.acknowledged_at(*A) == NOW + 1000
    assert noted.recent(*A, NOW + 1001 + RECENT_MS) is None
    assert noted.recent(*B, NOW) is None
    assert noted.acknowledged_at(*B) == NEVER


def test_answers_out_of_order() -> None:
    """Security Hub ignores an import that is not later than the stored finding, and so does `Acknowledged`."""
    noted = Acknowledged()
    noted.note(SENDER, "a", known(2), NOW)
    noted.note(SENDER, "a", known(1, archived=True), NOW + 1)
    assert noted.recent(*A, NOW + 1) == known(2)


def test_who_is_notified() -> None:
    """All followers of the same cluster until they unfollow, except the sender."""
    noted, other, ended, elsewhere = Acknowledged(), Sender(), Sender(), Sender("another")
    for follower in (SENDER, other, ended, elsewhere):
        noted.follow(follower)
    noted.unfollow(ended)
    noted.unfollow(ended)
    noted.note(SENDER, "a", known(1), NOW)
    noted.note_unanswered(SENDER, "b", NOW)
    assert other.notified == [("a", True), ("b", False)]
    assert SENDER.notified == ended.notified == elsewhere.notified == []


# -- a ledger whose predecessor had an archive under way --------------------------------------------------------------


def successor(noted: Acknowledged) -> tuple[Ledger, Ledger, Entry, ObservedFinding]:
    """Two ledgers of a cluster, the finding as both know it, and its change in a call of the first in flight."""
    first, second = (
        Ledger(
            cluster_id="alpha",
            cluster_uid="uid",
            default_severity="MEDIUM",
            on_dirty=lambda: None,
            acknowledged=noted,
        )
        for _ in range(2)
    )
    for ledger in (first, second):
        ledger.sources.set_reports_listed(listed=True)
        ledger.sources.set_listing_state(REPORT.source_api, LIVE)
        report(ledger, REPORT, violation())
        entry = entry_of(ledger, violation())
        active = ObservedFinding(entry.digest, WallMs(1), WALL, archived=False)
        held = Observation(
            entry.id, active, "uid", REPORT.source_api, "r", source="kyverno", object_ref=violation().object_ref
        )
        ledger.observed.take_part("", [held], now=NOW)
        ledger.finish_inventory()
        assert act(ledger, entry, now=NOW) is None
        noted.follow(ledger.observed)
    first.mark_in_flight(entry_of(first, violation()))
    return first, second, entry, ObservedFinding(entry.digest, WallMs(1), WALL + 1, archived=True)


def test_an_archive_that_is_acknowledged_after_its_ledger_ended() -> None:
    """The next ledger reactivates the finding at once."""
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    noted.note(first.observed, entry.id, archived, NOW + 1)
    assert entry.observed == archived
    assert entry.id in second.agenda.dirty
    assert act(second, entry, now=NOW + 1) is Change.REACTIVATED


def test_an_archive_without_an_answer_after_its_ledger_ended() -> None:
    """The finding is read at once and a minute later, and the read counts in spite of a recent acknowledgement."""
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    entry.acknowledged_at = NOW
    noted.note_unanswered(first.observed, entry.id, NOW + 1)
    for late in (1, REREAD_MS + 1):
        second.wake(NOW + late)
        assert second.observed.lookups.take(20) == [entry.id]
        read = ObservedFinding(entry.digest, WallMs(1), WALL, archived=False) if late == 1 else archived
        held = Observation(
            entry.id, read, "uid", REPORT.source_api, "r", source="kyverno", object_ref=violation().object_ref
        )
        second.observed.take_lookup(entry.id, held, now=NOW + late)
    assert act(second, entry, now=NOW + late) is Change.REACTIVATED


def test_an_older_import_that_is_acknowledged_late() -> None:
    """A later import of this ledger takes precedence, even without an answer: then the finding is read."""
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    second.mark_in_flight(entry)
    second.mark_unanswered(entry, ObservedFinding("", archived.created_at, archived.updated_at + 5, archived=True))
    before = entry.observed
    noted.note(first.observed, entry.id, archived, NOW + 9)
    assert entry.observed == before
    assert second.observed.lookups.take(20) == [entry.id]


def test_a_call_in_flight_takes_precedence_over_an_older_one() -> None:
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    before = entry.observed
    second.mark_in_flight(entry)
    noted.note(first.observed, entry.id, archived, NOW + 1)
    assert entry.observed == before


def test_nothing_remains_of_a_disabled_hub() -> None:
    noted = Acknowledged()
    noted.note(SENDER, "a", known(1), NOW)
    noted.clear()
    assert noted.recent(*A, NOW) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, RECENT_MS)), max_size=60))
def test_only_recent_acknowledgements_are_kept(steps: list[tuple[str, int]]) -> None:
    """For any sequence: exactly the last acknowledgement of each id, and nothing older."""
    noted, now = Acknowledged(), NOW
    model: dict[str, tuple[int, SteadyMs]] = {}
    for number, (id_, later) in enumerate(steps):
        now += later
        noted.note(SENDER, id_, known(number), now)
        model[id_] = (number, now)
        recent = {id_: number for id_, (number, at) in model.items() if now - at <= RECENT_MS}
        assert len(noted) == len(recent)
        found = {id_: noted.recent("uid", id_, now) for id_ in "abcdef"}
        assert {id_: int(each.updated_at) for id_, each in found.items() if each is not None} == recent
    noted.prune(now + RECENT_MS + 1)
    assert not noted
