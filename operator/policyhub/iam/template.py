"""The roles as CloudFormation and Terraform.

Each output creates one role, in the account to which it is applied. Pod Identity associations and access entries belong
to a cluster and are created in its Region. A stack has one Region: resources of the first cluster's Region are in the
template, the others are commands above it. In Terraform, access entries of other Regions have the argument `region`.

The name of a resource is derived from its cluster, so that adding a cluster renames no other resource. A renamed
resource would be created before the old one is deleted, and EKS rejects a second entry.
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
_AMBIGUOUS_SCALAR = re.compile(r"[-+.]{0,2}[0-9].*|[yn]", re.IGNORECASE | re.DOTALL)
"""Texts that some YAML parsers do not read as strings, although PyYAML does: 044455556668, 1e5, y."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The parts of a cluster's ARN."""

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
        """Logical id in a template: only letters and digits. Cluster names may have others, so a digest is added."""
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
    home, associated, with_entry = _clusters(plan, role)
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
    for cluster in (cluster for cluster in with_entry if cluster.region == home):
        resources[cluster.logical_id("AccessEntry")] = access_entry(cluster.name, principal=arn, group=plan.group)
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The role of policyhub in account {role.account}",
        "Resources": resources,
        "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
    }
    split = "omit some --eks, add --discover for their permissions, and create their access entries with the AWS CLI"
    return limits.checked(_header(plan, role, entries=True), template, to_yaml(template), split=split)


def access_entry(name: str, *, principal: object, group: object) -> dict[str, Any]:
    """The CloudFormation resource: only a group, no access policy."""
    properties = {"ClusterName": name, "PrincipalArn": principal, "KubernetesGroups": [group], "Type": "STANDARD"}
    return {"Type": "AWS::EKS::AccessEntry", "Properties": properties}


def to_yaml(template: dict[str, Any]) -> str:
    return yaml.dump(template, Dumper=_PlainDumper, sort_keys=False, width=1000)


def terraform(plan: Plan, role: Role) -> str:
    """Resources in HCL, for the provider of the role's account and the Region of its first cluster."""
    home, associated, with_entry = _clusters(plan, role)
    named = {"name": _hcl_string(role.name)} | ({} if role.path == "/" else {"path": _hcl_string(role.path)})
    blocks = [
        _block("aws_iam_role", "policyhub", {**named, "assume_role_policy": _jsonencode(role.trust)}),
        _block(
            "aws_iam_role_policy",
            "policyhub",
            {
                "name": _hcl_string("policyhub"),
                "role": "aws_iam_role.policyhub.id",
                "policy": _jsonencode(role.permissions),
            },
        ),
    ]
    blocks += [
        _block(
            "aws_eks_pod_identity_association",
            f"policyhub_{cluster.name}",  # letters, digits, hyphens and underscores, as HCL's names
            {
                "cluster_name": _hcl_string(cluster.name),
                "namespace": _hcl_string(plan.workload.namespace),
                "service_account": _hcl_string(plan.workload.service_account),
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
            ({} if cluster.region == home else {"region": _hcl_string(cluster.region)})
            | {
                "cluster_name": _hcl_string(cluster.name),
                "principal_arn": "aws_iam_role.policyhub.arn",
                "kubernetes_groups": f"[{_hcl_string(plan.group)}]",
                "type": _hcl_string("STANDARD"),
            },
        )
        for cluster in with_entry
    ]
    return _header(plan, role, entries=False) + "\n".join(blocks)


def entries(plan: Plan, role: Role) -> list[dict[str, Any]]:
    """For JSON: the arguments of CreateAccessEntry, and its Region."""
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


def _association_command(plan: Plan, cluster: Cluster) -> str:
    """The command that creates a Pod Identity association."""
    return (
        f"aws eks create-pod-identity-association --region {cluster.region} --cluster-name {cluster.name}"
        f" --namespace {plan.workload.namespace} --service-account {plan.workload.service_account}"
        f" --role-arn {plan.role_arn}"
    )


def _entry_command(plan: Plan, role: Role, cluster: Cluster) -> str:
    """The command that creates an access entry."""
    return (
        f"aws eks create-access-entry --region {cluster.region} --cluster-name {cluster.name}"
        f" --principal-arn {role.arn} --kubernetes-groups {plan.group}"
    )


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors, and with quotes where parsers differ."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        style = "'" if _AMBIGUOUS_SCALAR.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_PlainDumper.add_representer(str, _PlainDumper.text)


def _clusters(plan: Plan, role: Role) -> tuple[str, Sequence[Cluster], Sequence[Cluster]]:
    """The Region of the first cluster (empty without one), clusters to associate, and clusters with an access entry."""
    signs_in = role.arn == plan.role_arn and not plan.workload.irsa
    associated = [Cluster.of(arn) for arn in plan.workload.clusters] if signs_in else []
    with_entry = [Cluster.of(arn) for arn in role.clusters]
    return next((cluster.region for cluster in (*associated, *with_entry)), ""), associated, with_entry


def _header(plan: Plan, role: Role, *, entries: bool) -> str:
    """The comment above the output. `entries`: it contains commands for access entries of other Regions."""
    home, associated, with_entry = _clusters(plan, role)
    lines = [f"For account {role.account}{f', Region {home}' if home else ''}."]
    commands = [_association_command(plan, cluster) for cluster in associated if cluster.region != home]
    elsewhere = [cluster for cluster in with_entry if cluster.region != home]
    if entries:
        commands += [_entry_command(plan, role, cluster) for cluster in elsewhere]
    elif elsewhere:
        lines.append("The argument region needs version 6 of the provider hashicorp/aws.")
    if commands:
        lines += ["Then run, for the clusters in other Regions:", *(f"  {command}" for command in commands)]
    return "".join(f"# {line}\n" for line in lines)


def _block(kind: str, label: str, arguments: dict[str, str]) -> str:
    """One resource, formatted as by terraform fmt."""
    lines: list[str] = []
    width = max((len(name) for name, value in arguments.items() if "\n" not in value), default=0)
    for name, value in arguments.items():
        lines += ["", f"  {name} = {value}"] if "\n" in value else [f"  {name:<{width}} = {value}"]
    return f'resource "{kind}" "{label}" {{\n' + "\n".join(lines) + "\n}\n"


def _hcl_string(text: str) -> str:
    """A string of HCL, in which `${` and `%{` begin a template."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")


def _jsonencode(document: dict[str, Any]) -> str:
    """JSON is an expression of HCL; spaced as terraform fmt does."""
    text = json.dumps(document, indent=2, separators=(",", " : ")).replace("${", "$${").replace("%{", "%%{")
    return f"jsonencode({textwrap.indent(text, '  ').lstrip()})"
