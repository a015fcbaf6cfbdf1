"""`spec.connection.eks`: an EKS cluster by its ARN, and the identity that signs in to it.

| fields                                | endpoint and CA  | who signs in | requirements                            |
|---------------------------------------|------------------|--------------|-----------------------------------------|
| none                                  | DescribeCluster  | the operator | a cluster in its own account, an access |
|                                       |                  |              | entry                                   |
| roleArn                               | DescribeCluster, | that role    | a role of the cluster's account, an     |
|                                       | by that role     |              | access entry for it                     |
| endpoint and certificateAuthorityData | as given         | the operator | an access entry, in any account         |
| all of them                           | as given         | that role    | a role of the cluster's account, an     |
|                                       |                  |              | access entry for it                     |

The role must always belong to the cluster's account. A token contains its signer and the name of the cluster, but not
the account of the cluster: with a role of another account, whoever runs the cluster could use the token for a cluster
of the same name in that account.

Pure: no I/O, no clock.
"""

from typing import Self

from pydantic import ConfigDict, model_validator

from policyhub.api.model import Model, rules
from policyhub.api.scalar import CertificateAuthorityData, ClusterArn, Endpoint, ExternalId, RoleArn

_TOGETHER = "set both endpoint and certificateAuthorityData, or neither: DescribeCluster then returns both"
_EXTERNAL = "externalId is used only with roleArn: set roleArn too"


class Eks(Model):
    """An EKS cluster. `{}` uses the cluster in spec.clusterArn and the operator's own AWS identity."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.endpoint) == has(self.certificateAuthorityData)", _TOGETHER),
            ("!has(self.externalId) || has(self.roleArn)", _EXTERNAL),
        )
    )

    arn: ClusterArn | None = None
    """ARN of the EKS cluster. Needed only if spec.clusterArn is not set. The identity in the ids of the findings is
    then this object's name."""
    role_arn: RoleArn | None = None
    """IAM role of the cluster's account that the operator assumes to call DescribeCluster and to sign in. The cluster
    needs an access entry for it, with the group that the chart's ClusterRole is bound to. Without a role, the operator
    uses its own AWS identity."""
    external_id: ExternalId | None = None
    """External id that the role's trust policy requires."""
    endpoint: Endpoint | None = None
    """Address of the API server, such as https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com: a host of EKS in the
    cluster's Region, or a host in the operator's setting eksEndpointHosts. With endpoint and certificateAuthorityData,
    the operator does not call DescribeCluster. Its own role may then belong to another account, and needs only an
    access entry."""
    certificate_authority_data: CertificateAuthorityData | None = None
    """Certificate authority of the API server, PEM in base64, as `aws eks describe-cluster` prints it."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.endpoint is None) != (self.certificate_authority_data is None):
            raise ValueError(_TOGETHER)
        if self.external_id is not None and self.role_arn is None:
            raise ValueError(_EXTERNAL)
        return self


def problem(eks: Eks, cluster_arn: str | None) -> str:
    """Why it is invalid together with `spec.clusterArn`; empty if it is valid. `RULES` are the same checks in CEL."""
    arn = eks.arn or cluster_arn
    if arn is None:
        return _NO_ARN
    if cluster_arn is not None and eks.arn is not None and eks.arn != cluster_arn:
        return _TWO_ARNS
    if eks.role_arn is not None:
        if eks.role_arn.split(":")[1] != arn.split(":")[1]:
            return _PARTITION
        if eks.role_arn.split(":")[4] != arn.split(":")[4]:
            return _ACCOUNT
    return ""


_NO_ARN = "connection.eks needs the cluster's ARN: set spec.clusterArn, or spec.connection.eks.arn"
_TWO_ARNS = (
    "spec.connection.eks.arn and spec.clusterArn name different clusters: findings of one would be reported for the"
    " other. Remove eks.arn"
)
_PARTITION = "spec.connection.eks.roleArn must be a role of the partition that the cluster is in"
_ACCOUNT = (
    "spec.connection.eks.roleArn must be a role of the cluster's account. To sign in from another account, remove"
    " roleArn, set endpoint and certificateAuthorityData, and create an access entry for the operator's own role"
)

ONLY_EKS_KNOWS = (
    "spec.onClusterGone Archive needs spec.connection.eks without endpoint: only the answer of EKS to DescribeCluster"
    " proves that a cluster is gone. Set onClusterGone to Hold, or remove endpoint and certificateAuthorityData"
)

_EKS = "self.connection.eks"
_WITH_ROLE = f"!has({_EKS}) || !has({_EKS}.roleArn)"
_ARN = f"(has({_EKS}.arn) ? {_EKS}.arn : has(self.clusterArn) ? self.clusterArn : 'arn:::::')"

RULES: tuple[tuple[str, str], ...] = (
    (f"!has({_EKS}) || has({_EKS}.arn) || has(self.clusterArn)", _NO_ARN),
    (f"!has({_EKS}) || !has({_EKS}.arn) || !has(self.clusterArn) || {_EKS}.arn == self.clusterArn", _TWO_ARNS),
    (f"{_WITH_ROLE} || {_EKS}.roleArn.split(':')[1] == {_ARN}.split(':')[1]", _PARTITION),
    (f"{_WITH_ROLE} || {_EKS}.roleArn.split(':')[4] == {_ARN}.split(':')[4]", _ACCOUNT),
    (
        f"!has(self.onClusterGone) || self.onClusterGone != 'Archive' || (has({_EKS}) && !has({_EKS}.endpoint))",
        ONLY_EKS_KNOWS,
    ),
)
"""CEL rules of the spec, each with its message."""
