"""YAML text → objects, document by document, and item by item if a document is a list.

PyYAML's `compose_all` returns complete documents, so a list whose end is missing would lose all its items. So this
module calls its composer for one item after the other. After an error, reading goes on at the next `---`. Timestamps
stay text. Aliases are rejected: no engine writes them, and a small file with aliases can expand to a huge object. The
only I/O is reading the stream.
"""

import re
from collections.abc import Generator, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import yaml
from yaml.composer import Composer, ComposerError

from policyhub.render.raw_object import LOADER, NO_ITEMS, TOO_DEEP, Location, RawObject, ReadError, Source

_CHUNK = 1 << 20
_BEGIN = re.compile(rb"^(?:(?:%.*\n)*---(?=\s|$)|\.\.\.(?=\s|$).*\n?)", re.MULTILINE)
"""The start of a document, with its directives, or the end of one."""
_TIME, _MAP = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:map"
_PARTS: Any = (Composer, LOADER) if yaml.__with_libyaml__ else (LOADER,)
"""libyaml's loader composes whole documents only."""


class _Loader(*_PARTS):  # type: ignore[misc]
    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's API)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIME]
        for first, resolvers in LOADER.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: bytes) -> None:
        LOADER.__init__(self, text)
        self.anchors: dict[str, yaml.Node] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "an alias: aliases are rejected", self.peek_event().start_mark)
        return super().compose_node(parent, index)


def compose(stream: Source, file: str, *, begun: bytes = b"") -> Iterator[RawObject | ReadError]:
    """Every object of the stream, and every read error. `begun`: the bytes that were already read."""
    document = 0
    for line, section in _sections(b"".join((begun, *iter(partial(stream.read, _CHUNK), b"")))):
        document += 1
        place = Location(file, line, document)
        loader = _Loader(section)
        try:
            found = yield from _objects(loader, place)
            document -= not found
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = line + (mark.line if mark is not None else 0)
            yield ReadError(Location(file, at, document), " ".join(filter(None, (error.context, error.problem))))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            yield ReadError(place, f"invalid YAML: {' '.join(str(error).split())}")
        except RecursionError:
            yield ReadError(place, TOO_DEEP)
        finally:
            loader.dispose()


def _sections(text: bytes) -> Iterator[tuple[int, bytes]]:
    """The text of each document, and the line on which it begins."""
    marks = (match.start() if match[0].endswith(b"---") else match.end() for match in _BEGIN.finditer(text))
    line = 1
    for begin, end in pairwise((0, *marks, len(text))):
        yield line, text[begin:end]
        line += text.count(b"\n", begin, end)


def _objects(loader: Any, place: Location) -> Generator[RawObject | ReadError, None, bool]:
    """The objects of one document. Returns False if it is empty but for comments."""
    loader.get_event()  # the stream begins
    if loader.check_event(yaml.StreamEndEvent):
        return False
    loader.get_event()  # the document begins
    if loader.check_event(yaml.MappingStartEvent):
        yield from _mapping(loader, place)
    elif loader.check_event(yaml.SequenceStartEvent):
        yield from _items(loader, place, {}, "")
    else:
        node = loader.compose_node(None, None)
        if not node.value:
            return False
        yield ReadError(_at(place, node), "expected an object, got a text")
    loader.check_event()  # raises if more follows
    return True


def _mapping(loader: Any, place: Location) -> Iterator[RawObject | ReadError]:
    start, members, is_list = loader.get_event(), list[tuple[yaml.Node, yaml.Node]](), False
    while not loader.check_event(yaml.MappingEndEvent):
        key = loader.compose_node(None, None)
        if key.value == "items" and loader.check_event(yaml.SequenceStartEvent):
            is_list = True
            yield from _items(loader, place, _heads(members), "items")
        else:
            members.append((key, loader.compose_node(None, None)))
    end = loader.get_event()
    heads = _heads(members)
    if not is_list:
        node = yaml.MappingNode(_MAP, members, start.start_mark, end.end_mark)
        yield _object(loader, node, _at(place, node), {})
    elif "apiVersion" in heads and "kind" not in heads:  # kubectl writes a list's kind below its items
        at = msgspec.structs.replace(place, line=place.line + end.end_mark.line)
        yield ReadError(at, "no kind follows the items of the list: its end may be missing")


def _items(loader: Any, place: Location, heads: dict[str, str], path: str) -> Iterator[RawObject | ReadError]:
    loader.get_event()
    number = 0
    while not loader.check_event(yaml.SequenceEndEvent):
        node = loader.compose_node(None, None)
        yield _object(loader, node, _at(place, node, f"{path}[{number}]"), heads)
        number += 1
    loader.get_event()
    if not number:
        yield RawObject(place, NO_ITEMS)


def _object(loader: Any, node: yaml.Node, place: Location, heads: dict[str, str]) -> RawObject | ReadError:
    try:
        raw = msgspec.json.encode(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        return ReadError(place, " ".join(filter(None, (error.context, error.problem))))
    except (TypeError, ValueError, OverflowError) as error:
        return ReadError(place, f"cannot be written as JSON: {error}")
    return RawObject(place, raw, heads.get("apiVersion", ""), heads.get("kind", ""), node)


def _heads(members: list[tuple[yaml.Node, yaml.Node]]) -> dict[str, str]:
    return {key.value: value.value for key, value in members if isinstance(value.value, str) and key.value in _HEADS}


_HEADS = ("apiVersion", "kind")


def _at(place: Location, node: yaml.Node, path: str = "") -> Location:
    return msgspec.structs.replace(place, line=place.line + node.start_mark.line, path=path)
