"""Reads the commands that messages print as the command line of policyhub does."""

import re
import shlex
from typing import Any

import typer

from policyhub.cli.main import app
from policyhub.retire.target import Options, uids

_COMMAND = re.compile(r"policyhub retire .+?(?=$|\n| counts | archives |[.;,](?: |$))")


def parameters(command: str) -> dict[str, Any]:
    """The values of the options of `policyhub retire`. Raises click's UsageError for a command that it refuses."""
    program, name, *words = shlex.split(command)
    assert (program, name) == ("policyhub", "retire")
    group: Any = typer.main.get_command(app)
    parsed: dict[str, Any] = group.commands[name].make_context(name, words).params
    return parsed


def parsed_command(command: str) -> Options:
    """As `policyhub retire` reads them."""
    given = parameters(command)
    return Options(
        cluster=given["cluster"],
        identity=given["identity"] or "",
        uids=uids(given["uid"] or ()),
        account=given["account_id"] or "",
        region=given["region"] or "",
        role_arn=given["role_arn"] or "",
        external_id=given["external_id"] or "",
    )


def printed(message: str) -> str:
    """The only command of this kind in a message."""
    (command,) = _COMMAND.findall(message)
    assert isinstance(command, str)
    return command
