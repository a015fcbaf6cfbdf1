"""Hosts to which tokens are sent."""

import pytest

from policyhub.api.partitions import DOMAINS
from policyhub.eks.description import Arn
from policyhub.eks.endpoint import is_allowed


def allowed(host: str, *hosts: str, partition: str = "aws", region: str = "eu-west-1") -> bool:
    arn = Arn.parse(f"arn:{partition}:eks:{region}:111122223333:cluster/prod-eu")
    return is_allowed(f"https://{host}", arn, hosts)


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "0123ABCD.gr7.eu-west-1.eks.amazonaws.com"),
        ("aws", "eu-west-1", "0123ABCD.gr7.eu-west-1.eks.amazonaws.com:443"),
        ("aws", "us-east-1", "0123ABCD.sk1.eks-cluster.us-east-1.api.aws"),
        ("aws-us-gov", "us-gov-west-1", "0123ABCD.gr7.us-gov-west-1.eks.amazonaws.com"),
        ("aws-cn", "cn-north-1", "0123ABCD.gr7.cn-north-1.eks.amazonaws.com.cn"),
        ("aws-cn", "cn-north-1", "0123ABCD.gr7.eks-cluster.cn-north-1.api.amazonwebservices.com.cn"),
        ("aws-iso", "us-iso-east-1", "0123ABCD.gr7.us-iso-east-1.eks.c2s.ic.gov"),
        ("aws-eusc", "eusc-de-east-1", "0123ABCD.gr7.eusc-de-east-1.eks.amazonaws.eu"),
    ],
)
def test_hosts_of_eks(partition: str, region: str, host: str) -> None:
    """Of each partition, for IPv4 and dual-stack."""
    assert allowed(host, partition=partition, region=region)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "example.com",
        "0123ABCD.gr7.us-east-1.eks.amazonaws.com",
        "0123ABCD.gr7.eu-west-1.eks.amazonaws.com.example.com",
        "example.com/0123ABCD.gr7.eu-west-1.eks.amazonaws.com",
        "0123ABCD.gr7.eu-west-1.eks.amazonaws.com@example.com",
        "eu-west-1.eks.amazonaws.com.cn",
        "xeu-west-1.eks.amazonaws.com",
        "abc.execute-api.eu-west-1.api.aws",
        "0123ABCD.gr7.eks-cluster.us-east-1.api.aws",
        "ec2-203-0-113-1.eu-west-1.compute.amazonaws.com",
        "abc.execute-api.eu-west-1.amazonaws.com",
        "",
        "[::1",
    ],
)
def test_other_hosts(host: str) -> None:
    """Other Regions' and other services' hosts are refused too."""
    assert not allowed(host)


@pytest.mark.parametrize("partition", DOMAINS)
def test_no_partition_allows_every_host(partition: str) -> None:
    """Even without a domain for IPv6."""
    assert not allowed("example.com", partition=partition)


def test_hosts_in_the_settings() -> None:
    """A host matches itself, a domain its subdomains."""
    assert allowed("relay.example.com", "relay.example.com")
    assert allowed("[::1]:6443", "::1")
    assert allowed("a.b.example.com", ".example.com")
    assert not allowed("a.relay.example.com", "relay.example.com")
    assert not allowed("example.com", ".example.com")
    assert not allowed("badexample.com", ".example.com")
