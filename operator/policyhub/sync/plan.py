"""What to do about one finding: the comparison of desired with observed, by the evidence, and nothing else.

| desired | observed                   | decision                                             |
|---------|----------------------------|------------------------------------------------------|
| yes     | not there                  | NEW                                                  |
| yes     | archived                   | REACTIVATED                                          |
| yes     | other digest               | CHANGED; after the archive delay where Pods speak in |
|         |                            | place of their controller's own result: they mostly  |
|         |                            | go as it went; where that result only went with its  |
|         |                            | report, after six hours at least; where the words    |
|         |                            | alone change again and again, once a day             |
| yes     | same digest, 30 days old   | REFRESHED (Security Hub forgets at 90 days)          |
| yes     | same digest, other version | REFRESHED (the renderer's version)                   |
| yes     | same digest                | nothing; a notice's numbers alone are mostly no news |
|         |                            | (findings/truncation.py)                             |
| no      | not there, archived        | nothing                                              |
| no      | active                     | ARCHIVED as the evidence allows                      |

The evidence for a finding that nobody reports, the best first (`grading` says how each is reached):

| grade       | what it is                                                   | archived                             |
|-------------|--------------------------------------------------------------|--------------------------------------|
| PASSED      | the object's result now reads pass or skip, and so does all  | at once; after the archive delay if  |
|             | that rolls up to it and that its policy looks at             | its engine writes both report APIs   |
| DELETED     | the object or its namespace is deleted: the API server says  | after the archive delay              |
|             | so                                                           |                                      |
| APPROVED    | nothing explains the loss, and a person approved it          | after the archive delay              |
| EXPLAINED   | its policy, its constraint or the kind of it is deleted      | after the archive delay, guarded     |
| REPEATED    | object and policy exist, and the engine has looked again     | after the archive delay, guarded     |
|             | since and does not report it                                 |                                      |
| UNVERIFIED  | as the last two, where the API server may not be asked       | after the archive delay, guarded     |
| DESELECTED  | the MonitoredCluster no longer asks for its API              | after the archive delay, guarded     |
| NONE        | anything else, with the reason                               | never                                |

Archiving is the dangerous direction: whatever is uncertain holds it. A finding that came back twice within a day is
archived later than otherwise. A held entry is decided again when its evidence changes, never by time alone.

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
"""Active findings that Security Hub has not heard of for 90 days are deleted."""
REFRESH_SPREAD_MS = 5 * DAY_MS
"""Refreshes come this much earlier, spread by id, so that a first sync does not come back as one burst."""
WORDS_MS = 6 * 60 * 60 * 1000
ARCHIVE_REJECTED = "archive"
"""Stands for the digest of an archived body in `Entry.rejected`."""


class Change(StrEnum):
    """What an import is for."""

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
    """The settings that decide with the entry."""

    archive_delay_ms: int
    archive: bool = True
    """False: never archives (mode NoArchive)."""


class Grade(Enum):
    """How good the evidence is that a violation has ended."""

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
    """All that decides about one finding beside its entry, at one moment."""

    grade: Grade = Grade.NONE
    since: SteadyMs = NEVER
    """Since when it holds: the archive delay runs from here."""
    delayed: bool = True
    """Whether the archive delay applies."""
    not_before: SteadyMs = NEVER
    """Nothing of it is done earlier: what happened while a watch was cut is heard first, it came back too often; of a
    desired finding: the other report API may contradict it; with NONE: when it is decided again at the latest."""
    confirmed: bool = True
    """Whether a discovery has confirmed since that the very cluster answers."""
    hold: Hold | None = None
    """With NONE: what is missing."""
    lost: bool = False
    """Whether the guard counts it as lost."""
    closed: bool = False
    """Whether the guard holds what its engine has lost."""
    settled: SteadyMs = NEVER
    """A desired finding that differs is not told to have changed before: until then not all that speaks of it may have
    been heard."""
    wording: SteadyMs = NEVER
    """Nothing is sent earlier for the sake of its words alone: they have changed too often (`outcomes`)."""
    refresh: bool = False
    """Whether it was last sent so long ago that Security Hub would forget it."""
    listing: bool = False
    """Whether its API is being listed: nothing is archived meanwhile."""
    blocked: Wait | None = None
    """Why nothing is sent for it now, whatever it is: Security Hub failed it, its namespace has used up its imports."""
    quarantined: bool = False


def decide(entry: Entry, evidence: Evidence, rules: Rules, now: SteadyMs) -> Decision:
    """The one comparison that everything sent comes from. The entry is not in flight, and its id has been read."""
    if evidence.quarantined:
        return Hold.QUARANTINED if entry.desired else None
    decision = _desired(entry, evidence, rules, now) if entry.desired else _undesired(entry, evidence, rules, now)
    if isinstance(decision, Change) and evidence.blocked is not None and now < evidence.blocked.until:
        return evidence.blocked
    return decision


def _desired(entry: Entry, evidence: Evidence, rules: Rules, now: SteadyMs) -> Decision:
    observed = entry.observed
    if same_content(entry.rejected, entry.digest):
        return Hold.REJECTED
    if observed is None:
        return Change.NEW if now >= evidence.not_before else Wait(evidence.not_before)
    if observed.archived:
        due = max(evidence.not_before, evidence.settled)
        return Change.REACTIVATED if now >= due else Wait(due)
    if not same_content(observed.digest, entry.digest):
        due = NEVER
        if observed.digest:  # else its content is not known, and it is sent for certain
            words = entry.substituted_since + _until_words(entry, rules) if entry.substituted_since else NEVER
            due = max(evidence.settled, words)
            if now >= due and now < evidence.wording:
                return Wait(evidence.wording, Hold.WORDING)
        return Change.CHANGED if now >= due else Wait(due)
    if evidence.refresh or observed.renderer != str(RENDERER):
        return Change.REFRESHED
    return None


def _until_words(entry: Entry, rules: Rules) -> int:
    """How long Pods speak in place of their controller before their words are sent: longer where its own report only
    went, since a report that was wiped is written again by the next scan, in the words of before.
    """
    return max(rules.archive_delay_ms, WORDS_MS) if entry.own else rules.archive_delay_ms


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
    if evidence.grade in GUARDED and evidence.closed:
        return Hold.GUARD
    if evidence.listing:
        return Hold.LISTING
    return Change.ARCHIVED if rules.archive else Hold.MODE


def refresh_due(id_: str, updated_at: WallMs) -> WallMs:
    """When an unchanged active finding is sent again: 25 to 30 days after its last update, spread by id."""
    return updated_at + REFRESH_MS - int(id_[-4:], 16) * REFRESH_SPREAD_MS // 0xFFFF


def next_update(known_updated_at: WallMs | None, *, now: WallMs) -> WallMs:
    """UpdatedAt of the next import: an import that is not later than the stored one is ignored by Security Hub."""
    return now if known_updated_at is None else max(now, known_updated_at + 1)
