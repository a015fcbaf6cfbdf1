"""The command line: `policyhub run`, `archive`, `render`, `iam-policy`, `findings`, `clusters`, `doctor`,
`archive-others` and `retire`.
"""

import logging
import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import policyhub
from policyhub.cli import render
from policyhub.cli.clusters import clusters
from policyhub.cli.doctor import archive_others, doctor
from policyhub.cli.findings import findings
from policyhub.cli.iam_policy import iam_policy
from policyhub.cli.retire import retire


class Commands(TyperGroup):
    """The flags of `run` are the settings, which load only if `run` is the command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, run_command() if name == "run" else command, rest


app = typer.Typer(
    cls=Commands,
    help="Kubernetes policy violations as AWS Security Hub CSPM findings.",
    no_args_is_help=True,
    add_completion=False,
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
def run() -> None:
    """Run the operator. Each flag is also an environment variable: POLICYHUB_ and its name in capitals."""
    raise AssertionError("`Commands` puts the one with the flags in its place")


def run_command() -> Any:
    """`policyhub run` with its flags."""
    # Each command loads its modules after its arguments are validated: --help and `render` load no network library.
    from policyhub.loading import sparing

    with sparing():
        from policyhub.cli import flags

    only = typer.Typer(add_completion=False)
    only.command("run", help=run.__doc__)(flags.takes_settings(_run))
    return typer.main.get_command(only)


def _run(**flags: str | None) -> None:
    from policyhub.loading import sparing
    from policyhub.settings import Settings, SettingsError

    try:
        settings = Settings.load(**flags)
    except SettingsError as error:
        typer.echo(f"policyhub: the settings are wrong:\n{error}", err=True)
        raise typer.Exit(2) from error
    with sparing():
        import asyncio

        from policyhub import logs
        from policyhub.app import run as serve
    logs.configure(settings)
    code = asyncio.run(serve(settings))
    # An AWS call in a thread would delay the end of the interpreter for up to its timeout of 10 s.
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
    from policyhub.model.text import line

    try:
        until = asyncio.run(ask(cluster, source=approve, minutes=minutes))
    except (Refused, Unreachable, KubeconfigError) as error:
        typer.echo(f"policyhub: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"What {line(approve)} has lost in {cluster} is archived when its delay has passed; approved until {until}."
    )


app.command()(render.render)
app.command("iam-policy")(iam_policy)
app.command()(findings)
app.command()(clusters)
app.command()(doctor)
app.command("archive-others")(archive_others)
app.command()(retire)
