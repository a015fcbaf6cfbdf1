"""The flags of `policyhub clusters`. Heavy modules are imported only after the flags are valid."""

import time
from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


def clusters(
    names: Annotated[list[str] | None, typer.Argument(help="MonitoredClusters. Default: all.")] = None,
    *,
    output: Annotated[Output, typer.Option("--output", "-o", help="Output format.")] = Output.TABLE,
) -> None:
    """Show the health of the monitored clusters. Exits with 0 (all healthy), 1 (some are not) or 2 (could not read).

    The MonitoredClusters are read in the cluster of KUBECONFIG (in a Pod: in its own), and nothing else is.
    """
    import asyncio

    import msgspec

    from policyhub.clock import WallMs
    from policyhub.clusters.output import table, to_json
    from policyhub.clusters.row import row
    from policyhub.control.monitored import MonitoredClusters
    from policyhub.kube.connection import Connection, Refused, Unreachable
    from policyhub.kube.kubeconfig import KubeconfigError
    from policyhub.model.text import line

    async def read() -> list[dict[str, object]]:
        async with await Connection.home() as home:
            return [dict(body) for body in (await MonitoredClusters(home).list_all()).values()]

    try:
        bodies = asyncio.run(read())
    except (Refused, Unreachable, KubeconfigError, msgspec.MsgspecError, RecursionError) as error:
        why = line(str(error), 1_000)
        raise _failed(
            f"the MonitoredClusters cannot be read, so the state of the clusters is unknown: {why}. KUBECONFIG must"
            " name the operator's cluster"
        ) from error
    now = WallMs(time.time_ns() // 1_000_000)
    rows = sorted((row(body, now=now) for body in bodies), key=lambda one: (one.well, one.name))
    if unknown := sorted(set(names or ()) - {one.name for one in rows}):
        existing = ", ".join(sorted(one.name for one in rows)) or "none"
        raise _failed(f"there is no MonitoredCluster {', '.join(unknown)}. Existing: {existing}")
    chosen = [one for one in rows if not names or one.name in names]
    if output is Output.JSON:
        typer.echo(to_json(chosen), nl=False)
    else:
        typer.echo(table(chosen, now=now, wide=output is Output.WIDE), nl=False)
    raise typer.Exit(0 if all(one.well for one in chosen) else 1)


def _failed(message: str) -> typer.Exit:
    typer.echo(f"policyhub: {message}", err=True)
    return typer.Exit(2)
