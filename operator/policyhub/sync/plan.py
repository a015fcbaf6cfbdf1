"""What to do about one finding: the comparison of wanted with known, and nothing else.

| wanted | known                    | decision                                             |
|--------|--------------------------|------------------------------------------------------|
| yes    | not there                | NEW                                                  |
| yes    | archived                 | REACTIVATED                                          |
| yes    | other digest             | CHANGED                                              |
| yes    | same digest, 30 days old | REFRESHED (Security Hub forgets at 90 days)          |
| yes    | same digest              | nothing                                              |
| no     | not there, archived      | nothing                                              |
| no     | active                   | ARCHIVED at once on positive evidence (pass, skip);  |
|        |                          | else after the archive delay, and only while the     |
|        |                          | API that called for it is seen whole and live, and a |
|        |                          | later discovery has confirmed it                     |

Archiving is the dangerous direction: whatever is uncertain holds it. A held entry is decided again when its coverage
changes, never by time alone.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from enum import StrEnum

import msgspec

from policyhub.sources.violation import SourceKey
from policyhub.sync.ledger import UNCONFIRMED, UNLISTED, Entry, Ledger

GATEKEEPER = ".constraints.gatekeeper.sh"
"""How the origin of a constraint's finding ends."""
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
    """The mode of the monitored cluster forbids it."""
    SOURCE = "source_incomplete"
    """The API that called for the finding is not seen whole and live: its silence is no evidence."""
    UNLISTED = UNLISTED
    """A constraint does not list all its violations or was not audited yet, or a report could not be read whole."""
    UNCONFIRMED = UNCONFIRMED
    """No discovery has confirmed since the loss (since the watch began, where the result passes) that the API is served
    by the very cluster. A CRD that is being removed first deletes its objects, and a replaced cluster answers with
    empty lists: neither passes the next discovery."""
    DELAY = "archive_delay"
    """It waits for the archive delay (what `Wait` is counted as)."""


class Wait(msgspec.Struct, frozen=True):
    """Decide again at this time (Unix ms)."""

    until: int


Decision = Change | Hold | Wait | None


class Rules(msgspec.Struct, frozen=True):
    """The settings that decide with the entry."""

    archive_delay_ms: int
    archive: bool = True
    """False: never archives (mode NoArchive)."""


def decide(entry: Entry, *, ledger: Ledger, rules: Rules, now: int) -> Decision:
    """The one comparison that everything sent comes from. The entry is not in flight, and its id has been read."""
    if entry.wanted:
        return _wanted(entry, now=now)
    if entry.known is None or entry.known.archived:
        return None
    return _unwanted(entry, ledger=ledger, rules=rules, now=now)


def _wanted(entry: Entry, *, now: int) -> Decision:
    known = entry.known
    if entry.rejected == entry.digest:
        return Hold.REJECTED
    if known is None:
        return Change.NEW
    if known.archived:
        return Change.REACTIVATED
    if known.digest != entry.digest:
        return Change.CHANGED
    if now >= refresh_due(entry.id, known.updated_at):
        return Change.REFRESHED
    return None


def _unwanted(entry: Entry, *, ledger: Ledger, rules: Rules, now: int) -> Decision:
    if not rules.archive:
        return Hold.MODE
    if entry.rejected == ARCHIVE_REJECTED:
        return Hold.REJECTED
    constraint = entry.origin.endswith(GATEKEEPER)
    if not constraint and not ledger.reports_listed:
        return Hold.SOURCE
    confirmed = ledger.confirmed.get(entry.origin, 0)
    if entry.cleared:
        return Change.ARCHIVED if confirmed >= ledger.opened.get(entry.origin, 0) else Hold.UNCONFIRMED
    seen = ledger.coverage.get(entry.origin)
    if seen is None or not seen.live:
        return Hold.SOURCE
    if _may_be_unlisted(entry, ledger=ledger, constraint=constraint):
        return Hold.UNLISTED
    since = max(entry.uncalled, seen.since)
    due = max(since + rules.archive_delay_ms, seen.resumed + RESUME_MS if seen.resumed else 0)
    if now < due:
        return Wait(due)
    if confirmed < since:
        return Hold.UNCONFIRMED
    return Change.ARCHIVED


RESUME_MS = 30_000
"""After a watch was resumed, what happened meanwhile is heard first."""


def _may_be_unlisted(entry: Entry, *, ledger: Ledger, constraint: bool) -> bool:
    """Whether a source object that could not be read whole may call for it in silence.

    Which report a finding came from is not known after a restart, so any unreadable one of its API holds what only the
    inventory knows; what was called for in this process has lost its call by a report that was read whole.
    """
    if constraint:
        return _constraint(entry) in ledger.incomplete
    return not entry.called and (ledger.incomplete_origins[entry.origin] > 0 or entry.origin in ledger.blind)


ARCHIVE_REJECTED = "archive"
"""Stands for the digest of an archived body in `Entry.rejected`."""


def _constraint(entry: Entry) -> SourceKey:
    """The constraint that lists the finding: its name is the rule, its resource and group are the origin."""
    resource, _, group = entry.origin.partition(".")
    return SourceKey(group=group, resource=resource, namespace="", name=entry.rule)


def refresh_due(id_: str, updated_at: int) -> int:
    """When an unchanged active finding is sent again: 25 to 30 days after its last update, spread by id."""
    return updated_at + REFRESH_MS - int(id_[-4:], 16) * REFRESH_SPREAD_MS // 0xFFFF


def next_update(known_updated_at: int | None, *, now: int) -> int:
    """UpdatedAt of the next import: an import that is not later than the stored one is ignored by Security Hub."""
    return now if known_updated_at is None else max(now, known_updated_at + 1)
