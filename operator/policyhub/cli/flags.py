"""The flags of `policyhub run`: one for each setting of `policyhub.settings`, with its name, description and default.

All values are strings: the settings validate them together with the environment, and report all errors at once.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from policyhub.settings import Settings


def takes_settings(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a command with a flag for each setting. It gets the values by name; None: not given."""

    def command(**given: str | None) -> None:
        function(**given)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, typer.Option(help=_help(field))],
        )
        for name, field in Settings.model_fields.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    return command


def _help(field: FieldInfo) -> str:
    """The help, such as `Port of /metrics (default: 8080).`, with the choices if the setting has some."""
    extra = field.json_schema_extra
    written = extra.get("default") if isinstance(extra, dict) else None  # the default as text
    shown = field.default if written is None else written
    choices = f": {', '.join(get_args(field.annotation))}" if get_origin(field.annotation) is Literal else ""
    return f"{field.description}{choices}{'' if shown in {None, ''} else f' (default: {_text(shown)})'}."


def _text(value: object) -> str:
    """The value as written in a flag."""
    return str(value).lower() if isinstance(value, bool) else str(value)
