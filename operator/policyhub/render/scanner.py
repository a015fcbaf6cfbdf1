"""JSON text → pieces, in one pass over a window of it: no object is decoded here, its end is found by its brackets.

    a document           an object or an array at the top, as many after each other as there are, on lines or not;
                         a line of `---` between them is passed over
    `items`, an array    each element is a piece, and leaves the window

After something that cannot be right, reading goes on at the next line that begins with `{`. Where the document that
broke stood on one line, documents stand on lines: from then on none reaches beyond its own, so that a bracket that is
missing costs one line. No I/O but reading the stream.
"""

import re
from collections.abc import Iterator

import msgspec

from policyhub.render.raw_object import MAX_OBJECT, NO_ITEMS, Location, RawObject, ReadError, Source

_CHUNK = 1 << 20
_SHOWN = 20
"""Characters shown of what is wrong."""

# A text has no line break, so one that lacks its end is noticed on its line; it has no group 1. Nothing is tried twice.
_TOKEN = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+(")?|[{}\[\]]')
_MARKER = b"---"
_INK = re.compile(rb"[^ \t\r\n]")
_BARE = re.compile(rb"[^\s,\]}\[{:\"]*")
_OBJECT_LINE = re.compile(rb"^\{", re.MULTILINE)
_NAMES = {b'"apiVersion"': "apiVersion", b'"kind"': "kind"}
_OPENING, _CLOSING, _QUOTE, _COMMA, _COLON = b"{[", b"}]", ord('"'), ord(","), ord(":")
_OBJECT, _ARRAY = ord("{"), ord("[")
_STEP = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
"""What a bracket does to the depth."""


class _Fault(Exception):  # noqa: N818  (what was found, not what was raised)
    """Why a document cannot be read further, and where in the window."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def scan(stream: Source, file: str) -> Iterator[RawObject | ReadError]:
    """Every object of the stream, and every place that could not be read."""
    return _Scanner(stream, file).pieces()


class _Scanner:
    def __init__(self, stream: Source, file: str) -> None:
        self._stream = stream
        self._file = file
        self._window = bytearray()
        self._line = 1
        """Of the window's first byte."""
        self._ended = False
        self._document = 0
        self._path = ""
        self._lines = False
        """Whether each document stands on a line of its own."""

    def pieces(self) -> Iterator[RawObject | ReadError]:
        while self._separated():
            self._document += 1
            self._path = ""
            try:
                if self._lines:
                    self._on_its_line()
                yield from self._value()
            except _Fault as fault:
                line = self._line + self._window.count(b"\n", 0, fault.at)
                yield ReadError(Location(self._file, line, self._document, self._path), str(fault))
                self._resume()

    # -- what a document is made of -------------------------------------------------------------------------------

    def _value(self) -> Iterator[RawObject]:
        first = self._window[0]
        if first == _OBJECT:
            return self._object()
        if first == _ARRAY:
            return self._items({})
        raise _Fault(f"{self._shown(0)} where an object is due", 0)

    def _object(self) -> Iterator[RawObject]:
        heads: dict[str, str] = {}
        line, at, is_list = self._line, 1, False
        while True:
            at = self._ink(at)
            char = self._window[at]
            if char == _CLOSING[0]:
                break
            if char == _COMMA:
                at += 1
                continue
            if char != _QUOTE:
                raise _Fault(f"{self._shown(at)} where a name is due", at)
            end = self._end(at)
            name = bytes(self._window[at:end])
            at = self._ink(end)
            if self._window[at] != _COLON:
                raise _Fault(f"{self._shown(at)} where a colon is due", at)
            at = self._ink(at + 1)
            if name == b'"items"' and self._window[at] == _ARRAY:
                self._drop(at)
                yield from self._items(heads, path="items")
                at, is_list = 0, True
                continue
            end = self._end(at)
            if name in _NAMES and self._window[at] == _QUOTE:
                heads[_NAMES[name]] = _text(bytes(self._window[at:end]))
            at = end
        raw = b"" if is_list else bytes(self._window[: at + 1])
        self._drop(at + 1)
        if not is_list:
            yield RawObject(Location(self._file, line, self._document), raw)

    def _items(self, heads: dict[str, str], *, path: str = "") -> Iterator[RawObject]:
        """The elements of the array that the window begins with."""
        number = 0
        self._drop(1)
        while True:
            self._drop(self._ink(0))
            char = self._window[0]
            if char == _CLOSING[1]:
                if not number:
                    yield RawObject(Location(self._file, self._line, self._document), NO_ITEMS)
                self._drop(1)
                self._path = ""
                return
            if char == _COMMA:
                self._drop(1)
                continue
            self._path = f"{path}[{number}]"
            end = self._end(0)
            line, raw = self._line, bytes(self._window[:end])
            self._drop(end)
            yield RawObject(
                Location(self._file, line, self._document, self._path),
                raw,
                heads.get("apiVersion", ""),
                heads.get("kind", ""),
            )
            number += 1

    def _end(self, start: int) -> int:
        """Where the value that begins at `start` ends."""
        char = self._window[start]
        if char != _QUOTE and char not in _OPENING:
            return self._bare(start)
        depth, at = 0, start
        while True:
            for token in _TOKEN.finditer(self._window, at):
                at, end = token.span()
                word = token.group()
                if word not in _STEP and token[1] is None:  # a text without its end
                    if self._window.find(b"\n", at) >= 0:
                        raise _Fault("a text that does not end on its line", at)
                    break  # the rest of it is still to come
                depth += _STEP.get(word, 0)
                if not depth:
                    return end
                at = end
            if len(self._window) - start > MAX_OBJECT:
                raise _Fault(f"an object of more than {MAX_OBJECT >> 20} MiB, or one that has no end", start)
            if not self._fill():
                raise _Fault("the end is missing: its brackets are not closed", start)

    def _bare(self, start: int) -> int:
        """The end of a number, true, false or null."""
        while True:
            match = _BARE.match(self._window, start)
            end = start if match is None else match.end()
            if end < len(self._window) or not self._fill():
                break
        if end == start:
            raise _Fault(f"{self._shown(start)} where a value is due", start)
        return end

    # -- the window -----------------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        chunk = b"" if self._ended else self._stream.read(_CHUNK)
        self._ended = not chunk
        self._window += chunk
        return bool(chunk)

    def _drop(self, number: int) -> None:
        self._line += self._window.count(b"\n", 0, number)
        del self._window[:number]

    def _ink(self, start: int) -> int:
        """Where the first character that is no blank stands, from `start` on."""
        at = start
        while True:
            match = _INK.search(self._window, at)
            if match is not None:
                return match.start()
            at = len(self._window)
            if not self._fill():
                raise _Fault("the end is missing: its brackets are not closed", start)

    def _separated(self) -> bool:
        """Whether another document follows: what stands between is dropped."""
        try:
            while True:
                self._drop(self._ink(0))
                while len(self._window) < len(_MARKER) and self._fill():
                    pass
                if not self._window.startswith(_MARKER):
                    return True
                self._drop(self._newline(0))
        except _Fault:
            return False

    def _newline(self, start: int) -> int:
        """Where the next line break stands, or the end."""
        at = start
        while True:
            found = self._window.find(b"\n", at)
            if found >= 0:
                return found
            at = len(self._window)
            if at - start > MAX_OBJECT or not self._fill():
                return at

    def _on_its_line(self) -> None:
        end = self._newline(0)
        if bytes(self._window[:end]).strip() in {b"{", b"["}:
            return  # one on many lines after all
        depth = 0
        for token in _TOKEN.finditer(self._window, 0, end):
            depth += _STEP.get(token.group(), 0)
        if depth > 0:
            raise _Fault("the end is missing: its brackets are not closed", 0)

    def _resume(self) -> None:
        """At the next line that may begin an object."""
        end = self._newline(0)
        self._lines = self._lines or (self._window[:1] == b"{" and self._window[1:end].strip() != b"")
        while True:
            self._drop(self._newline(0))
            found = _OBJECT_LINE.search(self._window, 1)
            if found is not None:
                self._drop(found.start())
                return
            self._drop(max(0, self._window.rfind(b"\n")))
            if not self._fill():
                self._window.clear()
                return

    def _shown(self, at: int) -> str:
        while len(self._window) < at + _SHOWN and b"\n" not in self._window[at:] and self._fill():
            pass
        text = bytes(self._window[at : at + _SHOWN]).decode("utf-8", "replace")
        return repr(text.split("\n", 1)[0])


def _text(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
