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
            f"{field} cannot be changed or removed: nobody would archive the findings in the old {place}. To move the"
            " findings, delete this MonitoredCluster, create it again, and archive the old findings with"
            " `policyhub retire`"
        ),
    )


class InCluster(Model):
    """The cluster that the operator runs in, with the operator's own service account. It has no fields: set `{}`."""


class SecretKey(Model):
    """One key of one Secret in the operator's cluster. The operator may read only Secrets that its chart lists."""

    namespace: NamespaceName
    """Namespace of the Secret."""
    name: ObjectName
    """Name of the Secret."""
    key: SecretDataKey = "kubeconfig"
    """Key of the Secret's data that contains the kubeconfig."""


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
    """The cluster that the operator runs in, with the operator's own service account. It has no fields: set `{}`."""
    kubeconfig_secret_ref: SecretKey | None = None
    """A Secret in the operator's cluster that contains a kubeconfig for the monitored cluster. The operator may read it
    only if the chart's value `kubeconfigSecrets` lists it."""
    eks: Eks | None = None
    """An EKS cluster, by its ARN: the operator signs in with its own AWS identity, or with a role. Set `{}` if
    spec.clusterArn is set and the operator's own role has access."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.in_cluster, self.kubeconfig_secret_ref, self.eks].count(None) != 2:
            raise ValueError("exactly one of inCluster, kubeconfigSecretRef and eks")
        return self


class SecurityHub(Model):
    """The Security Hub CSPM of the findings. Unset fields get their values from the operator's settings."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _fixed_once_set("accountId", place="account"),
            _fixed_once_set("region", place="Region"),
            (
                ("!has(self.accountId) || !has(self.roleArn) || self.roleArn.split(':')[4] == self.accountId"),
                (
                    "roleArn must be a role of the account in accountId: Security Hub accepts an account's findings"
                    " only from identities of the same account"
                ),
            ),
            (
                (f"!has(self.region) || !has(self.roleArn) || self.roleArn.split(':')[1] == ({_PARTITION_OF_REGION})"),
                "roleArn must be a role of the partition that contains the region",
            ),
        )
    )

    account_id: AccountId | None = None
    """AWS account of the findings, 12 digits in quotes. Security Hub accepts them only from an identity of this
    account. Once set, it cannot be changed or removed, because nobody would archive the old findings. To move the
    findings, delete the MonitoredCluster and create it again: the old findings stay until somebody resolves them, or
    Security Hub deletes them 90 days after their last update."""
    region: Region | None = None
    """Region of the findings, such as eu-west-1; Security Hub CSPM must be enabled there. Once set, it cannot be
    changed or removed, for the same reason as accountId."""
    role_arn: RoleArn | None = None
    """IAM role to assume for calls to Security Hub. It must belong to the account of the findings. Needed if the
    operator's own identity belongs to another account."""
    external_id: ExternalId | None = None
    """External id that the role's trust policy requires."""

    @model_validator(mode="after")
    def _own_role(self) -> Self:
        if self.role_arn and (problem := role_problem(self.role_arn, account=self.account_id, region=self.region)):
            raise ValueError(problem)
        return self


class Sources(Model):
    """APIs of the monitored cluster to read, and engines whose results are ignored."""

    policy_reports: bool = True
    """Read PolicyReports and ClusterPolicyReports (wgpolicyk8s.io): Kyverno, Trivy and others."""
    open_reports: bool = True
    """Read Reports and ClusterReports (openreports.io): Kubewarden, and Kyverno if it is configured for them."""
    gatekeeper: bool = True
    """Read the audit results of Gatekeeper's constraints (constraints.gatekeeper.sh)."""
    truncated_lists: bool = True
    """Create one INFORMATIONAL finding for each constraint that counts more violations than it lists, and for each
    report whose summary counts more failures than its results, regardless of minimumSeverity and results. Violations
    that are not listed have no finding of their own."""
    exclude: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
        Field(max_length=64, json_schema_extra=SET_LIST),
    ] = ("Falco", "JsPolicy", "Trivy Vulnerability")
    """Engines whose results are ignored: their names as in the `source` of a result or report, regardless of case. The
    default excludes engines that write events instead of states (Falco, JsPolicy), and one with so many results that
    they would hide all others (Trivy Vulnerability)."""
    event_logs: bool = False
    """Also report results about an event, such as a started process, a dropped packet or a refused request (Tracee,
    KubeArmor, Hubble and others, recognized by their properties too). Such a finding stays active until an analyst
    resolves it, because an event has no end. Falco and JsPolicy depend on exclude only."""


class Namespaces(Model):
    """Namespaces whose objects may have findings. A Namespace itself is selected by its own name. Other objects without
    a namespace may always have findings.
    """

    include: Annotated[
        tuple[NamespacePattern, ...],
        Field(min_length=1, max_length=512, json_schema_extra=SET_LIST),
    ] = ("*",)
    """Namespaces to include: names, or patterns in which * matches any characters."""
    exclude: Annotated[tuple[NamespacePattern, ...], Field(max_length=512, json_schema_extra=SET_LIST)] = ()
    """Namespaces to exclude, even if include matches them: names, or patterns in which * matches any characters."""


class Spec(Model):
    """The cluster, the Security Hub of its findings, and which violations become findings."""

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
    """ARN of the EKS cluster. It is the cluster's identity in the ids of its findings, and a resource of each finding.
    Without it, the identity is this object's name. It cannot be set, changed or removed later, because every finding
    would get a new id and the old ones would stay active. Delete the MonitoredCluster and create it again instead."""
    connection: Connection
    security_hub: SecurityHub = SecurityHub()
    mode: Mode = "Sync"
    """Sync keeps Security Hub up to date with the cluster. NoArchive creates and updates findings but never archives
    one. DryRun sends nothing; the status shows what mode Sync would send."""
    deletion_policy: DeletionPolicy = "Retain"
    """What happens to the findings when this object is deleted. Retain: they stay as they are. Archive, in mode Sync:
    the operator first archives the active findings of this cluster. A finalizer keeps the object until that is done, so
    the operator must still run. To delete the object at once, set Retain."""
    on_cluster_gone: OnClusterGone = "Hold"
    """What happens to the findings when EKS no longer has the cluster (`ClusterGone`). Hold: they stay as they are,
    until a person archives them with `policyhub retire` or, after a restart of the operator, Security Hub deletes them
    90 days after their last update. Archive, in mode Sync: the operator archives the active findings of this cluster
    after EKS has confirmed for an hour that the cluster is gone. Archive needs `connection.eks` without endpoint,
    because only the answer of EKS proves that a cluster is gone."""
    sources: Sources = Sources()
    namespaces: Namespaces = Namespaces()
    results: Annotated[
        tuple[Result, ...],
        Field(min_length=1, max_length=3, json_schema_extra=SET_LIST),
    ] = ("fail", "warn", "error")
    """Results that become findings: fail (requirement not met), warn (requirement of an unscored policy not met), error
    (the policy could not be evaluated). Results `pass` and `skip` never become findings."""
    minimum_severity: MinimumSeverity = "informational"
    """Violations below this severity get no finding."""
    roll_up: bool = True
    """Roll up results on Pods, ReplicaSets and Jobs to their controller: three replicas have one finding, and a rollout
    changes none. The operator needs permission to list Pods, ReplicaSets, Jobs and their controllers (the chart's
    `rbac.rollUp`); without it, or with `false`, each object has findings of its own. A change of this field changes the
    ids of these findings."""
    enrichment: bool = True
    """Include the policy's title, description, remediation and requirements in findings, from the annotations of
    Kyverno's, Kubewarden's and the API server's own policies and of Gatekeeper's templates. The operator needs
    permission to list these (the chart's `rbac.enrichment`); without it, or with `false`, findings contain only the
    texts of reports and constraints. After a change of this field, findings whose text differs are sent again."""
    severity_by_risk: bool = True
    """Give violations of well-known policies a severity by risk if none is set: a privileged container is HIGH, a
    missing label LOW. These are the Pod Security Standards and similar policies, by their names in Kyverno,
    Gatekeeper's library and Kubewarden. A severity in a result, constraint or policy takes precedence. With `false`
    such findings are MEDIUM."""
    archive_delay: Annotated[
        Duration,
        Field(
            json_schema_extra=rules(
                ("duration(self) <= duration('168h')", "archiveDelay must be at most 168h (7 days)")
            )
        ),
    ] = timedelta(minutes=10)
    """How long a violation must be missing before its finding is archived, such as 90s, 10m or 1h30m, at most 168h. The
    delay covers engines that delete a report and write it again. If a result changes to `pass`, the finding is archived
    at once."""

    sla_days: SlaDays = SlaDays()
    """Days after which a violation is past its SLA, by severity. Only the status, metrics and `policyhub findings` use
    it. Unset fields get their values from the operator's settings; 0 means no deadline. Suppressed findings have no
    deadline."""

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
