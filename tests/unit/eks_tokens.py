"""Tokens as the operator signs them, for one Region of each partition."""

from policyhub.clock import SteadyMs
from policyhub.securityhub.credentials import Clients, Loader

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

HOSTS = {
    ("aws", "eu-west-1"): "sts.eu-west-1.amazonaws.com",
    ("aws", "us-east-1"): "sts.us-east-1.amazonaws.com",
    ("aws", "ap-southeast-7"): "sts.ap-southeast-7.amazonaws.com",
    ("aws-cn", "cn-north-1"): "sts.cn-north-1.amazonaws.com.cn",
    ("aws-us-gov", "us-gov-west-1"): "sts.us-gov-west-1.amazonaws.com",
    ("aws-iso", "us-iso-east-1"): "sts.us-iso-east-1.c2s.ic.gov",
    ("aws-iso-b", "us-isob-east-1"): "sts.us-isob-east-1.sc2s.sgov.gov",
    ("aws-iso-e", "eu-isoe-west-1"): "sts.eu-isoe-west-1.cloud.adc-e.uk",
    ("aws-iso-f", "us-isof-south-1"): "sts.us-isof-south-1.csp.hci.ic.gov",
    ("aws-eusc", "eusc-de-east-1"): "sts.eusc-de-east-1.amazonaws.eu",
}
"""Partition and Region → the host of STS."""


def signed_url(loader: Loader, region: str, *, cluster: str = "prod-eu") -> str:
    """A signed URL with the credentials of the environment."""
    return Clients(region=region, version="0", loader=loader).caller_url(cluster).url


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> SteadyMs:
        return SteadyMs(self.ms)
