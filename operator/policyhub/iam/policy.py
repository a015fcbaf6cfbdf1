"""The least that AWS has to grant: permissions and trust, as IAM policy documents.

| operation                 | IAM action                      | limited to                                         |
|---------------------------|---------------------------------|----------------------------------------------------|
| BatchImportFindings       | securityhub:BatchImportFindings | the default product, and findings of its account   |
| GetFindings               | securityhub:GetFindings         | the hub                                            |
| DescribeHub               | securityhub:DescribeHub         | the hub; `policyhub doctor` alone asks             |
| DescribeCluster           | eks:DescribeCluster             | the clusters that are named, and those of the      |
|                           |                                 | accounts and Regions that are searched             |
| ListClusters              | eks:ListClusters                | nothing: it has no resource; only where an account |
|                           |                                 | is searched                                        |
| AssumeRole                | sts:AssumeRole                  | the roles that are named, and none where none is   |
| GetCallerIdentity         | none: STS answers everybody     |                                                    |
| AssumeRoleWithWebIdentity | none: the trust policy decides  |                                                    |

A role is trusted to one service account: of one IAM OIDC provider for each cluster (IRSA), or of the clusters that are
named (EKS Pod Identity, whose session tags say where the Pod runs). Those tags travel with every change of role, which
is another action, `sts:TagSession`; it stands in a statement of its own, because no text says that the external id is
part of that request. An access entry lets a role into a cluster, under a group and without an access policy: what the
group may do there is the cluster's RBAC. Pure: no I/O, no clock.
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
"""Every operation that the operator calls → the action that an identity policy must allow; empty where none must."""

LIST_CLUSTERS = "eks:ListClusters"
"""What looking for clusters needs besides."""
READS = ("GetFindings", "DescribeHub")
"""The operations that the hub itself is the resource of."""
TAG_SESSION = "sts:TagSession"
POD_IDENTITY = "pods.eks.amazonaws.com"
AUDIENCE = "sts.amazonaws.com"
"""What EKS writes into a service account's token for AWS, in every partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who may be the operator: one service account, in these clusters."""

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
    """One IAM role, whole."""

    arn: str
    trust: Document
    permissions: Document
    clusters: tuple[str, ...] = ()
    """ARNs of the EKS clusters that it signs in to: each needs an access entry for it."""

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
    """The operator's role, and those that it assumes in other accounts."""

    partition: str
    account: str
    """Of the operator's role."""
    regions: tuple[str, ...]
    """Of the findings."""
    role_name: str
    workload: Workload
    targets: tuple[str, ...] = ()
    """ARNs of the roles to assume for findings."""
    sign_ins: tuple[str, ...] = ()
    """ARNs of the roles to assume for EKS clusters alone."""
    monitored: tuple[str, ...] = ()
    """ARNs of EKS clusters that are monitored by their ARN; each by the roles of its account."""
    searched: tuple[str, ...] = ()
    """Regions in which clusters are looked for: in the account of each role that signs in to clusters."""
    search_own: bool = False
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
        searched = self.searched if self.search_own else ()
        statements = self.statements(self.account, findings=self.own_findings, named=named, searched=searched)
        tagged = not self.workload.irsa
        if others := (*self.targets, *self.sign_ins):
            actions = [ACTIONS["AssumeRole"], *([TAG_SESSION] if tagged else [])]
            statements.append(_allow("AssumeRoles", actions, Resource=[*others]))
        permissions = document(statements)
        own = Role(arn=self.role_arn, trust=self._workload_trust(), permissions=permissions, clusters=named)
        trust = self.member_trust(self.role_arn, external_id=self.external_id)
        return own, *(self._member(arn, trust) for arn in others)

    def _member(self, arn: str, trust: Document) -> Role:
        """A role in another account. Where there is one for clusters alone, a role for findings does not sign in."""
        account = _account(arn)
        signs_in = arn in self.sign_ins or account not in {_account(other) for other in self.sign_ins}
        named = self._named(account) if signs_in else ()
        statements = self.statements(
            account, findings=arn in self.targets, named=named, searched=self.searched if signs_in else ()
        )
        return Role(arn=arn, trust=trust, permissions=document(statements), clusters=named)

    def _named(self, account: str) -> tuple[str, ...]:
        return tuple(arn for arn in self.monitored if _account(arn) == account)

    def statements(
        self, account: str, *, findings: bool, named: Sequence[str], searched: Sequence[str]
    ) -> list[Document]:
        """What a role of the account is granted there, but for other roles."""
        found = self._hub(account) if findings else []
        if searched:
            every = [f"arn:{self.partition}:eks:{region}:{account}:cluster/*" for region in searched]
            found.append(_allow("ListClusters", [LIST_CLUSTERS], Resource=["*"]))
            found.append(_allow("DiscoverClusters", [ACTIONS["DescribeCluster"]], Resource=every))
        return [*found, *self.describe(named, searched=searched)]

    @staticmethod
    def describe(named: Sequence[str], *, searched: Sequence[str]) -> list[Document]:
        """To ask where these clusters are; nothing for those of Regions that are searched."""
        clusters = [arn for arn in named if arn.split(":")[3] not in searched]
        return [_allow("DescribeClusters", [ACTIONS["DescribeCluster"]], Resource=clusters)] if clusters else []

    def _hub(self, account: str) -> list[Document]:
        """To import and read the findings of an account."""
        hubs = [hub_arn(partition=self.partition, region=region, account=account) for region in self.regions]
        products = [product_arn(partition=self.partition, region=region, account=account) for region in self.regions]
        imports = _allow("ImportFindings", [ACTIONS["BatchImportFindings"]], Resource=products)
        imports["Condition"] = {"StringEquals": {"securityhub:TargetAccount": account}}
        return [imports, _allow("ReadFindings", [ACTIONS[operation] for operation in READS], Resource=hubs)]

    def member_trust(self, role_arn: str, *, external_id: str) -> Document:
        """Of a role in another account, for the operator's."""
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
