"""The command line: `policyhub run`, `archive`, `render`, `iam-policy`, `findings`, `clusters`, `doctor`,
`archive-others` and `retire`.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import policyhub
from policyhub.cli.archive import archive
from policyhub.cli.clusters import clusters
from policyhub.cli.doctor import archive_others, doctor
from policyhub.cli.findings import findings
from policyhub.cli.iam_policy import iam_policy
from policyhub.cli.render import render
from policyhub.cli.retire import retire
from policyhub.cli.run import run, run_command


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


def _print_version(*, requested: bool) -> None:
    if requested:
        typer.echo(policyhub.__version__)
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda v: _print_version(requested=v),
        ),
    ] = False,
) -> None:
    del version  # printed by its callback


app.command()(run)
app.command()(archive)
app.command()(render)
app.command("iam-policy")(iam_policy)
app.command()(findings)
app.command()(clusters)
app.command()(doctor)
app.command("archive-others")(archive_others)
app.command()(retire)
