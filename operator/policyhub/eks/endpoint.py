"""Whether a host that a spec or DescribeCluster names for an EKS cluster may receive its token.

Whoever receives a bearer token can use it for fifteen minutes, at the cluster whose name is signed. So tokens are sent
only to hosts of EKS in the cluster's Region, and to hosts that the operator's settings name. All hosts of EKS are in
domains that AWS uses for nothing else:

| clusters                          | endpoint, in partition `aws`                     |
|-----------------------------------|--------------------------------------------------|
| IPv4; IPv6 made before late 2024  | `https://ID.XX.REGION.eks.amazonaws.com`         |
| IPv6                              | `https://ID.XX.eks-cluster.REGION.api.aws`       |

A host that ends only in `REGION.api.aws` may belong to anybody, for example to an API of API Gateway.

The rule does not prove that the host is this cluster's. Any AWS account can have a cluster in the Region, and the
public name of a private endpoint resolves to addresses of a VPC, which its owner chooses. With a spec's own certificate
authority, the server that answers there may be anybody's. docs/security.md says what an admin can do.

Pure: no I/O, no clock.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from policyhub.api.partitions import DOMAINS
from policyhub.eks.description import Arn


def host(server: str) -> str:
    """The host of a URL; empty if it has none."""
    try:
        return (urlsplit(server).hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_allowed(server: str, arn: Arn, hosts: Sequence[str]) -> bool:
    """`hosts` are from the settings: names, addresses, and domains with a leading dot."""
    name = host(server)
    one, both = DOMAINS.get(arn.partition, ("", ""))
    suffixes = [f".{arn.region}.eks.{one}" if one else "", f".eks-cluster.{arn.region}.{both}" if both else ""]
    suffixes += [entry for entry in hosts if entry.startswith(".")]
    return name in hosts or any(suffix and name.endswith(suffix) for suffix in suffixes)
