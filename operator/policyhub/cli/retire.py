"""The flags of `policyhub retire`. Heavy modules are imported only after the flags are valid."""

from typing import Annotated

import typer

from policyhub.cli.doctor import AccountId, ExternalId, Region, RoleArn


def retire(
    cluster: Annotated[str, typer.Argument(help="Name of the MonitoredCluster, or the identity of a deleted one.")],
    *,
    identity: Annotated[
        str | None,
        typer.Option(help="Identity in the finding ids, if the MonitoredCluster no longer has it."),
    ] = None,
    uid: Annotated[
        list[str] | None,
        typer.Option(help="Uid of the cluster in its findings, if no MonitoredCluster has it; may be repeated."),
    ] = None,
    account_id: AccountId = None,
    region: Region = None,
    role_arn: RoleArn = None,
    external_id: ExternalId = None,
    without_cluster: Annotated[
        bool, typer.Option("--without-cluster", help="Do not read the operator's cluster: it is gone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Archive the findings. Without it they are only counted.")] = False,
) -> None:
    """Archive the active findings of a removed cluster. Exits with 0, 1 (some were rejected) or 2 (not started).

    The MonitoredClusters are read in the cluster of KUBECONFIG (in a Pod: in its own); Security Hub is called with the
    AWS credentials of the environment.
    """
    import asyncio

    from policyhub.logs import configure
    from policyhub.retire.run import run
    from policyhub.retire.target import Options, RetireError, uids
    from policyhub.settings import Settings, SettingsError

    if identity is not None and not identity.strip():
        typer.echo("policyhub: --identity is empty. Give the identity, or omit the option", err=True)
        raise typer.Exit(2)
    try:
        named = uids(uid or ())
    except RetireError as error:
        typer.echo(f"policyhub: {error}", err=True)
        raise typer.Exit(2) from error
    options = Options(
        cluster=cluster,
        identity=identity or "",
        uids=named,
        account=account_id or "",
        region=region or "",
        role_arn=role_arn or "",
        external_id=external_id or "",
    )
    try:
        settings = Settings.load(
            account_id=account_id,
            region=region,
            role_arn=role_arn,
            external_id=external_id,
            log_level="warning",
            log_format="console",
        )
    except SettingsError as error:
        typer.echo(f"policyhub: {error}", err=True)
        raise typer.Exit(2) from error
    configure(settings)
    raise typer.Exit(asyncio.run(run(options, settings=settings, home=not without_cluster, yes=yes)))
