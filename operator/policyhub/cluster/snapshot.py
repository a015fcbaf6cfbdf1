"""All that the status of one monitored cluster is made of, as it was at one moment.

It is taken by `policyhub.cluster.capture` and read by `policyhub.cluster.conditions`, which needs no cluster to be
tested. Pure: no I/O, no clock.
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
    """Why it is not whole and live; None: it is."""
    objects: int | None = None
    last_listed: WallMs = UNDATED
    """UNDATED: never."""
    newest: int = 0
    """The newest time (Unix s) that any object named; 0 none."""
    vanished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginesSeen:
    """What the engines have written, but for those that are excluded; all times in Unix seconds."""

    newest: Mapping[str, int] = field(default_factory=dict)
    """Engine → the newest time that it gave any result in a report."""
    audited: int = 0
    """When Gatekeeper's last audit began; 0: none yet."""
    audits: int = 0
    """Constraints that have been audited."""
    unaudited: Mapping[str, int] = field(default_factory=dict)
    """Constraints without an audit → when they were made; 0: not known."""
    unlisted: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Constraint → violations that its list has, and that it leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedSummary:
    """Objects whose controller cannot be verified."""

    objects: int
    namespaces: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersSeen:
    """What is known of Pods' owners and controllers."""

    watched: bool = True
    """False: not begun yet."""
    faults: tuple[Cause, ...] = ()
    unverified_owners: UnverifiedSummary | None = None
    unasked: tuple[str, ...] = ()
    """Kinds of objects and policies of which the API server may not be asked whether one exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesSeen:
    """What is known of policies."""

    kinds: int = 0
    """That are listed and watched."""
    settled: bool = True
    """Whether all that there is to know was known once, or was given up."""
    faults: Mapping[str, Cause] = field(default_factory=dict)
    """By origin or API group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Findings of this identity that another cluster wrote."""

    number: int
    uid: str
    """Of the cluster that wrote the example, or most of them; empty: none was named."""
    example: str = ""
    """An id."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Another MonitoredCluster of the same cluster."""

    name: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """Active findings of the same cluster under other identities: the first page of them."""

    numbers: Mapping[str, int]
    """By identity."""
    more: bool = False
    """Whether more pages follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the ledger says."""

    cluster_uid: str = ""
    active: Mapping[str, int] = field(default_factory=dict)
    """By severity."""
    triage: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By workflow status and severity."""
    pending: int = 0
    oldest_pending: SteadyMs | None = None
    """Since when it waits."""
    rejected: int = 0
    held: int = 0
    mode_holds: int = 0
    """Those that mode NoArchive holds."""
    reports_listed: bool = True
    """Whether every report API has been listed."""
    superseded: tuple[tuple[str, str], ...] = ()
    """(Source, API group) of reports that an engine left behind."""
    refused: tuple[NamespaceRefusals, ...] = ()
    """What of the reports could not be taken, by namespace."""
    late: tuple[str, ...] = ()
    """Namespaces whose reports are written faster than they are read."""
    exhausted: tuple[str, ...] = ()
    """Namespaces whose imports of the day are used up."""
    quarantined: int = 0
    """Findings that are not sent, since their ids are another cluster's."""
    conflict: Foreign | None = None
    """Many of them: another cluster is at work, and nothing is sent."""
    foreign: Foreign | None = None
    """A few of them: all else goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One MonitoredCluster. None stands for what is well, or not known."""

    name: str
    identity: str
    account: str
    region: str
    cluster_uid: str = ""
    eks_arn: str = ""
    """Under which EKS named the API server that told it; empty: it was reached in another way."""
    wall: WallMs = UNDATED
    """When it was taken."""
    adopts: str = ""
    """The annotation that takes over another cluster's findings."""
    mode: str = "Sync"
    roll_up: bool = True
    enrichment: bool = True
    connection: Cause | None = None
    hub: Cause | None = None
    """Why the hub takes or tells nothing now; shared by all clusters that write there."""
    account_fault: Cause | None = None
    reading: Cause | None = None
    discovery: Cause | None = None
    inventory: Cause | None = None
    inventory_at: WallMs = UNDATED
    """When the last complete inventory began; UNDATED: none is complete."""
    past_sla: int | None = None
    clock_moved: int = 0
    """By how much (ms) the wall clock was moved within the last hour; 0: it was not."""
    claimed_twice: str = ""
    rivals: tuple[str, ...] = ()
    twins: tuple[Twin, ...] = ()
    """Other MonitoredClusters that send findings of the same cluster to the same hub, under another identity."""
    aliases: Aliases | None = None
    """Findings of the same cluster that Security Hub has active under another identity; None: none were found."""
    unlisted: bool = False
    sources: tuple[SourceSeen, ...] = ()
    source_faults: Mapping[str, Cause] = field(default_factory=dict)
    """By origin or API group."""
    engines: EnginesSeen = field(default_factory=EnginesSeen)
    kept: int = 0
    """Findings of constraint kinds that are no longer served."""
    owners: OwnersSeen = field(default_factory=OwnersSeen)
    policies: PoliciesSeen | None = field(default_factory=PoliciesSeen)
    guarded: Mapping[str, GuardHold] = field(default_factory=dict)
    """The engines whose losses are held until somebody approves, with the numbers."""
    preview: Mapping[Change, int] | None = None
    """In mode DryRun: what would be sent. None: not counted yet, or another mode."""
    findings: Findings | None = field(default_factory=Findings)
    """None before the cluster has told who it is."""
