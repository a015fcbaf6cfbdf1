"""Parses the answer of DescribeCluster, and recognises the states in which a cluster has no API server.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policyhub.api.reason import Cause, Reason
from policyhub.model.text import line

_CODE = 64
_MAX_ISSUES = 5
ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arn:
    """The parts of a cluster's ARN."""

    text: str
    partition: str
    region: str
    account: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Arn":
        """`text` is a valid ARN; the API has checked it."""
        _, partition, _, region, account, cluster = text.split(":", 5)
        return cls(text=text, partition=partition, region=region, account=account, name=cluster.partition("/")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The members that the operator needs; empty if the answer lacks them."""

    arn: str = ""
    status: str = ""
    endpoint: str = ""
    authority: str = ""
    """PEM, in base64."""
    authentication_mode: str = ""
    """API, API_AND_CONFIG_MAP or CONFIG_MAP; the first two use access entries."""
    public_access: bool = True
    """Whether the endpoint can be reached from outside the VPC."""
    public_cidrs: tuple[str, ...] = ()
    """Address ranges that the public endpoint admits; empty if it admits all."""
    issues: tuple[str, ...] = ()
    """Codes of health issues."""
    local_id: str = ""
    """Id of a local cluster on Outposts; its token is signed for this id instead of the name."""
    tags: Mapping[str, str] = field(default_factory=dict)
    external: bool = False
    """Whether it is an external cluster that EKS Connector shows in the console."""


def read(answer: Mapping[str, Any]) -> Description:
    """Members of a wrong type are treated as missing."""
    cluster = _mapping(answer, "cluster")
    network = _mapping(cluster, "resourcesVpcConfig")
    ranges = [str(one) for one in network.get("publicAccessCidrs") or ()]
    issues = _mapping(cluster, "health").get("issues") or ()
    return Description(
        arn=_text(cluster, "arn"),
        status=_text(cluster, "status"),
        endpoint=_text(cluster, "endpoint"),
        authority=_text(_mapping(cluster, "certificateAuthority"), "data"),
        authentication_mode=_text(_mapping(cluster, "accessConfig"), "authenticationMode"),
        public_access=network.get("endpointPublicAccess") is not False,
        public_cidrs=() if ANYWHERE & {*ranges} else tuple(ranges),
        issues=tuple(line(_text(issue, "code"), _CODE) for issue in issues if isinstance(issue, Mapping)),
        local_id=_text(cluster, "id") if cluster.get("outpostConfig") else "",
        tags={str(key): str(value) for key, value in _mapping(cluster, "tags").items()},
        external=bool(cluster.get("connectorConfig")),
    )


def _mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(parent: Mapping[str, Any], name: str) -> str:
    found = parent.get(name)
    return found if isinstance(found, str) else ""


def blocking_fault(arn: Arn, found: Description) -> Cause | None:
    """Why the cluster cannot be used at all; None if it can. UPDATING counts as ACTIVE."""
    where = f"the EKS cluster {arn.name} in account {arn.account}, {arn.region}"
    if found.external:
        return Cause(
            Reason.CLUSTER_EXTERNAL,
            f"{where} is registered by EKS Connector: AWS shows it in its console, but does not know its API server",
            remedy="Connect to it with a kubeconfig: spec.connection.kubeconfigSecretRef",
        )
    match found.status:
        case "CREATING" | "PENDING":
            detail = f"{where} is being created (status {found.status}) and has no API server yet"
            return Cause(Reason.CLUSTER_CREATING, detail, remedy="Wait: the operator asks EKS again once a minute")
        case "DELETING":
            return Cause(
                Reason.CLUSTER_DELETING,
                f"{where} is being deleted",
                remedy="If that is intended, wait: after the deletion, this condition says how to archive its findings",
            )
        case "FAILED":
            return Cause(
                Reason.CLUSTER_FAILED,
                f"{where} could not be created (status FAILED{_issues(found)})",
                remedy="Delete it and create it again, or delete this MonitoredCluster",
            )
    if not found.endpoint or not found.authority:
        detail = f"{where} has no endpoint yet (status {line(found.status, _CODE) or 'unknown'})"
        return Cause(Reason.CLUSTER_CREATING, detail, remedy="Wait: the operator asks EKS again once a minute")
    return None


def _issues(found: Description) -> str:
    return f", EKS reports {', '.join(found.issues[:_MAX_ISSUES])}" if found.issues else ""


def health(found: Description | None) -> str:
    """The health issues that EKS reports, as the end of a sentence; empty if there are none."""
    if found is None or not found.issues:
        return ""
    more = (
        ". STS is disabled for the cluster's Region in its account, so EKS cannot verify tokens: enable it"
        " (IAM console, Account settings)"
        if "StsRegionalEndpointDisabled" in found.issues
        else ""
    )
    return f". EKS reports for this cluster: {', '.join(found.issues[:_MAX_ISSUES])}{more}"
