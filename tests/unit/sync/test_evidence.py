"""Evidence that a violation has ended, and its effect: the rows of the table in `plan`."""

import msgspec
import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Identity, ObjectRef, SourceKey, Subject, Violation
from policyhub.sync.entry import Entry, ListingState, Loss, Observation, ObservedFinding
from policyhub.sync.evidence import OTHER_API_WAIT_MS
from policyhub.sync.holds import Hold
from policyhub.sync.known_namespaces import NAMESPACES
from policyhub.sync.lanes import Lane
from policyhub.sync.ledger import Ledger
from policyhub.sync.observed import ACK_OVERRULES_MS, MISSED_MANY
from policyhub.sync.outcomes import HOUR_MS
from policyhub.sync.plan import DAY_MS, Change, Decision, Rules, Wait

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
REPORT = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r")
OPEN = SourceKey("openreports.io", "reports", "shop", "r")
CONSTRAINT = SourceKey("constraints.gatekeeper.sh", "k8sallowedrepos", "", "repos")
LIVE = ListingState(live=True, since=NOW - DAY_MS)
ARCHIVE_AT = NOW + DELAY


def violation(name: str = "web", *, source: str = "kyverno", rule: str = "r", kind: str = "Pod") -> Violation:
    return Violation(
        source=source,
        policy="p",
        rule=rule,
        subject=Subject("", kind, "" if kind == "Namespace" else "shop", name),
        discriminator="",
        result="fail",
        severity=None,
        category="",
        message="m",
        api_version="v1",
    )


def nothing() -> frozenset[Identity]:
    return frozenset()


def listed(name: str = "web") -> Violation:
    """A violation that the constraint lists."""
    return violation(name, source="gatekeeper", rule=CONSTRAINT.name)


def ledger() -> Ledger:
    made = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    made.observed.take_part("", [], now=NOW - DAY_MS)
    made.finish_inventory()
    made.sources.set_reports_listed(listed=True)
    for key in (REPORT, OPEN, CONSTRAINT):
        made.sources.set_listing_state(key.source_api, LIVE)
        made.sources.confirmed[key.source_api] = NOW + DAY_MS
    return made


def report(
    made: Ledger,
    key: SourceKey,
    *reported: Violation,
    complete: bool = True,
    audited: int | None = None,
    boundary: ObjectRef | None = None,
    now: SteadyMs = NOW,
) -> None:
    made.read(
        key,
        [(violation, None) for violation in reported],
        complete=complete,
        passed=nothing,
        now=now,
        audited=audited,
        boundary=boundary,
    )


def entry_of(made: Ledger, reported: Violation) -> Entry:
    return made.entries[finding_id("alpha", reported.identity)]


def sent(made: Ledger, *reported: Violation, archived: bool = False, at: SteadyMs = NOW) -> Entry:
    """Security Hub holds them."""
    for one in reported:
        entry = entry_of(made, one)
        made.mark_in_flight(entry)
        made.acknowledge(entry, ObservedFinding(entry.digest, WallMs(int(at)), WallMs(int(at)), archived), now=at)
    return entry_of(made, reported[0])


def act(made: Ledger, entry: Entry, *, now: SteadyMs, rules: Rules = RULES) -> Decision:
    """Decide as the engine does: a finding that is not sent is marked as decided."""
    decision, evidence = made.decide(entry, rules=rules, now=now, wall_clock=WallMs(int(now)))
    if not isinstance(decision, Change):
        made.mark_decided(entry, decision, lost=evidence.lost)
    return decision


def deleted_since(made: Ledger, entry: Entry) -> SteadyMs | None:
    return made.sources.spaces.deleted(entry.object_ref)


def only_in_hub(made: Ledger, reported: Violation, key: SourceKey, *, at: SteadyMs = NOW) -> Entry:
    """An inventory reads a finding that nobody reports."""
    id_ = finding_id("alpha", reported.identity)
    known = ObservedFinding("d", WallMs(int(at)), WallMs(int(at)), archived=False)
    held = Observation(
        id_, known, "uid-1", key.source_api, reported.rule, source=reported.source, object_ref=reported.object_ref
    )
    made.observed.take_part("", [held], now=at)
    return made.entries[id_]


# -- gone -------------------------------------------------------------------------------------------------------------


def spaces(made: Ledger, *names: str, at: SteadyMs = NOW, confirmed: bool = True) -> None:
    """Namespaces are listed completely and watched."""
    made.sources.namespaces_live(live=True, now=at)
    made.sources.list_namespaces(frozenset(names), now=at)
    if confirmed:
        made.sources.confirmed[NAMESPACES] = NOW + DAY_MS


@pytest.mark.parametrize("known_by", ["a report", "the inventory"])
def test_a_deleted_namespace_needs_no_guard(known_by: str) -> None:
    """After the delay, although these are all findings of the engine, and although a report cannot be read."""
    made = ledger()
    reported = [violation(f"web-{n}") for n in range(20)]
    spaces(made, "shop")
    if known_by == "a report":
        report(made, REPORT, *reported)
        sent(made, *reported)
        made.forget(REPORT, now=NOW)
    else:
        for one in reported:
            only_in_hub(made, one, REPORT)
        made.sources.set_unreadable(REPORT.source_api, frozenset({"shop"}))
    made.sources.remove_namespace("shop", now=NOW)
    entries = [entry_of(made, one) for one in reported]
    assert {str(act(made, entry, now=NOW)) for entry in entries} == {str(Wait(ARCHIVE_AT))}
    assert {act(made, entry, now=ARCHIVE_AT) for entry in entries} == {Change.ARCHIVED}


def test_a_namespace_counts_as_deleted_only_if_namespaces_are_live() -> None:
    """Not while the watch is down, not once it exists again, not before a discovery has confirmed the cluster."""
    made = ledger()
    spaces(made, "shop", confirmed=False)
    report(made, REPORT, violation())
    entry = sent(made, violation())
    made.forget(REPORT, now=NOW)
    made.sources.remove_namespace("shop", now=NOW)
    assert deleted_since(made, entry) == NOW
    assert act(made, entry, now=ARCHIVE_AT) is Hold.UNCONFIRMED
    made.sources.namespaces_live(live=False, now=NOW)
    assert deleted_since(made, entry) is None
    made.sources.namespaces_live(live=True, now=NOW + 5)
    assert deleted_since(made, entry) == NOW
    made.sources.add_namespace("shop")
    assert deleted_since(made, entry) is None


def test_a_finding_about_a_namespace() -> None:
    """It ends with the Namespace; a finding about another cluster-scoped object does not."""
    made = ledger()
    spaces(made, "other")
    inside, cluster = violation("shop", kind="Namespace"), violation("shop", kind="Node")
    node = Violation(
        **{**{f: getattr(cluster, f) for f in cluster.__struct_fields__}, "subject": Subject("", "Node", "", "n")}
    )
    report(made, REPORT, inside, node)
    sent(made, inside, node)
    made.forget(REPORT, now=NOW)
    assert deleted_since(made, entry_of(made, inside)) == NOW
    assert deleted_since(made, entry_of(made, node)) is None


# -- Gatekeeper -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known_by", ["its list", "the inventory"])
def test_a_shorter_list_counts_when_a_later_audit_repeats_it(known_by: str) -> None:
    """One audit is not enough, even if it is read twice."""
    made = ledger()
    if known_by == "its list":
        report(made, CONSTRAINT, listed(), audited=100)
        entry = sent(made, listed())
    else:
        entry = only_in_hub(made, listed(), CONSTRAINT)
    report(made, CONSTRAINT, audited=110)
    assert act(made, entry, now=ARCHIVE_AT) is Hold.AUDIT
    report(made, CONSTRAINT, audited=110)
    assert act(made, entry, now=ARCHIVE_AT) is Hold.AUDIT
    report(made, CONSTRAINT, audited=120)
    assert entry.id in made.agenda.dirty
    act(made, entry, now=ARCHIVE_AT)
    assert act(made, entry, now=ARCHIVE_AT) is Change.ARCHIVED


def test_a_truncated_list_is_evidence_below_its_end() -> None:
    """An absent object below the last listed one is fixed; one above it may have been left out."""
    made = ledger()
    reported = [listed(f"pod-{n}") for n in range(4)]
    report(made, CONSTRAINT, *reported, audited=100)
    sent(made, *reported)
    for audited in (110, 120):
        report(made, CONSTRAINT, reported[2], complete=False, audited=audited, boundary=reported[2].object_ref)
    below, above = entry_of(made, reported[0]), entry_of(made, reported[3])
    assert not below.desired
    assert above.desired
    act(made, below, now=ARCHIVE_AT)
    assert act(made, below, now=ARCHIVE_AT) is Change.ARCHIVED


def test_a_lower_limit_revokes_evidence() -> None:
    """If the list later ends below the object, its state is unknown again."""
    made = ledger()
    reported = [listed(f"pod-{n}") for n in range(4)]
    report(made, CONSTRAINT, *reported, audited=100)
    sent(made, *reported)
    report(made, CONSTRAINT, reported[0], reported[3], complete=False, audited=110, boundary=reported[3].object_ref)
    entry = entry_of(made, reported[1])
    assert act(made, entry, now=ARCHIVE_AT) is Hold.AUDIT
    report(made, CONSTRAINT, reported[0], complete=False, audited=120, boundary=reported[0].object_ref)
    assert act(made, entry, now=ARCHIVE_AT) is Hold.UNLISTED


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param("never audited", Hold.UNLISTED, id="never audited"),
        pytest.param("deleted", Wait(ARCHIVE_AT), id="deleted: no audit is needed"),
        pytest.param("unreadable", Hold.UNLISTED, id="a constraint that cannot be read may be this one"),
    ],
)
def test_constraints_without_evidence(seen: str, expected: Decision) -> None:
    """An unaudited or unreadable constraint proves nothing; a deleted one does."""
    made = ledger()
    entry = only_in_hub(made, listed(), CONSTRAINT)
    if seen == "never audited":
        report(made, CONSTRAINT, complete=False)
    if seen == "unreadable":
        made.sources.set_unreadable(CONSTRAINT.source_api, frozenset({""}))
    assert act(made, entry, now=NOW) == expected


def test_a_kind_that_two_discoveries_lack_was_deleted() -> None:
    """The first one begins the delay after which it is believed, then comes the archive delay; one at its end or later
    ends it, one that sees the kind takes it back. So it is for a finding that nobody called for before, too.
    """
    made = ledger()
    entry = only_in_hub(made, listed(), CONSTRAINT)
    made.sources.set_listing_state(CONSTRAINT.source_api, ListingState(live=False))
    assert act(made, entry, now=NOW) is Hold.SOURCE
    made.sources.constraints.read_kinds([], now=NOW)
    end = NOW + 2 * (ARCHIVE_AT - NOW)
    assert act(made, entry, now=NOW) == Wait(end)
    made.sources.constraints.read_kinds([], now=end - 1)
    assert act(made, entry, now=end) is Hold.UNCONFIRMED
    made.sources.constraints.read_kinds([], now=end)
    assert entry.id in made.agenda.dirty
    assert act(made, entry, now=end) is Change.ARCHIVED
    made.sources.constraints.read_kinds([CONSTRAINT.source_api], now=end + 1)
    assert act(made, entry, now=end + 1) is Hold.SOURCE


# -- superseded and switched-off APIs ---------------------------------------------------------------------------------


def is_desired(entry: Entry) -> bool:
    return entry.desired


def is_cleared(entry: Entry) -> bool:
    return entry.passed


def test_superseded_reports_neither_claim_nor_pass_findings() -> None:
    """A finding that only they report is lost silently; when they count again, it is desired again."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    superseded = frozenset({("kyverno", REPORT.group, "shop")})
    made.supersede(superseded, now=NOW)
    assert not is_desired(entry)
    assert entry.loss is Loss.SILENT
    made.mark_passed([violation().identity], key=REPORT)
    assert not entry.passed
    assert act(made, entry, now=NOW) == Wait(ARCHIVE_AT)
    report(made, OPEN, violation())
    assert is_desired(entry)
    made.forget(OPEN, now=NOW)
    assert not is_desired(entry)
    made.supersede(frozenset(), now=NOW)
    assert is_desired(entry)
    assert not made.agenda.held


def test_a_pass_after_another_report_was_superseded() -> None:
    """The next scan repeats the former pass without a change: it counts."""
    made = ledger()
    reported = violation()

    def passes(at: int) -> bool:
        return made.read(
            OPEN,
            [],
            complete=True,
            passed=lambda: frozenset({reported.identity}),
            now=NOW,
            newest=[("kyverno", at)],
            scanned=[(reported.subject, "kyverno")],
        )

    report(made, REPORT, reported)
    entry = sent(made, reported)
    passes(NOW // 1000)
    assert is_desired(entry)
    made.supersede(frozenset({("kyverno", REPORT.group, "shop")}), now=NOW)
    assert not is_desired(entry)
    passes(NOW // 1000 - 1)
    assert not is_cleared(entry)
    passes(NOW // 1000 + 1)
    assert is_cleared(entry)


def test_new_findings_wait_for_the_other_report_api() -> None:
    """If two are served, until both are listed or a minute has passed: a superseded report reactivates nothing."""
    made = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    made.observed.take_part("", [], now=NOW)
    made.sources.set_reports_listed(listed=False, groups=2, now=NOW)
    report(made, REPORT, violation())
    entry = entry_of(made, violation())
    assert act(made, entry, now=NOW) == Wait(NOW + OTHER_API_WAIT_MS)
    assert (
        made.decide(entry, rules=RULES, now=NOW + OTHER_API_WAIT_MS, wall_clock=WALL + OTHER_API_WAIT_MS)[0]
        is Change.NEW
    )
    made.sources.set_reports_listed(listed=True, groups=2, now=NOW)
    assert entry.id in made.agenda.dirty
    assert act(made, entry, now=NOW) is Change.NEW


def test_a_pass_waits_if_the_engine_writes_two_apis() -> None:
    """The other API may contradict it, and be read later."""
    made = ledger()
    made.sources.set_dual_apis(frozenset({("kyverno", "shop")}))
    report(made, REPORT, violation())
    entry = sent(made, violation())
    made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    assert act(made, entry, now=NOW) == Wait(ARCHIVE_AT)
    assert act(made, entry, now=ARCHIVE_AT) is Change.ARCHIVED


@pytest.mark.parametrize("end", ["finished", "failed"])
def test_listings_delay_archives_until_they_end(end: str) -> None:
    """However often a listing begins and fails, the archive delay continues and the guard counts the losses."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    made.forget(REPORT, now=NOW)
    for at in range(0, DELAY, DELAY // 6):
        made.sources.set_listing(REPORT.source_api, listing=True)
        assert isinstance(act(made, entry, now=NOW + at), Wait)
        assert made.guard.lost("kyverno") == 1
        made.sources.set_listing(REPORT.source_api, listing=False)
    made.sources.set_listing(REPORT.source_api, listing=True)
    assert act(made, entry, now=ARCHIVE_AT) is Hold.LISTING
    assert made.guard.lost("kyverno") == 1
    if end == "finished":
        made.sources.set_listing_state(REPORT.source_api, LIVE)
    made.sources.set_listing(REPORT.source_api, listing=False)
    assert entry.id in made.agenda.dirty
    assert act(made, entry, now=ARCHIVE_AT + 1) is Change.ARCHIVED


@pytest.mark.parametrize(
    ("api", "waits"),
    [(REPORT, True), (OPEN, True), (CONSTRAINT, False)],
    ids=["its API", "the other report API", "constraints"],
)
def test_an_engine_of_both_report_apis_waits_for_listings_of_reports(api: SourceKey, *, waits: bool) -> None:
    made = ledger()
    made.sources.set_dual_apis(frozenset({("kyverno", "shop")}))
    report(made, REPORT, violation())
    entry = sent(made, violation())
    made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    made.sources.set_listing(api.source_api, listing=True)
    assert act(made, entry, now=ARCHIVE_AT) is (Hold.LISTING if waits else Change.ARCHIVED)


def test_a_rejected_finding_is_archived_as_security_hub_holds_it() -> None:
    """A finding whose last wording was permanently rejected is archived with the wording that was accepted before."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    report(made, REPORT, msgspec.structs.replace(violation(), message="refused"))
    made.mark_in_flight(entry)
    made.reject(entry, entry.digest)
    assert act(made, entry, now=NOW) is Hold.REJECTED
    report(made, REPORT)
    assert entry.representative is None  # so its body is read
    assert act(made, entry, now=NOW) == Wait(ARCHIVE_AT)
    assert entry.object_ref == violation().object_ref


@pytest.mark.parametrize("positive", [False, True], ids=["spoken", "positive"])
def test_both_apis_of_an_engine_must_be_live(*, positive: bool) -> None:
    """An API that is not live may report what the other no longer reports; the delay starts when it is live again."""
    made = ledger()
    made.sources.set_dual_apis(frozenset({("kyverno", "shop")}))
    report(made, REPORT, violation())
    entry = sent(made, violation())
    passed = frozenset({violation().identity} if positive else ())
    made.sources.set_listing_state(OPEN.source_api, ListingState(live=False))
    made.read(REPORT, [], complete=True, passed=lambda: passed, now=NOW)
    assert act(made, entry, now=ARCHIVE_AT) is Hold.SOURCE
    made.sources.set_listing_state(OPEN.source_api, ListingState(live=True, since=ARCHIVE_AT))
    assert entry.id in made.agenda.dirty
    if not positive:
        assert act(made, entry, now=ARCHIVE_AT) == Wait(ARCHIVE_AT + DELAY)
    made.sources.set_listing_state(OPEN.source_api, ListingState(live=False))
    assert act(made, entry, now=ARCHIVE_AT) is Hold.SOURCE
    made.sources.set_dual_apis(frozenset())
    assert entry.id in made.agenda.dirty


def test_a_pass_does_not_count_while_its_api_is_not_live() -> None:
    """The object may fail by now: the finding is archived when the API is live again and still shows the pass."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    made.read(REPORT, [], complete=True, passed=lambda: frozenset({violation().identity}), now=NOW)
    made.sources.set_listing_state(REPORT.source_api, ListingState(live=False))
    assert act(made, entry, now=NOW) is Hold.SOURCE
    made.sources.set_listing_state(REPORT.source_api, LIVE)
    assert act(made, entry, now=NOW) is Change.ARCHIVED


def test_findings_of_a_disabled_api_are_archived() -> None:
    """After the delay, although the API is not read."""
    made = ledger()
    made.sources.disabled_groups = frozenset({OPEN.group})
    made.sources.listing_states.pop(OPEN.source_api)
    entry = only_in_hub(made, violation(), OPEN)
    assert act(made, entry, now=NOW) == Wait(ARCHIVE_AT)
    act(made, entry, now=ARCHIVE_AT)
    assert act(made, entry, now=ARCHIVE_AT) is Change.ARCHIVED


# -- the guard and damping --------------------------------------------------------------------------------------------


def test_all_losses_are_counted_before_the_first_is_archived() -> None:
    """Twenty that come due at one moment are all held, whichever is decided first."""
    made = ledger()
    reported = [violation(f"web-{n}") for n in range(20)]
    report(made, REPORT, *reported)
    sent(made, *reported)
    made.forget(REPORT, now=NOW)
    entries = [entry_of(made, one) for one in reported]
    for entry in entries:  # decided for the first time when they are long due
        assert act(made, entry, now=ARCHIVE_AT) in {Wait(ARCHIVE_AT), Hold.GUARD}
        assert made.guard.counts(entry.id)
    assert {act(made, entry, now=ARCHIVE_AT) for entry in entries} == {Hold.GUARD}
    assert made.evaluate_guard(now=ARCHIVE_AT) == ({"kyverno"}, set())
    report(made, REPORT, reported[0], now=ARCHIVE_AT)
    assert made.evaluate_guard(now=ARCHIVE_AT) == (set(), {"kyverno"})
    assert act(made, entries[1], now=ARCHIVE_AT) == Wait(ARCHIVE_AT + DELAY)
    assert act(made, entries[1], now=ARCHIVE_AT + DELAY) is Change.ARCHIVED


def test_better_evidence_needs_no_approval() -> None:
    """Passing findings are archived while the others are held."""
    made = ledger()
    reported = [violation(f"web-{n}") for n in range(20)]
    report(made, REPORT, *reported)
    sent(made, *reported)
    made.forget(REPORT, now=NOW)
    entries = [entry_of(made, one) for one in reported]
    for entry in entries:
        act(made, entry, now=NOW)
    made.mark_passed([reported[0].identity], key=REPORT)
    assert act(made, entries[0], now=NOW) is Change.ARCHIVED
    assert made.guard.lost("kyverno") == 19


@pytest.mark.parametrize(
    ("returns", "later"), [(1, 0), (2, HOUR_MS), (3, 2 * HOUR_MS), (5, 8 * HOUR_MS), (7, DAY_MS), (8, DAY_MS)]
)
def test_a_flapping_finding_is_archived_later(returns: int, later: int) -> None:
    """From the second reactivation within a day: an hour, doubling up to a day; forgotten after a day."""
    made = ledger()
    for _ in range(returns):
        report(made, REPORT, violation())
        entry = sent(made, violation())
        made.forget(REPORT, now=NOW)
        sent(made, violation(), archived=True)
    report(made, REPORT, violation())
    entry = sent(made, violation())
    made.forget(REPORT, now=NOW)
    assert act(made, entry, now=NOW) == Wait(ARCHIVE_AT + later)
    assert made.observed.outcomes.damping(entry.id, now=NOW + DAY_MS) == 0


# -- Security Hub -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "lane"),
    [
        pytest.param("fresh", Lane.URGENT, id="new"),
        pytest.param("backlog", Lane.BACKLOG, id="of the first listing"),
        pytest.param("changed", Lane.CHANGED, id="changed"),
        pytest.param("lost", Lane.URGENT, id="gone"),
        pytest.param("older", Lane.REFRESH, id="another renderer version"),
    ],
)
def test_lanes(state: str, lane: Lane) -> None:
    """The lane of each difference."""
    made = ledger()
    made.read(REPORT, [(violation(), None)], complete=True, passed=nothing, now=NOW, backlog=state == "backlog")
    entry = entry_of(made, violation())
    if state in {"changed", "lost", "older"}:
        made.mark_in_flight(entry)
        digest = "other" if state == "changed" else entry.digest
        made.acknowledge(entry, ObservedFinding(digest, WALL, WALL, archived=False, renderer="0"), now=NOW)
    if state == "lost":
        made.forget(REPORT, now=NOW)
    assert entry.id in made.agenda.dirty.queue(lane)
    if state == "older":
        assert made.decide(entry, rules=RULES, now=NOW, wall_clock=WALL)[0] is Change.REFRESHED


def test_a_contradicting_inventory_causes_a_lookup() -> None:
    """A recent acknowledgement takes precedence; later the finding is read by id, and that counts."""
    made = ledger()
    report(made, REPORT, violation())
    entry = sent(made, violation())
    stale = ObservedFinding("older", WALL - 5, WALL - 5, archived=True)
    held = Observation(entry.id, stale, "uid-1", REPORT.source_api, "r")
    made.observed.take_part("", [held], now=NOW + 1000)
    assert entry.observed != stale
    made.wake(NOW + ACK_OVERRULES_MS)
    assert not made.observed.lookups
    made.wake(NOW + ACK_OVERRULES_MS + 1)
    assert made.observed.lookups.take(20) == [entry.id]
    made.observed.take_lookup(entry.id, held, now=NOW + ACK_OVERRULES_MS + 1)
    assert entry.observed == stale


@pytest.mark.parametrize("number", [MISSED_MANY, MISSED_MANY + 1])
def test_findings_missing_in_an_inventory(number: int) -> None:
    """A few are read by id, because pages shift; many at once were deleted and are sent again."""
    made = ledger()
    reported = [violation(f"web-{n}") for n in range(number)]
    report(made, REPORT, *reported)
    sent(made, *reported)
    for one in reported:
        made.mark_decided(entry_of(made, one), None)
    made.observed.take_part("", [], now=NOW + ACK_OVERRULES_MS + 1)
    asked = number <= MISSED_MANY
    assert len(made.observed.lookups) == (number if asked else 0)
    assert len(made.agenda.dirty) == (0 if asked else number)


def test_a_failed_lookup_is_repeated() -> None:
    """Unless the inventory has read the id meanwhile."""
    made = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    report(made, REPORT, violation())
    id_ = entry_of(made, violation()).id
    assert made.observed.lookups.take(20) == [id_]
    assert made.observed.lookups.take(20) == []
    made.observed.retry_lookup(id_)
    assert made.observed.lookups.take(20) == [id_]
    made.observed.take_part("", [], now=NOW)
    made.observed.take_lookup(id_, None, now=NOW)
    assert id_ in made.agenda.dirty
    assert not made.observed.progress.unread
