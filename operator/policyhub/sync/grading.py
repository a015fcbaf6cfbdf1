"""The evidence about one finding, at one moment, for the decision in `plan`.

An unexplained loss is checked at the moment of decision: do the object and the policy that found it still exist on the
API server?

| object | policy | lost because         | evidence                                                                 |
|--------|--------|----------------------|--------------------------------------------------------------------------|
| absent | any    | any                  | DELETED                                                                  |
| exists | absent | any                  | EXPLAINED                                                                |
| exists | exists | any                  | REPEATED once the engine has scanned again (`_scanned_again`); until     |
|        |        |                      | then none, or APPROVED by an admin who could see it                      |
| exists | ?      | the report is gone   | like the previous row                                                    |
| exists | ?      | a report omits it    | UNVERIFIED                                                               |
| ?      | exists | any                  | UNVERIFIED, once everything that rolls up to the object was reported on  |
| ?      | ?      | any                  | like the previous row                                                    |

`?`: the API server may not be asked (no permission, a Secret, a kind that is not served, an engine without policy
objects).

The list of a constraint is a statement of its engine: a finding that two audits lack is REPEATED. If these audits found
no violation in any object of the kind, they may not have listed the kind at all: then it must be the only object lost,
and must have changed since.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs, from_seconds, to_wall_clock
from policyhub.model.source_apis import REPORT_GROUPS, SOURCE_GROUPS
from policyhub.sync import known_namespaces
from policyhub.sync.audits import kind_of
from policyhub.sync.entry import Entry, ListingState, Loss
from policyhub.sync.evidence import OWNERS, POD, SKEW_MS, Sources
from policyhub.sync.existence import Answer, Presence
from policyhub.sync.guard import Guard
from policyhub.sync.holds import Hold
from policyhub.sync.plan import Evidence, Grade, Rules

RESUME_MS = 30_000
"""A resumed watch first delivers the events of its interruption: wait so long."""
ANSWER_FRESH_MS = 10 * 60_000
"""Maximum age of an answer of the API server at the decision."""

UNANSWERED_MS = 60 * 60_000
"""A lookup without an answer for so long counts as one that may not be asked: some aggregated APIs never answer."""

SILENT_AFTER_MS = 12 * 60 * 60_000
"""After this time an admin sees findings whose engine no longer reports on their objects: most engines scan hourly,
some daily. Findings that wait for a scan of new Pods cannot be approved earlier, because nobody could see them.
"""
SCAN_INTERVAL_MS = 25 * 60 * 60_000
"""Most engines scan hourly, some daily."""
EDITED_MS = SCAN_INTERVAL_MS
"""An edit of the policy may explain a loss if it was made at most so long before."""

_NOT_ASKED = Answer(Presence.UNKNOWN, NEVER)
_CONTROLLER_GROUPS = frozenset({"apps", "batch"})


def no_evidence(hold: Hold, *, lost: bool = False) -> Evidence:
    """No evidence, with the reason."""
    return Evidence(hold=hold, lost=lost)


def evidence_of_loss(  # noqa: C901  (one branch a row)
    entry: Entry, *, sources: Sources, guard: Guard, rules: Rules, now: SteadyMs, wall_clock: WallMs
) -> Evidence:
    """The evidence about a finding that is active in Security Hub and that nobody reports."""
    constraint = entry.constraint is not None
    if not constraint and not sources.reports_listed:
        return no_evidence(Hold.SOURCE)
    if sources.waits_to_be_read(entry):
        return no_evidence(Hold.SOURCE)
    if sources.ownership is not None and not sources.ownership.since:
        return no_evidence(Hold.OWNERS_UNKNOWN)
    passed = entry.passed or (sources.ownership is not None and entry.own_passes)
    if passed and not sources.unreported(entry):
        return _passed(entry, sources=sources) if _knows_pods(entry, sources=sources) else no_evidence(Hold.UNREPORTED)
    if (deleted := _deleted(entry, sources=sources)) is not None:
        return deleted
    if sources.is_disabled(entry.source_api):
        return Evidence(Grade.DESELECTED, since=entry.unclaimed_since, lost=True)
    requested_since = _asked_since(entry, rules=rules, now=now)
    give_up_at = (entry.existence_asked_at or now) + UNANSWERED_MS
    given_up = _NOT_ASKED if now >= give_up_at else None
    object_answer = _subject(entry, sources=sources, since=requested_since) or given_up
    if object_answer is None:
        return Evidence(hold=Hold.PRESENCE, lost=True, not_before=give_up_at)
    if object_answer.presence is Presence.ABSENT:
        return Evidence(
            Grade.DELETED, since=entry.unclaimed_since, confirmed=sources.discovered >= object_answer.answered_at
        )
    if constraint:
        evidence = _constraint_evidence(entry, object_answer, sources=sources, rules=rules)
    else:
        policy = _policy(entry, sources=sources, since=requested_since) or given_up
        if policy is None:
            return Evidence(hold=Hold.PRESENCE, lost=True, not_before=give_up_at)
        lost_at = to_wall_clock(entry.unclaimed_since, now=now, wall_clock=wall_clock)
        evidence = _report_evidence(entry, object_answer, policy, sources=sources, lost_at=lost_at, now=now)
    visible = evidence.lost or now - entry.unclaimed_since > SILENT_AFTER_MS
    if (
        evidence.hold is Hold.UNREPORTED
        and visible
        and guard.approval_covers(entry.source, entry.unclaimed_since, now=now)
    ):
        return Evidence(
            Grade.APPROVED, since=entry.unclaimed_since, confirmed=sources.discovered >= entry.unclaimed_since
        )
    return evidence


def _asked_since(entry: Entry, *, rules: Rules, now: SteadyMs) -> SteadyMs:
    """Earliest request time of a usable answer: after the loss, and a recent one when the archive delay is over."""
    due = entry.unclaimed_since + rules.archive_delay_ms
    return entry.unclaimed_since if now < due else max(due, now - ANSWER_FRESH_MS)


def _passed(entry: Entry, *, sources: Sources) -> Evidence:
    if sources.listing_state_of(entry) is None:
        return no_evidence(Hold.SOURCE)
    confirmed = sources.confirmed.get(entry.source_api, NEVER) >= sources.stream_started_at.get(entry.source_api, NEVER)
    return Evidence(
        Grade.PASSED,
        since=entry.unclaimed_since,
        delayed=sources.writes_both_apis(entry),
        confirmed=confirmed and _owners_confirmed(sources),
    )


def _knows_pods(entry: Entry, *, sources: Sources) -> bool:
    """Whether it is known if the engine reports on Pods of the object. For a finding that only the inventory knows, it
    may have reported on Pods before and not yet in this process.
    """
    subject, ownership = entry.subject, sources.ownership
    if entry.was_claimed or ownership is None or subject is None or not ownership.has_descendants(subject):
        return True
    return ownership.reports_descendants(entry.source, "", subject.namespace) or sources.scans.has_scanned(
        entry.source, subject.namespace, since=entry.unclaimed_since
    )


def _deleted(entry: Entry, *, sources: Sources) -> Evidence | None:
    """DELETED by the watches of namespaces and owners; None: they do not show it."""
    since = sources.spaces.deleted(entry.object_ref)
    if since is not None:
        began = max(since, sources.stream_started_at.get(known_namespaces.NAMESPACES, NEVER))
        confirmed = sources.confirmed.get(known_namespaces.NAMESPACES, NEVER) >= began
        return Evidence(Grade.DELETED, since=max(entry.unclaimed_since, since), confirmed=confirmed)
    subject = entry.subject
    if sources.ownership is None or subject is None or not sources.ownership.deleted(subject):
        return None
    since = max(entry.unclaimed_since, sources.ownership.since)
    confirmed = _owners_confirmed(sources) and all(sources.confirmed.get(api, NEVER) >= since for api in OWNERS)
    return Evidence(Grade.DELETED, since=since, confirmed=confirmed)


def _owners_confirmed(sources: Sources) -> bool:
    """Whether a discovery has confirmed the cluster since the owner watches began."""
    return sources.ownership is None or all(
        sources.confirmed.get(api, NEVER) >= sources.stream_started_at.get(api, NEVER) for api in OWNERS
    )


def _subject(entry: Entry, *, sources: Sources, since: SteadyMs) -> Answer | None:
    subject = entry.subject
    if sources.existence is None or subject is None or subject.group in SOURCE_GROUPS:
        return _NOT_ASKED
    return sources.existence.subject(subject, since=since)


def _policy(entry: Entry, *, sources: Sources, since: SteadyMs) -> Answer | None:
    if sources.existence is None or not entry.policy:
        return _NOT_ASKED
    return sources.existence.policy(entry.source, entry.policy, since=since)


# -- reports ----------------------------------------------------------------------------------------------------------


def _report_evidence(
    entry: Entry, object_answer: Answer, policy: Answer, *, sources: Sources, lost_at: WallMs, now: SteadyMs
) -> Evidence:
    if entry.id in sources.unevaluated:
        return no_evidence(Hold.UNLISTED)
    if policy.presence is Presence.ABSENT:
        return Evidence(
            Grade.EXPLAINED, since=entry.unclaimed_since, confirmed=sources.discovered >= policy.answered_at, lost=True
        )
    state = sources.listing_state_of(entry)
    if state is None:
        return no_evidence(Hold.SOURCE)
    exists = object_answer.presence is Presence.PRESENT
    silent = entry.loss is Loss.SILENT and not entry.is_notice  # for a notice its report would still show it
    if silent and (subject := entry.subject) is not None and subject.group in REPORT_GROUPS and not entry.reported_at:
        return no_evidence(Hold.UNREPORTED, lost=True)  # only a report ends a finding about a report
    if exists and (policy.presence is Presence.PRESENT or entry.loss is Loss.SILENT):
        if not _scanned_again(entry, policy, sources=sources, lost_at=lost_at, now=now):
            waits = entry.own is False or (entry.own is None and sources.unreported(entry))
            return no_evidence(Hold.UNREPORTED, lost=not waits)  # for a scan of new Pods: not yet a loss
        return _silence(Grade.REPEATED, entry, state, sources=sources)
    if sources.unreported(entry):
        return no_evidence(Hold.UNREPORTED)
    # After a restart it is not known which report a finding came from. So any incomplete report holds a finding that
    # only the inventory knows. A finding that was claimed in this process lost its claim by a complete report.
    if not entry.was_claimed and sources.has_unreadable_source(entry):
        return no_evidence(Hold.UNLISTED)
    return _silence(Grade.UNVERIFIED, entry, state, sources=sources)


def _scanned_again(entry: Entry, policy: Answer, *, sources: Sources, lost_at: WallMs, now: SteadyMs) -> bool:
    """Whether the engine has scanned the object and everything that rolls up to it with this policy since the loss.
    `lost_at` is the time of the loss by the wall clock, to compare with edits.

    | the policy, or its engine in the namespace    | true once                                                       |
    |-----------------------------------------------|-----------------------------------------------------------------|
    | the policy is no object that can be looked up | the engine has reported on the object again                     |
    | writes passing results; Pods reported it      | it has reported on all existing Pods. If all Pods are newer     |
    |                                               | than the finding, the policy may no longer match them: once the |
    |                                               | engine has reported on all of them and a full scan is complete. |
    |                                               | If it was active before this process started, the object may    |
    |                                               | have reported it: once a full scan is complete, or a day has    |
    |                                               | passed in which everything that exists was reported on          |
    | writes passing results                        | the policy was edited and a full scan is complete: it may no    |
    |                                               | longer match the object. Otherwise a result is missing: false   |
    | writes failures only                          | a full scan is complete                                         |
    """
    subject, ownership = entry.subject, sources.ownership
    if subject is None:
        return False
    scanned = sources.scans.has_scanned(entry.source, subject.namespace, since=entry.unclaimed_since)
    if sources.unreported(entry):
        newest = sources.descendants_replaced_at(entry) if entry.own is not True else None
        if newest is None:
            return False
        since = entry.unclaimed_since + max(0, newest + SKEW_MS - lost_at)
        return sources.scans.has_scanned(entry.source, subject.namespace, since=since)
    if policy.presence is Presence.UNKNOWN and entry.reported_at:
        return True
    if ownership is not None and not ownership.reports_passes(entry.source, "", subject.namespace):
        return scanned
    reported_by_pods = ownership is not None and ownership.reports_descendants(
        entry.source, entry.policy, subject.namespace
    )
    has_pods = ownership is not None and ownership.has_descendants(subject)
    if reported_by_pods and entry.own is False:  # the object's own result, if any, has ended explicitly
        return True
    if reported_by_pods and entry.own is None:
        return scanned or (has_pods and now - entry.unclaimed_since > SCAN_INTERVAL_MS)
    return scanned and policy.changed_at > lost_at - EDITED_MS


def _silence(grade: Grade, entry: Entry, state: ListingState, *, sources: Sources) -> Evidence:
    """Evidence of this grade: its API is listed completely and watched, and does not report the finding."""
    since = max(entry.unclaimed_since, state.since, entry.reported_at)
    resumed = state.resumed + RESUME_MS if state.resumed else NEVER
    if sources.ownership is not None:
        resumed = max(resumed, sources.ownership.since + RESUME_MS)
    confirmed = sources.confirmed.get(entry.source_api, NEVER) >= since and _owners_confirmed(sources)
    return Evidence(grade, since=since, not_before=resumed, confirmed=confirmed, lost=True)


# -- constraints ------------------------------------------------------------------------------------------------------


def _constraint_evidence(entry: Entry, object_answer: Answer, *, sources: Sources, rules: Rules) -> Evidence:
    absent = sources.constraints.absent.get(entry.source_api)
    if absent is not None:
        delay = rules.archive_delay_ms
        since = max(entry.unclaimed_since, absent + delay)  # since its absence is accepted, reported or not
        confirmed = sources.constraints.kinds_read - delay >= since  # a later discovery lacks it too
        return Evidence(Grade.EXPLAINED, since=since, confirmed=confirmed, lost=True)
    state = sources.listing_state_of(entry)
    if state is None:
        return no_evidence(Hold.SOURCE)
    constraint = entry.constraint
    if constraint not in sources.constraints.audits:  # deleted, unless it is unreadable
        if entry.source_api in sources.unreadable:
            return no_evidence(Hold.UNLISTED)
        return _silence(Grade.EXPLAINED, entry, state, sources=sources)
    if not entry.confirmed_by_audit:
        unlisted = constraint in sources.incomplete and entry.first_audit_without is None
        return no_evidence(Hold.UNLISTED) if unlisted else no_evidence(Hold.AUDIT, lost=True)
    if sources.constraints.unaudited(entry):
        return no_evidence(Hold.UNREPORTED)
    if object_answer.presence is Presence.PRESENT and not _audited_kind(entry, object_answer, sources=sources):
        return no_evidence(Hold.UNREPORTED, lost=True)
    return _silence(Grade.REPEATED, entry, state, sources=sources)


def _audited_kind(entry: Entry, object_answer: Answer, *, sources: Sources) -> bool:
    """Whether the audit that lacks it has listed objects of its kind, or the object was the only one lost and has
    changed since it was last listed.
    """
    subject, lacked = entry.subject, entry.first_audit_without
    if subject is None or lacked is None:
        return False
    kind = kind_of(entry)
    if sources.constraints.listed_by_audit(kind, lacked):
        return True
    if (
        entry.representative is None
        and subject.group in _CONTROLLER_GROUPS
        and sources.constraints.listed_by_audit(POD, lacked)
    ):
        return True
    if sources.constraints.lost_together(kind, lacked):
        return False
    last = from_seconds(entry.last_audit_with) or (entry.observed.updated_at if entry.observed is not None else UNDATED)
    return object_answer.changed_at > last
