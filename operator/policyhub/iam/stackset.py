"""One CloudFormation template for a StackSet: for all accounts of a fleet except the operator's.

A StackSet has the same template in each account and Region, so differences are conditions on the stack's account and
Region. Macros such as Fn::ForEach would be shorter, but the execution role of a StackSet with service-managed
permissions cannot process them (CreateStackSet, Capabilities; botocore 1.44.8).

| resource     | created in                                                                                         |
|--------------|----------------------------------------------------------------------------------------------------|
| the role     | one Region of each account, since IAM is global: in a second Region the role would already exist   |
| access entry | the account and Region of its cluster                                                              |

EKS creates an entry only for an existing role, so the role's Region is deployed first; the entries there refer to the
role. An entry belongs to one role, not to a role name: a role that is created again in another Region would lose access
to every cluster. So the role's Region is the first Region of the findings, which does not depend on the clusters.
Pure: no I/O, no clock.
"""

import re
from collections.abc import Sequence
from typing import Any

from policyhub.iam import limits
from policyhub.iam.policy import Plan, Role, document
from policyhub.iam.template import Cluster, access_entry, to_yaml

Node = dict[str, Any]

_ACCOUNT = "${AWS::AccountId}"
_PARAMETER = re.compile(r"\$\{([A-Za-z:]+)\}")
MAKES_ROLE = "MakesRole"


class StackSetError(Exception):
    """One template cannot create these roles; the message says why and what to do."""


def stackset(plan: Plan) -> str:
    """A template in YAML. Raises StackSetError, LimitError."""
    members = _members(plan)
    limits.check_policies(members)
    clusters = [Cluster.of(arn) for member in members for arn in member.clusters]
    accounts = [member.account for member in members]
    home = plan.regions[0]
    regions = list(dict.fromkeys([home, *(cluster.region for cluster in clusters)]))
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The role of policyhub in this account, and the access entries of its EKS clusters",
        "Parameters": _parameters(plan, members[0], home=home, entries=bool(clusters)),
        "Conditions": _conditions(accounts, clusters),
        "Resources": {"Role": _role(plan, members), **_entries(members[0], clusters)},
        "Outputs": {"RoleArn": {"Condition": MAKES_ROLE, "Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
    }
    split = (
        "run the command for some of the accounts at a time, and create a StackSet from each output. If one account has"
        " too many clusters, omit some --eks, add --discover for their permissions, and create their access entries"
        " with the AWS CLI"
    )
    return limits.checked(_header(accounts, regions), template, to_yaml(template), split=split)


def _members(plan: Plan) -> Sequence[Role]:
    """The roles in other accounts. Raises StackSetError if one template cannot create them all."""
    members = plan.roles()[1:]
    if not members:
        raise StackSetError("no role is in another account: add one with --eks-role or --assume-role")
    if plan.finding_roles and plan.eks_roles:
        raise StackSetError(
            "roles for findings and roles for clusters have different permissions, but a StackSet creates the same role"
            " in each account: run the command once for the accounts of --assume-role, and once for those of --eks-role"
        )
    names = sorted({member.arn.partition(":role/")[2] for member in members})
    if len(names) > 1:
        raise StackSetError(
            f"a StackSet creates the same role in each account, but these have different names: {', '.join(names)}."
            " Give them one name, or run the command once for each name"
        )
    return members


def _parameters(plan: Plan, role: Role, *, home: str, entries: bool) -> Node:
    """The template's parameters; the flags are their defaults."""
    found = {
        "RoleName": (role.name, "Name of the role"),
        "OperatorRoleArn": (plan.role_arn, "ARN of the operator's role, which may assume it"),
        "RoleRegion": (
            home,
            "Region whose stack creates the role. A role from another Region's stack would have no access entries",
        ),
    }
    if plan.external_id:
        found["ExternalId"] = plan.external_id, "External id that the operator must send"
    if entries:
        found["KubernetesGroup"] = plan.group, "Group of the access entries, as in the chart policyhub-access"
    return {name: {"Type": "String", "Default": given, "Description": text} for name, (given, text) in found.items()}


def _conditions(accounts: Sequence[str], clusters: Sequence[Cluster]) -> Node:
    found: Node = {_in_account(account): {"Fn::Equals": [{"Ref": "AWS::AccountId"}, account]} for account in accounts}
    home = {"Fn::Equals": [{"Ref": "AWS::Region"}, {"Ref": "RoleRegion"}]}
    found[MAKES_ROLE] = {"Fn::And": [home, _any_of([{"Condition": _in_account(account)} for account in accounts])]}
    for cluster in clusters:
        here = {"Fn::Equals": [{"Ref": "AWS::Region"}, cluster.region]}
        found[_in_account_and_region(cluster)] = {"Fn::And": [{"Condition": _in_account(cluster.account)}, here]}
    return found


def _any_of(conditions: list[Node]) -> Node:
    """Fn::Or takes two to ten."""
    while len(conditions) > 1:
        groups = [conditions[start : start + 10] for start in range(0, len(conditions), 10)]
        conditions = [{"Fn::Or": group} if len(group) > 1 else group[0] for group in groups]
    return conditions[0]


def _role(plan: Plan, members: Sequence[Role]) -> Node:
    """The role as in `Plan`, for the account of the stack."""
    statements = plan.statements(
        _ACCOUNT, findings=bool(plan.finding_roles), named=(), discover_regions=plan.discover_regions
    )
    for member in members:
        for statement in plan.describe(member.clusters, discover_regions=plan.discover_regions):
            of_others = {"Fn::If": [_in_account(member.account), statement, {"Ref": "AWS::NoValue"}]}
            statements.append(of_others if len(members) > 1 else statement)
    trust = plan.member_trust("${OperatorRoleArn}", external_id="${ExternalId}" if plan.external_id else "")
    path = members[0].path
    properties: Node = {"RoleName": {"Ref": "RoleName"}} | ({} if path == "/" else {"Path": path})
    properties["AssumeRolePolicyDocument"] = _with_references(trust)
    properties["Policies"] = [{"PolicyName": "policyhub", "PolicyDocument": _with_references(document(statements))}]
    return {"Type": "AWS::IAM::Role", "Condition": MAKES_ROLE, "Properties": properties}


def _entries(role: Role, clusters: Sequence[Cluster]) -> Node:
    path = role.path.replace("${", "${!")
    elsewhere = {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::{_ACCOUNT}:role{path}${{RoleName}}"}
    principal = {"Fn::If": [MAKES_ROLE, {"Fn::GetAtt": ["Role", "Arn"]}, elsewhere]}
    return {
        cluster.logical_id("AccessEntry"): {
            "Condition": _in_account_and_region(cluster),
            **access_entry(cluster.name, principal=principal, group={"Ref": "KubernetesGroup"}),
        }
        for cluster in clusters
    }


def _with_references(node: Any) -> Any:
    """Replaces texts with `${…}` parameters by the functions Ref and Fn::Sub."""
    if isinstance(node, dict):
        return {key: _with_references(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_with_references(item) for item in node]
    if isinstance(node, str) and (match := _PARAMETER.fullmatch(node)):
        return {"Ref": match[1]}
    return {"Fn::Sub": node} if isinstance(node, str) and "${" in node else node


def _in_account(account: str) -> str:
    """Name of the condition that the stack is in this account."""
    return f"In{account}"


def _in_account_and_region(cluster: Cluster) -> str:
    return _in_account(cluster.account) + "".join(part.capitalize() for part in cluster.region.split("-"))


def _header(accounts: Sequence[str], regions: Sequence[str]) -> str:
    lines = [f"For a StackSet over {_listed('account', accounts)} in {_listed('Region', regions)}."]
    if len(regions) > 1:
        lines.append(f"Deploy {regions[0]} first (RegionOrder): it creates the role, which each access entry needs.")
    return "".join(f"# {line}\n" for line in lines)


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"the {noun} {names[0]}" if len(names) == 1 else f"the {noun}s {', '.join(names)}"
