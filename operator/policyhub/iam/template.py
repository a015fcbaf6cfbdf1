"""The same roles as CloudFormation and Terraform.

Each text makes one role, in the account that it is applied in. Pod Identity associations and access entries belong to a
cluster and are made where the cluster is. A stack is of one Region: what belongs to the first cluster's Region is part
of the template, the rest stands above it as commands. In Terraform access entries of other Regions name theirs.

A resource's name in the text says which cluster it is for, so that another cluster in the command renames none: a
resource under a new name is made before the one under its old name is deleted, and EKS takes no entry twice.
Pure: no I/O, no clock.
"""

import hashlib
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from policyhub.iam import limits
from policyhub.iam.policy import Plan, Role

_ARN = re.compile(r"arn:[^:]+:eks:(?P<region>[^:]+):(?P<account>[^:]+):cluster/(?P<name>.+)")
_SEPARATOR = re.compile("[-_]")
_LIKE_A_NUMBER = re.compile(r"[-+.]{0,2}[0-9].*|[yn]", re.IGNORECASE | re.DOTALL)
"""What some parser of YAML reads as no string, though PyYAML's own does: 044455556668, 1e5, y."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """As its ARN says it."""

    arn: str
    region: str
    account: str
    name: str

    @classmethod
    def of(cls, arn: str) -> "Cluster":
        found = _ARN.fullmatch(arn)
        if found is None:
            raise ValueError(arn)
        return cls(arn, **found.groupdict())

    def logical_id(self, kind: str) -> str:
        """In a template: letters and digits alone. A cluster's name may have others, so a digest tells them apart."""
        digest = hashlib.sha256(self.arn.encode()).hexdigest()[:8]
        return kind + "".join(part.capitalize() for part in _SEPARATOR.split(self.name)) + digest


def cloudformation(plan: Plan, role: Role) -> str:
    """A template in YAML, for the first cluster's Region. Raises LimitError."""
    properties: dict[str, Any] = {"RoleName": role.name}
    if role.path != "/":
        properties["Path"] = role.path
    properties["AssumeRolePolicyDocument"] = role.trust
    properties["Policies"] = [{"PolicyName": "policyhub", "PolicyDocument": role.permissions}]
    resources: dict[str, Any] = {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}
    arn = {"Fn::GetAtt": ["Role", "Arn"]}
    home, associated, entered = _clusters(plan, role)
    for cluster in (cluster for cluster in associated if cluster.region == home):
        resources[cluster.logical_id("PodIdentity")] = {
            "Type": "AWS::EKS::PodIdentityAssociation",
            "Properties": {
                "ClusterName": cluster.name,
                "Namespace": plan.workload.namespace,
                "ServiceAccount": plan.workload.service_account,
                "RoleArn": arn,
            },
        }
    for cluster in (cluster for cluster in entered if cluster.region == home):
        resources[cluster.logical_id("AccessEntry")] = access_entry(cluster.name, principal=arn, group=plan.group)
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The role of policyhub in account {role.account}",
        "Resources": resources,
        "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
    }
    split = "leave out some --eks, with --discover for their permissions, and create their access entries by command"
    return limits.checked(_head(plan, role, entries=True), template, written(template), split=split)


def access_entry(name: str, *, principal: object, group: object) -> dict[str, Any]:
    """As CloudFormation makes it: no access policy, the group is all."""
    properties = {"ClusterName": name, "PrincipalArn": principal, "KubernetesGroups": [group], "Type": "STANDARD"}
    return {"Type": "AWS::EKS::AccessEntry", "Properties": properties}


def written(template: dict[str, Any]) -> str:
    return yaml.dump(template, Dumper=_Plain, sort_keys=False, width=1000)


def terraform(plan: Plan, role: Role) -> str:
    """Resources in HCL, for the provider of the role's account and the Region of its first cluster."""
    home, associated, entered = _clusters(plan, role)
    named = {"name": _quoted(role.name)} | ({} if role.path == "/" else {"path": _quoted(role.path)})
    blocks = [
        _block("aws_iam_role", "policyhub", {**named, "assume_role_policy": _encoded(role.trust)}),
        _block(
            "aws_iam_role_policy",
            "policyhub",
            {"name": _quoted("policyhub"), "role": "aws_iam_role.policyhub.id", "policy": _encoded(role.permissions)},
        ),
    ]
    blocks += [
        _block(
            "aws_eks_pod_identity_association",
            f"policyhub_{cluster.name}",  # letters, digits, hyphens and underscores, as HCL's names
            {
                "cluster_name": _quoted(cluster.name),
                "namespace": _quoted(plan.workload.namespace),
                "service_account": _quoted(plan.workload.service_account),
                "role_arn": "aws_iam_role.policyhub.arn",
            },
        )
        for cluster in associated
        if cluster.region == home
    ]
    blocks += [
        _block(
            "aws_eks_access_entry",
            f"policyhub_{cluster.region}_{cluster.name}",
            ({} if cluster.region == home else {"region": _quoted(cluster.region)})
            | {
                "cluster_name": _quoted(cluster.name),
                "principal_arn": "aws_iam_role.policyhub.arn",
                "kubernetes_groups": f"[{_quoted(plan.group)}]",
                "type": _quoted("STANDARD"),
            },
        )
        for cluster in entered
    ]
    return _head(plan, role, entries=False) + "\n".join(blocks)


def entries(plan: Plan, role: Role) -> list[dict[str, Any]]:
    """In JSON: what CreateAccessEntry takes, and the Region to send it to."""
    return [
        {
            "region": cluster.region,
            "clusterName": cluster.name,
            "principalArn": role.arn,
            "kubernetesGroups": [plan.group],
            "type": "STANDARD",
        }
        for cluster in map(Cluster.of, role.clusters)
    ]


def _association(plan: Plan, cluster: Cluster) -> str:
    """The command that makes a Pod Identity association."""
    return (
        f"aws eks create-pod-identity-association --region {cluster.region} --cluster-name {cluster.name}"
        f" --namespace {plan.workload.namespace} --service-account {plan.workload.service_account}"
        f" --role-arn {plan.role_arn}"
    )


def _entry(plan: Plan, role: Role, cluster: Cluster) -> str:
    """The command that makes an access entry."""
    return (
        f"aws eks create-access-entry --region {cluster.region} --cluster-name {cluster.name}"
        f" --principal-arn {role.arn} --kubernetes-groups {plan.group}"
    )


class _Plain(yaml.SafeDumper):
    """YAML without anchors: the same resource twice is written twice. And YAML that all parsers read the same."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        style = "'" if _LIKE_A_NUMBER.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Plain.add_representer(str, _Plain.text)


def _clusters(plan: Plan, role: Role) -> tuple[str, Sequence[Cluster], Sequence[Cluster]]:
    """The Region of the first ("" where there is none), those to associate, and those with an access entry."""
    signs_in = role.arn == plan.role_arn and not plan.workload.irsa
    associated = [Cluster.of(arn) for arn in plan.workload.clusters] if signs_in else []
    entered = [Cluster.of(arn) for arn in role.clusters]
    return next((cluster.region for cluster in (*associated, *entered)), ""), associated, entered


def _head(plan: Plan, role: Role, *, entries: bool) -> str:
    """`entries`: whether access entries of other Regions are commands, too."""
    home, associated, entered = _clusters(plan, role)
    lines = [f"For account {role.account}{f', Region {home}' if home else ''}."]
    commands = [_association(plan, cluster) for cluster in associated if cluster.region != home]
    elsewhere = [cluster for cluster in entered if cluster.region != home]
    if entries:
        commands += [_entry(plan, role, cluster) for cluster in elsewhere]
    elif elsewhere:
        lines.append("The argument region needs version 6 of the provider hashicorp/aws.")
    if commands:
        lines += ["Then, for the clusters of other Regions:", *(f"  {command}" for command in commands)]
    return "".join(f"# {line}\n" for line in lines)


def _block(kind: str, label: str, arguments: dict[str, str]) -> str:
    """One resource; terraform fmt would write it the same."""
    lines: list[str] = []
    width = max((len(name) for name, value in arguments.items() if "\n" not in value), default=0)
    for name, value in arguments.items():
        lines += ["", f"  {name} = {value}"] if "\n" in value else [f"  {name:<{width}} = {value}"]
    return f'resource "{kind}" "{label}" {{\n' + "\n".join(lines) + "\n}\n"


def _quoted(text: str) -> str:
    """A string of HCL, in which `${` and `%{` begin a template."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")


def _encoded(document: dict[str, Any]) -> str:
    """JSON is an expression of HCL; spaced as terraform fmt does."""
    written = json.dumps(document, indent=2, separators=(",", " : ")).replace("${", "$${").replace("%{", "%%{")
    return f"jsonencode({textwrap.indent(written, '  ').lstrip()})"
