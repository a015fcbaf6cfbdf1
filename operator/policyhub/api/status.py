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
    """Which aspect, in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    observed_generation: Count | None = None
    """The metadata.generation that the condition was judged by."""
    last_transition_time: Time
    """When the status last changed."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)]
    """Why, in one CamelCase word that is safe to match."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, for people: what was found, and what mends it."""


class Hub(Model):
    """The Security Hub that the findings go to, after the operator's settings have filled what the spec leaves out."""

    account_id: AccountId
    """AWS account of the findings."""
    region: Region
    """Region of the findings."""


class Findings(Model):
    """How many findings of this cluster there are. A number that is not known yet is left out."""

    active: Count | None = None
    """Findings that should be active in Security Hub now."""
    pending: Count | None = None
    """Changes that Security Hub has not confirmed yet: 0 means that it holds what the cluster says. In mode DryRun:
    what mode Sync would send."""
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
    """Since when the oldest of the pending changes waits. Written once a minute at most."""
    held: Count | None = None
    """Findings that nothing calls for any more and that are not archived yet, because the evidence is not enough."""
    open: Count | None = None
    """Findings active in Security Hub that no analyst has taken up: workflow status NEW."""
    notified: Count | None = None
    """Findings active in Security Hub with workflow status NOTIFIED."""
    suppressed: Count | None = None
    """Findings active in Security Hub with workflow status SUPPRESSED."""
    resolved: Count | None = None
    """Findings active in Security Hub, since the violation is still there, with workflow status RESOLVED."""
    past_sla: Count | None = None
    """Violations that are older than the SLA of their severity; suppressed ones are left out."""
    triage_read: Time | None = None
    """When the last complete reading of Security Hub began: what analysts have done since is not seen yet."""


class WouldSend(Model):
    """What mode Sync would send now. Only in mode DryRun, once the cluster and Security Hub have been read."""

    create: Count
    """Findings that Security Hub does not have."""
    reopen: Count
    """Findings that it has as archived, and that would become active again."""
    update: Count
    """Findings that read otherwise there, or that it would soon forget."""
    archive: Count
    """Active findings whose violation is gone, as far as the evidence allows it now."""


class Source(Model):
    """One resource of the monitored cluster that is read."""

    resource: Annotated[str, Field(min_length=1, max_length=317)]
    """Resource, version and API group, such as policyreports.v1alpha2.wgpolicyk8s.io."""
    objects: Count | None = None
    """How many objects there are."""
    last_listed: Time | None = None
    """When all of them were last listed."""
    newest_result: Time | None = None
    """The newest time that an engine gave any of them. One that stands still means an engine that has stopped."""
    state: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)] | None = None
    """Watching when all is well; else one CamelCase word for what is not, such as Listing, ListingForbidden,
    Unreachable or Vanished. Nothing is archived on the word of a source that is not being watched."""


class Status(Model):
    """What the operator has found and done."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The metadata.generation that the operator last acted on; -1 before it has seen the object."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32, json_schema_extra=map_list("type"))] = ()
    """Ready: all is well, or its reason names the first thing that is not; DryRun means that all is well and nothing is
    sent. Connected: the cluster's API server answers. HubReachable: Security Hub takes findings. InSync: it holds what
    the cluster says. SourcesComplete: every source that the cluster serves has been listed in full. InputAccepted: all
    that the reports say was understood and taken. EnginesReporting: a policy engine is served, each reports as often as
    it should, and no constraint cuts its list. ArchiveHeld, good when False: an engine has lost so many findings at
    once that none of them is archived before somebody approves, or they come back. IdentityConflict, good when False:
    another cluster or MonitoredCluster uses this one's identity, or this cluster has findings under another; the reason
    says whether this one goes on. All Unknown with the reason StatusFailed: the status could not be told."""
    identity: Annotated[str, Field(max_length=253)] | None = None
    """The cluster's identity in the ids of its findings: clusterArn, or this object's name."""
    cluster_uid: Annotated[str, Field(max_length=64)] | None = None
    """Uid of the monitored cluster's kube-system namespace: findings of another cluster of the same name are not
    touched."""
    eks_arn: Annotated[str, Field(max_length=200)] | None = None
    """ARN under which EKS named the API server that told clusterUid. Only that cluster's findings can be archived when
    EKS no longer has a cluster of this ARN."""
    hub: Hub | None = None
    last_heartbeat_time: Time | None = None
    """When this status was last written: at least every 3 minutes, also when nothing has changed. If it is much older,
    what this status says may be true no longer."""
    findings: Findings | None = None
    would_send: WouldSend | None = None
    sources: Annotated[tuple[Source, ...], Field(max_length=1024, json_schema_extra=map_list("resource"))] = ()
    """Resources that are read, one entry each: those that are not well first, at most 50."""


def status_patch(status: Status) -> dict[str, Any]:
    """The body of a merge patch of the status subresource. None becomes null, which removes the field."""
    return {"status": status.model_dump(mode="json", by_alias=True)}
