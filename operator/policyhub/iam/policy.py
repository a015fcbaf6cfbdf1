"""The minimal AWS permissions and trust policies of the operator, as IAM policy documents.

| operation                 | IAM action                      | limited to                                         |
|---------------------------|---------------------------------|----------------------------------------------------|
| BatchImportFindings       | securityhub:BatchImportFindings | the default product, and findings of its account   |
| GetFindings               | securityhub:GetFindings         | the hub                                            |
| DescribeHub               | securityhub:DescribeHub         | the hub; only `policyhub doctor` calls it          |
| DescribeCluster           | eks:DescribeCluster             | the given clusters, and those of the accounts and  |
|                           |                                 | Regions with discovery                             |
| ListClusters              | eks:ListClusters                | nothing: it has no resource; only with discovery   |
| AssumeRole                | sts:AssumeRole                  | the given roles; not allowed without one           |
| GetCallerIdentity         | none: STS allows it to all      |                                                    |
| AssumeRoleWithWebIdentity | none: the trust policy decides  |                                                    |

A role trusts one service account: with one IAM OIDC provider for each cluster (IRSA), or in the named clusters (EKS Pod
Identity, whose session tags say where the Pod runs). Pod Identity passes these tags on when a role is assumed, which
needs another action, `sts:TagSession`. It has a statement of its own, because AWS does not document whether that
request contains the external id. An access entry lets a role into a cluster with a group and without an access policy;
the cluster's RBAC decides what the group may do. Pure: no I/O, no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policyhub.securityhub.arn import hub_arn, product_arn

Document = dict[str, Any]
"""An IAM policy document."""

ACTIONS: Mapping[str, str] = {
    "BatchImportFindings": "securityhub:BatchImportFindings",
    "GetFindings": "securityhub:GetFindings",
    "DescribeHub": "securityhub:DescribeHub",
    "DescribeCluster": "eks:DescribeCluster",
    "AssumeRole": "sts:AssumeRole",
    "GetCallerIdentity": "",
    "AssumeRoleWithWebIdentity": "",
}
"""Every operation that the operator calls → the action that an identity policy must allow; empty: none."""

LIST_CLUSTERS = "eks:ListClusters"
"""Needed in addition for discovering clusters."""
READS = ("GetFindings", "DescribeHub")
"""The operations whose resource is the hub."""
TAG_SESSION = "sts:TagSession"
POD_IDENTITY = "pods.eks.amazonaws.com"
AUDIENCE = "sts.amazonaws.com"
"""The audience of service account tokens for AWS, in every partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The operator's service account, in these clusters."""

    namespace: str
    service_account: str
    clusters: tuple[str, ...] = ()
    """ARNs of EKS clusters, for Pod Identity; none: any cluster of the account."""
    issuers: tuple[str, ...] = ()
    """URLs of OIDC issuers, without their scheme; with one, the sign-in is IRSA."""

    @property
    def irsa(self) -> bool:
        return bool(self.issuers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One IAM role with its policies."""

    arn: str
    trust: Document
    permissions: Document
    clusters: tuple[str, ...] = ()
    """ARNs of the EKS clusters that it connects to; each needs an access entry for the role."""

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def path(self) -> str:
        """`/`, or `/team/`."""
        return "/" + self.arn.partition(":role/")[2].removesuffix(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The operator's role, and the roles that it assumes in other accounts."""

    partition: str
    account: str
    """Of the operator's role."""
    regions: tuple[str, ...]
    """Of the findings."""
    role_name: str
    workload: Workload
    finding_roles: tuple[str, ...] = ()
    """ARNs of the roles to assume for findings."""
    eks_roles: tuple[str, ...] = ()
    """ARNs of the roles to assume for EKS clusters alone."""
    eks_clusters: tuple[str, ...] = ()
    """ARNs of EKS clusters that are monitored by their ARN; each by the roles of its account."""
    discover_regions: tuple[str, ...] = ()
    """Regions in which clusters are looked for: in the account of each role that signs in to clusters."""
    discover_own: bool = False
    """Whether in the operator's own account, too."""
    group: str = "policyhub"
    """Of the access entries."""
    external_id: str = ""
    own_findings: bool = True
    """Whether findings of the operator's own account are written, too."""

    @property
    def role_arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role_name}"

    def roles(self) -> tuple[Role, ...]:
        """The operator's own first."""
        named = self._named(self.account)
        discover_regions = self.discover_regions if self.discover_own else ()
        statements = self.statements(
            self.account, findings=self.own_findings, named=named, discover_regions=discover_regions
        )
        tagged = not self.workload.irsa
        if others := (*self.finding_roles, *self.eks_roles):
            actions = [ACTIONS["AssumeRole"], *([TAG_SESSION] if tagged else [])]
            statements.append(_allow("AssumeRoles", actions, Resource=[*others]))
        permissions = document(statements)
        own = Role(arn=self.role_arn, trust=self._workload_trust(), permissions=permissions, clusters=named)
        trust = self.member_trust(self.role_arn, external_id=self.external_id)
        return own, *(self._member(arn, trust) for arn in others)

    def _member(self, arn: str, trust: Document) -> Role:
        """A role in another account. If the account has a role for clusters only, a role for findings does not connect
        to clusters.
        """
        account = _account(arn)
        signs_in = arn in self.eks_roles or account not in {_account(other) for other in self.eks_roles}
        named = self._named(account) if signs_in else ()
        statements = self.statements(
            account,
            findings=arn in self.finding_roles,
            named=named,
            discover_regions=self.discover_regions if signs_in else (),
        )
        return Role(arn=arn, trust=trust, permissions=document(statements), clusters=named)

    def _named(self, account: str) -> tuple[str, ...]:
        return tuple(arn for arn in self.eks_clusters if _account(arn) == account)

    def statements(
        self, account: str, *, findings: bool, named: Sequence[str], discover_regions: Sequence[str]
    ) -> list[Document]:
        """The permissions of a role in the account, except for assuming other roles."""
        found = self._hub(account) if findings else []
        if discover_regions:
            every = [f"arn:{self.partition}:eks:{region}:{account}:cluster/*" for region in discover_regions]
            found.append(_allow("ListClusters", [LIST_CLUSTERS], Resource=["*"]))
            found.append(_allow("DiscoverClusters", [ACTIONS["DescribeCluster"]], Resource=every))
        return [*found, *self.describe(named, discover_regions=discover_regions)]

    @staticmethod
    def describe(named: Sequence[str], *, discover_regions: Sequence[str]) -> list[Document]:
        """Permission to describe these clusters, except those in Regions with discovery."""
        clusters = [arn for arn in named if arn.split(":")[3] not in discover_regions]
        return [_allow("DescribeClusters", [ACTIONS["DescribeCluster"]], Resource=clusters)] if clusters else []

    def _hub(self, account: str) -> list[Document]:
        """Permission to import and read the findings of an account."""
        hubs = [hub_arn(partition=self.partition, region=region, account=account) for region in self.regions]
        products = [product_arn(partition=self.partition, region=region, account=account) for region in self.regions]
        imports = _allow("ImportFindings", [ACTIONS["BatchImportFindings"]], Resource=products)
        imports["Condition"] = {"StringEquals": {"securityhub:TargetAccount": account}}
        return [imports, _allow("ReadFindings", [ACTIONS[operation] for operation in READS], Resource=hubs)]

    def member_trust(self, role_arn: str, *, external_id: str) -> Document:
        """The trust policy of a role in another account, for the operator's role."""
        principal = {"AWS": role_arn}
        assume = _allow("Operator", [ACTIONS["AssumeRole"]], Principal=principal)
        if external_id:
            assume["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
        tags = [] if self.workload.irsa else [_allow("OperatorTags", [TAG_SESSION], Principal=principal)]
        return document([assume, *tags])

    def _workload_trust(self) -> Document:
        workload = self.workload
        if not workload.irsa:
            tags: dict[str, Any] = {
                "aws:RequestTag/kubernetes-namespace": workload.namespace,
                "aws:RequestTag/kubernetes-service-account": workload.service_account,
            }
            if workload.clusters:
                tags["aws:RequestTag/eks-cluster-arn"] = [*workload.clusters]
            actions = [ACTIONS["AssumeRole"], TAG_SESSION]
            statement = _allow("PodIdentity", actions, Principal={"Service": POD_IDENTITY})
            return document([statement | {"Condition": {"StringEquals": tags}}])
        subject = f"system:serviceaccount:{workload.namespace}:{workload.service_account}"
        statements = []
        for number, issuer in enumerate(workload.issuers, 1):
            provider = f"arn:{self.partition}:iam::{self.account}:oidc-provider/{issuer}"
            statement = _allow(f"Irsa{number}", ["sts:AssumeRoleWithWebIdentity"], Principal={"Federated": provider})
            condition = {"StringEquals": {f"{issuer}:aud": AUDIENCE, f"{issuer}:sub": subject}}
            statements.append(statement | {"Condition": condition})
        return document(statements)


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _allow(sid: str, actions: Sequence[str], **more: object) -> Document:
    return {"Sid": sid, "Effect": "Allow", "Action": [*actions], **more}


def document(statements: Sequence[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": [*statements]}
