"""The validated flags of `policyhub iam-policy`. All problems are reported together, each with its flag.

Pure: no I/O, no clock.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from policyhub.api.scalar import (
    PARTITIONS,
    AccountId,
    ClusterArn,
    ExternalId,
    GroupName,
    NamespaceName,
    ObjectName,
    Region,
    RoleArn,
)
from policyhub.iam.policy import Plan, Workload

KNOWN_PARTITIONS = tuple(PARTITIONS.split("|"))
_ISSUER = re.compile(
    r"(?:https://)?([a-z0-9][a-z0-9.-]{0,251}\.[a-z]{1,63}(?:/[A-Za-z0-9_./-]{0,255}[A-Za-z0-9_-])?)/?"
)


RESERVED_GROUPS = ("system:", "eks:", "aws:", "amazon:", "iam:")
"""Prefixes of groups of Kubernetes and AWS. The chart policyhub-access rejects the same."""


class RequestError(Exception):
    """The flags are invalid; the message has one line for each problem."""


def _host(value: str) -> str:
    """As IAM names an OIDC provider: without scheme and final slash."""
    match = _ISSUER.fullmatch(value)
    if match is None:
        raise ValueError("expected a URL such as https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE")
    return match[1]


def _group(value: str) -> str:
    if value.lower().startswith(RESERVED_GROUPS):
        raise ValueError(
            f"groups that begin with {', '.join(RESERVED_GROUPS)} belong to Kubernetes and AWS, and have other members:"
            " use a group for the operator alone, such as policyhub"
        )
    return value


class Request(BaseModel):
    """The flags of the command."""

    model_config = ConfigDict(frozen=True)

    account_id: AccountId
    region: tuple[Region, ...]
    assume_role: tuple[RoleArn, ...] = ()
    eks: tuple[ClusterArn, ...] = ()
    eks_role: tuple[RoleArn, ...] = ()
    discover: tuple[Region, ...] = ()
    discover_own: bool = False
    kubernetes_group: Annotated[GroupName, AfterValidator(_group)] = "policyhub"
    external_id: ExternalId | None = None
    own_findings: bool = True
    cluster: tuple[ClusterArn, ...] = ()
    oidc_issuer: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    namespace: NamespaceName = "policyhub"
    service_account: ObjectName = "policyhub"
    role_name: Annotated[str, Field(pattern=r"^[0-9A-Za-z+=,.@_-]{1,64}$")] = "policyhub"  # IAM CreateRole

    @classmethod
    def read(cls, **flags: Any) -> "Request":
        """Raises RequestError."""
        try:
            return cls(**flags)
        except ValidationError as error:
            shown = (
                f"--{str(problem['loc'][0]).replace('_', '-')}: {problem['msg']} (given: {problem['input']!r})"
                for problem in error.errors()
            )
            raise RequestError("\n".join(shown)) from error

    def plan(self, partitions: dict[str, str]) -> Plan:
        """`partitions` has one entry for each Region; empty where AWS has no such Region. Raises RequestError."""
        problems = [*self._region_problems(partitions), *self._sign_in_problems(), *self._cluster_problems()]
        if problems:
            raise RequestError("\n".join(problems))
        return Plan(
            partition=partitions[self.region[0]],
            account=self.account_id,
            regions=_unique(self.region),
            role_name=self.role_name,
            workload=Workload(
                namespace=self.namespace,
                service_account=self.service_account,
                clusters=_unique(self.cluster),
                issuers=_unique(self.oidc_issuer),
            ),
            finding_roles=_unique(self.assume_role),
            eks_roles=_unique(tuple(arn for arn in self.eks_role if arn not in self.assume_role)),
            eks_clusters=_unique(self.eks),
            discover_regions=_unique(self.discover),
            discover_own=self.discover_own,
            group=self.kubernetes_group,
            external_id=self.external_id or "",
            own_findings=self.own_findings,
        )

    def _region_problems(self, partitions: dict[str, str]) -> Iterator[str]:
        for flag, regions in (("--region", self.region), ("--discover", self.discover)):
            yield from (f"{flag}: AWS has no Region {region}" for region in _unique(regions) if not partitions[region])
        names = {name for name in partitions.values() if name}
        if len(names) > 1:
            shown = ", ".join(f"{region} is in {name}" for region, name in partitions.items() if name)
            yield f"{'--region, --discover' if self.discover else '--region'}: a role has one partition, but {shown}"
        for name in sorted(names - {*KNOWN_PARTITIONS}):
            yield f"--region: findings do not support the partition {name}, only {', '.join(KNOWN_PARTITIONS)}"
        given = {
            "--assume-role": self.assume_role,
            "--cluster": self.cluster,
            "--eks": self.eks,
            "--eks-role": self.eks_role,
        }
        for flag, arns in given.items():
            yield from (f"{flag}: {arn} is in another partition" for arn in arns if arn.split(":")[1] not in names)

    def _sign_in_problems(self) -> Iterator[str]:
        if self.cluster and self.oidc_issuer:
            yield "--cluster is for Pod Identity, --oidc-issuer for IRSA: give one of the two, or print a role for each"
        for arn in self.cluster:
            if arn.split(":")[4] != self.account_id:
                yield f"--cluster: {arn} is in another account, but Pod Identity needs a role in the cluster's account"
        for arn in self.assume_role:
            if arn.split(":")[4] == self.account_id:
                yield f"--assume-role: {arn} is in the operator's own account, whose findings need no other role"
        if self.external_id is not None and not (self.assume_role or self.eks_role):
            yield "--external-id: no role can require it: add --assume-role or --eks-role"
        if not self.own_findings and not self.assume_role:
            yield "--no-own-findings: findings then have no destination: add --assume-role"

    def _cluster_problems(self) -> Iterator[str]:
        """Problems with clusters that are monitored by their ARN: each needs a role of its own account."""
        accounts = {arn.split(":")[4] for arn in self.eks}
        for arn in self.eks_role:
            account = arn.split(":")[4]
            if account == self.account_id:
                yield f"--eks-role: {arn} is in the operator's own account, whose clusters need no other role"
            elif account not in accounts and not self.discover:
                yield f"--eks-role: no cluster in account {account} is given: add --eks, or --discover to find them"
        known = {self.account_id, *(arn.split(":")[4] for arn in (*self.assume_role, *self.eks_role))}
        if self.discover and not (self.assume_role or self.eks_role or self.discover_own):
            yield (
                "--discover: no account is given: add --eks-role or --assume-role for a role in one, or --discover-own"
                " for the operator's own account"
            )
        if self.discover_own and not self.discover:
            yield "--discover-own: no Region is given: add --discover"
        for account in sorted(accounts - known):
            yield f"--eks: no role in account {account} is given: add --eks-role or --assume-role"


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
