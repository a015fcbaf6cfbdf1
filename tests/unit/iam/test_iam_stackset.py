"""The StackSet template creates the planned resources in each account and Region."""

import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policyhub.cli.main import app
from policyhub.iam.limits import MAX_BYTES_IN_REQUEST as LONGEST
from policyhub.iam.policy import Plan, Role, Workload
from policyhub.iam.stackset import stackset
from tests.stacks import Stack

OPERATOR = "111122223333"
FIRST, SECOND, THIRD = "444455556666", "777788889999", "999900001111"
REGIONS = ("eu-west-1", "us-east-1", "eu-north-1")
SHOPS = tuple(f"arn:aws:eks:{region}:{FIRST}:cluster/shop" for region in REGIONS[:2])
BANKS = tuple(f"arn:aws:eks:eu-west-1:{SECOND}:cluster/{name}" for name in ("bank", "b-a-nk", "b_a_nk", "ba-nk"))
FLEET = (*SHOPS, *BANKS)
GIVEN = ["iam-policy", f"--account-id={OPERATOR}", "--region=eu-west-1", "-o", "stackset"]


def role(account: str, name: str = "policyhub") -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def plan(*, regions: tuple[str, ...] = ("eu-west-1",), issuers: tuple[str, ...] = (), **given: Any) -> Plan:
    workload = Workload(namespace="policyhub", service_account="policyhub", issuers=issuers)
    fleet = {"eks_roles": (role(FIRST, "team/policyhub"), role(SECOND, "team/policyhub")), "eks_clusters": FLEET}
    requested = {"external_id": "tell-nobody", **(given or fleet)}
    return Plan(
        partition="aws", account=OPERATOR, regions=regions, role_name="policyhub", workload=workload, **requested
    )


PLANS = {
    "clusters": plan(),
    "clusters and discovery": plan(
        eks_roles=(role(FIRST), role(SECOND)), eks_clusters=FLEET, discover_regions=("us-east-1", "eu-north-1")
    ),
    "discovery": plan(eks_roles=(role(FIRST), role(SECOND)), discover_regions=("eu-west-1",)),
    "findings": plan(finding_roles=(role(FIRST), role(SECOND)), regions=("eu-west-1", "us-east-1")),
    "findings, and clusters of one": plan(finding_roles=(role(FIRST), role(SECOND)), eks_clusters=SHOPS),
    "findings and clusters": plan(finding_roles=(role(FIRST), role(SECOND)), eks_clusters=FLEET, group="watchers"),
    "irsa, without external id": plan(
        eks_roles=(role(FIRST),), eks_clusters=SHOPS, external_id="", issuers=("oidc.example/id/1",)
    ),
}


def made(requested: Plan, text: str, member: Role, region: str) -> Stack:
    """The stack, after the checks that apply to each."""
    stack = Stack(text, account=member.account, region=region)
    assert {entry["PrincipalArn"] for entry in stack.of("AWS::EKS::AccessEntry")} <= {member.arn}
    assert [
        (f"arn:aws:eks:{region}:{member.account}:cluster/{entry['ClusterName']}", entry["KubernetesGroups"])
        for entry in stack.of("AWS::EKS::AccessEntry")
    ] == [(arn, [requested.group]) for arn in member.clusters if arn.split(":")[3] == region]
    return stack


@pytest.mark.parametrize("requested", PLANS.values(), ids=PLANS)
def test_each_stack_follows_the_plan(requested: Plan) -> None:
    """The account's role in the first Region of the findings; access entries in each Region of its clusters; no
    resource twice, and none in other accounts.
    """
    text = stackset(requested)
    _, *members = requested.roles()
    for member in members:
        stack = made(requested, text, member, requested.regions[0])
        (properties,) = stack.of("AWS::IAM::Role")
        assert stack.role_arn == member.arn
        assert properties["AssumeRolePolicyDocument"] == member.trust
        (policy,) = properties["Policies"]
        assert policy["PolicyDocument"]["Version"] == member.permissions["Version"]
        assert by_sid(policy["PolicyDocument"]) == by_sid(member.permissions)
        for region in {*REGIONS} - {requested.regions[0]}:
            assert made(requested, text, member, region).of("AWS::IAM::Role") == []
    for region in REGIONS:
        assert Stack(text, account=THIRD, region=region).resources == {}


def by_sid(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_every_entry_has_type_and_group_and_no_policy() -> None:
    """The entry only assigns the group; EKS's own access policies are not used."""
    for one in yaml.safe_load(stackset(plan()))["Resources"].values():
        if one["Type"] == "AWS::EKS::AccessEntry":
            assert set(one["Properties"]) == {"ClusterName", "PrincipalArn", "KubernetesGroups", "Type"}
            assert one["Properties"]["Type"] == "STANDARD"


def test_parameters_are_followed() -> None:
    """Another organisation uses the same template with its own parameter values."""
    text = stackset(plan())
    given = {"RoleName": "reader", "OperatorRoleArn": role(THIRD, "op"), "ExternalId": "other", "KubernetesGroup": "g"}
    stack = Stack(text, account=FIRST, region="us-east-1", RoleRegion="us-east-1", **given)
    (properties,) = stack.of("AWS::IAM::Role")
    trust = by_sid(properties["AssumeRolePolicyDocument"])["Operator"]
    assert trust["Principal"] == {"AWS": given["OperatorRoleArn"]}
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "other"}}
    (entry,) = stack.of("AWS::EKS::AccessEntry")
    assert (entry["PrincipalArn"], entry["KubernetesGroups"]) == (role(FIRST, "team/reader"), ["g"])
    assert Stack(text, account=FIRST, region="eu-west-1", RoleRegion="us-east-1", **given).of("AWS::IAM::Role") == []


def test_another_cluster_changes_no_other_entry() -> None:
    """A cluster that is added first or last keeps every other resource's name, and the role's place: CloudFormation
    would create an entry under its new name before deleting the old one, which EKS rejects; and a role that is
    recreated in another Region loses access to every cluster.
    """
    fleet = (role(FIRST), role(SECOND))
    new = f"arn:aws:eks:us-east-1:{SECOND}:cluster/new"
    before = yaml.safe_load(stackset(plan(eks_roles=fleet, eks_clusters=FLEET)))
    for eks_clusters in ((new, *FLEET), (*FLEET, new), (*reversed(FLEET), new)):
        after = yaml.safe_load(stackset(plan(eks_roles=fleet, eks_clusters=eks_clusters)))
        assert len(after["Resources"]) == len(before["Resources"]) + 1
        for name, one in before["Resources"].items():
            assert name == "Role" or after["Resources"][name] == one
        assert after["Parameters"] == before["Parameters"]


def test_more_accounts_than_one_condition_allows() -> None:
    """Fn::Or accepts ten conditions: 137 accounts have their roles too."""
    accounts = [f"{number:012}" for number in range(137)]
    text = stackset(plan(eks_roles=tuple(role(account) for account in accounts), discover_regions=("eu-west-1",)))
    for account in (accounts[0], accounts[99], accounts[100], accounts[136]):
        assert Stack(text, account=account, region="eu-west-1").role_arn == role(account)
    assert Stack(text, account=THIRD, region="eu-west-1").resources == {}


def test_the_order_of_regions_and_the_size_are_printed() -> None:
    """The first lines name accounts and Regions, the role's first; and S3, if the API does not accept the size."""
    first, second, *_ = stackset(plan()).splitlines()
    assert first == f"# For a StackSet over the accounts {FIRST}, {SECOND} in the Regions eu-west-1, us-east-1."
    assert second.startswith("# Deploy eu-west-1 first (RegionOrder)")
    many = tuple(f"arn:aws:eks:eu-west-1:{FIRST}:cluster/c{number}" for number in range(140))
    twenty, long = (stackset(plan(eks_roles=(role(FIRST),), eks_clusters=many[:number])) for number in (20, 140))
    assert len(twenty) < LONGEST
    assert "RegionOrder" not in twenty
    assert len(long) > LONGEST
    assert long.startswith("# Longer than 51,200 bytes: CloudFormation takes it only from S3")
    assert "Longer" not in twenty


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "-o stackset: no role is in another account: add one with --eks-role or --assume-role"),
        (
            ["--eks-role", role(FIRST), "--eks-role", role(SECOND, "b/c")],
            "different names: b/c, policyhub. Give them one",
        ),
        (
            ["--eks-role", role(FIRST), "--assume-role", role(SECOND)],
            "run the command once for the accounts of --assume-role",
        ),
        (["--eks-role", role(FIRST), "--in-account", FIRST], "a StackSet has one template for all accounts"),
        (["--eks-role", role(FIRST), "--only", "trust"], "--only prints JSON"),
    ],
    ids=["no role", "names", "kinds", "account", "part"],
)
def test_an_impossible_template_is_rejected(given: list[str], message: str) -> None:
    """Nothing is printed, and the message says what to do."""
    done = CliRunner().invoke(app, [*GIVEN, "--discover-own", "--discover=eu-west-1", *given])
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_command_prints_the_same() -> None:
    """-o stackset has the accounts, clusters and group of the JSON output."""
    flags = [f"--eks={arn}" for arn in FLEET] + [f"--eks-role={role(account)}" for account in (FIRST, SECOND)]
    text = CliRunner().invoke(app, [*GIVEN, *flags, "--kubernetes-group=watchers"]).stdout
    printed = json.loads(CliRunner().invoke(app, [*GIVEN[:-2], *flags, "--kubernetes-group=watchers"]).stdout)
    for one in printed[1:]:
        for entry in one["accessEntries"]:
            found = Stack(text, account=one["role"].split(":")[4], region=entry["region"]).of("AWS::EKS::AccessEntry")
            assert {
                "ClusterName": entry["clusterName"],
                "PrincipalArn": entry["principalArn"],
                "KubernetesGroups": entry["kubernetesGroups"],
                "Type": entry["type"],
            } in found
    assert sum(len(one["accessEntries"]) for one in printed[1:]) == len(FLEET)
