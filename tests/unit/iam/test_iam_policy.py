"""The printed policies grant exactly the calls of the code."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from typer.testing import CliRunner

from policyhub.cli.main import app
from policyhub.iam.policy import ACTIONS, LIST_CLUSTERS, READS, TAG_SESSION, Plan, Role, Workload
from policyhub.iam.request import RESERVED_GROUPS

SOURCES = Path(__file__).parents[3] / "operator/policyhub"
ACCOUNT = "111122223333"
OTHER = "444455556666"
TARGET = f"arn:aws:iam::{OTHER}:role/team/policyhub"
CLUSTER = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/prod-eu"
ISSUER = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
GIVEN = ["iam-policy", "--account-id", ACCOUNT, "--region", "eu-west-1"]


def plan(**given: Any) -> Plan:
    workload = Workload(namespace="policyhub", service_account="policyhub", **given.pop("workload", {}))
    default = {"partition": "aws", "account": ACCOUNT, "regions": ("eu-west-1",), "role_name": "policyhub"}
    return Plan(**{**default, **given}, workload=workload)


def statements(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in document["Statement"]}


def granted(role: Role) -> set[str]:
    return {action for statement in role.permissions["Statement"] for action in statement["Action"]}


# -- the code and the policy ------------------------------------------------------------------------------------------


def names_in_code() -> tuple[set[str], set[str]]:
    """Every attribute that the operator's code reads, and the AWS services of its clients."""
    attributes: set[str] = set()
    services: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                made = node.func.attr in {"client", "_client"} and node.args
                if made and isinstance(node.args[0], ast.Constant):
                    services.add(str(node.args[0].value))
    return attributes, services


def called() -> dict[str, str]:
    """Operation → its service, of every AWS operation that the code calls as a client's method."""
    attributes, services = names_in_code()
    assert services == {"eks", "securityhub", "sts"}
    session = botocore.session.get_session()
    found = {}
    for service in services:
        for operation in session.get_service_model(service).operation_names:
            if xform_name(operation) in attributes:
                found[operation] = service
    return found


def test_each_called_operation_has_an_action() -> None:
    """The table of actions has exactly the AWS operations of the code. AssumeRoleWithWebIdentity is botocore's own
    sign-in; ListClusters is called and granted for ClusterDiscoveries only.
    """
    operations = called()
    operations.pop("ListClusters", None)
    assert ACTIONS.keys() - {"AssumeRoleWithWebIdentity"} == operations.keys()
    for operation, service in operations.items():
        assert ACTIONS[operation] in {f"{service}:{operation}", ""}


def test_the_policy_grants_exactly_the_table() -> None:
    """With another account's role and a cluster the policy has every action; sts:TagSession belongs to Pod Identity's
    tags.
    """
    role, _ = plan(finding_roles=(TARGET,), eks_clusters=(CLUSTER,)).roles()
    assert granted(role) == {action for action in ACTIONS.values() if action} | {TAG_SESSION}


def test_without_another_account_no_role_may_be_assumed() -> None:
    """A policy for one account has Security Hub's actions only."""
    (role,) = plan().roles()
    assert granted(role) == {"securityhub:BatchImportFindings", *(ACTIONS[operation] for operation in READS)}


def test_each_role_may_describe_its_own_accounts_clusters() -> None:
    """A role for findings may describe its account's clusters too; a role for clusters may do nothing else."""
    third = "arn:aws:iam::777788889999:role/policyhub"
    theirs = [f"arn:aws:eks:eu-west-1:{account}:cluster/{name}" for account in (OTHER, "777788889999") for name in "ab"]
    own, other, last = plan(finding_roles=(TARGET,), eks_roles=(third,), eks_clusters=(CLUSTER, *theirs)).roles()
    assert statements(own.permissions)["DescribeClusters"]["Resource"] == [CLUSTER]
    assert statements(own.permissions)["AssumeRoles"]["Resource"] == [TARGET, third]
    assert statements(other.permissions)["DescribeClusters"]["Resource"] == theirs[:2]
    assert last.permissions["Statement"] == [
        {"Sid": "DescribeClusters", "Effect": "Allow", "Action": ["eks:DescribeCluster"], "Resource": theirs[2:]}
    ]
    assert last.trust == other.trust


def test_a_role_for_clusters_replaces_the_one_for_findings() -> None:
    """In an account with both, the role for findings neither describes clusters nor has access entries."""
    reader = f"arn:aws:iam::{OTHER}:role/reader"
    theirs = f"arn:aws:eks:eu-west-1:{OTHER}:cluster/a"
    _, target, sign_in = plan(
        finding_roles=(TARGET,), eks_roles=(reader,), eks_clusters=(theirs,), discover_regions=("eu-west-1",)
    ).roles()
    assert not {action for action in granted(target) if action.startswith("eks:")}
    assert (target.clusters, sign_in.clusters) == ((), (theirs,))
    assert granted(sign_in) == {LIST_CLUSTERS, "eks:DescribeCluster"}


NAMED = "DescribeClusters", CLUSTER


def describing(sid: str, cluster: str) -> dict[str, dict[str, Any]]:
    return {sid: {"Sid": sid, "Effect": "Allow", "Action": ["eks:DescribeCluster"], "Resource": [cluster]}}


@pytest.mark.parametrize("own", [False, True])
def test_discovery_lists_and_describes_in_the_accounts_and_regions_that_are_named(*, own: bool) -> None:
    """ListClusters has no resource; DescribeCluster is granted on all clusters of these Regions, and on named ones of
    others. The operator's own account is searched only on request.
    """
    here, there = (f"arn:aws:eks:{region}:{OTHER}:cluster/a" for region in ("eu-west-1", "us-east-1"))
    requested = plan(
        eks_roles=(TARGET,), eks_clusters=(here, there, CLUSTER), discover_regions=("eu-west-1",), discover_own=own
    )
    operator, other = requested.roles()
    assert statements(other.permissions) == {
        "ListClusters": {"Sid": "ListClusters", "Effect": "Allow", "Action": [LIST_CLUSTERS], "Resource": ["*"]},
        **describing("DiscoverClusters", f"arn:aws:eks:eu-west-1:{OTHER}:cluster/*"),
        **describing("DescribeClusters", there),
    }
    assert other.clusters == (here, there)
    assert (LIST_CLUSTERS in granted(operator)) is own
    sid, described = ("DiscoverClusters", f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/*") if own else NAMED
    asked = {sid for sid in statements(operator.permissions) if "Clusters" in sid} - {"ListClusters"}
    assert asked == {sid}
    assert statements(operator.permissions)[sid]["Resource"] == [described]


def test_irsa_needs_no_tag_session() -> None:
    """A web identity session has no tags to pass on: neither side grants TagSession."""
    own, other = plan(finding_roles=(TARGET,), workload={"issuers": (ISSUER,)}).roles()
    assert TAG_SESSION not in granted(own)
    assert TAG_SESSION not in str(other.trust)


# -- what it is limited to --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
)
def test_every_arn_is_of_the_partition(partition: str, region: str) -> None:
    """The policies contain no ARN of another partition."""
    finding_roles = (f"arn:{partition}:iam::{OTHER}:role/policyhub",)
    for workload in ({}, {"issuers": (ISSUER,)}):
        output = str(
            plan(partition=partition, regions=(region,), finding_roles=finding_roles, workload=workload).roles()
        )
        assert {*re.findall(r"arn:([a-z-]+):", output)} == {partition}


def test_imports_are_limited_to_the_product_and_the_account() -> None:
    """BatchImportFindings is granted on the default product of each Region, for findings of its own account."""
    own, other = plan(regions=("eu-west-1", "us-east-1"), finding_roles=(TARGET,)).roles()
    for role, account in ((own, ACCOUNT), (other, OTHER)):
        imports = statements(role.permissions)["ImportFindings"]
        assert imports["Resource"] == [
            f"arn:aws:securityhub:{region}:{account}:product/{account}/default" for region in ("eu-west-1", "us-east-1")
        ]
        assert imports["Condition"] == {"StringEquals": {"securityhub:TargetAccount": account}}
        assert statements(role.permissions)["ReadFindings"]["Resource"] == [
            f"arn:aws:securityhub:{region}:{account}:hub/default" for region in ("eu-west-1", "us-east-1")
        ]


def test_findings_may_go_elsewhere_only() -> None:
    """Without findings of its own account, the operator's role may only assume others."""
    own, _ = plan(finding_roles=(TARGET,), own_findings=False).roles()
    assert granted(own) == {"sts:AssumeRole", TAG_SESSION}
    assert statements(own.permissions)["AssumeRoles"]["Resource"] == [TARGET]


# -- whom it is trusted to --------------------------------------------------------------------------------------------


def test_pod_identity_is_trusted_with_its_tags_from_the_named_clusters() -> None:
    """Pod Identity may tag the session, and its tags must name the service account and one of the clusters."""
    (role,) = plan(workload={"clusters": (CLUSTER,)}).roles()
    (statement,) = role.trust["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/kubernetes-namespace": "policyhub",
        "aws:RequestTag/kubernetes-service-account": "policyhub",
        "aws:RequestTag/eks-cluster-arn": [CLUSTER],
    }


def test_irsa_is_trusted_by_audience_and_subject_of_each_issuer() -> None:
    """Each cluster's provider has its own statement, with audience and service account."""
    (role,) = plan(workload={"issuers": (ISSUER, "oidc.example/id/2")}).roles()
    first, second = role.trust["Statement"]
    assert first["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
    assert first["Action"] == ["sts:AssumeRoleWithWebIdentity"]
    assert first["Condition"]["StringEquals"] == {
        f"{ISSUER}:aud": "sts.amazonaws.com",
        f"{ISSUER}:sub": "system:serviceaccount:policyhub:policyhub",
    }
    assert second["Principal"]["Federated"].endswith("oidc-provider/oidc.example/id/2")


def test_another_accounts_role_trusts_the_operator_with_the_external_id() -> None:
    """AssumeRole requires the external id; TagSession does not."""
    _, other = plan(finding_roles=(TARGET,), external_id="tell-nobody").roles()
    found = statements(other.trust)
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/policyhub"}
    assert {sid: statement["Principal"] for sid, statement in found.items()} == dict.fromkeys(found, principal)
    assert found["Operator"]["Condition"] == {"StringEquals": {"sts:ExternalId": "tell-nobody"}}
    assert found["OperatorTags"]["Action"] == [TAG_SESSION]
    assert (other.account, other.name, other.path) == (OTHER, "policyhub", "/team/")


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_all_roles_or_one_bare_document() -> None:
    """JSON has every role; --only and --in-account reduce it to a file for the AWS CLI."""
    both = json.loads(CliRunner().invoke(app, [*GIVEN, "--assume-role", TARGET]).stdout)
    assert [role["role"] for role in both] == [f"arn:aws:iam::{ACCOUNT}:role/policyhub", TARGET]
    given = [*GIVEN, "--assume-role", TARGET, "--in-account", OTHER]
    trust = json.loads(CliRunner().invoke(app, [*given, "--only", "trust"]).stdout)
    assert trust == both[1]["trust"]
    permissions = json.loads(CliRunner().invoke(app, [*given, "--only", "permissions"]).stdout)
    assert permissions == both[1]["permissions"]
    assert json.loads(CliRunner().invoke(app, given).stdout) == both[1]


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (["--cluster", "prod"], "--cluster: String should match pattern"),
        (["--cluster", CLUSTER.replace(ACCOUNT, OTHER)], "Pod Identity needs a role in the cluster's account"),
        (["--cluster", CLUSTER, "--oidc-issuer", ISSUER], "--cluster is for Pod Identity, --oidc-issuer for IRSA"),
        (["--oidc-issuer", "EXAMPLE"], "--oidc-issuer: Value error, expected a URL such as https://oidc.eks."),
        (["--assume-role", TARGET.replace(OTHER, ACCOUNT)], "whose findings need no other role"),
        (["--assume-role", TARGET.replace("aws", "aws-cn", 1)], "is in another partition"),
        (["--external-id", "tell-nobody"], "no role can require it"),
        (["--no-own-findings"], "findings then have no destination: add --assume-role"),
        (["--region", "cn-north-1"], "a role has one partition, but eu-west-1 is in aws, cn-north-1 is in aws-cn"),
        (["--region", "xx-west-1"], "AWS has no Region xx-west-1"),
        (["--in-account", OTHER], f"no role is in {OTHER}"),
        (
            [
                "--assume-role",
                TARGET,
                "--eks-role",
                TARGET + "-eks",
                "--in-account",
                OTHER,
                "--eks",
                CLUSTER.replace(ACCOUNT, OTHER),
            ],
            f"{TARGET} and {TARGET}-eks are in account {OTHER}",
        ),
        (["--only", "trust", "-o", "terraform"], "--only prints JSON"),
        (["--eks-role", TARGET], "add --eks, or --discover to find them"),
        (
            ["--discover", "eu-west-1"],
            "--discover: no account is given: add --eks-role or --assume-role for a role in one",
        ),
        (["--discover-own"], "--discover-own: no Region is given"),
        (["--discover-own", "--discover", "xx-west-1"], "--discover: AWS has no Region xx-west-1"),
        (["--discover-own", "--discover", "cn-north-1"], "--region, --discover: a role has one partition, but"),
        (["--kubernetes-group", "a b"], "--kubernetes-group: String should match pattern"),
        (["--kubernetes-group", "System:masters"], "belong to Kubernetes and AWS, and have other members: use a group"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_impossible_role_is_rejected(given: list[str], output: str) -> None:
    """Nothing is printed; the command ends with 2 and names the flag."""
    done = CliRunner().invoke(app, [*GIVEN, *given])
    assert (done.exit_code, done.stdout) == (2, "")
    assert output in done.stderr


def test_the_chart_refuses_the_same_groups() -> None:
    """The command and the chart policyhub-access reject the same prefixes of groups."""
    helpers = (SOURCES.parents[1] / "charts/policyhub-access/templates/_helpers.tpl").read_text("utf-8")
    (found,) = re.findall(r'regexMatch "\(\?i\)\^\((.*)\):"', helpers)
    assert {f"{name}:" for name in found.split("|")} == {*RESERVED_GROUPS}


def test_an_unsupported_region_is_rejected() -> None:
    """ASFF has three partitions; a role in another one would be useless."""
    done = CliRunner().invoke(app, ["iam-policy", "--account-id", ACCOUNT, "--region", "us-iso-east-1"])
    assert "do not support the partition aws-iso" in done.stderr


def test_all_errors_are_named_at_once() -> None:
    """Two wrong flags are two lines."""
    done = CliRunner().invoke(app, ["iam-policy", "--account-id", "1", "--region", "Ireland"])
    assert "policyhub: --account-id: " in done.stderr
    assert "\n--region: " in done.stderr
