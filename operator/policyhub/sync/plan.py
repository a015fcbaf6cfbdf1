"""What to do about one finding: the comparison of wanted with known, and nothing else.

| wanted | known                      | decision                                             |
|--------|----------------------------|------------------------------------------------------|
| yes    | not there                  | NEW                                                  |
| yes    | archived                   | REACTIVATED                                          |
| yes    | other digest               | CHANGED; after the archive delay where Pods speak in |
|        |                            | place of their controller's own result: they mostly  |
|        |                            | go as it went                                        |
| yes    | same digest, 30 days old   | REFRESHED (Security Hub forgets at 90 days)          |
| yes    | same digest, other version | REFRESHED (the renderer's version)                   |
| yes    | same digest                | nothing                                              |
| no     | not there, archived        | nothing                                              |
| no     | active                     | ARCHIVED as the evidence allows                      |

The evidence for a finding that nobody calls for, the best first:

| evidence   | what it is                                                 | archived                              |
|------------|------------------------------------------------------------|---------------------------------------|
| positive   | the object's result now reads pass or skip, and what       | at once; after the archive delay if   |
|            | counted for it and did not pass is gone                    | its engine speaks through two APIs    |
| gone       | the object is deleted (a Pod, ReplicaSet or Job, or its    | after the archive delay               |
|            | report and all that it owned, or all of its Pods that      |                                       |
|            | called and what else it owned), or its namespace is        |                                       |
| spoken     | its report or constraint was rewritten without it or       | after the archive delay, guarded      |
|            | deleted; its constraint kind is absent for as long         |                                       |
| silent     | its report went, or nobody calls for it at all             | after the archive delay, guarded, and |
|            |                                                            | not before its engine has looked at   |
|            |                                                            | all Pods that count for the object    |
| configured | the MonitoredCluster no longer asks for its API            | after the archive delay, guarded      |
| none       | its API is not seen whole and live, or any report API      | never                                 |
|            | where its engine speaks through two; its constraint lists  |                                       |
|            | not all, or no later audit has repeated that it lacks it;  |                                       |
|            | no discovery has confirmed the API and the cluster since;  |                                       |
|            | it is not known what counts for what                       |                                       |

Archiving is the dangerous direction: whatever is uncertain holds it. A finding that came back twice within a day is
archived later than otherwise (`Ledger.damping`). A held entry is decided again when its evidence changes, never by
time alone.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from enum import StrEnum

import msgspec

from policyhub.findings.asff import RENDERER
from policyhub.sync.entry import GATEKEEPER, Coverage, Entry, Grade
from policyhub.sync.ledger import BUDGET, FAILED, OWNERS_UNKNOWN, UNCONFIRMED, UNLISTED, UNREPORTED, Ledger

DAY_MS = 24 * 60 * 60 * 1000
REFRESH_MS = 30 * DAY_MS
"""Active findings that Security Hub has not heard of for 90 days are deleted."""
REFRESH_SPREAD_MS = 5 * DAY_MS
"""Refreshes come this much earlier, spread by id, so that a first sync does not come back as one burst."""


class Change(StrEnum):
    """What an import is for."""

    NEW = "new"
    CHANGED = "changed"
    REACTIVATED = "reactivated"
    ARCHIVED = "archived"
    REFRESHED = "refreshed"


class Hold(StrEnum):
    """Why nothing is done although wanted and known differ."""

    REJECTED = "rejected"
    """Security Hub refused this content; it waits for another."""
    MODE = "mode"
    """The evidence is enough; the mode of the monitored cluster forbids it."""
    SOURCE = "source_incomplete"
    """The API that called for the finding is not seen whole and live: its silence is no evidence."""
    UNLISTED = UNLISTED
    """A constraint does not list all its violations or was not audited yet, or a report could not be read whole."""
    AUDIT = "audit_not_repeated"
    """The constraint's list lacks it, and no later audit has said so again."""
    UNCONFIRMED = UNCONFIRMED
    """No discovery has confirmed since the loss (since the watch began, where the result passes) that the API is served
    by the very cluster. A CRD that is being removed first deletes its objects, and a replaced cluster answers with
    empty lists: neither passes the next discovery."""
    DELAY = "archive_delay"
    """It waits for the archive delay (what `Wait` is counted as)."""
    GUARD = "guard"
    """Its engine has lost too many findings at once: a person has to approve."""
    UNREPORTED = UNREPORTED
    """Something lives that counts for its object, and its engine has not looked at it yet: a rollout."""
    OWNERS_UNKNOWN = OWNERS_UNKNOWN
    """Which Pods count for which object is not known: they may not be listed now."""
    FAILED = FAILED
    """Security Hub took the call and failed this finding: it is sent again after a while."""
    BUDGET = BUDGET
    """Its namespace has used up its imports of the day."""
    QUARANTINED = "quarantined"
    """In Security Hub the id is another cluster's finding: it is left alone."""


WEIGHED = frozenset({Hold.AUDIT, Hold.UNCONFIRMED, Hold.DELAY, Hold.GUARD, Hold.FAILED, Hold.BUDGET})
"""The holds of a finding that the guard counts as lost: nothing but time or one more word stands in the way."""


class Wait(msgspec.Struct, frozen=True):
    """Decide again at this time (Unix ms)."""

    until: int
    hold: Hold = Hold.DELAY


Decision = Change | Hold | Wait | None


class Rules(msgspec.Struct, frozen=True):
    """The settings that decide with the entry."""

    archive_delay_ms: int
    archive: bool = True
    """False: never archives (mode NoArchive)."""


def decide(entry: Entry, *, ledger: Ledger, rules: Rules, now: int) -> Decision:
    """The one comparison that everything sent comes from. The entry is not in flight, and its id has been read."""
    if ledger.quarantine.ids and entry.id in ledger.quarantine.ids:
        return Hold.QUARANTINED if entry.wanted else None
    decision = _decide(entry, ledger=ledger, rules=rules, now=now)
    if isinstance(decision, Change):
        if (until := ledger.postponed(entry.id)) > now:
            return Wait(until, Hold.FAILED)
        if ledger.shares.tight and (until := ledger.shares.spent(entry.subject, now=now)):
            return Wait(until, Hold.BUDGET)
    return decision


def _decide(entry: Entry, *, ledger: Ledger, rules: Rules, now: int) -> Decision:
    if entry.wanted:
        return _wanted(entry, ledger=ledger, rules=rules, now=now)
    if entry.known is None or entry.known.archived:
        return None
    if entry.rejected == ARCHIVE_REJECTED:
        return Hold.REJECTED
    decision = _unwanted(entry, ledger=ledger, rules=rules, now=now)
    return Hold.MODE if decision is Change.ARCHIVED and not rules.archive else decision


def _wanted(entry: Entry, *, ledger: Ledger, rules: Rules, now: int) -> Decision:
    known = entry.known
    if entry.rejected == entry.digest:
        return Hold.REJECTED
    if (known is None or known.archived) and now < ledger.listening_until and not entry.origin.endswith(GATEKEEPER):
        return Wait(ledger.listening_until)
    if known is None:
        return Change.NEW
    if known.archived:
        return Change.REACTIVATED
    if known.digest != entry.digest:
        due = entry.deferred + rules.archive_delay_ms if entry.deferred and known.digest else 0
        return Wait(due) if now < due else Change.CHANGED
    if now >= refresh_due(entry.id, known.updated_at) or known.renderer != str(RENDERER):
        return Change.REFRESHED
    return None


def _unwanted(entry: Entry, *, ledger: Ledger, rules: Rules, now: int) -> Decision:
    constraint = entry.origin.endswith(GATEKEEPER)
    if not constraint and not ledger.reports_listed:
        return Hold.SOURCE
    if ledger.unheard and ledger.unheard_of(entry):
        return Hold.SOURCE
    if ledger.lineage is not None and not ledger.lineage.since:
        return Hold.OWNERS_UNKNOWN
    confirmed = ledger.confirmed.get(entry.origin, 0)
    if entry.cleared or (ledger.lineage is not None and entry.passes and not _unreported(entry, ledger=ledger)):
        if _seen(entry, ledger=ledger) is None:
            return Hold.SOURCE
        if confirmed < ledger.opened.get(entry.origin, 0):
            return Hold.UNCONFIRMED
        delay = rules.archive_delay_ms if entry.source in ledger.twofold else 0
        due = entry.uncalled + delay + ledger.damping(entry.id, now=now)
        return Wait(due) if now < due else Change.ARCHIVED
    return _lost(entry, ledger=ledger, rules=rules, now=now, confirmed=confirmed)


def _unreported(entry: Entry, *, ledger: Ledger) -> bool:
    of = entry.subject
    return ledger.lineage is not None and of is not None and ledger.lineage.unreported(entry.source, of)


def _lost(entry: Entry, *, ledger: Ledger, rules: Rules, now: int, confirmed: int) -> Decision:
    gone, origins = ledger.deletion(entry) or (None, ())
    delay = rules.archive_delay_ms + ledger.damping(entry.id, now=now)
    absent = ledger.absent.get(entry.origin)
    if ledger.switched_off(entry.origin):
        since, confirmed = entry.uncalled, now
        due = since + delay
    elif absent is not None:
        since = max(entry.uncalled, absent + rules.archive_delay_ms)  # gone when it is believed gone, called for or not
        due = since + delay
        confirmed = ledger.kinds_read - rules.archive_delay_ms  # a discovery at least that much later lacks it still
    else:
        hold = _hold(entry, ledger=ledger, gone=gone)
        if hold is not None:
            return hold
        seen = _seen(entry, ledger=ledger) or Coverage(live=False)  # live: `_hold` has looked
        since = max(entry.uncalled, seen.since)
        due = max(since + delay, seen.resumed + RESUME_MS if seen.resumed else 0)
        if ledger.lineage is not None:
            due = max(due, ledger.lineage.since + RESUME_MS)
    if gone is not None:
        confirmed = min(confirmed, *(ledger.confirmed.get(origin, 0) for origin in origins))
        since = max(since, gone, *(ledger.opened.get(origin, 0) for origin in origins))
        due = max(due, gone + delay)
    elif released := ledger.guard.released.get(entry.source):
        due = max(due, released + delay)
    if now < due:
        return Wait(due)
    if confirmed < since:
        return Hold.UNCONFIRMED
    if gone is None and ledger.guard.closed(entry.source, now=now):
        return Hold.GUARD
    return Change.ARCHIVED


def _hold(entry: Entry, *, ledger: Ledger, gone: int | None) -> Hold | None:
    """Why the silence of its API is no evidence; None if it is."""
    if _seen(entry, ledger=ledger) is None:
        return Hold.SOURCE
    if gone is not None:
        return None
    constraint = entry.constraint
    if constraint is not None:
        if entry.repeated:
            return Hold.UNREPORTED if ledger.unaudited(entry) else None
        if constraint not in ledger.audits:  # deleted, unless it is the one that could not be read
            return Hold.UNLISTED if entry.origin in ledger.blind else None
        return Hold.UNLISTED if constraint in ledger.incomplete and entry.lacked is None else Hold.AUDIT
    if entry.grade is Grade.SILENT and _unreported(entry, ledger=ledger):
        return Hold.UNREPORTED
    # Which report a finding came from is not known after a restart, so any unreadable one of its API holds what only
    # the inventory knows; what was called for in this process has lost its call by a report that was read whole.
    unread = ledger.incomplete_origins[entry.origin] > 0 or entry.origin in ledger.blind
    return Hold.UNLISTED if unread and not entry.called else None


def _seen(entry: Entry, *, ledger: Ledger) -> Coverage | None:
    """How the API that called for it is seen; where its engine speaks through both report APIs, how all of them are.
    None where one of them is not seen whole and live: it may call, or call again, and nobody hears it.
    """
    own = ledger.coverage.get(entry.origin)
    if own is None or not own.live:
        return None
    if entry.source not in ledger.twofold:
        return own
    all_ = [seen for origin, seen in ledger.coverage.items() if not origin.endswith(GATEKEEPER)]
    if not all(seen.live for seen in all_):
        return None
    return Coverage(live=True, since=max(s.since for s in all_), resumed=max(s.resumed for s in all_))


RESUME_MS = 30_000
"""After a watch was resumed, what happened meanwhile is heard first."""
ARCHIVE_REJECTED = "archive"
"""Stands for the digest of an archived body in `Entry.rejected`."""


def weighs(entry: Entry, hold: Hold, *, ledger: Ledger) -> bool:
    """Whether the guard counts a held finding as lost."""
    return hold in WEIGHED and not entry.wanted and not entry.cleared and ledger.deleted_since(entry) is None


def unweighed(entry: Entry, change: Change, *, ledger: Ledger) -> bool:
    """Whether the guard has yet to count a finding that is to be archived: all that are lost together must be counted
    before the first of them is archived.
    """
    return change is Change.ARCHIVED and weighs(entry, Hold.DELAY, ledger=ledger) and not ledger.guard.knows(entry.id)


def refresh_due(id_: str, updated_at: int) -> int:
    """When an unchanged active finding is sent again: 25 to 30 days after its last update, spread by id."""
    return updated_at + REFRESH_MS - int(id_[-4:], 16) * REFRESH_SPREAD_MS // 0xFFFF


def next_update(known_updated_at: int | None, *, now: int) -> int:
    """UpdatedAt of the next import: an import that is not later than the stored one is ignored by Security Hub."""
    return now if known_updated_at is None else max(now, known_updated_at + 1)
