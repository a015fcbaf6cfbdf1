"""The evidence about one finding that nobody reports: the table in `grading`, row by row, without a ledger."""

from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.model.violation import ObjectRef, SourceKey, Subject, Violation
from policyhub.sync import grading
from policyhub.sync.entry import Entry, ListingState, Loss, ObservedFinding
from policyhub.sync.evidence import OWNERS, SKEW_MS, Sources
from policyhub.sync.existence import Answer, Presence
from policyhub.sync.grading import ANSWER_FRESH_MS, RESUME_MS, SCAN_INTERVAL_MS, SILENT_AFTER_MS
from policyhub.sync.guard import Guard
from policyhub.sync.holds import Hold, Trigger
from policyhub.sync.known_namespaces import NAMESPACES
from policyhub.sync.plan import DAY_MS, Evidence, Grade, Rules
from policyhub.sync.scans import ROUNDS

NOW = SteadyMs(1_790_000_000_000)
DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
REPORT = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r")
OPEN = SourceKey("openreports.io", "reports", "shop", "r")
CONSTRAINT = SourceKey("constraints.gatekeeper.sh", "k8sallowedrepos", "", "repos")
WEB = Subject("apps", "Deployment", "shop", "web")
BEGAN = NOW - 86_400_000
"""When all watches began."""
PRESENT, ABSENT, UNKNOWN = Presence.PRESENT, Presence.ABSENT, Presence.UNKNOWN
LOST = NOW
"""When the finding was lost."""


class Api:
    """A fake of `Existence`: its answers begin at `since`, or at a given time."""

    def __init__(self, subject: Presence, policy: Presence) -> None:
        self.presence = subject
        self.policy_presence = policy
        self.subject_asked: SteadyMs | None = None
        """When the lookup of the object began; None: at `since`."""
        self.policy_asked: SteadyMs | None = None
        self.changed = UNDATED

    def subject(self, of: Subject, *, since: SteadyMs) -> Answer | None:
        assert of == WEB
        return self._answer(self.presence, self.subject_asked, since)

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None:
        assert (source, policy) == ("kyverno", "p")
        return self._answer(self.policy_presence, self.policy_asked, since)

    def _answer(self, presence: Presence, asked: SteadyMs | None, since: SteadyMs) -> Answer | None:
        at = since if asked is None else asked
        return Answer(presence, at, changed_at=self.changed, answered_at=at) if at >= since else None


class Owned:
    """A fake of ownership with a few fixed answers."""

    def __init__(self) -> None:
        self.since = BEGAN
        self.pods_unreported = False
        """By the policy."""
        self.unlooked = False
        """By any policy."""
        self.made_at: tuple[WallMs, WallMs] | None = None
        self.passes = True
        self.below = True
        self.gone = False
        self.new_pods = False
        self.pods = True

    def unreported(self, source: str, policy: str, of: Subject) -> bool:
        assert (source, of) == ("kyverno", WEB)
        assert policy in {"p", ""}
        return self.pods_unreported if policy else self.unlooked

    def creation_times(self, source: str, policy: str, of: Subject) -> tuple[WallMs, WallMs] | None:
        assert (source, policy, of) == ("kyverno", "p", WEB)
        return self.made_at

    def reports_passes(self, source: str, policy: str, namespace: str) -> bool:
        assert (source, namespace) == ("kyverno", "shop")
        assert policy == ""  # the engine, by any policy: one that all objects violate passes none
        return self.passes

    def reports_descendants(self, source: str, policy: str, namespace: str) -> bool:
        assert (source, namespace) == ("kyverno", "shop")
        assert policy in {"p", ""}
        return self.below

    def has_descendants(self, of: Subject) -> bool:
        assert of == WEB
        return self.pods

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool:
        del of, constraint, audited
        return self.new_pods

    def deleted(self, of: Subject) -> bool:
        del of
        return self.gone

    def object_refs(self, of: Subject, constraint: SourceKey) -> list[ObjectRef]:
        del of, constraint
        return []


def ignore(
    trigger: Trigger, *, namespaces: Collection[str] | None = None, where: Callable[[Entry], bool] = lambda _: True
) -> None:
    """Nothing is held here."""
    del trigger, namespaces, where


class World:
    """One finding, lost just now, of a cluster in which every API is live and confirmed."""

    def __init__(
        self,
        subject: Presence = PRESENT,
        policy: Presence = PRESENT,
        loss: Loss = Loss.SILENT,
        *,
        key: SourceKey = REPORT,
        rolls_up: bool = True,
    ) -> None:
        self.entry = entry = Entry("policyhub/alpha/00")
        entry.observed = ObservedFinding("d", WallMs(int(BEGAN)), WallMs(int(BEGAN)), archived=False)
        entry.was_claimed, entry.unclaimed_since, entry.loss = True, LOST, loss
        entry.source, entry.policy, entry.rule = "kyverno", "p", key.name
        entry.source_api, entry.charged_to = key.source_api, "shop"
        entry.own = False
        entry.object_ref = ObjectRef("apps", "v1", "Deployment", "shop", "web")
        self.sources = Sources(entries={entry.id: entry}, requeue=ignore, enqueue=lambda _: None)
        self.sources.set_reports_listed(listed=True)
        apis = (REPORT.source_api, OPEN.source_api, CONSTRAINT.source_api)
        for api in apis:
            self.sources.set_listing_state(api, ListingState(live=True, since=BEGAN))
        for api in (*OWNERS, NAMESPACES):
            self.sources.stream_started_at[api] = BEGAN
        self.sources.confirm(apis, now=NOW + 10 * DELAY)
        self.api = Api(subject, policy)
        self.sources.existence = self.api
        self.owned = Owned()
        if rolls_up:
            self.sources.ownership = self.owned
        self.guard = Guard()
        self.ahead = 0
        """How far (ms) the wall clock was set forward since the process started."""

    def grade(self, *, now: SteadyMs = NOW) -> Evidence:
        wall_clock = WallMs(int(now) + self.ahead)
        return grading.evidence_of_loss(
            self.entry, sources=self.sources, guard=self.guard, rules=RULES, now=now, wall_clock=wall_clock
        )

    def outcome(self, *, now: SteadyMs = NOW) -> Grade | Hold | None:
        """The grade, or the hold."""
        evidence = self.grade(now=now)
        return evidence.hold if evidence.grade is Grade.NONE else evidence.grade


def not_scanned(world: World) -> None:
    world.owned.below = False


def has_scanned(world: World) -> None:
    """The engine has reported on the object since, and has never reported on a Pod."""
    world.owned.below = False
    world.entry.reported_at = LOST + 5


def by_pods(world: World) -> None:
    """All Pods were reported on."""


def by_pods_and_own(world: World) -> None:
    """All Pods were reported on; its own result existed and was not reported again."""
    world.entry.own = True


def pods_unreported(world: World) -> None:
    world.entry.reported_at = LOST + 5
    world.owned.pods_unreported = True


def failures_only(world: World) -> None:
    """The policy writes no passing results, and no full scan is complete."""
    world.owned.passes = False


def repeated_audits(world: World) -> None:
    world.owned.passes = False
    for key in (REPORT, SourceKey("wgpolicyk8s.io", "policyreports", "shop", "another")):
        world.sources.scans.read(key, [("kyverno", 1)], changed=False, now=LOST)
        for n in range(ROUNDS):
            world.sources.scans.read(key, [("kyverno", 2 + n)], changed=False, now=LOST + 1 + n)


def repeated_audits_without_passes(world: World) -> None:
    """A full scan is complete, but the policy writes passing results: then only a report on the object counts."""
    repeated_audits(world)
    world.owned.passes, world.owned.below = True, False


def edited(world: World) -> None:
    """… but it was edited, and may no longer match the object."""
    repeated_audits_without_passes(world)
    world.api.changed = WallMs(int(LOST))


def pods_after_a_restart(world: World) -> None:
    """All Pods were reported on, a full scan is complete, and it is not known what reported the finding."""
    repeated_audits(world)
    world.owned.passes, world.entry.own = True, None


def pods_replaced(world: World) -> None:
    """All Pods are younger than the finding, and the engine has reported on them, but not by the policy."""
    repeated_audits(world)
    world.owned.passes, world.owned.pods_unreported = True, True
    young = WallMs(int(BEGAN)) + SKEW_MS + 1
    world.owned.made_at = young, young


def pods_replaced_in_part(world: World) -> None:
    pods_replaced(world)
    world.owned.made_at = WallMs(int(BEGAN)) + SKEW_MS, WallMs(int(LOST))


def pods_replaced_after_the_scan(world: World) -> None:
    """The newest Pod was made when the scan had begun already."""
    pods_replaced(world)
    assert world.owned.made_at is not None
    world.owned.made_at = world.owned.made_at[0], WallMs(int(LOST)) + 1


def no_pods(world: World) -> None:
    pods_replaced(world)
    world.owned.made_at = None


def pods_replaced_and_not_looked_at(world: World) -> None:
    pods_replaced(world)
    world.owned.unlooked = True


def pods_replaced_and_own(world: World) -> None:
    pods_replaced(world)
    world.entry.own = True


def scanned_after_a_restart(world: World) -> None:
    """All Pods were reported on, and the object since, by any policy: it is not known what reported it before."""
    world.entry.own, world.entry.reported_at = None, LOST + 5


def unheard_after_a_restart(world: World) -> None:
    world.entry.own = None


STATES = {
    "not heard": not_scanned,
    "heard": has_scanned,
    "by Pods": by_pods,
    "by Pods, its own unheard": by_pods_and_own,
    "Pods unreported": pods_unreported,
    "failures only": failures_only,
    "gone round": repeated_audits,
    "gone round, passes written": repeated_audits_without_passes,
    "gone round, policy edited": edited,
    "gone round, by Pods, after a restart": pods_after_a_restart,
    "heard, by Pods, after a restart": scanned_after_a_restart,
    "by Pods, after a restart": unheard_after_a_restart,
    "gone round, all Pods replaced": pods_replaced,
    "gone round, Pods replaced in part": pods_replaced_in_part,
    "gone round, Pods replaced after the scan": pods_replaced_after_the_scan,
    "gone round, no Pods replaced": no_pods,
    "gone round, Pods replaced and not looked at": pods_replaced_and_not_looked_at,
    "gone round, all Pods replaced, its own unheard": pods_replaced_and_own,
}
REPEATED = {
    "not heard": Hold.UNREPORTED,
    "heard": Hold.UNREPORTED,
    "by Pods": Grade.REPEATED,
    "by Pods, its own unheard": Hold.UNREPORTED,
    "Pods unreported": Hold.UNREPORTED,
    "failures only": Hold.UNREPORTED,
    "gone round": Grade.REPEATED,
    "gone round, passes written": Hold.UNREPORTED,
    "gone round, policy edited": Grade.REPEATED,
    "gone round, by Pods, after a restart": Grade.REPEATED,
    "heard, by Pods, after a restart": Hold.UNREPORTED,
    "by Pods, after a restart": Hold.UNREPORTED,
    "gone round, all Pods replaced": Grade.REPEATED,
    "gone round, Pods replaced in part": Hold.UNREPORTED,
    "gone round, Pods replaced after the scan": Hold.UNREPORTED,
    "gone round, no Pods replaced": Hold.UNREPORTED,
    "gone round, Pods replaced and not looked at": Hold.UNREPORTED,
    "gone round, all Pods replaced, its own unheard": Hold.UNREPORTED,
}
"""If object and policy exist: by whether the engine has scanned again."""
HEARD = REPEATED | {"heard": Grade.REPEATED, "heard, by Pods, after a restart": Grade.REPEATED}
"""If the policy may not be looked up: a report on the object counts as well."""
UNVERIFIED = dict.fromkeys(STATES, Grade.UNVERIFIED) | {
    state: Hold.UNREPORTED for state in STATES if state == "Pods unreported" or "replaced" in state
}
"""If a lookup is not possible: as soon as everything that rolls up to the object was reported on."""
SURE = dict.fromkeys(STATES, Grade.DELETED)
EXPLAINED = dict.fromkeys(STATES, Grade.EXPLAINED)

TABLE: dict[tuple[Presence, Presence, Loss], dict[str, Any]] = {
    (ABSENT, PRESENT, Loss.SILENT): SURE,
    (ABSENT, ABSENT, Loss.SILENT): SURE,
    (ABSENT, UNKNOWN, Loss.SILENT): SURE,
    (ABSENT, PRESENT, Loss.OMITTED): SURE,
    (ABSENT, ABSENT, Loss.OMITTED): SURE,
    (ABSENT, UNKNOWN, Loss.OMITTED): SURE,
    (PRESENT, ABSENT, Loss.SILENT): EXPLAINED,
    (PRESENT, ABSENT, Loss.OMITTED): EXPLAINED,
    (UNKNOWN, ABSENT, Loss.SILENT): EXPLAINED,
    (UNKNOWN, ABSENT, Loss.OMITTED): EXPLAINED,
    (PRESENT, PRESENT, Loss.SILENT): REPEATED,
    (PRESENT, PRESENT, Loss.OMITTED): REPEATED,
    (PRESENT, UNKNOWN, Loss.SILENT): HEARD,
    (PRESENT, UNKNOWN, Loss.OMITTED): UNVERIFIED,
    (UNKNOWN, PRESENT, Loss.SILENT): UNVERIFIED,
    (UNKNOWN, PRESENT, Loss.OMITTED): UNVERIFIED,
    (UNKNOWN, UNKNOWN, Loss.SILENT): UNVERIFIED,
    (UNKNOWN, UNKNOWN, Loss.OMITTED): UNVERIFIED,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("subject", "policy", "loss"),
    [pytest.param(*row, id=f"object {row[0]}, policy {row[1]}, {row[2].name.lower()}") for row in TABLE],
)
def test_the_table(subject: Presence, policy: Presence, loss: Loss, state: str) -> None:
    """Every row: the answers for object and policy, the kind of loss, and what was scanned again."""
    world = World(subject, policy, loss)
    STATES[state](world)
    assert world.outcome() is TABLE[subject, policy, loss][state]


@pytest.mark.parametrize("scanned_again", [False, True])
def test_without_ownership_only_a_report_on_the_object_counts(*, scanned_again: bool) -> None:
    """Without roll-up no Pod reports for its owner, and no full scan is known."""
    world = World(PRESENT, UNKNOWN, rolls_up=False)
    repeated_audits(world)
    world.entry.reported_at = LOST + 5 if scanned_again else NEVER
    assert world.outcome() is (Grade.REPEATED if scanned_again else Hold.UNREPORTED)


@pytest.mark.parametrize(
    ("subject", "policy", "lost"),
    [
        pytest.param(ABSENT, PRESENT, False, id="deleted"),
        pytest.param(PRESENT, ABSENT, True, id="its policy is deleted"),
        pytest.param(PRESENT, PRESENT, True, id="repeated"),
        pytest.param(UNKNOWN, PRESENT, True, id="unverified"),
    ],
)
def test_the_guard_counts_uncertain_evidence(subject: Presence, policy: Presence, *, lost: bool) -> None:
    """And not what the API server confirms."""
    world = World(subject, policy)
    assert world.grade().lost == lost


@pytest.mark.parametrize("pods", [True, False], ids=["has Pods", "has none"])
def test_after_a_restart_a_day_is_enough_if_all_pods_were_reported_on(*, pods: bool) -> None:
    """Its own result may have been wiped before: an engine that scans daily has looked at it again by then. Without a
    Pod nothing was looked at.
    """
    world = World()
    world.entry.own, world.owned.pods = None, pods
    assert world.outcome(now=LOST + SCAN_INTERVAL_MS) is Hold.UNREPORTED
    assert world.outcome(now=LOST + SCAN_INTERVAL_MS + 1) is (Grade.REPEATED if pods else Hold.UNREPORTED)


@pytest.mark.parametrize("new_pods", [True, False], ids=["new Pods", "no new Pods"])
@pytest.mark.parametrize("own", [True, None, False], ids=["own", "not known", "by a word of its own"])
def test_an_unreported_finding_is_counted_unless_its_own_result_ended(*, own: bool | None, new_pods: bool) -> None:
    """What waits for its Pods after a rollout is no loss of its engine, and no person approves of it before they were
    told; nor, after a restart, where nobody knows whether its object has spoken before.
    """
    world = World()
    not_scanned(world)
    world.entry.own, world.owned.pods_unreported = own, new_pods
    lost = own is True or (own is None and not new_pods)
    evidence = world.grade()
    assert (evidence.hold, evidence.lost) == (Hold.UNREPORTED, lost)
    world.guard.approved = {"kyverno": NOW + DELAY}
    assert world.outcome() is (Grade.APPROVED if lost else Hold.UNREPORTED)


# -- when the API server was asked ------------------------------------------------------------------------------------


@pytest.mark.parametrize("referent", ["object", "policy"])
@pytest.mark.parametrize(
    ("asked", "now", "counts"),
    [
        pytest.param(LOST - 1, LOST, False, id="before the loss"),
        pytest.param(LOST, LOST, True, id="after it"),
        pytest.param(LOST, LOST + DELAY - 1, True, id="after it, the delay runs"),
        pytest.param(LOST, LOST + DELAY, False, id="after it, and the delay is over: looked up again"),
        pytest.param(LOST + DELAY, LOST + DELAY, True, id="at the end of the delay"),
        pytest.param(LOST + DELAY, LOST + DELAY + ANSWER_FRESH_MS, True, id="ten minutes ago"),
        pytest.param(LOST + DELAY, LOST + DELAY + ANSWER_FRESH_MS + 1, False, id="too long ago"),
    ],
)
def test_lookups_begin_after_the_loss_and_again_after_the_delay(
    referent: str,
    asked: SteadyMs,
    now: SteadyMs,
    *,
    counts: bool,
) -> None:
    """An earlier answer does not count; the finding waits for an answer, and the guard counts it meanwhile."""
    world = World()
    if referent == "object":
        world.api.subject_asked = asked
    else:
        world.api.policy_asked = asked
    evidence = world.grade(now=now)
    assert (evidence.grade, evidence.hold) == ((Grade.REPEATED, None) if counts else (Grade.NONE, Hold.PRESENCE))
    assert evidence.lost


@pytest.mark.parametrize("missing", ["nobody to ask", "no policy", "no object"])
def test_a_lookup_that_is_not_possible(missing: str) -> None:
    """It is UNKNOWN, without a wait."""
    world = World(ABSENT, ABSENT)
    if missing == "nobody to ask":
        world.sources.existence = None
    elif missing == "no policy":
        world.api.presence, world.entry.policy = UNKNOWN, ""
        world.sources.ownership = None
    else:
        world.api.policy_presence, world.entry.object_ref = PRESENT, None
    assert world.outcome() is Grade.UNVERIFIED


@pytest.mark.parametrize(("subject", "policy"), [(ABSENT, PRESENT), (PRESENT, ABSENT)], ids=["object", "policy"])
def test_a_discovery_must_confirm_the_answering_cluster(subject: Presence, policy: Presence) -> None:
    """Another cluster at the old address does not have them either."""
    world = World(subject, policy)
    world.sources.discovered = LOST - 1
    assert not world.grade().confirmed
    world.sources.discovered = LOST
    assert world.grade().confirmed
    assert world.grade().since == LOST


# -- a person ---------------------------------------------------------------------------------------------------------


def test_an_approval_covers_an_unexplained_loss() -> None:
    """In place of a report that does not come; for as long as the approval lasts, and that source alone. What waits for
    new Pods is approved once a person has been told of it.
    """
    world = World()
    not_scanned(world)
    world.guard.approved = {"kyverno": LOST + SILENT_AFTER_MS * 2}
    world.entry.own = False
    assert world.outcome() is Hold.UNREPORTED
    assert world.grade(now=LOST + SILENT_AFTER_MS + 1).grade is Grade.APPROVED
    world.entry.own = True
    world.guard.approved = {"trivy": NOW + DELAY}
    assert world.outcome() is Hold.UNREPORTED
    world.guard.approved = {"kyverno": NOW + 1}
    evidence = world.grade()
    assert (evidence.grade, evidence.since, evidence.confirmed) == (Grade.APPROVED, LOST, True)
    assert world.outcome(now=NOW + 1) is Hold.UNREPORTED
    world.sources.discovered = LOST - 1
    assert not world.grade().confirmed


@pytest.mark.parametrize("hold", [Hold.SOURCE, Hold.UNLISTED, Hold.PRESENCE, Hold.OWNERS_UNKNOWN])
def test_an_approval_covers_nothing_else(hold: Hold) -> None:
    """A finding that may still be reported, or whose lookup is pending, is not known to be lost."""
    world = World()
    world.guard.approved = {"kyverno": NOW + DELAY}
    if hold is Hold.SOURCE:
        world.sources.set_listing_state(REPORT.source_api, ListingState(live=False))
    elif hold is Hold.UNLISTED:
        world.sources.set_unevaluated(REPORT, frozenset({world.entry.id}))
    elif hold is Hold.PRESENCE:
        world.api.subject_asked = LOST - 1
    else:
        world.owned.since = NEVER
    assert world.outcome() is hold


# -- what is not known ------------------------------------------------------------------------------------------------


def nobody_listed(world: World) -> None:
    world.sources.set_reports_listed(listed=False)


def unheard(world: World) -> None:
    world.sources.set_waiting(OPEN.source_api, frozenset({"shop"}))


def owners_unknown(world: World) -> None:
    world.owned.since = NEVER


def unseen(world: World) -> None:
    world.sources.set_listing_state(REPORT.source_api, ListingState(live=False))


def never_seen(world: World) -> None:
    del world.sources.listing_states[REPORT.source_api]


def other_api_unseen(world: World) -> None:
    world.sources.set_dual_apis(frozenset({("kyverno", "shop")}))
    world.sources.set_listing_state(OPEN.source_api, ListingState(live=False))


@pytest.mark.parametrize("passes", [False, True], ids=["silent", "passes"])
@pytest.mark.parametrize(
    ("state", "hold"),
    [
        pytest.param(nobody_listed, Hold.SOURCE, id="another API was not listed yet"),
        pytest.param(unheard, Hold.SOURCE, id="reports of its namespace wait to be read"),
        pytest.param(owners_unknown, Hold.OWNERS_UNKNOWN, id="owners are not known"),
        pytest.param(unseen, Hold.SOURCE, id="its API is not live"),
        pytest.param(never_seen, Hold.SOURCE, id="its API was never live"),
        pytest.param(other_api_unseen, Hold.SOURCE, id="its engine's other API is not live"),
    ],
)
def test_incomplete_sources_end_nothing(state: Callable[[World], None], hold: Hold, *, passes: bool) -> None:
    """Not even a pass: it may be outdated."""
    world = World(loss=Loss.PASSED if passes else Loss.OMITTED)
    world.entry.reported_at = LOST + 5
    state(world)
    assert world.outcome() is hold


def test_reports_of_other_namespaces_that_wait_hold_nothing() -> None:
    """Only those of its own namespace hold it."""
    world = World()
    world.sources.set_waiting(OPEN.source_api, frozenset({"bank"}))
    assert world.outcome() is Grade.REPEATED


@pytest.mark.parametrize(("subject", "policy"), [(PRESENT, PRESENT), (UNKNOWN, UNKNOWN), (PRESENT, ABSENT)])
def test_an_unevaluated_finding_is_held(subject: Presence, policy: Presence) -> None:
    """An engine that reports *error* has not evaluated the object."""
    world = World(subject, policy, Loss.OMITTED)
    world.entry.reported_at = LOST + 5
    world.sources.set_unevaluated(REPORT, frozenset({world.entry.id}))
    assert world.outcome() is Hold.UNLISTED
    world.sources.set_unevaluated(REPORT, frozenset())
    assert world.outcome() is not Hold.UNLISTED


@pytest.mark.parametrize(
    ("was_claimed", "expected"),
    [(False, Hold.UNLISTED), (True, Grade.UNVERIFIED)],
    ids=["after a restart", "reported here"],
)
def test_an_unreadable_report_holds_findings_that_only_the_inventory_knows(
    *, was_claimed: bool, expected: object
) -> None:
    """A finding that was claimed in this process lost its claim by a complete report."""
    world = World(UNKNOWN, UNKNOWN)
    world.entry.was_claimed = was_claimed
    world.sources.mark_incomplete(OPEN)
    assert world.outcome() is Grade.UNVERIFIED  # of another API
    world.sources.mark_incomplete(SourceKey("wgpolicyk8s.io", "policyreports", "shop", "other"))
    assert world.outcome() is expected


# -- passes -----------------------------------------------------------------------------------------------------------


def test_a_pass_archives_at_once() -> None:
    """If its engine writes one report API, since the loss."""
    evidence = World(UNKNOWN, UNKNOWN, Loss.PASSED).grade()
    assert evidence == Evidence(Grade.PASSED, since=LOST, delayed=False)


def test_a_pass_waits_for_the_other_api() -> None:
    """If its engine writes both."""
    world = World(loss=Loss.PASSED)
    world.sources.set_dual_apis(frozenset({("kyverno", "shop")}))
    assert world.grade() == Evidence(Grade.PASSED, since=LOST)


@pytest.mark.parametrize(
    ("subject", "policy"),
    [(PRESENT, PRESENT), (PRESENT, UNKNOWN), (UNKNOWN, PRESENT), (UNKNOWN, UNKNOWN)],
    ids=["both exist", "the policy is not known", "the object is not known", "nobody may be asked"],
)
@pytest.mark.parametrize("own", [False, True], ids=["a report passed it", "its own result passes"])
def test_a_pass_does_not_count_while_a_descendant_is_not_reported(
    subject: Presence, policy: Presence, *, own: bool
) -> None:
    """Otherwise the finding of a new failing Pod would be archived before the report on it."""
    world = World(subject, policy, Loss.OMITTED if own else Loss.PASSED)
    world.entry.own_passes = own
    assert world.outcome() is Grade.PASSED
    world.owned.pods_unreported = True
    assert world.outcome() is Hold.UNREPORTED


@pytest.mark.parametrize(
    ("was_claimed", "pods", "below", "expected"),
    [
        pytest.param(True, True, False, Grade.PASSED, id="reported in this process"),
        pytest.param(False, False, False, Grade.PASSED, id="it has no Pods"),
        pytest.param(False, True, True, Grade.PASSED, id="its engine reports on Pods: they were reported on"),
        pytest.param(False, True, False, Hold.UNREPORTED, id="whether its engine reports on its Pods is not known"),
    ],
)
def test_a_pass_after_a_restart_waits_until_it_is_known_whether_pods_are_reported(
    *,
    was_claimed: bool,
    pods: bool,
    below: bool,
    expected: object,
) -> None:
    """For a finding that only the inventory knows, Pods may have been reported before, and not yet in this process."""
    world = World(loss=Loss.PASSED)
    world.entry.was_claimed, world.owned.pods, world.owned.below = was_claimed, pods, below
    assert world.outcome() is expected
    repeated_audits(world)
    assert world.outcome() is Grade.PASSED


def test_an_own_pass_counts_only_with_roll_up() -> None:
    """Otherwise it is not about this finding."""
    world = World(loss=Loss.OMITTED, rolls_up=False)
    world.entry.own_passes = True
    assert world.outcome() is Hold.UNREPORTED


@pytest.mark.parametrize("api", [REPORT.source_api, *OWNERS])
def test_a_pass_is_confirmed_since_the_watch_began(api: str) -> None:
    """Its own watch and those of owners: each may be of another cluster."""
    world = World(loss=Loss.PASSED)
    world.sources.confirmed[api] = NOW
    world.sources.stream_started_at[api] = NOW
    assert world.grade().confirmed
    world.sources.stream_started_at[api] = NOW + 1
    assert not world.grade().confirmed


# -- deletions that watches tell --------------------------------------------------------------------------------------


def namespace_deleted(world: World, *, at: SteadyMs = LOST + 10) -> None:
    world.sources.spaces.live(live=True, now=BEGAN)
    world.sources.spaces.list(frozenset({"shop"}), now=BEGAN)
    world.sources.spaces.remove("shop", now=at)


def test_a_deleted_namespace_is_a_deletion() -> None:
    """Since the later of the loss and the deletion; confirmed by a discovery since, and since the watch began."""
    world = World()
    not_scanned(world)
    namespace_deleted(world)
    assert world.grade() == Evidence(Grade.DELETED, since=LOST + 10)
    world.sources.confirmed[NAMESPACES] = LOST + 9
    assert not world.grade().confirmed
    world.sources.confirmed[NAMESPACES] = LOST + 10
    assert world.grade().confirmed
    world.sources.stream_started_at[NAMESPACES] = LOST + 11
    assert not world.grade().confirmed
    namespace_deleted(world, at=LOST - 10)
    assert world.grade().since == LOST


def test_a_deleted_namespace_needs_no_lookup() -> None:
    """Although its API is neither live nor confirmed."""
    world = World(loss=Loss.OMITTED)
    namespace_deleted(world)
    unseen(world)
    world.api.subject_asked = NEVER
    assert world.outcome() is Grade.DELETED


@pytest.mark.parametrize("api", OWNERS)
def test_a_deleted_pod_is_a_deletion(api: str) -> None:
    """By the owners' watches, each confirmed since the loss and since owners are known."""
    world = World()
    not_scanned(world)
    world.owned.gone = True
    assert world.grade() == Evidence(Grade.DELETED, since=LOST)
    world.sources.confirmed[api] = LOST - 1
    assert not world.grade().confirmed
    world.sources.confirmed[api] = LOST
    world.sources.stream_started_at[api] = LOST + 1
    assert not world.grade().confirmed
    world.sources.stream_started_at[api] = BEGAN
    assert world.grade().confirmed
    world.owned.since = LOST + 7
    assert world.grade().since == LOST + 7


# -- switched off -----------------------------------------------------------------------------------------------------


def test_a_disabled_api() -> None:
    """It needs no coverage and no lookup; a pass and a deletion are better evidence."""
    world = World(loss=Loss.OMITTED)
    world.sources.disabled_groups = frozenset({REPORT.group})
    unseen(world)
    assert world.grade() == Evidence(Grade.DESELECTED, since=LOST, lost=True)
    world.owned.gone = True
    assert world.outcome() is Grade.DELETED
    world.sources.disabled_groups = frozenset({OPEN.group})
    world.owned.gone = False
    world.entry.reported_at = LOST
    assert world.outcome() is Hold.SOURCE


# -- since when -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "seen_since", "scanned_at", "expected"),
    [
        pytest.param(LOST, BEGAN, NEVER, LOST, id="the loss"),
        pytest.param(LOST, LOST + 7, LOST + 3, LOST + 7, id="its API is live since later"),
        pytest.param(LOST, LOST + 3, LOST + 7, LOST + 7, id="its engine reported later"),
    ],
)
def test_the_delay_starts_with_the_latest_evidence(
    loss: SteadyMs, seen_since: SteadyMs, scanned_at: SteadyMs, expected: SteadyMs
) -> None:
    """The loss, the coverage, the report of the engine; a discovery must be as late."""
    world = World()
    world.entry.unclaimed_since, world.entry.reported_at = loss, scanned_at
    world.sources.set_listing_state(REPORT.source_api, ListingState(live=True, since=seen_since))
    assert world.grade().since == expected
    world.sources.confirmed[REPORT.source_api] = expected
    assert world.grade().confirmed
    world.sources.confirmed[REPORT.source_api] = expected - 1
    assert not world.grade().confirmed
    world.sources.confirmed[REPORT.source_api] = expected
    world.sources.stream_started_at[OWNERS[0]] = NOW + 100 * DELAY
    assert not world.grade().confirmed


def test_a_resumed_watch_first_delivers_its_missed_events() -> None:
    """The watch of the reports and those of owners, whichever is later; without an interruption there is no wait."""
    world = World()
    world.owned.since = BEGAN
    assert world.grade().not_before == BEGAN + RESUME_MS
    world.sources.set_listing_state(REPORT.source_api, ListingState(live=True, since=BEGAN, resumed=LOST))
    assert world.grade().not_before == LOST + RESUME_MS
    world.owned.since = LOST + 5
    assert world.grade().not_before == LOST + 5 + RESUME_MS
    world.sources.ownership = None
    world.entry.reported_at, world.api.policy_presence = LOST, UNKNOWN
    world.sources.set_listing_state(REPORT.source_api, ListingState(live=True, since=BEGAN))
    assert world.grade().not_before == NEVER


# -- constraints ------------------------------------------------------------------------------------------------------

AUDIT = NOW // 1000
"""The audit that lacked it first (Unix seconds)."""


def listed(kind: str, *, group: str = "", own: bool = True) -> Violation:
    return Violation(
        source="gatekeeper",
        policy="p",
        rule=CONSTRAINT.name,
        subject=Subject(group, kind, "shop", "another"),
        discriminator="",
        result="fail",
        severity=None,
        category="",
        message="m",
        own=own,
    )


def audited(subject: Presence = PRESENT, *, rolls_up: bool = True, representative: Violation | None = None) -> World:
    """Two audits lack it; the second lists another Deployment."""
    world = World(subject, PRESENT, Loss.OMITTED, key=CONSTRAINT, rolls_up=rolls_up)
    world.entry.representative = representative
    world.sources.constraints.await_audit(world.entry)
    for at in (AUDIT, AUDIT + 60):
        audit(world, at, listed("Deployment", group="apps"))
    return world


def audit(world: World, at: int, *lists: Violation, complete: bool = True) -> None:
    world.sources.constraints.audit(CONSTRAINT, at, lists=lists, complete=complete, boundary=None)


def partial(world: World) -> None:
    """The last audit lists nothing of its kind: it may not have been able to list it."""
    audit(world, AUDIT + 120, listed("Service"))


def partial_and_changed(world: World) -> None:
    partial(world)
    world.entry.last_audit_with = AUDIT - 60
    world.api.changed = WallMs((AUDIT - 60) * 1000 + 1)


def partial_and_changed_before(world: World) -> None:
    partial(world)
    world.entry.last_audit_with = AUDIT - 60
    world.api.changed = WallMs((AUDIT - 60) * 1000)


def partial_and_changed_since_it_was_sent(world: World) -> None:
    """When it was last listed is not known: since it was sent to Security Hub."""
    partial(world)
    world.api.changed = WallMs(int(BEGAN + 1))


def partial_and_changed_before_it_was_sent(world: World) -> None:
    partial(world)
    world.api.changed = WallMs(int(BEGAN))


def partial_but_another_constraint_lists_it(world: World) -> None:
    partial(world)
    other = SourceKey(CONSTRAINT.group, "k8sother", "", "other")
    world.sources.constraints.audit(
        other, AUDIT, lists=[listed("Deployment", group="apps")], complete=True, boundary=None
    )


def another_constraint_lists_it_by_an_older_audit(world: World) -> None:
    partial(world)
    other = SourceKey(CONSTRAINT.group, "k8sother", "", "other")
    world.sources.constraints.audit(
        other, AUDIT - 1, lists=[listed("Deployment", group="apps")], complete=True, boundary=None
    )


def pods_are_listed(world: World) -> None:
    """It is not known whether it or its Pods were listed."""
    audit(world, AUDIT + 120, listed("Pod"))


def pods_are_listed_for_their_owners(world: World) -> None:
    audit(world, AUDIT + 120, listed("Deployment", group="apps", own=False))


def new_pods(world: World) -> None:
    world.owned.new_pods = True


def lacked_once(world: World) -> None:
    world.entry.confirmed_by_audit = False


def not_lacked(world: World) -> None:
    world.entry.first_audit_without, world.entry.confirmed_by_audit = None, False


def truncated(world: World) -> None:
    not_lacked(world)
    world.sources.mark_incomplete(CONSTRAINT)


def truncated_and_below_its_end(world: World) -> None:
    lacked_once(world)
    world.sources.mark_incomplete(CONSTRAINT)


def constraint_unseen(world: World) -> None:
    world.sources.set_listing_state(CONSTRAINT.source_api, ListingState(live=False))


def as_it_is(world: World) -> None:
    """Complete."""


@pytest.mark.parametrize(
    ("state", "expected", "lost"),
    [
        pytest.param(as_it_is, Grade.REPEATED, True, id="two audits lack it"),
        pytest.param(not_lacked, Hold.AUDIT, True, id="none lacks it yet"),
        pytest.param(lacked_once, Hold.AUDIT, True, id="one lacks it"),
        pytest.param(truncated, Hold.UNLISTED, False, id="none lacks it, its list is truncated"),
        pytest.param(truncated_and_below_its_end, Hold.AUDIT, True, id="one lacks it below the end of its list"),
        pytest.param(constraint_unseen, Hold.SOURCE, False, id="its API is not live"),
        pytest.param(new_pods, Hold.UNREPORTED, False, id="Pods that no audit has seen"),
        pytest.param(partial, Hold.UNREPORTED, True, id="its kind may not have been listed"),
        pytest.param(partial_and_changed, Grade.REPEATED, True, id="… and it was changed since it was listed"),
        pytest.param(partial_and_changed_before, Hold.UNREPORTED, True, id="… and it was not changed since"),
        pytest.param(partial_and_changed_since_it_was_sent, Grade.REPEATED, True, id="… and changed since it was sent"),
        pytest.param(partial_and_changed_before_it_was_sent, Hold.UNREPORTED, True, id="… and not since it was sent"),
        pytest.param(partial_but_another_constraint_lists_it, Grade.REPEATED, True, id="… but for another constraint"),
        pytest.param(
            another_constraint_lists_it_by_an_older_audit, Hold.UNREPORTED, True, id="… another, by an older audit"
        ),
        pytest.param(pods_are_listed, Grade.REPEATED, True, id="Pods are listed"),
        pytest.param(pods_are_listed_for_their_owners, Grade.REPEATED, True, id="Pods are listed for their owners"),
    ],
)
def test_what_audits_lack(state: Callable[[World], None], expected: object, *, lost: bool) -> None:
    """The list of a constraint is a statement of its engine, for the kinds that it listed."""
    world = audited()
    state(world)
    assert (world.outcome(), world.grade().lost) == (expected, lost)


@pytest.mark.parametrize(
    ("own", "lists", "expected"),
    [
        pytest.param(True, listed("Deployment", group="apps"), Grade.REPEATED, id="its own, its kind is listed"),
        pytest.param(True, listed("Pod"), Hold.UNREPORTED, id="its own, Pods are listed"),
        pytest.param(False, listed("Pod"), Grade.REPEATED, id="by Pods, Pods are listed"),
        pytest.param(False, listed("Deployment", group="apps"), Hold.UNREPORTED, id="by Pods, its kind is listed"),
    ],
)
def test_the_kind_that_was_listed_must_still_be_listed(*, own: bool, lists: Violation, expected: object) -> None:
    """If it is known which one that was."""
    representative = msgspec.structs.replace(listed("Deployment"), subject=WEB, own=own)
    world = audited(representative=representative)
    audit(world, AUDIT + 120, lists)
    assert world.outcome() is expected


def test_pods_report_for_controllers_only() -> None:
    """A list of Pods is no evidence about a Service whose wording is not known."""
    world = audited()
    world.entry.object_ref = ObjectRef("", "v1", "Service", "shop", "web")
    world.sources.existence = Anything(PRESENT)
    audit(world, AUDIT + 120, listed("Pod"))
    assert world.outcome() is Hold.UNREPORTED
    audit(world, AUDIT + 180, listed("Pod"), listed("Service"))
    assert world.outcome() is Grade.REPEATED


class Anything:
    """Gives the same answer for everything."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence

    def subject(self, of: Subject, *, since: SteadyMs) -> Answer | None:
        del of
        return Answer(self.presence, since, answered_at=since)

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None:
        del source, policy
        return Answer(self.presence, since, answered_at=since)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [(ABSENT, Grade.DELETED), (UNKNOWN, Grade.REPEATED)],
    ids=["it is gone", "it may not be asked"],
)
def test_a_partial_audit_matters_only_if_the_object_exists(subject: Presence, expected: Grade) -> None:
    """If the object may not be looked up, the list decides; an absent object needs no list."""
    world = audited(subject)
    partial(world)
    assert world.outcome() is expected


def test_an_approval_covers_what_a_partial_audit_lacks() -> None:
    """If its kind is listed nowhere and it was not changed, nothing else ends it."""
    world = audited()
    partial(world)
    world.guard.approved = {"kyverno": NOW + DELAY}
    assert world.outcome() is Grade.APPROVED


def test_a_constraint_that_was_deleted_explains_it() -> None:
    """Unless it is unreadable."""
    world = audited()
    world.sources.constraints.drop(CONSTRAINT)
    assert world.outcome() is Grade.EXPLAINED
    assert world.grade().lost
    world.sources.set_unreadable(CONSTRAINT.source_api, frozenset({""}))
    assert world.outcome() is Hold.UNLISTED


def test_a_constraint_needs_no_report() -> None:
    """Listings of report APIs do not matter for it."""
    world = audited()
    nobody_listed(world)
    assert world.outcome() is Grade.REPEATED


def test_a_kind_that_discoveries_lack_was_deleted() -> None:
    """Accepted a delay after the first that lacked it, live or not; confirmed by one as late."""
    world = World(key=CONSTRAINT)
    constraint_unseen(world)
    world.sources.constraints.await_audit(world.entry)
    world.sources.constraints.read_kinds([], now=LOST + 50)
    evidence = world.grade()
    assert evidence == Evidence(Grade.EXPLAINED, since=LOST + 50 + DELAY, confirmed=False, lost=True)
    world.sources.constraints.read_kinds([], now=LOST + 50 + 2 * DELAY - 1)
    assert not world.grade().confirmed
    world.sources.constraints.read_kinds([], now=LOST + 50 + 2 * DELAY)
    assert world.grade() == Evidence(Grade.EXPLAINED, since=LOST + 50 + DELAY, lost=True)
    world.entry.unclaimed_since = LOST + 10 * DELAY
    assert world.grade().since == LOST + 10 * DELAY
    world.sources.constraints.read_kinds([CONSTRAINT.source_api], now=LOST + 20 * DELAY)
    assert world.outcome() is Hold.SOURCE


def test_the_table_is_complete() -> None:
    """Every combination of answers and of losses other than a pass has its row, with every state."""
    assert all(row.keys() == STATES.keys() for row in TABLE.values())
    assert TABLE.keys() == {(s, p, loss) for s in Presence for p in Presence for loss in (Loss.SILENT, Loss.OMITTED)}


@pytest.mark.parametrize("ahead", [-30 * DAY_MS, 30 * DAY_MS], ids=["put back", "put forward"])
def test_an_edit_and_a_loss_are_compared_by_one_clock(ahead: int) -> None:
    """The API server dates edits by the wall clock; losses are counted by one that never jumps, from whatever start."""
    world = World()
    repeated_audits_without_passes(world)
    world.ahead = ahead
    world.api.changed = WallMs(int(LOST) + ahead - grading.EDITED_MS)
    assert world.outcome() is Hold.UNREPORTED
    world.api.changed += 1
    assert world.outcome() is Grade.REPEATED
