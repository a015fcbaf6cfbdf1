"""The flags of `policyhub archive`."""

from typing import Annotated

import typer


def archive(
    cluster: Annotated[str, typer.Argument(help="Name of the MonitoredCluster.")],
    *,
    approve: Annotated[str, typer.Option(help="Engine whose held findings may be archived, as ArchiveHeld names it.")],
    minutes: Annotated[int, typer.Option(help="Minutes until the approval ends.", min=1, max=1440)] = 60,
) -> None:
    """Approve a held bulk archive (condition ArchiveHeld) of a MonitoredCluster in the cluster of KUBECONFIG."""
    import asyncio

    from policyhub.app import approve as write_approval
    from policyhub.kube.connection import Refused, Unreachable
    from policyhub.kube.kubeconfig import KubeconfigError
    from policyhub.model.text import line

    try:
        until = asyncio.run(write_approval(cluster, source=approve, minutes=minutes))
    except (Refused, Unreachable, KubeconfigError) as error:
        typer.echo(f"policyhub: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"Findings that {line(approve)} no longer reports in {cluster} are archived after their delay. The approval"
        f" ends at {until}."
    )
