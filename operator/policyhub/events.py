"""Which changes of a condition make an Event on the MonitoredCluster, and of which type: by the nature of its reason.

| nature      | while the condition is not well             | example                                            |
|-------------|---------------------------------------------|----------------------------------------------------|
| TROUBLE     | Warning: something is wrong, a person acts  | UnknownRegion, AccessDenied, EngineSilent          |
| CHOICE      | Normal: somebody has set it so, or has not  | RollUpOff, EnrichmentOff, Forbidden of OwnersKnown,|
|             | installed an engine yet                     | NoSourceServed                                     |
| the others  | none: progress, or another condition says   | Listing, Pending, NotConnected; DryRun (Ready says)|
|             | the same                                    |                                                    |

An Event is made when the status of a condition changes. Connected also makes one while its status stays, when a trouble
follows what was none (ClusterDeleting, ClusterCreating), and for ClusterGone after whatever: what a person has to do is
another thing then. No other trouble that follows a trouble makes one, as some take turns.

That Ready is True is one Normal Event. Ready that is not True makes one only for a reason that no other condition has
(`Trait.ALONE`), then also when one such reason follows another. A reason that this version does not know is trouble:
better one Event too many. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Literal

from policyhub.api.reason import Nature, Reason, Trait
from policyhub.api.status import Condition

EventType = Literal["Normal", "Warning"]

BAD = frozenset({"IdentityConflict", "ArchiveHeld"})
"""Conditions that are good if False."""

_TYPES: Mapping[Nature, EventType] = {Nature.TROUBLE: "Warning", Nature.CHOICE: "Normal"}


def event_type(condition: Condition, before: Condition | None) -> EventType | None:
    """The type of the Event for a condition, given the condition that was written last; None: no Event."""
    word, reason = condition.reason, Reason.known(condition.reason)
    changed = before is None or before.status != condition.status
    if condition.type == "Ready" and condition.status != "True":
        alone = reason is not None and Trait.ALONE in reason.traits
        return "Warning" if alone and (changed or (before is not None and before.reason != word)) else None
    turned = before is not None and condition.type == "Connected" and _turned(before.reason, word)
    if not (changed or turned) or reason is Reason.STATUS_FAILED:  # Ready says that one
        return None
    if condition.type == "Ready":
        return "Normal"
    if condition.status != ("True" if condition.type in BAD else "False"):
        return None
    return _TYPES.get(reason.nature_in(condition.type)) if reason is not None else "Warning"


def _turned(before: str, word: str) -> bool:
    """Whether the person has to do something else now, although the status is the same."""
    return before != word and _is_trouble(word) and (not _is_trouble(before) or word == Reason.CLUSTER_GONE)


def _is_trouble(word: str) -> bool:
    reason = Reason.known(word)
    return reason is not None and reason.nature is Nature.TROUBLE
