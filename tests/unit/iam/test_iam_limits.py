"""What AWS would refuse at the deployment is refused by the command, with what to do instead."""

import json
import re
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from policyhub.cli.main import app
from policyhub.iam import limits

OPERATOR = "111122223333"
OTHER = "444455556666"
OUTPUTS = ["json", "cloudformation", "terraform"]


def role(account: str) -> str:
    return f"--eks-role=arn:aws:iam::{account}:role/policyhub"


def clusters(account: str, count: int) -> list[str]:
    return [f"--eks=arn:aws:eks:eu-west-1:{account}:cluster/team-payments-{number:03}" for number in range(count)]


def accounts(count: int) -> list[str]:
    return [f"4{number:011}" for number in range(count)]


def printed(*given: str) -> Result:
    return CliRunner().invoke(app, ["iam-policy", f"--account-id={OPERATOR}", "--region=eu-west-1", *given])


def refused(done: Result) -> str:
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("policyhub: ")
    return done.stderr


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_operator_with_too_many_roles(output: str) -> None:
    """250 accounts are too many for the operator's inline policy. In parts they are managed policies, and the other
    accounts' roles are printed as ever.
    """
    all_of_them = [role(account) for account in accounts(250)]
    told = refused(printed("--discover=eu-west-1", "-o", output, *all_of_them))
    assert re.search(
        f"the permissions of arn:aws:iam::{OPERATOR}:role/policyhub have 1[01],[0-9]{{3}} characters", told
    )
    assert "IAM allows 10,240 in all inline policies of a role: print them in parts with --only permissions" in told
    assert (
        printed("--discover=eu-west-1", "-o", output, f"--in-account={accounts(250)[7]}", *all_of_them).exit_code == 0
    )
    part = printed("--discover=eu-west-1", "--only=permissions", *all_of_them[:125])
    assert len("".join(part.stdout.split())) <= 6_144, part.stderr


@pytest.mark.parametrize("output", [*OUTPUTS, "stackset"])
def test_a_role_with_too_many_clusters(output: str) -> None:
    """200 clusters of one account are too many for its role; --discover, which the message names, makes them one
    pattern.
    """
    given = [role(OTHER), *clusters(OTHER, 200), "-o", output]
    given += [] if output == "stackset" else [f"--in-account={OTHER}"]
    told = refused(printed(*given))
    assert f"the permissions of arn:aws:iam::{OTHER}:role/policyhub have" in told
    assert "add --discover eu-west-1, which names all clusters of a Region by one pattern" in told
    assert printed(*given, "--discover", "eu-west-1").exit_code == 0


def test_the_operators_own_clusters() -> None:
    """They are part of its own policy: --discover-own makes them one pattern."""
    given = clusters(OPERATOR, 200)
    assert "for the operator's own account, also add --discover-own" in refused(printed(*given))
    assert printed(*given, "--discover=eu-west-1", "--discover-own").exit_code == 0


def test_the_longest_policy_that_iam_takes() -> None:
    """What is counted is JSON without white space. One cluster more is too many; the trust policy is still printed."""

    def size(count: int) -> int:
        statement = {"Sid": "DescribeClusters", "Effect": "Allow", "Action": ["eks:DescribeCluster"]}
        named = [flag.partition("=")[2] for flag in clusters(OTHER, count)]
        document = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": named}]}
        return len("".join(json.dumps(document).split()))

    most = max(count for count in range(300) if size(count) <= 10_240)
    for count, code in ((most, 0), (most + 1, 2)):
        given = [role(OTHER), *clusters(OTHER, count), f"--in-account={OTHER}"]
        assert printed(*given, "--only=permissions").exit_code == code
        assert printed(*given, "--only=trust").exit_code == 0


@pytest.mark.parametrize("output", ["cloudformation", "stackset"])
def test_the_most_resources_that_cloudformation_takes(output: str) -> None:
    """The role and 499 entries are a template, with one more they are none."""
    given = [role(OTHER), "--discover=eu-west-1", "-o", output]
    given += [] if output == "stackset" else [f"--in-account={OTHER}"]
    done = printed(*given, *clusters(OTHER, 499))
    assert done.exit_code == 0
    assert done.stdout.startswith("# Longer than 51,200 bytes: CloudFormation takes it only from S3")
    assert len(yaml.safe_load(done.stdout)["Resources"]) == 500
    told = refused(printed(*given, *clusters(OTHER, 500)))
    assert "the template has 501 resources, but CloudFormation allows 500: " in told
    assert "omit some --eks, add --discover for their permissions" in told


def test_the_longest_template_that_s3_may_hold() -> None:
    """Long before it has too many resources, if its texts are long enough."""
    template: dict[str, Any] = {"Resources": {"Role": {}}}
    assert limits.checked("# a\n", template, "x" * (limits.MAX_BYTES - 4), split="split").startswith("# Longer")
    with pytest.raises(limits.LimitError, match="has 1,000,001 bytes, but CloudFormation allows 1,000,000"):
        limits.checked("# a\n", template, "x" * (limits.MAX_BYTES - 3), split="split")
