"""YAML text → objects, document by document, and item by item if a document is a list.

PyYAML's `compose_all` returns complete documents, so a list whose end is missing would lose all its items. So this
module calls its composer for one item after the other. After an error, reading goes on at the next `---`. Timestamps
stay text. Aliases are rejected: no engine writes them, and a small file with aliases can expand to a huge object. The
only I/O is reading the stream.

| fault                                            | is lost                                                     |
|--------------------------------------------------|-------------------------------------------------------------|
| invalid YAML                                     | the rest of the document                                    |
| an alias, more than `MAX_DEPTH` levels, a value  | the item of a list, else the document                       |
| that does not match its tag                      |                                                             |
| more text after a document, without a `---`      | nothing if it is JSON, which programs write in sequence     |
"""

import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec
import yaml
from yaml.composer import Composer, ComposerError

from policyhub.render.raw_object import LOADER, NO_ITEMS, TOO_DEEP, Location, RawObject, ReadError, Source
from policyhub.render.scanner import scan

MAX_DEPTH: Final = 200
"""Levels of an object at most. PyYAML's composer takes three Python frames for each, of 1,000 that Python allows."""
_CHUNK = 1 << 20
_MARKER = re.compile(rb"^(?=[%.-])(?:%.*\n(?:[ \t]*(?:#.*)?\n)*+)*+((?:---|\.\.\.)(?=\s|$))?", re.MULTILINE)
"""The start of a document, with its directives, or the end of one. Directives without a document are matched too, or
the search would begin again on each of their lines.
"""
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
        self._depth = 0
        self._refusal: ComposerError | None = None

    def compose(self) -> yaml.Node:
        """The next node. Raises ComposerError if it cannot be used: it is read to its end all the same."""
        start = self.peek_event().start_mark
        node: yaml.Node = self.compose_node(None, None)
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise ComposerError(None, None, refusal.problem, refusal.problem_mark or start)
        return node

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.anchors.clear()  # without aliases, a name may be used again
        if self.check_event(yaml.AliasEvent):
            return self._refuse("an alias: aliases are rejected", self.peek_event().start_mark)
        if self._depth >= MAX_DEPTH:
            return self._refuse(TOO_DEEP, None)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, why: str, at: yaml.Mark | None) -> yaml.Node:
        """Skip the next node."""
        self._refusal = self._refusal or ComposerError(None, None, why, at)
        depth = 0
        while True:
            event = self.get_event()
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return yaml.ScalarNode("", "")


def compose(stream: Source, file: str, *, begun: bytes = b"") -> Iterator[RawObject | ReadError]:
    """Every object of the stream, and every read error. `begun`: the bytes that were already read."""
    document = 0
    for line, section in _sections(b"".join((begun, *iter(partial(stream.read, _CHUNK), b"")))):
        for found in _documents(section, Location(file, line, document)):
            document = found.location.document
            yield found


def _sections(text: bytes) -> Iterator[tuple[int, bytes]]:
    """The text between markers, and the line on which it begins. A `---` is part of it, a `...` is not."""
    line, begin = 1, 0
    for marker in _MARKER.finditer(text):
        if marker[1]:
            yield line, text[begin : marker.start()]
            after = marker.start() if marker[1] == b"---" else marker.end()
            line += text.count(b"\n", begin, after)
            begin = after
    yield line, text[begin:]


def _documents(section: bytes, before: Location) -> Iterator[RawObject | ReadError]:
    """The objects of a section: of one document, unless JSON follows it or its lines end in carriage returns.

    `before` has the number of the document before it.
    """
    location = msgspec.structs.replace(before, document=before.document + 1)
    loader = _Loader(section)
    try:
        loader.get_event()  # the stream begins
        while not loader.check_event(yaml.StreamEndEvent):
            for found in _objects(loader, location):
                location = msgspec.structs.replace(location, document=found.location.document + 1)
                yield found
            try:
                loader.get_event()  # the document ends
                loader.check_event(yaml.StreamEndEvent)
            except yaml.MarkedYAMLError as error:
                yield from _rest(section, location, error)
                return
    except yaml.MarkedYAMLError as error:
        yield ReadError(_moved(location, error.problem_mark or error.context_mark), _message(error))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        yield ReadError(location, f"invalid YAML: {' '.join(str(error).split())}")
    except RecursionError:
        yield ReadError(location, TOO_DEEP)
    finally:
        loader.dispose()


def _rest(section: bytes, location: Location, error: yaml.MarkedYAMLError) -> Iterator[RawObject | ReadError]:
    """What follows a document without a `---`: JSON, or an error."""
    mark = error.problem_mark
    rest = section.decode(errors="surrogateescape")[mark.index if mark is not None else 0 :]
    stream = io.BytesIO(rest.encode(errors="surrogateescape"))
    return scan(stream, location.file, line=_moved(location, mark).line, document=location.document)


def _objects(loader: _Loader, location: Location) -> Iterator[RawObject | ReadError]:
    """The objects of one document. None if it is empty but for comments."""
    loader.get_event()  # the document begins
    if loader.check_event(yaml.MappingStartEvent):
        yield from _mapping(loader, location)
    elif loader.check_event(yaml.SequenceStartEvent):
        yield from _items(loader, location, {}, "")
    elif (node := loader.compose()).value:
        yield ReadError(_moved(location, node.start_mark), "expected an object, got text")


def _mapping(loader: _Loader, location: Location) -> Iterator[RawObject | ReadError]:
    start, members, is_list = loader.get_event(), list[tuple[yaml.Node, yaml.Node]](), False
    while not loader.check_event(yaml.MappingEndEvent):
        key = loader.compose()
        if key.value == "items" and loader.check_event(yaml.SequenceStartEvent):
            is_list = True
            yield from _items(loader, location, _heads(members), "items")
        else:
            members.append((key, loader.compose()))
    end = loader.get_event()
    heads = _heads(members)
    if not is_list:
        node = yaml.MappingNode(_MAP, members, start.start_mark, end.end_mark)
        yield _object(loader, node, _moved(location, node.start_mark), {})
    elif "apiVersion" in heads and "kind" not in heads:  # kubectl writes a list's kind below its items
        yield ReadError(_moved(location, end.end_mark), "the list has no kind after its items: its end may be missing")


def _items(loader: _Loader, location: Location, heads: dict[str, str], path: str) -> Iterator[RawObject | ReadError]:
    loader.get_event()
    number = 0
    while not loader.check_event(yaml.SequenceEndEvent):
        at = msgspec.structs.replace(location, path=f"{path}[{number}]")
        try:
            node = loader.compose()
        except ComposerError as error:
            yield ReadError(_moved(at, error.problem_mark), _message(error))
        else:
            yield _object(loader, node, _moved(at, node.start_mark), heads)
        number += 1
    loader.get_event()
    if not number:
        yield RawObject(location, NO_ITEMS)


def _object(loader: _Loader, node: yaml.Node, location: Location, heads: dict[str, str]) -> RawObject | ReadError:
    try:
        raw = msgspec.json.encode(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        return ReadError(location, _message(error))
    except (LookupError, AttributeError):  # by PyYAML's constructors
        return ReadError(location, "invalid YAML: a value does not match its tag")
    except (TypeError, ValueError, OverflowError) as error:
        return ReadError(location, f"cannot be written as JSON: {error}")
    return RawObject(location, raw, heads.get("apiVersion", ""), heads.get("kind", ""), node)


def _heads(members: list[tuple[yaml.Node, yaml.Node]]) -> dict[str, str]:
    return {key.value: value.value for key, value in members if isinstance(value.value, str) and key.value in _HEADS}


_HEADS = ("apiVersion", "kind")


def _moved(location: Location, mark: yaml.Mark | None) -> Location:
    """The place with the line of the mark; `location` has the line on which the section begins."""
    return location if mark is None else msgspec.structs.replace(location, line=location.line + mark.line)


def _message(error: yaml.MarkedYAMLError) -> str:
    return " ".join(filter(None, (error.context, error.problem)))
