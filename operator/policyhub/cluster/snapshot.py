"""Everything from which the status of one monitored cluster is built, at one moment.

`policyhub.cluster.capture` takes it, and `policyhub.cluster.conditions` reads it, so tests of the conditions need no
cluster. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policyhub.api.reason import Cause, Reason
from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.sync.guard import GuardHold
from policyhub.sync.plan import Change
from policyhub.sync.refusals import NamespaceRefusals


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSeen:
    """One source API that is or was served."""

    name: str
    """Resource, version and API group, such as policyreports.v1alpha2.wgpolicyk8s.io."""
    state: Reason | None = None
    """Why it is not listed completely and watched; None: it is."""
    objects: int | None = None
    last_listed: WallMs = UNDATED
    """UNDATED: never."""
    newest: int = 0
    """The newest time (Unix s) in any object; 0: none."""
    vanished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginesSeen:
    """What the engines have written, without excluded ones; all times are Unix seconds."""

    newest: Mapping[str, int] = field(default_factory=dict)
    """Engine → the newest time of a result in its reports."""
    audited: int = 0
    """When Gatekeeper's last audit began; 0: none yet."""
    audits: int = 0
    """Number of constraints that have been audited."""
    unaudited: Mapping[str, int] = field(default_factory=dict)
    """Constraint without an audit → when it was created; 0: not known."""
    unlisted: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Constraint → number of violations in its list, and of those that it omits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedSummary:
    """Objects whose controller cannot be verified."""

    objects: int
    namespaces: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersSeen:
    """What is known of the owners and controllers of Pods."""

    watched: bool = True
    """False: watching has not begun."""
    faults: tuple[Cause, ...] = ()
    unverified_owners: UnverifiedSummary | None = None
    unchecked_kinds: tuple[str, ...] = ()
    """Kinds of objects and policies whose existence the operator may not look up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesSeen:
    """What is known of policies."""

    kinds: int = 0
    """Number of kinds that are listed and watched."""
    settled: bool = True
    """Whether every kind was listed once, or was given up."""
    faults: Mapping[str, Cause] = field(default_factory=dict)
    """By group resource or API group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Findings of this identity that another cluster wrote."""

    number: int
    uid: str
    """Of the cluster that wrote the example, or most of the findings; empty: they carry no uid."""
    example: str = ""
    """The id of one of them."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Another MonitoredCluster for the same cluster."""

    name: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """Active findings of the same cluster under other identities, from the first page that has any."""

    numbers: Mapping[str, int]
    """Identity → number of findings."""
    more: bool = False
    """Whether more pages follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The state of the ledger."""

    cluster_uid: str = ""
    active: Mapping[str, int] = field(default_factory=dict)
    """By severity."""
    triage: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By workflow status and severity."""
    pending: int = 0
    oldest_pending: SteadyMs | None = None
    """Since when the oldest pending finding has waited; None: none is pending."""
    rejected: int = 0
    held: int = 0
    mode_holds: int = 0
    """How many of `held` wait because of mode NoArchive."""
    reports_listed: bool = True
    """Whether every report API has been listed."""
    superseded: tuple[tuple[str, str], ...] = ()
    """(Source, API group) of superseded reports: their engine no longer updates them."""
    refused: tuple[NamespaceRefusals, ...] = ()
    """Content of reports and constraints that was not accepted, by namespace."""
    late: tuple[str, ...] = ()
    """Namespaces whose reports are written faster than they are read."""
    exhausted: tuple[str, ...] = ()
    """Namespaces that have used up their imports of the day."""
    quarantined: int = 0
    """Number of findings that are not sent, because their ids are another cluster's."""
    conflict: Foreign | None = None
    """Many of another cluster's findings: nothing is sent."""
    foreign: Foreign | None = None
    """A few of another cluster's findings: all others are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One MonitoredCluster. None, for a cause: there is no problem, or it is not known."""

    name: str
    identity: str
    account: str
    region: str
    cluster_uid: str = ""
    eks_arn: str = ""
    """The ARN for which EKS gave the address of the API server that has this uid; empty: EKS did not."""
    wall: WallMs = UNDATED
    """When the snapshot was taken."""
    adopts: str = ""
    """The value of the annotation that takes over another cluster's findings."""
    mode: str = "Sync"
    roll_up: bool = True
    enrichment: bool = True
    connection: Cause | None = None
    hub: Cause | None = None
    """Why the hub accepts or returns nothing now; shared by all clusters that write there."""
    account_fault: Cause | None = None
    reading: Cause | None = None
    discovery: Cause | None = None
    inventory: Cause | None = None
    inventory_at: WallMs = UNDATED
    """When the last complete inventory began; UNDATED: none is complete."""
    past_sla: int | None = None
    clock_moved: int = 0
    """By how much (ms) the wall clock was changed within the last hour; 0: it was not."""
    claimed_twice: str = ""
    rivals: tuple[str, ...] = ()
    twins: tuple[Twin, ...] = ()
    """Other MonitoredClusters that send findings of the same cluster to the same hub, under another identity."""
    aliases: Aliases | None = None
    """Active findings of the same cluster under another identity in Security Hub; None: none were found."""
    unlisted: bool = False
    restarts: bool = False
    sources: tuple[SourceSeen, ...] = ()
    source_faults: Mapping[str, Cause] = field(default_factory=dict)
    """By source API or API group."""
    engines: EnginesSeen = field(default_factory=EnginesSeen)
    kept: int = 0
    """Number of findings of constraint kinds that are no longer served."""
    owners: OwnersSeen = field(default_factory=OwnersSeen)
    policies: PoliciesSeen | None = field(default_factory=PoliciesSeen)
    guarded: Mapping[str, GuardHold] = field(default_factory=dict)
    """Engines whose losses are held until an admin approves them, with the numbers."""
    preview: Mapping[Change, int] | None = None
    """In mode DryRun: what would be sent. None: not counted yet, or another mode."""
    findings: Findings | None = field(default_factory=Findings)
    """None: the uid of the cluster is not known yet."""
