"""The status of a MonitoredCluster: a summary for admins, and conditions for tools that wait.

Conditions follow the Kubernetes API conventions: Ready sums up the others, and its reason is the first problem. An
unknown number is omitted, never 0. Pure: no I/O, no clock.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from policyhub.api.model import Model, map_list
from policyhub.api.scalar import AccountId, Count, Region, Time

ConditionType = Literal[
    "Ready",
    "Connected",
    "HubReachable",
    "InSync",
    "SourcesComplete",
    "OwnersKnown",
    "PoliciesKnown",
    "EnginesReporting",
    "InputAccepted",
    "ArchiveHeld",
    "IdentityConflict",
]


class Condition(Model):
    """One aspect of the state, in the shape that kubectl wait and GitOps tools read."""

    type: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            max_length=316,
        ),
    ]
    """Type of the condition, in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """Status of the condition."""
    observed_generation: Count | None = None
    """The metadata.generation that the condition is based on."""
    last_transition_time: Time
    """When the status last changed."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)]
    """Reason for the status: one CamelCase word that scripts can match."""
    message: Annotated[str, Field(max_length=32768)]
    """Details for people: what happened, what it means, and what to do."""


class Hub(Model):
    """The Security Hub of the findings. The operator's settings fill in what the spec does not set."""

    account_id: AccountId
    """AWS account of the findings."""
    region: Region
    """Region of the findings."""


class Findings(Model):
    """Numbers of this cluster's findings. A number that is not known yet is omitted."""

    active: Count | None = None
    """Findings that should be active in Security Hub now."""
    pending: Count | None = None
    """Changes that Security Hub has not confirmed yet. 0: Security Hub matches the cluster. In mode DryRun: changes
    that mode Sync would send."""
    critical: Count | None = None
    """Active findings of severity CRITICAL."""
    high: Count | None = None
    """Active findings of severity HIGH."""
    medium: Count | None = None
    """Active findings of severity MEDIUM."""
    low: Count | None = None
    """Active findings of severity LOW."""
    informational: Count | None = None
    """Active findings of severity INFORMATIONAL."""
    oldest_pending: Time | None = None
    """When the oldest pending change began to wait. Updated at most once a minute."""
    held: Count | None = None
    """Findings that are no longer reported but not archived yet, because the evidence that the violation is gone is not
    sufficient."""
    open: Count | None = None
    """Active findings in Security Hub that no analyst has processed yet: workflow status NEW."""
    notified: Count | None = None
    """Active findings in Security Hub with workflow status NOTIFIED."""
    suppressed: Count | None = None
    """Active findings in Security Hub with workflow status SUPPRESSED."""
    resolved: Count | None = None
    """Active findings in Security Hub with workflow status RESOLVED. They are active because the violation still
    exists."""
    past_sla: Count | None = None
    """Violations that are older than the SLA of their severity, without suppressed ones."""
    triage_read: Time | None = None
    """When the operator began its last complete read of the findings in Security Hub. Later changes by analysts are not
    counted yet."""


class WouldSend(Model):
    """Changes that mode Sync would send now. Only in mode DryRun, after the cluster and Security Hub have been read."""

    create: Count
    """Findings that Security Hub does not have."""
    reopen: Count
    """Archived findings in Security Hub that would become active again."""
    update: Count
    """Findings whose content in Security Hub differs, or that Security Hub would soon delete."""
    archive: Count
    """Active findings whose violation is gone according to the evidence so far."""


class Source(Model):
    """One resource of the monitored cluster that the operator reads."""

    resource: Annotated[str, Field(min_length=1, max_length=317)]
    """Resource, version and API group, such as policyreports.v1alpha2.wgpolicyk8s.io."""
    objects: Count | None = None
    """Number of objects."""
    last_listed: Time | None = None
    """When all objects were last listed."""
    newest_result: Time | None = None
    """The newest time that an engine wrote into any object. If it stays the same, the engine has stopped."""
    state: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)] | None = None
    """Watching: all objects are listed and watched. Otherwise the reason why not, as one CamelCase word, such as
    Listing, ListingForbidden, Unreachable or Vanished. While a source is not watched, no finding is archived because it
    is missing there."""


class Status(Model):
    """Observed state of the monitored cluster and of its findings."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The metadata.generation that the operator last acted on; -1 before it has seen the object."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32, json_schema_extra=map_list("type"))] = ()
    """Ready: findings are sent and archived as they should be; the reason names the first problem. With the reason
    DryRun there is no problem, and nothing is sent because of spec.mode. Connected: the cluster's API server answers.
    HubReachable: Security Hub accepts findings. InSync: Security Hub matches the cluster. SourcesComplete: every source
    that the cluster serves is listed completely and watched. InputAccepted: the full content of the reports was
    accepted. EnginesReporting: a policy engine is installed, each engine reports as often as it should, and no
    constraint truncates its list. OwnersKnown: the operator knows which Pods belong to which workload. PoliciesKnown:
    it knows the policies' texts. ArchiveHeld, good when False: an engine has lost so many findings at once that none of
    them is archived until the engine reports them again or somebody approves. IdentityConflict, good when False:
    another cluster or MonitoredCluster uses this identity, or this cluster has findings under another identity; the
    reason shows whether findings are still sent. With the reason StatusFailed, Ready is False and the others are
    Unknown: the operator could not report the real status."""
    identity: Annotated[str, Field(max_length=253)] | None = None
    """The cluster's identity in the ids of its findings: clusterArn, or this object's name."""
    cluster_uid: Annotated[str, Field(max_length=64)] | None = None
    """Uid of the monitored cluster's kube-system namespace. Findings with the uid of another cluster are not
    changed. If the cluster is rebuilt, the former uid stays until its findings are taken over."""
    eks_arn: Annotated[str, Field(max_length=200)] | None = None
    """ARN for which EKS gave the address of the API server with clusterUid. When EKS no longer has a cluster of this
    ARN, only findings with this uid can be archived."""
    hub: Hub | None = None
    last_heartbeat_time: Time | None = None
    """When this status was last written: at least every 3 minutes, even if nothing has changed. If it is much older,
    this status may be outdated."""
    findings: Findings | None = None
    would_send: WouldSend | None = None
    sources: Annotated[tuple[Source, ...], Field(max_length=1024, json_schema_extra=map_list("resource"))] = ()
    """Resources that the operator reads, at most 50: those with a problem first."""


def status_patch(status: Status) -> dict[str, Any]:
    """The body of a merge patch of the status subresource. None becomes null, which removes the field."""
    return {"status": status.model_dump(mode="json", by_alias=True)}
