"""The evidence about one finding, at one moment: what `plan` decides by.

A loss that nobody explained is checked at the moment of decision, by asking the API server for the object and for the
policy that found it:

| object | policy | lost by              | evidence                                                                 |
|--------|--------|----------------------|--------------------------------------------------------------------------|
| gone   | any    | any                  | DELETED                                                                  |
| exists | gone   | any                  | EXPLAINED                                                                |
| exists | exists | any                  | REPEATED once the engine has looked again (`_looked_again`); until then  |
|        |        |                      | none, or APPROVED by a person who was told of it                         |
| exists | ?      | the report that went | the same                                                                 |
| exists | ?      | a report without it  | UNVERIFIED                                                               |
| ?      | exists | any                  | UNVERIFIED, once all that rolls up to the object was reported on         |
| ?      | ?      | any                  | the same                                                                 |

`?`: it may not be asked (no permission, a Secret, a kind that is not served, an engine without policy objects).

A constraint's own list is the word of its engine: what two audits lack is REPEATED. Where these audits found nothing
in any object of the kind, the kind may not have been listed at all: then it must be the only object that went, and
have been changed since.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs, from_seconds, to_wall_clock
from policyhub.sources.source_apis import REPORT_GROUPS, SOURCE_GROUPS
from policyhub.sync import known_namespaces
from policyhub.sync.audits import kind_of
from policyhub.sync.entry import Coverage, Entry, Loss
from policyhub.sync.evidence import OWNERS, POD, SKEW_MS, Sources
from policyhub.sync.existence import Answer, Presence
from policyhub.sync.guard import Guard
from policyhub.sync.holds import Hold
from policyhub.sync.plan import Evidence, Grade, Rules

RESUME_MS = 30_000
"""After a watch was resumed, what happened meanwhile is heard first."""
FRESH_MS = 10 * 60_000
"""How old an answer of the API server may be when it decides."""

UNANSWERED_MS = 60 * 60_000
"""A question that the API server has not answered for so long is taken as one that may not be asked: some of its APIs
never answer."""

SILENT_MS = 12 * 60 * 60_000
"""After this long a person is told of findings whose engine does not report on their objects any more: most scan
hourly, some daily. What waits for new Pods to be looked at is not approved of before: nobody was told of it."""
SCAN_MS = 25 * 60 * 60_000
"""Most engines scan hourly, some daily."""
EDITED_MS = SCAN_MS
"""How long before a loss an edit of its policy may explain it."""

_UNASKED = Answer(Presence.UNKNOWN, NEVER)
_OF_CONTROLLERS = frozenset({"apps", "batch"})


def nothing(hold: Hold, *, lost: bool = False) -> Evidence:
    """No evidence, for this reason."""
    return Evidence(hold=hold, lost=lost)


def of_lost(  # noqa: C901  (one branch a row)
    entry: Entry, *, sources: Sources, guard: Guard, rules: Rules, now: SteadyMs, wall: WallMs
) -> Evidence:
    """The evidence about a finding that nobody reports and that is active in Security Hub."""
    constraint = entry.constraint is not None
    if not constraint and not sources.reports_listed:
        return nothing(Hold.SOURCE)
    if sources.waits_to_be_read(entry):
        return nothing(Hold.SOURCE)
    if sources.ownership is not None and not sources.ownership.since:
        return nothing(Hold.OWNERS_UNKNOWN)
    passed = entry.cleared or (sources.ownership is not None and entry.own_passes)
    if passed and not sources.unreported(entry):
        return _passed(entry, sources=sources) if _knows_pods(entry, sources=sources) else nothing(Hold.UNREPORTED)
    if (deleted := _deleted(entry, sources=sources)) is not None:
        return deleted
    if sources.is_disabled(entry.source_api):
        return Evidence(Grade.DESELECTED, since=entry.unclaimed_since, lost=True)
    asked = _since(entry, rules=rules, now=now)
    given_up = (entry.asking_since or now) + UNANSWERED_MS
    there = _subject(entry, sources=sources, since=asked) or (_UNASKED if now >= given_up else None)
    if there is None:
        return Evidence(hold=Hold.PRESENCE, lost=True, not_before=given_up)
    if there.presence is Presence.GONE:
        return Evidence(Grade.DELETED, since=entry.unclaimed_since, confirmed=sources.discovered >= there.ended)
    if constraint:
        evidence = _of_constraint(entry, there, sources=sources, rules=rules)
    else:
        policy = _policy(entry, sources=sources, since=asked) or (_UNASKED if now >= given_up else None)
        if policy is None:
            return Evidence(hold=Hold.PRESENCE, lost=True, not_before=given_up)
        lost_at = to_wall_clock(entry.unclaimed_since, now=now, wall=wall)
        evidence = _of_report(entry, there, policy, sources=sources, lost_at=lost_at, now=now)
    shown = evidence.lost or now - entry.unclaimed_since > SILENT_MS
    if evidence.hold is Hold.UNREPORTED and shown and guard.approves_of(entry.source, entry.unclaimed_since, now=now):
        return Evidence(
            Grade.APPROVED, since=entry.unclaimed_since, confirmed=sources.discovered >= entry.unclaimed_since
        )
    return evidence


def _since(entry: Entry, *, rules: Rules, now: SteadyMs) -> SteadyMs:
    """From when on an answer of the API server counts: asked after the loss, and again when it is about to decide."""
    ripe = entry.unclaimed_since + rules.archive_delay_ms
    return entry.unclaimed_since if now < ripe else max(ripe, now - FRESH_MS)


def _passed(entry: Entry, *, sources: Sources) -> Evidence:
    if sources.seen(entry) is None:
        return nothing(Hold.SOURCE)
    confirmed = sources.confirmed.get(entry.source_api, NEVER) >= sources.stream_started_at.get(entry.source_api, NEVER)
    return Evidence(
        Grade.PASSED,
        since=entry.unclaimed_since,
        delayed=sources.dual(entry),
        confirmed=confirmed and _owners_confirmed(sources),
    )


def _knows_pods(entry: Entry, *, sources: Sources) -> bool:
    """Whether it is known if the engine reports on Pods of the object: of what only the inventory knows it may have
    done so before, and not yet again.
    """
    of, ownership = entry.subject, sources.ownership
    if entry.was_claimed or ownership is None or of is None or not ownership.has_descendants(of):
        return True
    return ownership.reports_descendants(entry.source, "", of.namespace) or sources.scans.has_scanned(
        entry.source, of.namespace, since=entry.unclaimed_since
    )


def _deleted(entry: Entry, *, sources: Sources) -> Evidence | None:
    """By the watches of namespaces and owners; None where these do not know."""
    since = sources.spaces.deleted(entry.object_ref)
    if since is not None:
        began = max(since, sources.stream_started_at.get(known_namespaces.NAMESPACES, NEVER))
        confirmed = sources.confirmed.get(known_namespaces.NAMESPACES, NEVER) >= began
        return Evidence(Grade.DELETED, since=max(entry.unclaimed_since, since), confirmed=confirmed)
    of = entry.subject
    if sources.ownership is None or of is None or not sources.ownership.deleted(of):
        return None
    since = max(entry.unclaimed_since, sources.ownership.since)
    confirmed = _owners_confirmed(sources) and all(sources.confirmed.get(origin, NEVER) >= since for origin in OWNERS)
    return Evidence(Grade.DELETED, since=since, confirmed=confirmed)


def _owners_confirmed(sources: Sources) -> bool:
    """Whether a discovery has confirmed the cluster since the watches of owners began."""
    return sources.ownership is None or all(
        sources.confirmed.get(origin, NEVER) >= sources.stream_started_at.get(origin, NEVER) for origin in OWNERS
    )


def _subject(entry: Entry, *, sources: Sources, since: SteadyMs) -> Answer | None:
    of = entry.subject
    if sources.existence is None or of is None or of.group in SOURCE_GROUPS:
        return _UNASKED
    return sources.existence.subject(of, since=since)


def _policy(entry: Entry, *, sources: Sources, since: SteadyMs) -> Answer | None:
    if sources.existence is None or not entry.policy:
        return _UNASKED
    return sources.existence.policy(entry.source, entry.policy, since=since)


# -- reports ----------------------------------------------------------------------------------------------------------


def _of_report(
    entry: Entry, there: Answer, policy: Answer, *, sources: Sources, lost_at: WallMs, now: SteadyMs
) -> Evidence:
    if entry.id in sources.unevaluated:
        return nothing(Hold.UNLISTED)
    if policy.presence is Presence.GONE:
        return Evidence(
            Grade.EXPLAINED, since=entry.unclaimed_since, confirmed=sources.discovered >= policy.ended, lost=True
        )
    seen = sources.seen(entry)
    if seen is None:
        return nothing(Hold.SOURCE)
    exists = there.presence is Presence.THERE
    silent = entry.loss is Loss.SILENT and not entry.is_notice  # whose report is gone, else it would still tell
    if silent and (of := entry.subject) is not None and of.group in REPORT_GROUPS and not entry.reported_at:
        return nothing(Hold.UNREPORTED, lost=True)  # what is said of a report itself ends with a report
    if exists and (policy.presence is Presence.THERE or entry.loss is Loss.SILENT):
        if not _looked_again(entry, policy, sources=sources, lost_at=lost_at, now=now):
            waits = entry.own is False or (entry.own is None and sources.unreported(entry))
            return nothing(Hold.UNREPORTED, lost=not waits)  # for new Pods to be looked at: that is no loss yet
        return _silent(Grade.REPEATED, entry, seen, sources=sources)
    if sources.unreported(entry):
        return nothing(Hold.UNREPORTED)
    # Which report a finding came from is not known after a restart, so any that is not whole holds what only the
    # inventory knows; what was reported in this process has lost its report by one that was read whole.
    if not entry.was_claimed and sources.misses(entry):
        return nothing(Hold.UNLISTED)
    return _silent(Grade.UNVERIFIED, entry, seen, sources=sources)


def _looked_again(entry: Entry, policy: Answer, *, sources: Sources, lost_at: WallMs, now: SteadyMs) -> bool:
    """Whether the engine has looked at the object, and at all that rolls up to it, by this policy since the loss.
    `lost_at` is when that was by the wall clock, as the API server tells of edits.

    | the policy, or its engine in the namespace …  | then                                                            |
    |-----------------------------------------------|-----------------------------------------------------------------|
    | is no object that can be asked for            | once the engine has reported on the object again                |
    | writes passing results; Pods reported it      | once it has reported on all Pods that there are; where none of  |
    |                                               | these is as old as the finding, they may not match it any more: |
    |                                               | once its engine has reported on all, and a scan has gone round  |
    |                                               | since. Where it was active before this process began, its       |
    |                                               | object may have reported it: a scan must have gone round, or a  |
    |                                               | day have passed while all that is there was reported on         |
    | writes passing results                        | a result is missed: only if it was edited, and a scan has gone  |
    |                                               | round since (it may not match the object any more)              |
    | writes failures only                          | once a scan has gone round since                                |
    """
    of, ownership = entry.subject, sources.ownership
    if of is None:
        return False
    round_ = sources.scans.has_scanned(entry.source, of.namespace, since=entry.unclaimed_since)
    if sources.unreported(entry):
        newest = sources.replaced(entry) if entry.own is not True else None
        if newest is None:
            return False
        since = entry.unclaimed_since + max(0, newest + SKEW_MS - lost_at)
        return sources.scans.has_scanned(entry.source, of.namespace, since=since)
    if policy.presence is Presence.UNKNOWN and entry.reported_at:
        return True
    if ownership is not None and not ownership.reports_passes(entry.source, "", of.namespace):
        return round_
    below = ownership is not None and ownership.reports_descendants(entry.source, entry.policy, of.namespace)
    has_below = ownership is not None and ownership.has_descendants(of)
    if below and entry.own is False:  # its own result, if there was one, has ended by a word of its own
        return True
    if below and entry.own is None:
        return round_ or (has_below and now - entry.unclaimed_since > SCAN_MS)
    return round_ and policy.changed > lost_at - EDITED_MS


def _silent(grade: Grade, entry: Entry, seen: Coverage, *, sources: Sources) -> Evidence:
    """Its API is seen whole and live, and does not report it."""
    since = max(entry.unclaimed_since, seen.since, entry.reported_at)
    resumed = seen.resumed + RESUME_MS if seen.resumed else NEVER
    if sources.ownership is not None:
        resumed = max(resumed, sources.ownership.since + RESUME_MS)
    confirmed = sources.confirmed.get(entry.source_api, NEVER) >= since and _owners_confirmed(sources)
    return Evidence(grade, since=since, not_before=resumed, confirmed=confirmed, lost=True)


# -- constraints ------------------------------------------------------------------------------------------------------


def _of_constraint(entry: Entry, there: Answer, *, sources: Sources, rules: Rules) -> Evidence:
    absent = sources.constraints.absent.get(entry.source_api)
    if absent is not None:
        delay = rules.archive_delay_ms
        since = max(entry.unclaimed_since, absent + delay)  # gone when it is believed gone, reported or not
        confirmed = sources.constraints.kinds_read - delay >= since  # a discovery so much later lacks it still
        return Evidence(Grade.EXPLAINED, since=since, confirmed=confirmed, lost=True)
    seen = sources.seen(entry)
    if seen is None:
        return nothing(Hold.SOURCE)
    constraint = entry.constraint
    if constraint not in sources.constraints.audits:  # deleted, unless it is the one that could not be read
        if entry.source_api in sources.unreadable:
            return nothing(Hold.UNLISTED)
        return _silent(Grade.EXPLAINED, entry, seen, sources=sources)
    if not entry.confirmed_by_audit:
        unlisted = constraint in sources.incomplete and entry.first_audit_without is None
        return nothing(Hold.UNLISTED) if unlisted else nothing(Hold.AUDIT, lost=True)
    if sources.constraints.unaudited(entry):
        return nothing(Hold.UNREPORTED)
    if there.presence is Presence.THERE and not _audited_kind(entry, there, sources=sources):
        return nothing(Hold.UNREPORTED, lost=True)
    return _silent(Grade.REPEATED, entry, seen, sources=sources)


def _audited_kind(entry: Entry, there: Answer, *, sources: Sources) -> bool:
    """Whether the audit that lacks it has looked at objects of its kind, or it was the only one that went, and was
    changed since it was listed last.
    """
    of, lacked = entry.subject, entry.first_audit_without
    if of is None or lacked is None:
        return False
    kind = kind_of(entry)
    if sources.constraints.listed_by_audit(kind, lacked):
        return True
    if (
        entry.representative is None
        and of.group in _OF_CONTROLLERS
        and sources.constraints.listed_by_audit(POD, lacked)
    ):
        return True
    if sources.constraints.lost_together(kind, lacked):
        return False
    last = from_seconds(entry.last_audit_with) or (entry.observed.updated_at if entry.observed is not None else UNDATED)
    return there.changed > last
