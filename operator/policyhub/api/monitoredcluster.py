"""MonitoredCluster (policyhub.dev/v1alpha1): one monitored Kubernetes cluster, and the hub of its findings.

The CRD is generated from these models (`policyhub.api.crd`): types, patterns, defaults, descriptions and CEL rules have
their only source here. `kubectl explain` prints the docstring of an attribute.

The identity of a cluster is part of every finding's id, and a finding can be archived only in the hub that holds it.
So `clusterArn` is immutable, and `securityHub.accountId` and `.region` are immutable once they are set: after a change,
the findings of the old identity or hub would stay active, and nobody would archive them.

Pure: no I/O, no clock.
"""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from policyhub.api import eks as eks_rules
from policyhub.api.eks import Eks
from policyhub.api.model import SET_LIST, Model, rules
from policyhub.api.partitions import REGIONS
from policyhub.api.scalar import (
    AccountId,
    ClusterArn,
    Duration,
    ExternalId,
    NamespaceName,
    NamespacePattern,
    ObjectName,
    Region,
    RoleArn,
    SecretDataKey,
    role_problem,
)
from policyhub.api.sla import SlaDays
from policyhub.api.status import Status

GROUP = "policyhub.dev"
VERSION = "v1alpha1"
KIND = "MonitoredCluster"
PLURAL = "monitoredclusters"

Mode = Literal["Sync", "NoArchive", "DryRun"]
DeletionPolicy = Literal["Retain", "Archive"]
OnClusterGone = Literal["Hold", "Archive"]
MinimumSeverity = Literal["informational", "low", "medium", "high", "critical"]
Result = Literal["fail", "warn", "error"]


_PARTITION_OF_REGION = (
    "".join(f"self.region.matches('^{pattern}$') ? '{name}' : " for name, pattern in REGIONS.items() if name != "aws")
    + "'aws'"
)


def _fixed_once_set(field: str, place: str) -> tuple[str, str]:
    """A rule of the parent: a transition rule on an optional field is not evaluated when the field is removed."""
    return (
        f"!has(oldSelf.{field}) || (has(self.{field}) && self.{field} == oldSelf.{field})",
        (
            f"{field} cannot be changed or removed: nobody would archive the findings in the old {place}. To move,"
            " delete this MonitoredCluster, create it again, and archive the old findings with `policyhub retire`"
        ),
    )


class InCluster(Model):
    """The cluster that the operator runs in, with the operator's own service account. It has no fields: write `{}`."""


class SecretKey(Model):
    """One key of one Secret in the operator's cluster. The operator may read only Secrets that its chart names."""

    namespace: NamespaceName
    """Namespace of the Secret."""
    name: ObjectName
    """Name of the Secret."""
    key: SecretDataKey = "kubeconfig"
    """Key of the Secret's data that holds the kubeconfig."""


class Connection(Model):
    """How the operator reaches the API server of the monitored cluster: exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.inCluster), has(self.kubeconfigSecretRef), has(self.eks)].exists_one(given, given)",
                (
                    "set exactly one of inCluster (the operator's own cluster: `inCluster: {}`), kubeconfigSecretRef"
                    " and eks"
                ),
            )
        )
    )

    in_cluster: InCluster | None = None
    """The cluster that the operator runs in, with the operator's own service account. It has no fields: write `{}`."""
    kubeconfig_secret_ref: SecretKey | None = None
    """A Secret in the operator's cluster that holds a kubeconfig for the monitored cluster. The chart must name it in
    `kubeconfigSecrets`, or the operator may not read it."""
    eks: Eks | None = None
    """An EKS cluster, by its ARN: the operator signs in with its AWS identity, or with a role. `{}` where
    spec.clusterArn names it and the operator's own role may use it."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.in_cluster, self.kubeconfig_secret_ref, self.eks].count(None) != 2:
            raise ValueError("exactly one of inCluster, kubeconfigSecretRef and eks")
        return self


class SecurityHub(Model):
    """The Security Hub CSPM that the findings go to. What is unset comes from the operator's settings."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _fixed_once_set("accountId", place="account"),
            _fixed_once_set("region", place="Region"),
            (
                ("!has(self.accountId) || !has(self.roleArn) || self.roleArn.split(':')[4] == self.accountId"),
                (
                    "roleArn must be a role of the account accountId: Security Hub takes an account's findings"
                    " only from the account's own identities"
                ),
            ),
            (
                (f"!has(self.region) || !has(self.roleArn) || self.roleArn.split(':')[1] == ({_PARTITION_OF_REGION})"),
                "roleArn must be a role of the partition that the region lies in",
            ),
        )
    )

    account_id: AccountId | None = None
    """AWS account of the findings, 12 digits in quotes. Security Hub takes them only from an identity of this account.
    Once set it cannot be changed or removed, because nobody would archive the findings that are there. To move, delete
    the MonitoredCluster and create it again: the old findings stay until somebody resolves them, or Security Hub
    drops them 90 days after their last update."""
    region: Region | None = None
    """Region of the findings, such as eu-west-1; Security Hub CSPM must be enabled there. Once set it cannot be changed
    or removed, for the same reason as accountId."""
    role_arn: RoleArn | None = None
    """IAM role to assume for the calls to Security Hub. It must belong to the account of the findings. Needed where the
    operator's own identity belongs to another account."""
    external_id: ExternalId | None = None
    """External id that the role's trust policy asks for."""

    @model_validator(mode="after")
    def _own_role(self) -> Self:
        if self.role_arn and (problem := role_problem(self.role_arn, account=self.account_id, region=self.region)):
            raise ValueError(problem)
        return self


class Sources(Model):
    """Which APIs of the monitored cluster are read, and which engines' results are left out."""

    policy_reports: bool = True
    """Read PolicyReports and ClusterPolicyReports (wgpolicyk8s.io): Kyverno, Trivy and others."""
    open_reports: bool = True
    """Read Reports and ClusterReports (openreports.io): Kubewarden, and Kyverno where it is switched to them."""
    gatekeeper: bool = True
    """Read the audit results of Gatekeeper's constraints (constraints.gatekeeper.sh)."""
    truncated_lists: bool = True
    """One INFORMATIONAL finding for each constraint that counts more violations than it lists, and for each report
    whose summary counts more failures than its results show, whatever minimumSeverity and results say. What is not
    listed has no finding."""
    exclude: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
        Field(max_length=64, json_schema_extra=SET_LIST),
    ] = ("Falco", "JsPolicy", "Trivy Vulnerability")
    """Engines whose results are ignored, by the name that they give themselves in a result's or report's `source`,
    in upper or lower case. The default leaves out what is an event log rather than a state (Falco, JsPolicy) and
    what would drown the rest by its numbers (Trivy Vulnerability)."""
    event_logs: bool = False
    """Report results that tell of an event, such as a started process, a dropped packet or a refused request (Tracee,
    KubeArmor, Hubble and others, recognized by their properties too). Such a finding stays active until an analyst
    resolves it, because nothing ends an event. Falco and JsPolicy depend on exclude alone."""


class Namespaces(Model):
    """Which namespaces' objects may have findings. A Namespace counts by its own name; other objects without a
    namespace always may.
    """

    include: Annotated[
        tuple[NamespacePattern, ...],
        Field(min_length=1, max_length=512, json_schema_extra=SET_LIST),
    ] = ("*",)
    """Namespaces that count: names, or patterns in which * stands for any characters."""
    exclude: Annotated[tuple[NamespacePattern, ...], Field(max_length=512, json_schema_extra=SET_LIST)] = ()
    """Namespaces that do not count although include names them: names, or patterns in which * stands for any
    characters."""


class Spec(Model):
    """Which cluster, which hub, and what becomes a finding."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "has(self.clusterArn) == has(oldSelf.clusterArn)"
                    " && (!has(self.clusterArn) || self.clusterArn == oldSelf.clusterArn)"
                ),
                (
                    "clusterArn cannot be set, changed or removed later: it is part of every finding's id."
                    " Delete this MonitoredCluster and create it again with the right clusterArn"
                ),
            ),
            *eks_rules.RULES,
        )
    )

    cluster_arn: ClusterArn | None = None
    """ARN of the EKS cluster. It is the cluster's identity in the ids of its findings and the resource that they name.
    Without it the identity is this object's name. It can be neither set, changed nor removed later: every finding would
    get a new id, and the old ones would stay open. Delete the MonitoredCluster and create it again instead."""
    connection: Connection
    security_hub: SecurityHub = SecurityHub()
    mode: Mode = "Sync"
    """Sync keeps Security Hub equal to the cluster. NoArchive creates and updates findings but never archives one.
    DryRun sends nothing; the status says what would be sent."""
    deletion_policy: DeletionPolicy = "Retain"
    """What becomes of the findings when this object is deleted. Retain leaves them as they are. With Archive, in mode
    Sync, the operator first archives the active findings of this cluster: until that is done a finalizer keeps the
    object, so the operator must still run. To give up, set Retain."""
    on_cluster_gone: OnClusterGone = "Hold"
    """What becomes of the findings when EKS no longer has the cluster (`ClusterGone`). Hold leaves them as they are,
    until a person archives them with `policyhub retire`. With Archive, in mode Sync, the operator archives the active
    findings of this cluster once EKS has said so for an hour. Only for `connection.eks` without endpoint, since nothing
    but EKS's own answer proves that a cluster is gone."""
    sources: Sources = Sources()
    namespaces: Namespaces = Namespaces()
    results: Annotated[
        tuple[Result, ...],
        Field(min_length=1, max_length=3, json_schema_extra=SET_LIST),
    ] = ("fail", "warn", "error")
    """Which results become findings: fail (not met), warn (not met, by a policy that is not scored), error (could not
    be evaluated). A result `pass` or `skip` never does."""
    minimum_severity: MinimumSeverity = "informational"
    """Violations below this severity get no finding."""
    roll_up: bool = True
    """Results on Pods, ReplicaSets and Jobs count for the controller that they belong to: three replicas are one
    finding, and a rollout changes none. It needs the right to list Pods, ReplicaSets and Jobs (the chart's
    `rbac.rollUp`); without it they count for themselves, as with `false`. Changing it changes the ids of their
    findings."""
    enrichment: bool = True
    """Findings also say what their policies say of themselves: title, description, remediation and the requirements in
    the annotations of Kyverno's, Kubewarden's and the API server's own policies and of Gatekeeper's templates. It needs
    the right to list those (the chart's `rbac.enrichment`); without it, as with `false`, findings say what the reports
    and constraints say. Changing it sends what reads otherwise once more."""
    severity_by_risk: bool = True
    """Well-known policies (the Pod Security Standards and their like, as Kyverno, Gatekeeper's library and Kubewarden
    name them) have the severity of their risk where nobody states one: a privileged container is HIGH, a missing label
    LOW. What a result, a constraint or a policy states wins. With `false` such findings are MEDIUM."""
    archive_delay: Annotated[
        Duration,
        Field(
            json_schema_extra=rules(
                ("duration(self) <= duration('168h')", "archiveDelay must be at most 168h (7 days)")
            )
        ),
    ] = timedelta(minutes=10)
    """How long a violation must have been missing before its finding is archived, such as 90s, 10m or 1h30m, at most
    168h. It rides out engines that delete a report and write it anew. A result that now reads `pass` archives
    at once."""

    sla_days: SlaDays = SlaDays()
    """How many days a violation may stay before it counts as past its SLA, by severity. It decides nothing but what
    status, metrics and `policyhub findings` say. What is unset comes from the operator's settings; 0 is no deadline.
    What an analyst has suppressed has none."""

    @model_validator(mode="after")
    def _eks(self) -> Self:
        if self.connection.eks is not None and (wrong := eks_rules.problem(self.connection.eks, self.cluster_arn)):
            raise ValueError(wrong)
        described = self.connection.eks is not None and self.connection.eks.endpoint is None
        if self.on_cluster_gone == "Archive" and not described:
            raise ValueError(eks_rules.ONLY_EKS_KNOWS)
        return self


class Metadata(Model):
    """The parts of ObjectMeta that we read."""

    name: str
    uid: str = ""
    generation: int = 0
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class MonitoredCluster(Model):
    """A Kubernetes cluster whose policy violations become findings in AWS Security Hub CSPM."""

    api_version: str = f"{GROUP}/{VERSION}"
    kind: str = KIND
    metadata: Metadata
    spec: Spec
    status: Status | None = None

    @property
    def identity(self) -> str:
        """The cluster's part of finding ids. The API server rejects changes to it."""
        return self.spec.cluster_arn or self.metadata.name
