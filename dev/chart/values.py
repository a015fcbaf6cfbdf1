"""Reads values.yaml with its comments: each value with its default, its description and its schema.

The comment directly above a key is its description. A line `# schema: {…}` in it (one line of YAML) adds to the schema,
with the keywords of JSON Schema and these:

    scalar: Name      a scalar of the operator's own API (policyhub.api.scalar), so that both accept the same
    crd: spec         the spec of a MonitoredCluster
    settings: true    the operator's settings, except those that the chart sets itself
    want: sentence    Helm's error instead of a pattern that a value does not match (dev.chart.wording)
    others: true      a group that may contain other charts' values

A line `## Title` begins a section of the README. A value without a description is an error, and so is an empty map or
list without a schema for its content. Pure: no I/O, no clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_SCHEMA = "schema: "
_OPEN = frozenset({"additionalProperties", "crd", "settings"})
"""With one of these, a map is a single value, and its content is the default."""


class ValuesError(Exception):
    """A value is not documented correctly; the message names it."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value, or a group of them (`children`)."""

    path: tuple[str, ...]
    section: str
    description: str
    hints: dict[str, Any]
    """Content of the lines `schema:`."""
    default: Any
    children: tuple["Value", ...] = ()

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def walk(self) -> Iterator["Value"]:
        yield self
        for child in self.children:
            yield from child.walk()


def parse(text: str) -> tuple[Value, ...]:
    """The values of the first level, in order. Raises ValuesError."""
    lines = text.splitlines()
    return tuple(_mapping(yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text), lines, ()))


def _mapping(node: yaml.Node | None, content: Any, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode):
        raise ValuesError(f"{'.'.join(path) or 'values.yaml'} is not a map")
    for key, value in node.value:
        place = (*path, key.value)
        description, hints = _comment(lines, key.start_mark.line, place)
        default = content[key.value]
        group = isinstance(default, dict) and not _OPEN & hints.keys()
        if group and not default:
            raise ValuesError(
                f"{'.'.join(place)}: the map has no schema for its content; add schema: additionalProperties"
            )
        if isinstance(default, list) and "items" not in hints:
            raise ValuesError(f"{'.'.join(place)}: the list has no schema for its content; add schema: items")
        yield Value(
            path=place,
            section=_section(lines, key.start_mark.line),
            description=description,
            hints=hints,
            default=default,
            children=tuple(_mapping(value, default, lines, place)) if group else (),
        )


def _comment(lines: list[str], line: int, path: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    block: list[str] = []
    while line and (above := lines[line - 1].strip()).startswith("#") and not above.startswith("##"):
        block.insert(0, above.removeprefix("#").strip())
        line -= 1
    hints: dict[str, Any] = {}
    for hint in (entry for entry in block if entry.startswith(_SCHEMA)):
        hints |= yaml.safe_load(hint.removeprefix(_SCHEMA))
    description = " ".join(entry for entry in block if not entry.startswith(_SCHEMA))
    if not description:
        raise ValuesError(f"{'.'.join(path)} has no comment above it")
    return description, hints


def _section(lines: list[str], line: int) -> str:
    titles = (text.removeprefix("## ") for text in reversed(lines[:line]) if text.startswith("## "))
    return next(titles, "")
