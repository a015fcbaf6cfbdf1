"""ClusterDiscovery (policyhub.dev/v1alpha1): where to look for EKS clusters, and the template of their
MonitoredClusters.

Discovery creates MonitoredClusters and never changes or deletes one. So a change of the template applies only to
clusters that are found later, and the template has no transition rules.

Pure: no I/O, no clock.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from policyhub.api.model import SET_LIST, Model, map_list, rules
from policyhub.api.monitoredcluster import Metadata
from policyhub.api.partitions import REGIONS
from policyhub.api.scalar import (
    PARTITIONS,
    AccountId,
    ClusterArn,
    Count,
    ExternalId,
    ObjectName,
    Region,
    RoleArn,
    Time,
)
from policyhub.api.status import Condition

KIND = "ClusterDiscovery"
PLURAL = "clusterdiscoveries"
DISCOVERED_BY = "policyhub.dev/discovered-by"
"""Label of the MonitoredClusters that a ClusterDiscovery created; its value is the name of the ClusterDiscovery."""
SHOWN = 500
"""Clusters that a status lists at most."""

TagKey = Annotated[str, Field(min_length=1, max_length=128)]
TagValue = Annotated[str, Field(max_length=256)]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", max_length=63)]
TemplateSpec = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-template": True})]
"""Not validated here: the API server has validated it in the ClusterDiscovery, and validates the MonitoredCluster
again. `crd` derives its schema from that of a MonitoredCluster.
"""

_OWN_ROLE = "roleArn must be a role of the account in accountId: only its identities may list its clusters"
_EXTERNAL = "externalId is used only with roleArn: set roleArn too"
_VALUES = "In and NotIn need values, Exists and DoesNotExist must have none"
_NAMED = "namePattern must contain {name}: otherwise several clusters would get the same name"
_REPORTED = "|".join(REGIONS[name] for name in PARTITIONS.split("|"))
_OF_A_PARTITION = re.compile(_REPORTED)
_OF_NO_PARTITION = f"only Regions of the partitions {', '.join(PARTITIONS.split('|'))} are supported: remove the others"
_OWN_LABEL = f"discovery sets the label {DISCOVERED_BY}: remove it"


class Account(Model):
    """An AWS account to search for EKS clusters."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.roleArn) || self.roleArn.split(':')[4] == self.accountId", _OWN_ROLE),
            ("!has(self.externalId) || has(self.roleArn)", _EXTERNAL),
        )
    )

    account_id: AccountId
    """The account id, 12 digits in quotes."""
    role_arn: RoleArn | None = None
    """IAM role of this account that the operator assumes to list and describe clusters. New MonitoredClusters get it as
    spec.connection.eks.roleArn, so the operator also signs in to the clusters with it. Without it, the operator uses
    its own AWS identity for both, which must then belong to this account."""
    external_id: ExternalId | None = None
    """External id that the role's trust policy requires."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.role_arn is not None and self.role_arn.split(":")[4] != self.account_id:
            raise ValueError(_OWN_ROLE)
        if self.external_id is not None and self.role_arn is None:
            raise ValueError(_EXTERNAL)
        return self


class TagRequirement(Model):
    """A requirement on one tag."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", _VALUES)
        )
    )

    key: TagKey
    """Key of the tag."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """In: the tag has one of the values. NotIn: it has another value, or does not exist. Exists, DoesNotExist:
    regardless of the value."""
    values: Annotated[tuple[TagValue, ...], Field(max_length=50, json_schema_extra=SET_LIST)] = ()
    """Values of the tag, for In and NotIn."""

    @model_validator(mode="after")
    def _with_values(self) -> Self:
        if (self.operator in {"In", "NotIn"}) != bool(self.values):
            raise ValueError(_VALUES)
        return self


class TagSelector(Model):
    """Tags that a cluster must have. It must meet all requirements. An empty selector selects every cluster."""

    match_tags: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = Field(default_factory=dict)
    """Tags with exactly these values."""
    match_expressions: Annotated[
        tuple[TagRequirement, ...], Field(max_length=50, json_schema_extra=map_list("key"))
    ] = ()
    """More requirements, one for each tag key."""


class TemplateMetadata(Model):
    """Metadata of new MonitoredClusters."""

    labels: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=317)], LabelValue],
        Field(max_length=32, json_schema_extra=rules((f"!('{DISCOVERED_BY}' in self)", _OWN_LABEL))),
    ] = Field(default_factory=dict)
    """Labels, such as those in an operator's watchSelector."""


class Template(Model):
    """Template of new MonitoredClusters. A change applies only to clusters that are found later: discovery never
    changes an existing MonitoredCluster.
    """

    metadata: TemplateMetadata = TemplateMetadata()
    spec: TemplateSpec = Field(default_factory=dict)
    """The spec of a MonitoredCluster without clusterArn and connection, which discovery sets for each cluster. Unset
    fields get the defaults of a MonitoredCluster."""


class DiscoverySpec(Model):
    """Where to search for clusters, which ones to select, and the template of their MonitoredClusters."""

    accounts: Annotated[
        tuple[Account, ...], Field(min_length=1, max_length=256, json_schema_extra=map_list("accountId"))
    ]
    """AWS accounts to search. An account that does not answer does not delay the others."""
    regions: Annotated[
        tuple[Region, ...],
        Field(
            min_length=1,
            max_length=40,
            json_schema_extra={
                **SET_LIST,
                **rules((f"self.all(region, region.matches('^({_REPORTED})$'))", _OF_NO_PARTITION)),
            },
        ),
    ]
    """Regions to search in each account."""
    tag_selector: TagSelector = TagSelector()
    """Tags of the EKS clusters to select. Without it, every cluster is selected."""
    name_pattern: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9.-]|\{name\}|\{region\}|\{account\})+$",
            min_length=1,
            max_length=128,
            json_schema_extra=rules(("self.contains('{name}')", _NAMED)),
        ),
    ] = "{name}-{region}-{account}"
    """Name of the MonitoredCluster of a cluster. {name}, {region} and {account} are replaced by those of the cluster:
    its name in lower case, with hyphens instead of underscores. If the name is in use, no MonitoredCluster is
    created."""
    template: Template = Template()

    @model_validator(mode="after")
    def _named(self) -> Self:
        if "{name}" not in self.name_pattern:
            raise ValueError(_NAMED)
        if not all(_OF_A_PARTITION.fullmatch(region) for region in self.regions):
            raise ValueError(_OF_NO_PARTITION)
        return self


class FoundCluster(Model):
    """One EKS cluster."""

    arn: ClusterArn
    """ARN of the cluster."""
    state: Literal["Made", "Skipped", "Gone"]
    """Made: this ClusterDiscovery created its MonitoredCluster, which still exists. Skipped: this ClusterDiscovery has
    created none. Gone: EKS no longer has the cluster; its MonitoredCluster stays."""
    monitored_cluster: ObjectName | None = None
    """Name of its MonitoredCluster."""
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
    """Reason for the state, in one CamelCase word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Details for people, if the reason alone is not enough."""


class SearchedPlace(Model):
    """One account in one Region."""

    name: Annotated[str, Field(max_length=64)]
    """Account and Region, such as 444455556666/eu-west-1."""
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
    """Listed, or the reason why the clusters could not be listed."""
    clusters: Count | None = None
    """Number of clusters in the last listing, regardless of their tags."""
    last_listed: Time | None = None
    """When EKS last listed all clusters."""


class DiscoveryStatus(Model):
    """Results of the searches."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The metadata.generation that the operator last acted on; -1 before it has seen the object."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32, json_schema_extra=map_list("type"))] = ()
    """Ready: the other conditions are True; otherwise the reason names the first problem. Listed: EKS lists its
    clusters in every account and Region. ClustersMade: every selected cluster has a MonitoredCluster."""
    found: Count | None = None
    """Clusters that EKS lists in these accounts and Regions, regardless of their tags."""
    made: Count | None = None
    """Existing MonitoredClusters that this ClusterDiscovery created."""
    skipped: Count | None = None
    """Clusters for which this ClusterDiscovery created none; `clusters` has the reasons."""
    gone: Count | None = None
    """Clusters that EKS no longer has, but whose MonitoredCluster still exists."""
    places: Annotated[tuple[SearchedPlace, ...], Field(max_length=64, json_schema_extra=map_list("name"))] = ()
    """Accounts and Regions, at most 50: those that could not be listed first."""
    clusters: Annotated[tuple[FoundCluster, ...], Field(max_length=1024, json_schema_extra=map_list("arn"))] = ()
    """Clusters, at most 500: first those that are gone, then those that need action."""


class ClusterDiscovery(Model):
    """Searches AWS accounts and Regions for EKS clusters, and creates a MonitoredCluster for each selected one."""

    api_version: str = "policyhub.dev/v1alpha1"
    kind: str = KIND
    metadata: Metadata
    spec: DiscoverySpec
    status: DiscoveryStatus | None = None


def status_patch(status: DiscoveryStatus) -> dict[str, Any]:
    """The body of a merge patch of the status subresource. None becomes null, which removes the field."""
    return {"status": status.model_dump(mode="json", by_alias=True)}
