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
from policyhub.securityhub.retirement import Retirement, census
from policyhub.settings import Settings

GONE = (
    "KUBECONFIG names the operator's cluster. If that is gone as well, say so: --without-cluster, with --account-id,"
    " --region and --uid"
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
            return _error(f"the MonitoredClusters cannot be read: {error}. {GONE}")
        except RetireError as error:
            return _error(str(error))
        try:

            async def other_writer() -> str:
                existing = (await MonitoredClusters(connection).list_all()).values() if connection is not None else ()
                return target(options, list(existing), settings=settings).writer

            with Opener().opened(resolved.hub, share=settings.hub_quota_share) as client:
                return await _retire(client, resolved, connection, yes=yes, other_writer=other_writer)
        except API_ERRORS as error:
            return _error(f"the MonitoredClusters cannot be read: {error}. Run it again to go on")
        except HubError as error:
            return _error(f"{error.message}. What was archived stays so; run it again to go on")
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
    found = await census(client, resolved.identity)
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
    whole = False
    try:
        whole = await work.run()
    finally:
        typer.echo(f"{counted(work.archived, 'finding')} archived.")
    for reason, number in work.reasons.most_common():
        typer.echo(f"{number} not: {reason}", err=True)
    if work.changed:
        typer.echo(f"{len(work.changed)} not: updated by somebody else meanwhile; run it again", err=True)
    if not whole:
        return _error("stopped: a MonitoredCluster that writes these findings was created meanwhile")
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
            f"MonitoredCluster {resolved.cluster} was deleted and waits for its finalizer to be taken off, which"
            f" failed: {error}. Run it again as somebody who may patch MonitoredClusters"
        )
    typer.echo(f"MonitoredCluster {resolved.cluster}, which was deleted and waited for this, is gone.")
    return 0


def _error(message: str) -> int:
    typer.echo(f"policyhub: {message}", err=True)
    return 2
