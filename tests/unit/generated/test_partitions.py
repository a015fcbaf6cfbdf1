"""What is generated from botocore's endpoint data: the names of Regions, and where FIPS endpoints are."""

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
    """Every Region that there is has the form of its own partition, and of no other."""
    assert [name for name, pattern in REGIONS.items() if re.fullmatch(pattern, region)] == [partition]
    assert scalar.partition_of(region) == partition
    assert TypeAdapter(scalar.Region).validate_python(region) == region


def test_each_partition_is_there() -> None:
    """None of botocore's partitions is left out, and those that a finding can name are among them."""
    assert REGIONS.keys() == {partition for partition, _ in KNOWN}
    assert {*scalar.PARTITIONS.split("|")} < REGIONS.keys()


@pytest.mark.parametrize("region", ["xx-west-1", "us-goff-west-1", "eusc-fr-east-1", "aws-global", "us-west"])
def test_what_no_partition_has(region: str) -> None:
    """A name of no partition's form."""
    assert not re.fullmatch(scalar.REGION_OF_A_PARTITION, region)


@pytest.mark.parametrize(("partition", "region"), KNOWN)
def test_an_arn_of_a_cluster_is_of_its_regions_partition(partition: str, region: str) -> None:
    """An ARN names a partition and a Region that lies in it."""
    arns = TypeAdapter(scalar.ClusterArn)
    other = "aws-cn" if partition != "aws-cn" else "aws"
    if partition in scalar.PARTITIONS.split("|"):
        assert arns.validate_python(f"arn:{partition}:eks:{region}:111122223333:cluster/a")
    with pytest.raises(ValidationError):
        arns.validate_python(f"arn:{other}:eks:{region}:111122223333:cluster/a")


def test_where_fips_endpoints_are() -> None:
    """In the Regions for which botocore lists one of Security Hub and one of STS; it would invent one for any other."""
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
    """What botocore may write one day is not guessed."""
    assert partitions._pattern(r"^cn\-\w+\-\d+$") == "cn-[a-z]+-[0-9]{1,2}"
    with pytest.raises(ValueError, match="has a new form"):
        partitions._pattern(r"^(?!us-gov)\w+$")
