"""The flags of `policyhub run`: one for each setting, with its name, meaning and default as `policyhub.settings` has
them.

All are texts: the settings check them together with the environment, so that everything wrong is named at once.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from policyhub.settings import Settings


def takes_settings(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a command with a flag for each setting, which it is called with by name; None: not given."""

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
    """As in `Port of /metrics (default: 8080).`, with the choices where there are some."""
    extra = field.json_schema_extra
    written = extra.get("default") if isinstance(extra, dict) else None  # as a text, where the value is none
    shown = field.default if written is None else written
    choices = f": {', '.join(get_args(field.annotation))}" if get_origin(field.annotation) is Literal else ""
    return f"{field.description}{choices}{'' if shown in {None, ''} else f' (default: {_text(shown)})'}."


def _text(value: object) -> str:
    """As it is written in a flag."""
    return str(value).lower() if isinstance(value, bool) else str(value)
