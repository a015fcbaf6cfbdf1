"""The same roles as CloudFormation and Terraform, and as docs/iam.md shows them."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policyhub.cli import app
from policyhub.iam import template
from policyhub.iam.policy import Plan, Workload

PAGE = (Path(__file__).parents[3] / "docs/iam.md").read_text("utf-8")
ACCOUNT = "111122223333"
OTHER = "444455556666"
TARGET = f"arn:aws:iam::{OTHER}:role/team/policyhub"
CLUSTERS = (f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/prod-eu", f"arn:aws:eks:us-east-1:{ACCOUNT}:cluster/prod_us")
COMMAND = re.compile(
    r"^```console\n\$ (?P<command>policyhub iam-policy (?:\\\n|[^`\n])*)\n(?P<output>[^`]*)^```$", re.MULTILINE
)


def plan(**workload: Any) -> Plan:
    return Plan(
        partition="aws",
        account=ACCOUNT,
        regions=("eu-west-1",),
        role_name="policyhub",
        workload=Workload(namespace="security", service_account="hub", **workload),
        targets=(TARGET,),
        external_id="tell-nobody",
    )


def decoded(hcl: str) -> list[dict[str, Any]]:
    """The documents in jsonencode(…), which are written as JSON."""
    return [json.loads(found) for found in re.findall(r"jsonencode\((.*?)\)$", hcl, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("number", [0, 1], ids=["own", "other"])
def test_both_say_what_the_policies_say(number: int) -> None:
    """Trust and permissions stand unchanged in the CloudFormation template and in the Terraform resources."""
    wanted = plan(clusters=CLUSTERS)
    role = wanted.roles()[number]
    properties = yaml.safe_load(template.cloudformation(wanted, role))["Resources"]["Role"]["Properties"]
    assert properties["AssumeRolePolicyDocument"] == role.trust
    assert [policy["PolicyDocument"] for policy in properties["Policies"]] == [role.permissions]
    assert (properties["RoleName"], properties.get("Path", "/")) == (role.name, role.path)
    hcl = template.terraform(wanted, role)
    assert decoded(hcl) == [role.trust, role.permissions]
    assert (f'path = "{role.path}"' in hcl) == (role.path != "/")


def test_clusters_of_the_first_region_get_their_association() -> None:
    """A stack is of one Region: what it cannot make stands above it as a command, and nothing is made twice."""
    wanted = plan(clusters=CLUSTERS)
    own, other = wanted.roles()
    resources = yaml.safe_load(template.cloudformation(wanted, own))["Resources"]
    associations = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::EKS::PodIdentityAssociation"]
    assert [(a["ClusterName"], a["Namespace"], a["ServiceAccount"]) for a in associations] == [
        ("prod-eu", "security", "hub")
    ]
    for written in (template.cloudformation(wanted, own), template.terraform(wanted, own)):
        assert "--region us-east-1 --cluster-name prod_us --namespace security --service-account hub" in written
    assert template.terraform(wanted, own).count('"aws_eks_pod_identity_association"') == 1
    assert "Association" not in template.cloudformation(wanted, other)


def test_irsa_needs_no_association() -> None:
    """With IRSA the annotation of the service account names the role: nothing else is made."""
    wanted = plan(issuers=("oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",))
    assert "pod_identity" not in template.terraform(wanted, wanted.roles()[0])
    assert list(yaml.safe_load(template.cloudformation(wanted, wanted.roles()[0]))["Resources"]) == ["Role"]


def test_no_value_becomes_a_template_of_terraform() -> None:
    """What Terraform would evaluate is written so that it stays text: a role's path may hold any character."""
    wanted = plan()
    (_, other) = Plan(
        partition="aws",
        account=ACCOUNT,
        regions=("eu-west-1",),
        role_name="policyhub",
        workload=wanted.workload,
        targets=(f"arn:aws:iam::{OTHER}:role/${{var.x}}%{{if}}/policyhub",),
    ).roles()
    assert 'path = "/$${var.x}%%{if}/"' in template.terraform(wanted, other)


@pytest.mark.parametrize("sign_in", ["pod identity", "irsa"])
def test_cloudformation_finds_no_fault(sign_in: str) -> None:
    """cfn-lint, where it is installed, has nothing to say of any template."""
    api = pytest.importorskip("cfnlint.api", reason="cfn-lint is no dependency of the project's own environment")
    issuer = ("oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",)
    wanted = plan(clusters=CLUSTERS) if sign_in == "pod identity" else plan(issuers=issuer)
    for role in wanted.roles():
        assert api.lint(template.cloudformation(wanted, role), regions=["eu-west-1"]) == []


def test_the_page_shows_what_the_command_prints() -> None:
    """Each example of docs/iam.md is the output of the command above it, to the letter."""
    examples = [(match["command"], match["output"]) for match in COMMAND.finditer(PAGE)]
    assert len(examples) == PAGE.count("$ policyhub iam-policy") >= 4
    for command, output in examples:
        done = CliRunner().invoke(app, shlex.split(command.replace("\\\n", " "))[1:])
        assert (done.exit_code, done.stdout) == (0, output), command
