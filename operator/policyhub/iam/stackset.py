"""One CloudFormation template for all accounts of a fleet but the operator's: what a StackSet deploys.

It is the same text in each account and Region, since a StackSet has one. What differs between them are conditions on
the account and the Region of the stack. Macros would say it shorter (Fn::ForEach is one), but the execution role of a
StackSet with service-managed permissions cannot process them (CreateStackSet, Capabilities; botocore 1.44.8).

| resource     | made in                                                                                            |
|--------------|----------------------------------------------------------------------------------------------------|
| the role     | one Region of each account, since IAM is global: a second stack would find the role there already  |
| access entry | the account and Region of its cluster                                                              |

EKS makes an entry only for a role that exists, so that Region goes first; in it the entries refer to the role. And an
entry is for one role, not for its name: made again in another Region, it would be shut out of every cluster. So the
Region is the first of the findings, which does not change with the clusters.
Pure: no I/O, no clock.
"""

import re
from collections.abc import Sequence
from typing import Any

from policyhub.iam import limits
from policyhub.iam.policy import Plan, Role, document
from policyhub.iam.template import Cluster, access_entry, written

Node = dict[str, Any]

_ACCOUNT = "${AWS::AccountId}"
_PARAMETER = re.compile(r"\$\{([A-Za-z:]+)\}")
MAKES_ROLE = "MakesRole"


class StackSetError(Exception):
    """No one template can make these roles; the message says why, and what to do."""


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
        "run the command for some of the accounts at a time, each a StackSet of its own; for more clusters in one"
        " account leave out some --eks, with --discover for their permissions, and create their access entries by"
        " command"
    )
    return limits.checked(_head(accounts, regions), template, written(template), split=split)


def _members(plan: Plan) -> Sequence[Role]:
    """The roles in other accounts, of which one template can make all."""
    members = plan.roles()[1:]
    if not members:
        raise StackSetError("no role is in another account; --eks-role or --assume-role names one")
    if plan.targets and plan.sign_ins:
        raise StackSetError(
            "roles for findings and roles for clusters alone have different permissions, and a StackSet makes the same"
            " role in each account: run the command for the accounts of --assume-role, and once more for those of"
            " --eks-role"
        )
    names = sorted({member.arn.partition(":role/")[2] for member in members})
    if len(names) > 1:
        raise StackSetError(
            f"a StackSet makes the same role in each account, and these have different names: {', '.join(names)}; give"
            " them one name, or run the command for each name"
        )
    return members


def _parameters(plan: Plan, role: Role, *, home: str, entries: bool) -> Node:
    """What another organisation would change; the defaults are what was asked for."""
    found = {
        "RoleName": (role.name, "Name of the role"),
        "OperatorRoleArn": (plan.role_arn, "ARN of the operator's role, which may assume it"),
        "RoleRegion": (
            home,
            "Region whose stack makes the role; another one would make another role, which no access entry is for",
        ),
    }
    if plan.external_id:
        found["ExternalId"] = plan.external_id, "External id that the operator must give"
    if entries:
        found["KubernetesGroup"] = plan.group, "Group of the access entries, as in the chart policyhub-access"
    return {name: {"Type": "String", "Default": given, "Description": text} for name, (given, text) in found.items()}


def _conditions(accounts: Sequence[str], clusters: Sequence[Cluster]) -> Node:
    found: Node = {_in(account): {"Fn::Equals": [{"Ref": "AWS::AccountId"}, account]} for account in accounts}
    home = {"Fn::Equals": [{"Ref": "AWS::Region"}, {"Ref": "RoleRegion"}]}
    found[MAKES_ROLE] = {"Fn::And": [home, _any([{"Condition": _in(account)} for account in accounts])]}
    for cluster in clusters:
        here = {"Fn::Equals": [{"Ref": "AWS::Region"}, cluster.region]}
        found[_at(cluster)] = {"Fn::And": [{"Condition": _in(cluster.account)}, here]}
    return found


def _any(conditions: list[Node]) -> Node:
    """Fn::Or takes two to ten."""
    while len(conditions) > 1:
        groups = [conditions[start : start + 10] for start in range(0, len(conditions), 10)]
        conditions = [{"Fn::Or": group} if len(group) > 1 else group[0] for group in groups]
    return conditions[0]


def _role(plan: Plan, members: Sequence[Role]) -> Node:
    """What `Plan` says of each, for the account that the stack is in."""
    granted = plan.statements(_ACCOUNT, findings=bool(plan.targets), named=(), searched=plan.searched)
    for member in members:
        for statement in plan.describe(member.clusters, searched=plan.searched):
            of_others = {"Fn::If": [_in(member.account), statement, {"Ref": "AWS::NoValue"}]}
            granted.append(of_others if len(members) > 1 else statement)
    trust = plan.member_trust("${OperatorRoleArn}", external_id="${ExternalId}" if plan.external_id else "")
    path = members[0].path
    properties: Node = {"RoleName": {"Ref": "RoleName"}} | ({} if path == "/" else {"Path": path})
    properties["AssumeRolePolicyDocument"] = _referring(trust)
    properties["Policies"] = [{"PolicyName": "policyhub", "PolicyDocument": _referring(document(granted))}]
    return {"Type": "AWS::IAM::Role", "Condition": MAKES_ROLE, "Properties": properties}


def _entries(role: Role, clusters: Sequence[Cluster]) -> Node:
    path = role.path.replace("${", "${!")
    elsewhere = {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::{_ACCOUNT}:role{path}${{RoleName}}"}
    principal = {"Fn::If": [MAKES_ROLE, {"Fn::GetAtt": ["Role", "Arn"]}, elsewhere]}
    return {
        cluster.logical_id("AccessEntry"): {
            "Condition": _at(cluster),
            **access_entry(cluster.name, principal=principal, group={"Ref": "KubernetesGroup"}),
        }
        for cluster in clusters
    }


def _referring(node: Any) -> Any:
    """Texts in which `${…}` names a parameter become functions that put its value there."""
    if isinstance(node, dict):
        return {key: _referring(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_referring(item) for item in node]
    if isinstance(node, str) and (whole := _PARAMETER.fullmatch(node)):
        return {"Ref": whole[1]}
    return {"Fn::Sub": node} if isinstance(node, str) and "${" in node else node


def _in(account: str) -> str:
    """The name of the condition that the stack is in this account."""
    return f"In{account}"


def _at(cluster: Cluster) -> str:
    return _in(cluster.account) + "".join(part.capitalize() for part in cluster.region.split("-"))


def _head(accounts: Sequence[str], regions: Sequence[str]) -> str:
    lines = [f"For a StackSet over {_listed('account', accounts)} in {_listed('Region', regions)}."]
    if len(regions) > 1:
        lines.append(f"{regions[0]} goes first (RegionOrder): it makes the role, which EKS has to find for each entry.")
    return "".join(f"# {line}\n" for line in lines)


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"the {noun} {names[0]}" if len(names) == 1 else f"the {noun}s {', '.join(names)}"
