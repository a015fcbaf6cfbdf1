"""The same roles as CloudFormation and Terraform, and as docs/iam.md shows them."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policyhub.cli.main import app
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


def plan(*, eks_clusters: tuple[str, ...] = (), **workload: Any) -> Plan:
    return Plan(
        partition="aws",
        account=ACCOUNT,
        regions=("eu-west-1",),
        role_name="policyhub",
        workload=Workload(namespace="security", service_account="hub", **workload),
        finding_roles=(TARGET,),
        eks_clusters=eks_clusters,
        external_id="tell-nobody",
    )


def decoded(hcl: str) -> list[dict[str, Any]]:
    """The JSON documents in jsonencode(…)."""
    return [json.loads(found) for found in re.findall(r"jsonencode\((.*?)\)$", hcl, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("number", [0, 1], ids=["own", "other"])
def test_both_contain_the_policies(number: int) -> None:
    """Trust and permissions are unchanged in the CloudFormation template and in the Terraform resources."""
    requested = plan(clusters=CLUSTERS)
    role = requested.roles()[number]
    properties = yaml.safe_load(template.cloudformation(requested, role))["Resources"]["Role"]["Properties"]
    assert properties["AssumeRolePolicyDocument"] == role.trust
    assert [policy["PolicyDocument"] for policy in properties["Policies"]] == [role.permissions]
    assert (properties["RoleName"], properties.get("Path", "/")) == (role.name, role.path)
    hcl = template.terraform(requested, role)
    assert decoded(hcl) == [role.trust, role.permissions]
    assert (f'path = "{role.path}"' in hcl) == (role.path != "/")


def test_clusters_of_the_first_region_get_their_association() -> None:
    """A stack has one Region: what it cannot create is printed as a command above it, and nothing twice."""
    requested = plan(clusters=CLUSTERS)
    own, other = requested.roles()
    resources = yaml.safe_load(template.cloudformation(requested, own))["Resources"]
    associations = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::EKS::PodIdentityAssociation"]
    assert [(a["ClusterName"], a["Namespace"], a["ServiceAccount"]) for a in associations] == [
        ("prod-eu", "security", "hub")
    ]
    for written in (template.cloudformation(requested, own), template.terraform(requested, own)):
        assert "--region us-east-1 --cluster-name prod_us --namespace security --service-account hub" in written
    assert template.terraform(requested, own).count('"aws_eks_pod_identity_association"') == 1
    assert "Association" not in template.cloudformation(requested, other)


def test_clusters_get_access_entries() -> None:
    """A role that signs in to clusters gets an entry for each. A stack has one Region, so entries elsewhere are
    commands; in Terraform they name their Region. Clusters of the same name stay separate.
    """
    names = [("eu-west-1", "shop"), ("us-east-1", "shop"), ("eu-west-1", "ba-nk"), ("eu-west-1", "ba_nk")]
    requested = plan(eks_clusters=tuple(f"arn:aws:eks:{region}:{OTHER}:cluster/{name}" for region, name in names))
    own, other = requested.roles()
    written = template.cloudformation(requested, other)
    resources = yaml.safe_load(written)["Resources"]
    entries = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::EKS::AccessEntry"]
    principal = {"Fn::GetAtt": ["Role", "Arn"]}
    assert entries == [
        {"ClusterName": name, "PrincipalArn": principal, "KubernetesGroups": ["policyhub"], "Type": "STANDARD"}
        for name in ("shop", "ba-nk", "ba_nk")
    ]
    command = f"aws eks create-access-entry --region us-east-1 --cluster-name shop --principal-arn {TARGET}"
    assert f"#   {command} --kubernetes-groups policyhub\n" in written
    hcl = template.terraform(requested, other)
    assert re.findall(r'resource "aws_eks_access_entry" "(.*)"', hcl) == [f"policyhub_{r}_{name}" for r, name in names]
    assert hcl.count('  region            = "us-east-1"\n') == hcl.count("region  ") == 1
    assert hcl.count('  kubernetes_groups = ["policyhub"]\n') == 4
    assert hcl.startswith(f"# For account {OTHER}, Region eu-west-1.\n# The argument region needs version 6 of")
    assert "ccess" not in template.terraform(requested, own) + template.cloudformation(requested, own)


def test_another_cluster_renames_no_resource() -> None:
    """CloudFormation recreates a renamed resource while the old one exists."""
    theirs = tuple(f"arn:aws:eks:eu-west-1:{OTHER}:cluster/{name}" for name in ("a", "b"))
    before, after = (
        [
            yaml.safe_load(template.cloudformation(requested, role))["Resources"]
            for requested in (plan(clusters=clusters, eks_clusters=eks_clusters),)
            for role in requested.roles()
        ]
        for clusters, eks_clusters in ((CLUSTERS[:1], theirs[1:]), ((CLUSTERS[0] + "-2", CLUSTERS[0]), theirs))
    )
    for old, new in zip(before, after, strict=True):
        assert old.keys() < new.keys()
        assert all(new[name] == one for name, one in old.items() if name != "Role")


def test_irsa_needs_no_association() -> None:
    """With IRSA the annotation of the service account names the role: nothing else is created."""
    requested = plan(issuers=("oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",))
    assert "pod_identity" not in template.terraform(requested, requested.roles()[0])
    assert list(yaml.safe_load(template.cloudformation(requested, requested.roles()[0]))["Resources"]) == ["Role"]


def test_values_are_escaped_for_terraform() -> None:
    """Terraform expressions in values stay text: a role's path may contain any character."""
    requested = plan()
    (_, other) = Plan(
        partition="aws",
        account=ACCOUNT,
        regions=("eu-west-1",),
        role_name="policyhub",
        workload=requested.workload,
        finding_roles=(f"arn:aws:iam::{OTHER}:role/${{var.x}}%{{if}}/policyhub",),
    ).roles()
    assert 'path = "/$${var.x}%%{if}/"' in template.terraform(requested, other)


ZERO = "044455556668"
"""An account id that some YAML parsers read as a number, because it is not a valid octal one."""


def plain(text: str) -> list[str]:
    """Every unquoted value of a template, after a check that PyYAML reads it as a string too."""
    found = [event.value for event in yaml.parse(text) if isinstance(event, yaml.ScalarEvent) and event.implicit[0]]
    assert all(isinstance(yaml.safe_load(value), str) for value in found)
    return found


def number(value: str) -> bool:
    for read in (float, lambda text: int(text, 0)):
        try:
            read(value)
        except ValueError:
            continue
        return True
    return False


@pytest.mark.parametrize("output", ["json", "cloudformation", "terraform", "stackset"])
@pytest.mark.parametrize("text", [ZERO, "1e5", "0x1f", "0o17", "1_000", "12:30", "on", "no", "-1", "+1", ".5", "1.5"])
def test_number_like_values_are_quoted(text: str, output: str) -> None:
    """Account ids, external ids, names of roles and clusters are strings for every parser of the output."""
    name = re.sub("[^0-9A-Za-z_-]", "1", text)
    given = [
        *("iam-policy", f"--account-id={ZERO}", "--region=eu-west-1", f"--role-name={name}", f"--external-id={text}"),
        *(f"--eks=arn:aws:eks:eu-west-1:{account}:cluster/{name.lstrip('-')}" for account in (ZERO, "099999999999")),
        *(
            f"--eks-role=arn:aws:iam::099999999999:role/{name}",
            "--namespace=1e5",
            "--service-account=0x1",
            "-o",
            output,
        ),
        f"--cluster=arn:aws:eks:eu-west-1:{ZERO}:cluster/{name.lstrip('-')}",
    ]
    for more in ([], ["--in-account=099999999999"]) if output != "stackset" else ([],):
        done = CliRunner().invoke(app, [*given, *more])
        assert done.exit_code == 0, done.output
        if output in {"json", "terraform"}:
            assert not re.search(rf'(?<![\w"/:.+-]){ZERO}(?![\w"])', re.sub("(?m)^#.*", "", done.stdout))
        else:
            assert [value for value in plain(done.stdout) if number(value) or value.lower() in {"y", "n"}] == []


def test_the_page_shows_the_commands_output() -> None:
    """Each example of docs/iam.md is exactly the output of the command above it."""
    examples = [(match["command"], match["output"]) for match in COMMAND.finditer(PAGE)]
    assert len(examples) == PAGE.count("$ policyhub iam-policy") >= 4
    for command, output in examples:
        done = CliRunner().invoke(app, shlex.split(command.replace("\\\n", " "))[1:])
        assert (done.exit_code, done.stdout) == (0, output), command
