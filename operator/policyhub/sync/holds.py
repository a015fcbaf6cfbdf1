"""Why a difference between desired and observed waits, and which events can end each hold.

| hold               | ended by                                                                                        |
|--------------------|-------------------------------------------------------------------------------------------------|
| rejected, mode     | other content, another spec: the entry itself changes                                           |
| source_incomplete  | a source API is listed completely and watched again, a listing, a discovery                     |
| violations_unlisted| a complete source object, a source API as above, an audit, a discovery                          |
| audit_not_repeated | an audit, a discovery                                                                           |
| unconfirmed        | a discovery                                                                                     |
| archive_delay      | time; for a desired finding that waits for the other report API: a listing                      |
| guard              | an approval, the guard's count, the end of the inventory; better evidence: ownership, a report  |
| unreported         | ownership (what rolls up to what, what was reported on), a report, an audit, an approval        |
| owners_unknown     | ownership                                                                                       |
| presence_unknown   | an answer of the API server                                                                     |
| listing            | the end of the listing, whether it succeeds or fails                                            |
| failed, namespace_imports, wording | time                                                                        |
| second_read        | the end of the second read                                                                      |
| quarantined        | the finding is read again: the entry itself changes                                             |

When a namespace is deleted or created again, all its findings that wait for evidence are decided again. Pure: no I/O,
no clock.
"""

from collections.abc import Callable, Collection, Mapping
from enum import Enum, StrEnum, auto
from typing import Protocol

from policyhub.sync.entry import Entry


class Hold(StrEnum):
    """Why nothing is sent although desired and observed differ."""

    REJECTED = "rejected"
    """Security Hub rejected this content; it waits for other content."""
    MODE = "mode"
    """The evidence is sufficient; the mode of the monitored cluster forbids archiving."""
    SOURCE = "source_incomplete"
    """The API that reported the finding is not listed completely and watched: its silence is no evidence."""
    UNLISTED = "violations_unlisted"
    """A constraint does not list all its violations or was not audited yet, or a report could not be read fully."""
    AUDIT = "audit_not_repeated"
    """The constraint's list lacks it, and no later audit has confirmed that."""
    UNCONFIRMED = "unconfirmed"
    """No discovery since the loss (for a passing result: since the watch began) has confirmed that this very cluster
    serves the API. The removal of a CRD first deletes its objects, and a replaced cluster returns empty lists: the next
    discovery detects both."""
    DELAY = "archive_delay"
    """It waits for the archive delay (the default hold of a `Wait`)."""
    GUARD = "guard"
    """Its engine has lost too many findings at once: an admin has to approve."""
    UNREPORTED = "unreported"
    """Object and policy exist, and the engine has not reported on the object and everything that rolls up to it since
    the finding was last reported. Its next scan ends this, or an approval."""
    OWNERS_UNKNOWN = "owners_unknown"
    """It is not known which Pods roll up to which object: they cannot be listed now."""
    PRESENCE = "presence_unknown"
    """A lookup is pending: do the object and the policy still exist?"""
    LISTING = "listing"
    """The evidence is sufficient, and its API is being listed: only the pages show what was written just before the
    listing began. The archive delay continues, and the guard counts it."""
    FAILED = "failed"
    """Security Hub accepted the call and failed this finding: it is retried later."""
    BUDGET = "namespace_imports"
    """Its namespace has used up its daily imports."""
    WORDING = "wording"
    """Its producer changes the wording again and again: changes of wording only are sent once a day."""
    SECOND_READ = "second_read"
    """Another process sent findings shortly before the start: GetFindings may not show yet that it sent this one."""
    QUARANTINED = "quarantined"
    """In Security Hub the id belongs to another cluster: it is left alone."""


class Trigger(Enum):
    """An event that may end holds."""

    LISTING_STATE = auto()
    COMPLETE = auto()
    LISTED = auto()
    DISCOVERY = auto()
    AUDIT = auto()
    OWNERSHIP = auto()
    REPORT = auto()
    ANSWER = auto()
    APPROVAL = auto()
    INVENTORY = auto()
    NAMESPACE = auto()
    SECOND_READ = auto()


ENDED_BY: Mapping[Hold, frozenset[Trigger]] = {
    Hold.REJECTED: frozenset(),
    Hold.MODE: frozenset(),
    Hold.SOURCE: frozenset(
        {Trigger.LISTING_STATE, Trigger.COMPLETE, Trigger.LISTED, Trigger.DISCOVERY, Trigger.NAMESPACE}
    ),
    Hold.UNLISTED: frozenset(
        {Trigger.COMPLETE, Trigger.LISTING_STATE, Trigger.AUDIT, Trigger.DISCOVERY, Trigger.LISTED, Trigger.NAMESPACE}
    ),
    Hold.AUDIT: frozenset({Trigger.AUDIT, Trigger.DISCOVERY, Trigger.NAMESPACE}),
    Hold.UNCONFIRMED: frozenset({Trigger.DISCOVERY, Trigger.NAMESPACE}),
    Hold.DELAY: frozenset({Trigger.LISTED, Trigger.NAMESPACE}),
    Hold.GUARD: frozenset(
        {Trigger.APPROVAL, Trigger.INVENTORY, Trigger.NAMESPACE, Trigger.OWNERSHIP, Trigger.REPORT, Trigger.ANSWER}
    ),
    Hold.UNREPORTED: frozenset({Trigger.OWNERSHIP, Trigger.REPORT, Trigger.AUDIT, Trigger.APPROVAL, Trigger.NAMESPACE}),
    Hold.OWNERS_UNKNOWN: frozenset({Trigger.OWNERSHIP, Trigger.NAMESPACE}),
    Hold.PRESENCE: frozenset({Trigger.ANSWER, Trigger.NAMESPACE}),
    Hold.LISTING: frozenset({Trigger.COMPLETE, Trigger.NAMESPACE}),
    Hold.FAILED: frozenset(),
    Hold.BUDGET: frozenset(),
    Hold.WORDING: frozenset(),
    Hold.SECOND_READ: frozenset({Trigger.SECOND_READ}),
    Hold.QUARANTINED: frozenset(),
}
"""The table above."""

HELD_FOR: Mapping[Trigger, tuple[Hold, ...]] = {
    trigger: tuple(hold for hold, ends in ENDED_BY.items() if trigger in ends) for trigger in Trigger
}

WITHOUT_EVIDENCE = frozenset({Hold.SOURCE, Hold.UNLISTED, Hold.UNREPORTED, Hold.OWNERS_UNKNOWN})
"""When one of these ends, the archive delay starts again: findings may come back in several steps."""


class Requeue(Protocol):
    """Enqueues the findings whose hold such an event may end."""

    def __call__(
        self,
        trigger: Trigger,
        *,
        namespaces: Collection[str] | None = None,
        where: Callable[[Entry], bool] = ...,
    ) -> None: ...
