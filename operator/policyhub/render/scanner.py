"""JSON text → objects, in one pass over a window of it; `raw_decode` finds where each value ends.

    a document           an object or an array at the top; any number in sequence, on one line or several; YAML's
                         markers (`---`, `...`) and comments between them are skipped
    `items`, an array    each element is passed on by itself, and leaves the window

An invalid element is skipped if its brackets match. After any other error, reading goes on at the next line that begins
with `{`: in JSON lines, a missing bracket loses one line.
The only I/O is reading the stream.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from policyhub.render.raw_object import MAX_OBJECT, NO_ITEMS, TOO_DEEP, Location, RawObject, ReadError, Source

_CHUNK: Final = 1 << 20
_TAIL: Final = 16
"""Within so many characters before the window's end, an error may mean that a word or an escape is cut there."""
_SHOWN: Final = 20
"""Characters of invalid input that a message shows."""
_MARKERS: Final = ("---", "...")
_PAIRS: Final = {"}": "{", "]": "["}
_TOKEN = re.compile(r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+(?P<quote>")?|[{}\[\]]|\n(?=\{)')
"""A text, a bracket, or the place at which reading goes on. A text that does not end on its line has no `quote`."""
_WORD = re.compile(r'[^\s,\[\]{}"]+')
_BLANKS = re.compile(r"[ \t\r\n]*")
_LINE, _OBJECT_LINE = re.compile(r"\n"), re.compile(r"\n(?=\{)")
_INVALID: Final = "invalid JSON"
_MISSING: Final = "the end is missing: not all brackets are closed"


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{_INVALID}: {word}")


def _nothing(_: object) -> None:
    """The decoder only has to find the end of a value: it keeps no content and converts no long number."""


_decoder = json.JSONDecoder(
    object_pairs_hook=_nothing, parse_int=_nothing, parse_float=_nothing, parse_constant=_refuse
)


def _message(error: json.JSONDecodeError) -> str:
    """The message in lower case, to follow a colon, without the position."""
    return (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")


class _Fault(Exception):
    """Why the rest of a document cannot be read, and the line of the defect."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Unclosed(_Fault):
    """The end of the document is missing."""


class _Begun(_Unclosed):
    """The next document begins here."""


def scan(
    stream: Source, file: str, *, begun: bytes = b"", line: int = 1, document: int = 1
) -> Iterator[RawObject | ReadError]:
    """Every object of the stream, and every read error. `begun`: the bytes that were already read. `line`, `document`:
    the numbers of the first ones.
    """
    return _Scanner(stream, Location(file, line, document - 1), begun).objects()


class _Scanner:
    def __init__(self, stream: Source, start: Location, begun: bytes) -> None:
        self._stream = stream
        self._file = start.file
        # Invalid UTF-8 is an error of its object, not of all objects in the window.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._window = self._decode(begun)
        self._ended = False
        self._at = 0
        """The position of the next character in the window."""
        self._line = start.line
        """The line of the next character."""
        self._from = 0
        """The start of the current object in the window; text before it may be dropped."""
        self._document = start.document
        self._path = ""

    def objects(self) -> Iterator[RawObject | ReadError]:
        while first := self._peek():
            if first == "#":
                self._skip(_LINE)
                continue
            if first in "-." and (marker := self._shown()[:3]) in _MARKERS:
                self._move(len(marker))
                continue
            self._document += 1
            self._path = ""
            try:
                yield from self._items({}) if first == "[" else self._object()
            except _Fault as fault:
                yield ReadError(self._location(fault.line), str(fault))
                if not isinstance(fault, _Begun):
                    self._skip(_OBJECT_LINE)

    # -- the parts of a document ----------------------------------------------------------------------------------

    def _object(self) -> Iterator[RawObject | ReadError]:
        location, heads, is_list = self._location(), dict[str, str](), False
        self._from = self._at
        if self._peek() != "{":
            raise _Fault(f"expected an object, got {self._shown()!r}", self._line)
        self._move(1)
        while (char := self._peek()) != "}":
            if char == ",":
                self._move(1)
                continue
            if char != '"':
                raise self._unexpected("a name", location)
            name = self._value()
            if self._peek() != ":":
                raise self._unexpected("a colon", location)
            self._move(1)
            if self._peek() == "[" and name == "items":
                is_list = True
                yield from self._items(heads, path="items")
            elif isinstance(value := self._value(), str):
                heads[name] = value
        self._move(1)
        if not is_list:
            yield self._raw(location, {})

    def _unexpected(self, expected: str, location: Location) -> _Fault:
        """`location`: the document's start, which is shown if its end is missing."""
        if not self._peek():
            return _Unclosed(_MISSING, location.line)
        if self._window.startswith("\n{", self._at - 1):
            return _Begun(_MISSING, location.line)
        return _Fault(f"{_INVALID}: expected {expected}, got {self._shown()!r}", self._line)

    def _items(self, heads: dict[str, str], *, path: str = "") -> Iterator[RawObject | ReadError]:
        """The elements of the next array."""
        number = 0
        self._move(1)
        while (char := self._peek()) != "]":
            self._from = self._at
            if char == ",":
                self._move(1)
                continue
            self._path = f"{path}[{number}]"
            location = self._location()
            try:
                self._value()
            except _Unclosed:
                raise
            except _Fault as fault:
                if not self._skip_element():
                    raise _Fault(f"{fault}; the rest of the list is not read", fault.line) from None
                yield ReadError(self._location(fault.line), str(fault))
            else:
                yield self._raw(location, heads)
            number += 1
        self._path = ""
        if not number:
            yield RawObject(self._location(), NO_ITEMS)
        self._move(1)
        self._from = self._at

    def _location(self, line: int = 0) -> Location:
        return Location(self._file, line or self._line, self._document, self._path)

    def _value(self) -> Any:
        """The next value if it is a string; any other is skipped."""
        while True:
            try:
                value, end = _decoder.raw_decode(self._window, self._at)
            except RecursionError:
                raise _Fault(TOO_DEEP, self._line) from None
            except json.JSONDecodeError as error:
                ended = error.pos >= len(self._window.rstrip()) or "Unterminated" in error.msg
                can_go_on = ended or error.pos >= len(self._window) - _TAIL
                missing = ended or self._window.startswith("\n{", error.pos - 1)  # the next object has begun
                line = self._line + self._window.count("\n", self._at, error.pos)
                fault = _Unclosed(_MISSING, self._line) if missing else _Fault(f"{_INVALID}: {_message(error)}", line)
            except ValueError as error:
                raise _Fault(str(error), self._line) from None
            else:
                is_cut = end > len(self._window) - _TAIL and self._window[end - 1].isdecimal()  # perhaps: a number
                if not (is_cut and self._fill()):
                    self._move(end - self._at)
                    return value
                continue
            if len(self._window) - self._from > MAX_OBJECT:
                raise _Unclosed(f"an object is larger than {MAX_OBJECT >> 20} MiB, or its end is missing", self._line)
            if not (can_go_on and self._fill()):
                raise fault

    def _skip_element(self) -> bool:
        """Move to the end of the element, if its brackets show it."""
        while True:
            if (end := self._end()) >= 0:
                self._move(end - self._at)
                return end > self._from
            if len(self._window) - self._from > MAX_OBJECT or not self._fill():
                return False

    def _end(self) -> int:
        """The end of the element in the window; its start if its brackets do not match; -1 if more text is needed."""
        if self._window[self._from] not in '{["':
            word = _WORD.match(self._window, self._from)
            end = self._from if word is None else word.end()
            return end if end < len(self._window) or self._ended else -1
        opened: list[str] = []
        for token in _TOKEN.finditer(self._window, self._from):
            first = token[0][0]
            if first in "{[":
                opened.append(first)
            elif first == '"' and not token["quote"]:
                return self._from if "\n" in self._window[token.end() :] else -1
            elif first == "\n" or (first in _PAIRS and opened.pop() != _PAIRS[first]):
                return self._from
            if not opened:
                return token.end()
        return -1

    # -- the window -----------------------------------------------------------------------------------------------

    def _raw(self, location: Location, heads: dict[str, str]) -> RawObject | ReadError:
        try:
            raw = self._window[self._from : self._at].encode()
        except UnicodeEncodeError:
            return ReadError(location, "invalid UTF-8")
        return RawObject(location, raw, heads.get("apiVersion", ""), heads.get("kind", ""))

    def _fill(self) -> bool:
        """Read the next chunk. It doubles the window, since a long object is parsed from its start after each chunk."""
        if self._ended:
            return False
        self._window, self._at, self._from = self._window[self._from :], self._at - self._from, 0
        chunk = self._stream.read(max(_CHUNK, len(self._window)))
        self._ended = not chunk
        self._window += self._decode(chunk, self._ended)
        return True

    def _move(self, number: int) -> None:
        self._line += self._window.count("\n", self._at, self._at + number)
        self._at += number

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            blanks = _BLANKS.match(self._window, self._at)
            self._move(0 if blanks is None else len(blanks[0]))
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._fill():
                return ""

    def _skip(self, pattern: re.Pattern[str]) -> None:
        """Skip to the end of the next match, or of the stream."""
        while (found := pattern.search(self._window, self._at)) is None:
            self._move(max(0, len(self._window) - 1 - self._at))  # a match may begin with the last character
            self._from = self._at
            if not self._fill():
                self._move(1)
                return
        self._move(found.end() - self._at)

    def _shown(self) -> str:
        """The first characters of the rest of the line."""
        while len(self._window) < self._at + _SHOWN and "\n" not in self._window[self._at :] and self._fill():
            pass
        return self._window[self._at : self._at + _SHOWN].split("\n", 1)[0]
