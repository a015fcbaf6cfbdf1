"""The command line: `policyhub run`, `archive`, `render`, `iam-policy`, `findings`, `clusters`, `doctor`,
`archive-others` and `retire`.
"""

import logging
import os
from typing import Annotated

import typer

import policyhub
from policyhub.clusters.command import clusters
from policyhub.doctor.command import archive_others, doctor
from policyhub.iam.command import iam_policy
from policyhub.render import command
from policyhub.retire.command import retire
from policyhub.triage.command import findings

app = typer.Typer(
    help="Kubernetes policy violations as AWS Security Hub CSPM findings.", no_args_is_help=True, add_completion=False
)


def main() -> None:
    app()


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(policyhub.__version__)
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=lambda v: _print_version(wanted=v)
        ),
    ] = False,
) -> None:
    del version  # printed by its callback


@app.command()
def run(  # noqa: PLR0917  (typer turns each into a flag: the length is that of the list of flags)
    account_id: Annotated[str | None, typer.Option(help="AWS account of MonitoredClusters that name none.")] = None,
    region: Annotated[str | None, typer.Option(help="AWS Region for MonitoredClusters that name none.")] = None,
    role_arn: Annotated[str | None, typer.Option(help="Role to assume if a MonitoredCluster names none.")] = None,
    external_id: Annotated[str | None, typer.Option(help="External id for that role.")] = None,
    metrics_host: Annotated[str | None, typer.Option(help="Address of /metrics and the probes.")] = None,
    metrics_port: Annotated[
        str | None, typer.Option(help="Port of /metrics and the probes (default 8080; 0: any free port).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console.")] = None,
    hub_quota_share: Annotated[str | None, typer.Option(help="Share of Security Hub's quotas to use.")] = None,
    relist_interval: Annotated[str | None, typer.Option(help="Seconds between complete listings.")] = None,
    inventory_interval: Annotated[str | None, typer.Option(help="Seconds between inventories.")] = None,
    cluster_discovery: Annotated[str | None, typer.Option(help="true: handle ClusterDiscoveries.")] = None,
    cluster_discovery_interval: Annotated[
        str | None, typer.Option(help="Seconds between two searches for clusters.")
    ] = None,
    discovery_interval: Annotated[
        str | None, typer.Option(help="Seconds between two discoveries of the served APIs.")
    ] = None,
    eks_endpoint_hosts: Annotated[
        str | None, typer.Option(help="Hosts that spec.connection.eks.endpoint may name.")
    ] = None,
    watch_selector: Annotated[str | None, typer.Option(help="Labels of the MonitoredClusters to handle.")] = None,
    sla_days: Annotated[
        str | None, typer.Option(help="Days until a violation is past its SLA: critical=7,high=30.")
    ] = None,
    metrics_namespaces: Annotated[str | None, typer.Option(help="true: count violations by namespace.")] = None,
    limit_report_bytes: Annotated[str | None, typer.Option(help="Maximum bytes of one report.")] = None,
    limit_report_results: Annotated[str | None, typer.Option(help="Maximum results of one report.")] = None,
    limit_namespace_findings: Annotated[str | None, typer.Option(help="Maximum findings of one namespace.")] = None,
    limit_cluster_findings: Annotated[str | None, typer.Option(help="Maximum findings of one cluster.")] = None,
    limit_namespace_imports: Annotated[
        str | None, typer.Option(help="Maximum imports a day for one namespace.")
    ] = None,
    lease: Annotated[str | None, typer.Option(help="Lease (namespace/name) that elects the active replica.")] = None,
) -> None:
    """Run the operator. Each flag is also an environment variable: POLICYHUB_ and its name in capitals."""
    # Each command loads what it needs, when its arguments are right: --help and `render` load no network library.
    from policyhub.loading import sparing

    with sparing():
        from policyhub.settings import Settings, SettingsError

    try:
        settings = Settings.load(
            account_id=account_id,
            region=region,
            role_arn=role_arn,
            external_id=external_id,
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            log_level=log_level,
            log_format=log_format,
            hub_quota_share=hub_quota_share,
            relist_interval=relist_interval,
            inventory_interval=inventory_interval,
            cluster_discovery=cluster_discovery,
            cluster_discovery_interval=cluster_discovery_interval,
            discovery_interval=discovery_interval,
            eks_endpoint_hosts=eks_endpoint_hosts,
            watch_selector=watch_selector,
            sla_days=sla_days,
            metrics_namespaces=metrics_namespaces,
            limit_report_bytes=limit_report_bytes,
            limit_report_results=limit_report_results,
            limit_namespace_findings=limit_namespace_findings,
            limit_cluster_findings=limit_cluster_findings,
            limit_namespace_imports=limit_namespace_imports,
            lease=lease,
        )
    except SettingsError as error:
        typer.echo(f"policyhub: the settings are wrong:\n{error}", err=True)
        raise typer.Exit(2) from error
    with sparing():
        import asyncio

        from policyhub import logs
        from policyhub.app import run as serve
    logs.configure(settings)
    code = asyncio.run(serve(settings))
    # A call to AWS that is under way in a thread would hold the interpreter's end for up to its time-out of 10 s.
    logging.shutdown()
    os._exit(code)


@app.command()
def archive(
    cluster: Annotated[str, typer.Argument(help="Name of the MonitoredCluster.")],
    *,
    approve: Annotated[str, typer.Option(help="Engine whose lost findings may be archived, as ArchiveHeld names it.")],
    minutes: Annotated[int, typer.Option(help="Minutes until the approval ends.", min=1, max=1440)] = 60,
) -> None:
    """Approve a held bulk archive (condition ArchiveHeld) of a MonitoredCluster in the cluster of KUBECONFIG."""
    import asyncio

    from policyhub.app import approve as ask
    from policyhub.kube.connection import Refused, Unreachable
    from policyhub.kube.kubeconfig import KubeconfigError
    from policyhub.sources.text import line

    try:
        until = asyncio.run(ask(cluster, source=approve, minutes=minutes))
    except (Refused, Unreachable, KubeconfigError) as error:
        typer.echo(f"policyhub: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"What {line(approve)} has lost in {cluster} is archived when its delay has passed; approved until {until}."
    )


app.command()(command.render)
app.command("iam-policy")(iam_policy)
app.command()(findings)
app.command()(clusters)
app.command()(doctor)
app.command("archive-others")(archive_others)
app.command()(retire)
