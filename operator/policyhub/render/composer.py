"""YAML text → pieces, document by document, and item by item where a document is a list.

A document that breaks ends at the next line of `---`, and the next one is read. Times stay the text that they are:
nothing is known here of what a member should be. Aliases are refused: no engine writes them, and a small file of them
can stand for a very large object. No I/O but reading the stream.
"""

import re
from collections.abc import Generator, Iterator
from typing import Any

import msgspec
import yaml

from policyhub.render.raw_object import LOADER, MAX_OBJECT, NO_ITEMS, Location, RawObject, ReadError, Source

_CHUNK = 1 << 20
_BEGIN = re.compile(rb"---(?=\s|$)")
_END = re.compile(rb"\.\.\.(?=\s|$)")
_TIME = "tag:yaml.org,2002:timestamp"
_MAP = "tag:yaml.org,2002:map"


class _Loader(LOADER):  # type: ignore[valid-type,misc]  # one of two classes with the same face
    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way to say it)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIME]
        for first, resolvers in LOADER.yaml_implicit_resolvers.items()
    }


Event = Any
"""PyYAML's events and what makes them have no usable types; so has its loader."""


class _Fault(Exception):  # noqa: N818  (what was found, not what was raised)
    """What is no object, and the line of its document on which it stands."""

    def __init__(self, message: str, at: Event) -> None:
        super().__init__(message)
        self.line = at.start_mark.line


def compose(stream: Source, file: str) -> Iterator[RawObject | ReadError]:
    """Every object of the stream, and every place that could not be read."""
    lines = _Lines(stream)
    document = 0
    while lines.more():
        first = lines.number
        section = _Section(lines)
        loader = _Loader(section)
        document += 1
        place = Location(file, first, document)
        try:
            found = yield from _Composer(loader, place).pieces()
            if not found:
                document -= 1
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = first + (mark.line if mark is not None else 0)
            yield ReadError(Location(file, line, document), " ".join(filter(None, (error.context, error.problem))))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            yield ReadError(place, f"no YAML: {' '.join(str(error).split())}")
        except _Fault as fault:
            yield ReadError(Location(file, first + fault.line, document), str(fault))
        except RecursionError:
            yield ReadError(place, "lies too deep within itself")
        finally:
            loader.dispose()
        section.skip()


class _Lines:
    """The lines of a stream, of which one can be given back."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self._rest = b""
        self._ended = False
        self._back: list[bytes] = []
        self.number = 1
        """Of the next line."""

    def next(self) -> bytes:
        """With its line break; empty at the end."""
        self.number += 1
        if self._back:
            return self._back.pop()
        while (cut := self._rest.find(b"\n") + 1) == 0 and not self._ended and len(self._rest) < MAX_OBJECT:
            chunk = self._stream.read(_CHUNK)
            self._ended = not chunk
            self._rest += chunk
        cut = cut or len(self._rest)
        line, self._rest = self._rest[:cut], self._rest[cut:]
        return line

    def back(self, line: bytes) -> None:
        self.number -= 1
        self._back.append(line)

    def more(self) -> bool:
        line = self.next()
        self.back(line)
        return bool(line)


class _Section:
    """The lines of one document, as a stream: up to the next `---` or `...`."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._begun = False
        self._ended = False

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and not self._ended:
            line = self._line()
            parts.append(line)
            size -= len(line)
        return b"".join(parts)

    def skip(self) -> None:
        """Whatever of it was not read."""
        while self.read(_CHUNK):
            pass

    def _line(self) -> bytes:
        line = self._lines.next()
        if not line or _END.match(line):
            self._ended = True
            return b""
        if _BEGIN.match(line):
            if self._begun:
                self._lines.back(line)
                self._ended = True
                return b""
            line = b"   " + line[3:]
            self._begun = True
        elif not self._begun and line.startswith(b"%"):
            return b"\n"  # a directive
        elif line.strip() and not line.startswith(b"#"):
            self._begun = True
        return line


class _Composer:
    def __init__(self, loader: Any, place: Location) -> None:
        self._loader = loader
        self._place = place

    def pieces(self) -> Generator[RawObject | ReadError, None, bool]:
        """Returns whether there was anything but comments."""
        loader = self._loader
        while not loader.check_event(yaml.DocumentStartEvent):
            if _is(loader.get_event(), yaml.StreamEndEvent):
                return False
        loader.get_event()
        first = loader.get_event()
        if _is(first, yaml.MappingStartEvent):
            yield from self._mapping(first)
        elif _is(first, yaml.SequenceStartEvent):
            yield from self._items({}, "")
        elif _is(first, yaml.ScalarEvent) and not first.value:
            return False
        else:
            raise _Fault("a text where an object is due", first)
        return True

    def _mapping(self, first: Event) -> Iterator[RawObject | ReadError]:
        heads: dict[str, str] = {}
        members: list[tuple[yaml.Node, yaml.Node]] = []
        is_list = False
        while not _is(event := self._loader.get_event(), yaml.MappingEndEvent):
            key = self._node(event)
            event = self._loader.get_event()
            if key.value == "items" and _is(event, yaml.SequenceStartEvent):
                is_list = True
                yield from self._items(heads, "items")
                continue
            value = self._node(event)
            if isinstance(value.value, str) and key.value in ("apiVersion", "kind"):
                heads[key.value] = value.value
            members.append((key, value))
        if is_list and "apiVersion" in heads and "kind" not in heads:  # kubectl writes a list's kind below its items
            line = self._place.line + event.end_mark.line
            place = msgspec.structs.replace(self._place, line=line)
            yield ReadError(place, "no kind follows the items of the list: its end may be missing")
        if not is_list:
            node = yaml.MappingNode(_MAP, members, first.start_mark, event.end_mark)
            yield self._piece(node, self._at(node, ""), {})

    def _items(self, heads: dict[str, str], path: str) -> Iterator[RawObject | ReadError]:
        number = 0
        while not _is(event := self._loader.get_event(), yaml.SequenceEndEvent):
            node = self._node(event)
            yield self._piece(node, self._at(node, f"{path}[{number}]"), heads)
            number += 1
        if not number:
            yield RawObject(self._place, NO_ITEMS)

    def _at(self, node: yaml.Node, path: str) -> Location:
        return msgspec.structs.replace(self._place, line=self._place.line + node.start_mark.line, path=path)

    def _piece(self, node: yaml.Node, place: Location, heads: dict[str, str]) -> RawObject | ReadError:
        try:
            raw = msgspec.json.encode(self._loader.construct_document(node))
        except yaml.MarkedYAMLError as error:
            return ReadError(place, " ".join(filter(None, (error.context, error.problem))))
        except (TypeError, ValueError, OverflowError) as error:
            return ReadError(place, f"cannot be JSON, which the API is: {error}")
        return RawObject(place, raw, heads.get("apiVersion", ""), heads.get("kind", ""), node)

    def _node(self, event: Event) -> yaml.Node:
        """What begins with this event."""
        loader = self._loader
        if _is(event, yaml.ScalarEvent):
            tag = event.tag
            if tag is None or tag == "!":
                tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            return yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, style=event.style)
        if _is(event, yaml.SequenceStartEvent):
            items = []
            while not _is(one := loader.get_event(), yaml.SequenceEndEvent):
                items.append(self._node(one))
            tag = event.tag or "tag:yaml.org,2002:seq"
            return yaml.SequenceNode(tag, items, event.start_mark, one.end_mark)
        if _is(event, yaml.MappingStartEvent):
            pairs = []
            while not _is(one := loader.get_event(), yaml.MappingEndEvent):
                key = self._node(one)
                pairs.append((key, self._node(loader.get_event())))
            return yaml.MappingNode(event.tag or _MAP, pairs, event.start_mark, one.end_mark)
        raise _Fault(f"an alias (*{getattr(event, 'anchor', '?')}): aliases are not read", event)


def _is(event: Event, kind: type[yaml.Event]) -> bool:
    return isinstance(event, kind)
