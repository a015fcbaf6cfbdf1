"""Explains failed connections to EKS clusters: the meaning of an error of the API server or the network, and a remedy.

| error                   | because                                                           | reason               |
|-------------------------|-------------------------------------------------------------------|----------------------|
| 401                     | the role has no access entry, or its entry is for a deleted role  | `AccessEntryMissing` |
|                         | with the same ARN                                                 |                      |
| 401, in authentication  | the cluster does not use access entries                           | `ConfigMapOnly`      |
| mode CONFIG_MAP         |                                                                   |                      |
| 401, and AWS rejects    | our clock is wrong: a token is valid for 15 minutes after its     | `ClockSkew`          |
| the time                | time                                                              |                      |
| 401, and AWS rejects    | they have expired, or the role may no longer be assumed           | that of AWS          |
| the credentials         |                                                                   |                      |
| 403                     | the entry's group is not bound in the cluster                     | `Forbidden`          |
| none, private endpoint  | its name leads to addresses in the VPC: routing, security group   | `EndpointPrivate`    |
| none, public endpoint   | it admits only some address ranges, or any other network problem  | `EndpointRestricted` |
|                         |                                                                   | or `Unreachable`     |
| no cluster of that name | in the cluster's own account: it is gone                          | `ClusterGone`        |
| (DescribeCluster)       | in another account: it is unknown whether the cluster exists      | `ClusterNotFound`    |

Pure: no I/O, no clock.
"""

import shlex
from dataclasses import dataclass, replace

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.formatting import retire_command
from policyhub.eks.description import Arn, Description, health
from policyhub.model.text import line

GROUP = "policyhub"
"""The chart binds its ClusterRole to this group by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerIdentity:
    """The AWS identity that signs tokens, from GetCallerIdentity."""

    account: str = ""
    principal: str = ""
    """ARN of the role or user, as an access entry names it; empty: not known."""
    fault: Cause | None = None
    """Why GetCallerIdentity failed."""
    clock_skewed: bool = False
    """Whether AWS rejects our signatures because of their time."""
    credentials_rejected: bool = False
    """Whether AWS also rejects the credentials."""


def principal(arn: str, *, role_arn: str) -> str:
    """The ARN that an access entry needs: the role of a session. STS omits the role's path, `role_arn` has it."""
    if role_arn:
        return role_arn
    _, partition, service, _, account, resource = (*arn.split(":", 5), "", "", "", "", "", "")[:6]
    kind, _, rest = resource.partition("/")
    if service == "sts" and kind == "assumed-role":
        return f"arn:{partition}:iam::{account}:role/{rest.partition('/')[0]}"
    return arn


def unauthorized(arn: Arn, caller: CallerIdentity, found: Description | None, *, detail: str) -> Cause:
    """For a 401."""
    who = caller.principal or "the operator's role"
    refused = f"the API server of the EKS cluster {arn.name} does not accept the token of {who} ({detail})"
    if caller.fault is not None and caller.clock_skewed:
        return Cause(
            Reason.CLOCK_SKEW,
            f"{refused}, and AWS rejects the time of the operator's signatures: {caller.fault.message}. A token is"
            " valid for 15 minutes by AWS's clock",
            remedy="Synchronize the clock of the operator's node (chrony with Amazon Time Sync)",
        )
    if caller.fault is not None and caller.credentials_rejected:
        return replace(caller.fault, message=f"{refused}, and AWS rejects its credentials: {caller.fault.message}")
    if found is not None and found.authentication_mode == "CONFIG_MAP":
        return Cause(
            Reason.CONFIG_MAP_ONLY,
            f"{refused}: its authentication mode is CONFIG_MAP, which does not use access entries{health(found)}",
            remedy=f"Either map the role to the group {GROUP} in the cluster's ConfigMap aws-auth, without the role's"
            " path. Or enable access entries, which cannot be undone: aws eks update-cluster-config"
            f" --region {arn.region} --name {arn.name} --access-config authenticationMode=API_AND_CONFIG_MAP; then"
            f" {_create(arn, caller)}",
        )
    return Cause(
        Reason.ACCESS_ENTRY_MISSING,
        f"{refused}, although the token is new. The cluster has no access entry for the role, or the role was deleted"
        f" and created again: for EKS, the old entry does not belong to the new role{health(found)}",
        remedy=f"If aws eks list-access-entries {_at(arn)} does not show the role, create its entry:"
        f" {_create(arn, caller)}. If it does, and the role was deleted and created again after that, delete the entry:"
        f" aws eks delete-access-entry {_at(arn)} --principal-arn {_principal(caller)}; then create it with the command"
        " above. Otherwise keep the entry and wait: EKS needs a minute to apply a new one",
    )


def forbidden(detail: str) -> Cause:
    """For a 403 to the first request, which reads the namespace kube-system."""
    return Cause(
        Reason.FORBIDDEN,
        f"the operator may not get the namespace kube-system: {detail}. The access entry works, but its group has no"
        " permissions in the cluster",
        remedy="Install the chart policyhub-access in that cluster: helm upgrade --install policyhub-access"
        " charts/policyhub-access --namespace policyhub --create-namespace. It grants the permissions to the group"
        f" {GROUP}, which the entry must have. The access policy AmazonEKSViewPolicy is not enough: it does not include"
        " policy reports",
    )


def unreachable(found: Description | None, *, server: str, detail: str) -> Cause:
    """For a request without an answer."""
    if found is not None and not found.public_access:
        return Cause(
            Reason.ENDPOINT_PRIVATE,
            f"{server} does not answer: {detail}. The cluster's endpoint is private: its name resolves to addresses in"
            f" the cluster's VPC{health(found)}",
            remedy="Give the operator's nodes a route to that VPC (peering, transit gateway), and allow them on port"
            " 443 in the cluster's security group",
        )
    if found is not None and found.public_cidrs:
        ranges = ", ".join(line(one, 43) for one in found.public_cidrs[:5])
        return Cause(
            Reason.ENDPOINT_RESTRICTED,
            f"{server} does not answer: {detail}. The cluster's public endpoint admits only {ranges}{health(found)}",
            remedy="Add the operator's public address (that of its NAT gateway) to publicAccessCidrs, or give it a"
            " route to the private endpoint",
        )
    return Cause(
        Reason.UNREACHABLE,
        f"{server} does not answer: {detail}{health(found)}",
        remedy="Check the route from the operator's Pod to the server: network policies, the cluster's security group"
        " (port 443), the proxy",
    )


def gone(arn: Arn, caller: CallerIdentity, *, name: str) -> Cause:
    """For a cluster that DescribeCluster does not find; `name` is that of the MonitoredCluster."""
    if caller.account == arn.account:
        return Cause(
            Reason.CLUSTER_GONE,
            f"account {arn.account} has no EKS cluster {arn.name} in {arn.region}: it was deleted",
            remedy="If it will be created again under the same name, wait. If not,"
            f" {retire_command(name)} counts its findings, and says how to archive them",
        )
    unknown = caller.fault.message if caller.fault is not None else "no account in the answer"
    searched = f"account {caller.account}" if caller.account else f"an account that STS did not return ({unknown})"
    return Cause(
        Reason.CLUSTER_NOT_FOUND,
        f"{searched} has no EKS cluster {arn.name} in {arn.region}. The cluster belongs to account {arn.account}, which"
        " was not searched, so it is unknown whether the cluster exists",
        remedy=another_account(arn),
    )


def untrusted_endpoint(arn: Arn, host: str, *, described: bool) -> Cause:
    """For an endpoint that does not belong to EKS. `described`: DescribeCluster names it; else the spec does."""
    command = f"aws eks describe-cluster --region {arn.region} --name {arn.name}"
    if described:
        source = "The endpoint that DescribeCluster names"
        check = f"Check AWS_ENDPOINT_URL… in the operator's environment, and compare with what {command} prints"
    else:
        source, check = "spec.connection.eks.endpoint", f"Set endpoint to what {command} prints"
    return Cause(
        Reason.ENDPOINT_INVALID,
        f"{source} has the host {line(host, 253)}, which is not an EKS endpoint in {arn.region}. The operator does not"
        f" send the token for {arn.name} there, because its receiver could use it at the cluster",
        remedy=f"{check}. If the host belongs to the cluster and you trust it, add it to the operator's setting"
        " POLICYHUB_EKS_ENDPOINT_HOSTS (chart: settings.eksEndpointHosts)",
    )


def another_account(arn: Arn) -> str:
    """The remedy if the identity belongs to another account than the cluster."""
    return (
        f"Set spec.connection.eks.roleArn to a role in account {arn.account}; or set endpoint and"
        " certificateAuthorityData there, and create an access entry for the operator's own role"
    )


def role_refused(arn: Arn, role_arn: str) -> str:
    """The remedy if the role cannot be assumed."""
    return (
        f"Both sides must allow it: the operator's role needs sts:AssumeRole (with Pod Identity also sts:TagSession) on"
        f" {role_arn}, and that role's trust policy must name the operator's role and the external id"
        f" (spec.connection.eks.externalId); policyhub iam-policy --eks={arn.text} --eks-role={role_arn} prints both"
    )


def _at(arn: Arn) -> str:
    return f"--region {arn.region} --cluster-name {arn.name}"


def _principal(caller: CallerIdentity) -> str:
    return shlex.quote(caller.principal) if caller.principal else "ROLE_ARN"


def _create(arn: Arn, caller: CallerIdentity) -> str:
    return f"aws eks create-access-entry {_at(arn)} --principal-arn {_principal(caller)} --kubernetes-groups {GROUP}"
