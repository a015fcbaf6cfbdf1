"""The flags of `policyhub render`. Other modules load after the flags are validated; kopf and botocore never load."""

import time
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import typer

from policyhub.clock import WallMs

_TARGET = "Cluster and hub"
_SELECTION = "Filters and roll-up"


Output = Literal["jsonl", "json", "table"]
Severity = Literal["informational", "low", "medium", "high", "critical"]


class Result(StrEnum):  # typer does not support a list of literals
    FAIL = "fail"
    WARN = "warn"
    ERROR = "error"


def render(  # typer makes a flag of each parameter, so the function is long
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="JSON, YAML or JSON lines; folders of such files; - for standard input."),
    ] = None,
    *,
    live: Annotated[bool, typer.Option("--live", help="Read the cluster of KUBECONFIG instead of files.")] = False,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig. Implies --live.")] = None,
    kubeconfig: Annotated[str | None, typer.Option(help="Kubeconfig of --live.", envvar="KUBECONFIG")] = None,
    output: Annotated[
        Output | None, typer.Option("--output", "-o", help="JSON lines (default), one JSON array, or a table.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain where each field of each finding comes from.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Count the findings; estimate events a month and their price.")
    ] = False,
    changes_per_day: Annotated[
        float | None, typer.Option(help="Findings that change in a day, for the estimate.", min=0)
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="UpdatedAt of the findings, such as 2026-11-25T08:00:00Z. Default: now.")
    ] = None,
    from_monitoredcluster: Annotated[
        str | None,
        typer.Option(help="File with a MonitoredCluster. The flags below override it.", rich_help_panel=_TARGET),
    ] = None,
    cluster_name: Annotated[
        str | None,
        typer.Option(help="Name of the MonitoredCluster. It is part of the finding ids.", rich_help_panel=_TARGET),
    ] = None,
    cluster_arn: Annotated[
        str | None,
        typer.Option(help="Its clusterArn, which replaces the name in the finding ids.", rich_help_panel=_TARGET),
    ] = None,
    cluster_uid: Annotated[
        str | None, typer.Option(help="Uid of the namespace kube-system. --live reads it.", rich_help_panel=_TARGET)
    ] = None,
    account_id: Annotated[
        str | None,
        typer.Option(help="AWS account of the hub.", envvar="POLICYHUB_ACCOUNT_ID", rich_help_panel=_TARGET),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Region of the hub.", envvar="POLICYHUB_REGION", rich_help_panel=_TARGET)
    ] = None,
    minimum_severity: Annotated[
        Severity | None, typer.Option(help="Ignore violations that are less severe.", rich_help_panel=_SELECTION)
    ] = None,
    roll_up: Annotated[
        bool | None,
        typer.Option(
            "--roll-up/--no-roll-up",
            help="Roll results on Pods, ReplicaSets and Jobs up to their controllers (the default).",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    result: Annotated[
        list[Result] | None, typer.Option(help="Results to include; may be repeated.", rich_help_panel=_SELECTION)
    ] = None,
    exclude_source: Annotated[
        list[str] | None,
        typer.Option(
            help="Engine to exclude; may be repeated, '' for none. Default, as in a MonitoredCluster: Falco, JsPolicy"
            " and Trivy Vulnerability.",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    event_logs: Annotated[
        bool | None,
        typer.Option(
            "--event-logs/--no-event-logs",
            help="Include results that report events (by default they are filtered out).",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", "-n", help="Namespace to include, or a pattern; may be repeated.", rich_help_panel=_SELECTION
        ),
    ] = None,
    exclude_namespace: Annotated[
        list[str] | None, typer.Option(help="Namespace to exclude; may be repeated.", rich_help_panel=_SELECTION)
    ] = None,
) -> None:
    """Render reports and constraints as the findings that `policyhub run` would send, without AWS.

    kubectl get polr -A -o json | policyhub render --output table
    """
    moment = _milliseconds(now)
    if files and (live or context):
        raise typer.BadParameter("give either files, or --live or --context")
    if explain and summary:
        raise typer.BadParameter("give either --explain or --summary")
    hub = {"account_id": account_id, "region": region}
    settings = {name: value for name, value in hub.items() if _of_environment(ctx, name)}
    # YAML, the ledger and the models of the API are slow to load: only with valid arguments.
    from policyhub.render.session import Request, run

    code = run(
        Request(
            files=files or [],
            live=live or context is not None,
            context=context,
            kubeconfig=kubeconfig,
            form=output,
            explain=explain,
            summary=summary,
            changes_per_day=changes_per_day,
            monitored_cluster=from_monitoredcluster,
            settings=settings,
            flags={
                **{name: value for name, value in hub.items() if name not in settings},
                "cluster_name": cluster_name,
                "cluster_arn": cluster_arn,
                "cluster_uid": cluster_uid,
                "minimum_severity": minimum_severity,
                "result": [one.value for one in result] if result else None,
                "roll_up": roll_up,
                "exclude_source": exclude_source or None,
                "event_logs": event_logs,
                "namespace": namespace or None,
                "exclude_namespace": exclude_namespace or None,
            },
            now=moment,
        )
    )
    raise typer.Exit(code)


def _of_environment(ctx: typer.Context, name: str) -> bool:
    """Whether the value of an option comes from its environment variable."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def _milliseconds(text: str | None) -> WallMs:
    """Unix milliseconds of a time in RFC 3339; without one, the current time."""
    if text is None:
        return WallMs(time.time_ns() // 1_000_000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-11-25T08:00:00Z", param_hint="--now")
    return WallMs(int(moment.timestamp() * 1000))
