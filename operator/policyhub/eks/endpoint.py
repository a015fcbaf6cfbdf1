"""Whether a host that a spec names for an EKS cluster may be sent its token.

A token is a bearer's: whoever is sent it can use it, for fifteen minutes, at the cluster whose name it is signed for.
So it goes to hosts of EKS in the cluster's Region, and to those that the operator's own settings name. Hosts of EKS are
all below names that AWS gives to nothing else:

| clusters                          | endpoint, in partition `aws`                     |
|-----------------------------------|--------------------------------------------------|
| IPv4; IPv6 made before late 2024  | `https://ID.XX.REGION.eks.amazonaws.com`         |
| IPv6                              | `https://ID.XX.eks-cluster.REGION.api.aws`       |

What ends in `REGION.api.aws` alone may be anybody's: an API of API Gateway, for one.

Pure: no I/O, no clock.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from policyhub.api.partitions import DOMAINS
from policyhub.eks.description import Arn


def host(server: str) -> str:
    """Of a URL; empty where it has none."""
    try:
        return (urlsplit(server).hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_allowed(server: str, arn: Arn, hosts: Sequence[str]) -> bool:
    """`hosts` of the settings: names and addresses, and domains with a dot before them."""
    name = host(server)
    one, both = DOMAINS.get(arn.partition, ("", ""))
    suffixes = [f".{arn.region}.eks.{one}" if one else "", f".eks-cluster.{arn.region}.{both}" if both else ""]
    suffixes += [entry for entry in hosts if entry.startswith(".")]
    return name in hosts or any(suffix and name.endswith(suffix) for suffix in suffixes)
