"""Decides which changes of a condition create an Event on the MonitoredCluster, and its type.

The nature of the reason decides the type:

| nature      | Event of a condition with a problem         | example                                            |
|-------------|---------------------------------------------|----------------------------------------------------|
| TROUBLE     | Warning: a person has to act                | UnknownRegion, AccessDenied, EngineSilent          |
| CHOICE      | Normal: configured this way, or no engine   | RollUpOff, EnrichmentOff, Forbidden of OwnersKnown,|
|             | is installed yet                            | NoSourceServed                                     |
| others      | none: progress, or another condition        | Listing, Pending, NotConnected; DryRun (in Ready)  |
|             | reports it                                  |                                                    |
| unknown     | Warning: better one Event too many          | a reason of another version                        |

A change of status creates the Event. Two conditions differ:

| condition       | Event                                                                                          |
|-----------------|------------------------------------------------------------------------------------------------|
| Connected       | also with an unchanged status, because a person has to do something else: when TROUBLE follows |
|                 | another nature (ClusterDeleting, ClusterCreating), and when ClusterGone follows any reason.    |
|                 | No other TROUBLE after TROUBLE creates one, since some reasons alternate                       |
| Ready: True     | Normal                                                                                         |
| Ready: not True | Warning if no other condition has the reason (`Trait.ALONE`), also when only the reason changes|

Pure: no I/O, no clock.
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
    value, reason = condition.reason, Reason.known(condition.reason)
    changed = before is None or before.status != condition.status
    if condition.type == "Ready" and condition.status != "True":
        alone = reason is not None and Trait.ALONE in reason.traits
        return "Warning" if alone and (changed or (before is not None and before.reason != value)) else None
    turned = before is not None and condition.type == "Connected" and _turned(before.reason, value)
    if not (changed or turned) or reason is Reason.STATUS_FAILED:  # Ready reports it
        return None
    if condition.type == "Ready":
        return "Normal"
    if condition.status != ("True" if condition.type in BAD else "False"):
        return None
    return _TYPES.get(reason.nature_in(condition.type)) if reason is not None else "Warning"


def _turned(before: str, value: str) -> bool:
    """Whether a person has to do something else now, although the status is the same."""
    return before != value and _is_trouble(value) and (not _is_trouble(before) or value == Reason.CLUSTER_GONE)


def _is_trouble(value: str) -> bool:
    reason = Reason.known(value)
    return reason is not None and reason.nature is Nature.TROUBLE
