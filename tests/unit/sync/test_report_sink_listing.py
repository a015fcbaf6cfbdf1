"""What events tell while a listing is read: the view takes them as newer than its pages, and loses none."""

import msgspec
import pytest

from policyhub.clock import WallMs
from policyhub.model.violation import SourceKey
from policyhub.sync import throttle as limits
from policyhub.sync.entry import Entry, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.in_flight import lane_of
from policyhub.sync.lanes import Lane
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Rules
from policyhub.sync.throttle import MAX_DEFERRED_BYTES, Throttle
from tests.unit.sync.test_report_sink import NOW, SOURCE_API, WALL, WATCHING, desired, list_all, made, raw

BURST = 2_000


@pytest.fixture
def small_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BURST", BURST)


def entry(ledger: Ledger, name: str) -> Entry:
    (found,) = (
        e for e in ledger.entries.values() if e.representative is not None and e.representative.subject.name == name
    )
    return found


def flood(name: str, number: int = BURST + 500, *, namespace: str = "shop") -> bytes:
    results = [{"source": "kyverno", "policy": f"p{n}", "result": "fail"} for n in range(number)]
    return msgspec.json.encode({"metadata": {"name": name, "namespace": namespace}, "results": results})


@pytest.mark.parametrize(
    ("new", "cautious", "lane"),
    [
        (True, False, Lane.URGENT),
        (True, True, Lane.URGENT),
        (False, False, Lane.URGENT),
        (False, True, Lane.BACKLOG),
    ],
)
def test_what_an_event_brings_during_a_first_listing_is_fresh(new: bool, cautious: bool, lane: Lane) -> None:  # noqa: FBT001  (a table)
    """But what another process may have sent shortly before waits for the second look, as what pages bring."""
    sink, ledger, _ = made()
    ledger.observed.progress.recheck_backlog = cautious
    sink.begin()
    sink.upsert(raw("listed"))
    sink.upsert_during_listing(raw("told"), new=new)
    sink.upsert(raw("last"))
    assert lane_of(entry(ledger, "told")) is lane
    assert {lane_of(entry(ledger, name)) for name in ("listed", "last")} == {Lane.BACKLOG}
    sink.finish()
    sink.begin()
    sink.upsert(raw("second"))
    assert lane_of(entry(ledger, "second")) is Lane.URGENT


def test_an_event_counts_as_seen() -> None:
    """Changed, unreadable, malformed, too large: it is not swept by the listing that passed over its pages."""
    sink, ledger, _ = made()
    list_all(sink, raw("changed"), raw("unreadable"), raw("malformed"), raw("gone"), raw("deleted"), raw("again"))
    sink.begin()
    sink.upsert_during_listing(raw("changed", rewritten="1"), new=False)
    sink.unreadable(raw("unreadable"), ValueError("no"))
    sink.upsert_during_listing(b'{"metadata": {"name": "malformed", "namespace": "shop"}, "results": 7}', new=False)
    sink.delete(raw("deleted"))
    sink.delete(raw("again"))
    assert desired(ledger) == {"changed", "unreadable", "malformed", "gone"}
    sink.upsert_during_listing(raw("again"), new=False)
    sink.finish()
    assert desired(ledger) == {"changed", "unreadable", "malformed", "again"}
    assert ledger.sources.unreadable == {SOURCE_API: frozenset({"shop"})}


def test_an_event_without_a_name_stops_the_sweep() -> None:
    """It may be of any object, as one that a page brings."""
    sink, ledger, _ = made()
    list_all(sink, raw("a"))
    sink.begin()
    sink.upsert_during_listing(b'{"metadata": {"name": 7}}', new=True)
    sink.finish()
    assert desired(ledger) == {"a"}


@pytest.mark.usefixtures("small_burst")
def test_a_flood_during_a_listing_holds_up_nobody_and_is_not_lost() -> None:
    """Its namespace waits, as between listings; pages are read whatever it does. No page brings what was put aside."""
    sink, ledger, clock = made()
    list_all(sink, raw("a"), raw("flood", "pass"))
    sink.begin()
    sink.upsert_during_listing(flood("flood"), new=False)
    sink.upsert_during_listing(raw("a", "pass"), new=False)
    sink.upsert(raw("page"))
    sink.upsert_during_listing(flood("other", 1, namespace="bank"), new=True)
    assert {"a", "page", "other"} <= desired(ledger), "what was put aside is not read yet"
    sink.finish()
    assert "a" in desired(ledger)
    assert ledger.sources.waiting_namespaces == {SOURCE_API: frozenset({"shop"})}
    clock.now += 60_000
    list(sink.catch_up())
    assert "a" not in desired(ledger)
    assert not ledger.sources.waiting_namespaces


@pytest.mark.usefixtures("small_burst")
def test_what_was_put_aside_is_read_while_a_long_listing_goes_on() -> None:
    """But nothing from before it: a page brings that as it is now, or it is gone."""
    sink, ledger, clock = made()
    list_all(sink)
    sink.upsert(flood("flood"))
    sink.upsert(raw("before"))
    sink.begin()
    sink.upsert_during_listing(raw("since"), new=True)
    clock.now += 60_000
    list(sink.catch_up())
    assert "since" in desired(ledger)
    assert "before" not in desired(ledger)
    sink.finish()
    list(sink.catch_up())
    assert "before" not in desired(ledger), "the listing has not brought it"
    assert "flood" not in desired(ledger)
    assert "since" in desired(ledger)


@pytest.mark.usefixtures("small_burst")
def test_what_passes_in_a_report_that_waits_is_asked_for_again() -> None:
    """A listing that is to give positive evidence has not read it."""
    sink, _, clock = made()
    list_all(sink)
    sink.grade = True
    sink.begin()
    sink.upsert_during_listing(flood("flood"), new=False)
    sink.upsert_during_listing(raw("a", "pass"), new=False)
    sink.finish()
    assert sink.grade
    clock.now += 60_000
    list(sink.catch_up())
    list_all(sink, raw("a", "pass"))
    assert not sink.grade


def key(name: str, namespace: str = "shop") -> SourceKey:
    return SourceKey("wgpolicyk8s.io", "policyreports", namespace, name)


def test_a_listing_that_fails_gives_back_what_waited() -> None:
    """In its order, the latest of each object."""
    throttle = Throttle()
    for name in ("a", "b"):
        throttle.defer(key(name), b"old")
    throttle.begin()
    throttle.defer(key("b"), b"new")
    throttle.defer(key("c"), b"c")
    throttle.abort()
    assert list(throttle.due(now=NOW)) == [b"old", b"new", b"c"]
    assert not throttle.waiting()


def test_what_is_dropped_during_a_listing_needs_another_one() -> None:
    """What was dropped before it is listed; a listing that fails has brought neither."""
    throttle = Throttle()
    throttle.defer(key("a", "bank"), b"x" * (MAX_DEFERRED_BYTES + 1))
    throttle.begin()
    throttle.defer(key("b"), b"x" * (MAX_DEFERRED_BYTES + 1))
    throttle.abort()
    assert throttle.dropped == {"bank", "shop"}
    throttle.begin()
    throttle.defer(key("b"), b"x" * (MAX_DEFERRED_BYTES + 1))
    throttle.finish()
    assert throttle.dropped == {"shop"}
    throttle.begin()
    throttle.finish()
    assert not throttle.waiting() - {"shop"}
    assert not throttle.dropped


def test_the_bytes_of_what_waits_are_counted_over_a_listing() -> None:
    """One room for what came before and since."""
    throttle = Throttle()
    half = b"x" * (MAX_DEFERRED_BYTES // 2)
    throttle.defer(key("a"), half)
    throttle.begin()
    throttle.defer(key("b"), half)
    throttle.defer(key("c"), b"more")
    assert throttle.dropped == {"shop"}
    throttle.finish()
    throttle.defer(key("d"), half)
    throttle.begin()
    throttle.forget(key("b"))
    throttle.defer(key("e"), half)
    throttle.finish()
    assert sum(map(len, throttle.due(now=NOW))) == len(half)


def test_nothing_is_archived_while_its_api_is_listed() -> None:
    """A report that was written just before the watch beside the listing was opened comes by a page: it may report what
    an event has ended. Once the listing is over, however it ends, the finding is decided again.
    """
    for end in ("finish", "abort"):
        sink, ledger, clock = made()
        list_all(sink, raw("a"))
        sink.state(WATCHING)
        ledger.sources.set_reports_listed(listed=True)
        (found,) = ledger.entries.values()
        ledger.mark_in_flight(found)
        known = ObservedFinding(digest=found.digest, created_at=WALL, updated_at=WALL, archived=False)
        ledger.acknowledge(found, known, now=NOW)
        sink.begin()
        sink.delete(raw("a"))
        clock.now += 60_000
        ledger.finish_inventory()
        ledger.sources.confirm([SOURCE_API], now=clock.now)
        rules = Rules(archive_delay_ms=1_000)
        assert ledger.decide(found, rules=rules, now=clock.now, wall_clock=WallMs(int(clock.now)))[0] is Hold.LISTING
        ledger.mark_decided(found, Hold.LISTING)
        assert found.id not in ledger.agenda.dirty
        getattr(sink, end)()
        assert found.id in ledger.agenda.dirty
        assert (
            ledger.decide(found, rules=rules, now=clock.now, wall_clock=WallMs(int(clock.now)))[0] is not Hold.LISTING
        )


@pytest.mark.usefixtures("small_burst")
def test_what_is_put_aside_when_its_api_ends_holds_up_no_other() -> None:
    """Nobody reads it any more: the connection ended, or the API is not served."""
    sink, ledger, _ = made()
    list_all(sink)
    sink.upsert(flood("flood"))
    sink.upsert(raw("later"))
    assert ledger.sources.waiting_namespaces == {SOURCE_API: frozenset({"shop"})}
    sink.close()
    assert not ledger.sources.waiting_namespaces
