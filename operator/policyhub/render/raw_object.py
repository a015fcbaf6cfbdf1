"""Objects as they are read from an input, and read errors, each with its location.

An input is JSON (one object, several in sequence, one a line, an array) or YAML (one or several documents). A list of
any kind (`items` at the top of a document) is passed on item by item, so a JSON file is never in memory completely. The
file name or the first character decides whether it is JSON or YAML.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import yaml

MAX_OBJECT = 64 * 1024 * 1024
"""Bytes of one object. etcd limits an object to 1.5 MiB, so a longer text is not an object, or its end is missing."""
YAML_SUFFIXES = frozenset({".yaml", ".yml"})
SUFFIXES = YAML_SUFFIXES | {".json", ".jsonl", ".ndjson"}
"""Suffixes of the files that are read in a folder."""

Path_ = tuple[str | int, ...]
"""The path to a member of an object: `("results", 2, "severity")`."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Source(Protocol):
    """A binary file or pipe."""

    def read(self, size: int, /) -> bytes: ...


class Location(msgspec.Struct, frozen=True):
    """The place of an object or error in the input."""

    file: str
    """A file's name, `<stdin>`, or an API of a cluster and the name of the object."""
    line: int = 0
    """From 1; 0 if there are no lines."""
    document: int = 0
    """From 1 within the file; 0 if there are no documents."""
    path: str = ""

    def __str__(self) -> str:
        parts = [f"document {self.document}"] if self.document else []
        parts += [self.path] if self.path else []
        lined = f"{self.file}:{self.line}" if self.line else self.file
        return f"{lined}: {', '.join(parts)}" if parts else lined

    def within(self, path: Path_, *, line: int = 0) -> "Location":
        """The location of a member of the object at this location."""
        return msgspec.structs.replace(self, path=joined(self.path, path), line=line or self.line)


class RawObject(msgspec.Struct, frozen=True):
    """One object, not decoded."""

    location: Location
    raw: bytes | msgspec.Raw
    """JSON that is not validated yet."""
    api_version: str = ""
    """The apiVersion of the list that contains the object, for items that have none; likewise `kind`."""
    kind: str = ""
    node: yaml.Node | None = None
    """The YAML node, which has the lines of its members."""


TOO_DEEP = "is nested too deeply"
NO_ITEMS = b'{"kind":"List","items":[]}'
"""Passed on for an empty list, to show that it was read."""


class ReadError(msgspec.Struct, frozen=True):
    """Something that could not be read."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


def joined(path: str, more: Path_) -> str:
    """The path as text: `items[3].results[2].properties["a.b"]`."""
    text = path
    for part in more:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def line_of(item: RawObject, path: Path_) -> int:
    """The line of the member, or of its nearest parent whose line is known."""
    node = item.node
    above = 0
    if node is None:
        if not item.location.line:
            return 0
        above = item.location.line - 1
        try:  # JSON is YAML, except for rare cases
            node = yaml.compose(bytes(item.raw).decode(), Loader=LOADER)
        except (yaml.YAMLError, ValueError, RecursionError):
            return item.location.line
    else:
        above = item.location.line - 1 - node.start_mark.line
    line = item.location.line
    for part in path:
        found = _member(node, part)
        if found is None:
            break
        node, at = found
        line = above + at.start_mark.line + 1
    return line


def _member(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node of the member, and of its key (in a list, of the member itself)."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next(((value, key) for key, value in node.value if key.value == part), None)
    return None


LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader if PyYAML was built with it, as in its wheels: it is ten times as fast."""


def inputs(given: list[str]) -> Iterator[str]:
    """The given files, and the files in given folders. A name that does not exist is kept, so that it is reported."""
    for name in given:
        path = Path(name)
        if name != "-" and path.is_dir():
            yield from (str(file) for file in sorted(path.rglob("*")) if file.suffix in SUFFIXES and file.is_file())
        else:
            yield name
