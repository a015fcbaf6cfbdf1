"""Policies and templates above AWS's limits are rejected by the command, with an alternative."""

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
    """250 accounts are too many for the operator's inline policy. With --only they become managed policies; the other
    accounts' roles are printed as usual.
    """
    all_of_them = [role(account) for account in accounts(250)]
    reported = refused(printed("--discover=eu-west-1", "-o", output, *all_of_them))
    assert re.search(
        f"the permissions of arn:aws:iam::{OPERATOR}:role/policyhub have 1[01],[0-9]{{3}} characters", reported
    )
    assert "IAM allows 10,240 in all inline policies of a role: print them in parts with --only permissions" in reported
    assert (
        printed("--discover=eu-west-1", "-o", output, f"--in-account={accounts(250)[7]}", *all_of_them).exit_code == 0
    )
    part = printed("--discover=eu-west-1", "--only=permissions", *all_of_them[:125])
    assert len("".join(part.stdout.split())) <= 6_144, part.stderr


@pytest.mark.parametrize("output", [*OUTPUTS, "stackset"])
def test_a_role_with_too_many_clusters(output: str) -> None:
    """200 clusters of one account are too many for its role; --discover, in the message, makes them one pattern."""
    given = [role(OTHER), *clusters(OTHER, 200), "-o", output]
    given += [] if output == "stackset" else [f"--in-account={OTHER}"]
    reported = refused(printed(*given))
    assert f"the permissions of arn:aws:iam::{OTHER}:role/policyhub have" in reported
    assert "add --discover eu-west-1, which names all clusters of a Region by one pattern" in reported
    assert printed(*given, "--discover", "eu-west-1").exit_code == 0


def test_the_operators_own_clusters() -> None:
    """They are part of its own policy: --discover-own makes them one pattern."""
    given = clusters(OPERATOR, 200)
    assert "for the operator's own account, also add --discover-own" in refused(printed(*given))
    assert printed(*given, "--discover=eu-west-1", "--discover-own").exit_code == 0


def test_the_longest_policy_that_iam_takes() -> None:
    """White space in JSON does not count. One cluster more is too many; the trust policy is still printed."""

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
def test_the_maximum_of_cloudformation_resources(output: str) -> None:
    """The role and 499 entries fit into a template; one more does not."""
    given = [role(OTHER), "--discover=eu-west-1", "-o", output]
    given += [] if output == "stackset" else [f"--in-account={OTHER}"]
    done = printed(*given, *clusters(OTHER, 499))
    assert done.exit_code == 0
    assert done.stdout.startswith("# Longer than 51,200 bytes: CloudFormation takes it only from S3")
    assert len(yaml.safe_load(done.stdout)["Resources"]) == 500
    reported = refused(printed(*given, *clusters(OTHER, 500)))
    assert "the template has 501 resources, but CloudFormation allows 500: " in reported
    assert "omit some --eks, add --discover for their permissions" in reported


def test_the_maximum_size_of_a_template() -> None:
    """Long texts reach it before the maximum of resources."""
    template: dict[str, Any] = {"Resources": {"Role": {}}}
    assert limits.checked("# a\n", template, "x" * (limits.MAX_BYTES - 4), split="split").startswith("# Longer")
    with pytest.raises(limits.LimitError, match="has 1,000,001 bytes, but CloudFormation allows 1,000,000"):
        limits.checked("# a\n", template, "x" * (limits.MAX_BYTES - 3), split="split")
