"""The flags of `policyhub run`. Its modules load after the flags are validated."""

import logging
import os
from typing import Any

import typer


def run() -> None:
    """Run the operator. Each flag is also an environment variable: POLICYHUB_ and its name in capitals."""
    raise AssertionError("`cli.main` replaces this command by the one with the flags")


def run_command() -> Any:
    """`policyhub run` with its flags."""
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
        typer.echo(f"policyhub: invalid settings:\n{error}", err=True)
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
