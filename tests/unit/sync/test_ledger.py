"""The ledger: the effect of its inputs on desired, observed and dirty findings."""

from collections.abc import Callable, Iterable
from functools import partial

import msgspec
import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Identity, SourceKey, Subject, Violation
from policyhub.sync import figures
from policyhub.sync.entry import ListingState, Observation, ObservedFinding
from policyhub.sync.holds import ENDED_BY, Hold, Trigger
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS
from policyhub.sync.plan import Change, Rules, Wait

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
RULES = Rules(archive_delay_ms=1000)
SOURCE_API = "policyreports.wgpolicyk8s.io"


def key(name: str) -> SourceKey:
    return SourceKey("wgpolicyk8s.io", "policyreports", "shop", name)


def violation(number: int, message: str = "m") -> Violation:
    return Violation(
        source="kyverno",
        policy="p",
        rule=f"r{number}",
        subject=Subject("apps", "Deployment", "shop", "web"),
        discriminator="",
        result="fail",
        severity="HIGH" if number % 2 else None,
        category="",
        message=message,
    )


def id_of(number: int) -> str:
    return finding_id("alpha", violation(number).identity)


def fresh(*, read: bool = True) -> Ledger:
    made = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    if read:
        made.observed.take_part("", [], now=NOW)
    return made


def nothing() -> frozenset[Identity]:
    return frozenset()


def report(made: Ledger, name: str, numbers: Iterable[int], *, complete: bool = True, message: str = "m") -> bool:
    claims: list[tuple[Violation, WallMs | None]] = [(violation(n, message), WALL) for n in numbers]
    return made.read(key(name), claims, complete=complete, passed=nothing, now=NOW)


def test_the_same_content_changes_nothing() -> None:
    """An engine's rewrite with new timestamps leaves nothing dirty."""
    made = fresh()
    report(made, "a", [1, 2])
    made.agenda.dirty.clear()
    later: list[tuple[Violation, WallMs | None]] = [(violation(n), WALL + 99_999) for n in (1, 2)]
    assert not made.read(key("a"), later, complete=True, passed=nothing, now=NOW + 99_999)
    assert not made.agenda.dirty


def test_the_first_observation_is_kept() -> None:
    """The earliest reported time of a violation is kept while it is desired."""
    made = fresh()
    made.read(key("a"), [(violation(1), WALL)], complete=True, passed=nothing, now=NOW)
    made.read(key("b"), [(violation(1), WALL - 5000)], complete=True, passed=nothing, now=NOW)
    made.read(key("b"), [(violation(1, "other"), WALL + 5000)], complete=True, passed=nothing, now=NOW)
    assert made.entries[id_of(1)].observed_at == WALL - 5000


def test_one_finding_while_a_claim_remains() -> None:
    """A finding is desired until its last claim ends."""
    made = fresh()
    report(made, "a", [1])
    report(made, "b", [1])
    made.forget(key("a"), now=NOW)
    assert made.entries[id_of(1)].desired
    report(made, "b", [])
    assert id_of(1) not in made.entries or not made.entries[id_of(1)].desired


def test_incomplete_object_ends_nothing() -> None:
    """A truncated constraint adds and changes claims; claims that it lacks stay."""
    made = fresh()
    report(made, "a", [1, 2])
    report(made, "a", [2, 3], complete=False)
    assert all(made.entries[id_of(n)].desired for n in (1, 2, 3))
    report(made, "a", [3])
    assert [made.entries[id_of(n)].desired for n in (2, 3)] == [False, True]
    assert not made.sources.incomplete


def test_nothing_is_sent_before_it_was_read() -> None:
    """Until the inventory has read an id, it is neither dirty nor lost."""
    made = fresh(read=False)
    report(made, "a", [1, 2])
    assert not made.agenda.dirty
    assert figures.pending(made) == 2
    made.observed.take_part(id_of(1).rpartition("/")[2][:4], [], now=NOW)
    made.observed.progress.parts.clear()
    made.observed.take_part(id_of(1).rpartition("/")[2][0], [], now=NOW)
    assert id_of(1) in made.agenda.dirty


def test_violation_that_came_and_went_unread_leaves_nothing() -> None:
    """A finding that was never sent and is no longer desired is dropped."""
    made = fresh(read=False)
    report(made, "a", [1])
    report(made, "a", [])
    assert not made.entries
    assert not made.observed.progress.unread


def test_restart_finds_the_hub_as_it_left_it() -> None:
    """After a restart, a finding whose digest the hub holds is not sent again."""
    first = fresh()
    report(first, "a", [1])
    digest = first.entries[id_of(1)].digest
    made = fresh(read=False)
    report(made, "a", [1])
    known = ObservedFinding(digest, WALL - 99, WALL - 99, archived=False)
    made.observed.take_part("", [Observation(id_of(1), known, "uid-1", SOURCE_API, "r1")], now=NOW)
    assert made.decide(made.entries[id_of(1)], rules=RULES, now=NOW, wall_clock=WALL)[0] is None
    assert made.entries[id_of(1)].observed == known


def test_adopted_findings_are_ours_and_are_sent_again() -> None:
    """With the former uid released, its findings are known, and sent again to carry the new uid."""
    made = fresh(read=False)
    made.observed.adopted = frozenset({"uid-0"})
    report(made, "a", [1])
    digest = made.entries[id_of(1)].digest
    made.observed.take_part(
        "",
        [
            Observation(
                id_of(1), ObservedFinding(digest, WallMs(1), WallMs(2), archived=False), "uid-0", SOURCE_API, "r1"
            )
        ],
        now=NOW,
    )
    assert not made.observed.quarantine.counts
    assert made.decide(made.entries[id_of(1)], rules=RULES, now=NOW, wall_clock=WALL)[0] is Change.CHANGED


@pytest.mark.parametrize(
    ("age", "known"),
    [(ACK_OVERRULES_MS, True), (ACK_OVERRULES_MS + 1, False)],
    ids=["fresh acknowledgement", "old acknowledgement"],
)
def test_inventory_never_overrules_a_fresh_acknowledgement(age: int, *, known: bool) -> None:
    """GetFindings lags: a missing finding is read by id once our acknowledgement is old; its `CreatedAt` stays."""
    made = fresh()
    report(made, "a", [1])
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)
    made.observed.take_part("", [], now=NOW + age)
    assert (not made.observed.lookups) == known
    made.wake(NOW + ACK_OVERRULES_MS + 1)
    assert made.observed.lookups.take(20) == [entry.id]
    made.observed.take_lookup(entry.id, None, now=NOW + ACK_OVERRULES_MS + 1)
    assert entry.observed is not None
    assert entry.observed.digest == ""
    assert entry.observed.created_at == WALL


def test_unanswered_import_is_repeated_with_the_same_times() -> None:
    """The retry keeps the times, so that Security Hub ignores it if the first import was written."""
    made = fresh()
    report(made, "a", [1])
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.mark_unanswered(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False))
    assert entry.unanswered is not None
    assert entry.unanswered.updated_at == WALL
    assert id_of(1) in made.agenda.dirty
    assert entry.observed == ObservedFinding("", WALL, WALL, archived=False)


def test_counts_follow_desired_findings() -> None:
    """By source, policy and severity; the default severity if the engine reports none."""
    made = fresh()
    report(made, "a", [1, 2, 3])
    assert made.finding_counts.violations == {("kyverno", "p", "HIGH"): 2, ("kyverno", "p", "MEDIUM"): 1}
    made.forget(key("a"), now=NOW)
    assert not made.finding_counts.violations


def test_a_pass_applies_to_findings_that_only_the_inventory_knows() -> None:
    """A pass read by the grading listing clears findings that nobody reports, whichever API they came from before, and
    no other.
    """
    made = fresh(read=False)
    known = ObservedFinding("d", WALL, WALL, archived=False)
    report(made, "a", [2])
    made.observed.take_part(
        "",
        [
            *(Observation(id_of(n), known, "uid-1", SOURCE_API, f"r{n}") for n in (1, 2)),
            Observation(id_of(3), known, "uid-1", "reports.openreports.io", "r3"),
        ],
        now=NOW,
    )
    made.mark_passed([violation(n).identity for n in (1, 2, 3)], key=key("x"))
    assert made.entries[id_of(1)].passed
    assert not made.entries[id_of(2)].passed
    assert made.entries[id_of(3)].passed
    assert made.entries[id_of(3)].source_api == SOURCE_API


WAIT = Wait(NOW + 1000)


def settled(made: Ledger, hold: Hold | Wait = WAIT) -> str:
    """An active finding that nobody reports, decided and put aside; its id."""
    made.sources.set_reports_listed(listed=True)
    made.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=NOW))
    report(made, "a", [1])
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)
    made.forget(key("a"), now=NOW)
    report(made, "r1", [], complete=False)
    made.mark_decided(entry, hold)
    assert not made.agenda.dirty
    return entry.id


@pytest.mark.parametrize(
    ("hold", "event"),
    [
        pytest.param(WAIT, lambda made: made.wake(NOW + 1000), id="its timer is due"),
        pytest.param(
            Hold.SOURCE,
            lambda made: made.sources.set_listing_state(SOURCE_API, ListingState(live=True, since=NOW + 1)),
            id="its API is live again",
        ),
        pytest.param(
            Hold.SOURCE, lambda made: made.sources.set_reports_listed(listed=False), id="another API appeared"
        ),
        pytest.param(WAIT, lambda made: report(made, "b", [1]), id="it is reported"),
        pytest.param(Hold.UNLISTED, lambda made: report(made, "r1", []), id="a report is complete again"),
        pytest.param(Hold.UNLISTED, lambda made: made.forget(key("r1"), now=NOW), id="that report is deleted"),
        pytest.param(WAIT, lambda made: made.mark_passed([violation(1).identity], key=key("x")), id="it passes"),
        pytest.param(
            WAIT, lambda made: made.observed.take_part("", [], now=NOW + ACK_OVERRULES_MS + 1), id="the hub lost it"
        ),
        pytest.param(
            Hold.UNLISTED, lambda made: made.sources.set_unreadable(SOURCE_API, frozenset({"shop"})), id="unreadable"
        ),
        pytest.param(Hold.UNCONFIRMED, lambda made: made.sources.confirm([SOURCE_API], now=NOW + 1), id="a discovery"),
        pytest.param(Hold.OWNERS_UNKNOWN, lambda made: made.sources.reconsider(), id="owners are known"),
        pytest.param(
            Hold.UNREPORTED, lambda made: made.sources.reconsider((set(), {"kyverno"})), id="its engine has reported"
        ),
        pytest.param(
            Hold.PRESENCE, lambda made: made.requeue_answered(violation(1).subject), id="the API server has answered"
        ),
        pytest.param(Hold.GUARD, lambda made: made.finish_inventory(), id="the inventory is complete"),
        pytest.param(Hold.UNREPORTED, lambda made: made.approve({"kyverno": NOW + 9}, now=NOW), id="an approval"),
    ],
)
def test_inputs_of_a_decision_make_it_dirty(hold: Hold | Wait, event: Callable[[Ledger], object]) -> None:
    """A change of any input of a decision enqueues the finding."""
    made = fresh()
    id_ = settled(made, hold)
    event(made)
    assert id_ in made.agenda.dirty
    assert id_ not in made.agenda.held


@pytest.mark.parametrize("trigger", Trigger)
def test_an_event_enqueues_only_what_it_can_release(trigger: Trigger) -> None:
    """By the table: a hold that the event cannot end is not decided again."""
    for hold in Hold:
        made = fresh()
        id_ = settled(made, hold)
        made._requeue(trigger)
        assert (id_ in made.agenda.dirty) == (trigger in ENDED_BY[hold])


def test_a_finding_of_another_cluster_read_by_id_is_left_alone() -> None:
    """It is quarantined, and we do not change it."""
    made = fresh()
    id_ = settled(made)
    entry = made.entries[id_]
    made.mark_in_flight(entry)
    made.take_foreign(entry, "uid-2", archived=False, now=NOW)
    assert made.observed.quarantine.ids == {id_: "uid-2"}
    assert entry.observed is None


def test_reads_outside_an_inventory_prove_presence_only() -> None:
    """Their findings are taken, those of another cluster are quarantined, and absence is no evidence."""
    made = fresh()
    id_ = settled(made)
    known = ObservedFinding("d", WALL, WALL, archived=False)
    later = NOW + ACK_OVERRULES_MS + 1
    made.observed.take_read(
        [Observation(id_of(2), known, "uid-1", SOURCE_API, "r2"), Observation("x", known, "uid-2", SOURCE_API, "r")],
        now=later,
    )
    assert made.entries[id_of(2)].observed == known
    assert made.entries[id_].observed is not None
    assert made.observed.quarantine.ids == {"x": "uid-2"}


def test_nothing_else_makes_it_dirty() -> None:
    """Time before it is due and events of other APIs do not enqueue a decided finding."""
    made = fresh()
    settled(made)
    made.wake(NOW + 999)
    made.sources.set_listing_state("reports.openreports.io", ListingState(live=True, since=NOW))
    report(made, "c", [5])
    assert set(made.agenda.dirty) == {id_of(5)}


def sent(made: Ledger) -> None:
    entry = made.entries[id_of(1)]
    made.mark_in_flight(entry)
    made.acknowledge(entry, ObservedFinding(entry.digest, WALL, WALL, archived=False), now=NOW)


def reported_by_pods(made: Ledger) -> None:
    reported = msgspec.structs.replace(violation(1), own=False)
    made.read(key("pod"), [(reported, WALL)], complete=True, passed=nothing, now=NOW)


def was_there(made: Ledger, *, archived: bool) -> None:
    held = Observation(id_of(1), ObservedFinding("d", WALL, WALL, archived=archived), "uid-1", SOURCE_API, "r1")
    made.observed.take_part("", [held], now=NOW)


@pytest.mark.parametrize(
    ("steps", "own"),
    [
        pytest.param((reported_by_pods,), None, id="not sent yet"),
        pytest.param((reported_by_pods, sent), False, id="sent as new"),
        pytest.param((partial(was_there, archived=True), reported_by_pods, sent), False, id="sent again"),
        pytest.param((partial(was_there, archived=False), reported_by_pods, sent), None, id="active before"),
        pytest.param(
            (reported_by_pods, partial(was_there, archived=False), sent), None, id="active before, read later"
        ),
        pytest.param((partial(was_there, archived=False), lambda made: report(made, "a", [1])), True, id="its own"),
    ],
)
def test_for_findings_sent_by_this_process_it_is_known_whether_only_pods_reported(
    steps: tuple[Callable[[Ledger], object], ...],
    *,
    own: bool | None,
) -> None:
    """An older finding may have been reported by the object itself, whose report was deleted since."""
    made = fresh()
    for step in steps:
        step(made)
    assert made.entries[id_of(1)].own is own
