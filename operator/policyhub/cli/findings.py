"""The flags of `policyhub findings`. Heavy modules are imported only after the flags are valid."""

import time
from enum import StrEnum
from typing import Annotated

import typer

from policyhub.clock import WallMs


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Status(StrEnum):
    NEW = "new"
    NOTIFIED = "notified"
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFORMATIONAL = "informational"


def findings(
    *,
    cluster: Annotated[list[str] | None, typer.Argument(help="MonitoredClusters. Default: all.")] = None,
    status: Annotated[list[Status] | None, typer.Option(help="Workflow status; may be repeated.")] = None,
    severity: Annotated[list[Severity] | None, typer.Option(help="Severity; may be repeated.")] = None,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Namespace of the object; may be repeated.")
    ] = None,
    past_sla: Annotated[bool, typer.Option("--past-sla", help="Only findings past their SLA.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="Output format.")] = Output.TABLE,
) -> None:
    """List the active findings with their workflow status, age and SLA, as Security Hub has them now.

    The MonitoredClusters are read in the cluster of KUBECONFIG (in a Pod: in its own), the findings with the AWS
    credentials of the environment.
    """
    import asyncio

    from policyhub.kube.connection import Refused, Unreachable
    from policyhub.kube.kubeconfig import KubeconfigError
    from policyhub.logs import configure
    from policyhub.securityhub.errors import HubError
    from policyhub.settings import Settings, SettingsError
    from policyhub.triage.output import table, to_csv, to_json
    from policyhub.triage.read import TriageError, read
    from policyhub.triage.row import Filter, ordered

    selection = Filter(
        statuses=frozenset(one.upper() for one in status or ()),
        severities=frozenset(one.upper() for one in severity or ()),
        namespaces=frozenset(namespace or ()),
        past_sla=past_sla,
    )
    try:
        settings = Settings.load(log_level="warning", log_format="console")
        configure(settings)
        listed = ordered(asyncio.run(read(cluster or [], selection, settings=settings, now=_now)))
    except (SettingsError, TriageError, KubeconfigError, Refused, Unreachable, HubError) as error:
        typer.echo(f"policyhub: {error}", err=True)
        raise typer.Exit(1) from error
    write = {Output.TABLE: table, Output.JSON: to_json, Output.CSV: to_csv}[output]
    typer.echo(write(listed), nl=False)


def _now() -> WallMs:
    """Unix milliseconds."""
    return WallMs(time.time_ns() // 1_000_000)
