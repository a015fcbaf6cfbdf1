"""Acknowledgements outlive ledgers, for as long as they are recent."""

from hypothesis import given
from hypothesis import strategies as st

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sync.acknowledged import RECENT_MS, Acknowledged, sign
from policyhub.sync.entry import Entry, Observation, ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Change
from policyhub.sync.readings import LATE_MS
from tests.unit.sync.test_evidence import LIVE, REPORT, act, entry_of, say, violation

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))


class Sender:
    """A ledger of a cluster, as far as it is told of others' calls."""

    def __init__(self, cluster_uid: str = "uid") -> None:
        self.cluster_uid = cluster_uid
        self.told: list[tuple[str, bool]] = []
        """Each id, and whether its call was answered."""

    def overtake(self, id_: str, known: ObservedFinding | None, *, now: SteadyMs) -> None:
        self.told.append((id_, known is not None))


SENDER = Sender()
A, B = sign("uid", "a"), sign("uid", "b")


def known(updated_at: int, *, archived: bool = False) -> ObservedFinding:
    return ObservedFinding("digest", WallMs(1), WallMs(updated_at), archived=archived)


def test_the_last_one_holds_for_a_quarter_of_an_hour() -> None:
    noted = Acknowledged()
    noted.note(SENDER, "a", known(1), NOW)
    noted.note(SENDER, "a", known(2, archived=True), NOW + 1000)
    assert noted.recent(A, NOW + 1000 + RECENT_MS) == known(2, archived=True)
    assert noted.moment(A) == NOW + 1000
    assert noted.recent(A, NOW + 1001 + RECENT_MS) is None
    assert noted.recent(B, NOW) is None
    assert noted.moment(B) == NEVER


def test_answers_in_another_order() -> None:
    """Security Hub ignores an import that is not later than what it has: so does what is kept."""
    noted = Acknowledged()
    noted.note(SENDER, "a", known(2), NOW)
    noted.note(SENDER, "a", known(1, archived=True), NOW + 1)
    assert noted.recent(A, NOW + 1) == known(2)


def test_who_is_told() -> None:
    """Those that follow the same cluster, until they end; never the one whose call it was."""
    noted, other, ended, elsewhere = Acknowledged(), Sender(), Sender(), Sender("another")
    for follower in (SENDER, other, ended, elsewhere):
        noted.follow(follower)
    noted.unfollow(ended)
    noted.unfollow(ended)
    noted.note(SENDER, "a", known(1), NOW)
    noted.doubt(SENDER, "b", NOW)
    assert other.told == [("a", True), ("b", False)]
    assert SENDER.told == ended.told == elsewhere.told == []


# -- a ledger whose predecessor had an archive under way --------------------------------------------------------------


def successor(noted: Acknowledged) -> tuple[Ledger, Ledger, Entry, ObservedFinding]:
    """Two ledgers of a cluster, the finding as both know it, and what the first has made of it in a call under way."""
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
        ledger.sources.list_reports(listed=True)
        ledger.sources.cover(REPORT.source_api, LIVE)
        say(ledger, REPORT, violation())
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
    """The ledger that follows brings the finding back at once."""
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    noted.note(first.observed, entry.id, archived, NOW + 1)
    assert entry.observed == archived
    assert entry.id in second.agenda.dirty
    assert act(second, entry, now=NOW + 1) is Change.REACTIVATED


def test_an_archive_that_is_never_answered_after_its_ledger_ended() -> None:
    """The finding is read at once and a minute later, and what is read counts although an acknowledgement is fresh."""
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    entry.acknowledged_at = NOW
    noted.doubt(first.observed, entry.id, NOW + 1)
    for late in (1, LATE_MS + 1):
        second.wake(NOW + late)
        assert second.observed.lookups.take(20) == [entry.id]
        read = ObservedFinding(entry.digest, WallMs(1), WALL, archived=False) if late == 1 else archived
        held = Observation(
            entry.id, read, "uid", REPORT.source_api, "r", source="kyverno", object_ref=violation().object_ref
        )
        second.observed.answer(entry.id, held, now=NOW + late)
    assert act(second, entry, now=NOW + late) is Change.REACTIVATED


def test_an_older_import_that_is_acknowledged_late() -> None:
    """What this ledger has sent since overrules it, also without an answer: the finding is read."""
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    second.mark_in_flight(entry)
    second.unanswered(entry, ObservedFinding("", archived.created_at, archived.updated_at + 5, archived=True))
    before = entry.observed
    noted.note(first.observed, entry.id, archived, NOW + 9)
    assert entry.observed == before
    assert second.observed.lookups.take(20) == [entry.id]


def test_what_is_in_a_call_overrules_an_older_one() -> None:
    noted = Acknowledged()
    first, second, entry, archived = successor(noted)
    before = entry.observed
    second.mark_in_flight(entry)
    noted.note(first.observed, entry.id, archived, NOW + 1)
    assert entry.observed == before


def test_nothing_is_left_of_a_hub_that_was_switched_off() -> None:
    noted = Acknowledged()
    noted.note(SENDER, "a", known(1), NOW)
    noted.clear()
    assert noted.recent(A, NOW) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, RECENT_MS)), max_size=60))
def test_no_more_is_kept_than_was_sent_lately(steps: list[tuple[str, int]]) -> None:
    """Whatever is noted and whenever: exactly the last acknowledgement of each id, and nothing that is older."""
    noted, now = Acknowledged(), NOW
    model: dict[str, tuple[int, SteadyMs]] = {}
    for number, (id_, later) in enumerate(steps):
        now += later
        noted.note(SENDER, id_, known(number), now)
        model[id_] = (number, now)
        recent = {id_: number for id_, (number, at) in model.items() if now - at <= RECENT_MS}
        assert len(noted) == len(recent)
        found = {id_: noted.recent(sign("uid", id_), now) for id_ in "abcdef"}
        assert {id_: int(each.updated_at) for id_, each in found.items() if each is not None} == recent
    noted.prune(now + RECENT_MS + 1)
    assert not noted
