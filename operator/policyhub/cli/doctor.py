"""The flags of `policyhub doctor` and `policyhub archive-others`. Heavy modules are imported in the functions."""

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policyhub.clock import WallMs

if TYPE_CHECKING:
    from policyhub.doctor.result import CheckResult
    from policyhub.doctor.run import Options
    from policyhub.securityhub.target import HubTarget
    from policyhub.settings import Settings

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_ANYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  (the operator's address, not one that we bind)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


AccountId = Annotated[str | None, typer.Option(help="AWS account of the findings, if no MonitoredCluster names it.")]
Region = Annotated[str | None, typer.Option(help="AWS Region of the findings, if no MonitoredCluster names it.")]
RoleArn = Annotated[str | None, typer.Option(help="Role to assume, if no MonitoredCluster names one.")]
ExternalId = Annotated[str | None, typer.Option(help="External id for that role.")]


def doctor(
    clusters: Annotated[list[str] | None, typer.Argument(help="MonitoredClusters to check. Default: all.")] = None,
    *,
    output: Annotated[Output, typer.Option("--output", "-o", help="Text or JSON.")] = Output.TEXT,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Kubeconfig of the operator's cluster, outside its Pod.", envvar="KUBECONFIG")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of that kubeconfig.")] = None,
    service_account: Annotated[
        str | None,
        typer.Option(help="Outside the Pod: the operator's service account (namespace/name), to check its access."),
    ] = None,
    silent_after: Annotated[
        list[str] | None,
        typer.Option(help="Time after which an engine counts as silent, such as kyverno=3h; may be repeated."),
    ] = None,
    metrics_url: Annotated[
        str | None, typer.Option(help="URL of the operator's /metrics. Needed outside its Pod only.")
    ] = None,
    probe_import: Annotated[
        bool, typer.Option("--probe-import", help="Send a deliberately invalid finding to test the permission.")
    ] = False,
    account_id: AccountId = None,
    region: Region = None,
    role_arn: RoleArn = None,
    external_id: ExternalId = None,
) -> None:
    """Find out why findings do not reach Security Hub. Exits with 0 (fine), 1 (problems) or 2 (could not check all)."""
    import asyncio

    from policyhub.cluster.engines import SILENT_AFTER
    from policyhub.doctor import formatting
    from policyhub.doctor.result import exit_code
    from policyhub.doctor.run import Options
    from policyhub.settings import Settings, SettingsError

    inside = _SERVICE_ACCOUNT.exists()
    try:
        settings = Settings.load(account_id=account_id, region=region, role_arn=role_arn, external_id=external_id)
        spans = dict(map(_span, silent_after or ()))
    except (SettingsError, ValueError) as error:
        raise _refused(str(error)) from error
    if service_account is not None and len([part for part in service_account.split("/") if part]) != 2:
        raise _refused(f"--service-account: expected namespace/name (given: {service_account!r})")
    options = Options(
        settings=settings,
        environ=os.environ,
        wall=time.time,
        names=clusters or (),
        account=service_account or "",
        silent_after={**SILENT_AFTER, **spans},
        metrics_url=metrics_url or (_metrics_of(settings) if inside else ""),
        probe_import=probe_import,
    )
    results = asyncio.run(_run(options, kubeconfig=None if inside else kubeconfig or "", context=context))
    typer.echo(formatting.document(results) if output is Output.JSON else formatting.text(results), nl=False)
    raise typer.Exit(exit_code(results))


def _metrics_of(settings: "Settings") -> str:
    """The URL of this Pod's operator."""
    host = settings.metrics_host or ""
    host = "127.0.0.1" if host in _ANYWHERE else host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.metrics_port}/metrics"


async def _run(options: "Options", *, kubeconfig: str | None, context: str | None) -> "list[CheckResult]":
    """`kubeconfig` is None inside a Pod, and empty for the default file."""
    from policyhub.cluster.remedies import DOCTOR
    from policyhub.doctor.result import unchecked
    from policyhub.doctor.run import HERE, run_checks
    from policyhub.kube import user_kubeconfig
    from policyhub.kube.connection import Connection
    from policyhub.kube.kubeconfig import KubeconfigError

    try:
        if kubeconfig is None:
            home = await Connection.in_cluster()
        else:
            home = await Connection.from_file(kubeconfig or user_kubeconfig.DEFAULT, context=context)
    except KubeconfigError as error:
        return [unchecked("connection", HERE, error.found, remedy=DOCTOR["connection/home"])]
    async with home:
        return await run_checks(home, options)


def archive_others(
    tool: Annotated[str, typer.Argument(help="The tool, as `policyhub doctor` names it.")],
    *,
    account_id: AccountId = None,
    region: Region = None,
    role_arn: RoleArn = None,
    external_id: ExternalId = None,
    yes: Annotated[bool, typer.Option("--yes", help="Archive the findings. Without it they are only counted.")] = False,
) -> None:
    """Archive the active findings about Kubernetes policies that another tool left in Security Hub. Stop it first."""
    import asyncio

    from policyhub.api.monitoredcluster import SecurityHub
    from policyhub.securityhub.target import resolve
    from policyhub.settings import Settings, SettingsError

    if tool.strip().casefold() == "policyhub":
        raise _refused(
            "this command archives the findings of other tools. For policyhub it would archive those of all clusters."
            " To archive the findings of one cluster, run: policyhub retire CLUSTER"
        )
    try:
        settings = Settings.load(account_id=account_id, region=region, role_arn=role_arn, external_id=external_id)
    except SettingsError as error:
        raise _refused(str(error)) from error
    hub = resolve(SecurityHub(), settings)
    if hub.missing:
        raise _refused("the account and Region of the hub are unknown: give --account-id and --region")
    raise typer.Exit(asyncio.run(_archived(tool, hub, share=settings.hub_quota_share, yes=yes)))


async def _archived(tool: str, hub: "HubTarget", *, share: float, yes: bool) -> int:
    """The exit code: 1 if Security Hub refused a finding, 2 if it cannot be reached or used."""
    from botocore.exceptions import BotoCoreError

    from policyhub.cluster.formatting import counted
    from policyhub.doctor import others
    from policyhub.securityhub.errors import HubError
    from policyhub.securityhub.opener import Opener

    try:
        with Opener().opened(hub, share=share) as client:
            outcome = await others.archive(client, tool, now=lambda: WallMs(time.time_ns() // 1_000_000), dry=not yes)
    except HubError as error:
        typer.echo(f"policyhub: {error.message}", err=True)
        return 2
    except BotoCoreError as error:
        typer.echo(
            f"policyhub: the AWS configuration cannot be used: {error}. Correct --region or AWS_PROFILE", err=True
        )
        return 2
    if not yes:
        typer.echo(f"{tool} has {counted(outcome.found, 'active finding')}; add --yes to archive them.")
        return 0
    typer.echo(f"Archived {outcome.archived:,} of {counted(outcome.found, 'finding')} of {tool}.")
    for reason, number in outcome.refused.most_common():
        typer.echo(f"{number} not archived: {reason}", err=True)
    return 1 if outcome.refused else 0


def _span(text: str) -> tuple[str, float]:
    """Parse `kyverno=3h` into the engine and seconds. Raises ValueError."""
    engine, _, span = text.rpartition("=")
    number, unit = span[:-1], span[-1:]
    if not engine or unit not in _UNITS or not number.isdecimal():
        raise ValueError(f"--silent-after: expected an engine and a time, such as kyverno=3h (given: {text!r})")
    return engine, int(number) * _UNITS[unit]


def _refused(message: str) -> typer.Exit:
    typer.echo(f"policyhub: {message}", err=True)
    return typer.Exit(2)
