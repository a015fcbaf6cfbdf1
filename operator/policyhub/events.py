"""Which changes of a condition make an Event on the MonitoredCluster, and of which type: one table, by reason.

| a reason of       | while the condition is not well           | example                                            |
|-------------------|-------------------------------------------|----------------------------------------------------|
| `TROUBLE`         | Warning: something is wrong, a person acts | UnknownRegion, AccessDenied, EngineSilent          |
| `CHOICE`          | Normal: somebody has set it so, or has not | RollUpOff, EnrichmentOff, OwnersKnown/Forbidden,    |
|                   | installed an engine yet                   | NoSourceServed                                     |
| `QUIET`           | none: progress, or another condition says | Listing, Pending, NotConnected; DryRun (Ready says) |
|                   | the same                                  |                                                    |

An Event is made when the status of a condition changes. Connected also makes one while its status stays, when a trouble
follows what was none (ClusterDeleting, ClusterCreating), and for ClusterGone after whatever (`TURN`): what a person has
to do is another thing then. No other trouble that follows a trouble makes one, as some take turns.

That Ready is True is one Normal Event. Ready that is not True makes one only for a reason that no other condition has
(`READY_ALONE`), then also when one such reason follows another. A reason that is in no table is trouble: better one
Event too many. A test has every reason that the code can give decided. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Literal

from policyhub.api.status import Condition

EventType = Literal["Normal", "Warning"]

BAD = frozenset({"IdentityConflict", "ArchiveHeld"})
"""Conditions that are good when False."""

READY_ALONE = frozenset(
    {"InvalidSpec", "UnknownRegion", "AwsConfiguration", "HubNotNamed", "HubChanged", "NotStarted", "StatusFailed"}
)
"""Reasons of Ready while there is no other condition to say it, or none that can."""

TROUBLE = READY_ALONE | frozenset(
    {
        # Connected, and each source
        *("Unreachable", "Unauthorized", "Forbidden", "ApiError", "KubeconfigInvalid"),
        *("DiscoveryFailed", "ListingForbidden", "ListingExpired", "ListingFailed"),
        *("WatchForbidden", "WatchExpired", "WatchFailed", "Vanished", "Fault"),
        # Connected, of EKS clusters
        *("AccessEntryMissing", "ConfigMapOnly", "ClockSkew", "TokenTooLarge"),
        *("EndpointInvalid", "EndpointPrivate", "EndpointRestricted"),
        *("ClusterExternal", "ClusterFailed", "ClusterGone", "ClusterNotFound"),
        # HubReachable
        *("AccessDenied", "AccountMismatch", "NotEnabled", "Misconfigured", "Throttled", "Unavailable", "NotLeader"),
        *("CredentialsMissing", "CredentialsExpired", "CredentialsRejected", "Refused"),
        # InSync
        *("InventoryDelayed", "InventoryUnavailable", "FindingsRejected", "FindingsQuarantined"),
        # EnginesReporting, InputAccepted
        *("EngineSilent", "AuditStale", "NotAudited", "ListsCut"),
        *("LimitExceeded", "ImportsUsedUp", "ReadLater", "NotUnderstood"),
        # ArchiveHeld, IdentityConflict
        *("TooManyLost", "AlsoClaimed", "ForeignFindings", "ClaimedTwice", "OtherCluster"),
        *("TwoIdentities", "OtherIdentity"),
    }
)
CHOICE = frozenset(
    {
        *("RollUpOff", "EnrichmentOff"),  # spec.rollUp, spec.enrichment
        *("ExistenceForbidden", "OwnersKnown/Forbidden", "PoliciesKnown/Forbidden"),  # rbac.* of the chart
        "ClusterDeleting",  # in EKS
        "NoSourceServed",  # the first hour: policyhub is there before the first engine
    }
)
QUIET = frozenset(
    {
        # progress
        *("Starting", "Connecting", "NotVerified", "Discovering", "Listing", "NotRead", "Pending"),
        *("InventoryIncomplete", "ClusterCreating"),
        # another condition says it
        *("NotConnected", "HubUnreachable", "SourcesIncomplete", "DryRun"),
        *("IdentityConflict", "ArchiveHeld", "InputRefused", "OwnersForbidden", "OwnersUnknown", "ClockMoved"),
        # a deletion, which policyhub.leaving announces itself
        *("Retiring", "RetireFailed", "Deleted"),
        # well
        *("AllWell", "Connected", "Reachable", "Complete", "SupersededReports", "InSync", "Watched", "Reporting"),
        *("AllAccepted", "NothingHeld", "NoConflict"),
    }
)

TURN = frozenset({"ClusterGone"})

_TABLE: Mapping[str, EventType | None] = {
    **dict.fromkeys(TROUBLE, "Warning"),
    **dict.fromkeys(CHOICE, "Normal"),
    **dict.fromkeys(QUIET),
}


def decided(type_: str, reason: str) -> bool:
    """Whether the table has it."""
    return f"{type_}/{reason}" in _TABLE or reason in _TABLE


def event_type(condition: Condition, before: Condition | None) -> EventType | None:
    """Of the Event that this condition makes after the one that was written last; None: it makes none."""
    reason = condition.reason
    changed = before is None or before.status != condition.status
    if condition.type == "Ready" and condition.status != "True":
        if reason in READY_ALONE and (changed or (before is not None and before.reason != reason)):
            return "Warning"
        return None
    turned = before is not None and condition.type == "Connected" and _turned(before.reason, reason)
    if not (changed or turned) or reason == "StatusFailed":  # Ready says that one
        return None
    if condition.type == "Ready":
        return "Normal"
    if condition.status != ("True" if condition.type in BAD else "False"):
        return None
    return _TABLE.get(f"{condition.type}/{reason}", _TABLE.get(reason, "Warning"))


def _turned(before: str, reason: str) -> bool:
    """Whether another thing is to be done, though the status is the same."""
    return before != reason and reason in TROUBLE and (before not in TROUBLE or reason in TURN)
