"""Counts the findings of a cluster and archives them with `--yes`; then removes the MonitoredCluster's finalizer.

Exit codes: 0; 1 if findings were rejected or had changed; 2 if it did not start or did not finish.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import typer
from botocore.exceptions import BotoCoreError

from policyhub.cluster.formatting import counted
from policyhub.control import finalizer
from policyhub.control.deletion import API_ERRORS
from policyhub.control.monitored import MonitoredClusters
from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.retire import output
from policyhub.retire.target import Options, RetireError, Target, target
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.errors import HubError
from policyhub.securityhub.opener import Opener
from policyhub.securityhub.retirement import Retirement, count_findings
from policyhub.settings import Settings

_NO_HOME = (
    "KUBECONFIG must name the operator's cluster. If that cluster is gone as well, use --without-cluster with"
    " --account-id, --region and --uid"
)


async def run(options: Options, *, settings: Settings, home: bool, yes: bool) -> int:
    """The exit code. `home`: read the operator's cluster."""
    async with AsyncExitStack() as stack:
        connection = None
        try:
            if home:
                connection = await stack.enter_async_context(await Connection.home())
            existing = (await MonitoredClusters(connection).list_all()).values() if connection is not None else ()
            resolved = target(options, list(existing), settings=settings)
        except (KubeconfigError, *API_ERRORS) as error:
            return _error(f"the MonitoredClusters cannot be read: {error}. {_NO_HOME}")
        except RetireError as error:
            return _error(str(error))
        try:

            async def other_writer() -> str:
                existing = (await MonitoredClusters(connection).list_all()).values() if connection is not None else ()
                return target(options, list(existing), settings=settings).writer

            with Opener().opened(resolved.hub, share=settings.hub_quota_share) as client:
                return await _retire(client, resolved, connection, yes=yes, other_writer=other_writer)
        except API_ERRORS as error:
            return _error(f"the MonitoredClusters cannot be read: {error}. Run it again to continue")
        except HubError as error:
            return _error(f"{error.message}. Archived findings stay archived; run it again to continue")
        except BotoCoreError as error:
            return _error(str(error))


async def _retire(
    client: HubClient,
    resolved: Target,
    home: Connection | None,
    *,
    yes: bool,
    other_writer: Callable[[], Awaitable[str]],
) -> int:
    await client.verify_account()
    found = await count_findings(client, resolved.identity)
    typer.echo(output.summary(resolved, found))
    typer.echo()
    if resolved.writer:
        return _error(output.still_written_message(resolved))
    if not resolved.uids:
        typer.echo(output.uid_missing(resolved, found))
        if yes and not found:
            return await _release(home, resolved)
        return 2 if yes else 0
    selected = sum(number for (uid, _, _), number in found.items() if uid in resolved.uids)
    if not yes:
        typer.echo(f"--yes archives {counted(selected, 'finding')}." if selected else "There is nothing to archive.")
        return 0
    work = Retirement(client, identity=resolved.identity, uids=resolved.uids, rival=other_writer)
    complete = False
    try:
        complete = await work.run()
    finally:
        typer.echo(f"{counted(work.archived, 'finding')} archived.")
    for reason, number in work.reasons.most_common():
        typer.echo(f"{number} not archived: {reason}", err=True)
    if work.changed:
        typer.echo(f"{len(work.changed)} not archived: somebody updated them meanwhile; run it again", err=True)
    if not complete:
        return _error("stopped: meanwhile a MonitoredCluster was created that sends these findings")
    if work.failed or work.changed:
        return 1
    return await _release(home, resolved)


async def _release(home: Connection | None, resolved: Target) -> int:
    """Remove the finalizer of the deleted MonitoredCluster: its findings are archived."""
    if home is None or not resolved.finalizer_of:
        return 0
    try:
        await finalizer.write(home, resolved.cluster, resolved.finalizer_of, present=False)
    except API_ERRORS as error:
        return _error(
            f"the finalizer of the deleted MonitoredCluster {resolved.cluster} could not be removed, so the object"
            f" still exists: {error}. Run it again with an identity that may patch MonitoredClusters"
        )
    typer.echo(f"The finalizer of the deleted MonitoredCluster {resolved.cluster} is removed, so the object is gone.")
    return 0


def _error(message: str) -> int:
    typer.echo(f"policyhub: {message}", err=True)
    return 2
