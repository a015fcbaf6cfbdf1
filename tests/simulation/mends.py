"""What each row of the table of faults is mended by, a small patch that takes the mend out again, and the stories that
must break a promise then: so it is known that the simulation would have found the fault.

`python -m tests.simulation --mends` plays them all. Where two mends prevent the same harm, both are taken out: one of
them alone is not missed. A patch that names what the product has no more is an error: the mend has moved, and its patch
has to follow.
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
from tests.simulation import without
from tests.simulation.starts import STORIES
from tests.simulation.without import always
from tests.simulation.world import Outcome

Patch = tuple[object, str, object]
"""Of what, which attribute, and what it is without the mend."""


@dataclass(frozen=True)
class Mend:
    rows: str
    what: str
    """As it is."""
    stories: Mapping[str, str]
    """With what each breaks without it, maybe beside others."""
    patches: tuple[Patch, ...]

    @contextmanager
    def taken_out(self) -> Iterator[None]:
        undo = [patch.object(of, name, value) for of, name, value in self.patches]
        for one in undo:
            one.start()
        try:
            yield
        finally:
            for one in reversed(undo):
                one.stop()

    def play(self, name: str) -> Outcome:
        """A story without the mend."""
        with self.taken_out():
            return STORIES[name].play()


SCANNED_AGAIN: Patch = (grading, "_scanned_again", always(True))
NO_GUARD: Patch = (Guard, "is_closed", always(False))
NO_SECOND_READ: Patch = (SecondRead, "concerns", always(False))
"""What is wrong for less than a minute after a start is not sent anyway."""

MENDS = (
    Mend(
        "1 13",
        "a finding whose object exists waits until its engine has looked again",
        {"wiped_reports": "wrong", "again_between_scans": "wrong"},
        (SCANNED_AGAIN,),
    ),
    Mend(
        "1",
        "the guard counts what is lost by its evidence",
        {"engine_ended": "wrong"},
        (SCANNED_AGAIN, (grading, "_report_evidence", without.uncounted)),
    ),
    Mend(
        "1",
        "what owns nothing is not deleted: it waits for its engine, and the guard holds the rest",
        {"cronjobs_wiped": "wrong"},
        (SCANNED_AGAIN, NO_GUARD),
    ),
    Mend(
        "1",
        "what was active before a start may have been reported by its object's own result",
        {"wiped_while_away": "wrong"},
        ((Desired, "add_claim", without.claim),),
    ),
    Mend(
        "2",
        "what is superseded outlives the connection",
        {"superseded_reconnect": "false", "superseded_401": "restless"},
        ((sources.Sources, "disconnect", without.forget_superseded),),
    ),
    Mend(
        "2",
        "which reports are superseded is judged once every report API is listed",
        {"superseded_restart": "false"},
        ((sources, "report_apis", without.all_listed), NO_SECOND_READ),
    ),
    Mend(
        "3",
        "an engine that writes failures only has looked when its scan has gone round",
        {"fail_only": "endless"},
        ((Scans, "has_scanned", always(False)),),
    ),
    Mend(
        "3",
        "that an engine writes passing results is learned from results",
        {"fail_only": "endless"},
        ((Rollup, "reports_passes", always(True)),),
    ),
    Mend(
        "3",
        "a policy that is gone explains the loss; of what waits for long a person is told",
        {"policy_deleted": "endless"},
        ((grading, "_policy", without.policy_there), (Guard, "report_silent", always(None))),
    ),
    Mend("3", "an approval ends what waits", {"uninstalled": "endless"}, ((Guard, "is_approved", always(False)),)),
    Mend(
        "4",
        "a pass counts once all Pods were reported on",
        {"grading_ignores_pods": "wrong", "pass_before_pods": "wrong"},
        ((Sources, "unreported", always(False)),),
    ),
    Mend(
        "4",
        "after a start it is not known yet whether Pods are reported on",
        {"pass_from_inventory": "wrong"},
        ((grading, "_knows_pods", always(True)),),
    ),
    Mend(
        "5",
        "a refusal of policy objects is believed when it stands",
        {"policies_refused": "restless"},
        ((policy_metadata, "REFUSAL_GRACE_MS", 0), (context, "LONG_REFUSAL_GRACE_MS", 0), NO_SECOND_READ),
    ),
    Mend(
        "6",
        "what could not be evaluated stands, wanted or not",
        {"error_unwanted": "wrong"},
        ((Sources, "set_unevaluated", always(frozenset())),),
    ),
    Mend(
        "7",
        "nothing is said to have changed before its API was listed",
        {"slow_listing": "restless"},
        ((Sources, "changes_wait_until", always(0)),),
    ),
    Mend(
        "8",
        "reports are superseded by engine and namespace; an engine has to look again",
        {"tenant_freshest": "wrong"},
        (
            (Superseded, "note", without.note_anywhere),
            (Desired, "is_current", without.current_anywhere),
            (Desired, "supersede", without.supersede_anywhere),
            SCANNED_AGAIN,
        ),
    ),
    Mend(
        "8",
        "a namespaced report speaks of its namespace only",
        {"tenant_passes": "wrong"},
        ((ResultReader, "_subject", without.any_subject), (Scans, "expects_of", without.expects_anywhere)),
    ),
    Mend(
        "8",
        "the guard weighs each namespace alone",
        {"tenant_inflates": "wrong"},
        ((Guard, "_hold_reason", without.threshold_anywhere),),
    ),
    Mend(
        "8 16",
        "an unreadable report holds the findings of its namespace",
        {"tenant_unreadable": "endless"},
        ((Sources, "has_unreadable_source", without.unreadable_anywhere),),
    ),
    Mend(
        "9",
        "a number too long is no revision; what goes wrong with an object is its own",
        {"tenant_revision": "lost"},
        ((owner_reference, "_revision", without.revision), (IsolatingSink, "deliver", without.deliver)),
    ),
    Mend(
        "10",
        "the API that speaks of a finding now is the one that counts",
        {"migrated": "endless"},
        ((Intake, "_mark_passed", without.clear_there), (Sources, "reported", without.reported_there)),
    ),
    Mend(
        "11",
        "nothing is archived on guarded evidence before the inventory is whole",
        {"guard_over_restart": "wrong"},
        ((ReadProgress, "__init__", without.whole), NO_SECOND_READ),
    ),
    Mend(
        "11",
        "the guard holds what the API server may not be asked about",
        {"guard_over_restart": "wrong", "tenant_inflates": "wrong"},
        (NO_GUARD,),
    ),
    Mend(
        "12",
        "nothing is refreshed for hours after a start",
        {"clock_ahead": "needless"},
        ((ledger, "REFRESH_AFTER_START_MS", 0),),
    ),
    Mend(
        "14",
        "what is looked at is learned by policy, not by engine",
        {"background_only": "wrong"},
        ((Rollup, "unreported", without.unreported_by_engine),),
    ),
    Mend(
        "15",
        "an inventory begins when Security Hub is enabled again, or lacks what it had",
        {"hub_emptied": "lost"},
        (
            (inventory.InventoryReader, "_is_disabled", always(False)),
            (inventory.InventoryReader, "_holds", without.holds),
        ),
    ),
    Mend(
        "",
        "the numbers of a list that is not whole are no news before they double or halve",
        {"cut_lists": "restless"},
        ((plan, "same_content", without.equal), (in_flight, "same_content", without.equal)),
    ),
    Mend(
        "15",
        "what an inventory lacks while nobody reports it is sent when it is reported again",
        {"emptied_while_unreported": "lost"},
        ((Observed, "_mark_missed", without.mark_missed),),
    ),
    Mend(
        "15 23",
        "what was to be created again, and was not, is read before it is archived",
        {"emptied_and_failed": "born"},
        ((desired, "_was_missing", always(False)),),
    ),
    Mend(
        "17",
        "an API that is gone for sure is not waited for",
        {"vanished_unlisted": "endless"},
        ((sources.Source, "gone", False),),
    ),
    Mend(
        "18",
        "audits that found nothing in a kind may not have listed it",
        {"audits_partial": "wrong"},
        ((grading, "_audited_kind", always(True)),),
    ),
    Mend(
        "18",
        "`cronjob-` is a prefix for CronJobs only",
        {"rule_called_cronjob": "false"},
        ((rollup, "rule_of", without.rule_of),),
    ),
    Mend(
        "18",
        "a watch of owners that was opened again waits for a discovery",
        {"pods_of_another_cluster": "wrong"},
        ((Owners, "on_stream_started", always(None)),),
    ),
    Mend(
        "18",
        "a part of an inventory knows nothing of what was acknowledged since it began",
        {"inventory_overtaken": "needless"},
        ((Observed, "take_part", without.as_read),),
    ),
    Mend(
        "20",
        "backlog that the inventory lacks waits for a second look where somebody sent shortly before",
        {"restart_under_lag": "needless"},
        ((Predecessor, "sent_shortly_before", always(False)),),
    ),
    Mend(
        "20",
        "differences from before the start wait for the second look, too",
        {"changed_under_lag": "needless"},
        (NO_SECOND_READ,),
    ),
    Mend(
        "20",
        "acknowledgements outlive the ledger",
        {"spec_under_lag": "needless"},
        ((Acknowledged, "recent", always(None)),),
    ),
    Mend(
        "21",
        "backlog waits while the inventory cannot be read",
        {"unread_at_start": "moved"},
        ((ReadProgress, "skip_inventory", without.skip_inventory),),
    ),
    Mend(
        "23",
        "what Security Hub failed by name was not written",
        {"failed_by_name": "born"},
        ((Delivery, "reject", without.maybe_written),),
    ),
    Mend(
        "24",
        "what got no answer may have been written, and is sent again",
        {"back_in_flight": "lost"},
        # what somebody has archived would be noticed within minutes by itself
        ((InFlight, "mark_unanswered", without.not_written), (inventory.InventoryReader, "_holds", without.holds)),
    ),
)


# -- playing them ---------------------------------------------------------------------------------------------------


def missed(*, jobs: int) -> list[str]:
    """Without which mends a story does not break its promise: it would not find the fault."""
    plays = [(number, name) for number, mend in enumerate(MENDS) for name in mend.stories]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        found = dict(zip(plays, pool.map(_promises, plays), strict=True))
    lines = []
    for (number, name), promises in found.items():
        mend = MENDS[number]
        print(
            f"{mend.rows:6} {mend.what}\n       {name}: {', '.join(sorted(promises)) or 'as it should be'}", flush=True
        )
        if mend.stories[name] not in promises:
            lines.append(f"{name} keeps `{mend.stories[name]}` without: {mend.what}")
    return lines


def _promises(play: tuple[int, str]) -> set[str]:
    number, name = play
    return MENDS[number].play(name).promises


def table() -> str:
    """As the README has it."""
    rows = []
    for mend in MENDS:
        patches = ", ".join(dict.fromkeys(map(_named, mend.patches)))
        stories = ", ".join(f"`{name}` ({promise})" for name, promise in mend.stories.items())
        rows.append(f"| {mend.rows} | {mend.what} | {patches} | {stories} |")
    return "\n".join(["| row | mend | patched | found by |", "|---|---|---|---|", *rows])


def _named(one: Patch) -> str:
    of, name, _ = one
    return f"`{getattr(of, '__name__', '').rpartition('.')[2]}.{name}`"
