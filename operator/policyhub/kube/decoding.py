"""Decodes the JSON of API servers; the only place that does.

Every failure that hostile JSON can cause in a decoder becomes the caller's error:

    not JSON, other types, missing members      msgspec.MsgspecError
    text that is not UTF-8                      UnicodeDecodeError
    a number of thousands of digits             ValueError
    a thousand brackets                         RecursionError

`members` and `elements` split deeply nested JSON without recursion, so that one such object does not make its page
fail. Pure: no I/O, no clock.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")
Json = bytes | bytearray | memoryview | msgspec.Raw


class TooDeep(Exception):
    """Nested too deeply for the decoder."""


def decoded(decoder: msgspec.json.Decoder[T], raw: Json, error: Callable[[str], Exception]) -> T:
    """The decoded `raw`. Raises the result of `error(reason)`."""
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise error("it is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as fault:
        raise error(str(fault)) from None


def fits(decoder: msgspec.json.Decoder[T], raw: Json, error: Callable[[str], Exception]) -> T:
    """As `decoded`, but raises TooDeep if the JSON is only nested too deeply."""
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise TooDeep from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as fault:
        raise error(str(fault)) from None


_STRUCTURE: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{},:]', re.DOTALL)
"""Whole strings, so that brackets in them do not count. Matches unterminated strings, too, to avoid backtracking."""


def members(raw: bytes) -> dict[bytes, bytes]:
    """The members of a JSON object as raw JSON, by name; names are not unescaped.

    Raises ValueError if brackets do not match. The members' values are not checked.
    """
    found = {}
    for part in _parts(raw, b"{"):
        name = _STRUCTURE.match(part)
        if name is None or not name[1]:
            raise ValueError("a member without a name")
        _, colon, value = part[name.end() :].partition(b":")
        if not colon:
            raise ValueError("a member without a value")
        found[part[1 : name.end() - 1]] = value.strip()
    return found


def elements(raw: bytes) -> list[bytes]:
    """The elements of a JSON array as raw JSON; none for `null`. Raises ValueError."""
    return [] if raw.strip() == b"null" else list(_parts(raw, b"["))


def _parts(raw: bytes, opening: bytes) -> Iterator[bytes]:
    """The parts between commas of the outermost level."""
    raw = raw.strip()
    if not raw.startswith(opening):
        raise ValueError(f"no {opening.decode()} where one is due")
    depth, start = 0, 1
    for token in _STRUCTURE.finditer(raw):
        sign = token[0]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        if depth == 0 or (depth == 1 and sign == b","):
            part = raw[start : token.start()].strip()
            if part:
                yield part
            start = token.end()
        if depth == 0:
            if raw[start:].strip():
                raise ValueError("something follows the end")
            return
    raise ValueError("it has no end")
