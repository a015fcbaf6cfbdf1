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


def test_clusters_get_access_entries() -> None:
    """A role that signs in to clusters gets an entry for each. A stack is of one Region, so those elsewhere are
    commands; in Terraform they name their Region. Clusters that are called alike stay apart.
    """
    names = [("eu-west-1", "shop"), ("us-east-1", "shop"), ("eu-west-1", "ba-nk"), ("eu-west-1", "ba_nk")]
    wanted = plan(eks_clusters=tuple(f"arn:aws:eks:{region}:{OTHER}:cluster/{name}" for region, name in names))
    own, other = wanted.roles()
    written = template.cloudformation(wanted, other)
    resources = yaml.safe_load(written)["Resources"]
    entries = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::EKS::AccessEntry"]
    principal = {"Fn::GetAtt": ["Role", "Arn"]}
    assert entries == [
        {"ClusterName": name, "PrincipalArn": principal, "KubernetesGroups": ["policyhub"], "Type": "STANDARD"}
        for name in ("shop", "ba-nk", "ba_nk")
    ]
    command = f"aws eks create-access-entry --region us-east-1 --cluster-name shop --principal-arn {TARGET}"
    assert f"#   {command} --kubernetes-groups policyhub\n" in written
    hcl = template.terraform(wanted, other)
    assert re.findall(r'resource "aws_eks_access_entry" "(.*)"', hcl) == [f"policyhub_{r}_{name}" for r, name in names]
    assert hcl.count('  region            = "us-east-1"\n') == hcl.count("region  ") == 1
    assert hcl.count('  kubernetes_groups = ["policyhub"]\n') == 4
    assert hcl.startswith(f"# For account {OTHER}, Region eu-west-1.\n# The argument region needs version 6 of")
    assert "ccess" not in template.terraform(wanted, own) + template.cloudformation(wanted, own)


def test_another_cluster_renames_no_resource() -> None:
    """What CloudFormation finds under another name it makes again, while the old one is there."""
    theirs = tuple(f"arn:aws:eks:eu-west-1:{OTHER}:cluster/{name}" for name in ("a", "b"))
    before, after = (
        [
            yaml.safe_load(template.cloudformation(wanted, role))["Resources"]
            for wanted in (plan(clusters=clusters, eks_clusters=eks_clusters),)
            for role in wanted.roles()
        ]
        for clusters, eks_clusters in ((CLUSTERS[:1], theirs[1:]), ((CLUSTERS[0] + "-2", CLUSTERS[0]), theirs))
    )
    for old, new in zip(before, after, strict=True):
        assert old.keys() < new.keys()
        assert all(new[name] == one for name, one in old.items() if name != "Role")


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
        finding_roles=(f"arn:aws:iam::{OTHER}:role/${{var.x}}%{{if}}/policyhub",),
    ).roles()
    assert 'path = "/$${var.x}%%{if}/"' in template.terraform(wanted, other)


ZERO = "044455556668"
"""An account's id that some parsers of YAML read as a number, since it is no octal one."""


def plain(text: str) -> list[str]:
    """Every value of a template that stands there without quotes, after a look that it is a string to PyYAML, too."""
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
def test_what_looks_like_a_number_is_written_as_text(text: str, output: str) -> None:
    """Account ids, external ids, names of roles and clusters are strings to every parser of the output."""
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


def test_the_page_shows_what_the_command_prints() -> None:
    """Each example of docs/iam.md is the output of the command above it, to the letter."""
    examples = [(match["command"], match["output"]) for match in COMMAND.finditer(PAGE)]
    assert len(examples) == PAGE.count("$ policyhub iam-policy") >= 4
    for command, output in examples:
        done = CliRunner().invoke(app, shlex.split(command.replace("\\\n", " "))[1:])
        assert (done.exit_code, done.stdout) == (0, output), command
