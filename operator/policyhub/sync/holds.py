"""Why a difference between desired and observed waits, and which news can end each wait.

| hold               | ends by                                                                                         |
|--------------------|-------------------------------------------------------------------------------------------------|
| rejected, mode     | other content, another spec: the entry itself changes                                           |
| source_incomplete  | coverage (a source API is seen whole and live again), a listing, a discovery                    |
| violations_unlisted| a complete reading, coverage, an audit, a discovery                                             |
| audit_not_repeated | an audit, a discovery                                                                           |
| unconfirmed        | a discovery                                                                                     |
| archive_delay      | time; what is desired and waits for the other report API: a listing                             |
| guard              | a person, the guard's own count, the end of the inventory; better evidence: ownership, a report |
| unreported         | ownership (what rolls up to what, what was reported on), a report, an audit, a person           |
| owners_unknown     | ownership                                                                                       |
| presence_unknown   | an answer of the API server                                                                     |
| listing            | the end of the listing, whether it succeeds or fails                                            |
| failed, namespace_imports, wording | time                                                                        |
| quarantined        | the finding is read again: the entry itself changes                                             |

A namespace that is deleted or comes back decides again whatever of it waits for evidence. Pure: no I/O, no clock.
"""

from collections.abc import Callable, Collection, Mapping
from enum import Enum, StrEnum, auto
from typing import Protocol

from policyhub.sync.entry import Entry


class Hold(StrEnum):
    """Why nothing is done although desired and observed differ."""

    REJECTED = "rejected"
    """Security Hub refused this content; it waits for another."""
    MODE = "mode"
    """The evidence is enough; the mode of the monitored cluster forbids it."""
    SOURCE = "source_incomplete"
    """The API that reported the finding is not seen whole and live: its silence is no evidence."""
    UNLISTED = "violations_unlisted"
    """A constraint does not list all its violations or was not audited yet, or a report could not be read whole."""
    AUDIT = "audit_not_repeated"
    """The constraint's list lacks it, and no later audit has said so again."""
    UNCONFIRMED = "unconfirmed"
    """No discovery has confirmed since the loss (since the watch began, where the result passes) that the API is served
    by the very cluster. A CRD that is being removed first deletes its objects, and a replaced cluster answers with
    empty lists: neither passes the next discovery."""
    DELAY = "archive_delay"
    """It waits for the archive delay (what `Wait` is counted as)."""
    GUARD = "guard"
    """Its engine has lost too many findings at once: a person has to approve."""
    UNREPORTED = "unreported"
    """Object and policy exist, and the engine has not reported on the object, or on all that rolls up to it, since the
    finding was reported last: it does so at its next scan, or a person approves."""
    OWNERS_UNKNOWN = "owners_unknown"
    """Which Pods roll up to which object is not known: they may not be listed now."""
    PRESENCE = "presence_unknown"
    """The API server is being asked whether the object and the policy still exist."""
    LISTING = "listing"
    """The evidence is enough, and its API is being listed: what was written just before the listing began comes by its
    pages alone. The archive delay goes on, and the guard counts it."""
    FAILED = "failed"
    """Security Hub took the call and failed this finding: it is sent again after a while."""
    BUDGET = "namespace_imports"
    """Its namespace has used up its imports of the day."""
    WORDING = "wording"
    """Its producer words it otherwise again and again: its words alone are sent once a day."""
    QUARANTINED = "quarantined"
    """In Security Hub the id is another cluster's finding: it is left alone."""


class News(Enum):
    """What was learned."""

    COVERAGE = auto()
    COMPLETE = auto()
    LISTED = auto()
    DISCOVERY = auto()
    AUDIT = auto()
    OWNERSHIP = auto()
    REPORT = auto()
    ANSWER = auto()
    PERSON = auto()
    INVENTORY = auto()
    NAMESPACE = auto()


ENDED_BY: Mapping[Hold, frozenset[News]] = {
    Hold.REJECTED: frozenset(),
    Hold.MODE: frozenset(),
    Hold.SOURCE: frozenset({News.COVERAGE, News.COMPLETE, News.LISTED, News.DISCOVERY, News.NAMESPACE}),
    Hold.UNLISTED: frozenset({News.COMPLETE, News.COVERAGE, News.AUDIT, News.DISCOVERY, News.LISTED, News.NAMESPACE}),
    Hold.AUDIT: frozenset({News.AUDIT, News.DISCOVERY, News.NAMESPACE}),
    Hold.UNCONFIRMED: frozenset({News.DISCOVERY, News.NAMESPACE}),
    Hold.DELAY: frozenset({News.LISTED, News.NAMESPACE}),
    Hold.GUARD: frozenset({News.PERSON, News.INVENTORY, News.NAMESPACE, News.OWNERSHIP, News.REPORT, News.ANSWER}),
    Hold.UNREPORTED: frozenset({News.OWNERSHIP, News.REPORT, News.AUDIT, News.PERSON, News.NAMESPACE}),
    Hold.OWNERS_UNKNOWN: frozenset({News.OWNERSHIP, News.NAMESPACE}),
    Hold.PRESENCE: frozenset({News.ANSWER, News.NAMESPACE}),
    Hold.LISTING: frozenset({News.COMPLETE, News.NAMESPACE}),
    Hold.FAILED: frozenset(),
    Hold.BUDGET: frozenset(),
    Hold.WORDING: frozenset(),
    Hold.QUARANTINED: frozenset(),
}
"""The table above."""

HELD_FOR: Mapping[News, tuple[Hold, ...]] = {
    news: tuple(hold for hold, ends in ENDED_BY.items() if news in ends) for news in News
}

WITHOUT_EVIDENCE = frozenset({Hold.SOURCE, Hold.UNLISTED, Hold.UNREPORTED, Hold.OWNERS_UNKNOWN})
"""When one of these ends, the archive delay begins again: what comes back may come back in pieces."""


class Free(Protocol):
    """Decides again what is held for want of such news."""

    def __call__(
        self,
        news: News,
        *,
        namespaces: Collection[str] | None = None,
        where: Callable[[Entry], bool] = ...,
    ) -> None: ...
