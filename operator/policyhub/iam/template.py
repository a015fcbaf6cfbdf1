"""The same roles as CloudFormation and Terraform.

Each text makes one role, in the account that it is applied in. A Pod Identity association belongs to a cluster and is
made where the cluster is: those in the first cluster's Region are part of the text, the others stand above it as
commands. Pure: no I/O, no clock.
"""

import json
import re
import textwrap
from typing import Any

import yaml

from policyhub.iam.policy import Plan, Role

_ARN = re.compile(r"arn:[^:]+:eks:(?P<region>[^:]+):[^:]+:cluster/(?P<name>.+)")


def cloudformation(plan: Plan, role: Role) -> str:
    """A template in YAML."""
    properties: dict[str, Any] = {"RoleName": role.name}
    if role.path != "/":
        properties["Path"] = role.path
    properties["AssumeRolePolicyDocument"] = role.trust
    properties["Policies"] = [{"PolicyName": "policyhub", "PolicyDocument": role.permissions}]
    resources: dict[str, Any] = {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}
    here, elsewhere = _associations(plan, role)
    for number, (_, name) in enumerate(here, 1):
        resources[f"PodIdentity{number}"] = {
            "Type": "AWS::EKS::PodIdentityAssociation",
            "Properties": {
                "ClusterName": name,
                "Namespace": plan.workload.namespace,
                "ServiceAccount": plan.workload.service_account,
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
            },
        }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The role of policyhub in account {role.account}",
        "Resources": resources,
        "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
    }
    return _head(plan, role, here, elsewhere) + yaml.dump(template, Dumper=_Plain, sort_keys=False, width=1000)


def terraform(plan: Plan, role: Role) -> str:
    """Resources in HCL, for the provider of the role's account and the Region of its clusters."""
    here, elsewhere = _associations(plan, role)
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
            f"policyhub_{name}",  # a cluster's name has letters, digits, hyphens and underscores, as HCL's names
            {
                "cluster_name": _quoted(name),
                "namespace": _quoted(plan.workload.namespace),
                "service_account": _quoted(plan.workload.service_account),
                "role_arn": "aws_iam_role.policyhub.arn",
            },
        )
        for _, name in here
    ]
    return _head(plan, role, here, elsewhere) + "\n".join(blocks)


def association(plan: Plan, *, region: str, cluster: str) -> str:
    """The command that makes a Pod Identity association."""
    return (
        f"aws eks create-pod-identity-association --region {region} --cluster-name {cluster}"
        f" --namespace {plan.workload.namespace} --service-account {plan.workload.service_account}"
        f" --role-arn {plan.role_arn}"
    )


class _Plain(yaml.SafeDumper):
    """YAML without anchors: the same resource twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _associations(plan: Plan, role: Role) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(Region, name) of the clusters in the Region of the first, and of the others."""
    if role.arn != plan.role_arn or plan.workload.irsa:
        return [], []
    found = [(match["region"], match["name"]) for arn in plan.workload.clusters if (match := _ARN.fullmatch(arn))]
    return [c for c in found if c[0] == found[0][0]], [c for c in found if c[0] != found[0][0]]


def _head(plan: Plan, role: Role, here: list[tuple[str, str]], elsewhere: list[tuple[str, str]]) -> str:
    where = f", Region {here[0][0]}" if here else ""
    lines = [f"For account {role.account}{where}."]
    if elsewhere:
        lines.append("Then, for the clusters of other Regions:")
        lines += [f"  {association(plan, region=region, cluster=name)}" for region, name in elsewhere]
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
