"""The data generated from botocore's endpoints: names of Regions, and FIPS endpoints."""

import re
from typing import Any

import botocore.session
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from dev import partitions
from policyhub.api import scalar
from policyhub.api.partitions import REGIONS

SESSION = botocore.session.get_session()
KNOWN = [
    (partition, region)
    for partition in SESSION.get_available_partitions()
    for region in SESSION.get_available_regions("ec2", partition)
]


@pytest.mark.parametrize(("partition", "region"), KNOWN)
def test_each_region_is_of_one_partition(partition: str, region: str) -> None:
    """Every Region matches the pattern of its own partition, and of no other."""
    assert [name for name, pattern in REGIONS.items() if re.fullmatch(pattern, region)] == [partition]
    assert scalar.partition_of(region) == partition
    assert TypeAdapter(scalar.Region).validate_python(region) == region


def test_each_partition_is_included() -> None:
    """All of botocore's partitions, including those that a finding can name."""
    assert REGIONS.keys() == {partition for partition, _ in KNOWN}
    assert {*scalar.PARTITIONS.split("|")} < REGIONS.keys()


@pytest.mark.parametrize("region", ["xx-west-1", "us-goff-west-1", "eusc-fr-east-1", "aws-global", "us-west"])
def test_invalid_regions(region: str) -> None:
    """Names that match no partition's pattern."""
    assert not re.fullmatch(scalar.REGION_OF_A_PARTITION, region)


@pytest.mark.parametrize(("partition", "region"), KNOWN)
def test_an_arn_of_a_cluster_is_of_its_regions_partition(partition: str, region: str) -> None:
    """An ARN names a partition, and a Region of that partition."""
    arns = TypeAdapter(scalar.ClusterArn)
    other = "aws-cn" if partition != "aws-cn" else "aws"
    if partition in scalar.PARTITIONS.split("|"):
        assert arns.validate_python(f"arn:{partition}:eks:{region}:111122223333:cluster/a")
    with pytest.raises(ValidationError):
        arns.validate_python(f"arn:{other}:eks:{region}:111122223333:cluster/a")


def test_fips_endpoints() -> None:
    """In the Regions for which botocore lists them for Security Hub and STS; it would invent them for others."""
    text = partitions.generated()[partitions.TEMPLATE].partition('"policyhub.fipsRegions" -}}')[2].partition("{{")[0]
    listed = yaml.safe_load(text)
    assert listed
    data: dict[str, Any] = SESSION.get_component("data_loader").load_data("endpoints")
    hosts = {
        variant["hostname"]
        for partition in data["partitions"]
        for service in ("securityhub", "sts")
        for endpoint in partition["services"].get(service, {}).get("endpoints", {}).values()
        for variant in endpoint.get("variants", ())
        if "fips" in variant["tags"]
    }
    regions = {region for _, region in KNOWN}
    assert {region for region in regions if any(f"securityhub-fips.{region}." in host for host in hosts)} == {*listed}


def test_a_pattern_of_a_new_form_is_an_error() -> None:
    """A pattern that botocore may write one day is not guessed."""
    assert partitions._pattern(r"^cn\-\w+\-\d+$") == "cn-[a-z]+-[0-9]{1,2}"
    with pytest.raises(ValueError, match="has a new form"):
        partitions._pattern(r"^(?!us-gov)\w+$")
