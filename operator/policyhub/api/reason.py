"""Every reason that a condition can have, and what follows from each.

docs/conditions.md and docs/discovery.md explain exactly these members; a test compares them.

Another version may have written a status with a reason that is not among them. Models read from an API server keep it
as text (`Condition.reason`), and `Reason.known` returns its member, if this version has one. An error code of AWS, an
API server or a library is never a reason: it belongs into the message. Pure: no I/O, no clock.
"""

from dataclasses import dataclass
from enum import Enum, Flag, StrEnum, auto
from typing import Literal, Self

ConditionStatus = Literal["True", "False", "Unknown"]


class Nature(Enum):
    """Who has to act."""

    WELL = auto()
    """Nobody has to do anything."""
    PROGRESS = auto()
    """It ends by itself."""
    ELSEWHERE = auto()
    """Another condition, or an Event of its own, reports it."""
    CHOICE = auto()
    """Configured this way, or no engine is installed yet."""
    TROUBLE = auto()
    """Something is wrong: a person has to act."""


class Trait(Flag):
    """Further properties of some reasons."""

    NONE = 0
    ALONE = auto()
    """A reason of Ready alone: no other condition exists yet, or none covers it."""
    BESIDE = auto()
    """A reason of IdentityConflict. Ready has it too, and stays True."""
    ADVISED = auto()
    """Its cause or message already says what to do, so `policyhub.cluster.remedies` has no entry."""
    UNSEEN = auto()
    """The resource is not served, or listing or watching it is forbidden: its objects are unknown."""
    CREDENTIALS = auto()
    """Other credentials from the same source may fix it."""
    UNMADE = auto()
    """A selected EKS cluster gets no MonitoredCluster until a person acts, or AWS or the API server answers."""


_WELL, _PROGRESS, _ELSEWHERE, _CHOICE, _TROUBLE = Nature
_ALONE, _BESIDE, _ADVISED, _UNSEEN, _CREDENTIALS, _UNMADE = Trait


class Reason(StrEnum):
    """The value of a member is the reason in the API. It never changes."""

    status: ConditionStatus
    """The status of a condition with this reason, unless the condition decides otherwise."""
    nature: Nature
    traits: Trait

    def __new__(cls, value: str, status: ConditionStatus, nature: Nature, traits: Trait = Trait.NONE) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.status, member.nature, member.traits = status, nature, traits
        return member

    # Ready
    ALL_WELL = "AllWell", "True", _WELL
    ARCHIVE_HELD = "ArchiveHeld", "True", _ELSEWHERE, _ADVISED
    INPUT_REFUSED = "InputRefused", "True", _ELSEWHERE, _ADVISED
    OWNERS_FORBIDDEN = "OwnersForbidden", "True", _ELSEWHERE, _ADVISED
    OWNERS_UNKNOWN = "OwnersUnknown", "False", _ELSEWHERE, _ADVISED
    CLOCK_MOVED = "ClockMoved", "True", _ELSEWHERE, _ADVISED
    INVALID_SPEC = "InvalidSpec", "False", _TROUBLE, _ALONE
    HUB_NOT_NAMED = "HubNotNamed", "False", _TROUBLE, _ALONE | _ADVISED
    AWS_CONFIGURATION = "AwsConfiguration", "False", _TROUBLE, _ALONE
    UNKNOWN_REGION = "UnknownRegion", "False", _TROUBLE, _ALONE | _ADVISED
    HUB_CHANGED = "HubChanged", "False", _TROUBLE, _ALONE | _ADVISED
    NOT_STARTED = "NotStarted", "False", _TROUBLE, _ALONE | _ADVISED
    STATUS_FAILED = "StatusFailed", "False", _TROUBLE, _ALONE | _ADVISED
    STARTING = "Starting", "False", _PROGRESS
    RETIRING = "Retiring", "False", _ELSEWHERE, _ADVISED  # these three: policyhub.control.deletion and finalization
    RETIRE_FAILED = "RetireFailed", "False", _ELSEWHERE, _ADVISED
    DELETED = "Deleted", "False", _ELSEWHERE, _ADVISED

    # Connected, and each source
    CONNECTED = "Connected", "True", _WELL
    CONNECTING = "Connecting", "Unknown", _PROGRESS
    UNREACHABLE = "Unreachable", "False", _TROUBLE
    UNAUTHORIZED = "Unauthorized", "False", _TROUBLE
    FORBIDDEN = "Forbidden", "False", _TROUBLE
    API_ERROR = "ApiError", "False", _TROUBLE
    KUBECONFIG_INVALID = "KubeconfigInvalid", "False", _TROUBLE, _ADVISED

    # Connected, of EKS clusters: policyhub.eks writes the commands for the cluster into the message
    ACCESS_ENTRY_MISSING = "AccessEntryMissing", "False", _TROUBLE, _ADVISED
    CLOCK_SKEW = "ClockSkew", "False", _TROUBLE, _ADVISED
    CLUSTER_CREATING = "ClusterCreating", "False", _PROGRESS, _ADVISED
    CLUSTER_DELETING = "ClusterDeleting", "False", _CHOICE, _ADVISED
    CLUSTER_EXTERNAL = "ClusterExternal", "False", _TROUBLE, _ADVISED
    CLUSTER_FAILED = "ClusterFailed", "False", _TROUBLE, _ADVISED
    CLUSTER_GONE = "ClusterGone", "False", _TROUBLE, _ADVISED
    CLUSTER_NOT_FOUND = "ClusterNotFound", "False", _TROUBLE, _ADVISED
    CONFIG_MAP_ONLY = "ConfigMapOnly", "False", _TROUBLE, _ADVISED
    ENDPOINT_INVALID = "EndpointInvalid", "False", _TROUBLE, _ADVISED
    ENDPOINT_PRIVATE = "EndpointPrivate", "False", _TROUBLE, _ADVISED
    ENDPOINT_RESTRICTED = "EndpointRestricted", "False", _TROUBLE, _ADVISED
    TOKEN_TOO_LARGE = "TokenTooLarge", "False", _TROUBLE, _ADVISED

    # HubReachable, and errors of AWS in Connected and ClusterDiscovery: policyhub.securityhub.advice says what to do
    REACHABLE = "Reachable", "True", _WELL
    NOT_VERIFIED = "NotVerified", "Unknown", _PROGRESS
    ACCESS_DENIED = "AccessDenied", "False", _TROUBLE, _ADVISED
    ACCOUNT_MISMATCH = "AccountMismatch", "False", _TROUBLE, _ADVISED
    CREDENTIALS_EXPIRED = "CredentialsExpired", "False", _TROUBLE, _ADVISED | _CREDENTIALS
    CREDENTIALS_MISSING = "CredentialsMissing", "False", _TROUBLE, _ADVISED | _CREDENTIALS
    CREDENTIALS_REJECTED = "CredentialsRejected", "False", _TROUBLE, _ADVISED | _CREDENTIALS
    MISCONFIGURED = "Misconfigured", "False", _TROUBLE, _ADVISED
    NOT_ENABLED = "NotEnabled", "False", _TROUBLE, _ADVISED
    UNAVAILABLE = "Unavailable", "False", _TROUBLE, _ADVISED
    THROTTLED = "Throttled", "False", _TROUBLE
    NOT_LEADER = "NotLeader", "False", _TROUBLE
    REFUSED = "Refused", "False", _TROUBLE

    # SourcesComplete, OwnersKnown, PoliciesKnown
    COMPLETE = "Complete", "True", _WELL
    SUPERSEDED_REPORTS = "SupersededReports", "True", _WELL
    WATCHED = "Watched", "True", _WELL
    NOT_CONNECTED = "NotConnected", "False", _ELSEWHERE
    DISCOVERING = "Discovering", "Unknown", _PROGRESS
    DISCOVERY_FAILED = "DiscoveryFailed", "False", _TROUBLE
    LISTING = "Listing", "False", _PROGRESS
    LISTING_FORBIDDEN = "ListingForbidden", "False", _TROUBLE, _UNSEEN
    LISTING_EXPIRED = "ListingExpired", "False", _TROUBLE
    LISTING_FAILED = "ListingFailed", "False", _TROUBLE
    WATCH_FORBIDDEN = "WatchForbidden", "False", _TROUBLE, _UNSEEN
    WATCH_EXPIRED = "WatchExpired", "False", _TROUBLE
    WATCH_FAILED = "WatchFailed", "False", _TROUBLE
    VANISHED = "Vanished", "False", _TROUBLE, _UNSEEN
    FAULT = "Fault", "False", _TROUBLE
    ROLL_UP_OFF = "RollUpOff", "False", _CHOICE  # spec.rollUp
    ENRICHMENT_OFF = "EnrichmentOff", "False", _CHOICE  # spec.enrichment
    EXISTENCE_FORBIDDEN = "ExistenceForbidden", "False", _CHOICE, _ADVISED  # rbac.existence of the chart

    # EnginesReporting
    REPORTING = "Reporting", "True", _WELL
    NO_SOURCE_SERVED = "NoSourceServed", "False", _CHOICE  # for an hour: engines may be installed later
    ENGINE_SILENT = "EngineSilent", "False", _TROUBLE, _ADVISED
    AUDIT_STALE = "AuditStale", "False", _TROUBLE
    NOT_AUDITED = "NotAudited", "False", _TROUBLE
    LISTS_CUT = "ListsCut", "False", _TROUBLE
    SOURCES_INCOMPLETE = "SourcesIncomplete", "Unknown", _ELSEWHERE

    # InputAccepted
    ALL_ACCEPTED = "AllAccepted", "True", _WELL
    NOT_READ = "NotRead", "Unknown", _PROGRESS
    LIMIT_EXCEEDED = "LimitExceeded", "False", _TROUBLE
    IMPORTS_USED_UP = "ImportsUsedUp", "False", _TROUBLE
    READ_LATER = "ReadLater", "False", _TROUBLE
    NOT_UNDERSTOOD = "NotUnderstood", "False", _TROUBLE

    # InSync
    IN_SYNC = "InSync", "True", _WELL
    DRY_RUN = "DryRun", "False", _ELSEWHERE
    HUB_UNREACHABLE = "HubUnreachable", "False", _ELSEWHERE
    IDENTITY_CONFLICT = "IdentityConflict", "False", _ELSEWHERE
    INVENTORY_INCOMPLETE = "InventoryIncomplete", "False", _PROGRESS
    INVENTORY_DELAYED = "InventoryDelayed", "False", _TROUBLE
    INVENTORY_UNAVAILABLE = "InventoryUnavailable", "False", _TROUBLE
    FINDINGS_REJECTED = "FindingsRejected", "False", _TROUBLE
    FINDINGS_QUARANTINED = "FindingsQuarantined", "False", _TROUBLE
    PENDING = "Pending", "False", _PROGRESS

    # ArchiveHeld and IdentityConflict: False is good
    NOTHING_HELD = "NothingHeld", "False", _WELL
    TOO_MANY_LOST = "TooManyLost", "True", _TROUBLE, _ADVISED
    NO_CONFLICT = "NoConflict", "False", _WELL
    ALSO_CLAIMED = "AlsoClaimed", "True", _TROUBLE, _ADVISED
    FOREIGN_FINDINGS = "ForeignFindings", "True", _TROUBLE, _ADVISED | _BESIDE
    TWO_IDENTITIES = "TwoIdentities", "True", _TROUBLE, _ADVISED | _BESIDE
    OTHER_IDENTITY = "OtherIdentity", "True", _TROUBLE, _ADVISED | _BESIDE
    CLAIMED_TWICE = "ClaimedTwice", "True", _TROUBLE, _ADVISED
    OTHER_CLUSTER = "OtherCluster", "True", _TROUBLE, _ADVISED | _UNMADE

    # ClusterDiscovery: its conditions, accounts and clusters
    LISTED = "Listed", "True", _WELL
    REGION_OFF = "RegionOff", "False", _TROUBLE, _ADVISED
    ALL_MADE = "AllMade", "True", _WELL
    DESCRIBING = "Describing", "Unknown", _PROGRESS, _ADVISED
    NAME_CLASH = "NameClash", "False", _TROUBLE, _ADVISED | _UNMADE
    INVALID_NAME = "InvalidName", "False", _TROUBLE, _ADVISED | _UNMADE
    NOT_SELECTED = "NotSelected", "False", _TROUBLE, _ADVISED | _UNMADE
    TEMPLATE_REFUSED = "TemplateRefused", "False", _TROUBLE, _ADVISED | _UNMADE
    CREATE_FORBIDDEN = "CreateForbidden", "False", _TROUBLE, _ADVISED | _UNMADE
    NOT_CREATED = "NotCreated", "False", _TROUBLE, _ADVISED | _UNMADE
    NOT_DESCRIBED = "NotDescribed", "False", _TROUBLE, _ADVISED | _UNMADE
    MONITORED = "Monitored", "True", _WELL
    ALREADY_MONITORED = "AlreadyMonitored", "True", _CHOICE, _ADVISED
    TAGS_DIFFER = "TagsDiffer", "True", _CHOICE, _ADVISED
    NOT_LISTED = "NotListed", "True", _PROGRESS, _ADVISED

    @classmethod
    def known(cls, value: str) -> Self | None:
        """The member with this value in the API; None: this version has none."""
        return next((reason for reason in cls if reason.value == value), None)

    @property
    def progress(self) -> bool:
        """Whether the condition changes by itself."""
        return self.nature is Nature.PROGRESS

    @property
    def untried(self) -> bool:
        """Whether the operator has not tried yet, so the state is unknown."""
        return self.progress and self.status == "Unknown"

    def nature_in(self, condition: str) -> Nature:
        """Its nature in a condition of this type: a permission that the chart leaves out is a choice."""
        return Nature.CHOICE if self._is_left_out(condition) else self.nature

    def advised_in(self, condition: str) -> bool:
        """Whether its message says what to do, in a condition of this type."""
        return Trait.ADVISED in self.traits or self._is_left_out(condition)

    def _is_left_out(self, condition: str) -> bool:
        return self is Reason.FORBIDDEN and condition in _OPTIONAL


_OPTIONAL = frozenset({"OwnersKnown", "PoliciesKnown"})
"""Conditions whose permissions are optional values of the chart: rbac.rollUp, rbac.enrichment."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The reason and message of a condition."""

    reason: Reason
    message: str = ""
    remedy: str = ""
    """What to do, if neither the message nor the entry of `policyhub.cluster.remedies` says so."""
