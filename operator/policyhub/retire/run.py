"""Counts the findings of a cluster, archives them when told to, and lets go of a MonitoredCluster that waits for that.

Ends with 0, 1 (some were refused, or changed meanwhile) or 2 (not begun, or not to the end).
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import typer
from botocore.exceptions import BotoCoreError

from policyhub import finalizer
from policyhub.cluster.formatting import counted
from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.leaving import UNREADABLE
from policyhub.monitored import MonitoredClusters
from policyhub.retire import words
from policyhub.retire.target import Asked, RetireError, Target, target
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.errors import HubError
from policyhub.securityhub.opener import Opener
from policyhub.securityhub.retirement import Retirement, census
from policyhub.settings import Settings

GONE = (
    "KUBECONFIG names the operator's cluster. If that is gone as well, say so: --without-cluster, with --account-id,"
    " --region and --uid"
)


async def run(asked: Asked, *, settings: Settings, home: bool, yes: bool) -> int:
    """`home`: whether the operator's cluster is asked."""
    async with AsyncExitStack() as stack:
        connection = None
        try:
            if home:
                connection = await stack.enter_async_context(await Connection.home())
            there = (await MonitoredClusters(connection).listed()).values() if connection is not None else ()
            meant = target(asked, list(there), settings=settings)
        except (KubeconfigError, *UNREADABLE) as error:
            return _failed(f"the MonitoredClusters cannot be read: {error}. {GONE}")
        except RetireError as error:
            return _failed(str(error))
        try:

            async def rival() -> str:
                there = (await MonitoredClusters(connection).listed()).values() if connection is not None else ()
                return target(asked, list(there), settings=settings).writer

            with Opener().opened(meant.hub, share=settings.hub_quota_share) as client:
                return await _retire(client, meant, connection, yes=yes, rival=rival)
        except UNREADABLE as error:
            return _failed(f"the MonitoredClusters cannot be read: {error}. Run it again to go on")
        except HubError as error:
            return _failed(f"{error.message}. What was archived stays so; run it again to go on")
        except BotoCoreError as error:
            return _failed(str(error))


async def _retire(
    client: HubClient, meant: Target, home: Connection | None, *, yes: bool, rival: Callable[[], Awaitable[str]]
) -> int:
    await client.verify_account()
    found = await census(client, meant.identity)
    typer.echo(words.numbers(meant, found))
    typer.echo()
    if meant.writer:
        return _failed(words.still_written(meant))
    if not meant.uids:
        typer.echo(words.unnamed(meant, found))
        if yes and not found:
            return await _release(home, meant)
        return 2 if yes else 0
    chosen = sum(number for (uid, _, _), number in found.items() if uid in meant.uids)
    if not yes:
        typer.echo(f"--yes archives {counted(chosen, 'finding')}." if chosen else "There is nothing to archive.")
        return 0
    work = Retirement(client, identity=meant.identity, uids=meant.uids, rival=rival)
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
        return _failed("stopped: a MonitoredCluster that writes these findings was created meanwhile")
    if work.failed or work.changed:
        return 1
    return await _release(home, meant)


async def _release(home: Connection | None, meant: Target) -> int:
    """Let the deleted MonitoredCluster go, which waits for its findings to be archived."""
    if home is None or not meant.kept:
        return 0
    try:
        await finalizer.write(home, meant.cluster, meant.kept, there=False)
    except UNREADABLE as error:
        return _failed(
            f"MonitoredCluster {meant.cluster} was deleted and waits for its finalizer to be taken off, which failed:"
            f" {error}. Run it again as somebody who may patch MonitoredClusters"
        )
    typer.echo(f"MonitoredCluster {meant.cluster}, which was deleted and waited for this, is gone.")
    return 0


def _failed(message: str) -> int:
    typer.echo(f"policyhub: {message}", err=True)
    return 2
