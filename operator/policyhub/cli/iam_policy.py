"""The flags of `policyhub iam-policy`. AWS is not called; botocore, which knows the Regions, is imported late."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from policyhub.iam.policy import Plan, Role

_WHO = "Who signs in"


class Output(StrEnum):
    JSON = "json"
    CLOUDFORMATION = "cloudformation"
    TERRAFORM = "terraform"
    STACKSET = "stackset"


class Part(StrEnum):
    PERMISSIONS = "permissions"
    TRUST = "trust"


def iam_policy(
    *,
    account_id: Annotated[str, typer.Option(help="AWS account of the operator's role.")],
    region: Annotated[list[str], typer.Option(help="Region of the findings; may be repeated.")],
    assume_role: Annotated[
        list[str] | None,
        typer.Option(help="ARN of a role in another account, for that account's findings; may be repeated."),
    ] = None,
    eks: Annotated[
        list[str] | None,
        typer.Option(help="ARN of an EKS cluster that is monitored by its ARN; may be repeated."),
    ] = None,
    eks_role: Annotated[
        list[str] | None,
        typer.Option(help="ARN of a role in another account, for its EKS clusters only; may be repeated."),
    ] = None,
    discover: Annotated[
        list[str] | None,
        typer.Option(help="Region that a ClusterDiscovery searches for clusters, in those accounts; may be repeated."),
    ] = None,
    discover_own: Annotated[
        bool, typer.Option("--discover-own", help="Search the operator's own account too.")
    ] = False,
    kubernetes_group: Annotated[
        str, typer.Option(help="Group of the access entries, as in the chart policyhub-access.")
    ] = "policyhub",
    external_id: Annotated[str | None, typer.Option(help="External id that those roles require.")] = None,
    own_findings: Annotated[bool, typer.Option(help="Send findings to the operator's own account too.")] = True,
    role_name: Annotated[str, typer.Option(help="Name of the operator's role.")] = "policyhub",
    cluster: Annotated[
        list[str] | None,
        typer.Option(help="Pod Identity: ARN of an EKS cluster; may be repeated.", rich_help_panel=_WHO),
    ] = None,
    oidc_issuer: Annotated[
        list[str] | None,
        typer.Option(help="IRSA: URL of a cluster's OIDC issuer; may be repeated.", rich_help_panel=_WHO),
    ] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the operator.", rich_help_panel=_WHO)] = "policyhub",
    service_account: Annotated[str, typer.Option(help="Its service account.", rich_help_panel=_WHO)] = "policyhub",
    output: Annotated[Output, typer.Option("--output", "-o", help="Output format.")] = Output.JSON,
    in_account: Annotated[
        str | None, typer.Option(help="Account whose role is printed. Default: the operator's; with JSON, all roles.")
    ] = None,
    only: Annotated[
        Part | None, typer.Option(help="Print only one policy document of that role, as the AWS CLI expects it.")
    ] = None,
) -> None:
    """Print the AWS permissions and trust policies that the operator's role and the roles it assumes need, and the
    access entries that let them into EKS clusters.
    """
    from policyhub.api.scalar import known_partition
    from policyhub.iam.request import Request, RequestError

    try:
        request = Request.read(
            account_id=account_id,
            region=region,
            assume_role=assume_role or (),
            eks=eks or (),
            eks_role=eks_role or (),
            discover=discover or (),
            discover_own=discover_own,
            kubernetes_group=kubernetes_group,
            external_id=external_id,
            own_findings=own_findings,
            role_name=role_name,
            cluster=cluster or (),
            oidc_issuer=oidc_issuer or (),
            namespace=namespace,
            service_account=service_account,
        )
        plan = request.plan({name: known_partition(name) or "" for name in (*region, *(discover or ()))})
    except RequestError as error:
        raise _usage_error(str(error)) from error
    if output is Output.STACKSET:
        _reject_stackset_flags(in_account, only)
        typer.echo(_stackset(plan), nl=False)
        return
    roles = [role for role in plan.roles() if in_account in {None, role.account}]
    if not roles:
        raise _usage_error(f"--in-account: no role is in {in_account}: only the accounts of the other options have one")
    if in_account is not None and len(roles) > 1:
        both = " and ".join(role.arn for role in roles)
        raise _usage_error(
            f"--in-account: {both} are in account {in_account}, but the command prints one at a time: run it once for"
            " each, with only its --assume-role or --eks-role"
        )
    if only is not None and output is not Output.JSON:
        raise _usage_error("--only prints JSON: omit --output")
    if only is not None or output is not Output.JSON:
        roles = roles[:1]
    typer.echo(_rendered(plan, roles, output=output, only=only, bare=in_account is not None), nl=False)


def _reject_stackset_flags(in_account: str | None, only: Part | None) -> None:
    if in_account is not None:
        raise _usage_error(
            "--in-account: a StackSet has one template for all accounts: omit it, or use -o cloudformation"
        )
    if only is not None:
        raise _usage_error("--only prints JSON: omit --output")


def _stackset(plan: "Plan") -> str:
    from policyhub.iam.limits import LimitError
    from policyhub.iam.stackset import StackSetError, stackset

    try:
        return stackset(plan)
    except (StackSetError, LimitError) as error:
        raise _usage_error(f"-o stackset: {error}") from error


def _usage_error(message: str) -> typer.Exit:
    typer.echo(f"policyhub: {message}", err=True)
    return typer.Exit(2)


def _rendered(plan: "Plan", roles: "list[Role]", *, output: Output, only: Part | None, bare: bool) -> str:
    from policyhub.iam import limits, template

    first = roles[0]
    try:
        if only is not Part.TRUST:
            limits.check_policies(roles)
        match output:
            case Output.CLOUDFORMATION:
                return template.cloudformation(plan, first)
            case Output.TERRAFORM:
                return template.terraform(plan, first)
    except limits.LimitError as error:
        raise _usage_error(str(error)) from error
    shown: Any = [_role_json(plan, role) for role in roles]
    if only is not None:
        shown = first.trust if only is Part.TRUST else first.permissions
    elif bare:
        shown = shown[0]
    return json.dumps(shown, indent=2) + "\n"


def _role_json(plan: "Plan", role: "Role") -> dict[str, Any]:
    from policyhub.iam.template import entries

    found = {"role": role.arn, "trust": role.trust, "permissions": role.permissions}
    return {**found, "accessEntries": entries(plan, role)} if role.clusters else found
