"""What DescribeCluster says of a cluster, as far as reaching it depends on that, and the states in which it has no API.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policyhub.api.reason import Cause, Reason
from policyhub.sources.text import line

_CODE = 64
_MOST = 5
ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arn:
    """Of a cluster, taken apart."""

    text: str
    partition: str
    region: str
    account: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Arn":
        """`text` is one that the API has checked."""
        _, partition, _, region, account, cluster = text.split(":", 5)
        return cls(text=text, partition=partition, region=region, account=account, name=cluster.partition("/")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Empty is what the answer does not say."""

    arn: str = ""
    status: str = ""
    endpoint: str = ""
    authority: str = ""
    """PEM, in base64."""
    mode: str = ""
    """API, API_AND_CONFIG_MAP or CONFIG_MAP: whether access entries count."""
    public: bool = True
    """Whether the endpoint can be reached from outside the VPC."""
    admitted: tuple[str, ...] = ()
    """Address ranges that the public endpoint admits, where it does not admit all."""
    issues: tuple[str, ...] = ()
    """Codes of its health."""
    local_id: str = ""
    """Of a local cluster on Outposts, which is signed for instead of the name."""
    tags: Mapping[str, str] = field(default_factory=dict)
    connected: bool = False
    """Whether it is no EKS cluster, but one that EKS Connector shows in the console."""


def read(answer: Mapping[str, Any]) -> Description:
    """What is not as the API has it is as if it were not there."""
    cluster = _within(answer, "cluster")
    network = _within(cluster, "resourcesVpcConfig")
    ranges = [str(one) for one in network.get("publicAccessCidrs") or ()]
    issues = _within(cluster, "health").get("issues") or ()
    return Description(
        arn=_text(cluster, "arn"),
        status=_text(cluster, "status"),
        endpoint=_text(cluster, "endpoint"),
        authority=_text(_within(cluster, "certificateAuthority"), "data"),
        mode=_text(_within(cluster, "accessConfig"), "authenticationMode"),
        public=network.get("endpointPublicAccess") is not False,
        admitted=() if ANYWHERE & {*ranges} else tuple(ranges),
        issues=tuple(line(_text(issue, "code"), _CODE) for issue in issues if isinstance(issue, Mapping)),
        local_id=_text(cluster, "id") if cluster.get("outpostConfig") else "",
        tags={str(key): str(value) for key, value in _within(cluster, "tags").items()},
        connected=bool(cluster.get("connectorConfig")),
    )


def _within(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(parent: Mapping[str, Any], name: str) -> str:
    found = parent.get(name)
    return found if isinstance(found, str) else ""


def barring(arn: Arn, found: Description) -> Cause | None:
    """Why the cluster cannot be worked with, whatever its API server would say. UPDATING serves as ACTIVE does."""
    where = f"the EKS cluster {arn.name} in account {arn.account}, {arn.region}"
    if found.connected:
        return Cause(
            Reason.CLUSTER_EXTERNAL,
            f"{where} is registered by EKS Connector: AWS shows it in its console, and has no API server of it",
            remedy="Connect it by a kubeconfig: spec.connection.kubeconfigSecretRef",
        )
    match found.status:
        case "CREATING" | "PENDING":
            told = f"{where} is being created (status {found.status}) and has no API server yet"
            return Cause(Reason.CLUSTER_CREATING, told, remedy="Wait: EKS is asked again once a minute")
        case "DELETING":
            return Cause(
                Reason.CLUSTER_DELETING,
                f"{where} is being deleted",
                remedy="If it is meant to go, wait: once it is gone, this condition says how to archive what is left",
            )
        case "FAILED":
            return Cause(
                Reason.CLUSTER_FAILED,
                f"{where} could not be created (status FAILED{_issues(found)})",
                remedy="Delete it and create it again, or delete this MonitoredCluster",
            )
    if not found.endpoint or not found.authority:
        told = f"{where} has no endpoint yet (status {line(found.status, _CODE) or 'unknown'})"
        return Cause(Reason.CLUSTER_CREATING, told, remedy="Wait: EKS is asked again once a minute")
    return None


def _issues(found: Description) -> str:
    return f", EKS reports {', '.join(found.issues[:_MOST])}" if found.issues else ""


def health(found: Description | None) -> str:
    """What EKS says is wrong with the cluster, as the end of a sentence; empty where nothing is."""
    if found is None or not found.issues:
        return ""
    more = (
        ". STS is switched off for the cluster's Region in its account, so that no token can be verified: switch it on"
        " (IAM console, Account settings)"
        if "StsRegionalEndpointDisabled" in found.issues
        else ""
    )
    return f". EKS reports for this cluster: {', '.join(found.issues[:_MOST])}{more}"
