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

_OWN_ROLE = "roleArn must be a role of the account accountId, which alone may list its clusters"
_EXTERNAL = "externalId is for the role that roleArn names: set roleArn too"
_VALUES = "In and NotIn need values, Exists and DoesNotExist take none"
_NAMED = "namePattern needs {name}: clusters must not all get one name"
_REPORTED = "|".join(REGIONS[name] for name in PARTITIONS.split("|"))
_OF_A_PARTITION = re.compile(_REPORTED)
_OF_NO_PARTITION = (
    f"findings can name clusters of the partitions {', '.join(PARTITIONS.split('|'))} only: leave other Regions out"
)
_OWN_LABEL = f"the label {DISCOVERED_BY} is set by discovery itself: leave it out"


class Account(Model):
    """An AWS account whose EKS clusters are looked for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.roleArn) || self.roleArn.split(':')[4] == self.accountId", _OWN_ROLE),
            ("!has(self.externalId) || has(self.roleArn)", _EXTERNAL),
        )
    )

    account_id: AccountId
    """The account, 12 digits in quotes."""
    role_arn: RoleArn | None = None
    """IAM role of this account that the operator assumes to list and describe clusters. MonitoredClusters that are made
    get it as spec.connection.eks.roleArn, so it also signs in to them. Without it, the operator's own AWS identity does
    both, which must then belong to this account."""
    external_id: ExternalId | None = None
    """External id that the role's trust policy asks for."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.role_arn is not None and self.role_arn.split(":")[4] != self.account_id:
            raise ValueError(_OWN_ROLE)
        if self.external_id is not None and self.role_arn is None:
            raise ValueError(_EXTERNAL)
        return self


class TagRequirement(Model):
    """What is asked of one tag."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", _VALUES)
        )
    )

    key: TagKey
    """Key of the tag."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """In: the tag is there with one of the values. NotIn: it is not. Exists, DoesNotExist: whatever its value."""
    values: Annotated[tuple[TagValue, ...], Field(max_length=50, json_schema_extra=SET_LIST)] = ()
    """Values of the tag, for In and NotIn."""

    @model_validator(mode="after")
    def _with_values(self) -> Self:
        if (self.operator in {"In", "NotIn"}) != bool(self.values):
            raise ValueError(_VALUES)
        return self


class TagSelector(Model):
    """Tags that a cluster must have: all that is asked must hold. An empty selector selects every cluster."""

    match_tags: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = Field(default_factory=dict)
    """Tags with exactly these values."""
    match_expressions: Annotated[
        tuple[TagRequirement, ...], Field(max_length=50, json_schema_extra=map_list("key"))
    ] = ()
    """What is asked of more tags, one entry for each key."""


class TemplateMetadata(Model):
    """Metadata of the MonitoredClusters that are made."""

    labels: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=317)], LabelValue],
        Field(max_length=32, json_schema_extra=rules((f"!('{DISCOVERED_BY}' in self)", _OWN_LABEL))),
    ] = Field(default_factory=dict)
    """Labels, such as those that an operator's watchSelector asks for."""


class Template(Model):
    """What the MonitoredClusters that are made say. A change counts for clusters that are found later: one that was
    made is never changed by discovery.
    """

    metadata: TemplateMetadata = TemplateMetadata()
    spec: TemplateSpec = Field(default_factory=dict)
    """As spec of a MonitoredCluster, without clusterArn and connection, which are those of each cluster. What is unset
    gets the defaults of a MonitoredCluster."""


class DiscoverySpec(Model):
    """Where clusters are looked for, which count, and what is made for them."""

    accounts: Annotated[
        tuple[Account, ...], Field(min_length=1, max_length=256, json_schema_extra=map_list("accountId"))
    ]
    """The AWS accounts. One that cannot be asked does not delay the others."""
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
    """The Regions in which clusters of each account are looked for."""
    tag_selector: TagSelector = TagSelector()
    """Tags of the EKS clusters that count. Without it every cluster counts."""
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
    its name in small letters, with dashes for underscores. A name that is taken is not used twice."""
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
    """Made: this ClusterDiscovery made its MonitoredCluster, which is there. Skipped: it has none by this
    ClusterDiscovery. Gone: EKS does not know it any more; its MonitoredCluster stays."""
    monitored_cluster: ObjectName | None = None
    """Name of its MonitoredCluster."""
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, for people, where the reason does not say it all."""


class Looked(Model):
    """One account in one Region."""

    name: Annotated[str, Field(max_length=64)]
    """Account and Region, such as 444455556666/eu-west-1."""
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
    """Listed, or why it could not be."""
    clusters: Count | None = None
    """Clusters that EKS listed there last, whatever their tags."""
    last_listed: Time | None = None
    """When EKS last listed them all."""


class DiscoveryStatus(Model):
    """What was found and done."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The metadata.generation that the operator last acted on; -1 before it has seen the object."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32, json_schema_extra=map_list("type"))] = ()
    """Ready: all is well, or its reason names the first thing that is not. Listed: every account and Region could be
    asked. ClustersMade: every cluster that was selected has a MonitoredCluster."""
    found: Count | None = None
    """Clusters that EKS lists in these accounts and Regions, whatever their tags."""
    made: Count | None = None
    """MonitoredClusters that this ClusterDiscovery made and that are there."""
    skipped: Count | None = None
    """Clusters for which it made none; `clusters` says why."""
    gone: Count | None = None
    """Clusters that EKS does not know any more, and whose MonitoredCluster is still there."""
    places: Annotated[tuple[Looked, ...], Field(max_length=64, json_schema_extra=map_list("name"))] = ()
    """Accounts and Regions: those that could not be listed first, at most 50."""
    clusters: Annotated[tuple[FoundCluster, ...], Field(max_length=1024, json_schema_extra=map_list("arn"))] = ()
    """Clusters: those that are gone or need a person first, at most 500."""


class ClusterDiscovery(Model):
    """AWS accounts and Regions whose EKS clusters get a MonitoredCluster each."""

    api_version: str = "policyhub.dev/v1alpha1"
    kind: str = KIND
    metadata: Metadata
    spec: DiscoverySpec
    status: DiscoveryStatus | None = None


def status_patch(status: DiscoveryStatus) -> dict[str, Any]:
    """The body of a merge patch of the status subresource. None becomes null, which removes the field."""
    return {"status": status.model_dump(mode="json", by_alias=True)}
