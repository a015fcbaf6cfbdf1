"""Mutation tests of the simulation: each mutation reverts the fix of a fault by patching the operator, and names the
stories that must then break a promise. This proves that the simulation would find the fault.

`python -m tests.simulation --mutations` runs them all. If two fixes prevent the same harm, a mutation reverts both,
because reverting one changes nothing. A patch of an attribute that the operator no longer has raises AttributeError:
the fix has moved, and its patch must follow.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from unittest.mock import patch

from policyhub.cluster import context, inventory, sources
from policyhub.findings import rollup
from policyhub.kube.isolating_sink import IsolatingSink
from policyhub.sources.results import ResultReader
from policyhub.sync import desired, grading, in_flight, ledger, owner_reference, plan, policy_metadata
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.delivery import Delivery
from policyhub.sync.desired import Desired
from policyhub.sync.evidence import Sources
from policyhub.sync.guard import Guard
from policyhub.sync.in_flight import InFlight
from policyhub.sync.intake import Intake
from policyhub.sync.observed import Observed
from policyhub.sync.owners import Owners
from policyhub.sync.predecessor import Predecessor
from policyhub.sync.read_progress import ReadProgress
from policyhub.sync.rollup import Rollup
from policyhub.sync.scans import Scans
from policyhub.sync.second_read import SecondRead
from policyhub.sync.superseded import Superseded
from tests.simulation import mutants
from tests.simulation.mutants import always
from tests.simulation.starts import STORIES
from tests.simulation.world import Outcome

Patch = tuple[object, str, object]
"""The patched object, the name of its attribute, and the attribute's value in the mutation."""


@dataclass(frozen=True)
class Mutation:
    rows: str
    what: str
    """The behaviour that the mutation removes."""
    stories: Mapping[str, str]
    """By story: a promise that it breaks under the mutation, maybe besides others."""
    patches: tuple[Patch, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        undo = [patch.object(of, name, value) for of, name, value in self.patches]
        for one in undo:
            one.start()
        try:
            yield
        finally:
            for one in reversed(undo):
                one.stop()

    def play(self, name: str) -> Outcome:
        """Run a story under the mutation."""
        with self.applied():
            return STORIES[name].play()


SCANNED_AGAIN: Patch = (grading, "_scanned_again", always(True))
NO_GUARD: Patch = (Guard, "is_closed", always(False))
NO_SECOND_READ: Patch = (SecondRead, "concerns", always(False))
"""For mutations whose harm lasts less than a minute after a start: the second read would hide it."""

MUTATIONS = (
    Mutation(
        "1 13",
        "a finding whose object exists waits until its engine has scanned again",
        {"wiped_reports": "wrong", "again_between_scans": "wrong"},
        (SCANNED_AGAIN,),
    ),
    Mutation(
        "1",
        "the guard counts findings that are lost by evidence",
        {"engine_ended": "wrong"},
        (SCANNED_AGAIN, (grading, "_report_evidence", mutants.not_lost)),
    ),
    Mutation(
        "1",
        "a controller without Pods is not deleted: its findings wait for the engine; the guard holds others",
        {"cronjobs_wiped": "wrong"},
        (SCANNED_AGAIN, NO_GUARD),
    ),
    Mutation(
        "1",
        "a finding that was active before a start may come from its object's own result",
        {"wiped_while_away": "wrong"},
        ((Desired, "add_claim", mutants.claim),),
    ),
    Mutation(
        "2",
        "the record of superseded reports survives a reconnect",
        {"superseded_reconnect": "false", "superseded_401": "restless"},
        ((sources.Sources, "disconnect", mutants.forget_superseded),),
    ),
    Mutation(
        "2",
        "reports are superseded only after every report API is listed",
        {"superseded_restart": "false"},
        ((sources, "report_apis", mutants.all_listed), NO_SECOND_READ),
    ),
    Mutation(
        "3",
        "an engine that writes failures only has scanned an object when its scan is complete",
        {"fail_only": "endless"},
        ((Scans, "has_scanned", always(False)),),
    ),
    Mutation(
        "3",
        "only results show that an engine writes passing results",
        {"fail_only": "endless"},
        ((Rollup, "reports_passes", always(True)),),
    ),
    Mutation(
        "3",
        "a deleted policy explains the loss; findings that wait for long are reported to a person",
        {"policy_deleted": "endless"},
        ((grading, "_policy", mutants.policy_present), (Guard, "report_silent", always(None))),
    ),
    Mutation(
        "3", "an approval releases held findings", {"uninstalled": "endless"}, ((Guard, "is_approved", always(False)),)
    ),
    Mutation(
        "4",
        "a pass resolves a finding only after all Pods are reported",
        {"grading_ignores_pods": "wrong", "pass_before_pods": "wrong"},
        ((Sources, "unreported", always(False)),),
    ),
    Mutation(
        "4",
        "after a start it is unknown whether the engine reports on Pods",
        {"pass_from_inventory": "wrong"},
        ((grading, "_knows_pods", always(True)),),
    ),
    Mutation(
        "5",
        "a refusal to list policy objects is accepted only when it lasts",
        {"policies_refused": "restless"},
        ((policy_metadata, "REFUSAL_GRACE_MS", 0), (context, "LONG_REFUSAL_GRACE_MS", 0), NO_SECOND_READ),
    ),
    Mutation(
        "6",
        "a violation that cannot be evaluated stays, even if `error` results are not selected",
        {"error_unwanted": "wrong"},
        ((Sources, "set_unevaluated", always(frozenset())),),
    ),
    Mutation(
        "7",
        "no finding changes before its API is listed",
        {"slow_listing": "restless"},
        ((Sources, "changes_wait_until", always(0)),),
    ),
    Mutation(
        "8",
        "reports are superseded per engine and namespace; an engine has to scan again",
        {"tenant_freshest": "wrong"},
        (
            (Superseded, "note", mutants.note_anywhere),
            (Desired, "is_current", mutants.current_anywhere),
            (Desired, "supersede", mutants.supersede_anywhere),
            SCANNED_AGAIN,
        ),
    ),
    Mutation(
        "8",
        "a namespaced report can only report on its own namespace",
        {"tenant_passes": "wrong"},
        ((ResultReader, "_subject", mutants.subject_anywhere), (Scans, "expects_of", mutants.expects_anywhere)),
    ),
    Mutation(
        "8",
        "the guard evaluates each namespace separately",
        {"tenant_inflates": "wrong"},
        ((Guard, "_hold_reason", mutants.threshold_anywhere),),
    ),
    Mutation(
        "8 16",
        "an unreadable report holds the findings of its namespace",
        {"tenant_unreadable": "endless"},
        ((Sources, "has_unreadable_source", mutants.unreadable_anywhere),),
    ),
    Mutation(
        "9",
        "a number that is too long is not a revision; an error in one object affects only that object",
        {"tenant_revision": "lost"},
        ((owner_reference, "_revision", mutants.revision), (IsolatingSink, "deliver", mutants.deliver)),
    ),
    Mutation(
        "10",
        "the API that reports a finding now is its source API",
        {"migrated": "endless"},
        (
            (Intake, "_mark_passed", mutants.mark_passed_keeping_api),
            (Sources, "reported", mutants.reported_keeping_api),
        ),
    ),
    Mutation(
        "11",
        "nothing is archived on guarded evidence before the inventory is complete",
        {"guard_over_restart": "wrong"},
        ((ReadProgress, "__init__", mutants.complete_from_start), NO_SECOND_READ),
    ),
    Mutation(
        "11",
        "the guard holds findings whose objects the operator may not read",
        {"guard_over_restart": "wrong", "tenant_inflates": "wrong"},
        (NO_GUARD,),
    ),
    Mutation(
        "12",
        "no finding is refreshed in the first hours after a start",
        {"clock_ahead": "needless"},
        ((ledger, "REFRESH_AFTER_START_MS", 0),),
    ),
    Mutation(
        "14",
        "which kinds are scanned is learned per policy, not per engine",
        {"background_only": "wrong"},
        ((Rollup, "unreported", mutants.unreported_by_engine),),
    ),
    Mutation(
        "15",
        "an inventory starts when Security Hub is enabled again, or has lost findings",
        {"hub_emptied": "lost"},
        (
            (inventory.InventoryReader, "_is_disabled", always(False)),
            (inventory.InventoryReader, "_holds", mutants.holds),
        ),
    ),
    Mutation(
        "",
        "the numbers of a truncated list are updated only when they double or halve",
        {"cut_lists": "restless"},
        ((plan, "same_content", mutants.equal), (in_flight, "same_content", mutants.equal)),
    ),
    Mutation(
        "15",
        "a finding that the inventory lacks is sent when it is reported again",
        {"emptied_while_unreported": "lost"},
        ((Observed, "_mark_missed", mutants.mark_missed),),
    ),
    Mutation(
        "15 23",
        "a finding whose creation was not confirmed is read before it is archived",
        {"emptied_and_failed": "born"},
        ((desired, "_was_missing", always(False)),),
    ),
    Mutation(
        "17",
        "an API that is certainly gone is not waited for",
        {"vanished_unlisted": "endless"},
        ((sources.Source, "gone", False),),
    ),
    Mutation(
        "18",
        "audits that found nothing in a kind may have failed to list it",
        {"audits_partial": "wrong"},
        ((grading, "_audited_kind", always(True)),),
    ),
    Mutation(
        "18",
        "`cronjob-` is a prefix for CronJobs only",
        {"rule_called_cronjob": "false"},
        ((rollup, "rule_of", mutants.rule_of),),
    ),
    Mutation(
        "18",
        "a restarted watch of owners waits for discovery",
        {"pods_of_another_cluster": "wrong"},
        ((Owners, "on_stream_started", always(None)),),
    ),
    Mutation(
        "18",
        "a part of an inventory does not overrule acknowledgements that are newer than its start",
        {"inventory_overtaken": "needless"},
        ((Observed, "take_part", mutants.take_part_as_read),),
    ),
    Mutation(
        "20",
        "backlog that the inventory lacks is read again first if another process sent shortly before",
        {"restart_under_lag": "needless"},
        ((Predecessor, "sent_shortly_before", always(False)),),
    ),
    Mutation(
        "20",
        "differences from before the start wait for the second read, too",
        {"changed_under_lag": "needless"},
        (NO_SECOND_READ,),
    ),
    Mutation(
        "20",
        "acknowledgements survive the ledger",
        {"spec_under_lag": "needless"},
        ((Acknowledged, "recent", always(None)),),
    ),
    Mutation(
        "21",
        "backlog waits while the inventory cannot be read",
        {"unread_at_start": "moved"},
        ((ReadProgress, "skip_inventory", mutants.skip_inventory),),
    ),
    Mutation(
        "23",
        "a finding that Security Hub rejects by id is not written",
        {"failed_by_name": "born"},
        ((Delivery, "reject", mutants.maybe_written),),
    ),
    Mutation(
        "24",
        "a finding without an answer may have been written, and is sent again",
        {"back_in_flight": "lost"},
        # otherwise the inventory would notice an archived finding within minutes
        ((InFlight, "mark_unanswered", mutants.not_written), (inventory.InventoryReader, "_holds", mutants.holds)),
    ),
)


# -- running them --------------------------------------------------------------------------------------------------


def survivors(*, jobs: int) -> list[str]:
    """Run all mutations; return those that their stories do not detect, as lines of text."""
    plays = [(number, name) for number, mutation in enumerate(MUTATIONS) for name in mutation.stories]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        found = dict(zip(plays, pool.map(_promises, plays), strict=True))
    lines = []
    for (number, name), promises in found.items():
        mutation = MUTATIONS[number]
        print(
            f"{mutation.rows:6} {mutation.what}\n       {name}: {', '.join(sorted(promises)) or 'as it should be'}",
            flush=True,
        )
        if mutation.stories[name] not in promises:
            lines.append(f"{name} keeps `{mutation.stories[name]}` without: {mutation.what}")
    return lines


def _promises(play: tuple[int, str]) -> set[str]:
    number, name = play
    return MUTATIONS[number].play(name).promises


def table() -> str:
    """The table of mutations as README.md has it."""
    rows = []
    for mutation in MUTATIONS:
        patches = ", ".join(dict.fromkeys(map(_named, mutation.patches)))
        stories = ", ".join(f"`{name}` ({promise})" for name, promise in mutation.stories.items())
        rows.append(f"| {mutation.rows} | {mutation.what} | {patches} | {stories} |")
    return "\n".join(["| row | reverted behaviour | patched | found by |", "|---|---|---|---|", *rows])


def _named(one: Patch) -> str:
    of, name, _ = one
    return f"`{getattr(of, '__name__', '').rpartition('.')[2]}.{name}`"
