"""What to do about one finding: compare desired with observed, and apply the evidence.

| desired | observed                   | decision                                             |
|---------|----------------------------|------------------------------------------------------|
| yes     | not there                  | NEW                                                  |
| yes     | archived                   | REACTIVATED                                          |
| yes     | other digest               | CHANGED; after the archive delay if results of Pods  |
|         |                            | replace the controller's own result: they mostly end |
|         |                            | soon after it; after six hours at least if that      |
|         |                            | result only ended with its report; once a day if     |
|         |                            | only the wording changes again and again             |
| yes     | same digest, 30 days old   | REFRESHED (Security Hub deletes it after 90 days)    |
| yes     | same digest, other version | REFRESHED (the renderer's version)                   |
| yes     | same digest                | nothing; small changes of a notice's numbers do not  |
|         |                            | count (findings/truncation.py)                       |
| no      | not there, archived        | nothing                                              |
| no      | active                     | ARCHIVED as the evidence allows                      |

The evidence for a finding that nobody reports, best first (`grading` derives it):

| grade       | meaning                                                      | archived                             |
|-------------|--------------------------------------------------------------|--------------------------------------|
| PASSED      | the result of the object is now pass or skip, and so are     | at once; after the archive delay if  |
|             | those of all descendants that its policy covers              | its engine writes both report APIs   |
| DELETED     | the API server confirms that the object or its namespace is  | after the archive delay              |
|             | deleted                                                      |                                      |
| APPROVED    | nothing explains the loss, and an admin approved it          | after the archive delay              |
| EXPLAINED   | its policy, its constraint or that one's kind is deleted     | after the archive delay, guarded     |
| REPEATED    | object and policy exist, and the engine has scanned again    | after the archive delay, guarded     |
|             | and does not report it                                       |                                      |
| UNVERIFIED  | like the last two, but the API server may not be asked       | after the archive delay, guarded     |
| DESELECTED  | the MonitoredCluster disables its API                        | after the archive delay, guarded     |
| NONE        | anything else, with the reason                               | never                                |

Archiving is the dangerous direction: any doubt holds it. A finding that was reactivated twice within a day is archived
later than usual. A held entry is decided again when its evidence changes, never by time alone.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from enum import Enum, StrEnum, auto

import msgspec

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.findings.asff import RENDERER
from policyhub.findings.truncation import same_content
from policyhub.sync.entry import Entry
from policyhub.sync.holds import Hold

DAY_MS = 24 * 60 * 60 * 1000
REFRESH_MS = 30 * DAY_MS
"""Security Hub deletes active findings that were not updated for 90 days."""
REFRESH_SPREAD_MS = 5 * DAY_MS
"""Refreshes are up to this much earlier, spread by id, so that a first sync does not repeat as one burst."""
SUBSTITUTION_DELAY_MS = 6 * 60 * 60 * 1000
ARCHIVE_REJECTED = "archive"
"""In `Entry.rejected`, in place of the digest of an archived body."""


class Change(StrEnum):
    """Why a finding is imported."""

    NEW = "new"
    CHANGED = "changed"
    REACTIVATED = "reactivated"
    ARCHIVED = "archived"
    REFRESHED = "refreshed"


class Wait(msgspec.Struct, frozen=True):
    """Decide again at this time (Unix ms)."""

    until: SteadyMs
    hold: Hold = Hold.DELAY


Decision = Change | Hold | Wait | None


class Rules(msgspec.Struct, frozen=True):
    """The settings that `decide` uses."""

    archive_delay_ms: int
    archive: bool = True
    """False: never archive (mode NoArchive)."""


class Grade(Enum):
    """The quality of the evidence that a violation has ended."""

    NONE = auto()
    PASSED = auto()
    DELETED = auto()
    APPROVED = auto()
    EXPLAINED = auto()
    REPEATED = auto()
    UNVERIFIED = auto()
    DESELECTED = auto()


GUARDED = frozenset({Grade.EXPLAINED, Grade.REPEATED, Grade.UNVERIFIED, Grade.DESELECTED})


class Evidence(msgspec.Struct, frozen=True):
    """Everything that `decide` needs beside the entry, at one moment."""

    grade: Grade = Grade.NONE
    since: SteadyMs = NEVER
    """Since when the evidence holds: the start of the archive delay."""
    delayed: bool = True
    """Whether the archive delay applies."""
    not_before: SteadyMs = NEVER
    """Nothing is sent earlier: a resumed watch first delivers what happened during its interruption, or the finding was
    reactivated too often. Desired findings: the other report API may contradict it. With NONE: decide again then."""
    confirmed: bool = True
    """Whether a discovery has since confirmed that this very cluster answers."""
    hold: Hold | None = None
    """With NONE: the missing evidence."""
    lost: bool = False
    """Whether the guard counts it as lost."""
    held_by_guard: bool = False
    """Whether the guard holds the losses of its scope."""
    changes_wait_until: SteadyMs = NEVER
    """A change of a desired finding is not sent earlier: until then not all its source objects may have been read."""
    rewording_waits_until: SteadyMs = NEVER
    """A change of wording only is not sent earlier: it has changed too often (`outcomes`)."""
    refresh: bool = False
    """Whether it was last sent so long ago that Security Hub would soon delete it."""
    listing: bool = False
    """Whether its API is being listed: nothing is archived meanwhile."""
    import_wait: Wait | Hold | None = None
    """Why nothing at all is sent now: Security Hub failed the finding, its namespace has used up its imports, or the
    former process may have sent it."""
    quarantined: bool = False


def decide(entry: Entry, evidence: Evidence, rules: Rules, now: SteadyMs) -> Decision:
    """Everything that is sent comes from this comparison. The entry is not in flight, and its id has been read."""
    if evidence.quarantined:
        return Hold.QUARANTINED if entry.desired else None
    decision = _desired(entry, evidence, rules, now) if entry.desired else _undesired(entry, evidence, rules, now)
    wait = evidence.import_wait
    if isinstance(decision, Change) and wait is not None and (isinstance(wait, Hold) or now < wait.until):
        return wait
    return decision


def _desired(entry: Entry, evidence: Evidence, rules: Rules, now: SteadyMs) -> Decision:
    observed = entry.observed
    if same_content(entry.rejected, entry.digest):
        return Hold.REJECTED
    if observed is None:
        return Change.NEW if now >= evidence.not_before else Wait(evidence.not_before)
    if observed.archived:
        due = max(evidence.not_before, evidence.changes_wait_until)
        return Change.REACTIVATED if now >= due else Wait(due)
    if not same_content(observed.digest, entry.digest):
        due = NEVER
        if observed.digest:  # otherwise its content is not known, and it is sent at once
            substitution_end = (
                entry.substituted_since + _substitution_delay(entry, rules) if entry.substituted_since else NEVER
            )
            due = max(evidence.changes_wait_until, substitution_end)
            if now >= due and now < evidence.rewording_waits_until:
                return Wait(evidence.rewording_waits_until, Hold.WORDING)
        return Change.CHANGED if now >= due else Wait(due)
    if evidence.refresh or observed.renderer != str(RENDERER):
        return Change.REFRESHED
    return None


def _substitution_delay(entry: Entry, rules: Rules) -> int:
    """How long (ms) results of Pods replace the controller's own result before their wording is sent. Longer if only
    the report was deleted: the next scan writes it again, with the former wording.
    """
    return max(rules.archive_delay_ms, SUBSTITUTION_DELAY_MS) if entry.own else rules.archive_delay_ms


def _undesired(entry: Entry, evidence: Evidence, rules: Rules, now: SteadyMs) -> Decision:
    if entry.observed is None or entry.observed.archived:
        return None
    if entry.rejected == ARCHIVE_REJECTED:
        return Hold.REJECTED
    if evidence.grade is Grade.NONE:
        return Wait(evidence.not_before, evidence.hold) if evidence.hold and evidence.not_before else evidence.hold
    due = max(evidence.since + (rules.archive_delay_ms if evidence.delayed else 0), evidence.not_before)
    if now < due:
        return Wait(due)
    if not evidence.confirmed:
        return Hold.UNCONFIRMED
    if evidence.grade in GUARDED and evidence.held_by_guard:
        return Hold.GUARD
    if evidence.listing:
        return Hold.LISTING
    return Change.ARCHIVED if rules.archive else Hold.MODE


def refresh_due(id_: str, updated_at: WallMs) -> WallMs:
    """When an unchanged active finding is sent again: 25 to 30 days after its last update, spread by id."""
    return updated_at + REFRESH_MS - int(id_[-4:], 16) * REFRESH_SPREAD_MS // 0xFFFF


def next_update(stored_updated_at: WallMs | None, *, now: WallMs) -> WallMs:
    """UpdatedAt of the next import: Security Hub ignores an import that is not later than the stored finding."""
    return now if stored_updated_at is None else max(now, stored_updated_at + 1)
