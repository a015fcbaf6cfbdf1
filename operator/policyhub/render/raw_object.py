"""What is read from an input: objects one by one, and what could not be read, each with its place.

An input is JSON (one object, several after each other, one on each line, an array) or YAML (one or several documents).
A list of any kind (`items` at the top of a document) is passed on item by item, so JSON is never in memory as a whole.
The file's name or the first character tells JSON from YAML.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import yaml

MAX_OBJECT = 64 * 1024 * 1024
"""Bytes of one object. etcd limits one to 1.5 MiB: a longer one is no object, or its end is missing."""
YAML_SUFFIXES = frozenset({".yaml", ".yml"})
SUFFIXES = YAML_SUFFIXES | {".json", ".jsonl", ".ndjson"}
"""The files that are read of a folder."""

Path_ = tuple[str | int, ...]
"""The path to a member of an object: `("results", 2, "severity")`."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Source(Protocol):
    """Bytes, as a file or a pipe gives them."""

    def read(self, size: int, /) -> bytes: ...


class Location(msgspec.Struct, frozen=True):
    """Where something was read."""

    file: str
    """A file's name, `<stdin>`, or the API of a cluster."""
    line: int = 0
    """Counted from 1; 0 where there are no lines."""
    document: int = 0
    """Counted from 1 within the file; 0 where there are none."""
    path: str = ""

    def __str__(self) -> str:
        parts = [f"document {self.document}"] if self.document else []
        parts += [self.path] if self.path else []
        lined = f"{self.file}:{self.line}" if self.line else self.file
        return f"{lined}: {', '.join(parts)}" if parts else lined

    def within(self, path: Path_, *, line: int = 0) -> "Location":
        """Of a member of what lies here."""
        return msgspec.structs.replace(self, path=joined(self.path, path), line=line or self.line)


class RawObject(msgspec.Struct, frozen=True):
    """One object, not decoded."""

    location: Location
    raw: bytes | msgspec.Raw
    """JSON; not yet known to be well-formed."""
    api_version: str = ""
    """Of the list that it lay in, for items that name none themselves; likewise `kind`."""
    kind: str = ""
    node: yaml.Node | None = None
    """As it lay in YAML, which knows the lines of its members."""


TOO_DEEP = "is nested too deeply"
NO_ITEMS = b'{"kind":"List","items":[]}'
"""What an empty list is handed on as: it was read, and holds nothing."""


class ReadError(msgspec.Struct, frozen=True):
    """Something that could not be read."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


def joined(path: str, more: Path_) -> str:
    """As people write it: `items[3].results[2].properties["a.b"]`."""
    text = path
    for part in more:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def line_of(piece: RawObject, path: Path_) -> int:
    """The line on which the member begins, or the nearest one above it that is known."""
    node = piece.node
    above = 0
    if node is None:
        if not piece.location.line:
            return 0
        above = piece.location.line - 1
        try:  # JSON is YAML as far as this goes
            node = yaml.compose(bytes(piece.raw).decode(), Loader=LOADER)
        except (yaml.YAMLError, ValueError, RecursionError):
            return piece.location.line
    else:
        above = piece.location.line - 1 - node.start_mark.line
    line = piece.location.line
    for part in path:
        found = _member(node, part)
        if found is None:
            break
        node, at = found
        line = above + at.start_mark.line + 1
    return line


def _member(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The member, and what names it (itself in a list)."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next(((value, key) for key, value in node.value if key.value == part), None)
    return None


LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it, as its wheels are: ten times as fast."""


def inputs(given: list[str]) -> Iterator[str]:
    """The files named, with those of folders in their place. What does not exist is named all the same."""
    for name in given:
        path = Path(name)
        if name != "-" and path.is_dir():
            yield from (str(file) for file in sorted(path.rglob("*")) if file.suffix in SUFFIXES and file.is_file())
        else:
            yield name
